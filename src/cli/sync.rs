//! The verb `sync`.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use convex_archiver::{
    DigestShare, ErrorKind, FindingCounter, MemoryBudget, Monitor, Result, ResultExt, Selection, Timestamp,
    archive::{Archive, Location},
    convex::{Client, ClientOptions, Source, Traffic},
    sync::{OnGap, Stop, SyncOptions, SyncReport, sync},
};
use serde::Serialize;

use super::{
    config::{self, ArchiveArgs, DeploymentArgs},
    outcome::Outcome,
    output,
    progress::Progress,
    signals,
    telemetry::Screen,
    units::{self, bytes, counted, long},
    words,
};

/// Archives a deployment, or brings its archive up to date
///
/// The first run makes the archive and walks all tables as they were at one moment (the snapshot), then follows every later change (deltas).
/// Each later run goes on where the last one stopped and catches up. A deployment keeps its changes for 14 days: run at least every few days.
///
/// SIGTERM or Ctrl-C end the run at a commit, with exit code 0 and "more is waiting"; the next run goes on there. Killed
/// at any moment, nothing committed is lost and nothing is written twice.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SyncArgs {
    #[command(flatten)]
    archive: ArchiveArgs,
    /// Print the report as one JSON object, also when the run fails
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    deployment: DeploymentArgs,
    /// Archive these tables only: `messages`, `waitlist/users` in a component, `log_*`, `waitlist/**`; may be repeated
    #[arg(long, value_name = "PATTERN", help_heading = SELECTION)]
    pub(crate) include: Vec<String>,
    /// Archive all tables but these; may be repeated, and wins over --include
    #[arg(long, value_name = "PATTERN", help_heading = SELECTION)]
    pub(crate) exclude: Vec<String>,
    /// Go on although the archive was made with other patterns: what leaves has a gap from here, what joins gets a new base
    #[arg(long, help_heading = SELECTION)]
    pub(crate) accept_selection: bool,
    /// Go on although the deployment has another name or address than the archive's, this one: it is the same database, moved
    /// (not its documents, imported into another)
    #[arg(long, value_name = "NAME or URL")]
    pub(crate) accept_deployment: Option<String>,
    /// What to do if the last sync was so long ago that the deployment no longer keeps the changes after it (14 days):
    /// record the gap, go on, take a new base and exit with 3, or fail and leave the archive as it is
    #[arg(long, value_enum, value_name = "WHAT", default_value = "heal")]
    pub(crate) on_gap: GapChoice,
    /// Memory that the run may take, at least 64MiB; a page of the deployment that is larger than a quarter of it goes to
    /// --temp-dir
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = units::size, help_heading = LIMITS)]
    pub(crate) memory_limit: u64,
    /// End the run at a commit after this time, whether it has caught up or not
    #[arg(long, value_name = "TIME", value_parser = units::some_duration, help_heading = LIMITS)]
    pub(crate) max_duration: Option<Duration>,
    /// Save progress at least this often: what a crash costs
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = units::some_duration, help_heading = LIMITS)]
    pub(crate) commit_every: Duration,
    /// Size at which a file of the snapshot ends; files of changes end with their commit and are smaller
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = file_size, help_heading = LIMITS)]
    pub(crate) target_file_size: u64,
    /// Level of zstd, 1 to 22: higher is smaller and slower
    #[arg(long, value_name = "LEVEL", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=22), help_heading = LIMITS)]
    pub(crate) compression_level: i32,
    /// Where temporary files go: pages that are too large for the memory, two at a time, and the changes
    /// of an archive's files since its parts were written once they take more than 4 MiB. Most deployments need nothing there; with documents of 1 MiB a page
    /// has 1 to 2 GiB. They have no name and vanish with the process [default: TMPDIR, else /tmp]
    #[arg(long, value_name = "FOLDER", help_heading = LIMITS)]
    temp_dir: Option<PathBuf>,
}

/// What `--on-gap` takes.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum GapChoice {
    /// Record it, go on, take a new base
    Heal,
    /// Fail
    Fail,
}

impl From<GapChoice> for OnGap {
    fn from(choice: GapChoice) -> Self {
        match choice {
            GapChoice::Heal => Self::Heal,
            GapChoice::Fail => Self::Fail,
        }
    }
}

const SELECTION: &str = "Selection";
const LIMITS: &str = "Limits";

