//! [`permanent_views`].
//!
//! # Why it is made like this
//! The script of [`duckdb_views`](super::duckdb_views) reads the list of files when it is run, into variables of its session: no other
//! session has them, and two cannot run it at once in one database. Here the files are literals in the views. So nothing is to be run
//! before a query, and any number of sessions and threads read at once. In exchange the views are those of one version of the archive.

use std::fmt::Write;

use super::{
    doubt::note,
    duckdb::RESERVED,
    duckdb_text::{quoted, string},
    names::{Views, views},
    row_macros::{RowMacros, row_macros, unique},
    versions::versions_view,
};
use crate::{
    archive::{Archive, Head, TableState},
    document::{TableRef, Timestamp},
    error::Result,
    rows::{
        files::{FilesByTable, Part, TableFiles, complete_base},
        moment::{base_at, in_full},
    },
    selection::Selection,
};

/// Which rows lived when, and what rows rescued.
const COMMON: &str = concat!(include_str!("versions.sql"), include_str!("rescued.sql"));

/// True while the views are made: a view is tried then, and what refuses must not.
const MAKING: &str = "_archive making permanent";

/// SQL that makes views of the selected tables for good, in a database of DuckDB (1.5 and later): `messages`, its documents at `at`,
/// `messages_history`, every revision until then, and `messages_versions`, the spans in which each was the document; tables of components are in schemas. The views read the files that live at `head`, and need nothing of
/// the session in which they were made.
///
/// # Errors
/// NotFound, if there are tables and none is covered at `at`. As reading the list of files and the columns has them.
pub async fn permanent_views(archive: &Archive, head: &Head, selection: &Selection, at: Timestamp) -> Result<String> {
    refuse_uncovered(head, selection, at)?;
    let tables = head.tables().map(|state| &state.table).filter(|table| selection.contains(table));
    let mut script = note(head, tables, at) + &header(head, at) + COMMON;
    let _ = writeln!(script, "SET VARIABLE {} = true;", quoted(MAKING));
    let names = views(head.tables().map(|state| (&state.table, state.folder.as_str())), "main", RESERVED);
    let wanted: Vec<_> = head.tables().zip(&names).filter(|(state, _)| selection.contains(&state.table)).collect();
    let mut schemas: Vec<_> = wanted.iter().map(|(_, names)| names.schema.as_str()).collect();
    schemas.dedup();
    for schema in schemas {
        let _ = writeln!(script, "CREATE SCHEMA IF NOT EXISTS {};", quoted(schema));
    }
    let mut files = FilesByTable::open(archive, head).await?;
    for (state, names) in wanted {
        script += &table(head, state, &files.of(&state.table).await?, names, at, archive.url());
    }
    let _ = write!(script, "\nRESET VARIABLE {};\n", quoted(MAKING));
    Ok(script)
}

/// A moment at which no table has rows to show.
fn refuse_uncovered(head: &Head, selection: &Selection, at: Timestamp) -> Result<()> {
    let mut refused = None;
    for state in head.tables().filter(|state| selection.contains(&state.table)) {
        match base_at(head, &state.table, at) {
            Ok(_) => return Ok(()),
            Err(e) => refused = refused.or(Some(e)),
        }
    }
    refused.map_or(Ok(()), Err)
}

fn header(head: &Head, at: Timestamp) -> String {
    format!(
        "-- Permanent views of an archive of convex-archiver, for DuckDB 1.5 and later. For each table, here \
         `messages`:\n\
         --   messages               its documents\n\
         --   messages_history       every revision; those that deleted a document have _tombstone\n\
         --   messages_versions      its documents with the span in which each was current: _valid_from, _valid_to \
         (exclusive), _is_current\n\
         -- As of {}, from the files of version {} of the archive: create and run this again after each sync.\n\
         -- It contains no credentials. Each session that reads from a store needs a secret: CREATE PERSISTENT SECRET, \
         or `secrets` in a profile of dbt.\n\
         -- Times are UTC. Before a session compares them with now(), it must run: SET TimeZone = 'UTC';\n\n\
         CREATE SCHEMA IF NOT EXISTS _archive;\n",
        in_full(at),
        head.version()
    )
}

