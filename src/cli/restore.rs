//! The verb `restore`.

mod args;
mod into;
mod output;
mod undo;

use std::{collections::BTreeSet, sync::Arc};

use convex_archiver::{
    Monitor, Result,
    read::{RestoreOptions, RestoreTarget, plan_restore, restore_unless},
};

pub(crate) use self::args::RestoreArgs;
use self::{into::Ended, output::RestoreOutput};
use super::{outcome::Outcome, past::Past, progress::Progress, signals, telemetry::Screen};

pub(super) async fn run(args: &RestoreArgs, screen: &Screen) -> Result<Outcome> {
    if args.undo.undo {
        return undo::run(args, screen).await;
    }
    let budget = args.limits.budget()?;
    let mode = args.into.restore_mode()?;
    let uploaded = mode.map(|_| args.uploaded_file()).transpose()?;
    let target = match &uploaded {
        Some(file) => Some(RestoreTarget::from(file.path())),
        None => args.target()?,
    };
    let past = Past::open(&args.archive).await?;
    let common = past.common(args.as_of, &args.tables.selection(&past.head)?)?;
    let ids: BTreeSet<String> = args.id.iter().cloned().collect();
    let options = RestoreOptions::default().at(common.at).selection(common.selection.clone()).ids(ids).budget(budget);
    let options = options.output(target.clone().unwrap_or_default()).overwrite(args.force);
    let options = options.accept_damage(args.damage.accepted()?).accept_doubt(args.doubt.accept_doubt);
    let interrupted = signals::interrupted()?;
    let progress = Progress::reading(screen);
    let done = if target.is_some() {
        let restored = restore_unless(interrupted, &past.archive, &past.head, &options, &progress).await;
        restored.map(|restored| restored.map(|(report, bytes)| (report, Some(bytes))))
    } else {
        tokio::select! {
            biased;
            () = interrupted => Ok(None),
            plan = plan_restore(&past.archive, &past.head, &options, &progress) => plan.map(|plan| Some((plan, None))),
        }
    };
    progress.finish();
    let Some((mut report, bytes)) = done? else {
        tracing::warn!(
            "interrupted: {}",
            if args.is_to_stdout() { "the output is not a complete ZIP" } else { "nothing was written" }
        );
        return Ok(Outcome::Interrupted);
    };
    let mut imported = None;
    if let Some((mode, file)) = mode.zip(uploaded.as_ref()).filter(|_| !report.tables.is_empty()) {
        let monitor = Arc::clone(&past.findings) as Arc<dyn Monitor>;
        match into::import(&args.into, &file.path(), mode, budget, monitor).await? {
            Ended::Imported(done) => imported = Some(done),
            ended => {
                into::warn(&ended);
                return Ok(Outcome::Interrupted);
            }
        }
    }
    report.findings = past.findings.counts().plus(&report.findings);
    let written = args.output.as_deref().zip(bytes);
    let output = RestoreOutput::new(past.archive.url(), &options, &common, &report, written, imported);
    if args.is_to_stdout() {
        output.print_aside(args.json)?;
    } else {
        output.print(args.json)?;
    }
    let is_moved = !common.held_back_by.is_empty();
    Ok(if report.has_findings() || is_moved { Outcome::Findings } else { Outcome::Done })
}
