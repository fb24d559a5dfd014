"""The peer of `restore` and `tables --count`: DuckDB runs the views that `views --engine duckdb` prints, on the same files.

What it writes is easier: no ZIP but one gzip per table, in any order of documents, without Convex's types in the text.
usage: duckdb_state.py VIEWS_SQL restore|count OUT_DIR
"""

import os
import sys

import duckdb

views, what, out = sys.argv[1:4]
connection = duckdb.connect()
connection.execute("SET enable_progress_bar = false")
connection.execute(open(views).read())
tables = connection.execute("SELECT view_name FROM duckdb_views() WHERE schema_name = 'main' AND NOT internal").fetchall()
documents = 0
for table in sorted(name for (name,) in tables if not name.endswith("_history")):
    if what == "count":
        documents += connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    else:
        os.makedirs(out, exist_ok=True)
        copied = connection.execute(
            f"COPY (SELECT * EXCLUDE (_ts, _ts_utc, _creationTime_utc) FROM {table})"
            f" TO '{out}/{table}.jsonl.gz' (FORMAT json, COMPRESSION gzip)"
        )
        documents += copied.fetchone()[0]
print(f"documents {documents}")
