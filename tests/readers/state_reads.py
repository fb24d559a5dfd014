"""state_reads.py ARCHIVE EXPECTED FOLDER: `state` of what `schema TABLE --format pyarrow|polars` printed gives the documents of every
table, at many moments, and refuses moments that are not covered. FOLDER has TABLE.FORMAT, with a dot for each `/` in the name. The
archive is a path, or an `s3://` URL: then its newest moment is enough.
"""

import datetime
import os
import pathlib
import sys
import tempfile

# As these two call the server that the archive's own program calls AWS_ENDPOINT.
if "AWS_ENDPOINT" in os.environ:
    os.environ["AWS_ENDPOINT_URL"] = os.environ["AWS_ENDPOINT"]

from archive import AGAIN, Archive, Comparison, Difference, document, of_a_later_program, same, with_rows_again  # noqa: E402
from duckdb_views import covered, moments  # noqa: E402

ROWS = {
    "polars": lambda frame: frame.collect().to_dicts(),
    "pyarrow": lambda table: table.to_pylist(),
}


def check_state(comparison, name, entry, rows, at):
    shown = {"_id", "_creationTime", "_ts", "_nulls", "_rescued"} | {column["column"] for column in entry["columns"]}
    if odd := [row for row in rows if row.keys() != shown]:
        raise Difference(f"table {name}: columns {odd[0].keys() ^ shown} are missing, or too many")
    found = [(row["_id"], row["_ts"]) for row in rows]
    wanted = comparison.state(name, at)
    if sorted(found) != sorted((key, revision["ts"]) for key, revision in wanted.items()):
        raise Difference(f"table {name} at {at}: {len(found)} rows, {len(wanted)} documents, or other revisions of them")
    documents = {row["_id"]: document(entry["columns"], row | {"_tombstone": False}) for row in rows}
    same(f"table {name} at {at}", documents, {key: revision["document"] for key, revision in wanted.items()})


def refused(state, words, **arguments):
    try:
        state(**arguments)
    except ValueError as error:
        if missing := [word for word in words if word not in str(error)]:
            raise Difference(f"refused without the words {missing}: {error}") from error
        return
    raise Difference(f"{arguments} is not refused")


def check_datetimes(archive, comparison, entry, state, rows):
    """A datetime means its microsecond; without a zone it is UTC."""
    at = (entry["bases"][0] + archive.through) // 2 // 1000 * 1000
    utc = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=at // 1000)
    elsewhere = utc.replace(tzinfo=datetime.timezone.utc).astimezone(datetime.timezone(datetime.timedelta(hours=-7)))
    for moment in (utc, elsewhere):
        check_state(comparison, "orders", entry, rows(state(moment)), at)


def check_copies(archive, state, rows):
    """What needs a reader that knows more is refused; of two rows with one _id and _ts one that came with types counts."""
    with tempfile.TemporaryDirectory() as folder:
        refused(state, of_a_later_program(archive, folder), url=folder)
    for encoding, counts in (("json", False), ("export_json", True)):
        with tempfile.TemporaryDirectory() as folder:
            with_rows_again(archive, f"{folder}/copy", encoding)
            # A path from here on, too.
            os.chdir(folder)
            again = [row for row in rows(state(url="copy/")) if row["_rescued"] == AGAIN]
            if bool(again) != counts:
                raise Difference(f"in {encoding}: {len(again)} rows that are there again count")


def check(reader, archive, comparison, folder):
    rows, refusals, entries = ROWS[reader], 0, list(archive.tables())
    some = [archive.through] if archive.store.s3 else moments(comparison, entries)
    for name, entry in entries:
        printed = {}
        exec(pathlib.Path(folder, f"{name.replace('/', '.')}.{reader}").read_text(encoding="utf-8"), printed)
        state = printed["state"]
        if covered(entry, archive.through):
            check_state(comparison, name, entry, rows(state()), archive.through)
        for at in some:
            if covered(entry, at):
                check_state(comparison, name, entry, rows(state(at)), at)
            else:
                ends = [f"(_ts {end})" for span in entry["covered"] for end in span.values()]
                refused(state, ["is not covered at", f"(_ts {at})", *ends], at=at)
                refusals += 1
        if name == "orders" and not archive.store.s3:
            check_datetimes(archive, comparison, entry, state, rows)
            check_copies(archive, state, rows)
            printed["SCHEMA"] += 1
            refused(state, ["create the script again"])
    print(f"{reader}: {len(entries)} tables, {len(some)} moments, {refusals} refused")


def main(place, expected, folder):
    archive = Archive(place)
    comparison = Comparison(archive, expected)
    try:
        for reader in ROWS:
            check(reader, archive, comparison, folder)
    except Difference as difference:
        sys.exit(f"{reader}: {difference}")


main(*sys.argv[1:])
