"""The log of an archive, and what its commits add up to: everything that holds at a version, as the lines whose sum a commit states."""

import copy

from covered import Coverage, in_scope, name_of
from texts import Difference, Sum, compact, read_json, sha256, sum_of

FORMAT = 0
KNOWN_WORDS = set()
COUNTED = ("bytes", "rows", "tombstones", "rescued_rows")
REMOVED = ("table", "path", "phase", "base", "month", "encoding", *COUNTED, "min_ts", "max_ts", "joined")


def commit_path(version):
    return f"log/{version:020}.json"


def counts():
    return {"files": 0} | dict.fromkeys(COUNTED, 0)


def count(sums, file, sign):
    sums["files"] += sign
    for name in COUNTED:
        sums[name] += sign * file[name]


class Head:
    """What all commits up to a version say together. Unlike a head of the archive it has all live files."""

    def __init__(self, store):
        stored = store.read("archive.json")
        header = read_json(stored)
        if header["format"] > FORMAT:
            raise Difference(f"this reader does not know format {header['format']}")
        self.archive, self.digest, self.version = header["archive"], sha256(stored), 0
        self.needs = {"readers": [], "writers": []}
        self.deployment = header["deployment"]
        self.progress, self.origin, self.latest = {}, None, None
        self.coverage = Coverage()
        self.erased, self.runs, self.guarded = [], {}, None
        self.tables, self.live, self.paths = {}, {}, set()

    def apply(self, stored):
        """The next commit, which must follow on all before it."""
        commit = read_json(stored)
        path = commit_path(self.version + 1)

        def must(holds, what):
            if not holds:
                raise Difference(f"{path}: {what}")

        for kind, words in commit["needs"].items():
            self.needs[kind] = sorted({*self.needs[kind], *words})
        must(KNOWN_WORDS.issuperset(self.needs["readers"]), f"this reader does not know {self.needs['readers']}")
        must(stored.endswith(b"\n") and stored.count(b"\n") == 1, "it is not one line")
        must((commit["version"], commit["previous"]) == (self.version + 1, self.digest), "it does not follow on the one before")
        run, number = commit["run"]["id"], commit["run"]["counter"]
        must(number > self.runs.get(run, 0), "the counter of its run does not ascend")
        self.runs[run] = number
        before, after = self.progress, commit["progress"]
        cursor = int(after["delta"]["ts"])
        must(cursor >= int(before.get("delta", after["delta"])["ts"]), "its cursor went back")
        if commit.get("maintenance"):
            speaks = {"tables", "deployment", "proofs", "suspects", "compared", "guarded"}
            silent = after == before and not speaks & commit.keys()
            must(silent and commit["selection"] == self.coverage.selection(), "it is maintenance and speaks of the deployment")

        for entry in commit.get("tables", []):
            self.learn(entry, commit)
        groups = commit.get("replaced", [])
        inputs = {path for group in groups for path in group["inputs"]}
        outputs = {path for group in groups for path in group["outputs"]}
        must(inputs <= {file["path"] for file in commit.get("remove", [])}, "it replaces what it does not remove")
        must(outputs <= {file["path"] for file in commit.get("add", [])}, "it replaces by what it does not add")
        removed = [self.remove(file, commit["version"]) for file in commit.get("remove", [])]
        walk = before.get("walk", {}).get("base")
        completed = {base["id"] for base in commit.get("bases", [])}
        if walk in completed:
            # What the walk has left is of the base from now on.
            for table in self.tables.values():
                unfinished = table.pop("unfinished", counts())
                for name, n in unfinished.items():
                    table["base"][name] += n
        for base in commit.get("bases", []):
            self.coverage.bases.append(base_entry(base, commit))
        added = [self.add(file, commit["version"], file["path"] in outputs) for file in commit.get("add", [])]
        self.check_groups(groups, removed, added, must)
        for table in self.tables.values():
            table["months"] = {month: said for month, said in table["months"].items() if said[1].count}
        for base in commit.get("bases", []):
            held = {}
            for file in self.live.values():
                if file["base"] == base["id"]:
                    held[name_of(file["table"])] = held.get(name_of(file["table"]), 0) + file["rows"]
            said = {name_of(of["table"]): of["rows"] for of in base.get("tables", [])}
            must(held == said, f"base {base['id']} says {said} and has {held}")

        coverage = self.coverage
        coverage.gaps += commit.get("gaps", [])
        coverage.doubts += commit.get("doubts", [])
        self.take_notice(commit, cursor, must)
        coverage.withdrawals += commit.get("withdrawn", [])
        coverage.unmarked += [base for base in commit.get("unmarked", []) if base not in coverage.unmarked]
        self.erased = sorted({*self.erased, *commit.get("erased", [])})
        self.deployment = commit.get("deployment", self.deployment)
        if commit["selection"] != coverage.selection():
            since = before.get("delta", after["delta"])["ts"]
            coverage.selections.append({"after": since, "tables": commit["selection"], "version": commit["version"]})
        if commit["encoding"] == "json" and not commit.get("maintenance"):
            self.note_untyped(commit, before, after)
        if walk and walk != after.get("walk", {}).get("base") and walk not in completed:
            coverage.untyped = [untyped for untyped in coverage.untyped if untyped.get("base") != walk]
        for proof in commit.get("proofs", []):
            coverage.prove(proof["ts"], proof["by"])
        self.progress, coverage.through = after, cursor
        self.origin = self.origin or after["delta"]["ts"]
        self.latest = {name: commit[name] for name in ("run", "program", "at", "checked_at", "caught_up", "encoding", "selection")}
        self.version, self.digest = commit["version"], sha256(stored)
        found, said = self.sum(), Sum.said(commit["state"])
        must(found == said, f"it says {said}, and what holds after it is {found}")

    def take_notice(self, commit, cursor, must):
        """Which tables are suspect from now on, which are proven, and how far the archive is guarded."""
        for suspect in commit.get("suspects", []):
            must(name_of(suspect["table"]) in self.tables and int(suspect["after"]) <= cursor, "a suspect is unknown")
            table = self.tables[name_of(suspect["table"])]
            known = table.get("suspect")
            after = min(int(known["after"]), int(suspect["after"])) if known else int(suspect["after"])
            keeps = known and known["why"] not in ("unguarded", "new")
            table["suspect"] = {"after": str(after), "why": known["why"] if keeps else suspect["why"]}
        for compared in commit.get("compared", []):
            must(int(compared["ts"]) <= cursor, "it compares beyond the cursor")
            for name, table in self.tables.items():
                if not in_scope(compared["scope"], name):
                    continue
                proven, suspect = table.get("proven"), table.get("suspect")
                if proven is None or int(proven["ts"]) <= int(compared["ts"]):
                    table["proven"] = {"ts": compared["ts"], "depth": compared["depth"]}
                if suspect and int(suspect["after"]) <= int(compared["ts"]):
                    table["suspect"] = None if compared.get("settles") else suspect | {"after": compared["ts"]}
        if "guarded" in commit:
            must(int(commit["guarded"]) <= cursor, "it is guarded beyond the cursor")
            self.guarded = str(max(int(self.guarded or commit["guarded"]), int(commit["guarded"])))

    def learn(self, entry, commit):
        name = name_of(entry["table"])
        known = self.tables.get(name)
        if known is None:
            size = {"schema": 0, "last_field_id": 15, "fields": 0}
            known = {"table": entry["table"], "folder": entry["folder"], "number": None}
            known |= {"schema": size | {"version": 0, "digest": ""}, "base": counts(), "delta": counts()}
            known |= {"misfits": {}, "months": {}}
            self.tables[name] = known
        if known["folder"] != entry["folder"]:
            raise Difference(f"table {name} has another folder")
        known["number"] = entry.get("number", known["number"])
        if entry["columns"]["schema"] != known["schema"]["schema"]:
            known["schema"] = entry["columns"] | {"version": commit["version"], "digest": commit["schemas"]}

    def bucket(self, file):
        if file.get("base") is None:
            return "delta"
        return "base" if any(base["id"] == file["base"] for base in self.coverage.bases) else "unfinished"

    def add(self, file, version, replaces):
        if file["path"] in self.paths:
            raise Difference(f"{file['path']} is added a second time")
        self.paths.add(file["path"])
        table = self.tables[name_of(file["table"])]
        if not file["path"].startswith(table["folder"] + "/"):
            raise Difference(f"{file['path']} does not lie in the folder of its table")
        encryption = {"encryption": file["encryption"]} if "encryption" in file else {}
        told = {name: held for name, held in file.items() if name not in ("brought_by", "encryption")}
        line = compact(told | {"brought_by": file.get("brought_by", version)} | encryption).encode()
        known = {"base": None, "joined": None} | file | {"line": line, "sum": sum_of([line])}
        self.live[file["path"]] = known
        self.change(table, known, version, 1)
        if not replaces:
            for column, kinds in file.get("misfits", {}).items():
                sums = table["misfits"].setdefault(column, {})
                for kind, n in kinds.items():
                    sums[kind] = sums.get(kind, 0) + n
        return known

    def remove(self, file, version):
        known = self.live.pop(file["path"], None)
        if known is None:
            raise Difference(f"commit {version} removes {file['path']}, which is not live")
        told = {name: known[name] for name in REMOVED if known[name] is not None}
        if told != {name: held for name, held in file.items() if name != "line"} or Sum.said(file["line"]) != known["sum"]:
            raise Difference(f"commit {version} removes {file['path']} as another file than it is")
        self.change(self.tables[name_of(file["table"])], known, version, -1)
        return known

    def change(self, table, file, version, sign):
        count(table.setdefault(self.bucket(file), counts()), file, sign)
        _, before, fresh = table["months"].get(file["month"], (0, Sum(), 0))
        fresh += sign * (file["phase"] == "delta" and not file["joined"])
        table["months"][file["month"]] = (version, before + Sum(sign * file["sum"].count, sign * file["sum"].total), fresh)

    def check_groups(self, groups, removed, added, must):
        """Outputs hold as many rows as inputs, of the same kind."""
        files = {file["path"]: file for file in removed + added}
        kind = ("table", "phase", "base", "encoding", "month")
        for group in groups:
            before, after = ([files[path] for path in group[side]] for side in ("inputs", "outputs"))
            must(all(file[name] == before[0][name] for file in before + after for name in kind), "a replacement mixes files")
            for name in COUNTED[1:]:
                left = group.get("left", {}).get(name, 0)
                must(sum(f[name] for f in before) == sum(f[name] for f in after) + left, "a replacement changes rows")

    def note_untyped(self, commit, before, after):
        bases = [*filter(None, (before.get("walk"), after.get("walk")))]
        bases = [(walk["base"], walk["ts"]) for walk in bases] + [(base["id"], base["ts"]) for base in commit.get("bases", [])]
        for base, ts in bases:
            if any(file.get("base") == base for file in commit.get("add", [])):
                if not any(known.get("base") == base for known in self.coverage.untyped):
                    self.coverage.untyped.append({"base": base, "after": ts, "to": ts})
        if "delta" not in before or commit.get("gaps"):
            return
        since, to = before["delta"]["ts"], after["delta"]["ts"]
        if int(since) < int(to):
            of_deltas = [known for known in self.coverage.untyped if "base" not in known]
            if of_deltas and of_deltas[-1]["to"] == since:
                of_deltas[-1]["to"] = to
            else:
                self.coverage.untyped.append({"after": since, "to": to})

    # What it is written as.

    def entries(self):
        """The lines of all that holds but tables and files."""
        coverage, progress = self.coverage, {}
        if "delta" in self.progress:
            progress["ts"] = self.progress["delta"]["ts"]
        if walk := self.progress.get("walk"):
            progress["walk"] = {name: walk[name] for name in ("base", "ts", "month", "scope", "done")}
        found = [("needs", self.needs), ("deployment", self.deployment), ("progress", progress)]
        found += [("origin", self.origin)] if self.origin else []
        for name, held in (
            ("base", coverage.bases),
            ("withdrawal", coverage.withdrawals),
            ("unmarked", coverage.unmarked),
            ("gap", coverage.gaps),
            ("doubt", coverage.doubts),
            ("selection", coverage.selections),
            ("untyped", coverage.untyped),
            ("component_rows", [coverage.component_rows] if coverage.component_rows else []),
            ("guarded", [self.guarded] if self.guarded else []),
            ("erased", self.erased),
        ):
            found += [(name, one) for one in held]
        return [compact({name: held}).encode() for name, held in found]

    def table_lines(self):
        return [compact({"table": table_entry(self.tables[name])}).encode() for name in self.names()]

    def names(self):
        """Sorted by component and name."""
        return sorted(self.tables, key=lambda name: (name.rpartition("/")[0], name.rpartition("/")[2]))

    def sum(self):
        total = sum_of(self.entries() + self.table_lines())
        for file in self.live.values():
            total += file["sum"]
        return total

    def files(self, name):
        """The live files of a table, by path."""
        return sorted((file for file in self.live.values() if name_of(file["table"]) == name), key=lambda file: file["path"])

    def visible(self, name):
        """What readers of history see: deltas, and files of bases that are in force, or superseded and unmarked."""
        return [file for file in self.files(name) if self.coverage.shows(file["base"], name)]

    def copy(self):
        return copy.deepcopy(self)


