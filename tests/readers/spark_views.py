"""spark_views.py ARCHIVE EXPECTED SCRIPT AS_OF_SCRIPT AS_OF: the script that `views --engine spark` wrote, in a local Spark: what it gives agrees with the
deployment: the documents of every table now, of some at another moment, every revision once, and what was valid at each moment. AS_OF_SCRIPT is
the one of `--as-of AS_OF`: its views hold the documents of that moment. The archive is a path.
"""

import datetime
import importlib.util
import json
import os
import sys
import tempfile
import warnings

# Workers run under the interpreter that runs this.
os.environ["PYSPARK_PYTHON"] = sys.executable

import pyspark  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402

from archive import AGAIN, Archive, Comparison, Difference, document, of_a_later_program, same, with_rows_again  # noqa: E402
from duckdb_views import covered, moments, spread, token  # noqa: E402

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


EPOCH = datetime.datetime(1970, 1, 1)
OWN = ("_id", "_creationTime", "_ts", "_nulls", "_rescued")
VALID = ("_valid_from", "_valid_to", "_valid_from_ts", "_valid_to_ts", "_is_current")


def rows(script, entry, frame):
    """Rows by the names of columns in the files; what stands beside a field is in `_rescued` again."""
    names = script.document_names(entry["columns"])
    families, beside = {}, {}
    for column in entry["columns"]:
        families.setdefault(column["name"], []).append(column["column"])
    taken = {name.lower() for name in names.values()}
    for name, columns in families.items():
        wanted = f"{names[columns[0]]}__rescued"
        free = next(free for n in range(1, 99) if (free := wanted if n == 1 else f"{wanted}-{n}").lower() not in taken)
        # A family has one only where something may have been rescued.
        if free in frame.columns:
            taken.add(free.lower())
            beside[free] = (name, columns)
    known = {*names.values(), *beside, *OWN, *VALID, "_ts_utc", "_creationTime_utc", "_tombstone"}
    if extra := set(frame.columns) - known:
        raise Difference(f"columns {extra} are unknown")
    types = {column["column"]: column["type"] for column in entry["columns"]}
    for row in frame.collect():
        row = row.asDict(recursive=True)
        if abs(row["_ts_utc"] - microseconds(row["_ts"] // 1000)) > datetime.timedelta(microseconds=1):
            raise Difference(f"_ts {row['_ts']} is shown as {row['_ts_utc']}")
        if (row["_creationTime"] is None) != (row["_creationTime_utc"] is None):
            raise Difference(f"_creationTime {row['_creationTime']} is shown as {row['_creationTime_utc']}")
        held = {column: row[name] for column, name in names.items()}
        rescued = json.loads(row["_rescued"] or "{}")
        for shown, (name, columns) in beside.items():
            if row[shown] is not None:
                spread("/" + token(name), [(types[column], held[column]) for column in columns], json.loads(row[shown]), rescued)
        own = {name: row[name] for name in (*OWN, *VALID) if name in row} | {"_rescued": json.dumps(rescued) if rescued else None}
        yield held | own | {"_tombstone": row.get("_tombstone", False)}


def microseconds(number):
    return None if number is None else EPOCH + datetime.timedelta(microseconds=number)


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


class Versions:
    """The rows of a view of versions, which ends at a moment."""

    def __init__(self, script, name, entry, frame, end):
        first = ["_id", "_creationTime", "_creationTime_utc", "_ts", "_ts_utc", *VALID]
        if frame.columns[: len(first)] != first:
            raise Difference(f"table {name}, versions: the columns are {frame.columns}")
        self.name, self.end = f"table {name}, versions", end
        self.rows = [(row, document(entry["columns"], row)) for row in rows(script, entry, frame)]
        begins = {(row["_id"], row["_ts"], row["_valid_from_ts"]) for row, _ in self.rows}
        for row, _ in self.rows:
            begin, end = row["_valid_from_ts"], row["_valid_to_ts"]
            rounded = [microseconds(ts and -(-ts // 1000)) for ts in (begin, end)]
            if [row["_valid_from"], row["_valid_to"]] != rounded or row["_is_current"] != (end is None):
                raise Difference(f"{self.name}: {[row[name] for name in VALID]} do not agree")
            if begin > self.end or end is not None and not begin < end <= self.end or (row["_id"], row["_ts"], end) in begins:
                raise Difference(f"{self.name}: {row['_id']} has a span from {begin} to {end}")

    def at(self, ts):
        """The rows that were valid then, each with its document, by `_id`."""
        valid = [(row, found) for row, found in self.rows if row["_valid_from_ts"] <= ts and (row["_valid_to"] is None or ts < row["_valid_to_ts"])]
        by_id = {row["_id"]: (row, found) for row, found in valid}
        if len(by_id) != len(valid):
            raise Difference(f"{self.name}: {len(valid)} rows at {ts}, of {len(by_id)} documents")
        return by_id


def check_versions(script, comparison, name, entry, frame, end, tables):
    """At each moment the rows that were valid then are the state."""
    versions = Versions(script, name, entry, frame, end)
    stamps = {revision["ts"] + n for revision in comparison.revisions[name] for n in (-1, 0, 1)}
    for at in sorted(stamps | {*moments(comparison, tables), end}):
        if at <= end:
            wanted = comparison.state(name, at) if covered(entry, at) else {}
            found = {key: found for key, (_, found) in versions.at(at).items()}
            same(f"{versions.name} at {at}", found, {key: revision["document"] for key, revision in wanted.items()})


def check_as_of(spark, archive, comparison, path, at):
    script = load(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = script.Archive(spark).register()
    there = {name for name, entry in archive.tables() if covered(entry, at)}
    if "orders" not in there or comparison.state("orders", at) == comparison.state("orders", archive.through):
        raise Difference(f"no good moment: {at}")
    for name, entry in archive.tables():
        plain, history, versions = names[name]
        check_versions(script, comparison, name, entry, spark.table(f"`{versions}`"), at, list(archive.tables()))
        if name in there:
            check_state(script, comparison, name, entry, spark.table(f"`{plain}`"), at)
        elif spark.catalog.tableExists(f"`{plain}`"):
            raise Difference(f"table {name} is not covered at {at}, and has a view")
        newest = spark.sql(f"SELECT max(_ts) FROM `{history}`").first()[0]
        if newest is not None and newest > at:
            raise Difference(f"table {name}: a revision of {newest} is in the history as of {at}")


def check_names(script):
    """A table has its own name, whatever is derived from another."""
    folders = {name: f"tables/{name}" for name in ("users_2", "users", "users_history", "users_history_versions", "waitlist__users")}
    folders |= {"Users": "tables/Users-2", "CON": "tables/CON-2", "waitlist/users": "components/waitlist/tables/users"}
    names = script.view_names(folders)
    shown = [name.lower() for views in names.values() for name in views]
    own = {name: plain for name, (plain, *_) in names.items() if plain != name}
    if own != {"Users": "Users-2", "waitlist/users": "waitlist__users-2"} or len(set(shown)) != len(shown):
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
    """A price that was text stands in the column that came for such; what is no object in a list of objects beside that, as JSON text."""
    counts = archive.history("orders").selectExpr(
        "count(price__string)", "count_if(price__string LIKE '% EUR')", "count(price__rescued)", "count_if(lines__rescued LIKE '{%\"not an object\"%}')"
    )
    prices, euros, others, items = counts.first()
    if not prices == euros > 0 or others or not items:
        raise Difference(f"{euros} of {prices} prices that are text are in EUR, {others} others; {items} rescued items")


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
        plain, history, versions = names[name]
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
        check_versions(script, comparison, name, entry, spark.sql(f"SELECT * FROM `{versions}`"), archive.through, list(archive.tables()))
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


if __name__ == "__main__":
    main(*sys.argv[1:])
