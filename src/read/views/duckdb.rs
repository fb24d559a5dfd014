//! [`duckdb_views`].
//!
//! # Why it is made like this
//! What names the files of a table function must be constant, and may hold neither subqueries nor lambdas. So lists that are
//! sorted already lie in variables, one for each table, and a moment takes the beginning of one. Tables without files, and
//! moments that are not covered, have no files that could be read: `query(text)` chooses at run time.
//!
//! The newest schema is handed to `read_parquet`, by field ids: then DuckDB opens no file before it reads rows (with `union_by_name` it
//! opened every file of every table), and columns are called as we say, so that no name of a document meets one of ours, of a
//! macro, or of DuckDB itself (`file_index`). A script is therefore good for the columns that it was made with: of a table that has got more
//! since, it says so.
//!
//! DuckDB 2.0.0 breaks down where it reads single fields of a struct that some files lack, with a schema given: so structs that may have grown
//! are read whole (`_archive.whole`).
//!
//! The window of the history orders by `_ts` too, which is the same in all its rows: with one key only, DuckDB makes an aggregate
//! of it (1.5.5, 2.0.0) that turns -0.0 into 0.0 and NaN into another NaN.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use super::{
    duckdb_text::{quoted, string},
    names::{UniqueNames, Views, renamed, views},
    rescued::{Evidence, column, nulls, others, shown},
};
use crate::{
    archive::{FORMAT, Head, READERS, TableState},
    document::{TableRef, Timestamp},
    schema::{ColumnType, Engine, Field, OwnColumn, TableSchema, duckdb_cast, misfits_by_path},
};

/// What is the same for every archive.
const COMMON: &str = include_str!("duckdb.sql");

/// Schemas that are DuckDB's own, or ours.
const RESERVED: &[&str] = &["_archive", "temp", "system", "memory", "information_schema", "pg_catalog"];

/// A script for DuckDB (1.5 and later) with views of all tables of the archive at `url`: `messages`, `messages_history`,
/// `messages_versions` and the macro `messages_as_of(moment)`; tables of components are in schemas.
///
/// `columns` are those of the tables ([`Archive::all_schemas`](crate::archive::Archive::all_schemas)); a table of which they are not given gets no
/// views, and nothing of it is read. With `as_of` the plain names mean that moment; without, as far as the archive reaches when the script is run.
pub fn duckdb_views(
    head: &Head,
    columns: &BTreeMap<TableRef, Arc<TableSchema>>,
    url: &str,
    as_of: Option<Timestamp>,
) -> String {
    duckdb_views_of(head, columns, url, url, as_of)
}

/// The same, where `manifest.json` and the parts lie at `lists`, and the data files at `url`.
#[doc(hidden)]
pub fn duckdb_views_of(
    head: &Head,
    columns: &BTreeMap<TableRef, Arc<TableSchema>>,
    url: &str,
    lists: &str,
    as_of: Option<Timestamp>,
) -> String {
    let mut script = header(url, as_of);
    let readers: Vec<_> = READERS.iter().map(|word| string(word)).collect();
    let common = COMMON.replace("$FORMAT", &FORMAT.to_string());
    let common = common.replace("$READERS", &format!("[{}]::VARCHAR[]", readers.join(", ")));
    let tables: Vec<_> = columns.keys().map(|table| string(&table.to_string())).collect();
    let common = common.replace("$TABLES", &format!("[{}]::VARCHAR[]", tables.join(", ")));
    // Both at once: a URL may hold whatever a placeholder looks like.
    for (n, part) in common.split("$URL").enumerate() {
        let url = if n == 0 { String::new() } else { string(url) };
        script += &(url + &part.replace("$LISTS", &string(lists)));
    }
    script += &moment(as_of);
    let names = views(head.tables().map(|state| (&state.table, state.folder.as_str())), "main", RESERVED);
    let mut schemas: Vec<_> =
        names.iter().map(|view| view.schema.as_str()).filter(|schema| *schema != "main").collect();
    schemas.dedup();
    for schema in schemas {
        let _ = writeln!(script, "CREATE SCHEMA IF NOT EXISTS {};", quoted(schema));
    }
    for (state, names) in head.tables().zip(&names) {
        if let Some(schema) = columns.get(&state.table) {
            script += &table(state, schema, names);
        }
    }
    script
        + "\nDROP TABLE _archive_tables;\nDROP TABLE _archive_entries;\nDROP TABLE _archive_manifest;\nSET VARIABLE \"_archive making\" = 'nothing more';\n"
}

