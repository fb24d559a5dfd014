//! A request to end a run at its next commit.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;

/// A request to end a run at its next commit, by somebody or by the clock. Clones are the same request.
#[derive(Debug, Clone)]
pub struct Stop {
    asked: Arc<watch::Sender<bool>>,
    at: Option<Instant>,
}

impl Default for Stop {
    /// Only once it is asked for.
    fn default() -> Self {
        Self { asked: Arc::new(watch::Sender::new(false)), at: None }
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

    /// Ready once the end was asked for, or the time is over.
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
