"""duckdb_reads.py ARCHIVE EXPECTED: DuckDB reads the files that manifest.json names as one table each, and agrees with the
deployment, also about the current documents.

The archive is a path or an `s3://` URL (then through the extension httpfs); the store is found by the AWS_ variables.
"""

import os

import duckdb

from archive import Difference, document, main, same

TYPES = {"boolean": "BOOLEAN", "int64": "BIGINT", "float64": "DOUBLE", "bytes": "BLOB", "string": "VARCHAR", "json": "VARCHAR"}
OWN = {
    "_id": "VARCHAR",
    "_creationTime": "DOUBLE",
    "_ts": "BIGINT",
    "_tombstone": "BOOLEAN",
    "_base": "BIGINT",
    "_nulls": "VARCHAR",
    "_rescued": "VARCHAR",
    "convex_phase": "VARCHAR",
    "convex_month": "DATE",
}
# As in the README: the newest base and the deltas after it, the newest revision of each document, without those that were
# deleted.
CURRENT = """
    WITH newest AS (SELECT coalesce(max(_base), 0) AS base FROM history)
    SELECT history.* FROM history, newest
    WHERE _base = base OR (_base IS NULL AND _ts > base)
    QUALIFY row_number() OVER (PARTITION BY _id ORDER BY _ts DESC) = 1 AND NOT _tombstone
"""


def type_of(column_type):
    match column_type:
        case {"list": element}:
            return f"{type_of(element['type'])}[]"
        case {"struct": columns}:
            inner = (f'"{column["column"]}" {type_of(column["type"])}' for column in columns)
            return f"STRUCT({', '.join(inner)})"
    return TYPES[column_type]


def rows(connection, query):
    result = connection.execute(query)
    names = [column[0] for column in result.description]
    while found := result.fetchmany(1000):
        for row in found:
            yield dict(zip(names, row))


def canonical(connection, type_name):
    return connection.execute(f"SELECT typeof(CAST(NULL AS {type_name}))").fetchone()[0]


def check_types(connection, name, entry):
    found = {row["column_name"]: row["column_type"] for row in rows(connection, "DESCRIBE history")}
    wanted = OWN | {column["column"]: canonical(connection, type_of(column["type"])) for column in entry["columns"]}
    if found != wanted:
        differ = {key: (found.get(key), wanted.get(key)) for key in found.keys() | wanted if found.get(key) != wanted.get(key)}
        raise Difference(f"table {name}: DuckDB's type, the schema's: {differ}")


def check_current(connection, comparison, name, entry):
    found = {row["_id"]: document(entry["columns"], row) for row in rows(connection, CURRENT)}
    wanted = comparison.state(name, comparison.archive.through)
    same(f"table {name}, current documents", found, {key: revision["document"] for key, revision in wanted.items()})


def connect(archive):
    """DuckDB, with the archive's store where that is S3."""
    connection = duckdb.connect()
    if archive.s3:
        from duckdb_extensions import import_extension

        import_extension("httpfs", con=connection)
        endpoint = os.environ["AWS_ENDPOINT"].removeprefix("http://")
        connection.execute(
            f"CREATE SECRET (TYPE s3, KEY_ID '{os.environ['AWS_ACCESS_KEY_ID']}', "
            f"SECRET '{os.environ['AWS_SECRET_ACCESS_KEY']}', REGION '{os.environ['AWS_REGION']}', "
            f"ENDPOINT '{endpoint}', USE_SSL false, URL_STYLE 'path')"
        )
    return connection


def history(connection, archive, entry):
    """The files that the manifest names as one table, `history`."""
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW history AS SELECT * FROM "
        f"read_parquet({archive.files(entry)!r}, union_by_name = true, hive_partitioning = true)"
    )


def read(archive, comparison):
    connection = connect(archive)
    for name, entry in archive.tables():
        if not entry["files"]:
            comparison.check(name, entry, [])
            continue
        history(connection, archive, entry)
        check_types(connection, name, entry)
        comparison.check(name, entry, rows(connection, "SELECT * FROM history"))
        check_current(connection, comparison, name, entry)


if __name__ == "__main__":
    main(read)
