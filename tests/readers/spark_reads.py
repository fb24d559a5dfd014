"""spark_reads.py ARCHIVE EXPECTED: Spark reads each table's folder as it lies there, with `mergeSchema`, and agrees with the
deployment. The archive is a path: Spark's S3 client comes in no Python package.
"""

import datetime
import os
import sys

# Workers run under the interpreter that runs this.
os.environ["PYSPARK_PYTHON"] = sys.executable

from pyspark.sql import SparkSession  # noqa: E402

from archive import Difference, document, main, same  # noqa: E402


def read(archive, comparison):
    settings = {
        "spark.driver.memory": "1g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
    }
    builder = SparkSession.builder.master("local[2]").appName("readers")
    for key, setting in settings.items():
        builder = builder.config(key, setting)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    for name, entry in archive.tables():
        if not entry["files"]:
            comparison.check(name, entry, [])
            continue
        table = spark.read.option("mergeSchema", "true").parquet(f"{archive.place}/{entry['folder']}")
        # Spark's own counts, before its rows become Python's.
        table.createOrReplaceTempView("history")
        for phase, month, count in spark.sql(
            "SELECT convex_phase, convex_month, count(*) FROM history GROUP BY ALL"
        ).collect():
            said = sum(
                file["rows"]
                for file in entry["files"]
                if f"/convex_phase={phase}/convex_month={month}/" in file["path"]
            )
            if not isinstance(month, datetime.date) or said != count:
                raise Difference(f"table {name}: Spark counts {count} rows in {phase} {month!r}, the manifest says {said}")
        comparison.check(name, entry, [row.asDict(recursive=True) for row in table.collect()])
        current = spark.sql(
            "WITH newest AS (SELECT coalesce(max(_base), 0) AS convex_base FROM history), "
            "counted AS (SELECT history.*, row_number() OVER (PARTITION BY _id ORDER BY _ts DESC) AS convex_age "
            "FROM history CROSS JOIN newest WHERE _base = convex_base OR (_base IS NULL AND _ts > convex_base)) "
            "SELECT * FROM counted WHERE convex_age = 1 AND NOT _tombstone"
        )
        found = {row["_id"]: document(entry["columns"], row.asDict(recursive=True)) for row in current.collect()}
        wanted = comparison.state(name, archive.through)
        same(f"table {name}, current documents", found, {key: revision["document"] for key, revision in wanted.items()})
    spark.stop()


main(read)
