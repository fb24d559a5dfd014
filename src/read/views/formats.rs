//! [`schema_text`].

use std::fmt::Write;

use super::duckdb::{quoted, type_of};
use crate::{
    document::TableRef,
    error::{Error, Result},
    schema::{ColumnType, Field, TableSchema},
};

/// For whom a schema is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaFormat {
    /// Python with `schema`, a `pyarrow.Schema`.
    Pyarrow,
    /// Python with `schema`, for `polars.scan_parquet`.
    Polars,
    /// Python with `schema`, DDL for `spark.read.schema`.
    Spark,
    /// `CREATE TABLE`, in DuckDB's types.
    Sql,
    /// The schema as commits and `manifest.json` have it.
    Json,
}

/// The columns of all files of a table, the newest ones too, as text for readers that otherwise take those of the first
/// file they see. All columns are in it that the files have, in their order, without partition keys.
///
/// # Errors
/// Internal, if it cannot be spelled.
pub fn schema_text(table: &TableRef, schema: &TableSchema, format: SchemaFormat) -> Result<String> {
    let columns: Vec<_> = OWN
        .iter()
        .map(|(name, kind)| (*name, kind))
        .chain(schema.fields.iter().map(|field| (field.column.as_str(), &field.column_type)))
        .chain(BEHIND.iter().map(|(name, kind)| (*name, kind)))
        .collect();
    let lines = |line: &dyn Fn(&str, &ColumnType) -> String| {
        columns.iter().fold(String::new(), |mut text, (name, kind)| {
            // A String takes everything.
            let _ = writeln!(text, "    {},", line(name, kind));
            text
        })
    };
    Ok(match format {
        SchemaFormat::Pyarrow => {
            let lines = lines(&|name, kind| format!("(\"{name}\", {})", pyarrow(kind)));
            format!(
                "# dataset = pyarrow.dataset.dataset(files, schema=schema)\nimport pyarrow as pa\n\nschema = pa.schema([\n{lines}])\n"
            )
        }
        SchemaFormat::Polars => {
            let lines = lines(&|name, kind| format!("\"{name}\": {}", polars(kind)));
            format!(
                "# frame = pl.scan_parquet(files, schema=schema, missing_columns=\"insert\", hive_partitioning=False,\n\
                 #     cast_options=pl.ScanCastOptions(missing_struct_fields=\"insert\"))\n\
                 import polars as pl\n\nschema = {{\n{lines}}}\n"
            )
        }
        SchemaFormat::Spark => {
            let columns: Vec<_> = columns.iter().map(|(name, kind)| format!("    `{name}` {}", spark(kind))).collect();
            format!(
                "# frame = spark.read.schema(schema).parquet(*files)\nschema = \"\"\"\n{}\n\"\"\"\n",
                columns.join(",\n")
            )
        }
        SchemaFormat::Sql => {
            let name = quoted(&table.to_string());
            let columns: Vec<_> =
                columns.iter().map(|(name, kind)| format!("    {} {}", quoted(name), type_of(kind))).collect();
            format!("CREATE TABLE {name} (\n{}\n);\n", columns.join(",\n"))
        }
        SchemaFormat::Json => {
            let text = serde_json::to_string_pretty(schema);
            text.map_err(|e| Error::internal("cannot spell a schema: report it").with_source(e))? + "\n"
        }
    })
}

/// What stands before the fields of documents, and behind them.
const OWN: [(&str, ColumnType); 5] = [
    ("_id", ColumnType::String),
    ("_creationTime", ColumnType::Float64),
    ("_ts", ColumnType::Int64),
    ("_tombstone", ColumnType::Boolean),
    ("_base", ColumnType::Int64),
];
const BEHIND: [(&str, ColumnType); 2] = [("_nulls", ColumnType::String), ("_rescued", ColumnType::String)];

fn inner(fields: &[Field], spell: impl Fn(&str, &ColumnType) -> String) -> String {
    fields.iter().map(|field| spell(&field.column, &field.column_type)).collect::<Vec<_>>().join(", ")
}

fn pyarrow(kind: &ColumnType) -> String {
    match kind {
        ColumnType::Boolean => "pa.bool_()".to_owned(),
        ColumnType::Int64 => "pa.int64()".to_owned(),
        ColumnType::Float64 => "pa.float64()".to_owned(),
        ColumnType::String | ColumnType::Json => "pa.string()".to_owned(),
        ColumnType::Bytes => "pa.binary()".to_owned(),
        ColumnType::List(element) => format!("pa.list_(pa.field(\"element\", {}))", pyarrow(&element.column_type)),
        ColumnType::Struct(fields) => {
            format!("pa.struct([{}])", inner(fields, |name, kind| format!("(\"{name}\", {})", pyarrow(kind))))
        }
    }
}

fn polars(kind: &ColumnType) -> String {
    match kind {
        ColumnType::Boolean => "pl.Boolean".to_owned(),
        ColumnType::Int64 => "pl.Int64".to_owned(),
        ColumnType::Float64 => "pl.Float64".to_owned(),
        ColumnType::String | ColumnType::Json => "pl.String".to_owned(),
        ColumnType::Bytes => "pl.Binary".to_owned(),
        ColumnType::List(element) => format!("pl.List({})", polars(&element.column_type)),
        ColumnType::Struct(fields) => {
            format!("pl.Struct({{{}}})", inner(fields, |name, kind| format!("\"{name}\": {}", polars(kind))))
        }
    }
}

fn spark(kind: &ColumnType) -> String {
    match kind {
        ColumnType::Boolean => "BOOLEAN".to_owned(),
        ColumnType::Int64 => "BIGINT".to_owned(),
        ColumnType::Float64 => "DOUBLE".to_owned(),
        ColumnType::String | ColumnType::Json => "STRING".to_owned(),
        ColumnType::Bytes => "BINARY".to_owned(),
        ColumnType::List(element) => format!("ARRAY<{}>", spark(&element.column_type)),
        ColumnType::Struct(fields) => {
            format!("STRUCT<{}>", inner(fields, |name, kind| format!("`{name}`: {}", spark(kind))))
        }
    }
}
