//! The command line: one file per verb, each with its flags (whose comments are the help), and a `run` that makes
//! options of them, calls the library once and prints once. Reports go to stdout, progress and logs to stderr.

#![expect(
    clippy::disallowed_methods,
    reason = "the program is where the process's environment and command line are read"
)]

mod audit;
mod check;
mod child_environment;
mod compact;
mod completions;
mod config;
mod copy;
mod demo;
mod diff;
mod documents;
mod doubt;
pub(crate) mod exit;
mod export;
mod field_changes;
mod forget;
mod get;
mod healed;
mod history;
mod init;
mod listen;
mod log;
pub(crate) mod memory;
mod outcome;
mod output;
mod past;
mod progress;
mod query;
mod repair;
mod restore;
mod schema;
mod secret;
mod serve;
mod signals;
mod simulate;
mod status;
mod sync;
mod tables;
pub(crate) mod telemetry;
mod terminal;
mod units;
mod vacuum;
mod verify;
mod views;
mod words;

use clap::{CommandFactory, Parser, Subcommand};
use convex_archiver::{Error, Result};
use futures::future::LocalBoxFuture;

use self::{outcome::Outcome, telemetry::Screen};

/// Archives a Convex deployment: a snapshot of every table, then every later change, as Parquet files on object storage
/// (S3 and S3-compatible stores, Google Cloud Storage, Azure) or in a folder.
///
/// The first run of `sync` creates the archive, and every later run brings it up to date. Run it from a scheduler.
#[derive(Debug, Parser)]
#[command(name = "convex-archiver", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) logging: telemetry::Logging,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  convex-archiver demo
      demonstrates the whole program on this machine in half a minute, without an account or network

  CONVEX_DEPLOY_KEY='prod:happy-otter-123|…' convex-archiver check --archive s3://bucket/happy-otter
      checks that everything for the first sync is in place (key, plan, store, disk space) and estimates its cost

  CONVEX_DEPLOY_KEY='prod:happy-otter-123|…' convex-archiver sync --archive s3://bucket/happy-otter
      archives a deployment, or brings its archive up to date

  convex-archiver status --archive s3://bucket/happy-otter --max-lag 6h
      shows the state of the archive, and exits with 3 if it is too far behind

  convex-archiver diff '1 day ago' now --archive s3://bucket/happy-otter
      shows what changed since yesterday; log, history and get show more detail

  convex-archiver audit --archive s3://bucket/happy-otter
      compares the archive with the deployment, document by document

  convex-archiver verify --archive s3://bucket/happy-otter --read-data=10%
      checks the archive itself: its log, its files, and a tenth of the data; repair fixes what it finds

  convex-archiver copy --archive s3://bucket/happy-otter --to gs://other-bucket/happy-otter
      makes a second archive elsewhere, or brings it up to date

  convex-archiver restore --as-of '1 day ago' --output yesterday.zip \\
                          --archive s3://bucket/happy-otter
      writes the documents of yesterday to a ZIP for `npx convex import`

  convex-archiver query 'SELECT count(*) FROM messages' --as-of '1 day ago' \\
                        --archive s3://bucket/happy-otter
      runs SQL as of any moment with DuckDB; views prints the script, also for Spark

Exit codes:
  0    done, or stopped at a commit             3    done, but with findings
  1    failed                                   4    another writer committed first
  2    a flag, variable, key or permission      5    deployment or store unavailable: run again
       is wrong: running again does not help    130  interrupted (a sync: twice)

Environment:
  CONVEX_ARCHIVE                                default of --archive
  CONVEX_DEPLOY_KEY, CONVEX_URL                 the deployment; the URL may be omitted
  CONVEX_ARCHIVER_SERVE_KEY                     the key that clients of serve must send
  CONVEX_SELF_HOSTED_URL, CONVEX_SELF_HOSTED_ADMIN_KEY       both, for a self-hosted deployment
  AWS_*, GOOGLE_*, AZURE_*                      the store, as in the cloud's own tools
  CONVEX_ARCHIVER_COPY_AWS_*, …_GOOGLE_*, …     the same for the destination of copy
  RUST_LOG, NO_COLOR                            logs
  No .env file is read.";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Check(check::CheckArgs),
    Init(init::InitArgs),
    Sync(sync::SyncArgs),
    Status(status::StatusArgs),
    Tables(tables::TablesArgs),
    Schema(schema::SchemaArgs),
    Documents(documents::DocumentsArgs),
    Get(get::GetArgs),
    History(history::HistoryArgs),
    Log(log::LogArgs),
    Diff(diff::DiffArgs),
    Audit(audit::AuditArgs),
    Verify(verify::VerifyArgs),
    Repair(repair::RepairArgs),
    Compact(compact::CompactArgs),
    Vacuum(vacuum::VacuumArgs),
    Forget(forget::ForgetArgs),
    Copy(copy::CopyArgs),
    Restore(restore::RestoreArgs),
    Export(export::ExportArgs),
    Serve(serve::ServeArgs),
    Query(query::QueryArgs),
    Views(views::ViewsArgs),
    Demo(demo::DemoArgs),
    Simulate(simulate::SimulateArgs),
    Completions(completions::CompletionsArgs),
}

