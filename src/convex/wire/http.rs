//! One request, made until it is answered: retries, a body that is held or spooled, and what the answers' headers say.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use reqwest::{
    Request, Response,
    header::{DATE, HeaderMap, RETRY_AFTER},
    redirect,
};
use url::Url;

use super::{
    address::is_loopback,
    body::{ArrivingBody, Body},
    keys::Keys,
    protocol::{DEPRECATION_MESSAGE, DEPRECATION_STATE},
    refusal::Refusal,
    retry::{Decision, Outcome, RetryPolicy, Tries},
};
use crate::{
    certificates,
    document::Timestamp,
    error::{Error, Result},
    monitor::{Event, Finding, Monitor},
};

/// The server gives up after 300 s (`HTTP_SERVER_TIMEOUT_SECONDS`), and until then it may send nothing at all.
const SILENCE: Duration = Duration::from_secs(330);
const CONNECT: Duration = Duration::from_secs(20);
/// How much of an error's body is read.
const ERROR_BODY: usize = 16 << 10;
/// How long advice is worth waiting for.
const PATIENCE_FOR_ADVICE: Duration = Duration::from_secs(60);
/// How long what is asked once is waited for.
const PATIENCE_FOR_A_PROBE: Duration = Duration::from_secs(20);

/// What has been asked and got so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests made, repeated ones included.
    pub requests: u64,
    /// Those of them that repeated one which had failed.
    pub retries: u64,
    /// Bytes of all answers, uncompressed: what Convex bills as egress.
    pub response_bytes: u64,
}

/// What came of a request.
pub(in crate::convex) enum Reply<B = Bytes> {
    /// The whole body of a 200.
    Answer(B),
    /// Any other status, after the retries that it deserves.
    Refused(Refusal),
}

/// How one attempt failed.
enum Failure {
    /// Another status than 200, and its `Retry-After`.
    Refused(Refusal, Option<Duration>),
    /// No answer, or one that broke off.
    Broken(Error),
}

/// Where a body goes.
#[derive(Debug, Clone, Copy)]
enum Room {
    /// Into memory, up to so many bytes; a larger one is refused.
    Memory(u64),
    /// Into memory up to so many bytes, else into a temporary file.
    File(u64),
    /// Into memory: so many bytes and a little more, then it is not read on.
    Beginning(u64),
}

/// Makes requests.
pub(super) struct Http {
    client: reqwest::Client,
    policy: RetryPolicy,
    monitor: Arc<dyn Monitor>,
    /// Never shown, should a server repeat them.
    keys: Arc<Keys>,
    /// Who is asked, for texts: `the deployment`, or a host.
    who: String,
    /// Largest body that is held, bytes.
    memory: u64,
    requests: AtomicU64,
    retries: AtomicU64,
    response_bytes: AtomicU64,
    answered: AtomicBool,
    deprecation_told: AtomicBool,
    /// How far the clock of whoever answered last was ahead, nanoseconds.
    clock_offset: Mutex<Option<i64>>,
}

impl Http {
    /// `who` is asked, in words, below `base`: on this machine no proxy of the environment stands between, and without TLS no
    /// certificates are loaded, which takes longer than many a sync of a simulation.
    pub(super) fn new(
        who: &str,
        keys: Arc<Keys>,
        policy: RetryPolicy,
        memory: u64,
        base: &Url,
        monitor: Arc<dyn Monitor>,
    ) -> Result<Self> {
        let builder = || {
            let mut builder = reqwest::Client::builder()
                .user_agent(concat!("convex-archiver/", env!("CARGO_PKG_VERSION")))
                // The deploy key goes to the host that was named, and nowhere else.
                .redirect(redirect::Policy::none())
                .connect_timeout(CONNECT)
                .read_timeout(SILENCE)
                .tcp_keepalive(Duration::from_secs(30));
            if is_loopback(base) {
                builder = builder.no_proxy();
            }
            if base.scheme() == "http" {
                builder = builder.tls_certs_only([]);
            }
            builder
        };
        let client = certificates::client(builder).map_err(|e| match certificates::advice(&e) {
            Some(advice) => Error::usage(advice).with_source(e),
            None => Error::internal("cannot set up an HTTP client").with_source(e),
        })?;
        Ok(Self {
            client,
            policy,
            monitor,
            keys,
            who: who.to_owned(),
            memory,
            requests: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
            answered: AtomicBool::new(false),
            deprecation_told: AtomicBool::new(false),
            clock_offset: Mutex::new(None),
        })
    }

