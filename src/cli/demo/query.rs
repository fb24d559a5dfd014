//! Queries for DuckDB over the files that a manifest names.

use std::path::Path;

/// Current rows and history of one table of the demo, as a file for `duckdb :memory:`.
pub(super) fn queries(archive: &Path, table: &str, version: u64, files: &[&str]) -> String {
    let files: Vec<_> = files.iter().map(|file| format!("  {}", quoted(&archive.join(file)))).collect();
    let files = files.join(",\n");
    format!(
        "\
-- Table `{table}` at version {version} of the archive. The files come from manifest.json: what it does not name is not
-- part of the archive (an unfinished file, say).
CREATE VIEW {table}_revisions AS
SELECT * FROM read_parquet([
{files}
], union_by_name = true, hive_partitioning = true);

-- Current rows: the newest revision of each _id, unless that is a tombstone.
CREATE VIEW {table} AS
SELECT * EXCLUDE (_ts, _tombstone, _base, _nulls, _rescued, convex_phase, convex_month)
FROM {table}_revisions
QUALIFY row_number() OVER (PARTITION BY _id ORDER BY _ts DESC) = 1 AND NOT _tombstone;

SELECT count(*) AS documents, count(*) FILTER (status.deprecated) AS deprecated FROM {table};
SELECT feature, status.experimental, status.deprecated, mdn_url FROM {table} ORDER BY feature LIMIT 5;

-- History: every revision of the three documents that changed most.
SELECT make_timestamp_ns(_ts) AS at_utc,
       CASE WHEN _tombstone THEN 'deleted' WHEN convex_phase = 'snapshot' THEN 'was there' ELSE 'written' END AS what,
       _id, feature, status.experimental
FROM {table}_revisions
WHERE _id IN (SELECT _id FROM {table}_revisions GROUP BY _id ORDER BY count(*) DESC, _id LIMIT 3)
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
