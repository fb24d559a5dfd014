"""generated_spark.py ARCHIVE EXPECTED SCRIPT: what generated_reads.py asks of DuckDB, of Spark."""

import sys

import pyspark

from archive import Archive, Comparison, Difference, document
from duckdb_views import covered
from generated_reads import check_history, check_without_column, some_moments
from spark_views import Versions, check_state, load, rows, same, session


def read(place, expected, path):
    archive = Archive(place)
    comparison = Comparison(archive, expected)
    spark = session()
    script = load(path)
    views = script.Archive(spark)
    names = views.register()
    counted = 0
    for name, entry in archive.tables():
        plain, history, versions = (spark.table(f"`{view}`") for view in names[name])
        check_state(script, comparison, name, entry, plain, archive.through)
        found = [((row["_id"], row["_ts"]), document(entry["columns"], row)) for row in rows(script, entry, history)]
        check_history(name, entry, comparison, found)
        check_without_column(name, entry, (row[0] for row in history.select("_rescued").collect()))
        lived = Versions(script, name, entry, versions, archive.through)
        at = [moment for moment in some_moments(name, entry, comparison) if moment <= archive.through]
        for moment in at:
            wanted = comparison.state(name, moment) if covered(entry, moment) else {}
            valid = {key: found for key, (_, found) in lived.at(moment).items()}
            same(f"{name}, versions at {moment}", valid, {key: revision["document"] for key, revision in wanted.items()})
        middle = [moment for moment in at if covered(entry, moment)][len(at) // 4]
        check_state(script, comparison, name, entry, views.state(name, middle), middle)
        counted += len(found)
    spark.stop()
    print(f"Spark {pyspark.__version__}: {counted} revisions")


if __name__ == "__main__":
    try:
        read(*sys.argv[1:])
    except Difference as difference:
        sys.exit(str(difference))
