//! When `manifest.json` is rewritten: at the end of a run, and now and then in a long one.

use std::time::{Duration, Instant};

use crate::{
    archive::{Archive, Head},
    error::Error,
    monitor::{Event, Finding, Monitor},
};

/// `manifest.json` is rewritten while the run goes on at most as often as its writing takes this part of the time.
const MANIFEST_SHARE: u32 = 100;
/// … and not more often than this.
const MANIFEST_PAUSE: Duration = Duration::from_secs(60);

/// When `manifest.json` is written again. It is advisory: a failure is told, and the next run writes it again.
pub(super) struct Advisory {
    due: Instant,
}

impl Advisory {
    /// It is due after a while.
    pub(super) fn begin() -> Self {
        Self { due: Instant::now() + MANIFEST_PAUSE }
    }

    /// Writes it, if it is time to.
    pub(super) async fn write_if_due(&mut self, archive: &Archive, head: &mut Head, monitor: &dyn Monitor) {
        if Instant::now() >= self.due {
            self.write(archive, head, monitor).await;
        }
    }

    /// Writes it, if it shows less than `head` holds. The head is the same afterwards, and knows that its parts are written.
    pub(super) async fn write(&mut self, archive: &Archive, head: &mut Head, monitor: &dyn Monitor) {
        let begin = Instant::now();
        let written = async {
            if archive.is_manifest_due(head)? {
                *head = archive.write_manifest(head).await?;
            }
            Ok::<_, Error>(())
        };
        match written.await {
            Ok(()) => {}
            Err(error) => {
                monitor.report(Event::Finding(&Finding::ManifestNotRewritten { why: error.to_string() }));
            }
        }
        self.due = Instant::now() + MANIFEST_PAUSE.max(begin.elapsed() * MANIFEST_SHARE);
    }
}
