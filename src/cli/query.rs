//! The verb `query`.

mod child;
mod doubt;
mod named;
mod target;

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    process::Stdio,
};

use clap::Args;
use convex_archiver::{
    Error, Result, TableRef, Timestamp,
    archive::Location,
    read::{Moment, base_at, views::duckdb_views_of},
};
use tokio::process::Command;

use self::{
    child::{Ending, Purpose},
    named::may_name,
    target::Target,
};
use super::{
    child_environment,
    config::{self, ArchiveArgs},
    doubt::DoubtArgs,
    outcome::Outcome,
    past::{Past, SelectionArgs},
    secret,
};

/// Runs SQL over the archive with DuckDB: the documents of each table, its history, and its documents at any moment
///
/// The views are those of `views --engine duckdb`: `messages`, `messages_history`, `messages_versions` and
/// `messages_as_of(moment)`; tables in components are named like "waitlist".users. Only tables that the query names are
/// read. Without a query, DuckDB's own shell opens with all views defined. This needs the program `duckdb`, version 1.5
/// or later.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(after_help = "\
Examples:
  convex-archiver query 'SELECT count(*) FROM messages' --archive s3://bucket/happy-otter
  convex-archiver query 'SELECT author, count(*) FROM messages GROUP BY ALL' --as-of '1 day ago' \\
                        --archive ./archive --json
  convex-archiver query 'FROM messages_history ORDER BY _ts DESC' --archive ./archive \\
                        --csv --output history.csv
  convex-archiver query --archive ./archive

Exit codes: 1 if DuckDB ends with an error, which it prints itself (wrong SQL, a table that is not covered, a file \
that cannot be read); \
2 if it cannot be started; 3 if a table that the query names is in doubt and --accept-doubt was given; 130 if it was \
interrupted.")]
pub(crate) struct QueryArgs {
    /// SQL; `-` reads it from standard input. Without SQL the shell opens
    sql: Option<String>,
    #[command(flatten)]
    archive: ArchiveArgs,
    /// Moment that the plain table names refer to, the same for all tables; as in --as-of of get
    #[arg(long, value_name = "MOMENT")]
    as_of: Option<Moment>,
    /// Print JSON: a list of rows
    #[arg(long, group = "format", requires = "sql")]
    json: bool,
    /// Print CSV (the default when the output is not a terminal). A spreadsheet may run a text that begins with =, +, - or @ as a formula
    #[arg(long, group = "format", requires = "sql")]
    csv: bool,
    /// Print a Markdown table
    #[arg(long, group = "format", requires = "sql")]
    markdown: bool,
    /// Write to this file, which appears complete or not at all (a pipe or a device is written to directly)
    #[arg(long, value_name = "FILE", requires = "sql")]
    output: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long, requires = "output")]
    force: bool,
    #[command(flatten)]
    tables: SelectionArgs,
    #[command(flatten)]
    doubt: DoubtArgs,
    /// Path of the program `duckdb` [default: the one on the PATH]
    #[arg(long, value_name = "PATH", default_value = "duckdb", hide_default_value = true)]
    duckdb: PathBuf,
}

pub(super) async fn run(args: &QueryArgs) -> Result<Outcome> {
    let sql = match args.sql.as_deref() {
        Some("-") => Some(std::io::read_to_string(std::io::stdin()).map_err(no_input)?),
        sql => sql.map(str::to_owned),
    };
    let past = Past::open(&args.archive).await?;
    let as_of = past.fixed(args.as_of)?;
    if let Some(ts) = as_of {
        refuse_uncovered(&past, ts)?;
    }
    let selection = args.tables.selection(&past.head)?;
    let is_doubted = doubt::check(&past.head, &selection, sql.as_deref(), as_of, args.doubt.accept_doubt)?;
    let url = past.archive.url();
    let mut columns = past.archive.all_schemas(&past.head).await?;
    columns.retain(|table, _| selection.contains(table) && sql.as_ref().is_none_or(|sql| may_name(sql, table)));
    let lists = lists_beside(&past, |table| columns.contains_key(table)).await?;
    let lists = lists.as_ref().map_or(url, |folder| folder.1.as_str());
    let views = duckdb_views_of(&past.head, &columns, url, lists, as_of);
    // Credentials are in here: it goes through a pipe, or a file that only its owner can read.
    let script = unheard(&secret::duckdb(url, &config::settings())) + &views;
    let ended = match &sql {
        Some(sql) => answer(args, script, sql).await?,
        None => shell(args, &script).await?,
    };
    let Ending { status, was_asked } = ended;
    if status.success() {
        return Ok(if is_doubted { Outcome::Findings } else { Outcome::Done });
    }
    if was_asked {
        tracing::warn!("interrupted: DuckDB ended with {status}");
        return Ok(Outcome::Interrupted);
    }
    if args.output.is_none() && child::is_unread(status) {
        return Ok(Outcome::Done);
    }
    tracing::error!("DuckDB ended with {status}: see its message above");
    Ok(Outcome::Failed(1))
}

