"""What its manifest shows of an archive, for engines that read the files, and a comparison with what the deployment holds.

An engine (pyarrow, DuckDB, Spark) reads the files and gives rows as dicts; `document` puts the typed columns, `_nulls` and
`_rescued` of a row together again; `Comparison` holds the result against what the deployment holds, every value by its
bits. The whole of the format, from the log on, is read by `log_reads.py`.
"""

import gzip
import json
import shutil
import sys
from collections import defaultdict

from covered import name_of
from parts import columns_of, part_lines
from rows import document, fields, parse, put, value  # noqa: F401: for the scripts of the engines
from store import Store
from texts import Difference


class Archive:
    """An archive at a path or an `s3://` URL, as its manifest.json and the parts that it names show it."""

    def __init__(self, place):
        self.place = place.rstrip("/")
        self.store = Store(self.place)
        self.s3 = self.store.s3
        self.manifest = json.loads(self.store.read("manifest.json"))
        if words := self.manifest["needs"]["readers"]:
            raise Difference(f"this reader does not know {words}")
        self.through = int(self.manifest["cursor"]["ts"])
        self.entries = [
            (name_of(line["table"]["table"]), self.entry(line["table"], self.manifest["coverage"][place]))
            for line, place in zip(self.manifest["tables"], self.manifest["covered"], strict=True)
        ]

    def entry(self, table, coverage):
        """What the manifest says of a table, with its files, its columns, and S of its bases, oldest first. Moments are numbers."""
        bases = {base["id"]: int(base["ts"]) for base in coverage["bases"]}
        months = table.get("months", {}).items()
        lines = (line for month, said in months for line in part_lines(self.store, table["folder"], month, said))
        return table | {
            "columns": columns_of(self.store, table),
            "files": [file for file in map(json.loads, lines) if file.get("base") in {None, *bases}],
            "bases": sorted(bases.values()),
            "covered": [{end: int(span[end]) for end in ("from", "to")} for span in coverage["covered"]],
        }

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
    return ["convex-archiver/77.7.7", "`trees`, `tides`", "create the script with that program or a newer one"]


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


# Against the deployment.


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
