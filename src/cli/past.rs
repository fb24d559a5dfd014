//! What the verbs that look at the past have in common: which archive, when, within which limits; documents and moments
//! as they are printed.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use convex_archiver::{
    Encoding, Error, FindingCounter, MemoryBudget, Monitor, Result, Revision, Selection, TableRef, Timestamp, Value,
    archive::{Archive, Head, Location},
    read::{CommonMoment, DamagedFile, MissingSpan, Moment, in_full, tables_of_id},
    write_value,
};
use serde_json::value::RawValue;

use super::{
    config::{self, ArchiveArgs},
    telemetry::FindingLog,
    units, words,
};

/// How much a verb may take.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Memory limit, at least 64MiB
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = units::size)]
    memory_limit: u64,
    /// Folder for temporary files, which are needed when sorting changes exceeds --memory-limit. They are unlinked at
    /// once, so nothing is left behind [default: TMPDIR, else /tmp]
    #[arg(long, value_name = "FOLDER")]
    temp_dir: Option<PathBuf>,
}

impl LimitArgs {
    /// The memory limit; temporary files go where they should from now on.
    pub(crate) fn budget(&self) -> Result<MemoryBudget> {
        if let Some(folder) = &self.temp_dir {
            config::use_temp_dir(folder)?;
        }
        MemoryBudget::new(self.memory_limit)
    }
}

/// Which tables.
#[derive(Debug, Args)]
#[command(next_help_heading = "Selection")]
pub(crate) struct SelectionArgs {
    /// Only these tables (and those of --component): `messages`, `waitlist/users` in a component, `log_*`,
    /// `waitlist/**`; may be repeated
    #[arg(long, value_name = "PATTERN")]
    table: Vec<String>,
    /// Only the tables of this component and of the components in it (and those of --table); may be repeated
    #[arg(long, value_name = "PATH")]
    component: Vec<String>,
    /// All tables except these; may be repeated, and takes precedence over --table and --component
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
}

impl SelectionArgs {
    /// The tables that are meant.
    ///
    /// # Errors
    /// Usage, if something said can be no table; NotFound, if the archive has no table for it.
    pub(crate) fn selection(&self, head: &Head) -> Result<Selection> {
        let components = self.component.iter().map(|path| format!("{path}/**"));
        let wanted: Vec<String> = self.table.iter().cloned().chain(components).collect();
        for pattern in wanted.iter().chain(&self.exclude) {
            let one = Selection::new([pattern], [])?;
            if !head.tables().any(|state| one.contains(&state.table)) {
                let pattern = pattern.escape_debug();
                return Err(Error::not_found(format!(
                    "the archive has no table {pattern}; run `tables` to see what it has"
                )));
            }
        }
        Selection::new(&wanted, &self.exclude)
    }
}

/// Of which tables the rows that cannot be read are left out.
#[derive(Debug, Args)]
#[command(next_help_heading = "Damage")]
pub(crate) struct DamageArgs {
    /// Leave out the rows of this table (a pattern, may be repeated) that cannot be read, list their files, and exit
    /// with 3. Some documents are then missing or appear in an earlier state. Without this flag, damage is an error
    #[arg(long, value_name = "TABLE")]
    accept_damage: Vec<String>,
}

impl DamageArgs {
    /// The tables that are meant; None, if there are none.
    ///
    /// # Errors
    /// Usage, if something said can be no table.
    pub(crate) fn accepted(&self) -> Result<Option<Selection>> {
        let none = self.accept_damage.is_empty();
        if none { Ok(None) } else { Selection::new(&self.accept_damage, []).map(Some) }
    }
}

/// What could not be read, a line each.
pub(crate) fn about_damage(damaged: &[DamagedFile]) -> impl Iterator<Item = String> {
    damaged.iter().map(|file| {
        format!(
            "damaged: of {} in {} ({} to {}), {} could not be read. {}",
            units::counted(file.rows, "revision"),
            file.path,
            moment(file.from),
            moment(file.to),
            units::count(file.lost),
            file.why
        )
    })
}

/// An archive at its newest version.
pub(crate) struct Past {
    pub(crate) archive: Archive,
    pub(crate) head: Head,
    /// Counts what the archive tells while it is read.
    pub(crate) findings: Arc<FindingCounter<FindingLog>>,
}

