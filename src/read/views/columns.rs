//! What the views of DuckDB show of a document: which columns, under which names, of which types.

use super::{
    names::{UniqueNames, renamed},
    rescued::{Evidence, Steps, families_shown, nulls, others},
};
use crate::{
    archive::TableState,
    schema::{ColumnType, Engine, Field, TableSchema, duckdb_cast, misfits_by_path},
};

/// A column that holds something of documents.
pub(super) struct Column<'a> {
    /// Its name in the views.
    pub(super) name: String,
    /// Its type, as DuckDB spells it.
    pub(super) kind: String,
    /// What it holds, made of what the files hold.
    pub(super) expression: String,
    /// Its field; of a column that stands beside a field the oldest of that family.
    pub(super) field: &'a Field,
    /// Whether it stands beside a field, and holds what fits no column of it.
    pub(super) is_beside: bool,
}

/// Whether a row of the table may have rescued something.
pub(super) fn has_rescued(state: &TableState) -> bool {
    state.base.rescued_rows + state.delta.rescued_rows > 0
}

/// What a row shows of a document.
pub(super) struct Shown<'a> {
    /// Its fields under their names where these are free: JSON text as JSON, and behind them the values that fit no column of their field.
    pub(super) columns: Vec<Column<'a>>,
    /// What the expressions use beside the columns of the files.
    pub(super) steps: Steps,
    /// An expression for the paths of nulls.
    pub(super) nulls: String,
    /// One for what has no column at all.
    pub(super) others: String,
}

/// What the rows of a table show.
pub(super) fn shown<'a>(state: &TableState, schema: &'a TableSchema) -> Shown<'a> {
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
    let mut steps = Steps::default();
    let families = families_shown(fields, &evidence, &mut steps);
    let mut held: Vec<_> = families.iter().flat_map(|family| &family.columns).collect();
    held.sort_by_key(|(field, ..)| fields.iter().position(|other| other.id == field.id));
    let mut columns = Vec::new();
    for (field, expression) in held {
        let cast = duckdb_cast(&field.column_type);
        let (expression, kind) = match cast {
            Some(kind) => (format!("CAST({expression} AS {kind})"), kind),
            None if matches!(field.column_type, ColumnType::Struct(_)) && schema.id > 1 => {
                (format!("_archive.whole({expression})"), Engine::DuckDb.type_of(&field.column_type))
            }
            None => (expression.clone(), Engine::DuckDb.type_of(&field.column_type)),
        };
        columns.push(Column { name: name_of(field), kind, expression, field, is_beside: false });
    }
    for family in &families {
        if let (Some(beside), Some((first, ..))) = (&family.beside, family.columns.first()) {
            let name = taken.take(&format!("{}__rescued", name_of(first)));
            let (kind, expression) = ("JSON".to_owned(), beside.clone());
            columns.push(Column { name, kind, expression, field: first, is_beside: true });
        }
    }
    Shown { columns, steps, nulls: nulls(&families), others: others(&families) }
}
