//! The oracle: where each value of a document stands, decided over trees, with copies instead of taking back.

use std::collections::{BTreeMap, BTreeSet};

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{Float64Type, Int64Type},
};

use super::Document;
use crate::{
    codec::write_value,
    document::{Encoding, Value},
    schema::{ColumnType, Field, Kind, Misfits, STRUCT_FIELDS, is_struct_key},
};

/// One place in a column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Null,
    Value(Value),
    List(Vec<Cell>),
    Struct(Vec<Cell>),
}

/// What one document, or a part of it, adds beside its columns.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Beside {
    pub(super) nulls: BTreeSet<String>,
    pub(super) rescued: BTreeMap<String, String>,
    pub(super) misfits: Misfits,
    /// A field was rescued whole only because of the bound.
    pub(super) bounded: bool,
}

/// The path of a value, and its place as misfits are counted.
#[derive(Clone, Default)]
struct At {
    path: String,
    place: String,
}

impl At {
    fn name(&self, name: &str) -> Self {
        let token = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        Self { path: self.path.clone() + &token, place: self.place.clone() + &token }
    }

    fn item(&self, index: usize) -> Self {
        Self { path: format!("{}/{index}", self.path), place: format!("{}/*", self.place) }
    }
}

pub(super) fn text(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value, Encoding::ExportJson);
    text
}

/// Length of a path or text as JSON.
fn quoted(path: &str) -> usize {
    serde_json::to_string(path).unwrap().len()
}

/// What one field takes in the two cells: each entry with its separators.
fn length(beside: &Beside) -> usize {
    beside.nulls.iter().map(|p| quoted(p) + 1).sum::<usize>()
        + beside.rescued.iter().map(|(p, t)| quoted(p) + t.len() + 2).sum::<usize>()
}

/// The cells of a document's columns, and what stands beside them.
pub(super) fn document(fields: &[Field], document: &Document) -> (Vec<Cell>, Beside) {
    let mut cells = vec![Cell::Null; fields.len()];
    let mut all = Beside::default();
    for (name, value) in document.iter().filter(|(name, _)| !name.starts_with('_')) {
        let mut beside = Beside::default();
        let mut own = field(fields, name, value, &At::default(), &mut beside);
        if length(&beside) > text(value).len() + 1024 {
            own = None;
            all.bounded = true;
            beside.nulls.clear();
            beside.rescued = BTreeMap::from([(At::default().name(name).path, text(value))]);
        }
        if let Some((column, cell)) = own {
            cells[column] = cell;
        }
        all.nulls.extend(beside.nulls);
        all.rescued.extend(beside.rescued);
        crate::codec::add_misfits(&mut all.misfits, &beside.misfits);
    }
    (cells, all)
}

/// Which column of its family a value takes, and what stands there.
fn field(fields: &[Field], name: &str, value: &Value, above: &At, beside: &mut Beside) -> Option<(usize, Cell)> {
    let at = above.name(name);
    let family: Vec<usize> = (0..fields.len()).filter(|i| fields[*i].name == name).collect();
    let json = family.len() == 1 && fields[family[0]].column_type == ColumnType::Json;
    if *value == Value::Null && !json {
        beside.nulls.insert(at.path);
        return None;
    }
    let tries: Vec<(usize, Cell, Beside)> = family
        .iter()
        .filter_map(|i| {
            let mut beside = beside.clone();
            column(&fields[*i].column_type, value, &at, &mut beside).map(|cell| (*i, cell, beside))
        })
        .collect();
    let before = beside.rescued.len();
    let whole = |t: &&(usize, Cell, Beside)| t.2.rescued.len() == before;
    let own = tries.iter().find(whole).or(tries.first()).map(|(i, cell, then)| {
        beside.clone_from(then);
        (*i, cell.clone())
    });
    if own.is_none() {
        beside.rescued.insert(at.path, text(value));
    }
    if beside.rescued.len() > before
        && !family.is_empty()
        && let Some(kind) = kind(value)
        && !family.iter().any(|i| Kind::of_column(&fields[*i].column_type) == kind)
    {
        *beside.misfits.entry(at.place).or_default().entry(kind.to_string()).or_default() += 1;
    }
    own
}

