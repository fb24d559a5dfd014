//! [`columns_of`]: what a table's columns are at a moment, since when, and how often a value had no place in them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::datatypes::{DataType, Field as ArrowField};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use crate::{
    archive::{Archive, Head},
    codec::{add_misfits, field_id},
    data::{DataFile, FileReader, WantedRows},
    document::{TableRef, Timestamp, time_text},
    error::{Error, Result, ResultExt},
    rows::{files::complete_base, moment::known_table},
    schema::{Field, Kind, Misfits, NestedTypes, misfits_by_path, push_pointer},
};

/// Footers that are read together.
const TOGETHER: usize = 8;

/// The columns of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableColumns {
    /// The table.
    pub table: TableRef,
    /// Rows of the files that were written until then, tombstones included.
    pub rows: u64,
    /// Those of them with a value in `_rescued`.
    pub rescued_rows: u64,
    /// In the order in which they were born; fields of structs after their struct.
    pub columns: Vec<ColumnInfo>,
    /// Per field path, per kind of value: how many values came for fields that have no column.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub without_column: Misfits,
}

/// A column, or a field of a struct column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnInfo {
    /// Where its values stand in documents: a JSON Pointer of names, `*` for every item of a list.
    pub path: String,
    /// The name in Parquet, with those of the structs around it: `profile.city`.
    pub column: String,
    /// `string`, `array_object`, `json`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The table to which Ids in it point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub references: Option<String>,
    /// The first moment of the first file that has it. What came for it before is in `_rescued`.
    #[serde(serialize_with = "time_text::option")]
    pub since: Option<Timestamp>,
    /// Per kind of value: how many had no place in it and are in `_rescued`; as `key`, how many keys of its objects no struct can have. With the
    /// oldest column of its field.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rescued: BTreeMap<String, u64>,
}

/// The columns of `table` that were born until `at`; all, without a moment.
///
/// Reads the footer of one file for each schema that the table has had.
///
/// # Errors
/// NotFound, if there is no such table.
pub async fn columns_of(
    archive: &Archive,
    head: &Head,
    table: &TableRef,
    at: Option<Timestamp>,
) -> Result<TableColumns> {
    known_table(head, table)?;
    let mut found = TableColumns {
        table: table.clone(),
        rows: 0,
        rescued_rows: 0,
        columns: Vec::new(),
        without_column: Misfits::new(),
    };
    // Of each schema the file with the earliest moment.
    let mut earliest: BTreeMap<u32, (Timestamp, DataFile)> = BTreeMap::new();
    let mut live = archive.live_files_of(head, table).await?;
    while let Some(file) = live.next().await? {
        let moment = match &file.base {
            None => Some(file.min_ts),
            Some(id) => complete_base(head, id, table).map(|base| base.ts),
        };
        let Some(moment) = moment.filter(|moment| at.is_none_or(|at| *moment <= at)) else { continue };
        found.rows += file.rows;
        found.rescued_rows += file.rescued_rows;
        add_misfits(&mut found.without_column, &file.misfits);
        if earliest.get(&file.schema).is_none_or(|(known, _)| moment < *known) {
            earliest.insert(file.schema, (moment, file));
        }
    }
    let since = births(archive, earliest).await.context(|| format!("table {table}"))?;
    let schema = archive.schema(head, table).await?;
    found.without_column = misfits_by_path(&found.without_column, &schema);
    describe(&schema.fields, "", "", &since, at, &mut found);
    Ok(found)
}

/// The first moment of each field id.
async fn births(archive: &Archive, files: BTreeMap<u32, (Timestamp, DataFile)>) -> Result<BTreeMap<i32, Timestamp>> {
    let footers = stream::iter(files.into_values()).map(|(moment, file)| async move {
        let reader = FileReader::open(Arc::clone(archive.store()), &file, &WantedRows::default()).await?;
        let mut ids = BTreeSet::new();
        reader.schema().fields().iter().for_each(|field| collect_ids(field, &mut ids));
        Ok::<_, Error>((moment, ids))
    });
    let mut since: BTreeMap<i32, Timestamp> = BTreeMap::new();
    let mut footers = std::pin::pin!(footers.buffer_unordered(TOGETHER));
    while let Some((moment, ids)) = footers.try_next().await? {
        for id in ids {
            let first = since.entry(id).or_insert(moment);
            *first = moment.min(*first);
        }
    }
    Ok(since)
}

fn collect_ids(field: &ArrowField, ids: &mut BTreeSet<i32>) {
    ids.extend(field_id(field));
    match field.data_type() {
        DataType::Struct(inner) => inner.iter().for_each(|field| collect_ids(field, ids)),
        DataType::List(item) => collect_ids(item, ids),
        _ => {}
    }
}

/// Adds the fields, and what is inside of them.
fn describe(
    fields: &[Field],
    path: &str,
    column: &str,
    since: &BTreeMap<i32, Timestamp>,
    at: Option<Timestamp>,
    found: &mut TableColumns,
) {
    for field in fields {
        let born = since.get(&field.id).copied();
        if at.is_some() && born.is_none() {
            continue;
        }
        let mut path = path.to_owned();
        push_pointer(&mut path, &field.name);
        let column = if column.is_empty() { field.column.clone() } else { format!("{column}.{}", field.column) };
        // Ids stand in the innermost items.
        let (mut inner, mut references, mut inner_path) = (&field.column_type, &field.references, path.clone());
        while let NestedTypes::Items(element) = inner.nested() {
            inner_path.push_str("/*");
            references = if references.is_none() { &element.references } else { references };
            inner = &element.column_type;
        }
        let mut rescued = found.without_column.remove(&path).unwrap_or_default();
        if inner_path != path {
            rescued.extend(found.without_column.remove(&inner_path).unwrap_or_default());
        }
        found.columns.push(ColumnInfo {
            column: column.clone(),
            kind: Kind::of_column(&field.column_type).to_string(),
            references: references.clone(),
            since: born,
            rescued,
            path,
        });
        if let NestedTypes::Fields(fields) = inner.nested() {
            describe(fields, &inner_path, &column, since, at, found);
        }
    }
}