/// A folder with lists of files for DuckDB, made from the log, and its path: where those of the archive are damaged, missing, or behind
/// the log. DuckDB itself compares no sums.
async fn lists_beside(past: &Past, wanted: impl Fn(&TableRef) -> bool) -> Result<Option<(tempfile::TempDir, String)>> {
    let Past { archive, head, .. } = past;
    if head.version() == 0 || archive.are_lists_sound(head, wanted).await? {
        return Ok(None);
    }
    tracing::warn!(
        "manifest.json or a list that it names does not match the log, so DuckDB gets lists made from the log"
    );
    let folder = tempfile::Builder::new().prefix("convex-archiver-").tempdir().map_err(no_temporary)?;
    let place = folder.path().display().to_string();
    let location = Location::create(&place, &config::settings())?;
    archive.write_lists(head, location.store()).await?;
    Ok(Some((folder, place)))
}

fn duckdb(args: &QueryArgs) -> Command {
    let mut command = Command::new(&args.duckdb);
    child_environment::clean(command.as_std_mut());
    command
}

/// Statements of which DuckDB's program prints nothing: CREATE SECRET answers with a row, which is none of the query's.
fn unheard(statements: &str) -> String {
    let nowhere = if cfg!(windows) { "NUL" } else { "/dev/null" };
    if statements.is_empty() { String::new() } else { format!(".output {nowhere}\n{statements}.output\n") }
}

/// A moment that no table covers; what of others is asked for is refused by the views.
fn refuse_uncovered(past: &Past, ts: Timestamp) -> Result<()> {
    let mut refused = None;
    for state in past.head.tables() {
        match base_at(&past.head, &state.table, ts) {
            Ok(_) => return Ok(()),
            Err(e) => refused = refused.or(Some(e)),
        }
    }
    refused.map_or(Ok(()), Err)
}

async fn answer(args: &QueryArgs, mut script: String, sql: &str) -> Result<Ending> {
    let mut command = duckdb(args);
    command.args(["-batch", "-bail", "-no-init"]);
    let terminal = args.output.is_none() && std::io::stdout().is_terminal();
    command.args(match (args.json, args.csv, args.markdown) {
        (true, ..) => Some("-json"),
        (_, _, true) => Some("-markdown"),
        (_, true, _) => Some("-csv"),
        _ => (!terminal).then_some("-csv"),
    });
    command.arg(":memory:");
    script.push_str(sql.trim_end());
    script.push_str("\n;\n");
    let target = args.output.as_deref().map(|path| Target::new(path, args.force)).transpose()?;
    if terminal {
        // Through us: a terminal of its own it would ask for its colours, and wait for the answer at its standard input.
        command.stdout(Stdio::piped());
    }
    if let Some(target) = &target {
        command.stdout(target.open()?);
    }
    let ended = child::run(command, Purpose::Answer, Some(script)).await?;
    if let (true, Some(target)) = (ended.status.success(), target) {
        target.finish()?;
    }
    Ok(ended)
}

async fn shell(args: &QueryArgs, script: &str) -> Result<Ending> {
    // Its name is gone when this ends, and that is after the shell has ended. (DuckDB opens no init file without a name.)
    let mut file =
        tempfile::Builder::new().prefix("convex-archiver-").suffix(".sql").tempfile().map_err(no_temporary)?;
    file.write_all(script.as_bytes()).and_then(|()| file.flush()).map_err(no_temporary)?;
    let mut command = duckdb(args);
    command.arg("-init").arg(file.path()).arg(":memory:");
    child::run(command, Purpose::Shell, None).await
}

fn no_input(e: std::io::Error) -> Error {
    Error::usage("cannot read SQL from standard input").with_source(e)
}

fn no_temporary(e: std::io::Error) -> Error {
    Error::resource("cannot write a temporary file: set TMPDIR to another folder").with_source(e)
}
