//! How others spell our types: one row per column type, one column per engine; and one row per kind of value for what our own server
//! answers to `/api/json_schemas`.
//!
//! Whatever makes a text for an engine asks here: the views for DuckDB and Spark, the schemas for pyarrow and polars, `CREATE TABLE`.
//! Nothing outside of `schema/` and `codec/` knows the types one by one. So a new type is a row here, and the compiler asks for it:
//! rows are the arms of a `match` over [`ColumnType`].
//!
//! Spark's views read the types of columns from the archive when they are run, so their script is handed all rows ([`rows`]).

use super::{ColumnType, Field, Kind, NestedTypes};
use crate::document::Encoding;

/// Whoever reads Parquet files and wants to be told the types of their columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// DuckDB; its types are SQL's where nothing else is said.
    DuckDb,
    /// Spark's DDL.
    Spark,
    /// Python, with `pyarrow as pa`.
    Pyarrow,
    /// Python, with `polars as pl`.
    Polars,
}

/// Stands for what is inside: the type of a list's items, the fields of a struct.
const INNER: &str = "$";

/// One column type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spelling {
    /// As the objects of schemas beside commits name it.
    pub(crate) name: &'static str,
    /// By [`Engine`].
    engines: [&'static str; 4],
    /// The type to which DuckDB's views cast it, where they do.
    duckdb_cast: Option<&'static str>,
}

/// Makes of one text a match that must name every type, and the list of all rows.
macro_rules! spellings {
    ($($variant:ident $(($inner:tt))? $name:literal $engines:expr, $cast:expr;)+) => {
        fn row(column: &ColumnType) -> Spelling {
            match column {
                $(ColumnType::$variant $(($inner))? => Spelling { name: $name, engines: $engines, duckdb_cast: $cast },)+
            }
        }

        /// All column types.
        pub(crate) fn rows() -> impl Iterator<Item = Spelling> {
            [$(Spelling { name: $name, engines: $engines, duckdb_cast: $cast }),+].into_iter()
        }
    };
}

#[rustfmt::skip]
spellings! {
//  column type         DuckDB, SQL  Spark        pyarrow                                  polars            DuckDB's cast
    Boolean   "boolean" ["BOOLEAN",   "BOOLEAN",   "pa.bool_()",                            "pl.Boolean"],     None;
    Int64     "int64"   ["BIGINT",    "BIGINT",    "pa.int64()",                            "pl.Int64"],       None;
    Float64   "float64" ["DOUBLE",    "DOUBLE",    "pa.float64()",                          "pl.Float64"],     None;
    String    "string"  ["VARCHAR",   "STRING",    "pa.string()",                           "pl.String"],      None;
    Bytes     "bytes"   ["BLOB",      "BINARY",    "pa.binary()",                           "pl.Binary"],      None;
    Json      "json"    ["VARCHAR",   "STRING",    "pa.string()",                           "pl.String"],      Some("JSON");
    List(_)   "list"    ["$[]",       "ARRAY<$>",  "pa.list_(pa.field(\"element\", $))",    "pl.List($)"],     Some("$[]");
    // JSON text inside of structs stays text: a cast of the struct would lose fields that come later.
    Struct(_) "struct"  ["STRUCT($)", "STRUCT<$>", "pa.struct([$])",                        "pl.Struct({$})"], None;
}

impl Spelling {
    /// As this engine spells it; `$` stands for what is inside.
    pub(crate) fn by(&self, engine: Engine) -> &'static str {
        self.engines[engine as usize]
    }
}

impl Engine {
    /// The type of a column, in full.
    pub(crate) fn type_of(self, column: &ColumnType) -> String {
        let spelling = row(column).by(self);
        match column.nested() {
            NestedTypes::Nothing => spelling.to_owned(),
            NestedTypes::Items(element) => spelling.replace(INNER, &self.type_of(&element.column_type)),
            NestedTypes::Fields(fields) => {
                let fields: Vec<_> = fields.iter().map(|field| self.struct_field(field)).collect();
                spelling.replace(INNER, &fields.join(", "))
            }
        }
    }

    fn struct_field(self, field: &Field) -> String {
        match self {
            // Spark has a colon in structs, and none between columns.
            Self::Spark => format!("{}: {}", self.quoted(&field.column), self.type_of(&field.column_type)),
            Self::DuckDb | Self::Pyarrow | Self::Polars => self.column(&field.column, &field.column_type),
        }
    }

    /// A column with its name, as a list of them has it.
    pub(crate) fn column(self, name: &str, column: &ColumnType) -> String {
        let (name, spelled) = (self.quoted(name), self.type_of(column));
        match self {
            Self::DuckDb | Self::Spark => format!("{name} {spelled}"),
            Self::Pyarrow => format!("({name}, {spelled})"),
            Self::Polars => format!("{name}: {spelled}"),
        }
    }

    /// A name, as an identifier or, in Python, as a string.
    pub(crate) fn quoted(self, name: &str) -> String {
        match self {
            Self::DuckDb => format!("\"{}\"", name.replace('"', "\"\"")),
            Self::Spark => format!("`{}`", name.replace('`', "``")),
            Self::Pyarrow | Self::Polars => format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")),
        }
    }
}

/// The type to which DuckDB's views cast a column: JSON for JSON text, and for lists of it.
pub(crate) fn duckdb_cast(column: &ColumnType) -> Option<String> {
    let cast = row(column).duckdb_cast?;
    match column.nested() {
        NestedTypes::Nothing | NestedTypes::Fields(_) => Some(cast.to_owned()),
        NestedTypes::Items(element) => Some(cast.replace(INNER, &duckdb_cast(&element.column_type)?)),
    }
}

