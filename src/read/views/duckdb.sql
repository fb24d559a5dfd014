CREATE SCHEMA IF NOT EXISTS _archive;
SET VARIABLE "_archive url" = $URL;

-- What manifest.json says now: of each table the moments that are covered, its bases, and which files to read for which moment.
CREATE OR REPLACE TEMP TABLE _archive_tables AS
WITH manifest AS (
  SELECT from_json(content, '{"format": "UINTEGER", "cursor": {"ts": "BIGINT"}, "tables": [{
    "table": {"component": "VARCHAR", "name": "VARCHAR"}, "bases": ["BIGINT"], "covered": [{"from": "BIGINT", "to": "BIGINT"}],
    "files": [{"path": "VARCHAR", "base_ts": "BIGINT", "min_ts": "BIGINT", "max_ts": "BIGINT", "brought_by": "UBIGINT"}]}]}') AS m
  FROM read_text(getvariable('_archive url') || '/manifest.json')
), tables AS (
  SELECT concat_ws('/', t.table.component, t.table.name) AS name, t.bases, t.covered, t.files, through
  FROM (SELECT unnest(m.tables) AS t, m.cursor.ts AS through FROM manifest
        WHERE m.format <= $FORMAT OR error('this archive has a newer format: make the script with a newer convex-archiver'))
), files AS (
  SELECT name, getvariable('_archive url') || '/' || f.path AS path, f.base_ts, f.min_ts, f.max_ts,
         row_number() OVER (PARTITION BY name ORDER BY f.brought_by, f.path) AS rank
  FROM (SELECT name, unnest(files) AS f FROM tables)
), after AS (
  SELECT name, base, struct_pack(
    base := coalesce(list(path ORDER BY rank) FILTER (base_ts IS NOT NULL), []::VARCHAR[]),
    base_ranks := coalesce(list(rank ORDER BY rank) FILTER (base_ts IS NOT NULL), []::BIGINT[]),
    deltas := coalesce(list(path ORDER BY min_ts, rank) FILTER (base_ts IS NULL AND path IS NOT NULL), []::VARCHAR[]),
    delta_ranks := coalesce(list(rank ORDER BY min_ts, rank) FILTER (base_ts IS NULL AND path IS NOT NULL), []::BIGINT[]),
    begin := coalesce(list(min_ts ORDER BY min_ts, rank) FILTER (base_ts IS NULL AND path IS NOT NULL), []::BIGINT[])) AS files
  FROM (SELECT DISTINCT name, unnest(bases) AS base FROM tables)
  LEFT JOIN files USING (name)
  WHERE path IS NULL OR base_ts = base OR (base_ts IS NULL AND max_ts > base)
  GROUP BY name, base
)
SELECT name, through, covered, struct_pack(
  name := name,
  bases := (SELECT coalesce(list(base ORDER BY base), []::BIGINT[]) FROM after WHERE after.name = tables.name),
  after := (SELECT map_from_entries(coalesce(list((base, after.files)), [])) FROM after WHERE after.name = tables.name),
  history := (SELECT coalesce(list(path ORDER BY rank), []::VARCHAR[]) FROM files WHERE files.name = tables.name),
  covered_from := list_transform(covered, lambda span: span."from"),
  covered_to := list_transform(covered, lambda span: span."to"),
  spans := CASE WHEN len(covered) = 0 THEN 'no moment is, yet' ELSE 'choose a moment in ' || array_to_string(list_transform(covered,
    lambda span: make_timestamp_ns(span."from") || ' UTC (_ts ' || span."from" || ') to ' || make_timestamp_ns(span."to") || ' UTC (_ts ' || span."to" || ')'), ', ') END) AS state
FROM tables;

-- A moment: a _ts, a TIMESTAMP, or text of one (UTC unless it has an offset).
CREATE OR REPLACE MACRO _archive.ts(moment) AS CASE
  WHEN moment IS NULL THEN NULL
  WHEN regexp_full_match(CAST(moment AS VARCHAR), '-?\d+') THEN TRY_CAST(CAST(moment AS VARCHAR) AS BIGINT)
  ELSE coalesce(
    epoch_ns(TRY_CAST(regexp_replace(CAST(moment AS VARCHAR), '(:\d\d(\.\d+)?)([+-]\d\d(:?\d\d)?|Z)$', '\1') AS TIMESTAMP_NS))
      - coalesce(TRY_CAST(regexp_extract(CAST(moment AS VARCHAR), ':\d\d(?:\.\d+)?([+-]\d\d)(?::?\d\d)?$', 1) AS BIGINT), 0) * 3600000000000
      - coalesce(TRY_CAST(regexp_extract(CAST(moment AS VARCHAR), ':\d\d(?:\.\d+)?([+-])\d\d:?(\d\d)$', 1)
                       || regexp_extract(CAST(moment AS VARCHAR), ':\d\d(?:\.\d+)?([+-])\d\d:?(\d\d)$', 2) AS BIGINT), 0) * 60000000000,
    error('no moment: say a _ts, a TIMESTAMP, or text such as 2026-11-24T07:45:39Z'))
