"""iceberg_reads.py ARCHIVE EXPECTED: Spark reads each table through Iceberg, over the files as they lie there, with the options that
it has by default: so with Iceberg's own vectorised reader wherever only flat columns are asked for. The archive is a path.

Iceberg finds columns by their ids. Spark's CREATE TABLE would give its own, so the table's first metadata is written here.
"""

import glob
import json
import os
import pathlib
import sys
import tempfile
import uuid

# Workers run under the interpreter that runs this.
os.environ["PYSPARK_PYTHON"] = sys.executable

import snowpark_connect_deps_iceberg  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402

from archive import Difference, main, same  # noqa: E402

OWN = [(1, "_id", "string"), (2, "_creationTime", "double"), (3, "_ts", "long"), (4, "_tombstone", "boolean"), (5, "_base", "long")]
BEHIND = [(6, "_nulls", "string"), (7, "_rescued", "string"), (8, "convex_phase", "string"), (9, "convex_month", "date")]


def optional(number, name, iceberg_type):
    return {"id": number, "name": name, "required": False, "type": iceberg_type}


def iceberg(column_type):
    match column_type:
        case {"list": element}:
            item = iceberg(element["type"])
            return {"type": "list", "element-id": element["id"], "element": item, "element-required": False}
        case {"struct": columns}:
            return {"type": "struct", "fields": [optional(c["id"], c["column"], iceberg(c["type"])) for c in columns]}
    return {"boolean": "boolean", "int64": "long", "float64": "double", "bytes": "binary"}.get(column_type, "string")


def create(warehouse, table, columns):
    """A table without a file, partitioned as the folders are."""
    folder = pathlib.Path(warehouse) / "convex" / table
    (folder / "metadata").mkdir(parents=True)
    fields = [optional(*own) for own in OWN]
    fields += [optional(c["id"], c["column"], iceberg(c["type"])) for c in columns]
    fields += [optional(*own) for own in BEHIND]

    def ids(node):
        return [n for k, v in node.items() for n in ([v] if k in ("id", "element-id") else nested(v))]

    def nested(node):
        return [n for each in node for n in ids(each)] if isinstance(node, list) else ids(node) if isinstance(node, dict) else []

    partition = [
        {"name": "convex_phase", "transform": "identity", "source-id": 8, "field-id": 1000},
        {"name": "convex_month", "transform": "identity", "source-id": 9, "field-id": 1001},
    ]
    metadata = {
        "format-version": 2,
        "table-uuid": str(uuid.uuid4()),
        "location": str(folder),
        "last-sequence-number": 0,
        "last-updated-ms": 0,
        "last-column-id": max(nested(fields)),
        "current-schema-id": 0,
        "schemas": [{"type": "struct", "schema-id": 0, "fields": fields}],
        "default-spec-id": 0,
        "partition-specs": [{"spec-id": 0, "fields": partition}],
        "last-partition-id": 1001,
        "default-sort-order-id": 0,
        "sort-orders": [{"order-id": 0, "fields": []}],
        "properties": {},
        "current-snapshot-id": -1,
        "snapshots": [],
    }
    (folder / "metadata" / "v1.metadata.json").write_text(json.dumps(metadata))
    (folder / "metadata" / "version-hint.text").write_text("1")


def session(warehouse):
    jars = os.path.join(os.path.dirname(snowpark_connect_deps_iceberg.__file__), "jars")
    [jar] = glob.glob(os.path.join(jars, "iceberg-spark-runtime-3.5_2.12-*.jar"))
    settings = {
        "spark.jars": jar,
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.catalog.lake": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.lake.type": "hadoop",
        "spark.sql.catalog.lake.warehouse": warehouse,
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
    return spark


def read(archive, comparison):
    with tempfile.TemporaryDirectory() as warehouse:
        spark = session(warehouse)
        for number, (name, entry) in enumerate(archive.tables()):
            if not entry["files"]:
                comparison.check(name, entry, [])
                continue
            table = f"table_{number}"
            create(warehouse, table, entry["columns"])
            folder = f"{archive.place}/{entry['folder']}"
            spark.sql(f"CALL lake.system.add_files(table => 'convex.{table}', source_table => '`parquet`.`{folder}`')")
            whole = [row.asDict(recursive=True) for row in spark.sql(f"SELECT * FROM lake.convex.{table}").collect()]
            comparison.check(name, entry, whole)
            flat = [column for _, column, _ in OWN + BEHIND]
            flat += [column["column"] for column in entry["columns"] if isinstance(column["type"], str)]
            for columns in (["_id", "_ts"], flat):
                rows = spark.sql(f"SELECT {', '.join(f'`{column}`' for column in columns)} FROM lake.convex.{table}")
                plan = rows._jdf.queryExecution().executedPlan().toString()
                if "ColumnarToRow" not in plan:
                    raise Difference(f"table {name}: {columns} are not read by the vectorised reader:\n{plan}")
                # By text, so that a NaN is what it is.
                found, wanted = ([repr([row[column] for column in columns]) for row in part] for part in (rows.collect(), whole))
                same(f"table {name}, {columns}", dict(enumerate(sorted(found))), dict(enumerate(sorted(wanted))))
        spark.stop()


main(read)
