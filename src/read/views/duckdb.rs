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
//! The window of the history orders by `_ts` too, which is the same in all its rows: with one key only, DuckDB makes an aggregate
//! of it (1.5.5, 2.0.0) that turns -0.0 into 0.0 and NaN into another NaN.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use super::{
    columns::has_rescued,
    doubt::note,
    duckdb_text::{quoted, string},
    names::{Views, views},
    row_macros::{row_macros, unique},
    versions::versions_view,
};
use crate::{
    archive::{FORMAT, Head, READERS, TableState},
    document::{TableRef, Timestamp},
    schema::TableSchema,
};

/// What is the same for every archive: which files count, which rows lived when, and what rows rescued.
const COMMON: &str = concat!(include_str!("duckdb.sql"), include_str!("versions.sql"), include_str!("rescued.sql"));

/// Schemas that are DuckDB's own, or ours.
pub(super) const RESERVED: &[&str] = &["_archive", "temp", "system", "memory", "information_schema", "pg_catalog"];

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
    let until = as_of.or(head.coverage().through).unwrap_or(Timestamp(i64::MIN));
    let mut script = header(url, as_of, &note(head, columns.keys(), until));
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

fn header(url: &str, as_of: Option<Timestamp>, note: &str) -> String {
    let mut text = String::from(
        "-- Views of an archive of convex-archiver, for DuckDB 1.5 and later. For each table, here `messages`:\n\
         --   messages               its documents\n\
         --   messages_history       every revision; those that deleted a document have _tombstone\n\
         --   messages_versions      its documents with the span in which each was current: _valid_from, _valid_to \
         (exclusive), _is_current\n\
         --   messages_as_of(moment) its documents at a moment: a _ts, a TIMESTAMP, or text of one (UTC)\n\
         -- Run it in each session: it reads the list of files from manifest.json and the lists under parts/. Create \
         it again for new tables\n\
         -- and columns.\n",
    );
    if let Some(ts) = as_of {
        let _ = writeln!(text, "-- messages and messages_history are as of {ts}.");
    }
    text.push_str(note);
    text.push_str(match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("s3") => {
            "-- Before this, set the credentials: those of the AWS tools (extension aws), or a key.\n\
             -- CREATE SECRET (TYPE s3, PROVIDER credential_chain);\n\
             -- CREATE SECRET (TYPE s3, KEY_ID '…', SECRET '…', REGION 'eu-central-1');\n"
        }
        Some("gs") => {
            "-- Before this, set the credentials: an HMAC key of the bucket's project.\n\
             -- CREATE SECRET (TYPE gcs, KEY_ID '…', SECRET '…');\n"
        }
        Some("az") => {
            "-- Before this, set the credentials (extension azure): those of the Azure tools, or a connection string.\n\
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
        return "-- The plain names show the archive as far as it reaches.\n\
                SET VARIABLE \"_archive as_of\" = (SELECT max(through) FROM _archive_entries);\n\n"
            .to_owned();
    };
    format!(
        "-- The plain names show the archive at this moment.\n\
         SET VARIABLE \"_archive as_of\" = (\n  \
         SELECT CASE WHEN count(*) FILTER (len(list_filter(covered, lambda span: span.\"from\" <= {ts} AND {ts} <= span.\"to\")) > 0) > 0\n    \
         THEN {ts} ELSE error('the archive covers no table at ' || make_timestamp_ns({ts}) || ' UTC (_ts {ts}): '\n      \
         || coalesce(string_agg(DISTINCT spans, '; '), 'it has no tables')) END\n  \
         FROM _archive_entries\n);\n\n"
    )
}

fn table(state: &TableState, schema: &TableSchema, names: &Views<'_>) -> String {
    // Variables and macros too have names in which case does not count.
    let unique = unique(names);
    let variable = quoted(&format!("_archive table {unique}"));
    let macros = row_macros(state, schema, names);
    let (name, table) = (string(&unique), string(&state.table.to_string()));
    let within = |name: &str| format!("{}.{}", quoted(&names.schema), quoted(name));
    let (plain, history, as_of) = (within(&names.plain), within(&names.history), within(&names.as_of));
    let known = format!(
        "{{'columns': {}, 'rescued': {}, 'misfits': [{}]::VARCHAR[]}}",
        schema.id,
        has_rescued(state),
        state.misfits.keys().map(|key| string(key)).collect::<Vec<_>>().join(", ")
    );
    let ever = format!("{}(_archive.rows_ever({name}, getvariable('_archive as_of'), {known}))", macros.rows);
    let versions = versions_view(
        &within(&names.versions),
        &ever,
        &format!("_archive.state({name})"),
        "getvariable('_archive as_of')",
    );
    format!(
        "
-- {shown}
SET VARIABLE \"_archive making\" = {name};
SET VARIABLE {variable} = (SELECT state FROM _archive_tables WHERE name = {table});
{macros}CREATE OR REPLACE MACRO {as_of}(moment) AS TABLE
SELECT * EXCLUDE (_tombstone, _base, _rank) FROM {rows}(_archive.rows_at({name}, _archive.ts(moment), {known}))
QUALIFY row_number() OVER (PARTITION BY _id ORDER BY _ts DESC, _rank DESC) = 1 AND NOT _tombstone;
CREATE OR REPLACE VIEW {plain} AS FROM {as_of}(getvariable('_archive as_of'));
CREATE OR REPLACE VIEW {history} AS
SELECT * EXCLUDE (_base, _rank) FROM {ever}
QUALIFY row_number() OVER (PARTITION BY _id, _ts ORDER BY _ts, _rank DESC) = 1;
{versions}",
        shown = state.table,
        macros = macros.script,
        rows = macros.rows,
    )
}
