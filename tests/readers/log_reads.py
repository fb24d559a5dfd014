"""log_reads.py ARCHIVE [ANSWERS]: reads an archive from the log on by what FORMAT.md says, with nothing but pyarrow and Python,
and proves everything in it that can be proven. ANSWERS is the folder with what our own reader answered (`tests/tools/answers.rs`):
the same is to come out. The archive is a path or an `s3://` URL.
"""

import gzip
import json
import pathlib
import sys
from collections import Counter

from covered import name_of
from files import read_file, revision_text
from log import read_log
from parts import columns_of, part_lines
from store import Store
from texts import Difference, Sum, read_json, sum_of


class Whole:
    """An archive with all its rows."""

    def __init__(self, store):
        self.store, self.heads = store, {}
        wanted = {int(name[:20]) for name in store.names("log") if name.endswith(".checkpoint.json.gz")}
        self.manifest = store.find("manifest.json")
        if self.manifest is not None:
            wanted.add(read_json(self.manifest)["version"])
        # Parts are asked for where they are named: of the versions that are written down.
        self.head = read_log(store, lambda head: self.heads.update({head.version: head.copy()} if head.version in wanted else {}))
        self.written = 0
        for version in sorted(wanted):
            if version % 64 == 0:
                self.check_written(version, gzip.decompress(store.read(f"log/{version:020}.checkpoint.json.gz")))
        if self.manifest is not None:
            self.check_written(read_json(self.manifest)["version"], self.manifest)
        self.revisions, self.digests = {}, 0
        for name in self.head.names():
            self.read_table(name)

    def check_written(self, version, text):
        """A head that is written down is the one that the log adds up to, and so are its parts."""
        head = self.heads.get(version)
        what = f"the head that is written for version {version}"
        if head is None:
            raise Difference(f"there is no commit {version}, and {what}")
        first, *lines = text.decode().splitlines()
        lines = [line.removesuffix(",").encode() for line in lines if line.startswith("{")]
        wanted = head.entries() + head.table_lines()
        if Counter(lines) != Counter(wanted):
            raise Difference(f"{what} has {set(lines) - set(wanted)} and not {set(wanted) - set(lines)}")
        if not first.startswith(f'{{"format":0,"version":{version},'):
            raise Difference(f"{what} does not begin with the format and the version")
        top = read_json(text)
        found = sum_of(lines)
        for table in top["tables"]:
            for month, said in table["table"].get("months", {}).items():
                found += Sum.said(said)
        if found != Sum.said(top["state"]) or found != head.sum():
            raise Difference(f"{what} says {top['state']}, its lines sum up to {found}")
        walk = head.progress.get("walk")
        known = {
            "digest": head.digest,
            "needs": head.needs,
            "archive": head.archive,
            "phase": "snapshot" if walk else "delta",
            "cursor": head.progress["delta"],
            "walk": walk and walk["position"],
            "latest": head.latest,
        }
        sums = [counted for table in head.tables.values() for counted in (table["base"], table["delta"])]
        known |= {name: sum(counted[name] for counted in sums) for name in ("rows", "tombstones", "files", "bytes")}
        told = {name: top.get(name) for name in known}
        if told != known:
            raise Difference(f"{what} says {told}, and it is {known}")
        names = [name_of(table["table"]["table"]) for table in top["tables"]]
        if names != head.names():
            raise Difference(f"{what} does not have its tables in order")
        for name, place in zip(names, top["covered"], strict=True):
            said = top["coverage"][place]
            spans = [[int(span["from"]), int(span["to"])] for span in said["covered"]]
            bases = [{"id": base["id"], "ts": base["ts"]} for base in head.coverage.in_force(name)]
            if spans != head.coverage.spans(name) or said["bases"] != bases:
                raise Difference(f"{what} says {said} of {name}: covered is {head.coverage.spans(name)}, by {bases}")
            self.check_parts(head, name)
        self.written += 1

    def check_parts(self, head, name):
        table = head.tables[name]
        for month, (version, lines, fresh) in table["months"].items():
            said = {"version": version, "count": lines.count, "sum": f"{lines.total:064x}"}
            found = part_lines(self.store, table["folder"], month, said)
            wanted = [file["line"] for file in head.files(name) if file["month"] == month]
            if found != wanted:
                raise Difference(f"the part of {name} and {month} at {version} has other files than live")

    def read_table(self, name):
        table = self.head.tables[name]
        columns = columns_of(self.store, table)
        bases = {base["id"]: int(base["ts"]) for base in self.head.coverage.bases}
        if walk := self.head.progress.get("walk"):
            bases[walk["base"]] = int(walk["ts"])
        self.revisions[name] = []
        for file in self.head.files(name):
            found, digested = read_file(self.store, file, columns, bases.get(file["base"]))
            self.digests += digested
            self.revisions[name].append((file, found))

    def rows(self, name, holds):
        """By `_id` and `_ts` the documents in files of which `holds` says yes. Of two rows the one that came with types counts."""
        found = {}
        for file, revisions in sorted(self.revisions[name], key=lambda read: read[0]["encoding"] != "json"):
            if not holds(file):
                continue
            for key, ts, document in revisions:
                known = found.get((key, ts), (document, "json"))
                if known[0] != document and known[1] != "json":
                    raise Difference(f"table {name}: {key} at {ts} is told in two ways")
                found[key, ts] = (document, file["encoding"])
        return {at: document for at, (document, _) in found.items()}

    def state(self, name, at):
        """By `_id` the `_ts` and the document of each, or None where the moment is not covered."""
        base = self.head.coverage.covers(name, at)
        if base is None:
            return None
        newest = {key: (ts, document) for (key, ts), document in self.rows(name, lambda f: f["base"] == base["id"]).items()}
        deltas = self.rows(name, lambda file: file["base"] is None)
        for (key, ts), document in sorted(deltas.items(), key=lambda row: row[0][1]):
            if int(base["ts"]) < ts <= at:
                newest[key] = (ts, document)
        return {key: (ts, document) for key, (ts, document) in newest.items() if document is not None}

    def history(self, name):
        """Every revision of a table, by `_id`, oldest first."""
        visible = {file["path"] for file in self.head.visible(name)}
        found = {}
        for (key, ts), document in sorted(self.rows(name, lambda file: file["path"] in visible).items()):
            found.setdefault(key, []).append({"ts": ts, "document": document})
        return found

    def unrepeated(self, name):
        """The same rows, without files that only repeat others."""
        visible = {file["path"]: file for file in self.head.visible(name)}
        unmarked = self.head.coverage.unmarked
        return self.rows(name, lambda file: file["path"] in visible and (not file.get("repeats") or file["base"] in unmarked))