impl Cli {
    /// Whether stdout is to hold one JSON object, whatever happens.
    pub(crate) fn json(&self) -> bool {
        match &self.command {
            Command::Check(args) => args.json,
            Command::Sync(args) => args.json,
            Command::Status(args) => args.json,
            Command::Tables(args) => args.json,
            Command::Schema(args) => args.json,
            Command::Documents(args) => args.json,
            Command::Get(args) => args.json,
            Command::History(args) => args.json,
            Command::Log(args) => args.json,
            Command::Diff(args) => args.json,
            Command::Audit(args) => args.json,
            Command::Verify(args) => args.json,
            Command::Repair(args) => args.json,
            Command::Compact(args) => args.json,
            Command::Vacuum(args) => args.json,
            Command::Forget(args) => args.json,
            Command::Copy(args) => args.json,
            Command::Restore(args) => args.json && !args.is_to_stdout(),
            Command::Export(args) => args.json,
            Command::Query(_)
            | Command::Views(_)
            | Command::Demo(_)
            | Command::Serve(_)
            | Command::Init(_)
            | Command::Simulate(_)
            | Command::Completions(_) => false,
        }
    }
}

/// Does what was asked. What a reader says of an archive whose log is in doubt at one of its ends is to be looked at.
pub(crate) async fn run(cli: &Cli, screen: &Screen) -> Result<Outcome> {
    signals::outlive_readers();
    let is_sync = matches!(cli.command, Command::Sync(_));
    match run_verb(cli, screen).await? {
        Outcome::Done if !is_sync && telemetry::is_log_in_doubt() => Ok(Outcome::Findings),
        outcome => Ok(outcome),
    }
}

async fn run_verb(cli: &Cli, screen: &Screen) -> Result<Outcome> {
    match &cli.command {
        Command::Check(args) => check::run(args).await,
        Command::Init(args) => init::run(args).await,
        Command::Sync(args) => sync::run(args, screen).await,
        Command::Status(args) => status::run(args).await,
        Command::Tables(args) => tables::run(args).await,
        Command::Schema(args) => schema::run(args).await,
        Command::Documents(args) => documents::run(args).await,
        Command::Get(args) => get::run(args).await,
        Command::History(args) => history::run(args).await,
        Command::Log(args) => log::run(args).await,
        Command::Diff(args) => diff::run(args).await,
        Command::Audit(args) => audit::run(args, screen).await,
        Command::Verify(args) => verify::run(args, screen).await,
        Command::Repair(args) => repair::run(args, screen).await,
        Command::Compact(args) => compact::run(args, screen).await,
        Command::Vacuum(args) => vacuum::run(args, screen).await,
        Command::Forget(args) => forget::run(args, screen).await,
        Command::Copy(args) => copy::run(args, screen).await,
        Command::Restore(args) => restore::run(args, screen).await,
        Command::Export(args) => export::run(args, screen).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Query(args) => query::run(args).await,
        Command::Views(args) => views::run(args).await,
        Command::Demo(args) => demo::run(args, screen, typed).await,
        Command::Simulate(args) => simulate::run(args).await,
        Command::Completions(args) => completions::run(args, Cli::command()),
    }
}

/// The same for a command line of the program's own: the demo types some.
fn typed(words: Vec<String>, screen: &Screen) -> LocalBoxFuture<'_, Result<Outcome>> {
    Box::pin(async move {
        let cli = Cli::try_parse_from(words)
            .map_err(|e| Error::internal("the demo ran an invalid command: report it").with_source(e))?;
        run(&cli, screen).await
    })
}
