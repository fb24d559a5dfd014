"""The peer of `restore`, `export` and `tables --count`: DuckDB runs the views that `views --engine duckdb` prints, on the same files.

`text` writes a file of JSON a table; `restore` the same, and then one ZIP of them, deflated at the level that the archiver uses. That is
easier than a restore: documents in any order, without Convex's types in the text, without table numbers.
usage: duckdb_state.py VIEWS_SQL text|restore|count OUT_DIR
"""

import os
import sys
import zipfile

import duckdb

LEVEL = 4

views, what, out = sys.argv[1:4]
connection = duckdb.connect()
connection.execute("SET enable_progress_bar = false")
connection.execute(open(views).read())
tables = connection.execute("SELECT view_name FROM duckdb_views() WHERE schema_name = 'main' AND NOT internal").fetchall()
tables = sorted(name for (name,) in tables if not name.endswith("_history"))
documents = 0
for table in tables:
    if what == "count":
        documents += connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    else:
        copied = connection.execute(
            f"COPY (SELECT * EXCLUDE (_ts, _ts_utc, _creationTime_utc) FROM {table}) TO '{out}/{table}.jsonl' (FORMAT json)"
        )
        documents += copied.fetchone()[0]
if what == "restore":
    with zipfile.ZipFile(f"{out}/restore.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        for table in tables:
            archive.write(f"{out}/{table}.jsonl", f"{table}/documents.jsonl")
            os.remove(f"{out}/{table}.jsonl")
print(f"documents {documents}")
