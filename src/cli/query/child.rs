//! The program `duckdb`, as a child of ours.

use std::{
    convert::Infallible,
    io::{ErrorKind, Write},
    process::{ExitStatus, Stdio},
};

use convex_archiver::{Error, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdout, Command},
};

/// What it is run for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// One answer: who interrupts us wants it ended.
    Answer,
    /// A shell at a terminal: what Ctrl-C means there is its own business.
    Shell,
}

/// How it ended.
pub(super) struct Ending {
    pub(super) status: ExitStatus,
    /// A signal was passed on, or a key of the terminal has ended it before we heard of that.
    pub(super) was_asked: bool,
}

/// Runs it to its end, with `input` at its standard input; its standard output, if that is a pipe, becomes ours.
///
/// A signal that would end us is passed on, and once it comes again the child is killed: we end after it, so that nobody is
/// left without a parent, and what is to be removed then is removed.
///
/// # Errors
/// Usage, if it cannot be started.
pub(super) async fn run(mut command: Command, purpose: Purpose, input: Option<String>) -> Result<Ending> {
    let mut signals = Signals::listen(purpose)
        .map_err(|e| Error::resource("cannot listen for signals: raise the limit on open files").with_source(e))?;
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.kill_on_drop(true).spawn().map_err(|e| not_started(&command, e))?;
    let (to, from) = (child.stdin.take(), child.stdout.take());
    let fed = async {
        if let (Some(mut to), Some(input)) = (to, input) {
            // It may stop reading at an error, which it tells itself.
            let _ = to.write_all(input.as_bytes()).await;
        }
        std::future::pending::<Infallible>().await
    };
    let ended = async {
        tokio::select! {
            ended = end(&mut child, &mut signals, purpose) => ended,
            never = fed => match never {},
        }
    };
    let (ended, ()) = tokio::join!(ended, told(from));
    ended.map_err(|e| Error::resource("cannot wait for DuckDB").with_source(e))
}

async fn end(child: &mut Child, signals: &mut Signals, purpose: Purpose) -> std::io::Result<Ending> {
    let mut was_asked = false;
    loop {
        // Both may be there at once: a terminal interrupts the child as well.
        let signal = tokio::select! {
            biased;
            signal = signals.next() => signal,
            status = child.wait() => {
                let status = status?;
                return Ok(Ending { status, was_asked: was_asked || ended_by_key(status) });
            }
        };
        if purpose == Purpose::Shell && is_typed(signal) {
            continue;
        }
        if was_asked {
            // If it has ended meanwhile, that is told by the wait.
            let _ = child.start_kill();
        } else {
            pass_on(child, signal);
        }
        was_asked = true;
    }
}

/// What it says, said by us.
async fn told(from: Option<ChildStdout>) {
    let Some(mut from) = from else { return };
    let mut piece = vec![0; 1 << 16];
    while let Ok(bytes @ 1..) = from.read(&mut piece).await {
        let mut stdout = std::io::stdout().lock();
        if stdout.write_all(&piece[..bytes]).and_then(|()| stdout.flush()).is_err() {
            // A reader that has gone away ends it: its pipe is closed here.
            return;
        }
    }
}

fn not_started(command: &Command, e: std::io::Error) -> Error {
    let program = command.as_std().get_program().display();
    let error = match e.kind() {
        ErrorKind::NotFound => Error::usage(format!(
            "cannot find the program `{program}`: install DuckDB 1.5 or later (https://duckdb.org, `brew install \
             duckdb`, `pip install duckdb-cli`), or give its path with --duckdb; `views --engine duckdb` prints the \
             script that it would run"
        )),
        _ => Error::usage(format!("cannot run `{program}`: give the path of DuckDB with --duckdb")),
    };
    error.with_source(e)
}

#[cfg(unix)]
pub(super) use unix::is_unread;
#[cfg(unix)]
use unix::{Signals, ended_by_key, is_typed, pass_on};

#[cfg(unix)]
mod unix {
    use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

    use rustix::process::{Pid, Signal, kill_process};
    use tokio::{
        process::Child,
        signal::unix::{Signal as Stream, SignalKind, signal},
    };

    use crate::cli::query::child::Purpose;

    /// Signals that would end us without these.
    pub(super) struct Signals {
        interrupt: Stream,
        quit: Stream,
        terminate: Stream,
        /// Of a shell only: an answer goes on under `nohup`.
        hangup: Option<Stream>,
    }

    impl Signals {
        pub(super) fn listen(purpose: Purpose) -> std::io::Result<Self> {
            let hangup = (purpose == Purpose::Shell).then(|| signal(SignalKind::hangup())).transpose()?;
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                quit: signal(SignalKind::quit())?,
                terminate: signal(SignalKind::terminate())?,
                hangup,
            })
        }

        pub(super) async fn next(&mut self) -> Signal {
            let hangup = async {
                match &mut self.hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.interrupt.recv() => Signal::INT,
                _ = self.quit.recv() => Signal::QUIT,
                _ = self.terminate.recv() => Signal::TERM,
                _ = hangup => Signal::HUP,
            }
        }
    }

    /// Whether a key of the terminal sends it, to the child as well.
    pub(super) fn is_typed(signal: Signal) -> bool {
        signal == Signal::INT || signal == Signal::QUIT
    }

    pub(super) fn ended_by_key(status: ExitStatus) -> bool {
        status.signal().and_then(Signal::from_named_raw).is_some_and(is_typed)
    }

    /// Whether it ended because nobody reads any more (`| head`): that is no failure.
    pub(in super::super) fn is_unread(status: ExitStatus) -> bool {
        status.signal().and_then(Signal::from_named_raw) == Some(Signal::PIPE)
    }

    pub(super) fn pass_on(child: &mut Child, signal: Signal) {
        // A child that was waited for has no number any more.
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            // It may just have ended.
            let _ = kill_process(pid, signal);
        }
    }
}

#[cfg(not(unix))]
pub(super) use other::is_unread;
#[cfg(not(unix))]
use other::{Signals, ended_by_key, is_typed, pass_on};

#[cfg(not(unix))]
mod other {
    use tokio::process::Child;

    use crate::cli::query::child::Purpose;

    pub(super) struct Signals;

    impl Signals {
        #[allow(clippy::unnecessary_wraps)] // As on Unix.
        pub(super) fn listen(_: Purpose) -> std::io::Result<Self> {
            Ok(Self)
        }

        pub(super) async fn next(&mut self) {
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending().await
            }
        }
    }

    pub(super) fn is_typed((): ()) -> bool {
        true
    }

    pub(super) fn ended_by_key(_: std::process::ExitStatus) -> bool {
        false
    }

    pub(in super::super) fn is_unread(_: std::process::ExitStatus) -> bool {
        false
    }

    pub(super) fn pass_on(child: &mut Child, (): ()) {
        let _ = child.start_kill();
    }
}
