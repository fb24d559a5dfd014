//! `restore --into`: the ZIP's way into a deployment.

pub(super) mod args;

use std::{
    io::{BufRead, Write},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use convex_archiver::{
    DeploymentIdentity, Error, MemoryBudget, Monitor, Result, ResultExt,
    convex::{Access, ImportId, ImportMode, ImportState, Importer, RetryPolicy},
};
use serde::Serialize;

use self::args::IntoArgs;
use super::super::{signals, units::bytes};

/// A line about an upload or an import is logged this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// What was imported.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Imported {
    pub(super) deployment: String,
    pub(super) mode: &'static str,
    pub(super) documents: u64,
}

/// How the way into a deployment ended.
pub(super) enum Ended {
    /// At its end.
    Imported(Imported),
    /// By a no, or a signal, before anything changed.
    GivenUp,
    /// By a signal, while the deployment goes on.
    Left,
}

/// Uploads the ZIP, asks, and imports it.
///
/// # Errors
/// As [`upload`] and [`Waiting::perform`].
pub(super) async fn import(
    args: &IntoArgs,
    zip: &Path,
    mode: ImportMode,
    budget: MemoryBudget,
    monitor: Arc<dyn Monitor>,
) -> Result<Ended> {
    let mut interrupted = std::pin::pin!(signals::interrupted()?);
    let access = args.access(Arc::clone(&monitor)).await?;
    let waiting = tokio::select! {
        biased;
        () = &mut interrupted => return Ok(Ended::GivenUp),
        waiting = upload(access, zip, mode, budget, monitor) => waiting?,
    };
    let is_wanted = tokio::select! {
        biased;
        () = &mut interrupted => false,
        wanted = waiting.confirmed(args.yes) => wanted?,
    };
    if !is_wanted {
        waiting.cancel().await;
        return Ok(Ended::GivenUp);
    }
    tokio::select! {
        biased;
        () = &mut interrupted => Ok(Ended::Left),
        imported = waiting.perform(async || ()) => imported.map(Ended::Imported),
    }
}

/// Says how it ended, where it did not end well.
pub(super) fn warn(ended: &Ended) {
    match ended {
        Ended::Imported(_) => {}
        Ended::GivenUp => tracing::warn!("nothing was imported"),
        Ended::Left => {
            tracing::warn!("interrupted: the import continues in the deployment; its dashboard shows the progress");
        }
    }
}

/// An upload that waits to be performed.
pub(super) struct Waiting {
    importer: Importer,
    deployment: DeploymentIdentity,
    id: ImportId,
    mode: ImportMode,
    question: String,
}

/// Uploads the ZIP, up to the question whether to import it.
///
/// # Errors
/// Conflict, if an import is under way; Usage, if the deployment refuses the ZIP; as asking the deployment has them.
pub(super) async fn upload(
    access: Access,
    zip: &Path,
    mode: ImportMode,
    budget: MemoryBudget,
    monitor: Arc<dyn Monitor>,
) -> Result<Waiting> {
    let importer = Importer::new(access, budget, RetryPolicy::default(), monitor)?;
    let deployment = importer.identity().await?;
    let context = || format!("import into {deployment}");
    if importer.is_busy().await.context(context)? {
        return Err(Error::new(
            convex_archiver::ErrorKind::Conflict,
            "another import is in progress in this deployment: run again once it has ended",
        ))
        .context(context);
    }
    let unreadable = |e| Error::resource(format!("cannot read {}", zip.display())).with_source(e);
    let mut file = tokio::fs::File::open(zip).await.map_err(unreadable)?;
    let size = file.metadata().await.map_err(unreadable)?.len();
    tracing::info!("uploading {} to {deployment}", bytes(size));
    let mut lines = Lines::begin();
    let sent = |sent| lines.say(|| format!("uploaded {} of {}", bytes(sent), bytes(size)));
    let id = importer.upload(&mut file, mode, sent).await.context(context)?;
    match importer.wait(&id, |_| {}).await.context(context)? {
        ImportState::WaitingForConfirmation(question) => Ok(Waiting { importer, deployment, id, mode, question }),
        ImportState::Failed(why) => Err(refused(&why)).context(context),
        other => Err(Error::protocol(format!("the upload is in an unexpected state: {other:?}"))).context(context),
    }
}

fn refused(why: &str) -> Error {
    Error::usage(format!("the deployment refused the import, and nothing was changed in it: {}", why.trim()))
}

impl Waiting {
    /// Whether it shall be performed: asks, unless the answer was given.
    pub(super) async fn confirmed(&self, yes: bool) -> Result<bool> {
        if yes { Ok(true) } else { self.is_wanted().await }
    }

    /// Asks the person, on stderr.
    async fn is_wanted(&self) -> Result<bool> {
        let failed = |e| Error::resource("cannot ask for confirmation on the terminal").with_source(e);
        self.ask().map_err(failed)?;
        let answer = tokio::task::spawn_blocking(|| {
            let mut answer = String::new();
            std::io::stdin().lock().read_line(&mut answer).map(|_| answer)
        });
        let answer = answer.await.map_err(|e| Error::internal("the question was lost").with_source(e))?;
        Ok(answer.map_err(failed)?.trim().eq_ignore_ascii_case("yes"))
    }

    fn ask(&self) -> std::io::Result<()> {
        let mut screen = std::io::stderr().lock();
        let question = self.question.trim();
        let between = if question.is_empty() { "" } else { "\n" };
        write!(screen, "{question}{between}Import into {} ({})? [yes/no] ", self.deployment, mode_name(self.mode))?;
        screen.flush()
    }

    /// Gives it up: nothing has changed. What cannot be reached is forgotten by the deployment itself.
    pub(super) async fn cancel(self) {
        if let Err(error) = self.importer.cancel(&self.id).await {
            tracing::warn!("could not cancel the upload; the deployment discards it after some days: {error}");
        }
    }

    /// Performs it to its end. `meanwhile` is done again and again until then.
    ///
    /// # Errors
    /// Usage, if a document is refused; as asking the deployment has them.
    pub(super) async fn perform(self, mut meanwhile: impl AsyncFnMut()) -> Result<Imported> {
        let context = || format!("import into {}", self.deployment);
        self.importer.perform(&self.id).await.context(context)?;
        tracing::info!("the import runs in the deployment now, and continues even if this program ends");
        let mut lines = Lines::begin();
        loop {
            match self.importer.state(&self.id).await.context(context)? {
                ImportState::Completed(documents) => {
                    let (deployment, mode) = (self.deployment.to_string(), mode_name(self.mode));
                    return Ok(Imported { deployment, mode, documents });
                }
                ImportState::Failed(why) => {
                    let error = if self.mode == ImportMode::Append {
                        Error::usage(format!(
                            "the import failed; documents before the refused one may have been added: {why}"
                        ))
                    } else {
                        refused(&why)
                    };
                    return Err(error).context(context);
                }
                ImportState::InProgress(how_far) => lines.say(|| how_far),
                _ => {}
            }
            meanwhile().await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

fn mode_name(mode: ImportMode) -> &'static str {
    match mode {
        ImportMode::RequireEmpty => "require-empty",
        ImportMode::Append => "append",
        ImportMode::Replace => "replace",
        ImportMode::ReplaceAll => "replace-all",
    }
}

/// Lines of the log, not too many.
struct Lines(Instant);

impl Lines {
    fn begin() -> Self {
        Self(Instant::now())
    }

    fn say(&mut self, line: impl FnOnce() -> String) {
        if self.0.elapsed() >= LINE_EVERY {
            self.0 = Instant::now();
            tracing::info!("{}", line());
        }
    }
}
