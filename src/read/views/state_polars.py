def state(at=None, url=URL):
    """The documents at a moment: a _ts in nanoseconds, a datetime (UTC if it has no zone), or None for as far as the archive reaches."""
    files, s, at = files_at(at, url.rstrip("/"), lambda path: "\n".join(pl.read_lines(path, glob=False)["line"]))
    cast = pl.ScanCastOptions(missing_struct_fields="insert")
    options = {"missing_columns": "insert", "cast_options": cast, "glob": False, "hive_partitioning": False}
    rows = pl.scan_parquet(files, schema=schema, **options) if files else pl.LazyFrame(schema=schema)
    rows = rows.filter(pl.col("_base").is_not_null() | pl.col("_ts").is_between(s, at, closed="right"))
    newest = rows.sort("_ts", maintain_order=True).unique("_id", keep="last", maintain_order=True)
    return newest.filter(~pl.col("_tombstone")).drop("_tombstone", "_base")
