//! The view `T_versions`: the spans of moments in which each revision was the document.
//!
//! Each base of a table serves one span: from its S to just before the next one, to a gap, or to the moment that is meant. In it a revision
//! lives until the next one of its document. What is the same in two spans that touch is one row; so where a table is not covered
//! there are no rows, and a revision that a later base confirms has no seam.

/// The statement that makes the view, of all rows that `rows` (a call of a macro) reads. `state` has `bases`, their S, and `until`, the last moment
/// that each serves; `at` is the moment that is meant.
pub(super) fn versions_view(view: &str, rows: &str, state: &str, at: &str) -> String {
    format!(
        "CREATE OR REPLACE VIEW {view} AS
WITH placed AS (
  SELECT *, _archive.serving({state}, _base, _ts) AS _span FROM {rows}
), lived AS (
  -- Of equal rows only the last one lived.
  SELECT *, greatest(_ts, {state}.bases[_span]) AS _valid_from_ts,
    coalesce(lead(_ts) OVER (PARTITION BY _id, _span ORDER BY _ts, _rank), _archive.served_to({state}, _span, {at})) AS _valid_to_ts
  FROM placed WHERE _span > 0 AND {state}.bases[_span] <= {at}
), apart AS (
  SELECT *, lag(_valid_to_ts) OVER (PARTITION BY _id, _ts ORDER BY _valid_from_ts) IS DISTINCT FROM _valid_from_ts AS _begins
  FROM lived WHERE _valid_from_ts < _valid_to_ts AND NOT _tombstone
), counted AS (
  SELECT *, sum(CAST(_begins AS BIGINT)) OVER (PARTITION BY _id, _ts ORDER BY _valid_from_ts) AS _piece FROM apart
), joined AS (
  -- Spans that touch are one.
  SELECT * REPLACE (min(_valid_from_ts) OVER piece AS _valid_from_ts, nullif(max(_valid_to_ts) OVER piece, 9223372036854775807) AS _valid_to_ts)
  FROM counted
  WINDOW piece AS (PARTITION BY _id, _ts, _piece)
  QUALIFY row_number() OVER (PARTITION BY _id, _ts, _piece ORDER BY _rank DESC, _valid_from_ts) = 1
)
SELECT _id, _creationTime, _creationTime_utc, _ts, _ts_utc,
  _archive.rounded_up(_valid_from_ts) AS _valid_from, _archive.rounded_up(_valid_to_ts) AS _valid_to, _valid_from_ts, _valid_to_ts,
  _valid_to_ts IS NULL AS _is_current,
  * EXCLUDE (_id, _creationTime, _creationTime_utc, _ts, _ts_utc, _valid_from_ts, _valid_to_ts, _tombstone, _base, _rank, _span, _begins, _piece)
FROM joined;
"
    )
}
