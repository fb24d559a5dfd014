"""generated_reads.py ARCHIVE EXPECTED SCRIPT: through the views of DuckDB a history by chance is what the deployment had: documents and versions at many
moments, revisions, and as many values of each field as there are. What fits a column stands in it, and nothing in `_rescued` that has one."""

import json
import sys

import duckdb

from archive import Archive, Comparison, Difference, document, same
from duckdb_views import check_state, check_versions, covered, quoted, rows, token, views


def check_history(name, entry, comparison, found):
    """Every revision of the moments that are covered is there, once, and none that never was."""
    if len({key for key, _ in found}) != len(found):
        raise Difference(f"{name}: a revision is there twice")
    true = {(r["id"], r["ts"]): r["document"] for r in comparison.revisions[name]}
    wanted = {key: held for key, held in true.items() if key in dict(found) or covered(entry, key[1]) and covered(entry, key[1] - 1)}
    same(f"{name}, history", dict(found), wanted)
    if not covered(entry, max(entry["bases"]) - 1) and len(wanted) == len(true):
        raise Difference(f"{name}: nothing was lost")


def some_moments(name, entry, comparison):
    """Some revisions, and the ends of all spans, with their neighbours."""
    stamps = sorted({r["ts"] for r in comparison.revisions[name]})
    some = {*stamps[:: max(1, len(stamps) // 5)], *(span[end] for span in entry["covered"] for end in ("from", "to")), *entry["bases"]}
    return sorted({moment + n for moment in some for n in (-1, 0, 1)})


def check_without_column(name, entry, cells):
    """What has no column at all is in `_rescued`, and nothing else."""
    known = {"/" + token(column["name"]) for column in entry["columns"]}
    for cell in cells:
        if wrong := {path for path in json.loads(cell or "{}") if "/" + path.split("/")[1] in known}:
            raise Difference(f"{name}: {wrong} have columns")


def paths(columns, above=()):
    """The columns, and the fields of structs, by their names in the files."""
    for column in columns:
        yield (*above, column["column"]), column["type"]
        if "struct" in column["type"]:
            yield from paths(column["type"]["struct"], (*above, column["column"]))


def holds(row, way):
    for step in way:
        row = None if row is None else row.get(step)
    return row is not None


def read(place, expected, script):
    archive = Archive(place)
    comparison = Comparison(archive, expected)
    entries = list(archive.tables())
    connection = duckdb.connect()
    connection.execute(open(script, encoding="utf-8").read())
    counted = 0
    for name, entry in entries:
        schema, plain, history, as_of, versions = views(entries)[name]
        check_state(connection, comparison, name, entry, f"FROM {quoted(schema, plain)}", archive.through)
        found = [((row["_id"], row["_ts"]), document(entry["columns"], row)) for row in rows(connection, f"FROM {quoted(schema, history)}", entry)]
        check_history(name, entry, comparison, found)
        at = some_moments(name, entry, comparison)
        check_versions(connection, comparison, name, entry, quoted(schema, versions), archive.through, at)
        for moment in [moment for moment in at if covered(entry, moment)][::5]:
            check_state(connection, comparison, name, entry, f"FROM {quoted(schema, as_of)}({moment})", moment)
        check_without_column(name, entry, (row[0] for row in connection.execute(f"SELECT _rescued FROM {quoted(schema, history)}").fetchall()))
        # Of single fields as many as there are in whole rows: engines read them on ways of their own.
        shown = [row[0] for row in connection.execute(f"DESCRIBE {quoted(schema, plain)}").fetchall()]
        result = connection.execute(f"FROM {quoted(schema, plain)}").fetchall()
        whole = [dict(zip(shown, row)) for row in result]
        for column in [column for column in entry["columns"] if column["column"] in shown]:
            # JSON text beside a column inside of a struct is told beside the top-level one.
            ways = [way for way, _ in paths([column]) if len(way) == 1 or not way[-1].endswith("__json")]
            # The struct itself apart: with it its fields are not read alone.
            for some in (ways[:1], ways[1:]):
                counts = ", ".join(f"count({quoted(*way)})" for way in some)
                found = connection.execute(f"SELECT {counts} FROM {quoted(schema, plain)}").fetchone() if some else ()
                for way, n in zip(some, found):
                    if n != sum(holds(row, way) for row in whole):
                        raise Difference(f"{name}: {n} values of {way}, and {sum(holds(row, way) for row in whole)} are there")
                    counted += n
    print(f"DuckDB {duckdb.__version__}: {counted} values of {len(entries)} tables")


if __name__ == "__main__":
    try:
        read(*sys.argv[1:])
    except Difference as difference:
        sys.exit(str(difference))
