"""Reads an archive by what FORMAT.md says, and nothing else: an independent reader for tests.

An engine (pyarrow, DuckDB, Spark) reads the files and gives rows as dicts; `document` puts the typed columns, `_nulls` and
`_rescued` of a row together again; `Comparison` holds the result against what the deployment holds, every value by its
bits. Values have the form that `tests/tools/expected.rs` describes.
"""

import base64
import gzip
import hashlib
import json
import os
import shutil
import struct
import sys
from collections import defaultdict


class Archive:
    """An archive at a path or an `s3://` URL, as its manifest.json and the parts that it names show it."""

    def __init__(self, place):
        self.place = place.rstrip("/")
        self.s3 = place.startswith("s3://")
        self.manifest = json.loads(self.read("manifest.json"))
        if words := self.manifest["needs"]["readers"]:
            raise Difference(f"this reader does not know {words}")
        self.through = int(self.manifest["cursor"]["ts"])
        self.entries = [
            (full_name(line["table"]["table"]), self.entry(line["table"], self.manifest["coverage"][place]))
            for line, place in zip(self.manifest["tables"], self.manifest["covered"], strict=True)
        ]

    def read(self, path):
        if not self.s3:
            with open(f"{self.place}/{path}", "rb") as file:
                return file.read()
        import boto3

        bucket, _, prefix = self.place.removeprefix("s3://").partition("/")
        client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT"])
        key = f"{prefix}/{path}" if prefix else path
        return client.get_object(Bucket=bucket, Key=key)["Body"].read()

    def entry(self, table, coverage):
        """What the manifest says of a table, with its files, its columns, and S of its bases, oldest first. Moments are numbers."""
        bases = {base["id"]: int(base["ts"]) for base in coverage["bases"]}
        return table | {
            "columns": self.columns(table),
            "files": [file for file in self.parts(table) if file.get("base") in {None, *bases}],
            "bases": sorted(bases.values()),
            "covered": [{end: int(span[end]) for end in ("from", "to")} for span in coverage["covered"]],
        }

    def parts(self, table):
        """The lines of the parts of a table, which count and sum prove."""
        for month, part in table.get("months", {}).items():
            path = f"parts/{table['folder']}/{month}/{part['version']:020}.jsonl.gz"
            lines = gzip.decompress(self.read(path)).splitlines()
            total = sum(int.from_bytes(hashlib.sha256(line).digest()) for line in lines) % 2**256
            if (len(lines), f"{total:064x}") != (part["count"], part["sum"]):
                raise Difference(f"{path} is not what the manifest says")
            yield from map(json.loads, lines)

    def columns(self, table):
        schema = table["schema"]
        if schema["version"] == 0:
            return []
        path = f"log/{schema['version']:020}.schemas.{schema['digest']}.json"
        text = self.read(path)
        if hashlib.sha256(text).hexdigest() != schema["digest"]:
            raise Difference(f"{path} does not have the digest in its name")
        (found,) = (s["schema"] for s in json.loads(text)["schemas"] if s["table"] == table["table"])
        if (found["id"], found["last_field_id"]) != (schema["schema"], schema["last_field_id"]):
            raise Difference(f"{path} is not what the manifest says")
        return found["fields"]

    def tables(self):
        """Name as the deployment has it, and the entry of each table."""
        return iter(self.entries)

    def files(self, entry):
        return [f"{self.place}/{file['path']}" for file in entry["files"]]


def of_a_later_program(archive, folder):
    """A manifest in that folder for which a reader must know words that nobody knows, and what a refusal of it names."""
    manifest = archive.manifest | {"program": "convex-archiver/77.7.7", "needs": {"readers": ["trees", "tides"], "writers": []}}
    with open(f"{folder}/manifest.json", "w", encoding="utf-8") as file:
        json.dump(manifest, file)
    return ["convex-archiver/77.7.7", "`trees`, `tides`", "make the script with that program or a newer one"]


