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
/// For a table `messages`: `messages`, `messages_history` with every revision, `messages_versions` with the spans in which each was the document,
/// and `messages_as_of(moment)`; tables of components are in schemas of their own. Which files count the script reads from manifest.json and the parts that it names when it is run: a script
/// that was saved stays right after later syncs, until a table gets more columns, or values that fit none: then that table says that the
/// script is to be made anew. Tables that come later need a new one.
///
/// A session that did not run the script has no list of files. With --permanent, and for dbt, the lists stand in the views: these stay in a database, for any
/// number of sessions and threads. They are of the archive as it is now, to be made anew after each sync, and there is no `messages_as_of`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  convex-archiver views --engine duckdb --archive ./archive > views.sql && duckdb -init views.sql
  convex-archiver views --engine duckdb --archive s3://bucket/happy-otter --as-of 2026-11-24 > yesterday.sql
  convex-archiver views --engine duckdb --table messages --archive ./archive > messages.sql
  convex-archiver views --engine duckdb --permanent --archive ./archive | duckdb convex.duckdb
  convex-archiver views --engine dbt --archive ./archive > macros/convex_archive.sql && dbt build
  convex-archiver views --engine spark --archive s3://bucket/happy-otter > convex_views.py && spark-submit convex_views.py 'SELECT …'")]
pub(crate) struct ViewsArgs {
    /// For which engine
    #[arg(long)]
    engine: Engine,
    #[command(flatten)]
    archive: ArchiveArgs,
    #[command(flatten)]
    tables: SelectionArgs,
    /// What the plain names mean: as in --as-of of get. Without it: as far as the archive reaches when the script is run; for
    /// views that stay, when it is made
    #[arg(long, value_name = "MOMENT")]
    as_of: Option<Moment>,
    /// Views that stay in a database, and need nothing of a session: for BI, and for programs with several connections. Those of dbt always do
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
            return Err(Error::usage("Spark has no database to keep views in: leave out --permanent"));
        }
        Engine::Duckdb => {
            let mut columns = past.archive.all_schemas(&past.head).await?;
            columns.retain(|table, _| selection.contains(table));
            duckdb_views(&past.head, &columns, url, as_of)
        }
        Engine::Spark if selection != Selection::default() => {
            return Err(Error::usage(
                "the script for Spark is for all tables, and reads of one what is asked for: leave out --table, --component and --exclude",
            ));
        }
        Engine::Spark => spark_views(url, as_of),
    };
    output::print(&script)?;
    Ok(Outcome::Done)
}