END;

-- How many numbers of a sorted list are at or below ts. (Lambdas are not to be had where files are named.)
CREATE OR REPLACE MACRO _archive.upto(numbers, ts) AS
  list_position(list_sort(list_append(numbers, least(ts, 9223372036854775806) + 1)), least(ts, 9223372036854775806) + 1) - 1;
CREATE OR REPLACE MACRO _archive.state(name) AS getvariable('_archive table ' || name);
-- The newest base at or below ts, and the files from it up to ts.
CREATE OR REPLACE MACRO _archive.base(name, ts) AS _archive.state(name).bases[_archive.upto(_archive.state(name).bases, ts)];
CREATE OR REPLACE MACRO _archive.after(name, ts) AS _archive.state(name).after[_archive.base(name, ts)];
CREATE OR REPLACE MACRO _archive.files(name, ts) AS list_concat(_archive.after(name, ts).base,
  _archive.after(name, ts).deltas[1:_archive.upto(_archive.after(name, ts).begin, ts)]);
CREATE OR REPLACE MACRO _archive.ranks(name, ts) AS list_concat(_archive.after(name, ts).base_ranks,
  _archive.after(name, ts).delta_ranks[1:_archive.upto(_archive.after(name, ts).begin, ts)]);
CREATE OR REPLACE MACRO _archive.covers(name, ts) AS
  coalesce(ts <= _archive.state(name).covered_to[_archive.upto(_archive.state(name).covered_from, ts)], false);
CREATE OR REPLACE MACRO _archive.quoted(text) AS '''' || replace(text, '''', '''''') || '''';

-- A view is tried when it is made, and is empty then if it has no rows to show; ever after that is an error. Variables are a session's own:
-- one in which this script has not come to its end knows nothing of the files, and must not take that for an empty table.
SET VARIABLE "_archive making" = 'nothing yet';
CREATE OR REPLACE MACRO _archive.refuse(name, message) AS CASE coalesce(getvariable('_archive making'), 'nothing yet')
  WHEN name THEN 'SELECT NULL::VARCHAR AS _id WHERE false'
  WHEN 'nothing more' THEN error(message)
  ELSE error('the views do not know the archive in this session: run the views script in this session first') END;
-- Text of a query for rows: of files, none, or no query. (`_rank`: of two rows with one _id and _ts the larger counts.)
CREATE OR REPLACE MACRO _archive.read(files, call, rank, condition) AS CASE
  WHEN len(files) > 0 THEN 'SELECT *, ' || rank || ' AS _rank FROM read_parquet(' || call
    || ', union_by_name = true, hive_partitioning = false) WHERE ' || condition
  ELSE 'SELECT NULL::VARCHAR AS _id WHERE false' END;
CREATE OR REPLACE MACRO _archive.call(name, ts) AS '(' || _archive.quoted(name) || ', ' || ts || ')';
CREATE OR REPLACE MACRO _archive.rows_at(name, ts) AS CASE
  WHEN _archive.state(name) IS NULL THEN _archive.refuse(name, 'table ' || name || ' is not in the archive')
  WHEN NOT _archive.covers(name, ts) THEN _archive.refuse(name, 'table ' || _archive.state(name).name || ' is not covered at '
    || coalesce(make_timestamp_ns(ts) || ' UTC (_ts ' || ts || ')', 'an unknown moment') || ': ' || _archive.state(name).spans)
  WHEN _archive.base(name, ts) IS NULL THEN _archive.refuse(name, 'manifest.json is of an older program: run sync once')
  ELSE _archive.read(_archive.files(name, ts), '_archive.files' || _archive.call(name, ts),
    '_archive.ranks' || _archive.call(name, ts) || '[CAST(file_index AS BIGINT) + 1]',
    '_base IS NOT NULL OR (_ts > ' || _archive.base(name, ts) || ' AND _ts <= ' || ts || ')') END;
CREATE OR REPLACE MACRO _archive.rows_ever(name, ts) AS CASE
  WHEN _archive.state(name) IS NULL THEN _archive.refuse(name, 'table ' || name || ' is not in the archive')
  ELSE _archive.read(_archive.state(name).history, '_archive.state(' || _archive.quoted(name) || ').history',
    'CAST(file_index AS BIGINT)', coalesce('_ts <= ' || ts, 'false')) END;