def same(what, found, said):
    if found != said:
        raise Difference(f"{what}\n  this reader: {found}\n  ours:        {said}")


def lines_of(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def compare(whole, answers):
    head, counted = whole.head, Counter()
    (said,) = lines_of(answers / "head.ndjson")
    sums = head.sum()
    found = {"version": head.version, "digest": head.digest, "count": sums.count, "sum": f"{sums.total:064x}"}
    same("the newest head", found | {"through": head.coverage.through}, said)
    tables = lines_of(answers / "tables.ndjson")
    histories = {name: whole.history(name) for name in head.names()}
    found = [
        {"table": name, "covered": head.coverage.spans(name), "documents": len(histories[name])} for name in head.names()
    ]
    same("its tables", found, tables)
    for said in lines_of(answers / "states.ndjson"):
        name, at = said["table"], said["at"]
        state = whole.state(name, at)
        what = f"table {name} at {at}"
        if state is None or said["documents"] is None:
            same(what, state, said["documents"])
            counted["moments that are not covered"] += 1
            continue
        same(what, {key: ts for key, (ts, _) in state.items()}, said["documents"])
        sums = sum_of(revision_text(name, key, ts, document) for key, (ts, document) in state.items())
        same(f"{what}, the sum of its texts", f"{sums.total:064x}", said["sum"])
        counted["states"] += 1
    for said in lines_of(answers / "history.ndjson"):
        what = f"table {said['table']}: the history of {said['id']}"
        same(what, histories[said["table"]].get(said["id"], []), said["revisions"])
        counted["histories"] += 1
    return counted


def main(place, answers=None):
    whole = Whole(Store(place))
    for name in whole.head.names():
        every = whole.rows(name, lambda file: file["path"] in {seen["path"] for seen in whole.head.visible(name)})
        if lost := every.keys() - whole.unrepeated(name).keys():
            raise Difference(f"table {name}: only files that are marked as repetitions have {min(lost)}")
    counted = Counter() if answers is None else compare(whole, pathlib.Path(answers))
    counted |= Counter({"version": whole.head.version, "written heads": whole.written, "content digests": whole.digests})
    counted["revisions"] = sum(len(found) for files in whole.revisions.values() for _, found in files)
    print(json.dumps(counted))


try:
    main(*sys.argv[1:])
except Difference as difference:
    sys.exit(str(difference))
