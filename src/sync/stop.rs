//! A request to end a run at its next commit.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;

/// A request to end a run at its next commit, by somebody, by the clock, or by what was downloaded. Clones are the same request.
#[derive(Debug, Clone)]
pub struct Stop {
    asked: Arc<watch::Sender<bool>>,
    at: Option<Instant>,
    download: Option<Arc<Download>>,
}

/// Bytes of answers that may be read.
#[derive(Debug)]
struct Download {
    limit: u64,
    left: AtomicU64,
}

impl Default for Stop {
    /// Only once it is asked for.
    fn default() -> Self {
        Self { asked: Arc::new(watch::Sender::new(false)), at: None, download: None }
    }
}

impl Stop {
    /// Asks for the end.
    pub fn request(&self) {
        self.asked.send_replace(true);
    }

    /// The same request, which also comes by itself after `time` from now, whether the run has caught up or not.
    #[must_use]
    pub fn within(self, time: Duration) -> Self {
        Self { at: Instant::now().checked_add(time), ..self }
    }

    /// The same request, which also comes by itself once `bytes` of answers were read, uncompressed. The page that reaches the limit is
    /// archived.
    #[must_use]
    pub fn after_download(self, bytes: u64) -> Self {
        Self { download: Some(Arc::new(Download { limit: bytes, left: AtomicU64::new(bytes) })), ..self }
    }

    /// So many bytes of answers were read.
    pub(super) fn downloaded(&self, bytes: u64) {
        let Some(download) = &self.download else { return };
        let before =
            download.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| Some(left.saturating_sub(bytes)));
        if before.is_ok_and(|before| before <= bytes) {
            self.request();
        }
    }

    /// Whether so many bytes may still be read.
    pub(super) fn has_room_for(&self, bytes: u64) -> bool {
        self.download.as_ref().is_none_or(|download| bytes <= download.left.load(Ordering::SeqCst))
    }

    /// The limit of the download, if so many bytes are more than it allows in any run.
    pub(super) fn never_allows(&self, bytes: u64) -> Option<u64> {
        self.download.as_ref().map(|download| download.limit).filter(|limit| bytes > *limit)
    }

    /// Ready once the end was asked for, the time is over, or enough was read.
    pub async fn requested(&self) {
        let over = async {
            match self.at {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let mut asked = self.asked.subscribe();
        tokio::select! {
            // The sender lives as long as `self`, so waiting cannot fail.
            _ = asked.wait_for(|stop| *stop) => {}
            () = over => {}
        }
    }
}
