//! The verb `simulate`.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use chrono::NaiveDate;
use clap::{Args, ValueEnum};
use convex_archiver::{
    Result, Timestamp,
    server::{
        AuditLogs, Contents, JsonSchemas, LaterContents, RouterOptions, SimulateOptions, SimulatedDeployment, serve,
    },
};

use super::{
    listen::{self, ListenerUrl},
    outcome::Outcome,
    output, signals,
    telemetry::FindingLog,
    units, words,
};

/// Serves a simulated Convex deployment, from memory
///
/// It answers the streaming-export API as a real deployment does, for experiments, tests and timing without an account.
/// The documents are generated from the seed or read from files, and may change while it runs. Nothing is kept when it
/// ends.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  convex-archiver simulate --writes-per-second 20
      generates a thousand documents and keeps changing them

  convex-archiver simulate --documents v6 --then v7 --by feature --after 10s
      changes the documents from v6/TABLE.ndjson to v7/TABLE.ndjson after ten seconds; documents
      with the same value of the field `feature` are the same document

Files: DIR/TABLE.ndjson, for components DIR/_components/NAME/TABLE.ndjson; one document per line,
values in Convex's export format (42.0 is a number, 42 an int64). `_id` and `_creationTime` are
generated if absent.")]
pub(crate) struct SimulateArgs {
    /// Address to listen on; port 0 picks a free port. Not 3210 or 3211, which are the ports of a real local deployment
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3217", value_parser = listen::address)]
    listen: SocketAddr,
    /// The deploy key that clients must send. It is not a secret, because it only opens the simulation
    #[arg(long, default_value = "simulated|key", value_parser = listen::key)]
    key: String,
    /// The deployment's name
    #[arg(long, default_value = "simulated")]
    name: String,
    /// Seed for ids, generated documents and writes: the same seed gives the same data
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,

    /// Approximate number of documents to generate
    #[arg(long, value_name = "COUNT", default_value_t = 1000, help_heading = DOCUMENTS)]
    generate: usize,
    /// Read the documents from files instead
    #[arg(long, value_name = "DIR", conflicts_with = "generate", help_heading = DOCUMENTS)]
    documents: Option<PathBuf>,
    /// Later change the documents to those in this folder, by inserting, updating and deleting
    #[arg(long, value_name = "DIR", requires = "by", help_heading = DOCUMENTS)]
    then: Option<PathBuf>,
    /// The field that identifies a document
    #[arg(long, value_name = "FIELD", requires = "then", help_heading = DOCUMENTS)]
    by: Option<String>,
    /// When to change them
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = units::duration, help_heading = DOCUMENTS)]
    after: Duration,
    /// Transactions to write per second, derived from the seed: inserts, updates, deletes, and now and then a burst of
    /// hundreds or a field that changes its type
    #[arg(long, value_name = "RATE", default_value_t = 0.0, value_parser = rate, help_heading = DOCUMENTS)]
    writes_per_second: f64,

    /// Documents per page of the snapshot
    #[arg(long, value_name = "COUNT", default_value_t = 1024, value_parser = listen::page, help_heading = ANSWERS)]
    snapshot_page: usize,
    /// Log rows read per page of deltas
    #[arg(long, value_name = "COUNT", default_value_t = 128, value_parser = listen::page, help_heading = ANSWERS)]
    delta_page: usize,
    /// Delay before each answer, to simulate a network
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = units::duration, help_heading = ANSWERS)]
    latency: Duration,
    /// Age at which a snapshot is refused
    #[arg(long, value_name = "TIME", default_value = "5d", value_parser = units::duration, help_heading = ANSWERS)]
    snapshot_window: Duration,
    /// Age at which a cursor of the change log is refused
    #[arg(long, value_name = "TIME", default_value = "14d", value_parser = units::duration, help_heading = ANSWERS)]
    deltas_window: Duration,
    /// Answer as a server of that day did (encodings, selections, changes of components, windows)
    #[arg(long, value_name = "DAY", value_parser = day, conflicts_with_all = ["snapshot_window", "deltas_window"], help_heading = ANSWERS)]
    server_of: Option<NaiveDate>,
    /// How /api/json_schemas answers
    #[arg(long, value_name = "FORM", default_value = "inferred", help_heading = ANSWERS)]
    schemas: SchemasForm,
    /// Answer the first request for schemas with 503, as a deployment does after a restart
    #[arg(long, help_heading = ANSWERS)]
    schemas_unavailable_once: bool,
    /// Serve the audit log. Without this flag, requests for it are refused, as by a self-hosted deployment
    #[arg(long, help_heading = ANSWERS)]
    audit_log: bool,
}

