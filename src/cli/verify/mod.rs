//! The verb `verify`.

mod args;
mod report;

use std::{sync::Arc, time::Instant};

use convex_archiver::{Result, Timestamp, archive::Location, verify::verify};

pub(super) use self::{args::VerifyArgs, report::problem_lines};
use super::{config, outcome::Outcome, progress::Progress, signals, telemetry::Screen};

pub(super) async fn run(args: &VerifyArgs, screen: &Screen) -> Result<Outcome> {
    let begin = Instant::now();
    let now = Timestamp::now();
    let options = args.options(now)?;
    let location = Location::open(&args.archive.url, &config::settings())?;
    let interrupted = signals::interrupted()?;
    let progress = Arc::new(Progress::reading(screen));
    let monitor = Arc::clone(&progress);
    let told = tokio::select! {
        biased;
        () = interrupted => None,
        told = verify(Arc::clone(location.store()), location.url(), &options, now, monitor) => Some(told),
    };
    progress.finish();
    let Some(told) = told else {
        tracing::warn!("interrupted: nothing was recorded");
        return Ok(Outcome::Interrupted);
    };
    let found = told?;
    if let Some(why) = &found.not_recorded {
        tracing::warn!("cannot record this verification in the archive: {why}");
    }
    let outcome = if found.total.problems == 0 { Outcome::Done } else { Outcome::Findings };
    report::print(location.url(), &found, outcome, begin.elapsed(), args.json, screen)?;
    Ok(outcome)
}
