def state(at=None, url=URL):
    """The documents at a moment: a _ts in nanoseconds, a datetime (UTC if it has no zone), or None for as far as the archive reaches."""
    store, folder = fs.FileSystem.from_uri(url if "://" in url else os.path.abspath(url))
    files, s, at = files_at(at, folder.rstrip("/"), lambda path: store.open_input_stream(path).read().decode())
    in_time = pc.field("_base").is_valid() | (pc.field("_ts") > s) & (pc.field("_ts") <= at)
    rows = ds.dataset(files, schema=schema, format="parquet", filesystem=store).to_table(filter=in_time)
    keys = rows.select(["_id", "_ts"]).append_column("row", pa.array(range(rows.num_rows), pa.int64()))
    keys = keys.sort_by([("_ts", "ascending"), ("row", "ascending")])
    newest = keys.group_by("_id", use_threads=False).aggregate([("row", "last")])["row_last"]
    newest = pc.is_in(pa.array(range(rows.num_rows), pa.int64()), newest)
    return rows.filter(pc.and_not(newest, rows["_tombstone"])).drop_columns(["_tombstone", "_base"])
