//! [`duckdb_views`].
//!
//! # Why it is made like this
//! What names the files of a table function must be constant, and may hold neither subqueries nor lambdas. So lists that are
//! sorted already lie in variables, one for each table, and a moment takes the beginning of one. Tables without files, and
//! moments that are not covered, have no files that could be read: `query(text)` chooses at run time. Columns that no file
//! of a moment has come from a relation without rows, in the newest schema.
//!
//! The window of the history orders by `_ts` too, which is the same in all its rows: with one key only, DuckDB makes an aggregate
//! of it (1.5.5, 2.0.0) that turns -0.0 into 0.0 and NaN into another NaN.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use super::names::{UniqueNames, Views, renamed, views};
use crate::{
    archive::{FORMAT, Head, READERS, TableState},
    document::{TableRef, Timestamp},
    schema::{Engine, Field, OwnColumn, TableSchema, duckdb_cast, misfits_by_path, push_pointer},
};

/// What is the same for every archive.
const COMMON: &str = include_str!("duckdb.sql");

/// Schemas that are DuckDB's own, or ours.
const RESERVED: &[&str] = &["_archive", "temp", "system", "memory", "information_schema", "pg_catalog"];

/// Columns of every row, and their types: ours, and which file it came from.
fn own_columns() -> impl Iterator<Item = (&'static str, String)> {
    let own = OwnColumn::ALL.iter().map(|own| (own.name(), Engine::DuckDb.type_of(own.column_type())));
    own.chain([("_rank", "BIGINT".to_owned())])
}

/// A script for DuckDB (1.5 and later) with views of all tables of the archive at `url`: `messages`, `messages_history` and
/// the macro `messages_as_of(moment)`; tables of components are in schemas.
///
/// `columns` are those of the tables ([`Archive::all_schemas`](crate::archive::Archive::all_schemas)). With `as_of` the plain
/// names mean that moment; without, as far as the archive reaches when the script is run.
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
    let none = Arc::new(TableSchema::empty());
    let mut script = header(url, as_of);
    let readers: Vec<_> = READERS.iter().map(|word| string(word)).collect();
    let common = COMMON.replace("$FORMAT", &FORMAT.to_string());
    let common = common.replace("$READERS", &format!("[{}]::VARCHAR[]", readers.join(", ")));
    // Both at once: a URL may hold whatever a placeholder looks like.
    for (n, part) in common.split("$URL").enumerate() {
        let url = if n == 0 { String::new() } else { string(url) };
        script += &(url + &part.replace("$LISTS", &string(lists)));
    }
    script += &moment(as_of);
    let names = views(head.tables().map(|state| &state.table), "main", RESERVED);
    let mut schemas: Vec<_> =
        names.iter().map(|view| view.schema.as_str()).filter(|schema| *schema != "main").collect();
    schemas.dedup();
    for schema in schemas {
        let _ = writeln!(script, "CREATE SCHEMA IF NOT EXISTS {};", quoted(schema));
    }
    for (state, names) in head.tables().zip(&names) {
        script += &table(state, columns.get(&state.table).unwrap_or(&none), names);
    }
    script
        + "\nDROP TABLE _archive_tables;\nDROP TABLE _archive_entries;\nDROP TABLE _archive_manifest;\nSET VARIABLE \"_archive making\" = 'nothing more';\n"
}

fn header(url: &str, as_of: Option<Timestamp>) -> String {
    let mut text = String::from(
        "-- Views of an archive of convex-archiver, for DuckDB 1.5 and later. For each table, here `messages`:\n\
         --   messages               its documents\n\
         --   messages_history       every revision; those that deleted a document have _tombstone\n\
         --   messages_as_of(moment) its documents at a moment: a _ts, a TIMESTAMP, or text of one (UTC)\n\
         -- Run it anew in each session: it reads which files count, from manifest.json and the lists under parts/. Make it anew for tables that come later.\n",
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
                SET VARIABLE \"_archive as_of\" = (SELECT max(through) FROM _archive_tables);\n\n"
            .to_owned();
    };
    format!(
        "-- The plain names mean this moment.\n\
         SET VARIABLE \"_archive as_of\" = (\n  \
         SELECT CASE WHEN count(*) FILTER (len(list_filter(covered, lambda span: span.\"from\" <= {ts} AND {ts} <= span.\"to\")) > 0) > 0\n    \
         THEN {ts} ELSE error('the archive covers no table at ' || make_timestamp_ns({ts}) || ' UTC (_ts {ts}): '\n      \
         || coalesce(string_agg(DISTINCT state.spans, '; '), 'it has no tables')) END\n  \
         FROM _archive_tables\n);\n\n"
    )
}

