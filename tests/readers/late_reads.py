"""late_reads.py ARCHIVE EXPECTED SCRIPT EXPORTED: DuckDB counts, through the views and over the Parquet files of `export`, as many values of
each field as the documents have; each column that came late holds all values that it can hold; names that mean something to an engine
break nothing."""

import collections
import json
import sys

import duckdb

from archive import Archive, Comparison, Difference
from duckdb_views import check_history, check_state, quoted, views

# Fields of `users` that came late, and how many of their values the views show beside the column, whole: what would lose an item, or bits of
# a NaN there. Objects are taken apart. Files of an export take lists apart too, as the archive's own do: only another type is left over.
LATE = {"bannedAt": 1, "flag": 0, "visits": 0, "note": 1, "blob": 0, "tags": 1, "matrix": 0, "profile": 0, "lines": 0, "mixed": 0}


def same(what, got, wanted):
    if got != wanted:
        raise Difference(f"{what}: {got}, and {wanted} are there")


def one(connection, query):
    ((answer,),) = connection.execute(query).fetchall()
    return answer


def pairs(values):
    return sum(sum(value is not None for value in (json.loads(v) if isinstance(v, str) else v or {}).values()) for v in values if v)


def read(place, expected, script, exported):
    archive = Archive(place)
    comparison = Comparison(archive, expected)
    entries = list(archive.tables())
    connection = duckdb.connect()
    connection.execute(open(script, encoding="utf-8").read())
    counted = 0
    for name, entry in entries:
        schema, plain, history, *_ = views(entries)[name]
        # Each value stands once, by its bits: in a column, beside it, or in `_rescued`.
        check_state(connection, comparison, name, entry, f"FROM {quoted(schema, plain)}", archive.through)
        check_history(connection, comparison, name, entry, quoted(schema, history), archive.through)
        held = collections.Counter(
            key
            for revision in comparison.state(name, archive.through).values()
            for key, value in revision["document"]["object"].items()
            if value is not None
        )
        shown = [row[0] for row in connection.execute(f"DESCRIBE {quoted(schema, plain)}").fetchall()]
        for field in {column["name"] for column in entry["columns"]}:
            family = [c for c in shown if c == field or c.startswith(f"{field}__")]
            some = " OR ".join(f"{quoted(column)} IS NOT NULL" for column in family)
            got = one(connection, f"SELECT count(*) FILTER ({some}) FROM {quoted(schema, plain)}")
            same(f"{name}, {field}", got, held[field])
            counted += got
            one(connection, f"SELECT count({quoted(field)}) FROM {quoted(schema, history)} WHERE {quoted(field)} IS NOT NULL")
    users = comparison.state("users", archive.through)
    for field, others in LATE.items():
        there = sum(field in revision["document"]["object"] for revision in users.values())
        same(f"users, {field}", one(connection, f"SELECT count({field}) FROM users"), there - others)
        files = f"read_parquet('{exported}/tables/users/*.parquet')"
        same(f"export, {field}", one(connection, f"SELECT count({field}) FROM {files}"), there - (field == "note"))
    # Fields of objects too, also where a null or a key without a column stood beside them.
    inside = [[r["document"]["object"].get("profile", {}).get("object", {}).get(key) is not None for r in users.values()] for key in ("city", "since", "score")]
    same("profile, inside", connection.execute("SELECT count(profile.city), count(profile.since), count(profile.score) FROM users").fetchall(), [tuple(map(sum, inside))])
    same("profile, beside", connection.execute("SELECT profile__rescued FROM users WHERE profile__rescued IS NOT NULL").fetchall(), [('{"zip~/":"12345"}',)])
    # Of two list columns an empty list stands in the first alone, and items that did not fit that one beside it.
    same("pair", connection.execute("SELECT count(pair), count(pair__array_float64), count(pair__rescued) FROM users").fetchall(), [(150, 1, 120)])
    # Keys are data: those that came when there were few are fields, all later ones stand in JSON text.
    rows = connection.execute("SELECT votes, votes__json, stats.votes, stats__rescued->'votes' FROM polls").fetchall()
    same("votes", [pairs(cells) for cells in zip(*rows)], [24, 876, 24, 876])
    # Times compare with now(), and are UTC wherever the session is.
    if one(connection, "SELECT count(*) FROM users WHERE _ts_utc > now() - INTERVAL 30 DAY AND _creationTime_utc > now() - INTERVAL 30 DAY") != len(users):
        raise Difference("documents of today are older than 30 days")
    same("the type of times", connection.execute("SELECT DISTINCT typeof(_ts_utc), typeof(_creationTime_utc), current_setting('TimeZone') FROM users").fetchall(),
         [("TIMESTAMP", "TIMESTAMP", "UTC")])
    print(f"DuckDB {duckdb.__version__}: {counted} values agree")


if __name__ == "__main__":
    try:
        read(*sys.argv[1:])
    except Difference as difference:
        sys.exit(str(difference))
