"""Views of an archive of convex-archiver, for Spark 3.5 and 4. For each table, here `messages`:

    messages          its documents
    messages_history  every revision; those that deleted a document have _tombstone
    messages_versions every span of moments in which a revision was the document: _valid_from <= t AND (t < _valid_to OR _valid_to IS NULL)

    spark-submit THIS_FILE "SELECT count(*) FROM messages"

or, where there is a session (a notebook, `pyspark`), after importing this file as a module:

    archive = Archive(spark)                              # reads manifest.json; what is there of a table when it is asked for
    archive.register()                                    # makes the views; register(at=MOMENT) those of a moment
    archive.state("messages", at="2026-11-24T07:45:39Z")  # documents at a moment, as a DataFrame
    archive.history("messages")
    archive.versions("messages")

A moment is a _ts in nanoseconds, a datetime, or text of one; without an offset it is UTC. Tables of components are
"waitlist/users" here, and waitlist__users as views; where that name is taken (case does not count), `waitlist__users-2`. What stands in
a JSON column is text. `x__rescued` beside a field `x` has, as JSON text, what fits no column of it whole; `_rescued` what has no column.
"""

import base64
import datetime
import json
import re
import sys
import warnings

from pyspark import cloudpickle
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

URL = $URL
FORMAT = $FORMAT
# Words for what a reader must know: those that this script knows.
READERS = $READERS
# The moment that is meant where none is said: a _ts, or None for as far as the archive reaches.
AS_OF = $AS_OF

# Column types as the archive names them, and as Spark does; `$` is what is inside of them.
TYPES = $TYPES
# The columns of every file that are no fields of documents.
OWN = $OWN

