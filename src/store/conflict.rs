//! A store's 409: it asks for the request again, or says that the object exists.
//!
//! S3 and stores that speak like it answer `409 OperationAborted` or `409 ConditionalRequestConflict` while another operation on
//! the object is under way; nothing was written then, and the request is to be made again. The client asks again on its own only
//! where a put is conditional, and takes every other 409 for "it exists", which for a file of random name cannot be.
//!
//! So such an answer becomes 503 on its way to the client, whose own rules for a busy store then hold: pauses, the number of
//! attempts, and in the end an error that says to run again later. That an object exists, of which a race for a commit is told, is left as it
//! is: 412, and 409 to a put that is conditional (Azure's `BlobAlreadyExists`) or names that reason.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::{
    Certificate, ClientOptions, HeaderMap,
    client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector},
};
use reqwest::StatusCode;

use crate::certificates;

use super::sentences::codes;

/// Codes that ask for the request again, also of a conditional one.
const AGAIN: [&str; 2] = ["OperationAborted", "ConditionalRequestConflict"];

/// Headers that make a request conditional.
const CONDITIONS: [&str; 3] = ["if-match", "if-none-match", "x-goog-if-generation-match"];

/// Makes clients that ask again where a store says 409 for a moment, and counts what is asked: repeated requests and those for credentials, too.
#[derive(Debug)]
pub(super) struct Connector(pub(super) Arc<AtomicU64>);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = client(options)?;
        Ok(HttpClient::new(Service { client, requests: Arc::clone(&self.0) }))
    }
}

/// The client that these options ask for, with Mozilla's authorities on a machine that has none.
fn client(options: &ClientOptions) -> object_store::Result<HttpClient> {
    let connector = ReqwestConnector::default();
    let error = match connector.connect(options) {
        Err(error) => error,
        client => return client,
    };
    let Some(authorities) = certificates::instead_of_none(&error) else { return Err(error) };
    let mut options = options.clone();
    for authority in authorities {
        options = options.with_root_certificate(Certificate::from_der(authority)?);
    }
    connector.connect(&options)
}

#[derive(Debug)]
struct Service {
    client: HttpClient,
    requests: Arc<AtomicU64>,
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let conditional = is_conditional(request.headers());
        self.requests.fetch_add(1, Ordering::Relaxed);
        let answer = self.client.execute(request).await?;
        if answer.status() != StatusCode::CONFLICT {
            return Ok(answer);
        }
        let (mut head, body) = answer.into_parts();
        let body = body.bytes().await?;
        if is_to_be_asked_again(&head.headers, &body, conditional) {
            head.status = StatusCode::SERVICE_UNAVAILABLE;
        }
        Ok(HttpResponse::from_parts(head, body.into()))
    }
}

fn is_conditional(headers: &HeaderMap) -> bool {
    CONDITIONS.iter().any(|name| headers.contains_key(*name))
}

fn is_to_be_asked_again(headers: &HeaderMap, body: &Bytes, conditional: bool) -> bool {
    let text = String::from_utf8_lossy(body);
    // Azure has its code in a header too, and a body there need not be.
    let code = headers.get("x-ms-error-code").and_then(|code| code.to_str().ok()).or_else(|| codes(&text).next());
    match code {
        Some(code) if AGAIN.contains(&code) => true,
        // It exists, and may not be replaced.
        Some(code) if code.contains("Exists") || code.contains("Immutable") => false,
        _ => !conditional,
    }
}

#[cfg(test)]
mod tests {
    use object_store::HeaderValue;

    use super::*;

    #[test]
    fn a_conflict_that_passes_is_told_from_an_object_that_exists() {
        let body = |code: &str| Bytes::from(format!("<Error><Code>{code}</Code><Message>x</Message></Error>"));
        for (code, conditional, again) in [
            ("OperationAborted", false, true),
            ("OperationAborted", true, true),
            ("ConditionalRequestConflict", false, true),
            ("ConditionalRequestConflict", true, true),
            ("", false, true),
            ("", true, false),
            ("SomethingNew", false, true),
            ("SomethingNew", true, false),
            ("BlobAlreadyExists", true, false),
            ("FileAlreadyExists", false, false),
            ("BlobImmutableDueToPolicy", false, false),
        ] {
            let body = if code.is_empty() { Bytes::new() } else { body(code) };
            let none = HeaderMap::new();
            assert_eq!(is_to_be_asked_again(&none, &body, conditional), again, "{code} {conditional}");
        }
        let azure: HeaderMap =
            [("x-ms-error-code".parse().unwrap(), HeaderValue::from_static("BlobAlreadyExists"))].into_iter().collect();
        assert!(!is_to_be_asked_again(&azure, &Bytes::new(), false));
    }
}
