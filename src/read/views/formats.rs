//! [`schema_text`].

use super::spark::{readers, string};
use crate::{
    archive::FORMAT,
    document::TableRef,
    error::{Error, Result},
    schema::{Engine, OwnColumn, TableSchema},
};

/// Which files hold the state of a table at a moment.
const FILES_AT: &str = include_str!("state.py");
/// The state made of those files, by each reader.
const BY_PYARROW: &str = include_str!("state_pyarrow.py");
const BY_POLARS: &str = include_str!("state_polars.py");

/// For whom a schema is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaFormat {
    /// Python with `schema`, a `pyarrow.Schema`, and `state(at)`, which gives a `pyarrow.Table`.
    Pyarrow,
    /// Python with `schema`, for `polars.scan_parquet`, and `state(at)`, which gives a `polars.LazyFrame`.
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
/// For pyarrow and polars `state` comes with it: the documents of the table at a moment, from the archive at `url`. Values are where the
/// files have them: those that came before their column are in `_rescued`.
///
/// # Errors
/// Internal, if it cannot be spelled.
pub fn schema_text(table: &TableRef, schema: &TableSchema, format: SchemaFormat, url: &str) -> Result<String> {
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
            let (lines, files_at) = (lines(Engine::Pyarrow), files_at(table, schema, url));
            format!(
                "# Every revision: ds.dataset(files, schema=schema). The documents at a moment: state(at).\n\
                 import datetime\nimport json\nimport os\n\n\
                 import pyarrow as pa\nimport pyarrow.compute as pc\nimport pyarrow.dataset as ds\nimport pyarrow.fs as fs\n\n\
                 schema = pa.schema([\n{lines},\n])\n{files_at}\n\n{BY_PYARROW}"
            )
        }
        SchemaFormat::Polars => {
            let (lines, files_at) = (lines(Engine::Polars), files_at(table, schema, url));
            format!(
                "# Every revision: pl.scan_parquet(files, schema=schema, missing_columns=\"insert\", hive_partitioning=False,\n\
                 #     cast_options=pl.ScanCastOptions(missing_struct_fields=\"insert\")). The documents at a moment: state(at).\n\
                 import datetime\nimport json\n\nimport polars as pl\n\n\
                 schema = {{\n{lines},\n}}\n{files_at}\n\n{BY_POLARS}"
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
            text.map_err(|e| Error::internal("cannot write a schema as text: report it").with_source(e))? + "\n"
        }
    })
}

/// Python's `files_at`, with what it has to know.
fn files_at(table: &TableRef, schema: &TableSchema, url: &str) -> String {
    let component = match table.component() {
        "" => String::new(),
        path => format!("\"component\": {}, ", string(path)),
    };
    let text = FILES_AT.replace("$FORMAT", &FORMAT.to_string()).replace("$READERS", &readers());
    let text = text.replace("$SCHEMA", &schema.id.to_string());
    let text = text.replace("$TABLE", &format!("{{{component}\"name\": {}}}", string(table.name())));
    // The URL last: it may hold whatever a placeholder looks like.
    text.replace("$URL", &string(url))
}
