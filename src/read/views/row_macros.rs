//! The macros that DuckDB has for each table, whatever names the table's files.

use std::fmt::Write;

use super::{
    columns::{Shown, shown},
    duckdb_text::{quoted, string},
    names::Views,
    rescued::column,
};
use crate::{
    archive::TableState,
    schema::{Engine, OwnColumn, TableSchema},
};

/// Those of one table: their names, and what makes them.
pub(super) struct RowMacros {
    /// The columns of the files by their field ids: for `schema` of `read_parquet`.
    pub(super) held: String,
    /// No rows, in all columns of the files.
    pub(super) none: String,
    /// What the views show of the rows that a query (its text) reads from files.
    pub(super) rows: String,
    /// The statements that make them.
    pub(super) script: String,
}

/// What a table's macros and variables are called after: unique also where case does not count.
pub(super) fn unique(names: &Views<'_>) -> String {
    format!("{}.{}", names.schema, names.plain)
}

/// Makes the macros of a table.
pub(super) fn row_macros(state: &TableState, schema: &TableSchema, names: &Views<'_>) -> RowMacros {
    let unique = unique(names);
    let own = |what: &str| format!("_archive.{}", quoted(&format!("{what} of {unique}")));
    let (rows, held, none) = (own("rows"), own("columns"), own("none"));
    let ours = OwnColumn::ALL.iter();
    let ours = ours.map(|own| (own.id(), own.name().to_owned(), Engine::DuckDb.type_of(own.column_type())));
    let theirs = schema.fields.iter();
    let theirs = theirs.map(|field| (field.id, column(field), Engine::DuckDb.type_of(&field.column_type)));
    let (mut map, mut empty) = (Vec::new(), Vec::new());
    for (id, name, kind) in ours.chain(theirs) {
        map.push(format!("{id}: {{'name': '{name}', 'type': {}, 'default_value': NULL}}", string(&kind)));
        empty.push(format!("NULL::{kind} AS {name}"));
    }
    let (map, empty) = (map.join(",\n  "), empty.join(", "));
    let Shown { columns, steps, nulls, others } = shown(state, schema);
    let mut lines = String::new();
    for column in columns {
        let _ = writeln!(lines, "  {} AS {},", column.expression, quoted(&column.name));
    }
    let script = format!(
        "CREATE OR REPLACE MACRO {held}() AS MAP {{
  {map}}};
CREATE OR REPLACE MACRO {none}() AS TABLE SELECT {empty}, NULL::BIGINT AS _rank WHERE false;
CREATE OR REPLACE MACRO {rows}(_source) AS TABLE
SELECT _id, _creationTime, try(make_timestamp(CAST(_creationTime * 1000 AS BIGINT))) AS _creationTime_utc,
  _ts, make_timestamp(_ts // 1000) AS _ts_utc, _tombstone, _base, _rank,
{lines}  {nulls} AS _nulls, {others} AS _rescued
FROM {source};
",
        source = steps.over("query(_source)")
    );
    RowMacros { held, none, rows, script }
}