fn header(url: &str, as_of: Option<Timestamp>) -> String {
    let mut text = String::from(
        "-- Views of an archive of convex-archiver, for DuckDB 1.5 and later. For each table, here `messages`:\n\
         --   messages               its documents\n\
         --   messages_history       every revision; those that deleted a document have _tombstone\n\
         --   messages_versions      its documents with the spans in which they were so: _valid_from, _valid_to (not itself in it), _is_current\n\
         --   messages_as_of(moment) its documents at a moment: a _ts, a TIMESTAMP, or text of one (UTC)\n\
         -- Run it anew in each session: it reads which files count, from manifest.json and the lists under parts/. Make it anew for tables and\n\
         -- columns that come later.\n",
    );
    if let Some(ts) = as_of {
        let _ = writeln!(text, "-- messages and messages_history are as of {ts}.");
    }
    text.push_str(match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("s3") => {
            "-- Credentials, before this: what the AWS tools know (extension aws), or a key.\n\
             -- CREATE SECRET (TYPE s3, PROVIDER credential_chain);\n\
             -- CREATE SECRET (TYPE s3, KEY_ID '…', SECRET '…', REGION 'eu-central-1');\n"
        }
        Some("gs") => {
            "-- Credentials, before this: an HMAC key of the bucket's project.\n\
             -- CREATE SECRET (TYPE gcs, KEY_ID '…', SECRET '…');\n"
        }
        Some("az") => {
            "-- Credentials, before this (extension azure): what the Azure tools know, or a connection string.\n\
             -- CREATE SECRET (TYPE azure, PROVIDER credential_chain, ACCOUNT_NAME '…');\n\
             -- CREATE SECRET (TYPE azure, CONNECTION_STRING '…');\n"
        }
        _ => "",
    });
    text + "\n"
}

/// Sets the moment that the plain names mean; one that no table covers ends the script.
fn moment(as_of: Option<Timestamp>) -> String {
    let Some(Timestamp(ts)) = as_of else {
        return "-- The plain names mean: as far as the archive reaches.\n\
                SET VARIABLE \"_archive as_of\" = (SELECT max(through) FROM _archive_entries);\n\n"
            .to_owned();
    };
    format!(
        "-- The plain names mean this moment.\n\
         SET VARIABLE \"_archive as_of\" = (\n  \
         SELECT CASE WHEN count(*) FILTER (len(list_filter(covered, lambda span: span.\"from\" <= {ts} AND {ts} <= span.\"to\")) > 0) > 0\n    \
         THEN {ts} ELSE error('the archive covers no table at ' || make_timestamp_ns({ts}) || ' UTC (_ts {ts}): '\n      \
         || coalesce(string_agg(DISTINCT spans, '; '), 'it has no tables')) END\n  \
         FROM _archive_entries\n);\n\n"
    )
}

