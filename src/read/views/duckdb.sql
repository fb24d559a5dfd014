-- Times are UTC, also where an engine compares them with now().
SET GLOBAL TimeZone = 'UTC';
CREATE SCHEMA IF NOT EXISTS _archive;
SET VARIABLE "_archive url" = $URL;
-- Where manifest.json and the parts are.
SET VARIABLE "_archive lists" = $LISTS;

-- What manifest.json says now, if this script knows all that is needed to read it.
CREATE OR REPLACE TEMP TABLE _archive_manifest AS
WITH written AS (
  SELECT from_json(content, '{"format": "UINTEGER", "program": "VARCHAR", "needs": {"readers": ["VARCHAR"]}, "cursor": {"ts": "BIGINT"},
    "coverage": [{"covered": [{"from": "BIGINT", "to": "BIGINT"}], "bases": [{"id": "VARCHAR", "ts": "BIGINT"}]}], "covered": ["BIGINT"],
    "tables": [{"table": {"table": {"component": "VARCHAR", "name": "VARCHAR"}, "folder": "VARCHAR",
      "months": "MAP(VARCHAR, STRUCT(version UBIGINT))", "schema": {"schema": "UINTEGER"},
      "base": {"rescued_rows": "UBIGINT"}, "delta": {"rescued_rows": "UBIGINT"}, "misfits": "MAP(VARCHAR, JSON)"}}]}') AS manifest
  FROM read_text(getvariable('_archive lists') || '/manifest.json')
), checked AS (
  SELECT manifest, manifest.format <= $FORMAT AS known, list_filter(manifest.needs.readers, lambda word: NOT list_contains($READERS, word)) AS words
  FROM written
)
SELECT manifest FROM checked
WHERE coalesce(known AND len(words) = 0, false) OR error('this archive was written by ' || coalesce(manifest.program, 'another program')
  || CASE WHEN known AND len(words) > 0 THEN ' and needs a reader that supports `' || array_to_string(words, '`, `') || '`, which this script does not'
    ELSE ', in a format that this script does not know' END || ': create the script with that program or a newer one');

-- Of each table the moments that are covered, the bases that hold them, and its parts: the lists of its files by month.
CREATE OR REPLACE TEMP TABLE _archive_entries AS
WITH coverage AS (
  SELECT unnest(manifest.coverage) AS coverage, unnest(range(len(manifest.coverage))) AS place FROM _archive_manifest
), entries AS (
  SELECT unnest(manifest.tables)."table" AS entry, unnest(manifest.covered) AS place, manifest.cursor.ts AS through FROM _archive_manifest
)
SELECT concat_ws('/', entry."table".component, entry."table".name) AS name, entry.folder, entry.months, through,
  {'columns': entry.schema.schema, 'rescued': coalesce(entry.base.rescued_rows, 0) + coalesce(entry.delta.rescued_rows, 0) > 0,
    'misfits': coalesce(map_keys(entry.misfits), [])} AS newest,
  coverage.covered, coverage.bases,
  CASE WHEN len(coverage.covered) = 0 THEN 'no moment is, yet' ELSE 'choose a moment in ' || array_to_string(list_transform(coverage.covered,
    lambda span: make_timestamp_ns(span."from") || ' UTC (_ts ' || span."from" || ') to ' || make_timestamp_ns(span."to") || ' UTC (_ts ' || span."to" || ')'), ', ') END AS spans
FROM entries JOIN coverage USING (place);

-- All parts of the tables that get views, in one reading. (What names them is to be constant: see _archive.read.)
SET VARIABLE "_archive parts" = (
  SELECT list(getvariable('_archive lists') || '/parts/' || folder || '/' || month.key || '/' || lpad(CAST(month.value.version AS VARCHAR), 20, '0') || '.jsonl.gz')
  FROM (SELECT folder, unnest(map_entries(months)) AS month FROM _archive_entries WHERE list_contains($TABLES, name))
);
-- And which files to read for which moment. What was withdrawn, and what a walk has not finished, is of no base of its table.
CREATE OR REPLACE TEMP TABLE _archive_tables AS
WITH listed AS (
  SELECT concat_ws('/', "table".component, "table".name) AS name, path, base, encoding, min_ts, max_ts
  FROM query(CASE WHEN getvariable('_archive parts') IS NULL
    THEN 'SELECT NULL::STRUCT(component VARCHAR, name VARCHAR) AS "table", NULL::VARCHAR AS path, NULL::VARCHAR AS base, NULL::VARCHAR AS encoding, NULL::BIGINT AS min_ts, NULL::BIGINT AS max_ts WHERE false'
    ELSE 'FROM read_json(getvariable(''_archive parts''), format = ''newline_delimited'', hive_partitioning = false, columns = {
      "table": ''STRUCT(component VARCHAR, name VARCHAR)'', path: ''VARCHAR'', base: ''VARCHAR'', encoding: ''VARCHAR'', min_ts: ''BIGINT'', max_ts: ''BIGINT''})' END)
), tables AS (
  SELECT name, newest, covered, spans, list_transform(bases, lambda base: base.ts) AS bases FROM _archive_entries WHERE list_contains($TABLES, name)
), in_force AS (
  SELECT name, base.id AS base, base.ts AS base_ts FROM (SELECT name, unnest(bases) AS base FROM _archive_entries)
), files AS (
  SELECT name, getvariable('_archive url') || '/' || path AS path, base_ts, min_ts, max_ts,
         row_number() OVER (PARTITION BY name ORDER BY encoding <> 'json', path) AS rank
  FROM listed LEFT JOIN in_force USING (name, base)
  WHERE base IS NULL OR base_ts IS NOT NULL
), served AS (
  -- The last moment that each base serves: just before the next one, or where its span ends.
  SELECT name, base, least(lead(base) OVER (PARTITION BY name ORDER BY base) - 1,
    coalesce(list_max(list_transform(list_filter(covered, lambda span: span."from" <= base AND base <= span."to"), lambda span: span."to")), base - 1)) AS until
  FROM (SELECT DISTINCT name, covered, unnest(bases) AS base FROM tables)
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
SELECT name, struct_pack(
  name := name,
  newest := newest,
  bases := (SELECT coalesce(list(base ORDER BY base), []::BIGINT[]) FROM after WHERE after.name = tables.name),
  until := (SELECT coalesce(list(until ORDER BY base), []::BIGINT[]) FROM served WHERE served.name = tables.name),
  after := (SELECT map_from_entries(coalesce(list((base, after.files)), [])) FROM after WHERE after.name = tables.name),
  history := (SELECT coalesce(list(path ORDER BY rank), []::VARCHAR[]) FROM files WHERE files.name = tables.name),
  covered_from := list_transform(covered, lambda span: span."from"),
  covered_to := list_transform(covered, lambda span: span."to"),
  spans := spans) AS state
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
    error('not a moment: use a _ts, a TIMESTAMP, or text such as 2026-11-24T07:45:39Z'))
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

