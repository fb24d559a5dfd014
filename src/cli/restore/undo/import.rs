//! `restore --undo --into`: sync, plan, ZIP, upload, sync, question, import with syncs until its end, and what came meanwhile.
//!
//! An import replaces whole tables. What the app writes to them between the plan and the end of the import is lost in the
//! deployment. So the undo stops if anything came before the import, and keeps what comes during it.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
};

use convex_archiver::{
    Encoding, Error, ErrorKind, FindingCounter, MemoryBudget, Monitor, Result, Revision, TableRef, Timestamp, Value,
    archive::Head,
    convex::{Access, Client, ClientOptions, ImportMode},
    read::{LogOptions, Moment, Transactions, UndoOptions, UndoReport, caught, undo_unless},
    sync::{SyncOptions, sync},
    write_value,
};

use super::{
    super::{
        super::{outcome::Outcome, output, past::Past, progress::Progress, signals, telemetry::Screen, units::counted},
        args::RestoreArgs,
        into::{self, Ended, Waiting},
    },
    moment_of, options,
    report::{Caught, UndoOutput, Written},
};

/// The archive, and the deployment that it is of.
struct Synced {
    past: Past,
    access: Access,
    client: Arc<Client>,
    budget: MemoryBudget,
    monitor: Arc<dyn Monitor>,
}

type Interrupted<'a> = Pin<&'a mut dyn Future<Output = ()>>;

pub(super) async fn run(args: &RestoreArgs, moments: [Moment; 2], screen: &Screen) -> Result<Outcome> {
    let budget = args.limits.budget()?;
    let file = args.uploaded_file()?;
    let mut interrupted = std::pin::pin!(signals::interrupted()?);
    let mut interrupted: Interrupted<'_> = interrupted.as_mut();
    let progress = Arc::new(Progress::new(screen));
    let begun = tokio::select! {
        biased;
        () = &mut interrupted => None,
        begun = Synced::begin(args, budget, Arc::new(FindingCounter::new(Arc::clone(&progress)))) => Some(begun),
    };
    progress.finish();
    let Some(begun) = begun else { return Ok(given_up()) };
    let mut synced = begun?;

    let common = synced.past.common(Moment::Through, &args.tables.selection(&synced.past.head)?)?;
    let [from, to] = moments.map(|moment| moment_of(&synced.past, &common, moment));
    let options = options(args, &common, from?, to?).budget(budget).output(file.path());
    let Past { archive, head, .. } = &synced.past;
    let progress = Progress::reading(screen);
    let done = undo_unless(&mut interrupted, archive, head, &options, &progress).await;
    progress.finish();
    let Some((report, bytes)) = done? else { return Ok(given_up()) };
    let written = match bytes {
        Some(bytes) => Written::Zip { path: file.path(), bytes },
        None => Written::Nothing,
    };
    let findings = synced.past.findings.counts();
    let url = archive.url().to_owned();
    let output = UndoOutput::new(&url, &options, &common, report.clone(), written.clone(), findings);
    if bytes.is_none() {
        output::print(&output.printed(args.json)?)?;
        return Ok(output.outcome());
    }
    // The plan, before anything changes.
    output::print_aside(&output.printed(false)?);
    let ended = synced.import(args, &options, &report, &file.path(), interrupted).await?;
    let Ended::Imported(imported) = ended else {
        into::warn(&ended);
        return Ok(Outcome::Interrupted);
    };
    let caught = synced.caught(&options, &report, args.output.as_deref()).await?;
    let findings = synced.past.findings.counts();
    let output = UndoOutput::new(&url, &options, &common, report, written, findings).imported(imported, caught);
    output::print(&output.printed(args.json)?)?;
    Ok(output.outcome())
}

fn given_up() -> Outcome {
    tracing::warn!("interrupted: nothing was imported");
    Outcome::Interrupted
}

impl Synced {
    /// Opens the archive, and brings it up to date.
    async fn begin(args: &RestoreArgs, budget: MemoryBudget, monitor: Arc<dyn Monitor>) -> Result<Self> {
        let past = Past::open(&args.archive).await?;
        let access = args.into.access(Arc::clone(&monitor)).await?;
        let kept = past.head.latest().map(|latest| latest.selection.clone()).unwrap_or_default();
        let asked = ClientOptions::default().selection(kept).budget(budget);
        let client = Arc::new(Client::new(access.clone(), asked, Arc::clone(&monitor))?);
        let mut synced = Self { past, access, client, budget, monitor };
        synced.sync().await?;
        Ok(synced)
    }

    /// Brings the archive up to date.
    ///
    /// # Errors
    /// Usage, if the deployment is not the archive's; Unavailable, if it does not catch up; as a sync has them.
    async fn sync(&mut self) -> Result<()> {
        let kept = self.past.head.latest().map(|latest| latest.selection.clone()).unwrap_or_default();
        let options = SyncOptions::default().selection(kept).budget(self.budget);
        let source = Arc::clone(&self.client);
        let report = sync(source, &self.past.archive, &options, Arc::clone(&self.monitor)).await?;
        self.past.head = self.past.archive.head().await?;
        if report.caught_up {
            Ok(())
        } else {
            Err(Error::unavailable("the archive has not caught up with the deployment: run sync, then the undo again"))
        }
    }

