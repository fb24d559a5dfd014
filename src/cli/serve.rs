//! The verb `serve`.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use clap::Args;
use convex_archiver::{
    Error, Result, Selection,
    archive::Span,
    read::Moment,
    server::{ArchivedDeployment, Deployment, RouterOptions, answer},
};
use rand::RngCore;

use super::{
    config::ArchiveArgs,
    listen::{self, ListenerUrl},
    outcome::Outcome,
    output,
    past::{LimitArgs, Past, SelectionArgs, moment},
    signals,
    telemetry::FindingLog,
    units, words,
};

/// Where the key is looked for.
const KEY: &str = "CONVEX_ARCHIVER_SERVE_KEY";

/// Serves an archive over HTTP as if it were the deployment
///
/// It answers the streaming-export API as Convex does, in all formats: snapshots of any moment and the changes after
/// any cursor that the archive covers. Requests for anything that is not covered are refused with Convex's own error
/// codes, and never answered in part. So any client of this API can read years back without touching the deployment,
/// and a lost archive can be recreated from a copy. Data that a sync adds while serve is running is served after the
/// next start.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  convex-archiver serve --archive s3://bucket/happy-otter
      prints a URL, a new key, and what is covered

  CONVEX_ARCHIVER_SERVE_KEY='otter|…' convex-archiver serve --archive ./archive --as-of '1 day ago'
      clients see the archive as it was yesterday: the newest snapshot is yesterday's

  convex-archiver serve --archive ./archive --exclude '*/**'
      without the tables of components")]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    archive: ArchiveArgs,
    /// The moment that clients see as "now": as in --as-of of get, or `now` (as far as the archive reaches) [default:
    /// now]
    #[arg(long, value_name = "MOMENT")]
    as_of: Option<Moment>,
    /// Address to listen on; port 0 picks a free port. Traffic is not encrypted, so listen beyond this machine only in
    /// a network of your own
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3218", value_parser = listen::address)]
    listen: SocketAddr,
    /// Environment variable with the key that clients must send [default: CONVEX_ARCHIVER_SERVE_KEY; if that is not
    /// set, a new key is generated and printed]. No flag takes the key itself, because other users of the machine can
    /// read a command line
    #[arg(long, value_name = "NAME")]
    key_env: Option<String>,
    /// Number of documents per page of a snapshot; each page is held in memory
    #[arg(long, value_name = "COUNT", default_value_t = 1024, value_parser = listen::page)]
    snapshot_page: usize,
    /// Minimum number of revisions per page of changes
    #[arg(long, value_name = "COUNT", default_value_t = 128, value_parser = listen::page)]
    delta_page: usize,
    #[command(flatten)]
    tables: SelectionArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// The key to take, and what is said of it.
struct Key {
    key: String,
    /// The variable that it comes from; None of a new one.
    variable: Option<String>,
}

impl Key {
    /// # Errors
    /// Usage, if the variable holds no key, or was named and is not set.
    fn find(named: Option<&str>, deployment: &str) -> Result<Self> {
        let variable = named.unwrap_or(KEY);
        match std::env::var_os(variable) {
            Some(text) => {
                let key = text.to_str().ok_or_else(String::new).and_then(listen::key);
                let odd = |_| {
                    Error::usage(format!(
                        "{variable} holds no valid key: it must be one word of letters, digits and punctuation"
                    ))
                };
                Ok(Self { key: key.map_err(odd)?, variable: Some(variable.to_owned()) })
            }
            None if named.is_some() => {
                Err(Error::usage(format!("--key-env {variable}: this environment variable is not set")))
            }
            None => {
                let mut secret = [0; 32];
                rand::rng().fill_bytes(&mut secret);
                Ok(Self { key: format!("{deployment}|{}", hex::encode(secret)), variable: None })
            }
        }
    }
}

pub(super) async fn run(args: &ServeArgs) -> Result<Outcome> {
    let budget = args.limits.budget()?;
    let past = Past::open(&args.archive).await?;
    let as_of = args.as_of.map(|moment| past.at(Some(moment))).transpose()?;
    let selection = args.tables.selection(&past.head)?;
    let url = past.archive.url().to_owned();
    let deployment = ArchivedDeployment::open(past.archive, as_of, &selection, budget).await?;
    let key = Key::find(args.key_env.as_deref(), &deployment.name())?;
    let options = RouterOptions::default()
        .key(key.key.clone())
        .snapshot_page(args.snapshot_page)
        .delta_page(args.delta_page)
        // What is too old, the archive says.
        .snapshot_window(Duration::MAX)
        .deltas_window(Duration::MAX);
    let (listener, address) = listen::bind(args.listen).await?;
    if !address.ip().is_loopback() {
        tracing::warn!(
            "listening on {address} without encryption: others on the network can read the key and the documents in \
             transit"
        );
    }
    let uncovered = deployment.uncovered();
    if !uncovered.is_empty() {
        tracing::warn!(
            "at {} the archive does not cover {}: requests for these tables are refused. Leave them out with --exclude",
            moment(deployment.as_of()),
            words::list(uncovered.into_iter())
        );
    }
    if !deployment.head().coverage().untyped.is_empty() {
        tracing::warn!("some documents were archived without types: their int64 and bytes are text; see `status`");
    }
    let interrupted = signals::interrupted()?;
    output::print(&welcome(&deployment, &selection, &url, address, &key))?;
    tokio::select! {
        ended = answer(listener, Arc::new(deployment), options, Arc::new(FindingLog)) => ended?,
        () = interrupted => {}
    }
    Ok(Outcome::Done)
}

fn welcome(
    deployment: &ArchivedDeployment,
    selection: &Selection,
    archive: &str,
    address: SocketAddr,
    key: &Key,
) -> String {
    let (now, head) = (deployment.as_of(), deployment.head());
    let served = |spans: Vec<Span>| -> Vec<Span> {
        let spans = spans.into_iter().filter(|span| span.from <= now);
        spans.map(|span| Span { to: span.to.min(now), ..span }).collect()
    };
    let tables = head.tables().filter(|state| selection.contains(&state.table));
    let spans: Vec<_> = tables.map(|state| (&state.table, served(head.coverage().spans(&state.table)))).collect();
    let ListenerUrl { url, flags } = ListenerUrl::at(address);
    let (shown, given) = match &key.variable {
        Some(variable) => (format!("the one in {variable}"), format!("\"${variable}\"")),
        None => (key.key.clone(), words::of_shell(&key.key)),
    };
    format!(
        "The archive {archive} is served as of {}, with {}.\n\
         URL: {url}\n\
         Key: {shown}\n\n\
         {}\
         Changes of all tables: after cursor {} or a later one\n\n\
         In another terminal:\n  \
         CONVEX_DEPLOY_KEY={given} convex-archiver sync --deployment {url}{flags} --archive ./copy\n\n\
         Ctrl-C stops it.\n",
        moment(now),
        units::counted(spans.len() as u64, "table"),
        words::covered(spans.iter().map(|(table, spans)| (*table, spans.as_slice()))),
        deployment.changes_after().0,
    )
}