-- What is made for each table; and no rows, in all its columns.
CREATE OR REPLACE MACRO _archive.own(what, name) AS '_archive."' || what || ' of ' || replace(name, '"', '""') || '"()';
CREATE OR REPLACE MACRO _archive.none(name) AS 'FROM ' || _archive.own('none', name);

-- A view is tried when it is made, and is empty then if it has no rows to show; ever after that is an error. Variables are a session's own:
-- one in which this script has not come to its end knows nothing of the files, and must not take that for an empty table.
SET VARIABLE "_archive making" = 'nothing yet';
CREATE OR REPLACE MACRO _archive.refuse(name, message) AS CASE coalesce(getvariable('_archive making'), 'nothing yet')
  WHEN name THEN _archive.none(name)
  WHEN 'nothing more' THEN error(message)
  ELSE error('the views do not know the archive in this session: run the views script in this session first') END;
-- Text of a query for rows: of files, none, or no query. (`_rank`: of two rows with one _id and _ts the larger counts.)
CREATE OR REPLACE MACRO _archive.read(name, files, call, rank, condition) AS CASE
  WHEN len(files) > 0 THEN 'SELECT *, ' || rank || ' AS _rank FROM read_parquet(' || call
    || ', schema = ' || _archive.own('columns', name) || ') WHERE ' || condition
  ELSE _archive.none(name) END;
CREATE OR REPLACE MACRO _archive.call(name, ts) AS '(' || _archive.quoted(name) || ', ' || ts || ')';
-- What a script knows of a table when it is made: one that has got more is not shown in part.
CREATE OR REPLACE MACRO _archive.has_more(newest, known) AS newest.columns > known.columns OR newest.rescued > known.rescued
  OR NOT list_has_all(known.misfits, newest.misfits);
CREATE OR REPLACE MACRO _archive.more(name) AS 'table ' || _archive.state(name).name
  || ' has got columns, or values that fit none, since this script was made: make it anew';
CREATE OR REPLACE MACRO _archive.rows_at(name, ts, known) AS CASE
  WHEN _archive.state(name) IS NULL THEN _archive.refuse(name, 'table ' || name || ' is not in the archive')
  WHEN _archive.has_more(_archive.state(name).newest, known) THEN _archive.refuse(name, _archive.more(name))
  WHEN NOT _archive.covers(name, ts) THEN _archive.refuse(name, 'table ' || _archive.state(name).name || ' is not covered at '
    || coalesce(make_timestamp_ns(ts) || ' UTC (_ts ' || ts || ')', 'an unknown moment') || ': ' || _archive.state(name).spans)
  ELSE _archive.read(name, _archive.files(name, ts), '_archive.files' || _archive.call(name, ts),
    '_archive.ranks' || _archive.call(name, ts) || '[CAST(file_index AS BIGINT) + 1]',
    '_base IS NOT NULL OR (_ts > ' || _archive.base(name, ts) || ' AND _ts <= ' || ts || ')') END;
CREATE OR REPLACE MACRO _archive.rows_ever(name, ts, known) AS CASE
  WHEN _archive.state(name) IS NULL THEN _archive.refuse(name, 'table ' || name || ' is not in the archive')
  WHEN _archive.has_more(_archive.state(name).newest, known) THEN _archive.refuse(name, _archive.more(name))
  ELSE _archive.read(name, _archive.state(name).history, '_archive.state(' || _archive.quoted(name) || ').history',
    'CAST(file_index AS BIGINT)', coalesce('_ts <= ' || ts, 'false')) END;

