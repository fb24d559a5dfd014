"""permanent_s3.py SCRIPT: the views that stay are made without keys of the store; a session that has them reads. Prints how many documents the
table `svg` has, and the sum of their moments."""

import os
import pathlib
import sys
import tempfile

import duckdb
import duckdb_extensions

with tempfile.TemporaryDirectory() as folder:
    file = str(pathlib.Path(folder) / "kept.duckdb")
    with duckdb.connect(file) as connection:
        duckdb_extensions.import_extension("httpfs", con=connection)
        connection.execute(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
    with duckdb.connect(file, read_only=True) as connection:
        connection.execute("LOAD httpfs")
        endpoint = os.environ["AWS_ENDPOINT"].removeprefix("http://")
        keys = [os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
        connection.execute(f"CREATE SECRET (TYPE s3, KEY_ID '{keys[0]}', SECRET '{keys[1]}', ENDPOINT '{endpoint}', USE_SSL false, URL_STYLE 'path')")
        print(*connection.execute("SELECT count(*), sum(_ts) FROM svg").fetchone())
