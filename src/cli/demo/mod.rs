//! The verb `demo`: everything once, on this machine, with real documents.

mod clock;
mod manifest;
mod say;
mod tour;
mod tree;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use clap::Args;
use convex_archiver::{
    Error, Monitor, Result, TableRef,
    archive::{Archive, Status},
    convex::{Access, Client, ClientOptions, DeployKey, Source},
    read::views::duckdb_views,
    server::{Contents, RouterOptions, SimulateOptions, SimulatedDeployment, demo_documents, serve},
    sync::{SyncOptions, SyncReport, sync},
};
use tokio::net::TcpListener;

use self::{
    clock::{AnotherWeek, DAYS, DemoClock},
    say::{failed, heading, say},
    tour::{RunWords, Sights},
};
use super::{
    child_environment,
    outcome::Outcome,
    progress::Progress,
    status,
    telemetry::{FindingLog, Screen},
    units::{bytes, counted},
};

/// Demonstrates the whole program on this machine in half a minute
///
/// Needs no account and no network. It serves real documents from a simulated deployment, archives them, changes them
/// twice, archives the changes, shows what is in the archive, looks back, and restores the moment before a deletion. If
/// `duckdb` is on the PATH, it also runs queries.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  convex-archiver demo
  convex-archiver demo --dir /tmp/demo && duckdb :memory: < /tmp/demo/query.sql")]
pub(crate) struct DemoArgs {
    /// Folder for the archive, which is kept afterwards
    #[arg(long, value_name = "FOLDER", default_value = "demo-archive")]
    dir: PathBuf,
}

/// The documents are told apart by this field.
const FEATURE: &str = "feature";
/// The table that is queried.
const TABLE: &str = "http";
/// The file with the queries.
const QUERY: &str = "query.sql";
/// The file with the restore.
const ZIP: &str = "restore.zip";

/// `typed` runs a command line as the program would.
pub(super) async fn run(args: &DemoArgs, screen: &Screen, typed: RunWords) -> Result<Outcome> {
    let begin = Instant::now();
    let dir = &args.dir;
    refuse_used(dir)?;

    let router = RouterOptions::default().key("demo|key".to_owned());
    let options = SimulateOptions::default().name("demo".to_owned()).contents(Contents::Demo).router(router);
    let clock = DemoClock::default();
    let hand = clock.clone();
    let deployment = Arc::new(SimulatedDeployment::with_clock(&options.name, options.seed, move || hand.read()));
    let documents = options.contents.documents(options.seed)?;
    let count: usize = documents.values().map(Vec::len).sum();
    clock.during(DAYS[0], || deployment.insert_all(documents))?;
    let demo = Demo::start(dir, Arc::clone(&deployment), options).await?;

    say(&format!(
        "A simulated deployment holds {} in 3 tables: an extract of MDN's browser-compat-data 6.0.0 (CC0).\n\
         There it is Monday, 2026-11-23, 10:00 UTC. So everybody's demo has the same moments and ids.\n",
        counted(count as u64, "document")
    ))?;
    heading("First sync: the snapshot, every table as it was at one moment")?;
    say(&demo.sync(screen).await?)?;
    for (step, day, sync) in [(1, "Tuesday", "Second"), (2, "Wednesday", "Third")] {
        let wanted = demo_documents(step)?;
        let writes = clock.during(DAYS[usize::from(step)], || deployment.change_to(wanted, FEATURE))?;
        heading(&format!(
            "{day} at 9: {} arrive at the deployment. {sync} sync, at 10: the changes",
            counted(writes as u64, "write")
        ))?;
        say(&demo.sync(screen).await?)?;
    }

    heading("The files")?;
    say(&tree::draw(dir)?)?;
    let manifest = manifest::read(dir)?;
    heading("manifest.json, shortened: what is in the archive, and the cursor to continue from")?;
    say(&manifest.shortened()?)?;
    if let Some((name, lines)) = manifest.part(dir)? {
        heading(&format!("{name}, unpacked and shortened: the files of that table in that month"))?;
        say(&lines)?;
    }
    heading("convex-archiver status")?;
    let archive = demo.archive().await?;
    let head = archive.head().await?;
    let now = clock.read();
    say(&status::text(&Status::of(&head, now), &[], &dir.display().to_string(), now))?;

    let table = TableRef::new("", TABLE)?;
    let sights = Sights::of(&archive, &head, &table).await?;
    let zip = dir.join(ZIP);
    sights.show(&dir.to_string_lossy(), &table, &zip.to_string_lossy(), screen, typed).await?;

    let queries = sights.queries(&table);
    let file = dir.join(QUERY);
    let views = duckdb_views(&head, &archive.all_schemas(&head).await?, archive.url(), None);
    fs::write(&file, views + "\n" + &queries).map_err(|e| failed(&file, e))?;
    heading(&format!("Queries for DuckDB, in {} after the views that they need", file.display()))?;
    say(&queries)?;
    run_duckdb(&file)?;

    heading("What now")?;
    say(&format!(
        "The archive stays in {}; look around. All of this took {:.1} s. Your own deployment:\n  \
         CONVEX_DEPLOY_KEY='prod:NAME|…' convex-archiver sync --archive ./archive\n",
        dir.display(),
        begin.elapsed().as_secs_f64()
    ))?;
    Ok(Outcome::Done)
}

