//! Logs and bars on stderr, set up once.
//!
//! A log that cannot be written (a full disk, a reader that has gone, a terminal that was closed) ends nothing: what was to be said
//! is let go. Neither may the libraries complain of it on stderr: the macros of the standard library panic there.

use std::{
    io::{self, IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use clap::{ArgAction, Args, ValueEnum};
use convex_archiver::{Event, Finding, Monitor};
use indicatif::MultiProgress;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use super::terminal;

/// What is told on stderr.
#[derive(Debug, Args)]
#[command(next_help_heading = "Logging")]
pub(crate) struct Logging {
    /// Print only warnings and errors; no progress bars. A successful sync prints no report either, unless --json is
    /// given
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Print more: -v logs every file, -vv also the logs of dependencies. RUST_LOG, if set, takes precedence
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Format of log lines; with json there are no progress bars
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// Stderr: log lines and, on a terminal, bars that make room for them.
#[derive(Debug, Clone)]
pub(crate) struct Screen {
    bars: Option<MultiProgress>,
    quiet: bool,
    /// Log lines are JSON.
    json: bool,
}

impl Screen {
    /// Where bars are drawn; `None` where lines are logged instead.
    pub(crate) fn bars(&self) -> Option<&MultiProgress> {
        self.bars.as_ref()
    }

    /// Prints why the program fails: for people as sentences, for machines as one more line of the log.
    pub(crate) fn print_error(&self, message: &str, causes: &[String]) {
        if self.json {
            tracing::error!(causes = causes.join(": "), "{message}");
            return;
        }
        let causes = causes.iter().map(|cause| format!("\n  because: {cause}"));
        let text = format!("error: {message}{}\n", causes.collect::<String>());
        // Nothing is left to say it with.
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// Whether only what went wrong is to be told.
    pub(crate) fn quiet(&self) -> bool {
        self.quiet
    }
}

/// One log line at a time, above the bars. Never fails: nothing is left to tell it to.
pub(crate) struct Lines(Option<MultiProgress>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let written = || drop(io::stderr().write_all(line));
        match &self.0 {
            Some(bars) => bars.suspend(written),
            None => written(),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Screen {
    type Writer = Lines;
    fn make_writer(&self) -> Lines {
        Lines(self.bars.clone())
    }
}

/// Sets up logs. Called once.
pub(crate) fn init(logging: &Logging) -> Screen {
    let terminal = io::stderr().is_terminal();
    let text = logging.log_format == LogFormat::Text;
    let bars = terminal && text && !logging.quiet && !terminal::is_dumb();
    let screen = Screen {
        bars: bars.then(|| MultiProgress::with_draw_target(terminal::target())),
        quiet: logging.quiet,
        json: !text,
    };
    let default = match (logging.quiet, logging.verbose) {
        (true, _) => "warn",
        // Where there are bars, they tell what the lines would.
        (false, 0) if screen.bars.is_some() => "warn",
        (false, 0) => "warn,convex_archiver=info",
        (false, 1) => "info,convex_archiver=debug",
        (false, _) => "debug",
    };
    let said = std::env::var("RUST_LOG").ok().filter(|s| !s.is_empty());
    let filter = EnvFilter::builder().parse_lossy(said.as_deref().unwrap_or(default));
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(screen.clone()).log_internal_errors(false);
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    match logging.log_format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
        LogFormat::Text if terminal => lines.with_ansi(colours).with_target(false).without_time().init(),
        LogFormat::Text => lines.with_ansi(false).with_target(false).init(),
    }
    screen
}

/// Whether an end of the archive's log was found not to be as it was written.
static LOG_IN_DOUBT: AtomicBool = AtomicBool::new(false);

/// Whether an end of the archive's log was found not to be as it was written: what a verb then says may be less than there was.
pub(crate) fn is_log_in_doubt() -> bool {
    LOG_IN_DOUBT.load(Ordering::Relaxed)
}

/// One line for what a person should know; in JSON with its kind.
pub(crate) fn log_finding(finding: &Finding) {
    if matches!(finding, Finding::EndAltered { .. } | Finding::ManifestAhead { .. }) {
        LOG_IN_DOUBT.store(true, Ordering::Relaxed);
    }
    tracing::warn!(finding = finding.kind(), "{finding}");
}

/// Logs findings, and nothing else: for what has no progress to show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FindingLog;

impl Monitor for FindingLog {
    fn report(&self, event: Event<'_>) {
        if let Event::Finding(finding) = event {
            log_finding(finding);
        }
    }
}