# Workers have no such module: they are sent its functions.
if __name__ != "__main__" and __name__ in sys.modules:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Archive:
    """An archive as manifest.json shows it now."""

    def __init__(self, spark: SparkSession, url: str = URL):
        self.spark = spark
        self.url = re.sub("^s3://", "s3a://", url.rstrip("/"))
        text = spark.read.text(f"{self.url}/manifest.json", wholetext=True).first()[0]
        manifest = json.loads(text)
        check(manifest)
        self.through = as_ts(manifest.get("cursor", {}).get("ts"))
        self.tables = {}
        for line, place in zip(manifest["tables"], manifest["covered"]):
            entry, coverage = line["table"], manifest["coverage"][place]
            entry["covered"] = [{end: as_ts(span[end]) for end in ("from", "to")} for span in coverage["covered"]]
            entry["bases"] = {base["id"]: as_ts(base["ts"]) for base in coverage["bases"]}
            self.tables[full_name(entry["table"])] = entry

    def state(self, table: str, at=None) -> DataFrame:
        """The documents of a table at a moment."""
        entry, ts = self._entry(table), self._ts(at)
        if not any(span["from"] <= ts <= span["to"] for span in entry["covered"]):
            spans = ", ".join(f"{in_full(span['from'])} to {in_full(span['to'])}" for span in entry["covered"])
            raise ValueError(f"table {table} is not covered at {in_full(ts)}: choose a moment in {spans or '(none, yet)'}")
        self._load([table])
        base = max(base for base in entry["bases"].values() if base <= ts)
        files = [f for f in entry["files"] if f["base_ts"] == base or is_delta(f) and f["max_ts"] > base and f["min_ts"] <= ts]
        rows = self._rows(entry, files).where(F.expr(f"_base IS NOT NULL OR _ts > {base} AND _ts <= {ts}"))
        newest = Window.partitionBy("_id").orderBy(F.desc("_ts"), F.desc("_rank"))
        rows = rows.withColumn("_age", F.row_number().over(newest)).where("_age = 1 AND NOT _tombstone")
        return shown(entry, rows)

    def history(self, table: str, at=None) -> DataFrame:
        """Every revision of a table up to a moment, once: also where a later base repeats it."""
        entry = self._entry(table)
        self._load([table])
        rows = self._rows(entry, entry["files"]).where(F.col("_ts") <= self._ts(at))
        same = Window.partitionBy("_id", "_ts").orderBy(F.desc("_rank"))
        return shown(entry, rows.withColumn("_age", F.row_number().over(same)).where("_age = 1"), "_tombstone")

    def versions(self, table: str, at=None) -> DataFrame:
        """A row for each span of moments, up to a moment, in which a revision was the document: none where the table is not covered.
        _valid_from is in the span and _valid_to is not; it is NULL where the span ends at that moment."""
        entry, ts = self._entry(table), self._ts(at)
        self._load([table])
        segments = self._segments(entry, ts)
        begins = [begin for begin, _ in segments]
        files = [f for f in entry["files"] if f["base_ts"] in begins or is_delta(f) and begins and begins[0] < f["max_ts"] and f["min_ts"] <= ts]
        # A delta is of the segment of the newest base before it.
        begin = one_of((f"_ts > {begin}", begin) for begin in reversed(begins))
        rows = self._rows(entry, files).withColumn("_begin", F.expr(f"coalesce(_base, {begin})"))
        rows = rows.withColumn("_end", F.expr(one_of((f"_begin = {begin}", end) for begin, end in segments)))
        rows = rows.where("_base IS NOT NULL OR _ts <= _end")
        # Of two rows with one _id and _ts the first has an empty span.
        order = Window.partitionBy("_id").orderBy("_begin", "_ts", "_rank")
        later = F.when(F.lead("_begin").over(order) == F.col("_begin"), F.lead("_ts").over(order))
        rows = rows.withColumns({"_from": F.greatest("_begin", "_ts"), "_to": F.coalesce(later, F.col("_end") + 1)})
        rows = rows.where("_from < _to AND NOT _tombstone")
        # Spans of one revision that touch are one.
        goes_on = (F.lag("_ts").over(order) == F.col("_ts")) & (F.lag("_to").over(order) == F.col("_from"))
        rows = rows.withColumn("_begins", F.when(goes_on, 0).otherwise(1)).withColumn("_span", F.sum("_begins").over(order))
        same = Window.partitionBy("_id", "_span")
        age = F.row_number().over(same.orderBy(F.desc("_rank")))
        rows = rows.withColumns({"_from": F.min("_from").over(same), "_to": F.max("_to").over(same), "_age": age}).where("_age = 1")
        # What ends at that moment is still valid. Microseconds are rounded up: at each of them the state is what was valid then.
        ends = {"_valid_from": "_from", "_valid_to": f"nullif(_to, {ts + 1}L)"}
        stamps = [F.expr(timestamp(f"ceil({end} / 1000BD) / 1000000BD")).alias(name) for name, end in ends.items()]
        exact = [F.expr(end).alias(f"{name}_ts") for name, end in ends.items()]
        return shown(entry, rows, *stamps, *exact, F.expr(f"_to = {ts + 1}L").alias("_is_current"))

    def _segments(self, entry, ts):
        """The moments up to ts that are covered, both ends included: for each base those at which the state is made of it."""
        bases = sorted(base for base in entry["bases"].values() if base <= ts)
        found = []
        for base, later in zip(bases, bases[1:] + [ts + 1]):
            ends = [span["to"] for span in entry["covered"] if span["from"] <= base <= span["to"]]
            found += [(base, min(end, later - 1)) for end in ends]
        return found

    def register(self, at=None) -> dict:
        """Makes the temporary views of all tables, and returns their names by table. Tables that are not covered at the moment
        get none of their state: a warning names them."""
        ts = self._ts(at)
        self._load(self.tables)
        names, refused = {}, []
        for table, (plain, history, versions) in view_names({table: entry["folder"] for table, entry in self.tables.items()}).items():
            try:
                self.state(table, ts).createOrReplaceTempView(f"`{plain}`")
            except ValueError as error:
                refused.append(str(error))
                self.spark.catalog.dropTempView(plain)
            self.history(table, ts).createOrReplaceTempView(f"`{history}`")
            self.versions(table, ts).createOrReplaceTempView(f"`{versions}`")
            names[table] = (plain, history, versions)
        if refused and len(refused) == len(names):
            raise ValueError("\n".join(refused))
        for error in refused:
            warnings.warn(error)
        return names

    def _entry(self, table):
        if table not in self.tables:
            raise ValueError(f"the archive has no table {table}: it has {', '.join(sorted(self.tables))}")
        return self.tables[table]

    def _load(self, tables):
        """Reads the parts and the columns of tables where that has not been done: those of all in two jobs of Spark."""
        new = {table: self.tables[table] for table in tables if "files" not in self.tables[table]}
        parts = [
            f"{self.url}/parts/{entry['folder']}/{month}/{part['version']:020}.jsonl.gz"
            for entry in new.values()
            for month, part in entry.get("months", {}).items()
        ]
        files = {table: [] for table in new}
        for file in map(json.loads, self._texts(parts)):
            table = full_name(file["table"])
            # Files of no base of the table are withdrawn, or of a walk that is not finished.
            if is_delta(file) or file["base"] in new[table]["bases"]:
                stamps = {"min_ts": as_ts(file["min_ts"]), "max_ts": as_ts(file["max_ts"])}
                files[table].append(file | stamps | {"base_ts": new[table]["bases"].get(file.get("base"))})
        schemas = {(entry["schema"]["version"], entry["schema"]["digest"]) for entry in new.values()}
        objects = [f"{self.url}/log/{version:020}.schemas.{digest}.json" for version, digest in sorted(schemas) if version]
        columns = {}
        for written in map(json.loads, self._texts(objects)):
            for schema in written["schemas"]:
                columns[full_name(schema["table"]), schema["schema"]["id"]] = schema["schema"]["fields"]
        for table, entry in new.items():
            at = entry["schema"]
            entry["columns"] = columns[table, at["schema"]] if at["version"] else []
            entry["files"] = files[table]

    def _texts(self, paths):
        """The lines of all these."""
        return [row.value for row in self.spark.read.text(paths).select("value").collect()] if paths else []

    def _ts(self, at):
        at = AS_OF if at is None else at
        found = nanoseconds(self.through if at is None else at)
        if found is None:
            raise ValueError("the archive holds nothing yet; run sync")
        return found

    def _rows(self, entry, files):
        schema = ", ".join(OWN + [f"{quoted(c['column'])} {spark_type(c['type'])}" for c in entry["columns"]])
        if not files:
            return self.spark.createDataFrame([], schema).withColumn("_rank", F.lit(0))
        # Of two rows with one _id and _ts one that came with types counts.
        order = sorted(files, key=lambda f: (f["encoding"] != "json", f["path"]))
        ranks = [(f["path"].rsplit("/", 1)[1], rank) for rank, f in enumerate(order)]
        ranks = F.broadcast(self.spark.createDataFrame(ranks, "_name STRING, _rank INT"))
        rows = self.spark.read.schema(schema).parquet(*[f"{self.url}/{f['path']}" for f in order])
        return rows.withColumn("_name", F.col("_metadata.file_name")).join(ranks, "_name").drop("_name")


