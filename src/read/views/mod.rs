//! Texts that let other engines read the archive: a script of views for [DuckDB](duckdb_views) and for
//! [Spark](spark_views), and the [schema](schema_text) of a table for readers that otherwise take the first file's, for pyarrow and polars with its
//! documents at any moment.
//!
//! Pure: text from what the head says of tables. Which files count is not in the text: scripts read that from
//! `manifest.json` and the parts that it names when they are run, so a script that was saved stays right after syncs and compactions. DuckDB's
//! knows the columns of when it was made, and says so of a table that has got more.

mod duckdb;
mod duckdb_text;
mod formats;
mod names;
mod rescued;
mod spark;

#[doc(hidden)]
pub use self::duckdb::duckdb_views_of;
pub use self::{
    duckdb::duckdb_views,
    formats::{SchemaFormat, schema_text},
    spark::spark_views,
};