/// The simulation, while it is served.
struct Demo<'a> {
    dir: &'a Path,
    url: String,
    key: String,
    server: tokio::task::JoinHandle<Result<()>>,
}

impl<'a> Demo<'a> {
    async fn start(dir: &'a Path, deployment: Arc<SimulatedDeployment>, options: SimulateOptions) -> Result<Self> {
        let no_port = |e| Error::resource("cannot listen on this machine").with_source(e);
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(no_port)?;
        let url = format!("http://{}", listener.local_addr().map_err(no_port)?);
        let key = options.router.key.clone();
        Ok(Self { dir, url, key, server: tokio::spawn(serve(listener, deployment, options, Arc::new(FindingLog))) })
    }

    fn client(&self, monitor: Arc<dyn Monitor>) -> Result<Client> {
        let access = Access::new(&self.url, DeployKey::new(&self.key)?, false)?;
        Client::new(access, ClientOptions::default(), monitor)
    }

    async fn archive(&self) -> Result<Archive> {
        let client = self.client(Arc::new(FindingLog))?;
        super::sync::open(&self.dir.to_string_lossy(), &client, Arc::new(FindingLog)).await
    }

    /// One run, and what it did.
    async fn sync(&self, screen: &Screen) -> Result<String> {
        let progress = Arc::new(Progress::new(screen));
        let monitor = || Arc::new(AnotherWeek(Arc::clone(&progress) as Arc<dyn Monitor>));
        let client = Arc::new(self.client(monitor())?);
        let archive = self.archive().await?;
        let source = Arc::clone(&client) as Arc<dyn Source>;
        let report = sync(source, &archive, &SyncOptions::default(), monitor()).await;
        progress.finish();
        Ok(line(&report?))
    }
}

impl Drop for Demo<'_> {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn line(report: &SyncReport) -> String {
    format!(
        "{} and {} into {} of {}, {}; the archive is at version {}\n",
        counted(report.documents, "document"),
        counted(report.tombstones, "tombstone"),
        counted(report.files, "file"),
        counted(report.tables, "table"),
        bytes(report.file_bytes),
        report.version
    )
}

fn refuse_used(dir: &Path) -> Result<()> {
    match fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
        Ok(true) => Err(Error::usage(format!(
            "{} is not empty: remove it (an earlier demo?), or choose another folder with --dir",
            dir.display()
        ))),
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed(dir, e)),
        _ => Ok(()),
    }
}

/// Runs the queries where that is possible, and says how where it is not.
fn run_duckdb(file: &Path) -> Result<()> {
    let command = format!("duckdb :memory: < {}", file.display());
    let input = fs::File::open(file).map_err(|e| failed(file, e))?;
    let mut duckdb = std::process::Command::new("duckdb");
    child_environment::clean(&mut duckdb);
    match duckdb.arg(":memory:").stdin(input).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            tracing::warn!("`{command}` ended with {status}; it needs DuckDB 1.5 or newer");
            Ok(())
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            say(&format!("\nduckdb is not on the PATH. With it (https://duckdb.org), run: {command}\n"))
        }
        Err(e) => {
            tracing::warn!("cannot run duckdb: {e}");
            Ok(())
        }
    }
}