def check(manifest):
    """Refuses an archive for which one must know more than this script does."""
    words = [word for word in manifest["needs"]["readers"] if word not in READERS]
    if manifest["format"] > FORMAT or words:
        why = f"and needs a reader that supports `{'`, `'.join(words)}`, which this script does not" if words else "in a newer format"
        program = manifest["program"]
        raise ValueError(f"this archive was written by {program} {why}: create the script with that program or a newer one")


def full_name(table):
    return "/".join(filter(None, [table.get("component"), table["name"]]))


def as_ts(text):
    """Moments are text in JSON, as many readers of JSON round such numbers."""
    return None if text is None else int(text)


def is_delta(file):
    return file.get("base") is None


def spark_type(column_type):
    if isinstance(column_type, str):
        return TYPES[column_type]
    ((name, inner),) = column_type.items()
    if name == "list":
        inner = spark_type(inner["type"])
    else:
        inner = ", ".join(f"{quoted(c['column'])}: {spark_type(c['type'])}" for c in inner)
    return TYPES[name].replace("$", inner)


def shown(entry, rows, *more):
    """Times as timestamps, columns under the names of documents, and beside them the values that had no place there."""
    rescued = Rescued(entry)
    names = document_names(entry["columns"])
    columns = [rescued.filled(column, F.col(quoted(column["column"]))).alias(names[column["column"]]) for column in rescued.fields]
    taken = {name.lower() for name in names.values()}
    for n, family in enumerate(rescued.beside.values()):
        name = take(taken, f"{names[family[0]['column']]}__rescued")
        columns.append(F.col(f"_back.beside{n}").alias(name))
    return rescued.with_back(rows).select(
        "_id",
        "_creationTime",
        F.expr(f"CASE WHEN abs(_creationTime) < 1e14 THEN {timestamp('_creationTime / 1000')} END").alias("_creationTime_utc"),
        "_ts",
        F.expr(timestamp("_ts / 1000000000BD")).alias("_ts_utc"),
        *more,
        *columns,
        F.coalesce("_back.nulls", "_nulls").alias("_nulls") if rescued.beside else "_nulls",
        F.col("_back.others" if rescued.beside else "_rescued").alias("_rescued"),
    )