    /// Uploads the ZIP, asks, and imports it, unless somebody else writes to its tables before.
    async fn import(
        &mut self,
        args: &RestoreArgs,
        options: &UndoOptions,
        report: &UndoReport,
        zip: &Path,
        mut interrupted: Interrupted<'_>,
    ) -> Result<Ended> {
        let monitor = Arc::clone(&self.monitor);
        let upload = into::upload(self.access.clone(), zip, ImportMode::Replace, self.budget, monitor);
        let waiting = tokio::select! {
            biased;
            () = &mut interrupted => return Ok(Ended::GivenUp),
            waiting = upload => waiting?,
        };
        let is_wanted = tokio::select! {
            biased;
            () = &mut interrupted => Ok(false),
            wanted = self.is_wanted(args, options, report, &waiting) => wanted,
        };
        match is_wanted {
            Ok(true) => {}
            Ok(false) => {
                waiting.cancel().await;
                return Ok(Ended::GivenUp);
            }
            Err(error) => {
                waiting.cancel().await;
                return Err(error);
            }
        }
        // A sync that fails does not end the import, and the next one has what it missed, unless the import ends before.
        let imported = waiting.perform(async || {
            if let Err(error) = self.sync().await {
                tracing::warn!("a sync during the import failed and is retried: {error}");
            }
        });
        let ended = tokio::select! {
            biased;
            () = &mut interrupted => Ended::Left,
            imported = imported => Ended::Imported(imported?),
        };
        Ok(ended)
    }

    /// Whether it shall be performed, and nothing came that it would lose.
    async fn is_wanted(
        &mut self,
        args: &RestoreArgs,
        options: &UndoOptions,
        report: &UndoReport,
        waiting: &Waiting,
    ) -> Result<bool> {
        self.refuse_later_writes(options, report).await?;
        if args.into.is_confirmed() {
            return Ok(true);
        }
        if !waiting.confirmed(false).await? {
            return Ok(false);
        }
        // The answer may have taken a while.
        self.refuse_later_writes(options, report).await?;
        Ok(true)
    }

    /// # Errors
    /// Conflict, if something was written to the tables of the undo since it was made.
    async fn refuse_later_writes(&mut self, options: &UndoOptions, report: &UndoReport) -> Result<()> {
        self.sync().await?;
        let later = self.later_writes(&self.past.head, options, report).await?;
        match later {
            0 => Ok(()),
            n => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "{} to these tables since the ZIP was made would be lost in the import, so nothing was imported. \
                     Stop the app's writes to these tables and run again",
                    counted(n, "write")
                ),
            )),
        }
    }

    async fn later_writes(&self, head: &Head, options: &UndoOptions, report: &UndoReport) -> Result<u64> {
        let tables = report.tables.iter().filter(|table| table.undone() > 0).map(|table| table.table.clone());
        let since = Some(Timestamp(options.now.0.saturating_add(1)));
        if head.coverage().through.is_none_or(|through| Some(through) < since) {
            return Ok(0);
        }
        let log = LogOptions::default().tables(tables.collect()).since(since).budget(self.budget);
        let mut log = Transactions::open(&self.past.archive, head, &log).await?;
        let mut count = 0;
        while let Some(transaction) = log.next().await? {
            count += transaction.changes.len() as u64;
        }
        Ok(count)
    }

    /// What the app wrote to the tables while they were imported, as a file beside the ZIP. None, if there is none.
    async fn caught(
        &mut self,
        options: &UndoOptions,
        report: &UndoReport,
        zip: Option<&Path>,
    ) -> Result<Option<Caught>> {
        self.sync().await?;
        let Past { archive, head, .. } = &self.past;
        let through = head.coverage().through.unwrap_or(options.now);
        let place = beside(zip);
        let failed = |e| Error::resource(format!("cannot write {}", place.display())).with_source(e);
        let mut file: Option<BufWriter<File>> = None;
        let tell = |table: &TableRef, revision: Revision| {
            let file = match &mut file {
                Some(file) => file,
                none => none.insert(BufWriter::new(File::create(&place).map_err(failed)?)),
            };
            file.write_all(line(table, &revision).as_bytes()).map_err(failed)
        };
        let count = caught(archive, head, options, report, through, tell).await?;
        let Some(mut file) = file else { return Ok(None) };
        file.flush().map_err(failed)?;
        Ok(Some(Caught { file: place, revisions: count }))
    }
}

/// `undo.zip.later.ndjson` beside `undo.zip`; in the folder at hand, if the ZIP goes again.
fn beside(zip: Option<&Path>) -> PathBuf {
    let mut name = zip.map_or_else(|| "undo.zip".into(), |zip| zip.as_os_str().to_owned());
    name.push(".later.ndjson");
    name.into()
}

/// A revision; `null` stands for a document that was deleted.
fn line(table: &TableRef, revision: &Revision) -> String {
    let mut document = String::new();
    let value = revision.document.clone().map_or(Value::Null, Value::Object);
    write_value(&mut document, &value, Encoding::ExportJson);
    // Names and ids are letters, digits, underscores and slashes.
    let Revision { id, ts, .. } = revision;
    format!("{{\"table\":\"{table}\",\"id\":\"{id}\",\"ts\":\"{}\",\"document\":{document}}}\n", ts.0)
}
