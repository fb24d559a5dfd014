"""source_agrees.py ARCHIVE DIRECTORY FIELD: the current documents of an archive are those of DIRECTORY/TABLE.ndjson, told
apart by FIELD: every document of every table, value by value, read from the files by DuckDB's and from the source by
Python's JSON. What the archive adds is `_id` and `_creationTime`.
"""

import pathlib
import sys

from archive import Archive, Difference, document, parse, same
from duckdb_reads import CURRENT, connect, history, rows


def main(place, directory, field):
    archive = Archive(place)
    connection = connect(archive)
    entries = dict(archive.tables())
    total = 0
    for path in sorted(pathlib.Path(directory).glob("*.ndjson")):
        with path.open(encoding="utf-8") as lines:
            source = [parse(line) for line in lines]
        source = {found["object"][field]: found for found in source}
        entry = entries.pop(path.stem)
        history(connection, archive, entry)
        held = {}
        for row in rows(connection, CURRENT):
            found = document(entry["columns"], row)
            for own in ("_id", "_creationTime"):
                del found["object"][own]
            if found["object"][field] in held:
                raise Difference(f"table {path.stem}: {found['object'][field]!r} is there twice")
            held[found["object"][field]] = found
        same(f"table {path.stem}", held, source)
        total += len(held)
    if entries:
        raise Difference(f"the archive has other tables: {sorted(entries)}")
    print(f"{total} documents")


try:
    main(*sys.argv[1:])
except Difference as difference:
    sys.exit(str(difference))