/// What `/api/json_schemas` answers of values of one kind, for each encoding of the documents; `None` if that is made of what is
/// inside. As Convex spells it (`crates/common/src/json_schemas/mod.rs`), and as [`hint`](super::hint) reads it.
pub(crate) fn served(kind: &Kind, encoding: Encoding) -> Option<&'static str> {
    let [json, convex, export] = match kind {
        Kind::Boolean => [r#"{"type":"boolean"}"#; 3],
        Kind::Int64 => [
            r#"{"$description":"int64 represented as base10 string","type":"string"}"#,
            r#"{"$description":"int64","type":"object","properties":{"$integer":{"$description":"int64 -> little-endian -> base64","type":"string"}}}"#,
            r#"{"$description":"int64","type":"number"}"#,
        ],
        Kind::Float64 => [
            r#"{"$description":"float64","anyOf":[{"type":"number"},{"type":"string","$description":"-inf, inf, or NaN"}]}"#,
            r#"{"$description":"float64","anyOf":[{"type":"number"},{"type":"object","$description":"-0, -inf, inf, or NaN","properties":{"$float":{"$description":"float64 -> little-endian -> base64","type":"string"}}}]}"#,
            r#"{"$description":"float64","anyOf":[{"type":"number"},{"type":"object","$description":"-inf, inf, or NaN","properties":{"$float":{"$description":"float64 -> little-endian -> base64","type":"string"}}}]}"#,
        ],
        Kind::String => [r#"{"type":"string"}"#; 3],
        Kind::Bytes => {
            let object = r#"{"type":"object","$description":"base64 bytes","properties":{"$bytes":{"type":"string"}}}"#;
            [r#"{"$description":"base64 bytes","type":"string"}"#, object, object]
        }
        Kind::Json => ["{}"; 3],
        Kind::Array(_) | Kind::Object => return None,
    };
    Some(match encoding {
        Encoding::Json => json,
        Encoding::ConvexEncodedJson => convex,
        Encoding::ExportJson => export,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Element, Shape, hint};

    fn field(id: i32, column: &str, column_type: ColumnType) -> Field {
        Field { id, name: column.to_owned(), column: column.to_owned(), column_type, references: None }
    }

    fn list(column_type: ColumnType) -> ColumnType {
        ColumnType::List(Box::new(Element { id: 1, column_type, references: None }))
    }

    #[test]
    fn rows_are_named_as_schemas_name_the_types() {
        let types = [
            ColumnType::Boolean,
            ColumnType::Int64,
            ColumnType::Float64,
            ColumnType::String,
            ColumnType::Bytes,
            ColumnType::Json,
            list(ColumnType::Json),
            ColumnType::Struct(Vec::new()),
        ];
        let named = types.iter().map(|column| match serde_json::to_value(column).unwrap() {
            serde_json::Value::String(name) => name,
            tagged => tagged.as_object().unwrap().keys().next().unwrap().clone(),
        });
        let named: Vec<_> = named.collect();
        assert_eq!(rows().map(|row| row.name).collect::<Vec<_>>(), named);
        assert_eq!(types.iter().map(|column| row(column).name).collect::<Vec<_>>(), named);
    }

    #[test]
    fn each_engine_is_told_what_is_inside() {
        let inner = vec![field(2, "a", ColumnType::Int64), field(3, "b", list(ColumnType::Bytes))];
        let nested = list(ColumnType::Struct(inner));
        for (engine, expected) in [
            (Engine::DuckDb, r#""c" STRUCT("a" BIGINT, "b" BLOB[])[]"#),
            (Engine::Spark, "`c` ARRAY<STRUCT<`a`: BIGINT, `b`: ARRAY<BINARY>>>"),
            (
                Engine::Pyarrow,
                r#"("c", pa.list_(pa.field("element", pa.struct([("a", pa.int64()), ("b", pa.list_(pa.field("element", pa.binary())))]))))"#,
            ),
            (Engine::Polars, r#""c": pl.List(pl.Struct({"a": pl.Int64, "b": pl.List(pl.Binary)}))"#),
        ] {
            assert_eq!(engine.column("c", &nested), expected);
        }
    }

    #[test]
    fn duckdb_sees_json_in_columns_and_lists_only() {
        let object = ColumnType::Struct(vec![field(2, "a", ColumnType::Json)]);
        for (column, cast) in [
            (ColumnType::Json, Some("JSON")),
            (list(list(ColumnType::Json)), Some("JSON[][]")),
            (list(ColumnType::String), None),
            (ColumnType::String, None),
            (list(object.clone()), None),
            (object, None),
        ] {
            assert_eq!(duckdb_cast(&column).as_deref(), cast, "{column:?}");
        }
    }

    #[test]
    fn what_is_served_is_read_back_as_the_same_kind() {
        let nothing = Shape::default;
        for (kind, expected) in [
            (Kind::Boolean, Shape { boolean: true, ..nothing() }),
            (Kind::Int64, Shape { int64: true, ..nothing() }),
            (Kind::Float64, Shape { float64: true, ..nothing() }),
            (Kind::String, Shape { string: true, ..nothing() }),
            (Kind::Bytes, Shape { bytes: true, ..nothing() }),
            (Kind::Json, Shape { any: true, ..nothing() }),
        ] {
            for encoding in [Encoding::Json, Encoding::ConvexEncodedJson, Encoding::ExportJson] {
                let served = served(&kind, encoding).unwrap();
                let shape = hint(&format!(r#"{{"type":"object","properties":{{"x":{served}}}}}"#));
                assert_eq!(shape.fields()["x"], expected, "{kind} {encoding:?}");
            }
        }
    }
}
