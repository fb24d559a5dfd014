"""Which moments of which table are covered, and from which base: section "Coverage" of FORMAT.md."""

import re


def name_of(table):
    return "/".join(filter(None, [table.get("component"), table["name"]]))


def in_scope(scope, name):
    if scope == "all":
        return True
    ((kind, tables),) = scope.items()
    return (name in map(name_of, tables)) == (kind == "tables")


def segment(pattern):
    return re.escape(pattern).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")


def fits(pattern, name):
    """Whether a pattern fits the path of a table. `**` is any number of components, and at its end of a table in them too."""
    *components, table = pattern.split("/")
    if table == "**":
        components, table = [*components, "**"], "*"
    way = "".join("(?:[^/]+/)*" if one == "**" else segment(one) + "/" for one in components)
    return re.fullmatch(way + segment(table), name) is not None


def selects(selection, name):
    patterns = selection.split()
    including = [pattern for pattern in patterns if not pattern.startswith("!")]
    excluding = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    return any(fits(pattern, name) for pattern in including) and not any(fits(pattern, name) for pattern in excluding)


class Coverage:
    def __init__(self):
        self.through = None
        self.bases, self.withdrawals, self.unmarked = [], [], []
        self.gaps, self.doubts, self.selections, self.untyped = [], [], [], []
        self.component_rows = None

    def selection(self):
        return self.selections[-1]["tables"] if self.selections else "**"

    def prove(self, ts, by):
        known = self.component_rows
        if by == "gone":
            self.component_rows = None if known and known.get("asked") else known
            return
        known = known or {"since": ts, "seen": ts}
        seen = max(int(known["seen"]), int(ts)) if by == "row" else int(known["seen"])
        asked = {"asked": True} if by != "row" or known.get("asked") else {}
        self.component_rows = {"since": known["since"], "seen": str(seen)} | asked

    def holds(self, base, name):
        selected = base.get("made") == "archive" or selects(base.get("selected", "**"), name)
        return in_scope(base["scope"], name) and selected

    def withdrawn(self, base, name):
        """Why the base no longer serves the table, as often as that was said."""
        return [w["why"] for w in self.withdrawals if w["base"] == base["id"] and in_scope(w["scope"], name)]

    def serves(self, base, name):
        return self.holds(base, name) and not self.withdrawn(base, name)

    def shows(self, base_id, name):
        """Whether readers of history see the files of a base (None: of deltas)."""
        if base_id is None:
            return True
        base = next((base for base in self.bases if base["id"] == base_id), None)
        unmarked = base_id in self.unmarked
        return base is not None and self.holds(base, name) and all(
            unmarked and why == "superseded" for why in self.withdrawn(base, name)
        )

    def missing(self, name):
        """The spans (from, to] of a table that are missing; None is before or after everything."""
        spans = [(int(gap["from"]), int(gap["to"])) for gap in self.gaps if in_scope(gap["scope"], name)]
        for n, selected in enumerate(self.selections):
            if not selects(selected["tables"], name):
                later = self.selections[n + 1 :]
                spans.append((int(selected["after"]), int(later[0]["after"]) if later else float("inf")))
        if "/" in name:
            spans.append((float("-inf"), int(self.component_rows["since"]) if self.component_rows else float("inf")))
        return [(start, end) for start, end in spans if start < end]

    def covers(self, name, at):
        """The base from which the state at a moment is made; None where it is not covered."""
        if self.through is None or at > self.through:
            return None
        rank = lambda base: (int(base["ts"]), base["version"])  # noqa: E731
        bases = [base for base in self.bases if self.serves(base, name) and int(base["ts"]) <= at]
        if not bases:
            return None
        newest = max(bases, key=rank)
        s = int(newest["ts"])
        cut = any(
            int(base["ts"]) <= at and rank(base) > rank(newest)
            for base in self.bases
            if name in map(name_of, base.get("cuts", []))
        )
        gap = any(max(start, s) < min(end, at) for start, end in self.missing(name))
        return None if cut or gap else newest

    def spans(self, name):
        """All moments that are covered, as closed spans: tried at each moment at which that may change."""
        edges = {int(base["ts"]) for base in self.bases} | {self.through} | {int(base["ts"]) - 1 for base in self.bases}
        for start, end in self.missing(name):
            edges |= {edge for edge in (start, start + 1, end, end + 1) if abs(edge) != float("inf")}
        found = []
        for edge in sorted(edge for edge in edges if edge is not None):
            if self.covers(name, edge) is None:
                continue
            # Nothing changes between two edges.
            if found and (found[-1][1] == edge - 1 or self.covers(name, found[-1][1] + 1) is not None):
                found[-1][1] = edge
            else:
                found.append([edge, edge])
        return found

    def in_force(self, name):
        """The bases that readers need, by S: of several with one S the one of the latest commit."""
        bases = sorted((base for base in self.bases if self.serves(base, name)), key=lambda b: (int(b["ts"]), b["version"]))
        return list({int(base["ts"]): base for base in bases}.values())