fn table(state: &TableState, schema: &TableSchema, names: &Views<'_>) -> String {
    let fields = &schema.fields;
    // Variables and macros too have names in which case does not count.
    let unique = format!("{}.{}", names.schema, names.plain);
    let variable = quoted(&format!("_archive table {unique}"));
    let rows = format!("_archive.{}", quoted(&format!("rows of {unique}")));
    let (name, table) = (string(&unique), string(&state.table.to_string()));
    let within = |name: &str| format!("{}.{}", quoted(&names.schema), quoted(name));
    let (plain, history, as_of) = (within(&names.plain), within(&names.history), within(&names.as_of));
    let columns = columns(state, schema);
    let type_of = |field: &Field| Engine::DuckDb.type_of(&field.column_type);
    let empty: Vec<_> = own_columns()
        .map(|(column, kind)| format!("NULL::{kind} AS {column}"))
        .chain(fields.iter().map(|field| format!("NULL::{} AS {}", type_of(field), quoted(&field.column))))
        .collect();
    let empty = empty.join(", ");
    format!(
        "
-- {shown}
SET VARIABLE \"_archive making\" = {name};
SET VARIABLE {variable} = (SELECT state FROM _archive_tables WHERE name = {table});
CREATE OR REPLACE MACRO {rows}(source) AS TABLE
SELECT _id, _creationTime, try(make_timestamp(CAST(_creationTime * 1000 AS BIGINT))) AS _creationTime_utc,
  _ts, make_timestamp_ns(_ts) AS _ts_utc, _tombstone, _rank,
  {columns},
  CAST(_nulls AS JSON) AS _nulls, CAST(_rescued AS JSON) AS _rescued
FROM (
  SELECT {empty} WHERE false
  UNION ALL BY NAME FROM query(source)
);
CREATE OR REPLACE MACRO {as_of}(moment) AS TABLE
SELECT * EXCLUDE (_tombstone, _rank) FROM {rows}(_archive.rows_at({name}, _archive.ts(moment)))
QUALIFY row_number() OVER (PARTITION BY _id ORDER BY _ts DESC, _rank DESC) = 1 AND NOT _tombstone;
CREATE OR REPLACE VIEW {plain} AS FROM {as_of}(getvariable('_archive as_of'));
CREATE OR REPLACE VIEW {history} AS
SELECT * EXCLUDE (_rank) FROM {rows}(_archive.rows_ever({name}, getvariable('_archive as_of')))
QUALIFY row_number() OVER (PARTITION BY _id, _ts ORDER BY _ts, _rank DESC) = 1;
",
        shown = state.table,
    )
}

/// The fields of documents: all that the files have, also columns that come later; JSON text as JSON, columns under the
/// names of documents, and beside a column the values that had no place in it.
fn columns(state: &TableState, schema: &TableSchema) -> String {
    let fields = &schema.fields;
    let renamed = renamed(fields);
    let name_of =
        |field: &Field| renamed.iter().find(|(column, _)| *column == field.column).map(|(_, name)| name.as_str());
    let own = own_columns().map(|(column, _)| column.to_owned());
    let (mut excluded, mut replaced, mut names, mut added): (Vec<_>, Vec<_>, Vec<_>, Vec<_>) =
        (own.collect(), Vec::new(), Vec::new(), Vec::new());
    for field in fields {
        let column = quoted(&field.column);
        let cast = duckdb_cast(&field.column_type).map(|kind| format!("CAST({column} AS {kind})"));
        match (cast, name_of(field)) {
            (Some(cast), None) => replaced.push(format!("{cast} AS {column}")),
            (None, Some(name)) => names.push(format!("{column} AS {}", quoted(name))),
            // DuckDB takes no column both to replace and to rename.
            (Some(cast), Some(name)) => {
                added.push(format!("{cast} AS {}", quoted(name)));
                excluded.push(column);
            }
            (None, None) => {}
        }
    }
    let mut text = format!("* EXCLUDE ({})", excluded.join(", "));
    for (word, list) in [("REPLACE", replaced), ("RENAME", names)] {
        if !list.is_empty() {
            let _ = write!(text, " {word} ({})", list.join(", "));
        }
    }
    for column in added {
        let _ = write!(text, ",\n  {column}");
    }
    let shown = renamed.iter().map(|(_, name)| name.as_str());
    let mut taken = UniqueNames::of(fields.iter().map(|field| field.column.as_str()).chain(shown));
    let misfits = misfits_by_path(&state.misfits, schema);
    for field in fields {
        // The oldest of its family, of which values were rescued whole.
        let first = fields.iter().find(|first| first.name == field.name).is_some_and(|first| first.id == field.id);
        let mut path = String::new();
        push_pointer(&mut path, &field.name);
        if first && misfits.contains_key(&path) {
            let shown = name_of(field).unwrap_or(&field.column);
            let mut pointer = String::new();
            push_pointer(&mut pointer, &path);
            let _ = write!(
                text,
                ",\n  json_extract(_rescued, {}) AS {}",
                string(&pointer),
                quoted(&taken.take(&format!("{shown}__rescued")))
            );
        }
    }
    text
}

/// An identifier.
fn quoted(name: &str) -> String {
    Engine::DuckDb.quoted(name)
}

/// A string.
fn string(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
