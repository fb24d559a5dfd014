"""schema_reads.py ARCHIVE EXPECTED FOLDER: with the schemas that `schema TABLE --format …` printed, pyarrow, polars and DuckDB hold what the
deployment held, later columns included. FOLDER has TABLE.FORMAT, with a dot for each `/` in the name. The archive is a path.
"""

import pathlib
import sys

import duckdb
import polars as pl
import pyarrow.dataset as ds

from archive import Archive, Comparison, Difference


def schema(text):
    found = {}
    exec(text, found)
    return found["schema"]


def by_pyarrow(text, files):
    dataset = ds.dataset(files, schema=schema(text), format="parquet")
    return (row for batch in dataset.to_batches() for row in batch.to_pylist())


def by_polars(text, files):
    frame = pl.scan_parquet(
        files,
        schema=schema(text),
        missing_columns="insert",
        hive_partitioning=False,
        cast_options=pl.ScanCastOptions(missing_struct_fields="insert"),
    )
    return frame.collect().iter_rows(named=True)


def by_duckdb(text, files):
    connection = duckdb.connect()
    connection.execute(text)
    (name,) = connection.execute("SELECT table_name FROM duckdb_tables()").fetchone()
    connection.execute(f'INSERT INTO "{name}" BY NAME FROM read_parquet({files!r}, union_by_name = true, hive_partitioning = false)')
    result = connection.execute(f'FROM "{name}"')
    names = [column[0] for column in result.description]
    return (dict(zip(names, row)) for row in result.fetchall())


READERS = {"pyarrow": by_pyarrow, "polars": by_polars, "sql": by_duckdb}


def phased(rows):
    for row in rows:
        yield row | {"convex_phase": "delta" if row["_base"] is None else "snapshot"}


def main(place, expected, folder):
    archive = Archive(place)
    for reader, read in READERS.items():
        comparison = Comparison(archive, expected)
        try:
            for name, entry in archive.tables():
                text = pathlib.Path(folder, f"{name.replace('/', '.')}.{reader}").read_text(encoding="utf-8")
                comparison.check(name, entry, phased(read(text, archive.files(entry))))
            comparison.done()
        except Difference as difference:
            sys.exit(f"{reader}: {difference}")


main(*sys.argv[1:])
