//! Stdout, where reports go, and a table for them.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{ErrorKind, IsTerminal, Write},
};

use convex_archiver::{Error, FindingCounts, Result};
use serde::Serialize;

/// Prints a report. A reader that has gone away (`| head`) is no failure.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    let text = shown(text, stdout.is_terminal());
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Error::resource("cannot write to standard output").with_source(e))
        }
        _ => Ok(()),
    }
}

/// On a terminal, what would steer it (control characters) or turn the order of letters around is spelled as JSON spells it: documents hold what
/// strangers have typed.
fn shown(text: &str, on_a_terminal: bool) -> Cow<'_, str> {
    let steers = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !on_a_terminal || !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if steers(c) {
            // All of them have four digits.
            let _ = write!(safe, "\\u{:04x}", c as u32);
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// The version of all reports in JSON: it grows when a field goes or changes its meaning, not when one is added.
const REPORT_VERSION: u32 = 1;

/// A report in JSON. `report.schema.json` describes each of them.
#[derive(Serialize)]
struct VersionedReport<'a, R> {
    report_version: u32,
    #[serde(flatten)]
    report: &'a R,
}

impl<'a, R: Serialize> VersionedReport<'a, R> {
    fn of(report: &'a R) -> Self {
        Self { report_version: REPORT_VERSION, report }
    }
}

fn unspelled(error: serde_json::Error) -> Error {
    Error::internal("cannot write the report as JSON: report it").with_source(error)
}

/// Prints a report on stderr, where stdout holds something else. What cannot be written there cannot be told anywhere.
pub(crate) fn print_aside(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Prints one JSON object.
pub(crate) fn print_json(report: &impl Serialize) -> Result<()> {
    print(&json(report)?)
}

/// The text of one JSON object.
pub(crate) fn json(report: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(&VersionedReport::of(report));
    text.map(|text| text + "\n").map_err(unspelled)
}

/// The text of one JSON object, on one line.
pub(crate) fn json_line(report: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string(&VersionedReport::of(report));
    text.map(|text| text + "\n").map_err(unspelled)
}

/// One JSON object, for whoever hands it on.
pub(crate) fn value(report: &impl Serialize) -> Result<serde_json::Value> {
    serde_json::to_value(VersionedReport::of(report)).map_err(unspelled)
}

/// Bytes of lines that are written at once.
const LINES: usize = 64 << 10;

/// Many lines. Written as they come to a terminal, else many at once, so that each does not cost a call of the system.
pub(crate) struct Lines {
    held: Vec<u8>,
    at_once: usize,
    unread: bool,
}

impl Lines {
    pub(crate) fn new() -> Self {
        // None on a terminal.
        let at_once = if std::io::stdout().is_terminal() { 0 } else { LINES };
        Self { held: Vec::new(), at_once, unread: false }
    }

    /// Prints text.
    ///
    /// # Errors
    /// Also if nobody reads any more (`| head`), so that whatever makes lines ends; [`end`](Self::end) knows that it is no failure.
    pub(crate) fn print(&mut self, text: &str) -> Result<()> {
        self.held.extend_from_slice(shown(text, self.at_once == 0).as_bytes());
        if self.held.len() > self.at_once { self.write() } else { Ok(()) }
    }

    /// Prints one JSON object on one line.
    pub(crate) fn print_json(&mut self, report: &impl Serialize) -> Result<()> {
        self.print(&json_line(report)?)
    }

    /// Writes what is held: what follows takes a while.
    ///
    /// # Errors
    /// As of [`print`](Self::print).
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.write()
    }

    /// Writes what is held; `told` is what came of making the lines. If that failed only because nobody reads any more, it is no failure.
    pub(crate) fn end(mut self, told: Result<()>) -> Result<()> {
        let was_unread = self.unread;
        let written = self.write();
        match told {
            Err(_) if was_unread => Ok(()),
            Ok(()) if self.unread => Ok(()),
            Ok(()) => written,
            failed => failed,
        }
    }

    fn write(&mut self) -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        let written = stdout.write_all(&self.held).and_then(|()| stdout.flush());
        self.held.clear();
        written.map_err(|e| {
            self.unread |= e.kind() == ErrorKind::BrokenPipe;
            Error::resource("cannot write to standard output").with_source(e)
        })
    }
}

/// The fact of what was found on the way, if there is any: the log has the sentences.
pub(crate) fn findings(counts: &FindingCounts) -> Option<(&'static str, String)> {
    (!counts.is_empty()).then(|| ("Findings", format!("{counts} (each is logged above)")))
}

/// Lines of a name and a value, aligned.
pub(crate) fn facts<'a>(facts: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let facts: Vec<_> = facts.into_iter().collect();
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    facts.iter().fold(String::new(), |mut text, (name, value)| {
        // A String takes everything.
        let _ = writeln!(text, "{name:width$}  {value}");
        text
    })
}

/// A table: the first column to the left, numbers to the right.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    aligned(rows, 1)
}

/// A table of texts, all to the left.
pub(crate) fn texts(rows: &[Vec<String>]) -> String {
    let table = aligned(rows, usize::MAX);
    table.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

/// The first `left` columns to the left, the others to the right.
fn aligned(rows: &[Vec<String>], left: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let between = if i == 0 { "" } else { "  " };
            let _ =
                if i < left { write!(text, "{between}{cell:width$}") } else { write!(text, "{between}{cell:>width$}") };
        }
        text.push('\n');
    }
    text
}
