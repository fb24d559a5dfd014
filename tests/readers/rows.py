"""Rows of data files, put together again: section "Where a value is" of FORMAT.md.

Values have the form that `tests/tools/expected.rs` describes.
"""

import base64
import json
import struct

from texts import Difference


def document(columns, row):
    """The document of a row (a dict by column names), or None for a tombstone."""
    if row["_tombstone"]:
        held = {name for name in row if row[name] is not None}
        if extra := held - {"_id", "_ts", "_tombstone", "_base", "convex_phase", "convex_month"}:
            raise Difference(f"a tombstone holds values: {sorted(extra)}")
        return None
    whole = {"object": fields(columns, row)}
    whole["object"]["_id"] = row["_id"]
    whole["object"]["_creationTime"] = value("float64", row["_creationTime"])
    for pointer in json.loads(row["_nulls"] or "[]"):
        put(whole, pointer, None)
    for pointer, rescued in parse(row["_rescued"] or "{}")["object"].items():
        put(whole, pointer, rescued)
    return whole


def fields(columns, row):
    found = {}
    for column in columns:
        held = row.get(column["column"])
        if held is not None:
            if column["name"] in found:
                raise Difference(f"two columns of the family {column['name']!r} hold a value")
            found[column["name"]] = value(column["type"], held)
    return found


def value(column_type, held):
    match column_type:
        case "boolean" | "string":
            return held
        case "int64":
            return {"int": str(held)}
        case "float64":
            return {"float": struct.pack(">d", held).hex()}
        case "bytes":
            return {"bytes": bytes(held).hex()}
        case "json":
            return parse(held)
        case {"list": element}:
            return {"array": [None if item is None else value(element["type"], item) for item in held]}
        case {"struct": columns}:
            return {"object": fields(columns, held)}
    raise Difference(f"a column of unknown type {column_type!r}")


def put(whole, pointer, inserted):
    """Sets the place that a JSON Pointer (RFC 6901) names."""
    *way, last = [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]
    node = whole
    for token in way:
        node = node["array"][int(token)] if "array" in node else node["object"][token]
    if "array" in node:
        if node["array"][int(last)] is not None:
            raise Difference(f"{pointer} names an item that has a value")
        node["array"][int(last)] = inserted
    elif last in node["object"]:
        raise Difference(f"{pointer} names a field that has a value")
    else:
        node["object"][last] = inserted


def parse(text):
    """JSON text in Convex's export_json."""

    def integer(digits):
        number = int(digits)
        return {"int": digits} if -(2**63) <= number < 2**63 else real(digits)

    def real(digits):
        return {"float": struct.pack(">d", float(digits)).hex()}

    def wrapped(found):
        match found:
            case {"$float": text, **rest} if not rest:
                return {"float": base64.b64decode(text)[::-1].hex()}
            case {"$bytes": text, **rest} if not rest:
                return {"bytes": base64.b64decode(text).hex()}
        return {"object": found}

    def lists(node):
        if isinstance(node, list):
            return {"array": [lists(item) for item in node]}
        if isinstance(node, dict) and "object" in node:
            return {"object": {name: lists(field) for name, field in node["object"].items()}}
        return node

    return lists(json.loads(text, parse_int=integer, parse_float=real, object_hook=wrapped))