const EXAMPLES: &str = "\
Examples:
  export CONVEX_DEPLOY_KEY='prod:happy-otter-123|…'      (dashboard, Settings, Deploy keys)
  convex-archiver sync --archive s3://bucket/happy-otter

  convex-archiver sync --archive ./archive --deployment http://127.0.0.1:3210 \\
                       --deploy-key-file admin.key
      a self-hosted deployment, to a folder

  convex-archiver sync --archive s3://bucket/happy-otter --max-duration 50m --json
      for a timer that starts it every hour

S3 is found through AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, or AWS_PROFILE;
AWS_ENDPOINT_URL for others than Amazon's. gs:// through GOOGLE_APPLICATION_CREDENTIALS, az:// through
AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY.";

/// What an archive does not hold, as the first report says.
const NOT_HELD: [&str; 4] = [
    "the contents of stored files, and the system tables (_storage among them)",
    "the deployment's code, schema definitions and indexes",
    "environment variables and authentication settings",
    "scheduled functions and cron jobs",
];

fn file_size(text: &str) -> Result<u64, String> {
    let size = units::size(text)?;
    if size < 1 << 20 { Err("say at least 1MiB".to_owned()) } else { Ok(size) }
}

/// The report, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    archive: &'a str,
    #[serde(flatten)]
    sync: &'a SyncReport,
    more_waiting: bool,
    requests: u64,
    /// What Convex bills as egress.
    response_bytes: u64,
    lag_seconds: Option<u64>,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_in_archive: Option<[&'a str; 4]>,
}

pub(super) async fn run(args: &SyncArgs, screen: &Screen) -> Result<Outcome> {
    let begin = std::time::Instant::now();
    if let Some(folder) = &args.temp_dir {
        config::use_temp_dir(folder)?;
    }
    let options = sync_options(args, signals::stop_at_a_commit()?)?;
    let progress = Arc::new(Progress::new(screen));
    let findings = Arc::new(FindingCounter::new(Arc::clone(&progress)));
    let done = archive_it(args, &options, &findings).await;
    // The bars go before the report or the error comes.
    progress.finish();
    let Some(mut done) = done? else { return stopped_early(args) };

    // Of client and archive, too.
    done.sync.findings = findings.counts();
    let SyncedArchive { sync, traffic, archive } = done;
    let lag = sync.lag(Timestamp::now());
    if args.json {
        output::print_json(&Report {
            archive: &archive,
            sync: &sync,
            more_waiting: !sync.caught_up,
            requests: traffic.requests,
            response_bytes: traffic.response_bytes,
            lag_seconds: lag.map(|l| l.as_secs()),
            seconds: begin.elapsed().as_secs_f64(),
            not_in_archive: sync.first_run.then_some(NOT_HELD),
        })?;
    } else {
        output::print(&text(&sync, traffic, lag, &archive, begin.elapsed()))?;
    }
    Ok(if sync.gaps.is_empty() { Outcome::Done } else { Outcome::Findings })
}

/// How a sync is done.
fn sync_options(args: &SyncArgs, stop: Stop) -> Result<SyncOptions> {
    Ok(SyncOptions::default()
        .budget(MemoryBudget::new(args.memory_limit)?)
        .target_file_bytes(args.target_file_size)
        .commit_every(args.commit_every)
        .compression_level(args.compression_level)
        .content_digest(DigestShare::default())
        .selection(Selection::new(&args.include, &args.exclude)?)
        .accept_selection(args.accept_selection)
        .accept_deployment(args.accept_deployment.clone())
        .on_gap(args.on_gap.into())
        .stop(args.max_duration.map_or(stop.clone(), |time| stop.within(time))))
}

/// How the deployment is asked.
fn client_options(options: &SyncOptions) -> ClientOptions {
    ClientOptions::default().selection(options.selection.clone()).budget(options.budget)
}

/// What came of it.
struct SyncedArchive {
    sync: SyncReport,
    traffic: Traffic,
    archive: String,
}

