//! Tells a service of a run: a dead man's switch that somebody watches, or a webhook.
//!
//! Whoever knows the URL of such a service can silence it, so it stands in no message: the host alone does.

use std::{fmt, time::Duration};

use reqwest::{StatusCode, header::CONTENT_TYPE, redirect};
use serde_json::Value;
use url::Url;

use crate::{
    certificates,
    error::{Error, ErrorKind, Result},
};

/// Attempts in all, and the pause between them.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);
/// For one attempt.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A service that is told of runs.
#[derive(Clone, PartialEq, Eq)]
pub struct Service {
    url: Url,
}

impl Service {
    /// The service at this URL.
    ///
    /// # Errors
    /// Usage, if it is no URL of `http` or `https`.
    pub fn new(url: &str) -> Result<Self> {
        // What is wrong with it may be near a secret, so it is not shown.
        let no = || Error::usage("the URL of a service to notify must begin with https:// or http:// and name a host");
        let url = Url::parse(url.trim()).map_err(|_| no())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(no());
        }
        Ok(Self { url })
    }

    /// The same service, with one more segment at the end of the path: `start`, say.
    #[must_use]
    pub fn below(&self, segment: &str) -> Self {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(segment);
        }
        Self { url }
    }

    /// Sends a POST with `body` as JSON. Three attempts of at most 10 seconds are made.
    ///
    /// # Errors
    /// Unavailable, if it did not answer with a 2xx; Usage, if it refused for good (a 4xx).
    pub async fn tell(&self, body: Option<&Value>) -> Result<()> {
        let builder = || {
            let builder = reqwest::Client::builder()
                .user_agent(concat!("convex-archiver/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::limited(3))
                .timeout(TIMEOUT);
            // Without TLS no certificates are needed.
            if self.url.scheme() == "http" { builder.tls_certs_only([]) } else { builder }
        };
        let client = certificates::client(builder).map_err(|e| {
            let advice = certificates::advice(&e).unwrap_or("cannot set up an HTTP client");
            Error::usage(advice).with_source(e.without_url())
        })?;
        let mut attempt = 1;
        loop {
            match self.attempt(&client, body).await {
                Err(error) if attempt < ATTEMPTS && error.kind() == ErrorKind::Unavailable => {
                    tokio::time::sleep(PAUSE).await;
                    attempt += 1;
                }
                told => return told,
            }
        }
    }

    async fn attempt(&self, client: &reqwest::Client, body: Option<&Value>) -> Result<()> {
        let mut request = client.post(self.url.clone());
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let answer = request.send().await.map_err(|e| {
            let advice = certificates::advice(&e).map(|advice| format!(": {advice}")).unwrap_or_default();
            Error::unavailable(format!("{self} did not answer{advice}")).with_source(e.without_url())
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let what = format!("{self} answered {}", status.as_u16());
        let again =
            status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        Err(if again { Error::unavailable(what) } else { Error::usage(what) })
    }
}

/// The host alone.
impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.host_str().unwrap_or_default())
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_added_to_the_path_and_the_rest_stays() {
        for (url, expected) in [
            ("https://hc.example/uuid-1", "https://hc.example/uuid-1/start"),
            ("https://hc.example/uuid-1/", "https://hc.example/uuid-1/start"),
            ("https://hc.example:8000/a/b?token=x", "https://hc.example:8000/a/b/start?token=x"),
            ("http://localhost", "http://localhost/start"),
        ] {
            assert_eq!(Service::new(url).unwrap().below("start").url.as_str(), expected);
        }
    }

    #[test]
    fn what_is_no_url_is_refused_and_nothing_but_the_host_is_ever_shown() {
        for url in ["", "hc.example/secret", "ftp://hc.example/secret", "https://", "mailto:secret@example.org"] {
            let error = Service::new(url).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        let service = Service::new("https://user:secret@hc.example/secret?token=secret").unwrap();
        assert_eq!((service.to_string(), format!("{service:?}")), ("hc.example".into(), "Service(hc.example)".into()));
    }
}