def base_entry(base, commit):
    order = ("id", "ts", "scope", "made", "cuts", "tables")
    found = {name: base[name] for name in order if name in base}
    if commit["selection"] != "**":
        found["selected"] = commit["selection"]
    return found | {"version": commit["version"]}


def table_entry(table):
    found = {"table": table["table"], "folder": table["folder"]}
    if table["number"] is not None:
        found["number"] = table["number"]
    found |= {"schema": table["schema"], "base": table["base"], "delta": table["delta"]}
    if table.get("unfinished", counts()) != counts():
        found["unfinished"] = table["unfinished"]
    if table["misfits"]:
        found["misfits"] = {column: dict(sorted(kinds.items())) for column, kinds in sorted(table["misfits"].items())}
    found |= {name: table[name] for name in ("proven", "suspect") if table.get(name)}
    if table["months"]:
        found["months"] = {
            month: {"version": version, "count": lines.count, "sum": f"{lines.total:064x}"}
            | ({"fresh": fresh} if fresh else {})
            for month, (version, lines, fresh) in sorted(table["months"].items())
        }
    return found


def read_log(store, look=lambda head: None):
    """The newest head; `look` sees the head of each version on the way."""
    head = Head(store)
    while (stored := store.find(commit_path(head.version + 1))) is not None:
        head.apply(stored)
        look(head)
    beyond = [name for name in store.names("log") if name[:20] > f"{head.version:020}" and name.endswith(".json") and ".schemas." not in name]
    if beyond:
        raise Difference(f"{commit_path(head.version + 1)} is missing, and {beyond[0]} is there")
    return head