def with_rows_again(archive, folder, encoding):
    """A copy of the archive in which the newest delta file of `orders` is there once more, with other rescued values: as if it
    had come in `encoding`, and under a later path."""
    import pyarrow.parquet

    shutil.copytree(archive.place, folder)
    (entry,) = (entry for name, entry in archive.tables() if name == "orders")
    file = max((file for file in entry["files"] if "base" not in file), key=lambda file: file["path"])
    again = file | {"path": file["path"].replace(".parquet", "~.parquet"), "encoding": encoding}
    rows = pyarrow.parquet.ParquetFile(f"{folder}/{file['path']}").read()
    at = rows.schema.get_field_index("_rescued")
    rows = rows.set_column(at, rows.schema.field(at), pyarrow.array([AGAIN] * len(rows)))
    pyarrow.parquet.write_table(rows, f"{folder}/{again['path']}")
    part = f"{folder}/parts/{entry['folder']}/{file['month']}/{entry['months'][file['month']]['version']:020}.jsonl.gz"
    with gzip.open(part, "rt", encoding="utf-8") as lines:
        listed = lines.read()
    with gzip.open(part, "wt", encoding="utf-8") as lines:
        lines.write(listed + json.dumps(again) + "\n")
    return len(rows)


AGAIN = '{"/again":true}'


def full_name(table):
    return "/".join(filter(None, [table.get("component"), table["name"]]))


# One row, put together again.


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


# Against the deployment.


class Difference(Exception):
    """What the archive holds is not what the deployment held."""


class Comparison:
    """What the deployment held, table by table, as far as the archive reaches."""

    def __init__(self, archive, expected):
        self.archive = archive
        self.revisions = defaultdict(list)
        with open(expected, encoding="utf-8") as lines:
            for line in lines:
                revision = json.loads(line)
                if revision["ts"] <= archive.through:
                    self.revisions[revision["table"]].append(revision)
        self.counts = {"tables": 0, "base": 0, "delta": 0, "tombstones": 0}

    def state(self, table, at):
        """The live documents of a table at a moment, by `_id`."""
        newest = {r["id"]: r for r in self.revisions[table] if r["ts"] <= at}
        return {key: r for key, r in newest.items() if r["document"] is not None}

    def check(self, table, entry, rows):
        """All rows of a table are the base and every later revision, once."""
        bases, delta = {s: {} for s in entry["bases"]}, {}
        for row in rows:
            phase = str(row["convex_phase"])
            key = (row["_id"], row["_ts"])
            if (row["_base"] is None) != (phase == "delta") or row["_base"] not in {None, *bases}:
                raise Difference(f"table {table}: {key} has _base {row['_base']} in {phase}")
            part = delta if row["_base"] is None else bases[row["_base"]]
            if key in part:
                raise Difference(f"table {table}: {key} is there twice in {phase}")
            try:
                part[key] = document(entry["columns"], row)
            except (Difference, KeyError, ValueError, IndexError, TypeError) as error:
                raise Difference(f"table {table}: {key} cannot be read: {error!r}; the row is {row}") from error
        for s, base in bases.items():
            state = self.state(table, s).values()
            same(f"table {table}, base at {s}", base, {(r["id"], r["ts"]): r["document"] for r in state})
        later = {(r["id"], r["ts"]): r["document"] for r in self.revisions[table] if r["ts"] > min(bases)}
        same(f"table {table}, deltas", delta, later)
        base = [row for base in bases.values() for row in base]
        for phase, part in (("snapshot", base), ("delta", delta)):
            said = sum(file["rows"] for file in entry["files"] if file["phase"] == phase)
            if said != len(part):
                raise Difference(f"table {table}: the manifest says {said} rows of {phase}, there are {len(part)}")
        self.counts["tables"] += 1
        self.counts["base"] += len(base)
        self.counts["delta"] += len(delta)
        self.counts["tombstones"] += sum(found is None for found in delta.values())

    def done(self):
        """Nothing that the deployment holds was left out."""
        missing = {table for table, revisions in self.revisions.items() if revisions}
        missing -= {name for name, _ in self.archive.tables()}
        if missing:
            raise Difference(f"tables are missing: {sorted(missing)}")
        print(json.dumps(self.counts))


def same(what, found, expected):
    if missing := expected.keys() - found.keys():
        raise Difference(f"{what}: {len(missing)} of {len(expected)} are missing, such as {min(missing)}")
    if more := found.keys() - expected.keys():
        raise Difference(f"{what}: {len(more)} too many, such as {min(more)}")
    for key, wanted in expected.items():
        if found[key] != wanted:
            raise Difference(f"{what}: {key} differs\n  archive:    {found[key]}\n  deployment: {wanted}")


def main(read):
    """Calls `read(archive, comparison)` with the two arguments of the command line; exit code 1 and a sentence if the
    archive and the deployment differ."""
    archive = Archive(sys.argv[1])
    comparison = Comparison(archive, sys.argv[2])
    try:
        read(archive, comparison)
        comparison.done()
    except Difference as difference:
        sys.exit(str(difference))