    pub(super) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// How far the clock of whoever answered last was ahead, nanoseconds; None, if the answer bore no date.
    pub(super) fn clock_offset(&self) -> Option<i64> {
        *self.clock_offset.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was asked and got: bytes of broken answers too.
    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            requests: self.requests.load(Relaxed),
            retries: self.retries.load(Relaxed),
            response_bytes: self.response_bytes.load(Relaxed),
        }
    }

    /// Makes `request` until it is answered or the policy gives up. The answer is held in memory.
    ///
    /// # Errors
    /// Unavailable without any answer, Resource if it is too large.
    pub(super) async fn send(&self, request: &Request) -> Result<Reply> {
        held(self.answer(request, self.policy, Room::Memory(self.memory)).await?)
    }

    /// The same for a page, which may have any size.
    ///
    /// # Errors
    /// Unavailable without any answer, Resource if there is no room for a temporary file.
    pub(super) async fn send_for_page(&self, request: &Request) -> Result<Reply<Body>> {
        self.answer(request, self.policy, Room::File(self.memory)).await
    }

    /// The same for what one can do without: it is not waited for beyond a minute, and has at most `most` bytes.
    ///
    /// # Errors
    /// Unavailable without any answer, Resource if it is too large.
    pub(super) async fn send_for_advice(&self, request: &Request, most: u64) -> Result<Reply> {
        let policy = RetryPolicy { budget: self.policy.budget.min(PATIENCE_FOR_ADVICE), ..self.policy };
        held(self.answer(request, policy, Room::Memory(most)).await?)
    }

    /// The same for what one can do without, of which the first `most` bytes are enough: the rest is not read.
    ///
    /// # Errors
    /// Unavailable without any answer.
    pub(super) async fn send_for_beginning(&self, request: &Request, most: u64) -> Result<Reply> {
        let policy = RetryPolicy { budget: self.policy.budget.min(PATIENCE_FOR_ADVICE), ..self.policy };
        held(self.answer(request, policy, Room::Beginning(most)).await?)
    }

    /// Makes `request` once, and waits some seconds for the answer, which has at most `most` bytes.
    ///
    /// # Errors
    /// Unavailable without any answer, Resource if it is too large.
    pub(super) async fn send_once(&self, request: Request, most: u64) -> Result<Reply> {
        let attempt = self.attempt(request, Room::Memory(most));
        match tokio::time::timeout(PATIENCE_FOR_A_PROBE, attempt).await {
            Ok(attempted) => match attempted? {
                Ok(body) => held(Reply::Answer(body)),
                Err(Failure::Refused(refusal, _)) => Ok(Reply::Refused(refusal)),
                Err(Failure::Broken(error)) => Err(error),
            },
            Err(_) => Err(Error::unavailable(format!("{} does not answer in time", self.who))),
        }
    }

    async fn answer(&self, request: &Request, policy: RetryPolicy, room: Room) -> Result<Reply<Body>> {
        let started = Instant::now();
        let mut tries = Tries::default();
        loop {
            let again =
                request.try_clone().ok_or_else(|| Error::internal("a request that cannot be repeated: report it"))?;
            let failure = match self.attempt(again, room).await? {
                Ok(body) => return Ok(Reply::Answer(body)),
                Err(failure) => failure,
            };
            let outcome = match &failure {
                Failure::Broken(_) => Outcome::Network,
                Failure::Refused(refusal, retry_after) => Outcome::Status(refusal.status, *retry_after),
            };
            tries.attempts += 1;
            tries.internal_errors += u32::from(matches!(outcome, Outcome::Status(500, _)));
            tries.elapsed = started.elapsed();
            tries.answered = self.answered.load(Relaxed);
            let wait = match policy.decide(tries, outcome, rand::random()) {
                Decision::Retry(wait) => wait,
                Decision::GiveUp => {
                    return match failure {
                        Failure::Refused(refusal, _) => Ok(Reply::Refused(refusal)),
                        Failure::Broken(error) => Err(with_advice(error)),
                    };
                }
            };
            let error = match failure {
                Failure::Refused(refusal, _) => refusal.as_retried(&self.who),
                Failure::Broken(error) => error,
            };
            let after_ms = wait.as_millis() as u64;
            self.monitor.report(Event::Retry { error: &error, attempt: tries.attempts, after_ms });
            tokio::time::sleep(wait).await;
            self.retries.fetch_add(1, Relaxed);
        }
    }

    /// One attempt. The outer error ends the request, the inner one is for the policy to judge.
    async fn attempt(&self, request: Request, room: Room) -> Result<Result<Body, Failure>> {
        self.requests.fetch_add(1, Relaxed);
        let response = match self.client.execute(request).await {
            Ok(response) => response,
            Err(e) => {
                return match certificates::advice(&e) {
                    // Nothing comes of asking again.
                    Some(advice) => Err(Error::usage(advice).with_source(e.without_url())),
                    None => Ok(Err(Failure::Broken(broken(&format!("{} does not answer", self.who), e)))),
                };
            }
        };
        self.answered.store(true, Relaxed);
        self.note_deprecation(response.headers());
        let date = date(response.headers());
        let offset = date.map(|date| date.0.saturating_sub(Timestamp::now().0));
        *self.clock_offset.lock().unwrap_or_else(PoisonError::into_inner) = offset;
        let status = response.status().as_u16();
        if status == 200 {
            let body = self.body(response, room).await?;
            return Ok(body.map_err(|e| Failure::Broken(broken("the answer was cut off", e))));
        }
        let retry_after = retry_after(response.headers(), Timestamp::now().to_datetime());
        let body = self.beginning(response).await;
        Ok(Err(Failure::Refused(Refusal::new(status, &body, |text| self.keys.redact(text)), retry_after)))
    }

    /// The whole body, read piece by piece so that never more than its share is held. The inner error is the network's.
    async fn body(&self, mut response: Response, room: Room) -> Result<Result<Body, reqwest::Error>> {
        let announced = response.content_length();
        let (memory, most, enough) = match room {
            Room::Memory(memory) => (memory, memory, u64::MAX),
            Room::File(memory) => (memory, u64::MAX, u64::MAX),
            Room::Beginning(enough) => (u64::MAX, u64::MAX, enough),
        };
        if announced.is_some_and(|length| length > most) {
            return Err(too_large(most));
        }
        let announced = announced.map(|length| length.min(enough));
        let mut body = ArrivingBody::new(announced, memory);
        loop {
            if body.length() >= enough {
                return body.finish().await.map(Ok);
            }
            let piece = match response.chunk().await {
                Ok(Some(piece)) => piece,
                Ok(None) => return body.finish().await.map(Ok),
                Err(e) => return Ok(Err(e)),
            };
            self.response_bytes.fetch_add(piece.len() as u64, Relaxed);
            if body.length() + piece.len() as u64 > most {
                return Err(too_large(most));
            }
            body.push(&piece).await?;
        }
    }

    /// The first bytes of an error's body; what breaks off is an error all the same.
    async fn beginning(&self, mut response: Response) -> Vec<u8> {
        let mut body = Vec::new();
        while body.len() < ERROR_BODY {
            let Ok(Some(piece)) = response.chunk().await else { break };
            self.response_bytes.fetch_add(piece.len() as u64, Relaxed);
            body.extend_from_slice(&piece[..piece.len().min(ERROR_BODY - body.len())]);
        }
        body
    }

    fn note_deprecation(&self, headers: &HeaderMap) {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let Some(state) = text(DEPRECATION_STATE) else { return };
        if self.deprecation_told.swap(true, Relaxed) {
            return;
        }
        let said = |text: &str| self.keys.redact(text);
        let (state, message) = (said(state), text(DEPRECATION_MESSAGE).map(said));
        self.monitor.report(Event::Finding(&Finding::Deprecation { who: self.who.clone(), state, message }));
    }
}

