//! [`schema_text`].

use crate::{
    document::TableRef,
    error::{Error, Result},
    schema::{Engine, OwnColumn, TableSchema},
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
    /// The schema as the objects beside the commits have it.
    Json,
}

/// The columns of all files of a table, the newest ones too, as text for readers that otherwise take those of the first
/// file they see. All columns are in it that the files have, in their order, without partition keys.
///
/// # Errors
/// Internal, if it cannot be spelled.
pub fn schema_text(table: &TableRef, schema: &TableSchema, format: SchemaFormat) -> Result<String> {
    let (before, after) = OwnColumn::ALL.split_at(OwnColumn::LEADING);
    let own = |own: &OwnColumn| (own.name(), own.column_type());
    let fields = schema.fields.iter().map(|field| (field.column.as_str(), &field.column_type));
    let columns: Vec<_> = before.iter().map(own).chain(fields).chain(after.iter().map(own)).collect();
    let lines = |engine: Engine| {
        let lines: Vec<_> = columns.iter().map(|(name, kind)| format!("    {}", engine.column(name, kind))).collect();
        lines.join(",\n")
    };
    Ok(match format {
        SchemaFormat::Pyarrow => {
            let lines = lines(Engine::Pyarrow);
            format!(
                "# dataset = pyarrow.dataset.dataset(files, schema=schema)\nimport pyarrow as pa\n\nschema = pa.schema([\n{lines},\n])\n"
            )
        }
        SchemaFormat::Polars => {
            let lines = lines(Engine::Polars);
            format!(
                "# frame = pl.scan_parquet(files, schema=schema, missing_columns=\"insert\", hive_partitioning=False,\n\
                 #     cast_options=pl.ScanCastOptions(missing_struct_fields=\"insert\"))\n\
                 import polars as pl\n\nschema = {{\n{lines},\n}}\n"
            )
        }
        SchemaFormat::Spark => {
            let lines = lines(Engine::Spark);
            format!("# frame = spark.read.schema(schema).parquet(*files)\nschema = \"\"\"\n{lines}\n\"\"\"\n")
        }
        SchemaFormat::Sql => {
            let name = Engine::DuckDb.quoted(&table.to_string());
            format!("CREATE TABLE {name} (\n{}\n);\n", lines(Engine::DuckDb))
        }
        SchemaFormat::Json => {
            let text = serde_json::to_string_pretty(schema);
            text.map_err(|e| Error::internal("cannot spell a schema: report it").with_source(e))? + "\n"
        }
    })
}
