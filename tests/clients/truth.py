"""What a deployment held, told by the file that `tools/expected.rs` writes, for scripts that compare a client's view with it."""

import json
import pathlib
import sys
from collections import defaultdict

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "readers"))

from archive import Difference, same  # noqa: E402, F401: for the scripts beside this one


class Truth:
    def __init__(self, expected):
        with open(expected, encoding="utf-8") as lines:
            self.revisions = [json.loads(line) for line in lines]
        self.tables = {revision["table"] for revision in self.revisions}
        # Without their components.
        self.names = {table.rpartition("/")[2] for table in self.tables}

    def between(self, table, after, to):
        """The revisions of a table later than `after`, as late as `to`, by `_id` and `_ts`."""
        of_table = [r for r in self.revisions if r["table"] == table and after < r["ts"] <= to]
        return {(r["id"], r["ts"]): r["document"] for r in of_table}

    def state(self, at):
        """The live documents of each table that has any at a moment: `_id` to revision."""
        newest = {(r["table"], r["id"]): r for r in self.revisions if r["ts"] <= at}
        tables = defaultdict(dict)
        for (table, key), revision in newest.items():
            if revision["document"] is not None:
                tables[table][key] = revision
        return tables
