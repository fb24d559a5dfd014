//! What a verb is doing: bars on a terminal, log lines elsewhere.
//!
//! The API gives no totals, so there is no end of a bar and no time left: rates, and which table of how many.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use convex_archiver::{Event, Monitor, Phase};
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use super::{
    telemetry::{self, Screen},
    units::{bytes, count, time},
};

/// A line about pages is logged this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Listens to a verb.
pub(crate) struct Progress {
    bars: Option<Bars>,
    pages: Mutex<Pages>,
    /// That of the last commit; 0 before the first.
    version: AtomicU64,
}

/// One line each.
struct Bars {
    all: MultiProgress,
    doing: ProgressBar,
    documents: ProgressBar,
    bytes: ProgressBar,
}

/// What came since the last line about it.
struct Pages {
    since: Instant,
    documents: u64,
    bytes: u64,
}

impl Pages {
    fn begin() -> Self {
        Self { since: Instant::now(), documents: 0, bytes: 0 }
    }
}

impl Progress {
    /// Begins to listen.
    pub(crate) fn new(screen: &Screen) -> Self {
        Self::beginning(screen, "contacting the deployment")
    }

    /// The same, of a verb that reads the archive.
    pub(crate) fn reading(screen: &Screen) -> Self {
        Self::beginning(screen, "reading the archive")
    }

    fn beginning(screen: &Screen, doing: &'static str) -> Self {
        let bars = screen.bars().map(|all| Bars::new(all, doing));
        Self { bars, pages: Mutex::new(Pages::begin()), version: AtomicU64::new(0) }
    }

    /// The version that the last commit made.
    pub(crate) fn version(&self) -> Option<u64> {
        Some(self.version.load(Ordering::Relaxed)).filter(|version| *version > 0)
    }

    /// Clears the bars: something else is to be printed.
    pub(crate) fn finish(&self) {
        if let Some(bars) = &self.bars {
            bars.clear();
        }
    }

    /// Counts them. Now and then: documents and bytes a second since the last time.
    fn rate(&self, documents: u64, size: u64) -> Option<String> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.documents += documents;
        pages.bytes += size;
        let seconds = pages.since.elapsed().as_secs_f64();
        if seconds < LINE_EVERY.as_secs_f64() {
            return None;
        }
        let rate = |n: u64| (n as f64 / seconds) as u64;
        let (documents, size) = (rate(pages.documents), rate(pages.bytes));
        *pages = Pages::begin();
        Some(format!("{} documents/s, {}/s", count(documents), bytes(size)))
    }
}

impl Bars {
    fn new(all: &MultiProgress, doing_first: &'static str) -> Self {
        let style = |template: &str| {
            // The templates are ours; a wrong one shows as the default.
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
            style.with_key("rate", |state: &ProgressState, text: &mut dyn fmt::Write| {
                // What cannot be drawn is not drawn.
                let _ = write!(text, "{}/s", count(state.per_sec() as u64));
            })
        };
        let line = |template: &str| {
            let bar = all.add(ProgressBar::new_spinner());
            bar.set_style(style(template));
            bar
        };
        let doing = line("{spinner} {msg}");
        doing.set_message(doing_first);
        doing.enable_steady_tick(Duration::from_millis(100));
        let documents = line("  {human_pos} documents, {rate}");
        let bytes = line("  {binary_bytes} read, {binary_bytes_per_sec}{msg}");
        Self { all: all.clone(), doing, documents, bytes }
    }

    fn clear(&self) {
        for bar in [&self.doing, &self.documents, &self.bytes] {
            bar.finish_and_clear();
            self.all.remove(bar);
        }
    }
}

impl Monitor for Progress {
    fn report(&self, event: Event<'_>) {
        match event {
            Event::Page { phase, documents, bytes: size, through } => {
                let through = through.map(time);
                if let Some(bars) = &self.bars {
                    bars.documents.inc(documents);
                    bars.bytes.inc(size);
                    if let (Phase::Delta, Some(through)) = (phase, &through) {
                        bars.doing.set_message(format!("changes up to {through}"));
                    }
                }
                if let Some(rate) = self.rate(documents, size) {
                    tracing::info!(%phase, through, "{rate}");
                }
            }
            Event::Table { table, tables, number } => {
                let of = tables.map(|n| format!(" of {n}")).unwrap_or_default();
                if let Some(bars) = &self.bars {
                    bars.doing.set_message(format!("snapshot: table {number}{of}, {table}"));
                }
                tracing::info!("snapshot: table {number}{of}, {table}");
            }
            Event::Reading { table, number, tables } => {
                if let Some(bars) = &self.bars {
                    bars.doing.set_message(format!("table {number} of {tables}, {table}"));
                }
                tracing::debug!("table {number} of {tables}, {table}");
            }
            Event::Documents { documents, bytes: size } => {
                if let Some(bars) = &self.bars {
                    bars.documents.inc(documents);
                    bars.bytes.inc(size);
                }
                if let Some(rate) = self.rate(documents, size) {
                    tracing::info!("{rate}");
                }
            }
            Event::NewBase { ts, components } => {
                let what = if components { "the tables of components" } else { "the tables that no base covers" };
                tracing::info!("new base: reading {what} as they were at {}", time(ts));
            }
            Event::Comparing { table } => {
                if let Some(bars) = &self.bars {
                    bars.doing.set_message(format!("comparing table {table} with the deployment"));
                }
                tracing::debug!("comparing table {table} with the deployment");
            }
            Event::Refetching { table, ts } => {
                tracing::info!(
                    "table {table} differs from the deployment: fetching it again as it was at {}",
                    time(ts)
                );
            }
            Event::File { table, path, rows, bytes } => {
                tracing::debug!(%table, rows, bytes, "wrote {path}");
            }
            Event::Copied { table, path, bytes: size } => {
                if let Some(bars) = &self.bars {
                    bars.doing.set_message(format!("copying table {table}"));
                    bars.bytes.inc(size);
                }
                if let Some(rate) = self.rate(0, size) {
                    tracing::info!("copying table {table}: {rate}");
                }
                tracing::debug!(%table, bytes = size, "copied {path}");
            }
            Event::Commit { version, files, rows, through } => {
                self.version.store(version, Ordering::Relaxed);
                let through = through.map(time).unwrap_or_default();
                if let Some(bars) = &self.bars {
                    bars.bytes.set_message(format!(", commit {version}"));
                }
                tracing::info!(files, rows, through, "commit {version}");
            }
            Event::Retry { error, attempt, after_ms } => {
                tracing::warn!(attempt, after_ms, "retrying: {error}");
            }
            Event::NotExplained { error } => {
                tracing::debug!("cannot get explanations from the audit log: {error}");
            }
            Event::Finding(finding) => telemetry::log_finding(finding),
            _ => {}
        }
    }
}
