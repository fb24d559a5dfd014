//! One request, made until it is answered: retries, a bounded body, and what the answers' headers say.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use reqwest::{
    Request, Response,
    header::{HeaderMap, RETRY_AFTER},
    redirect,
};

use super::{
    keys::Keys,
    protocol::{DEPRECATION_MESSAGE, DEPRECATION_STATE},
    refusal::Refusal,
    retry::{Decision, Outcome, RetryPolicy, Tries},
};
use crate::{
    error::{Error, Result},
    monitor::{Event, Monitor},
};

/// The server gives up after 300 s (`HTTP_SERVER_TIMEOUT_SECONDS`), and until then it may send nothing at all.
const SILENCE: Duration = Duration::from_secs(330);
const CONNECT: Duration = Duration::from_secs(20);
/// How much of an error's body is read.
const ERROR_BODY: usize = 16 << 10;

/// What came of a request.
pub(super) enum Reply {
    /// The whole body of a 200.
    Answer(Bytes),
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

/// Makes requests.
pub(super) struct Http {
    client: reqwest::Client,
    policy: RetryPolicy,
    monitor: Arc<dyn Monitor>,
    /// Never shown, should a server repeat them.
    keys: Arc<Keys>,
    /// Who is asked, for texts: `the deployment`, or a host.
    who: String,
    /// Largest body, bytes.
    max_body: u64,
    requests: AtomicU64,
    response_bytes: AtomicU64,
    answered: AtomicBool,
    deprecation_told: AtomicBool,
}

impl Http {
    /// `who` is asked, in words. `loopback`: it is on this machine, so no proxy of the environment stands between.
    pub(super) fn new(
        who: &str,
        keys: Arc<Keys>,
        policy: RetryPolicy,
        max_body: u64,
        loopback: bool,
        monitor: Arc<dyn Monitor>,
    ) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("convex-archiver/", env!("CARGO_PKG_VERSION")))
            // The deploy key goes to the host that was named, and nowhere else.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .tcp_keepalive(Duration::from_secs(30));
        if loopback {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|e| Error::internal("cannot set up an HTTP client").with_source(e))?;
        Ok(Self {
            client,
            policy,
            monitor,
            keys,
            who: who.to_owned(),
            max_body,
            requests: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
            answered: AtomicBool::new(false),
            deprecation_told: AtomicBool::new(false),
        })
    }

    pub(super) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// Requests made, repeated ones included.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Bytes of all bodies, uncompressed, broken ones included.
    pub(super) fn response_bytes(&self) -> u64 {
        self.response_bytes.load(Relaxed)
    }

    /// Makes `request` until it is answered or the policy gives up.
    ///
    /// # Errors
    /// Unavailable without any answer, Resource for a body that is too large.
    pub(super) async fn send(&self, request: &Request) -> Result<Reply> {
        let started = Instant::now();
        let mut tries = Tries::default();
        loop {
            let again =
                request.try_clone().ok_or_else(|| Error::internal("a request that cannot be repeated: report it"))?;
            let failure = match self.attempt(again).await? {
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
            let wait = match self.policy.decide(tries, outcome, rand::random()) {
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
        }
    }

    /// One attempt. The outer error ends the request, the inner one is for the policy to judge.
    async fn attempt(&self, request: Request) -> Result<Result<Bytes, Failure>> {
        self.requests.fetch_add(1, Relaxed);
        let response = match self.client.execute(request).await {
            Ok(response) => response,
            Err(e) => return Ok(Err(Failure::Broken(broken(&format!("{} does not answer", self.who), e)))),
        };
        self.answered.store(true, Relaxed);
        self.note_deprecation(response.headers());
        let status = response.status().as_u16();
        if status == 200 {
            let body = self.body(response).await?;
            return Ok(body.map_err(|e| Failure::Broken(broken("the answer broke off", e))));
        }
        let retry_after = retry_after(response.headers(), Utc::now());
        let body = self.beginning(response).await;
        Ok(Err(Failure::Refused(Refusal::new(status, &body, |text| self.keys.redact(text)), retry_after)))
    }

    /// The whole body, read piece by piece so that it never holds more than the limit. The inner error is the network's.
    async fn body(&self, mut response: Response) -> Result<Result<Bytes, reqwest::Error>> {
        let limit = usize::try_from(self.max_body).unwrap_or(usize::MAX);
        let announced = response.content_length();
        if let Some(length) = announced.filter(|length| *length > self.max_body) {
            return Err(self.too_large(Some(length)));
        }
        // The announcement spares the doubling; it is not trusted with more than it can be worth.
        let mut body = Vec::with_capacity(announced.map_or(64 << 10, |length| length as usize).min(limit));
        loop {
            let piece = match response.chunk().await {
                Ok(Some(piece)) => piece,
                Ok(None) => return Ok(Ok(Bytes::from(body))),
                Err(e) => return Ok(Err(e)),
            };
            self.response_bytes.fetch_add(piece.len() as u64, Relaxed);
            let length = body.len() + piece.len();
            if length > limit {
                return Err(self.too_large(None));
            }
            if length > body.capacity() {
                let capacity = (2 * body.capacity()).max(length).min(limit);
                body.reserve_exact(capacity - body.len());
            }
            body.extend_from_slice(&piece);
        }
    }

    fn too_large(&self, length: Option<u64>) -> Error {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let (has, raise) = match length {
            Some(length) => (format!("{} MiB", mib(length)), format!(" to at least {}MiB", mib(length) * 4)),
            None => (format!("more than {} MiB", mib(self.max_body)), String::new()),
        };
        Error::resource(format!(
            "the page has {has}, and one page may take {} MiB, a quarter of the memory limit: raise --memory-limit{raise}",
            mib(self.max_body)
        ))
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
        let message =
            format!("{} announces a change ({state}): {}", self.who, text(DEPRECATION_MESSAGE).unwrap_or("no text"));
        self.monitor.report(Event::Warning { message: &self.keys.redact(&message) });
    }
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
