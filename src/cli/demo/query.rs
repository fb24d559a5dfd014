//! Queries for DuckDB over the files that a manifest names.

use std::path::Path;

/// Current rows and history of one table of the root component, as a file for `duckdb :memory:`. It reads the list of
/// files from `manifest.json` when it is run, so it stays right after later syncs.
pub(super) fn queries(archive: &Path, table: &str) -> String {
    let archive = quoted(archive);
    format!(
        "\
-- Table `{table}`. The files come from manifest.json: what it does not name is not part of the archive.
SET VARIABLE archive = {archive};
SET VARIABLE files = (
  SELECT list(getvariable('archive') || '/' || file.path)
  FROM (SELECT unnest(tables) AS t FROM read_json(getvariable('archive') || '/manifest.json')), unnest(t.files) AS u(file)
  WHERE t.table.name = '{table}'
);

-- History: every revision.
CREATE VIEW {table}_revisions AS
SELECT * FROM read_parquet(getvariable('files'), union_by_name = true, hive_partitioning = true);

-- Current rows: the newest base (_base is its _ts) and the deltas after it, of each _id the newest revision, unless that is a
-- tombstone.
CREATE VIEW {table} AS
WITH newest AS (SELECT coalesce(max(_base), 0) AS base FROM {table}_revisions)
SELECT * EXCLUDE (base, _ts, _tombstone, _base, _nulls, _rescued, convex_phase, convex_month)
FROM {table}_revisions, newest
WHERE _base = base OR (_base IS NULL AND _ts > base)
QUALIFY row_number() OVER (PARTITION BY _id ORDER BY _ts DESC) = 1 AND NOT _tombstone;

SELECT count(*) AS documents, count(*) FILTER (status.deprecated) AS deprecated FROM {table};
SELECT feature, status.experimental, status.deprecated, mdn_url FROM {table} ORDER BY feature LIMIT 5;

-- The history of some documents that were deleted or changed.
SELECT make_timestamp_ns(_ts) AS at_utc,
       CASE WHEN _tombstone THEN 'deleted' WHEN convex_phase = 'snapshot' THEN 'was there' ELSE 'written' END AS what,
       _id, feature, status.experimental
FROM {table}_revisions
WHERE _id IN (SELECT _id FROM {table}_revisions GROUP BY _id ORDER BY bool_or(_tombstone) DESC, count(*) DESC, _id LIMIT 4)
ORDER BY _id, _ts;
"
    )
}

/// A path as a string of SQL.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_quote_stays_one_string() {
        assert_eq!(quoted(Path::new("it's/a.parquet")), "'it''s/a.parquet'");
    }
}
