"""The peer: DuckDB writes one Parquet file per table, by one COPY each, from plain NDJSON on disk.

That is an easier task than the archiver's: no HTTP, tables already apart, no lossless values, no digests, no commits.
usage: duckdb_copy.py NDJSON_DIR OUT_DIR
"""

import glob
import os
import sys

import duckdb

source, out = sys.argv[1:3]
os.makedirs(out, exist_ok=True)
connection = duckdb.connect()
for path in sorted(glob.glob(source + "/*.ndjson")):
    table = os.path.basename(path).removesuffix(".ndjson")
    connection.execute(
        f"COPY (SELECT * FROM read_json_auto('{path}')) TO '{out}/{table}.parquet' (FORMAT parquet, COMPRESSION zstd)"
    )
