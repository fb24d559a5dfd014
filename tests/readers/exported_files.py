"""exported_files.py EXPORT ARCHIVE EXPECTED: the files of an export, read by pyarrow, json and csv, are the state at its
moment. The archive's manifest says which column holds which field; where a format cannot tell null from absent, neither is
compared."""

import base64
import csv
import json
import math
import struct
import sys

import pyarrow.dataset as ds

from archive import Archive, Comparison, Difference, fields, parse, put, same, value

csv.field_size_limit(1 << 30)


def without_nulls(node):
    match node:
        case {"object": members}:
            return {"object": {k: without_nulls(v) for k, v in members.items() if v is not None}}
        case {"array": items}:
            return {"array": [without_nulls(item) for item in items]}
    return node


def of_parquet(columns, row):
    whole = {"object": fields(columns, row)}
    whole["object"]["_id"] = row["_id"]
    whole["object"]["_creationTime"] = value("float64", row["_creationTime"])
    for pointer, rescued in parse(row.get("_rescued") or "{}")["object"].items():
        if rescued is not None:
            put(whole, pointer, rescued)
    return without_nulls(whole)


def as_text(node):
    """A value as CSV has it; None for one that is text of JSON."""
    match node:
        case None:
            return ""
        case bool():
            return str(node).lower()
        case str():
            return node
        case {"int": digits}:
            return digits
        case {"bytes": digits}:
            return base64.b64encode(bytes.fromhex(digits)).decode()
        case {"float": bits}:
            number = struct.unpack(">d", bytes.fromhex(bits))[0]
            return "NaN" if math.isnan(number) else number
    return None


def check_csv(table, rows, state):
    same(f"table {table}", {row["_id"]: 0 for row in rows}, dict.fromkeys(state, 0))
    for row in rows:
        document = dict(state[row["_id"]]["object"])
        extra = parse(row.pop("_rescued", "") or "{}")["object"]
        for name in row.keys() | extra.keys() | document.keys():
            wanted = document.get(name)
            if name in extra:
                agrees = extra[name] == wanted
            elif (text := as_text(wanted)) is None:
                agrees = parse(row[name]) == wanted
            elif isinstance(text, float):
                agrees = {"float": struct.pack(">d", float(row[name])).hex()} == wanted
            else:
                agrees = row.get(name, "") == text
            if not agrees:
                raise Difference(f"table {table}, {row['_id']}: {name} is {row.get(name)!r} instead of {wanted!r}")


def main(export, archive, expected):
    archive = Archive(archive)
    comparison = Comparison(archive, expected)
    with open(f"{export}/export.json", encoding="utf-8") as file:
        summary = json.load(file)
    at, form = int(summary["as_of_ts"]), summary["format"]
    columns = {name: entry["columns"] for name, entry in archive.tables()}
    exported = set()
    for entry in summary["tables"]:
        table = "/".join(filter(None, [entry["table"].get("component"), entry["table"]["name"]]))
        exported.add(table)
        paths = [f"{export}/{entry['folder']}/{name}" for name in entry["files"]]
        state = {key: r["document"] for key, r in comparison.state(table, at).items()}
        if len(state) != entry["documents"] or not paths:
            raise Difference(f"table {table}: {entry}, but {len(state)} documents")
        if form == "parquet":
            dataset = ds.dataset(paths, format="parquet")
            if odd := {"_ts", "_tombstone", "_base", "_nulls"} & set(dataset.schema.names):
                raise Difference(f"table {table} has columns {odd}")
            rows = dataset.to_table().to_pylist()
            found = {row["_id"]: of_parquet(columns[table], row) for row in rows}
            same(f"table {table}", found, {key: without_nulls(document) for key, document in state.items()})
        elif form == "ndjson":
            lines = [line for path in paths for line in open(path, encoding="utf-8", newline="\n")]
            documents = [parse(line) for line in lines]
            same(f"table {table}", {d["object"]["_id"]: d for d in documents}, state)
        else:
            rows = [row for path in paths for row in csv.DictReader(open(path, encoding="utf-8", newline=""))]
            check_csv(table, rows, state)
    missing = {table for table in comparison.revisions if comparison.state(table, at)} - exported
    if missing:
        raise Difference(f"tables are missing: {sorted(missing)}")
    print(json.dumps({"tables": len(exported), "format": form}))


try:
    main(*sys.argv[1:])
except Difference as difference:
    sys.exit(str(difference))
