//! Texts that let other engines read the archive: a script of views for [DuckDB](duckdb_views) and for
//! [Spark](spark_views), [views to be kept](permanent_views) in a database of DuckDB, for dbt too ([macro](dbt_macro), [sources](dbt_sources)),
//! and the [schema](schema_text) of a table for readers that otherwise take the first file's, for pyarrow and polars with its documents at any moment.
//!
//! Pure but for the views to be kept, which name the files: text from what the head says of tables. Which files count is not in other texts: scripts read that from
//! `manifest.json` and the parts that it names when they are run, so a script that was saved stays right after syncs and compactions. DuckDB's
//! knows the columns of when it was made, and says so of a table that has got more.

mod columns;
mod dbt;
mod doubt;
mod duckdb;
mod duckdb_text;
mod formats;
mod names;
mod permanent;
mod rescued;
mod row_macros;
mod spark;
mod versions;

#[doc(hidden)]
pub use self::duckdb::duckdb_views_of;
pub use self::{
    dbt::{dbt_macro, dbt_sources},
    duckdb::duckdb_views,
    formats::{SchemaFormat, schema_text},
    permanent::permanent_views,
    spark::spark_views,
};
