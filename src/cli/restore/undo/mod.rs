//! `restore --undo`: its flags, and what it does.

pub(super) mod args;
mod import;
mod report;

use std::path::Path;

use convex_archiver::{
    Error, Result, Timestamp,
    read::{CommonMoment, Moment, UndoOptions, UndoneDocument, plan_undo, undo_by_mutation, undo_unless},
};

use self::{
    args::Form,
    report::{UndoOutput, Written},
};
use super::{
    super::{outcome::Outcome, output, past::Past, progress::Progress, signals, telemetry::Screen},
    args::RestoreArgs,
};

pub(super) async fn run(args: &RestoreArgs, screen: &Screen) -> Result<Outcome> {
    let Some((from, to)) = args.undo.from.zip(args.undo.to) else {
        return Err(Error::usage("--undo needs --from and --to: the moments before and after the changes"));
    };
    if args.into.is_undo_imported()? {
        return import::run(args, [from, to], screen).await;
    }
    let budget = args.limits.budget()?;
    let folder = folder(args)?;
    let target = if folder.is_none() { args.target()? } else { None };
    let past = Past::open(&args.archive).await?;
    let common = past.common(Moment::Through, &args.tables.selection(&past.head)?)?;
    let [from, to] = [from, to].map(|moment| moment_of(&past, &common, moment));
    let (from, to) = (from?, to?);
    let options = options(args, &common, from, to).budget(budget);
    if args.plan {
        return plan(args, &past, &common, &options, screen).await;
    }
    let options = options.output(target.unwrap_or_default());
    let interrupted = signals::interrupted()?;
    let progress = Progress::reading(screen);
    let done = if let Some(folder) = folder {
        tokio::select! {
            biased;
            () = interrupted => Ok(None),
            done = undo_by_mutation(&past.archive, &past.head, &options, folder, &progress) => {
                done.map(|(report, batches)| Some((report, batches.map_or(Written::Nothing, Written::Batches))))
            }
        }
    } else {
        let done = undo_unless(interrupted, &past.archive, &past.head, &options, &progress).await;
        let written = |bytes| match (bytes, args.output.as_deref()) {
            (Some(bytes), Some(path)) => Written::Zip { path: path.to_owned(), bytes },
            _ => Written::Nothing,
        };
        done.map(|done| done.map(|(report, bytes)| (report, written(bytes))))
    };
    progress.finish();
    let Some((report, written)) = done? else {
        tracing::warn!("interrupted: nothing was written");
        return Ok(Outcome::Interrupted);
    };
    let output = UndoOutput::new(past.archive.url(), &options, &common, report, written, past.findings.counts());
    if args.is_to_stdout() {
        output::print_aside(&output.printed(args.json)?);
    } else {
        output::print(&output.printed(args.json)?)?;
    }
    Ok(output.outcome())
}

/// The `_ts` that a moment means; `now` is the newest moment of all tables.
fn moment_of(past: &Past, common: &CommonMoment, moment: Moment) -> Result<Timestamp> {
    if moment == Moment::Through { Ok(common.at) } else { past.at(Some(moment)) }
}

/// What is undone, but for where it goes.
fn options(args: &RestoreArgs, common: &CommonMoment, from: Timestamp, to: Timestamp) -> UndoOptions {
    UndoOptions::default()
        .from(from)
        .to(to)
        .now(common.at)
        .selection(common.selection.clone())
        .ids(args.id.iter().cloned().collect())
        .matching(args.undo.matching.clone())
        .over_later_writes(args.undo.over_later_writes)
        .inserted(args.undo.inserted)
        .accept_doubt(args.doubt.accept_doubt)
        .overwrite(args.force)
}

/// Only tells.
async fn plan(
    args: &RestoreArgs,
    past: &Past,
    common: &CommonMoment,
    options: &UndoOptions,
    screen: &Screen,
) -> Result<Outcome> {
    let interrupted = signals::interrupted()?;
    let progress = Progress::reading(screen);
    let mut lines = output::Lines::new();
    let tell = |document: UndoneDocument| {
        if !args.undo.documents {
            return Ok(());
        }
        if args.json { lines.print_json(&report::line(&document)) } else { lines.print(&report::text(&document)) }
    };
    let planned = tokio::select! {
        biased;
        () = interrupted => None,
        planned = plan_undo(&past.archive, &past.head, options, &progress, tell) => Some(planned),
    };
    progress.finish();
    let Some(planned) = planned else { return Ok(Outcome::Interrupted) };
    let mut outcome = Outcome::Done;
    let told = planned.and_then(|report| {
        let planned = Written::Planned { mutation: args.undo.form == Form::Mutation };
        let output = UndoOutput::new(past.archive.url(), options, common, report, planned, past.findings.counts());
        outcome = output.outcome();
        match (args.json, args.undo.documents) {
            // One line among lines, one object alone.
            (true, true) => lines.print_json(&output),
            (false, true) => lines.print(&format!("\n{}", output.printed(false)?)),
            _ => lines.print(&output.printed(args.json)?),
        }
    });
    lines.end(told).map(|()| outcome)
}

/// Where a mutation goes; None of a ZIP.
fn folder(args: &RestoreArgs) -> Result<Option<&Path>> {
    if args.undo.form == Form::Zip {
        return Ok(None);
    }
    match args.output.as_deref() {
        Some(path) if args.is_to_stdout() || path.to_string_lossy().contains("://") => {
            Err(Error::usage(format!("--as mutation writes to a folder on this machine, not to {}", path.display())))
        }
        Some(_) if args.force => Err(Error::usage(
            "--as mutation does not replace a folder: name one that does not exist or is empty, without --force",
        )),
        folder => Ok(folder),
    }
}
