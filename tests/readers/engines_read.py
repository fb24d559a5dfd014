"""engines_read.py ARCHIVE EXPECTED: DataFusion and chdb (ClickHouse) read every file as it lies there. DataFusion holds what the
deployment held; chdb, which has no NULL for structs and lists, has the same flat columns. The archive is a path.
"""

import chdb
import pyarrow as pa
import pyarrow.parquet as pq
from datafusion import SessionContext

from archive import main, same


def rows(batches, phase):
    return [row | {"convex_phase": phase} for batch in batches for row in batch.to_pylist()]


def flat(table):
    """By text, so that a NaN is what it is. ClickHouse has bytes and text in one type."""
    text = [pa.binary() if pa.types.is_string(field.type) else field.type for field in table.schema]
    return [repr(row) for row in table.cast(pa.schema(list(zip(table.schema.names, text)))).to_pylist()]


def read(archive, comparison):
    for name, entry in archive.tables():
        found = []
        for file in entry["files"]:
            path = f"{archive.place}/{file['path']}"
            found += rows(SessionContext().read_parquet(path).collect(), file["phase"])
            columns = [field.name for field in pq.read_schema(path) if not pa.types.is_nested(field.type)]
            chosen = ", ".join("`" + column + "`" for column in columns)
            quoted = path.replace("\\", "\\\\").replace("'", "\\'")
            seen = chdb.query(f"SELECT {chosen} FROM file('{quoted}', Parquet)", "ArrowTable")
            wanted = flat(pq.read_table(path, columns=columns, partitioning=None))
            same(f"table {name}, flat columns by chdb", dict(enumerate(sorted(flat(seen)))), dict(enumerate(sorted(wanted))))
        comparison.check(name, entry, found)


main(read)
