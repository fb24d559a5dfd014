//! Who hears of a run beside whoever started it: the archive itself (`runs/`), a dead man's switch, a webhook, a file of metrics. Nothing of it
//! fails a run: what cannot be told is a warning.

use std::{sync::Arc, time::Duration};

use convex_archiver::{Error, NoMonitor, Result, runs::keep_report};
use tokio::task::JoinHandle;

use super::{
    super::{config, outcome::Outcome},
    connect::existing,
    listeners::ListenerArgs,
    metrics,
    record::RunRecord,
};

/// The archive is not waited for any longer: a store that is away has held up the run long enough.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who hears of the run that goes on.
pub(super) struct Listeners<'a> {
    args: &'a ListenerArgs,
    /// The beginning, on its way.
    started: Option<JoinHandle<Result<()>>>,
}

impl<'a> Listeners<'a> {
    pub(super) fn new(args: &'a ListenerArgs) -> Self {
        Self { args, started: None }
    }

    /// The run begins. Nobody waits until that was heard.
    pub(super) fn begin(&mut self) {
        self.started =
            self.args.ping.clone().map(|ping| tokio::spawn(async move { ping.below("start").tell(None).await }));
    }

    /// The run has ended. `url` is where the archive is to be found if the run did not come so far. Of a run that found another one at work nobody is told: that one
    /// has its own end.
    pub(super) async fn end(self, url: &str, record: &RunRecord, outcome: Outcome) {
        let Some(report) = record.report() else { return };
        let kept = async {
            let location = match record.location() {
                Some(location) => Some(location),
                None => existing(url, &config::settings(), Arc::new(NoMonitor)).await?.map(|(location, _)| location),
            };
            match location {
                Some(location) => keep_report(&Arc::clone(location.store()), &report).await,
                None => Ok(()),
            }
        };
        let kept = tokio::time::timeout(PATIENCE, kept).await;
        warn("the report of the run was not stored in the archive", kept.unwrap_or_else(|_| Err(late())));
        if let Some(file) = &self.args.metrics_file {
            warn("the metrics were not written", metrics::write(file, &report));
        }
        // Whoever hears of the end has heard of the beginning.
        if let Some(started) = self.started
            && let Ok(told) = started.await
        {
            warn("the dead man's switch was not notified of the start", told);
        }
        if let Some(ping) = &self.args.ping {
            let told = ping.below(&outcome.code().to_string()).tell(Some(&report)).await;
            warn("the dead man's switch was not notified of the end", told);
        }
        if let Some(webhook) = &self.args.webhook {
            warn("the webhook was not notified", webhook.tell(Some(&report)).await);
        }
    }
}

fn late() -> Error {
    Error::unavailable(format!("the store did not answer within {} seconds", PATIENCE.as_secs()))
}

fn warn(what: &str, done: Result<()>) {
    if let Err(error) = done {
        let cause = std::error::Error::source(&error).map(|cause| format!(" ({cause})")).unwrap_or_default();
        tracing::warn!("{what}: {error}{cause}");
    }
}
