//! The verb `query`.

use std::{
    fs::File,
    io::{ErrorKind, IsTerminal, Write},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use clap::Args;
use convex_archiver::{
    Error, Result, Timestamp,
    read::{Moment, base_at, views::duckdb_views},
};

use super::{config::ArchiveArgs, exit::Outcome, past::Past, secret};

/// Runs SQL over the archive with DuckDB: the documents of each table, its history, and its documents at any moment
///
/// The views are those of `views --engine duckdb`: `messages`, `messages_history`, `messages_as_of(moment)`; tables of components are
/// "waitlist".users. Without a query DuckDB's own shell opens, with the views in place. Needs the program `duckdb`, 1.5 or later.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  convex-archiver query 'SELECT count(*) FROM messages' --archive s3://bucket/happy-otter
  convex-archiver query 'SELECT author, count(*) FROM messages GROUP BY ALL' --as-of '1 day ago' --archive ./archive --json
  convex-archiver query 'FROM messages_history ORDER BY _ts DESC' --archive ./archive --csv --output history.csv
  convex-archiver query --archive ./archive")]
pub(crate) struct QueryArgs {
    /// SQL; `-` reads it from the standard input. Without it the shell opens
    sql: Option<String>,
    #[command(flatten)]
    archive: ArchiveArgs,
    /// What the plain names mean, for all tables at once: as in --as-of of get
    #[arg(long, value_name = "MOMENT")]
    as_of: Option<Moment>,
    /// Print JSON, a list of rows
    #[arg(long, group = "format", requires = "sql")]
    json: bool,
    /// Print CSV. So it is where the output is no terminal and nothing else is said
    #[arg(long, group = "format", requires = "sql")]
    csv: bool,
    /// Print a table of Markdown
    #[arg(long, group = "format", requires = "sql")]
    markdown: bool,
    /// Write to this file; it is not left behind when the query fails
    #[arg(long, value_name = "FILE", requires = "sql")]
    output: Option<PathBuf>,
    /// The program `duckdb` [default: the one on the PATH]
    #[arg(long, value_name = "PATH", default_value = "duckdb", hide_default_value = true)]
    duckdb: PathBuf,
}

pub(super) async fn run(args: &QueryArgs) -> Result<Outcome> {
    let past = Past::open(&args.archive).await?;
    let as_of = past.fixed(args.as_of)?;
    if let Some(ts) = as_of {
        refuse_uncovered(&past, ts)?;
    }
    let url = past.archive.url();
    // Credentials are in here: it goes through a pipe, or a file that only its owner can read.
    let script = secret::duckdb(url, |name| std::env::var(name).ok()) + &duckdb_views(&past.head, url, as_of);
    match &args.sql {
        Some(sql) => {
            let sql =
                if sql == "-" { std::io::read_to_string(std::io::stdin()).map_err(no_input)? } else { sql.clone() };
            answer(args, script, &sql)?;
        }
        None => shell(&args.duckdb, &script)?,
    }
    Ok(Outcome::Done)
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

fn answer(args: &QueryArgs, mut script: String, sql: &str) -> Result<()> {
    let mut command = Command::new(&args.duckdb);
    command.args(["-batch", "-bail", "-no-init"]);
    let terminal = args.output.is_none() && std::io::stdout().is_terminal();
    command.args(match (args.json, args.csv, args.markdown) {
        (true, ..) => Some("-json"),
        (_, _, true) => Some("-markdown"),
        (_, true, _) => Some("-csv"),
        _ => (!terminal).then_some("-csv"),
    });
    if terminal {
        // Through us: a terminal of its own it would ask for its colours, and wait for the answer at its standard input.
        command.stdout(Stdio::piped());
    }
    if let Some(path) = &args.output {
        command.stdout(File::create(path).map_err(|e| no_file(path, e))?);
    }
    script.push_str(sql.trim_end());
    script.push_str("\n;\n");
    let ended = feed(command.arg(":memory:"), &args.duckdb, script);
    if let (Err(_), Some(path)) = (&ended, &args.output) {
        // The query's own error is the one to be told.
        let _ = std::fs::remove_file(path);
    }
    ended
}

/// Runs it with the script as its standard input.
fn feed(command: &mut Command, program: &Path, script: String) -> Result<()> {
    let mut child = command.stdin(Stdio::piped()).spawn().map_err(|e| no_duckdb(program, e))?;
    let input = child.stdin.take();
    // It may stop reading at an error, which it tells itself.
    let writer = std::thread::spawn(move || input.map(|mut input| input.write_all(script.as_bytes())));
    if let Some(mut output) = child.stdout.take() {
        // A reader that has gone away ends it: its pipe is closed here.
        let _ = std::io::copy(&mut output, &mut std::io::stdout().lock());
    }
    let status = child.wait().map_err(|e| no_duckdb(program, e))?;
    let _ = writer.join();
    done(status)
}

fn shell(program: &Path, script: &str) -> Result<()> {
    let mut file =
        tempfile::Builder::new().prefix("convex-archiver-").suffix(".sql").tempfile().map_err(no_temporary)?;
    file.write_all(script.as_bytes()).and_then(|()| file.flush()).map_err(no_temporary)?;
    let status = Command::new(program).arg("-init").arg(file.path()).arg(":memory:").status();
    done(status.map_err(|e| no_duckdb(program, e))?)
}

fn done(status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    Err(Error::usage(format!("DuckDB ended with {status}: what it says above is the reason")))
}

fn no_duckdb(program: &Path, e: std::io::Error) -> Error {
    let program = program.display();
    let error = match e.kind() {
        ErrorKind::NotFound => Error::usage(format!(
            "there is no program `{program}`: get DuckDB 1.5 or later (https://duckdb.org, `brew install duckdb`, `pip install \
             duckdb-cli`), or say where it is with --duckdb; `views --engine duckdb` prints what it would run"
        )),
        _ => Error::usage(format!("cannot run `{program}`: say with --duckdb where DuckDB is")),
    };
    error.with_source(e)
}

fn no_file(path: &Path, e: std::io::Error) -> Error {
    Error::usage(format!("--output {}: it cannot be written", path.display())).with_source(e)
}

fn no_input(e: std::io::Error) -> Error {
    Error::usage("cannot read SQL from the standard input").with_source(e)
}

fn no_temporary(e: std::io::Error) -> Error {
    Error::resource("cannot write a temporary file: set TMPDIR to another folder").with_source(e)
}