def one_of(choices):
    """The value of the first condition that holds."""
    return f"CASE {' '.join(f'WHEN {condition} THEN {value}L' for condition, value in choices) or 'WHEN false THEN 0L'} END"


def timestamp(seconds):
    return f"TIMESTAMP_NTZ '1970-01-01' + make_dt_interval(0, 0, 0, CAST({seconds} AS DECIMAL(18, 6)))"


def document_names(columns):
    """What each column is called: as in documents, where that is free when case is ignored."""
    taken = {column["column"].lower() for column in columns}
    names = {}
    for column in columns:
        held, name = column["column"], column["name"]
        first = next(c["column"] for c in columns if c["name"] == name)
        names[held] = held
        if name and first != name and held.startswith(first):
            wanted = name + held[len(first) :]
            if not wanted.startswith("_") and wanted.lower() not in taken:
                taken.add(wanted.lower())
                names[held] = wanted
    return names


def view_names(tables):
    """Names of views that are free when case is ignored, of tables with their folders. Tables of the root have their own names before anything that is derived
    from one. Where case alone tells two apart, the one whose folder has no suffix has the plain name, and the other is called like its folder."""
    taken, plain = set(), {}
    for table, folder in sorted(tables.items(), key=lambda item: (item[0].count("/"), len(item[1]), item[1])):
        name = table.replace("/", "__")
        plain[table] = take(taken, "__".join(folder.split("/")[1::2]) if name.lower() in taken else name)
    history = {table: take(taken, f"{plain[table]}_history") for table in tables}
    return {table: (plain[table], history[table], take(taken, f"{plain[table]}_versions")) for table in tables}


def take(taken, name):
    """A name that is free when case is ignored; one that is taken gets -2, -3, …, which no Convex name contains."""
    free, number = name, 2
    while free.lower() in taken:
        free, number = f"{name}-{number}", number + 1
    taken.add(free.lower())
    return free


def nanoseconds(moment):
    if moment is None or isinstance(moment, int):
        return moment
    if isinstance(moment, str):
        if re.fullmatch(r"-?\d+", moment):
            return int(moment)
        found = re.fullmatch(r"([^.]+?)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:?\d\d)?", moment.strip())
        if found and ":" in moment:
            whole, fraction, zone = found.groups()
            zone = "+00:00" if zone in (None, "Z") else zone
            zone = zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"
            return nanoseconds(datetime.datetime.fromisoformat(whole + zone)) + int((fraction or "0").ljust(9, "0"))
        return nanoseconds(datetime.datetime.fromisoformat(moment))
    if not isinstance(moment, datetime.datetime):
        moment = datetime.datetime(moment.year, moment.month, moment.day)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return (moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(microseconds=1) * 1000


def in_full(ts):
    return f"{datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=ts // 1000)} UTC (_ts {ts})"


def quoted(name):
    return "`" + name.replace("`", "``") + "`"


$RESCUED

if __name__ == "__main__":
    session = SparkSession.builder.getOrCreate()
    views = Archive(session).register()
    if len(sys.argv) > 1:
        session.sql(sys.argv[1]).show(1000, truncate=False)
    else:
        print("\n".join(name for names in views.values() for name in names))
