"""permanent_views.py ARCHIVE EXPECTED SCRIPT AS_OF_SCRIPT AS_OF SOURCES: DuckDB runs the SQL that `views --engine duckdb --permanent` wrote, once, in
the file of a database. Any session that opens the file then finds in the views what the deployment had. AS_OF_SCRIPT is the one of
`--as-of AS_OF`. SOURCES is what `schema --format dbt` wrote: it names the views and their columns with their types.
"""

import concurrent.futures
import pathlib
import sys
import tempfile

import duckdb
import yaml

from archive import Archive, Comparison, Difference
from duckdb_views import check_history, check_state, check_versions, covered, moments, quoted, refuses, views


def check(connection, comparison, entries, at):
    """All views; answers how many of them refuse."""
    names, refused = views(entries), 0
    for name, entry in entries:
        schema, plain, history, _, versions = names[name]
        view = quoted(schema, plain)
        if covered(entry, at):
            check_state(connection, comparison, name, entry, f"FROM {view}", at)
        else:
            for query in (f"FROM {view}", f"SELECT count(*) FROM {view} WHERE _id = 'x'", f"CREATE TEMP VIEW refused AS FROM {view}"):
                refuses(connection, query, f"table {name} is not covered at")
            refused += 1
        check_history(connection, comparison, name, entry, quoted(schema, history), at)
        check_versions(connection, comparison, name, entry, quoted(schema, versions), at, moments(comparison, entries))
    return refused


def check_sources(connection, entries, sources):
    """Each view and column stands in the sources for dbt, with its type, and nothing else."""
    told, there = {}, {}
    for source in sources["sources"]:
        for table in source["tables"]:
            told[(source["schema"], table["name"])] = [
                (column["name"], connection.execute(f"SELECT typeof(NULL::{column['data_type']})").fetchone()[0]) for column in table["columns"]
            ]
    for schema, plain, history, _, versions in views(entries).values():
        for view in (plain, history, versions):
            columns = "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = ? AND table_name = ? ORDER BY column_index"
            there[(schema, view)] = connection.execute(columns, [schema, view]).fetchall()
    names = [source["name"] for source in sources["sources"]]
    if told != there or len(set(names)) != len(names) or names[0] != "convex":
        raise Difference(f"sources {names} tell {told}, and there are {there}")


def main(place, expected, script, as_of_script, as_of, sources):
    archive = Archive(place)
    comparison, entries = Comparison(archive, expected), list(archive.tables())
    script, as_of_script, sources = (open(path, encoding="utf-8").read() for path in (script, as_of_script, sources))
    sources = yaml.safe_load(sources)
    with tempfile.TemporaryDirectory() as folder:
        file = str(pathlib.Path(folder) / "kept.duckdb")
        with duckdb.connect(file) as connection:
            connection.execute(script)
            # Again, as each run of dbt does.
            connection.execute(script)
            check(connection, comparison, entries, archive.through)
            check_sources(connection, entries, sources)
        with duckdb.connect(file, read_only=True) as connection:
            connection.execute("SHOW ALL TABLES").fetchall()
            # Many at once.
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda _: check(connection.cursor(), comparison, entries, archive.through), range(4)))
        # Attached to another database.
        with duckdb.connect() as connection:
            connection.execute(f"ATTACH '{file}' AS kept (READ_ONLY)")
            for name, entry in entries:
                schema, plain, *_ = views(entries)[name]
                if covered(entry, archive.through):
                    check_state(connection, comparison, name, entry, f"FROM {quoted('kept', schema, plain)}", archive.through)
        with duckdb.connect(file) as connection:
            connection.execute(as_of_script)
            if not check(connection, comparison, entries, int(as_of)):
                raise Difference("no table is refused")
            check_sources(connection, entries, sources)
    print(f"DuckDB {duckdb.__version__}: {len(entries)} tables")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Difference as difference:
        sys.exit(str(difference))