fn table(state: &TableState, schema: &TableSchema, names: &Views<'_>) -> String {
    let fields = &schema.fields;
    // Variables and macros too have names in which case does not count.
    let unique = format!("{}.{}", names.schema, names.plain);
    let variable = quoted(&format!("_archive table {unique}"));
    let own = |what: &str| format!("_archive.{}", quoted(&format!("{what} of {unique}")));
    let (rows, held, none) = (own("rows"), own("columns"), own("none"));
    let (name, table) = (string(&unique), string(&state.table.to_string()));
    let within = |name: &str| format!("{}.{}", quoted(&names.schema), quoted(name));
    let (plain, history) = (within(&names.plain), within(&names.history));
    let (versions, as_of) = (within(&names.versions), within(&names.as_of));
    let ours = OwnColumn::ALL.iter();
    let ours = ours.map(|own| (own.id(), own.name().to_owned(), Engine::DuckDb.type_of(own.column_type())));
    let theirs = fields.iter().map(|field| (field.id, column(field), Engine::DuckDb.type_of(&field.column_type)));
    let (mut map, mut empty) = (Vec::new(), Vec::new());
    for (id, name, kind) in ours.chain(theirs) {
        map.push(format!("{id}: {{'name': '{name}', 'type': {}, 'default_value': NULL}}", string(&kind)));
        empty.push(format!("NULL::{kind} AS {name}"));
    }
    let (map, empty) = (map.join(",\n  "), empty.join(", "));
    let Columns { columns, nulls, others } = columns(state, schema);
    format!(
        "
-- {shown}
SET VARIABLE \"_archive making\" = {name};
SET VARIABLE {variable} = (SELECT state FROM _archive_tables WHERE name = {table});
CREATE OR REPLACE MACRO {held}() AS MAP {{
  {map}}};
CREATE OR REPLACE MACRO {none}() AS TABLE SELECT {empty}, NULL::BIGINT AS _rank WHERE false;
CREATE OR REPLACE MACRO {rows}(_source) AS TABLE
SELECT _id, _creationTime, try(make_timestamp(CAST(_creationTime * 1000 AS BIGINT))) AS _creationTime_utc,
  _ts, make_timestamp(_ts // 1000) AS _ts_utc, _tombstone, _base, _rank,
{columns}  {nulls} AS _nulls, {others} AS _rescued
FROM query(_source);
CREATE OR REPLACE MACRO {as_of}(moment) AS TABLE
SELECT * EXCLUDE (_tombstone, _base, _rank) FROM {rows}(_archive.rows_at({name}, _archive.ts(moment), {known}))
QUALIFY row_number() OVER (PARTITION BY _id ORDER BY _ts DESC, _rank DESC) = 1 AND NOT _tombstone;
CREATE OR REPLACE VIEW {plain} AS FROM {as_of}(getvariable('_archive as_of'));
CREATE OR REPLACE VIEW {history} AS
SELECT * EXCLUDE (_base, _rank) FROM {rows}(_archive.rows_ever({name}, getvariable('_archive as_of'), {known}))
QUALIFY row_number() OVER (PARTITION BY _id, _ts ORDER BY _ts, _rank DESC) = 1;
CREATE OR REPLACE VIEW {versions} AS
WITH placed AS (
  SELECT *, _archive.serving(_archive.state({name}), _base, _ts) AS _span
  FROM {rows}(_archive.rows_ever({name}, getvariable('_archive as_of'), {known}))
), lived AS (
  -- Of equal rows only the last one lived.
  SELECT *, greatest(_ts, _archive.state({name}).bases[_span]) AS _valid_from_ts,
    coalesce(lead(_ts) OVER (PARTITION BY _id, _span ORDER BY _ts, _rank),
      _archive.served_to(_archive.state({name}), _span, getvariable('_archive as_of'))) AS _valid_to_ts
  FROM placed WHERE _span > 0 AND _archive.state({name}).bases[_span] <= getvariable('_archive as_of')
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
",
        shown = state.table,
        known = format!(
            "{{'columns': {}, 'rescued': {}, 'misfits': [{}]::VARCHAR[]}}",
            schema.id,
            has_rescued(state),
            state.misfits.keys().map(|key| string(key)).collect::<Vec<_>>().join(", ")
        ),
    )
}

fn has_rescued(state: &TableState) -> bool {
    state.base.rescued_rows + state.delta.rescued_rows > 0
}

/// What a row shows of a document.
struct Columns {
    /// Its fields, a line each, under their names where these are free: JSON text as JSON, and beside a field the values that fit no
    /// column of it.
    columns: String,
    nulls: String,
    /// What has no column.
    others: String,
}

fn columns(state: &TableState, schema: &TableSchema) -> Columns {
    let fields = &schema.fields;
    let renamed = renamed(fields);
    let name_of = |field: &Field| {
        let shown = renamed.iter().find(|(column, _)| *column == field.column);
        shown.map_or(field.column.clone(), |(_, name)| name.clone())
    };
    let names: Vec<_> = fields.iter().map(name_of).collect();
    let mut taken = UniqueNames::of(names.iter().map(String::as_str));
    let evidence = Evidence {
        misfits: misfits_by_path(&state.misfits, schema),
        rescued: has_rescued(state),
        grown: schema.id > 1,
    };
    let families = shown(fields, &evidence);
    let mut columns: Vec<_> = families.iter().flat_map(|family| &family.columns).collect();
    columns.sort_by_key(|(field, ..)| fields.iter().position(|other| other.id == field.id));
    let mut text = String::new();
    for (field, expression) in columns {
        let shown = match (duckdb_cast(&field.column_type), &field.column_type) {
            (Some(kind), _) => format!("CAST({expression} AS {kind})"),
            (None, ColumnType::Struct(_)) if schema.id > 1 => format!("_archive.whole({expression})"),
            (None, _) => expression.clone(),
        };
        let _ = writeln!(text, "  {shown} AS {},", quoted(&name_of(field)));
    }
    for family in &families {
        if let (Some(beside), Some((first, ..))) = (&family.beside, family.columns.first()) {
            let name = taken.take(&format!("{}__rescued", name_of(first)));
            let _ = writeln!(text, "  {beside} AS {},", quoted(&name));
        }
    }
    Columns { columns: text, nulls: nulls(&families), others: others(&families) }
}