/// One sync; `None` if it was stopped before the archive was open.
async fn archive_it(
    args: &SyncArgs,
    options: &SyncOptions,
    listener: &Arc<FindingCounter<Arc<Progress>>>,
) -> Result<Option<SyncedArchive>> {
    let monitor = || Arc::clone(listener) as Arc<dyn Monitor>;
    let (client, archive) = tokio::select! {
        biased;
        () = options.stop.requested() => return Ok(None),
        opened = connect(args, options, monitor) => opened?,
    };
    let report = sync(Arc::clone(&client) as Arc<dyn Source>, &archive, options, monitor()).await;
    let sync = report.context(|| format!("sync to {}", archive.url()))?;
    Ok(Some(SyncedArchive { sync, traffic: client.traffic(), archive: archive.url().to_owned() }))
}

/// The deployment and the archive.
async fn connect(
    args: &SyncArgs,
    options: &SyncOptions,
    monitor: impl Fn() -> Arc<dyn Monitor>,
) -> Result<(Arc<Client>, Archive)> {
    let access = args.deployment.access()?.resolve(monitor()).await?;
    let client = Arc::new(Client::new(access, client_options(options), monitor())?);
    let archive = open(&args.archive.url, &client, monitor()).await?;
    Ok((client, archive))
}

fn stopped_early(args: &SyncArgs) -> Result<Outcome> {
    if args.json {
        output::print_json(&serde_json::json!({ "caught_up": false, "more_waiting": true, "commits": 0 }))?;
    } else {
        output::print("Stopped before the deployment had answered: nothing was archived; run again.\n")?;
    }
    Ok(Outcome::Done)
}

/// The archive; made if there is none, once the deployment has shown that the key opens it.
pub(super) async fn open(url: &str, client: &Client, monitor: Arc<dyn Monitor>) -> Result<Archive> {
    let settings = config::settings();
    let identity = client.identity().await?;
    let existing = match Location::open(url, &settings) {
        Ok(location) => match Archive::open(Arc::clone(location.store()), location.url()).await {
            Ok(archive) => Some((location, archive)),
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        },
        Err(e) if e.kind() == ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    let (location, archive) = match existing {
        Some(existing) => existing,
        None => {
            client.shapes().await?;
            let location = Location::create(url, &settings)?;
            let store = Arc::clone(location.store());
            let archive = Archive::open_or_create(store, location.url(), identity, Timestamp::now()).await?;
            (location, archive)
        }
    };
    let cleaned = location.clean_staging(Timestamp::now(), monitor.as_ref())?;
    if cleaned > 0 {
        tracing::info!("removed {} that a killed process had left", counted(cleaned, "unfinished file"));
    }
    Ok(archive.with_monitor(monitor))
}

/// The report, for people.
pub(super) fn text(
    report: &SyncReport,
    traffic: Traffic,
    lag: Option<Duration>,
    archive: &str,
    took: Duration,
) -> String {
    let state = match (report.caught_up, report.commits) {
        (true, _) => "caught up: the deployment has nothing more",
        (false, 0) => "stopped before anything was committed; more is waiting: run again",
        (false, _) => "stopped at a commit; more is waiting: run again",
    };
    let wrote = format!(
        "{} and {} of {}",
        counted(report.documents, "document"),
        counted(report.tombstones, "tombstone"),
        counted(report.tables, "table")
    );
    let mut facts = vec![
        ("Archive", format!("{archive}, version {}", report.version)),
        ("State", state.to_owned()),
        ("Wrote", wrote),
        ("", format!("{}, {}", counted(report.files, "file"), bytes(report.file_bytes))),
        ("Read", format!("{}, {}", counted(traffic.requests, "request"), bytes(traffic.response_bytes))),
    ];
    if report.rescued_rows > 0 {
        facts.push(("Rescued", format!("values of {} in _rescued", counted(report.rescued_rows, "row"))));
    }
    facts.extend(report.gaps.iter().map(|gap| ("Lost", words::missing(gap))));
    facts.extend(output::findings(&report.findings));
    if let Some(through) = report.through {
        facts.push(("Through", units::time(through)));
    }
    if let Some(lag) = lag {
        facts.push(("Lag", long(lag)));
    }
    facts.push(("Took", format!("{:.1} s, {}", took.as_secs_f64(), counted(report.commits, "commit"))));
    facts.push(("Digest", report.digest.clone()));
    let mut text = output::facts(facts);
    if report.first_run {
        text.push_str("\nThis archive holds the documents of all selected tables. It does not hold:\n");
        text.extend(NOT_HELD.iter().map(|what| format!("  - {what}\n")));
    }
    text
}
