"""spark_views.py ARCHIVE EXPECTED SCRIPT AS_OF_SCRIPT AS_OF: the script that `views --engine spark` wrote, in a local Spark: what it gives agrees with the
deployment: the documents of every table now, of some at another moment, and every revision once. AS_OF_SCRIPT is
the one of `--as-of AS_OF`: its views hold the documents of that moment. The archive is a path.
"""

import datetime
import importlib.util
import os
import sys
import tempfile
import warnings

# Workers run under the interpreter that runs this.
os.environ["PYSPARK_PYTHON"] = sys.executable

import pyspark  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402

from archive import AGAIN, Archive, Comparison, Difference, document, of_a_later_program, same, with_rows_again  # noqa: E402

SETTINGS = {
    "spark.driver.memory": "1g",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.session.timeZone": "America/New_York",
}


def session():
    builder = SparkSession.builder.master("local[2]").appName("views")
    for key, setting in SETTINGS.items():
        builder = builder.config(key, setting)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def load(path):
    spec = importlib.util.spec_from_file_location("convex_views", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(script, entry, frame):
    names = script.document_names(entry["columns"])
    for row in frame.collect():
        row = row.asDict(recursive=True)
        stamp = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=row["_ts"] // 1000)
        if abs(row["_ts_utc"] - stamp) > datetime.timedelta(microseconds=1):
            raise Difference(f"_ts {row['_ts']} is shown as {row['_ts_utc']}")
        if (row["_creationTime"] is None) != (row["_creationTime_utc"] is None):
            raise Difference(f"_creationTime {row['_creationTime']} is shown as {row['_creationTime_utc']}")
        held = {column: row[name] for column, name in names.items()}
        own = ("_id", "_creationTime", "_ts", "_nulls", "_rescued")
        yield held | {name: row[name] for name in own} | {"_tombstone": row.get("_tombstone", False)}


def check_state(script, comparison, name, entry, frame, at):
    found = [(row["_id"], document(entry["columns"], row)) for row in rows(script, entry, frame)]
    if len(dict(found)) != len(found):
        raise Difference(f"table {name} at {at}: {len(found)} rows, {len(dict(found))} documents")
    wanted = comparison.state(name, at)
    same(f"table {name} at {at}", dict(found), {key: revision["document"] for key, revision in wanted.items()})


def check_history(script, comparison, name, entry, frame):
    found = [((row["_id"], row["_ts"]), document(entry["columns"], row)) for row in rows(script, entry, frame)]
    if len(dict(found)) != len(found):
        raise Difference(f"table {name}: {len(found)} rows of history, {len(dict(found))} revisions")
    first = min(entry["bases"])
    wanted = {(r["id"], r["ts"]): r["document"] for r in comparison.state(name, first).values()}
    wanted |= {(r["id"], r["ts"]): r["document"] for r in comparison.revisions[name] if r["ts"] > first}
    same(f"table {name}, history", dict(found), wanted)


def check_as_of(spark, archive, comparison, path, at):
    script = load(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = script.Archive(spark).register()
    covered = {name: entry for name, entry in archive.tables() if any(s["from"] <= at <= s["to"] for s in entry["covered"])}
    if "orders" not in covered or comparison.state("orders", at) == comparison.state("orders", archive.through):
        raise Difference(f"no good moment: {at}")
    for name, entry in archive.tables():
        plain, history = names[name]
        if name in covered:
            check_state(script, comparison, name, entry, spark.table(f"`{plain}`"), at)
        elif spark.catalog.tableExists(f"`{plain}`"):
            raise Difference(f"table {name} is not covered at {at}, and has a view")
        newest = spark.sql(f"SELECT max(_ts) FROM `{history}`").first()[0]
        if newest is not None and newest > at:
            raise Difference(f"table {name}: a revision of {newest} is in the history as of {at}")


def check_names(script):
    """A table has its own name, whatever is derived from another."""
    tables = ["users_2", "Users", "users", "users_history", "waitlist/users", "waitlist__users"]
    names = script.view_names(tables)
    shown = [name.lower() for pair in names.values() for name in pair]
    own = {name: plain for name, (plain, _) in names.items() if plain != name}
    if own != {"users": "users-2", "waitlist/users": "waitlist__users-2"} or len(set(shown)) != len(shown):
        raise Difference(f"names of views: {names}")


def check_needs(spark, archive, script):
    """What was written for readers that know more is refused."""
    with tempfile.TemporaryDirectory() as folder:
        words = of_a_later_program(archive, folder)
        try:
            script.Archive(spark, folder)
        except ValueError as error:
            if all(word in str(error) for word in words):
                return
            raise Difference(f"refused with other words: {error}") from error
    raise Difference("what this reader does not know is not refused")


def check_rows_with_types_count(spark, archive, script):
    """Of two rows with one _id and _ts one that came with types counts, and of two such the one of the later path."""
    for encoding, shown in (("json", False), ("export_json", True)):
        with tempfile.TemporaryDirectory() as folder:
            rows = with_rows_again(archive, f"{folder}/copy", encoding)
            again = script.Archive(spark, f"{folder}/copy").history("orders").where(f"_rescued = '{AGAIN}'").count()
            if again != rows * shown:
                raise Difference(f"in {encoding}: {again} of {rows} rows in the history")


def check_values_beside(archive):
    """Beside a column that drifted: what had no place in it."""
    beside = archive.history("orders").where("price__rescued LIKE '% EUR' OR price__string LIKE '% EUR'").count()
    rescued = archive.history("orders").where("price__rescued LIKE '% EUR'").count()
    if not 0 < rescued < beside:
        raise Difference(f"{beside} prices are text, {rescued} of them beside the column")


def check_what_is_read(script, spark):
    """Of the parts and columns those of a table, when it is asked for, and once."""

    class Counted(script.Archive):
        def _texts(self, paths):
            read.extend(paths)
            return super()._texts(paths)

    read = []
    archive = Counted(spark)
    if read:
        raise Difference(f"read before anything was asked for: {read}")
    archive.state("orders")
    archive.history("orders")
    parts = [path for path in read if "/parts/" in path]
    if not parts or any("/parts/tables/orders/" not in path for path in parts) or len(set(read)) != len(read):
        raise Difference(f"read for one table: {read}")


def read(archive, comparison, path, as_of_path, as_of):
    spark = session()
    script = load(path)
    check_names(script)
    check_needs(spark, archive, script)
    check_what_is_read(script, spark)
    check_rows_with_types_count(spark, archive, script)
    views = script.Archive(spark)
    names = views.register()
    check_values_beside(views)
    refused = 0
    first = min(entry["bases"][0] for _, entry in archive.tables())
    for name, entry in archive.tables():
        plain, history = names[name]
        middle = [(first + archive.through) // 2] if name == "orders" else []
        for at in (archive.through, *middle):
            frame = spark.table(f"`{plain}`") if at == archive.through else views.state(name, at)
            check_state(script, comparison, name, entry, frame, at)
        # Of a component nothing is known until its tables were walked again.
        if "component" in entry["table"]:
            refused += 1
            try:
                views.state(name, first + 1)
                raise Difference(f"table {name} is not refused at {first + 1}")
            except ValueError as error:
                if "is not covered" not in str(error):
                    raise Difference(f"refused with other words: {error}") from error
        check_history(script, comparison, name, entry, spark.sql(f"SELECT * FROM `{history}`"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        views.register(at=str(first))
    counted = spark.sql("SELECT count(*) FROM orders").first()[0]
    if counted != len(comparison.state("orders", first)):
        raise Difference(f"at {first}: {counted} orders")
    try:
        views.register(at="2000-01-01T00:00:00.5+01:00")
        raise Difference("a moment before everything is not refused")
    except ValueError as error:
        if "1999-12-31 23:00:00.500000" not in str(error):
            raise Difference(f"refused with other words: {error}")
    check_as_of(spark, archive, comparison, as_of_path, as_of)
    spark.stop()
    print(f"Spark {pyspark.__version__}: {len(names)} tables, {refused} refused")


def main(place, expected, script, as_of_script, as_of):
    archive = Archive(place)
    comparison = Comparison(archive, expected)
    try:
        read(archive, comparison, script, as_of_script, int(as_of))
    except Difference as difference:
        sys.exit(str(difference))


main(*sys.argv[1:])
