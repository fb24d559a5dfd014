"""frozen_spark.py ARCHIVE ANSWERS SCRIPT: of an archive with gaps, cuts, several bases and documents without types Spark's views say
what ANSWERS has: the history of every document, and at each moment what was valid then. SCRIPT is run as a program, too. The archive is a path.
"""

import json
import subprocess
import sys

import pyspark

from archive import Archive, Difference, document, same
from files import revision_text
from spark_views import Versions, load, rows, session
from texts import sum_of


def lines_of(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def read(place, answers, path):
    archive, script, spark = Archive(place), load(path), session()
    views = script.Archive(spark)
    entries = dict(archive.tables())
    revisions = {name: {} for name in entries}
    for line in lines_of(f"{answers}/history.ndjson"):
        revisions[line["table"]] |= {(line["id"], said["ts"]): said["document"] for said in line["revisions"]}
    for name, entry in entries.items():
        found = {(row["_id"], row["_ts"]): document(entry["columns"], row) for row in rows(script, entry, views.history(name))}
        same(f"table {name}, history", found, revisions[name])
    versions = {
        (name, end): Versions(script, name, entry, views.versions(name, end), end)
        for name, entry in entries.items()
        for end in (entry["covered"][0]["to"], archive.through)
    }
    moments = 0
    for line in lines_of(f"{answers}/states.ndjson"):
        name, at = line["table"], line["at"]
        wanted = line["documents"] or {}
        for (table, end), view in versions.items():
            if table == name and at <= end:
                valid = [(key, row["_ts"], found) for key, (row, found) in view.at(at).items()]
                same(f"{view.name} at {at}", {key: ts for key, ts, _ in valid}, wanted)
                total = sum_of(revision_text(name, *revision) for revision in valid).total
                if wanted and f"{total:064x}" != line["sum"]:
                    raise Difference(f"{view.name} at {at} to {end}: {total:064x} is the sum of their texts, not {line['sum']}")
                moments += 1
    # Functions of a program get to workers in another way than those of a module.
    beside = views.state("orders").selectExpr("count(lines__rescued)").first()[0]
    spark.stop()
    run = subprocess.run([sys.executable, path, "SELECT count(lines__rescued) AS items FROM orders"], capture_output=True, text=True)
    if not beside or "|items|" not in run.stdout or f"|{beside}" not in run.stdout.replace(" ", ""):
        raise Difference(f"the program says, of {beside} fields: {run.stdout}{run.stderr}")
    print(f"Spark {pyspark.__version__}: {len(versions)} views of versions, {moments} moments")


if __name__ == "__main__":
    try:
        read(*sys.argv[1:])
    except Difference as difference:
        sys.exit(str(difference))