/// What stands in a column of this type; `None` if the value is of another.
fn column(column_type: &ColumnType, value: &Value, at: &At, beside: &mut Beside) -> Option<Cell> {
    Some(match (column_type, value) {
        (ColumnType::Json, _) => Cell::Value(Value::String(text(value))),
        (ColumnType::Boolean, Value::Boolean(_))
        | (ColumnType::Int64, Value::Int64(_))
        | (ColumnType::Float64, Value::Float64(_))
        | (ColumnType::String, Value::String(_))
        | (ColumnType::Bytes, Value::Bytes(_)) => Cell::Value(value.clone()),
        (ColumnType::List(element), Value::Array(items)) => {
            let item = |(i, item): (usize, &Value)| match column(&element.column_type, item, &at.item(i), beside) {
                Some(cell) => cell,
                None => {
                    if *item != Value::Null {
                        beside.rescued.insert(at.item(i).path, text(item));
                    }
                    Cell::Null
                }
            };
            Cell::List(items.iter().enumerate().map(item).collect())
        }
        (ColumnType::Struct(fields), Value::Object(object)) => {
            let mut cells = vec![Cell::Null; fields.len()];
            for (name, value) in object {
                let has = |other: &Field| other.name == *name;
                let twin = fields.iter().any(|other| other.name.eq_ignore_ascii_case(name));
                let room = fields.len() < STRUCT_FIELDS && is_struct_key(name) && !twin;
                if !fields.iter().any(has) && !room && *value != Value::Null {
                    *beside.misfits.entry(at.place.clone()).or_default().entry("key".into()).or_default() += 1;
                }
                if let Some((column, cell)) = field(fields, name, value, at, beside) {
                    cells[column] = cell;
                }
            }
            Cell::Struct(cells)
        }
        _ => return None,
    })
}

fn kind(value: &Value) -> Option<Kind> {
    Some(match value {
        Value::Null => return None,
        Value::Boolean(_) => Kind::Boolean,
        Value::Int64(_) => Kind::Int64,
        Value::Float64(_) => Kind::Float64,
        Value::String(_) => Kind::String,
        Value::Bytes(_) => Kind::Bytes,
        Value::Object(_) => Kind::Object,
        Value::Array(items) => {
            let kinds: BTreeSet<Kind> = items.iter().filter_map(kind).collect();
            let one = kinds.first()?.clone();
            Kind::array_of(if kinds.len() > 1 { Kind::Json } else { one })
        }
    })
}

/// What stands in a row of an array, which was written for a column of this type.
pub(super) fn cell(column_type: &ColumnType, array: &ArrayRef, row: usize) -> Cell {
    if array.is_null(row) {
        return Cell::Null;
    }
    Cell::Value(match column_type {
        ColumnType::Boolean => Value::Boolean(array.as_boolean().value(row)),
        ColumnType::Int64 => Value::Int64(array.as_primitive::<Int64Type>().value(row)),
        ColumnType::Float64 => Value::Float64(array.as_primitive::<Float64Type>().value(row)),
        ColumnType::String | ColumnType::Json => Value::String(array.as_string::<i32>().value(row).to_owned()),
        ColumnType::Bytes => Value::Bytes(array.as_binary::<i32>().value(row).to_vec()),
        ColumnType::List(element) => {
            let items = array.as_list::<i32>().value(row);
            return Cell::List((0..items.len()).map(|i| cell(&element.column_type, &items, i)).collect());
        }
        ColumnType::Struct(fields) => {
            let columns = fields.iter().zip(array.as_struct().columns());
            return Cell::Struct(columns.map(|(field, column)| cell(&field.column_type, column, row)).collect());
        }
    })
}
