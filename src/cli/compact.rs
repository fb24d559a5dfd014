//! The verb `compact`.

use std::sync::Arc;

use clap::Args;
use convex_archiver::{
    FindingCounts, Monitor, Result, Timestamp,
    archive::{Archive, Head},
    compact::{CompactOptions, CompactReport, compact, plan_compact},
};
use serde::Serialize;

use super::{
    config::ArchiveArgs,
    outcome::Outcome,
    output,
    past::{LimitArgs, Past, SelectionArgs},
    signals,
    telemetry::Screen,
    units::{bytes, counted},
};

/// Stored bytes that are joined in one commit: what is lost if the program is stopped.
const AT_ONCE: u64 = 256 << 20;

/// Joins small files of changes, so that the archive stays fast to read
///
/// If a table has so many changes that reading it means mostly reading changes, compact also writes the table's present
/// state as a new base. Every sync does a little of both by itself. Run compact by hand for an archive whose syncs had
/// --no-compact, after many syncs in a short time, or if the report of a sync says that a table waits for it. The
/// documents and their history do not change. Syncs may run at the same time. compact can be stopped at any time, and
/// resumes when it is run again. The replaced files stay in the store until a sync or vacuum deletes them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  convex-archiver compact --archive s3://bucket/happy-otter --plan
      shows how many files would be joined into how many, and which tables would get a base

  convex-archiver compact --archive s3://bucket/happy-otter
      joins them

Exit codes: 0 if everything is joined or there was nothing to do; 3 if a damaged file was found, which is left as it \
is.")]
pub(crate) struct CompactArgs {
    #[command(flatten)]
    archive: ArchiveArgs,
    /// Only show what would be joined
    #[arg(long)]
    plan: bool,
    /// Print one JSON object, even on failure
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    tables: SelectionArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// The report, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    archive: &'a str,
    exit_code: u8,
    plan: bool,
    #[serde(flatten)]
    done: &'a CompactReport,
    findings: &'a FindingCounts,
}

pub(super) async fn run(args: &CompactArgs, screen: &Screen) -> Result<Outcome> {
    let budget = args.limits.budget()?;
    let past = Past::open(&args.archive).await?;
    let selection = args.tables.selection(&past.head)?;
    let options = CompactOptions::default().budget(budget).selection(selection);
    let done = if args.plan {
        plan_compact(&past.archive, &past.head, &options).await?
    } else {
        let monitor = Arc::clone(&past.findings) as Arc<dyn Monitor>;
        let interrupted = signals::interrupted()?;
        let options = options.bytes(Some(AT_ONCE));
        let done = tokio::select! {
            biased;
            () = interrupted => None,
            done = join_all(&past.archive, past.head.clone(), &options, &monitor) => Some(done?),
        };
        let Some(done) = done else {
            tracing::warn!("interrupted: files that were already joined stay joined; run it again to resume");
            return Ok(Outcome::Interrupted);
        };
        done
    };
    let findings = past.findings.counts();
    let outcome = if done.damaged + done.bases_damaged > 0 { Outcome::Findings } else { Outcome::Done };
    if args.json {
        let archive = past.archive.url();
        output::print_json(&Report {
            archive,
            exit_code: outcome.code(),
            plan: args.plan,
            done: &done,
            findings: &findings,
        })?;
    } else if !screen.quiet() || outcome != Outcome::Done {
        output::print(&text(past.archive.url(), args.plan, &done, &findings))?;
    }
    Ok(outcome)
}

/// Commit after commit, until nothing is due.
async fn join_all(
    archive: &Archive,
    mut head: Head,
    options: &CompactOptions,
    monitor: &Arc<dyn Monitor>,
) -> Result<CompactReport> {
    let mut sum = CompactReport::default();
    loop {
        let (next, done) = compact(archive, &head, options, Timestamp::now(), Arc::clone(monitor)).await?;
        head = next;
        let goes_on = done.version.is_some() && done.later > 0;
        sum = sum.plus(&done);
        if !goes_on {
            break;
        }
    }
    if archive.is_manifest_due(&head)? {
        archive.write_manifest(&head).await?;
    }
    Ok(sum)
}

fn text(archive: &str, plan: bool, done: &CompactReport, findings: &FindingCounts) -> String {
    let mut facts = vec![("Archive", archive.to_owned())];
    let becomes = format!(
        "{} of {} become {}",
        counted(done.inputs, "file"),
        counted(done.tables, "table"),
        counted(done.outputs, "file")
    );
    facts.push(match (done.inputs, plan) {
        (0, _) => ("Joined", "nothing: there are no small files to join".to_owned()),
        (_, true) => ("Would join", format!("{becomes}; {} to read", bytes(done.input_bytes))),
        (_, false) => {
            ("Joined", format!("{becomes}; {} before, {} now", bytes(done.input_bytes), bytes(done.output_bytes)))
        }
    });
    facts.extend(bases(plan, done));
    if done.damaged > 0 {
        let groups = counted(done.damaged, "group");
        facts.push(("Damaged", format!("{groups} of files left as they are, because one of their files is damaged")));
    }
    if let Some(version) = done.version {
        facts.push(("Version", version.to_string()));
    }
    facts.extend(output::findings(findings));
    output::facts(facts)
}

/// What was done about bases; nothing, where there was nothing to do.
pub(super) fn bases(plan: bool, done: &CompactReport) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let (made, read, rows) = (done.bases, bytes(done.base_input_bytes), counted(done.base_rows, "document"));
    if made > 0 && plan {
        facts.push(("Would write", format!("{} of at most {rows}; {read} to read", counted(made, "base"))));
    } else if made > 0 {
        facts.push((
            "Bases",
            format!("{} of {rows}; {read} read, {} written", counted(made, "base"), bytes(done.base_bytes)),
        ));
    }
    let mut stay = |tables: u64, why: &str| {
        if tables > 0 {
            facts.push(("No base", format!("for {}: {why}", counted(tables, "table"))));
        }
    };
    stay(done.bases_later, "too much to read in this run; a later run or `compact` makes it");
    stay(
        done.bases_mixed,
        "its documents came in several encodings, or belong to several tables of that name; `sync --rebase` takes a \
         new snapshot of it",
    );
    stay(done.bases_damaged, "a file is damaged; run `verify`");
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_are_told_where_some_are_made_or_due() {
        let mut done = CompactReport::default();
        assert_eq!(bases(false, &done), []);
        (done.bases, done.base_rows, done.base_input_bytes, done.base_bytes) = (2, 1_234, 3 << 20, 1 << 20);
        let told = |plan| bases(plan, &done);
        assert_eq!(told(false), [("Bases", "2 bases of 1,234 documents; 3.00 MiB read, 1.00 MiB written".to_owned())]);
        assert_eq!(told(true), [("Would write", "2 bases of at most 1,234 documents; 3.00 MiB to read".to_owned())]);
        (done.bases, done.bases_later, done.bases_damaged) = (0, 1, 3);
        let lines = bases(false, &done);
        assert!(lines.iter().all(|(label, _)| *label == "No base") && lines.len() == 2, "{lines:?}");
        assert!(lines[0].1.starts_with("for 1 table: too much to read"), "{lines:?}");
        assert!(lines[1].1.starts_with("for 3 tables: a file is damaged"), "{lines:?}");
    }
}