impl Past {
    pub(crate) async fn open(args: &ArchiveArgs) -> Result<Self> {
        let location = Location::open(&args.url, &config::settings())?;
        let findings = Arc::new(FindingCounter::new(FindingLog));
        let monitor = Arc::clone(&findings) as Arc<dyn Monitor>;
        let archive = Archive::open(Arc::clone(location.store()), location.url()).await?.with_monitor(monitor);
        let head = archive.head().await?;
        Ok(Self { archive, head, findings })
    }

    /// The `_ts` that a moment means; as far as the archive reaches, if none was said.
    pub(crate) fn at(&self, moment: Option<Moment>) -> Result<Timestamp> {
        moment.unwrap_or(Moment::Through).resolve(&self.head, Timestamp::now())
    }

    /// The moment that is meant of all these tables together.
    pub(crate) fn common(&self, moment: Moment, selection: &Selection) -> Result<CommonMoment> {
        moment.resolve_for(&self.head, Timestamp::now(), selection)
    }

    /// The table that was named, or those whose documents can have this `_id`.
    pub(crate) fn tables_of(&self, named: Option<&TableRef>, id: &str) -> Result<Vec<TableRef>> {
        named.map_or_else(|| tables_of_id(&self.head, id), |table| Ok(vec![table.clone()]))
    }

    /// The `_ts` that a moment means; None, if it is as far as the archive reaches whenever one looks.
    pub(crate) fn fixed(&self, moment: Option<Moment>) -> Result<Option<Timestamp>> {
        moment.filter(|moment| *moment != Moment::Through).map(|moment| self.at(Some(moment))).transpose()
    }
}

/// A moment in full, and how much it is older than the one that was asked for.
pub(crate) fn common(common: &CommonMoment) -> String {
    let older = common.asked.0.saturating_sub(common.at.0);
    let age = Duration::from_nanos(u64::try_from(older).unwrap_or_default());
    let older = match age.as_millis() {
        0 if age.is_zero() => String::new(),
        ms @ 0..1000 => format!(", {ms} ms before the newest moment"),
        _ => format!(", {} before the newest moment", units::long(age)),
    };
    moment(common.at) + &older
}

/// Which tables have moved the moment, and which are left out because of it.
pub(crate) fn about_tables(common: &CommonMoment) -> Vec<String> {
    let mut lines = Vec::new();
    if !common.held_back_by.is_empty() {
        lines.push(format!(
            "the archive reaches up to {}, but does not cover {} at that moment. The moment used is the newest one \
             that it covers for all tables",
            moment(common.asked),
            words::list(common.held_back_by.iter())
        ));
    }
    if !common.left_out.is_empty() {
        lines.push(format!(
            "left out, because the archive no longer keeps them: {} (--as-of an earlier moment shows them)",
            words::list(common.left_out.iter())
        ));
    }
    lines
}

/// `messages`, or `component/messages`.
pub(crate) fn table(text: &str) -> Result<TableRef, String> {
    let (component, name) = text.rsplit_once('/').unwrap_or(("", text));
    TableRef::new(component, name).map_err(|e| format!("{e}: write TABLE or COMPONENT/TABLE"))
}

/// A moment in full.
pub(crate) fn moment(ts: Timestamp) -> String {
    in_full(ts).to_string()
}

/// Text of a value, as Convex exports it: 42 is an int64, 42.0 a float64.
pub(crate) fn value(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value, Encoding::ExportJson);
    text
}

/// The same, to be put into a report.
pub(crate) fn raw(text: String) -> Result<Box<RawValue>> {
    RawValue::from_string(text)
        .map_err(|e| Error::internal("cannot write a document as JSON: report it").with_source(e))
}

/// A revision's document as JSON; None for a tombstone.
pub(crate) fn document(revision: &Revision) -> Result<Option<Box<RawValue>>> {
    let text = revision.document.as_ref().map(|document| value(&Value::Object(document.clone())));
    text.map(raw).transpose()
}

/// Warns of what is missing.
pub(crate) fn warn_of(missing: &[MissingSpan], what: &str) {
    for MissingSpan { tables, from, to, forgotten } in missing {
        let tables = words::list(tables.iter());
        let are = if *forgotten { "were forgotten" } else { "may be missing" };
        tracing::warn!("{what} of {tables} {are} after {} to {}", moment(*from), moment(*to));
    }
}
