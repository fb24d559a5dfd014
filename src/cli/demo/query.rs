//! The demo's queries for DuckDB, over the views that `views --engine duckdb` prints.

/// Current rows and history of one table of the root component.
pub(super) fn queries(table: &str) -> String {
    format!(
        "\
SELECT count(*) AS documents, count(*) FILTER (status.deprecated) AS deprecated FROM {table};
SELECT feature, status.experimental, status.deprecated, mdn_url FROM {table} ORDER BY feature LIMIT 5;

-- The history of some documents that were deleted or changed.
SELECT _ts_utc, CASE WHEN _tombstone THEN 'deleted' ELSE 'written' END AS what, _id, feature, status.experimental
FROM {table}_history
WHERE _id IN (SELECT _id FROM {table}_history GROUP BY _id ORDER BY bool_or(_tombstone) DESC, count(*) DESC, _id LIMIT 4)
ORDER BY _id, _ts;
"
    )
}