fn held(reply: Reply<Body>) -> Result<Reply> {
    match reply {
        Reply::Answer(body) => match body.held() {
            Some(text) => Ok(Reply::Answer(text.clone())),
            None => Err(Error::internal("an answer that was to be kept in memory is in a file: report it")),
        },
        Reply::Refused(refusal) => Ok(Reply::Refused(refusal)),
    }
}

fn too_large(most: u64) -> Error {
    Error::resource(format!(
        "the answer exceeds the {} KiB of memory that it may use: is this the deployment's URL?",
        most >> 10
    ))
}

/// Unavailable, with the innermost cause in the sentence: the outer ones of this client only say that sending failed.
fn broken(what: &str, e: reqwest::Error) -> Error {
    let e = e.without_url();
    let mut cause: &dyn std::error::Error = &e;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let timeout = if e.is_timeout() { " in time" } else { "" };
    Error::unavailable(format!("{what}{timeout} ({cause})")).with_source(e)
}

/// What [`broken`] says, and what to do once repeating has not helped.
fn with_advice(error: Error) -> Error {
    Error::unavailable(format!("{error}: check the URL and the network, or run again later")).with_source(error)
}

/// `Date`, in whole seconds.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let at = DateTime::parse_from_rfc2822(headers.get(DATE)?.to_str().ok()?).ok()?;
    at.timestamp_nanos_opt().map(Timestamp)
}

/// `Retry-After`, in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(text).ok()?;
    Some((at.to_utc() - now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_retry_after_as_seconds_and_as_a_date() {
        let now = DateTime::from_timestamp(1_445_412_400, 0).unwrap();
        let parse = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(parse("120"), Some(Duration::from_secs(120)));
        assert_eq!(parse("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::from_secs(80)));
        assert_eq!(parse("Wed, 21 Oct 2015 07:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(parse("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
