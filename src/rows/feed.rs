//! [`Feed`]: what a thread of its own makes, one at a time. The thread is owned by its channel: it ends by itself when
//! nobody listens any more.

use tokio::{runtime::Handle, sync::mpsc};

use crate::error::{Error, Result};

/// What comes, until its end or an error.
pub(crate) struct Feed<T> {
    receiver: mpsc::Receiver<Result<Option<T>>>,
    ended: bool,
}

/// Where the thread puts what it makes. One waits, while the next is being made.
pub(crate) struct Outlet<T>(mpsc::Sender<Result<Option<T>>>);

impl<T: Send + 'static> Feed<T> {
    /// Begins the work.
    ///
    /// # Errors
    /// Internal, outside a tokio runtime.
    pub(crate) fn start(work: impl FnOnce(&Handle, &Outlet<T>) -> Result<()> + Send + 'static) -> Result<Self> {
        let runtime = Handle::try_current()
            .map_err(|e| Error::internal("an archive is read outside the runtime").with_source(e))?;
        let (sender, receiver) = mpsc::channel(1);
        runtime.clone().spawn_blocking(move || {
            let outlet = Outlet(sender);
            let end = work(&runtime, &outlet).map(|()| None);
            // Whoever stopped listening does not want to know.
            let _ = outlet.0.blocking_send(end);
        });
        Ok(Self { receiver, ended: false })
    }

    /// Nothing at all.
    pub(crate) fn empty() -> Self {
        Self { receiver: mpsc::channel(1).1, ended: true }
    }

    /// The next; None after the last and after an error.
    pub(crate) async fn next(&mut self) -> Result<Option<T>> {
        if self.ended {
            return Ok(None);
        }
        let next = self.receiver.recv().await;
        self.take(next)
    }

    /// The same for threads of their own: it waits.
    pub(crate) fn next_blocking(&mut self) -> Result<Option<T>> {
        if self.ended {
            return Ok(None);
        }
        let next = self.receiver.blocking_recv();
        self.take(next)
    }

    fn take(&mut self, next: Option<Result<Option<T>>>) -> Result<Option<T>> {
        let next = next.unwrap_or_else(|| Err(Error::internal("a thread that reads the archive ended too early")));
        self.ended = !matches!(next, Ok(Some(_)));
        next
    }
}

impl<T> Outlet<T> {
    /// Hands it on. False, if nobody wants it any more.
    pub(crate) async fn send(&self, made: T) -> bool {
        self.0.send(Ok(Some(made))).await.is_ok()
    }

    /// The same, waiting.
    pub(crate) fn send_blocking(&self, made: T) -> bool {
        self.0.blocking_send(Ok(Some(made))).is_ok()
    }

    /// Whether nobody wants anything any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}