const DOCUMENTS: &str = "Documents";
const ANSWERS: &str = "Answers";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SchemasForm {
    /// Schemas of the present documents
    Inferred,
    /// Like older servers: without components
    Flat,
    /// As with schemas declared as `any`: no fields
    Blank,
    /// Always 400
    Failing,
}

impl From<SchemasForm> for JsonSchemas {
    fn from(form: SchemasForm) -> Self {
        match form {
            SchemasForm::Inferred => Self::Inferred,
            SchemasForm::Flat => Self::Flat,
            SchemasForm::Blank => Self::Blank,
            SchemasForm::Failing => Self::Failing,
        }
    }
}

fn day(text: &str) -> Result<NaiveDate, String> {
    text.parse().map_err(|_| "write a day, such as 2025-08-01".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|r| r.is_finite() && *r >= 0.0);
    rate.ok_or_else(|| "write a number, 0 or more".to_owned())
}

impl From<&SimulateArgs> for SimulateOptions {
    fn from(args: &SimulateArgs) -> Self {
        let then = args.then.clone().zip(args.by.clone());
        let router = RouterOptions::default()
            .key(args.key.clone())
            .snapshot_page(args.snapshot_page)
            .delta_page(args.delta_page)
            .snapshot_window(args.snapshot_window)
            .deltas_window(args.deltas_window)
            .latency(args.latency)
            .schemas(args.schemas.into())
            .summaries_unavailable_once(args.schemas_unavailable_once)
            .audit_logs(if args.audit_log { AuditLogs::Kept } else { AuditLogs::Disabled });
        Self::default()
            .name(args.name.clone())
            .seed(args.seed)
            .contents(args.documents.clone().map_or(Contents::Generated(args.generate), Contents::Directory))
            .then(then.map(|(directory, by)| LaterContents { directory, by, after: args.after }))
            .writes_per_second(args.writes_per_second)
            .router(match args.server_of {
                Some(day) => router.server_of(day),
                None => router,
            })
    }
}

pub(super) async fn run(args: &SimulateArgs) -> Result<Outcome> {
    let options = SimulateOptions::from(args);
    let deployment = Arc::new(SimulatedDeployment::from_options(&options)?);
    let (listener, address) = listen::bind(args.listen).await?;
    let interrupted = signals::interrupted()?;
    output::print(&welcome(&deployment, address, &options))?;
    tokio::select! {
        ended = serve(listener, deployment, options, Arc::new(FindingLog)) => ended?,
        () = interrupted => {}
    }
    Ok(Outcome::Done)
}

fn welcome(deployment: &SimulatedDeployment, address: SocketAddr, options: &SimulateOptions) -> String {
    let state = deployment.state_at(Timestamp(i64::MAX));
    let documents = state.values().map(|table| table.len() as u64).sum();
    let (documents, tables) = (units::counted(documents, "document"), units::counted(state.len() as u64, "table"));
    let ListenerUrl { url, flags } = ListenerUrl::at(address);
    let key = words::of_shell(&options.router.key);
    format!(
        "Serving a simulated deployment with {documents} in {tables}.\n\
         URL: {url}\n\
         Key: {}\n\n\
         In another terminal:\n  \
         CONVEX_DEPLOY_KEY={key} convex-archiver sync --deployment {url}{flags} --archive ./archive\n\n\
         Ctrl-C stops it.\n",
        options.router.key
    )
}