fn table(head: &Head, state: &TableState, files: &TableFiles, names: &Views<'_>, at: Timestamp, url: &str) -> String {
    let macros = row_macros(state, &files.schema, names);
    let within = |name: &str| format!("{}.{}", quoted(&names.schema), quoted(name));
    let (plain, history) = (within(&names.plain), within(&names.history));
    let documents = documents(head, files, &macros, at, url);
    let ever = format!("{}({})", macros.rows, revisions(head, files, &macros, at, url));
    let served = format!("_archive.{}()", quoted(&format!("served of {}", unique(names))));
    let versions = versions_view(&within(&names.versions), &ever, &served, &at.0.to_string());
    format!(
        "
-- {shown}
{script}CREATE OR REPLACE VIEW {plain} AS
SELECT * EXCLUDE (_tombstone, _base, _rank) FROM {rows}({documents})
QUALIFY row_number() OVER (PARTITION BY _id ORDER BY _ts DESC, _rank DESC) = 1 AND NOT _tombstone;
CREATE OR REPLACE VIEW {history} AS
SELECT * EXCLUDE (_base, _rank) FROM {ever}
QUALIFY row_number() OVER (PARTITION BY _id, _ts ORDER BY _ts, _rank DESC) = 1;
CREATE OR REPLACE MACRO {served} AS {spans};
{versions}",
        shown = state.table,
        spans = spans(head, &state.table),
        script = macros.script,
        rows = macros.rows,
    )
}

/// S of the bases in force, and the last moment that each serves.
fn spans(head: &Head, table: &TableRef) -> String {
    let coverage = head.coverage();
    let mut bases: Vec<_> =
        coverage.bases.iter().filter(|base| coverage.serves(base, table)).map(|base| base.ts).collect();
    bases.sort();
    bases.dedup();
    let spans = coverage.spans(table);
    let until = bases.iter().enumerate().map(|(n, base)| {
        let next = bases.get(n + 1).map_or(i64::MAX, |next| next.0 - 1);
        // None, if it is not covered itself.
        let end = spans.iter().find(|span| span.from <= *base && *base <= span.to).map_or(base.0 - 1, |span| span.to.0);
        end.min(next).to_string()
    });
    let until: Vec<_> = until.collect();
    let bases: Vec<_> = bases.iter().map(|base| base.0.to_string()).collect();
    format!("{{'bases': [{}]::BIGINT[], 'until': [{}]::BIGINT[]}}", bases.join(", "), until.join(", "))
}

/// Text of a query, in quotes, for the rows of which the state at `at` is made; where that is not covered, an error that says so.
fn documents(head: &Head, files: &TableFiles, macros: &RowMacros, at: Timestamp, url: &str) -> String {
    let base = match base_at(head, &files.table, at) {
        Ok((_, base)) => base,
        Err(e) => {
            return format!(
                "CASE WHEN getvariable({}) THEN {} ELSE error({}) END",
                string(MAKING),
                string(&format!("FROM {}()", macros.none)),
                string(&e.to_string())
            );
        }
    };
    let after = Timestamp(base.ts.0.saturating_add(1))..=at;
    let parts = files.parts.iter().filter(|part| part.is_of(base) || part.has_deltas(&after));
    let condition = format!("_base IS NOT NULL OR (_ts > {} AND _ts <= {})", base.ts.0, at.0);
    read(parts.collect(), &condition, macros, url)
}

/// The same for every revision until `at`.
fn revisions(head: &Head, files: &TableFiles, macros: &RowMacros, at: Timestamp, url: &str) -> String {
    let is_visible = |part: &&Part| part.base().is_none_or(|id| complete_base(head, id, &files.table).is_some());
    read(files.parts.iter().filter(is_visible).collect(), &format!("_ts <= {}", at.0), macros, url)
}

/// `_rank`: of two rows with one `_id` and `_ts` the larger counts.
fn read(mut parts: Vec<&Part>, condition: &str, macros: &RowMacros, url: &str) -> String {
    if parts.is_empty() {
        return string(&format!("FROM {}()", macros.none));
    }
    parts.sort_by_key(|part| part.seniority());
    let paths: Vec<_> = parts.iter().map(|part| string(&format!("{url}/{}", part.file.path))).collect();
    string(&format!(
        "SELECT *, CAST(file_index AS BIGINT) AS _rank FROM read_parquet([\n  {}], schema = {}()) WHERE {condition}",
        paths.join(",\n  "),
        macros.held
    ))
}
