//! The verb `views`.

use clap::{Args, ValueEnum};
use convex_archiver::{
    Error, Result, Selection, Timestamp,
    read::{
        Moment, doubted_within,
        views::{dbt_macro, duckdb_views, permanent_views, spark_views},
    },
};

use super::{
    config::ArchiveArgs,
    doubt,
    outcome::Outcome,
    output,
    past::{Past, SelectionArgs},
};

/// Prints a script that gives another engine views of the archive: the documents of each table, its history, and its documents at any moment
///
/// For a table `messages` the views are `messages`, `messages_history` with every revision, `messages_versions` with
/// the span in which each revision was current, and `messages_as_of(moment)`. Tables in components are in schemas of
/// their own. When the script is run, it reads the list of files from manifest.json and the parts that it names. So a
/// saved script stays correct after later syncs, until a table gets more columns or values that fit no column; then
/// that table fails with the message that a new script is needed. New tables need a new script, too.
///
/// The views work only in the session that ran the script, because only that session has the list of files. With
/// --permanent, and for dbt, the lists are part of the views, which then work in a database with any number of sessions
/// and threads. Such views show the archive as it is now, must be created again after each sync, and have no
/// `messages_as_of`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  convex-archiver views --engine duckdb --archive ./archive > views.sql && duckdb -init views.sql
  convex-archiver views --engine duckdb --as-of 2026-11-24 \\
                        --archive s3://bucket/happy-otter > yesterday.sql
  convex-archiver views --engine duckdb --table messages --archive ./archive > messages.sql
  convex-archiver views --engine duckdb --permanent --archive ./archive | duckdb convex.duckdb
  convex-archiver views --engine dbt --archive ./archive > macros/convex_archive.sql && dbt build
  convex-archiver views --engine spark --archive s3://bucket/happy-otter > convex_views.py &&
    spark-submit convex_views.py 'SELECT …'")]
pub(crate) struct ViewsArgs {
    /// Engine to write the script for
    #[arg(long)]
    engine: Engine,
    #[command(flatten)]
    archive: ArchiveArgs,
    #[command(flatten)]
    tables: SelectionArgs,
    /// Moment that the plain table names refer to; as in --as-of of get [default: as far as the archive reaches when
    /// the script is run; for permanent views, when the script is made]
    #[arg(long, value_name = "MOMENT")]
    as_of: Option<Moment>,
    /// Make views that work in a database without anything in the session, for BI tools and for programs with several
    /// connections. Views for dbt are always permanent
    #[arg(long)]
    permanent: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Engine {
    /// SQL for DuckDB 1.5 and later
    Duckdb,
    /// A file for the folder macros of a dbt project, for dbt-duckdb: permanent views, made by `on-run-start: "{{ convex_archive() }}"`
    Dbt,
    /// A PySpark script for Spark 3.5 and 4: for archives that are too large for one machine
    Spark,
}

pub(super) async fn run(args: &ViewsArgs) -> Result<Outcome> {
    let past = Past::open(&args.archive).await?;
    let as_of = past.fixed(args.as_of)?;
    let selection = args.tables.selection(&past.head)?;
    let url = past.archive.url();
    if let Some(until) = as_of.or(past.head.coverage().through) {
        let tables = past.head.tables().map(|state| &state.table).filter(|table| selection.contains(table));
        let mut doubted = doubted_within(&past.head, tables, &(Timestamp(i64::MIN)..=until));
        doubted.retain(|doubted| !doubted.unwatched);
        doubt::warn_of(&doubted);
    }
    let permanent = async || permanent_views(&past.archive, &past.head, &selection, past.at(args.as_of)?).await;
    let script = match args.engine {
        Engine::Dbt => dbt_macro(&permanent().await?),
        Engine::Duckdb if args.permanent => permanent().await?,
        Engine::Spark if args.permanent => {
            return Err(Error::usage("Spark has no database to keep views in: omit --permanent"));
        }
        Engine::Duckdb => {
            let mut columns = past.archive.all_schemas(&past.head).await?;
            columns.retain(|table, _| selection.contains(table));
            duckdb_views(&past.head, &columns, url, as_of)
        }
        Engine::Spark if selection != Selection::default() => {
            return Err(Error::usage(
                "the script for Spark covers all tables, and reads only the tables that are queried: omit --table, \
                 --component and --exclude",
            ));
        }
        Engine::Spark => spark_views(url, as_of),
    };
    output::print(&script)?;
    Ok(Outcome::Done)
}
