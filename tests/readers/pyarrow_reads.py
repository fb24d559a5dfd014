"""pyarrow_reads.py ARCHIVE EXPECTED: pyarrow's datasets, with the full schema of each table, hold what the deployment held.

The archive is a path or an `s3://` URL; the store is found by the AWS_ variables.
"""

import os

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs

from archive import Difference, main

OWN = [
    ("_id", pa.string()),
    ("_creationTime", pa.float64()),
    ("_ts", pa.int64()),
    ("_tombstone", pa.bool_()),
    ("_base", pa.int64()),
]
BEHIND = [("_nulls", pa.string()), ("_rescued", pa.string()), ("convex_phase", pa.string()), ("convex_month", pa.date32())]


def arrow(column_type):
    match column_type:
        case {"list": element}:
            return pa.list_(pa.field("element", arrow(element["type"])))
        case {"struct": columns}:
            return pa.struct([(column["column"], arrow(column["type"])) for column in columns])
    simple = {"boolean": pa.bool_(), "int64": pa.int64(), "float64": pa.float64(), "bytes": pa.binary()}
    return simple.get(column_type, pa.string())


def filesystem(archive):
    if not archive.s3:
        return pa.fs.LocalFileSystem()
    endpoint = os.environ["AWS_ENDPOINT"].removeprefix("http://")
    return pa.fs.S3FileSystem(
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        region=os.environ["AWS_REGION"],
        endpoint_override=endpoint,
        scheme="http",
    )


def read(archive, comparison):
    store = filesystem(archive)
    partitioning = ds.partitioning(
        pa.schema([("convex_phase", pa.string()), ("convex_month", pa.date32())]), flavor="hive"
    )
    for name, entry in archive.tables():
        columns = [(column["column"], arrow(column["type"])) for column in entry["columns"]]
        schema = pa.schema([*OWN, *columns, *BEHIND])
        paths = [path.removeprefix("s3://") for path in archive.files(entry)]
        if not paths:
            comparison.check(name, entry, [])
            continue
        dataset = ds.dataset(paths, schema=schema, format="parquet", filesystem=store, partitioning=partitioning)
        unknown = {column for file in dataset.get_fragments() for column in file.physical_schema.names} - set(schema.names)
        if unknown:
            raise Difference(f"table {name}: files have columns that the manifest does not name: {sorted(unknown)}")
        rows = (row for batch in dataset.to_batches() for row in batch.to_pylist())
        comparison.check(name, entry, rows)


main(read)
