"""late_spark.py ARCHIVE EXPECTED SCRIPT: what late_reads.py asks of DuckDB, of Spark: as many values of each field as the documents have; each column
that came late holds all values that it can hold; names that mean something to an engine break nothing. SCRIPT is imported as a module."""

import collections
import importlib
import os
import sys

import pyspark

from archive import Archive, Comparison, Difference
from late_reads import LATE, pairs
from spark_views import check_history, check_state, check_versions, session


def same(what, got, wanted):
    if got != wanted:
        raise Difference(f"{what}: {got}, and {wanted} are there")


def quoted(name):
    return f"`{name}`"


def read(place, expected, path):
    archive = Archive(place)
    comparison = Comparison(archive, expected)
    entries = list(archive.tables())
    spark = session()
    # Workers cannot import it: they know other folders.
    sys.path.insert(0, os.path.dirname(path))
    script = importlib.import_module(os.path.basename(path).removesuffix(".py"))
    names = script.Archive(spark).register()
    counted = 0
    for name, entry in entries:
        plain, history, versions = names[name]
        if name not in ("users", "polls", "words"):
            # A name that means something, and one document.
            same(name, spark.sql(f"SELECT max(k) FROM {quoted(plain)}").first()[0], name.split("/")[0])
            continue
        frame = spark.table(quoted(plain))
        # Each value stands once, by its bits: in a column, beside it, or in `_rescued`.
        check_state(script, comparison, name, entry, frame, archive.through)
        check_history(script, comparison, name, entry, spark.table(quoted(history)))
        check_versions(script, comparison, name, entry, spark.table(quoted(versions)), archive.through, entries)
        held = collections.Counter(
            key
            for revision in comparison.state(name, archive.through).values()
            for key, value in revision["document"]["object"].items()
            if value is not None
        )
        fields = sorted({column["name"] for column in entry["columns"]})
        families = [[c for c in frame.columns if c == field or c.startswith(f"{field}__")] for field in fields]
        some = [" OR ".join(f"{quoted(column)} IS NOT NULL" for column in family) for family in families]
        counts = ", ".join(f"count(CASE WHEN {condition} THEN 1 END)" for condition in some)
        for field, got in zip(fields, spark.sql(f"SELECT {counts} FROM {quoted(plain)}").first()):
            same(f"{name}, {field}", got, held[field])
            counted += got
        everything = " OR ".join(some)
        for view in (history, versions):
            each = ", ".join(f"count({quoted(field)}) AS {quoted(field)}" for field in fields)
            spark.sql(f"SELECT {each} FROM {quoted(view)} WHERE {everything}").collect()
    users = comparison.state("users", archive.through)
    late = spark.sql(f"SELECT {', '.join(f'count({field})' for field in LATE)} FROM users").first()
    for (field, others), got in zip(LATE.items(), late):
        there = sum(field in revision["document"]["object"] for revision in users.values())
        same(f"users, {field}", got, there - others)
    # Of two list columns an empty list stands in the first alone, and items that did not fit that one beside it.
    same("pair", tuple(spark.sql("SELECT count(pair), count(pair__array_float64), count(pair__rescued) FROM users").first()), (150, 1, 120))
    inside = [[r["document"]["object"].get("profile", {}).get("object", {}).get(key) is not None for r in users.values()] for key in ("city", "since", "score")]
    same("profile, inside", tuple(spark.sql("SELECT count(profile.city), count(profile.since), count(profile.score) FROM users").first()), tuple(map(sum, inside)))
    same("profile, beside", [row[0] for row in spark.sql("SELECT profile__rescued FROM users WHERE profile__rescued IS NOT NULL").collect()], ['{"zip~/":"12345"}'])
    rows = spark.sql("SELECT votes, votes__json, stats.votes, get_json_object(stats__rescued, '$.votes') FROM polls").collect()
    rows = [[cell.asDict() if isinstance(cell, pyspark.sql.Row) else cell for cell in row] for row in rows]
    same("votes", [pairs(cells) for cells in zip(*rows)], [24, 876, 24, 876])
    check_plans(spark)
    print(f"Spark {pyspark.__version__}: {counted} values agree")
    spark.stop()


def check_plans(spark):
    """What was rescued costs nothing where nothing was, or where it is not asked for; and `_id` reaches the files."""
    for query, python in (("* FROM words", False), ("count(*) AS n FROM users", False), ("* FROM users", True)):
        spark.conf.set("spark.sql.maxMetadataStringLength", 10_000)
        plan = spark.sql(f"EXPLAIN SELECT {query} WHERE _id > 'x'").first()[0]
        if ("BatchEvalPython" in plan) != python or "GreaterThan(_id,x)" not in plan:
            raise Difference(f"the plan of {query}: {plan}")


if __name__ == "__main__":
    try:
        read(*sys.argv[1:])
    except Difference as difference:
        sys.exit(str(difference))
