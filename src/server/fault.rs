//! Answers that a deployment, or what stands before it, gives instead of the true one: plain data.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};

use super::refusal::Refusal;

/// An answer that some requests get instead of the true one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The route that gives it, `/api/list_snapshot`; every route, where none is named.
    pub path: Option<String>,
    /// So many requests of the route are answered truly before.
    pub after: u64,
    /// So many get it then; the others are answered truly again.
    pub times: u64,
    /// Status of the answer; it becomes a 500 if it is none.
    pub status: u16,
    /// Headers of the answer. Those that cannot be sent are left out.
    pub headers: Vec<(String, String)>,
    /// Body of the answer.
    pub body: String,
}

impl Fault {
    /// Every request of every route gets this status with an empty body, as a timeout does.
    pub fn status(status: u16) -> Self {
        Self { path: None, after: 0, times: u64::MAX, status, headers: Vec::new(), body: String::new() }
    }

    /// A refusal as Convex spells it.
    pub fn refusal(status: u16, code: &str) -> Self {
        let body = serde_json::json!({ "code": code, "message": "Refused by the simulation." });
        Self { body: body.to_string(), ..Self::status(status) }.with_header("content-type", "application/json")
    }

    /// A page for people, as proxies send it.
    pub fn html(status: u16) -> Self {
        let body = "<!DOCTYPE html><html><head><title>Proxy</title></head></html>".to_owned();
        Self { body, ..Self::status(status) }.with_header("content-type", "text/html")
    }

    /// With one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// On one route only.
    #[must_use]
    pub fn on(self, path: &str) -> Self {
        Self { path: Some(path.to_owned()), ..self }
    }

    /// After so many true answers.
    #[must_use]
    pub fn after(self, requests: u64) -> Self {
        Self { after: requests, ..self }
    }

    /// So many times.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    fn answer(&self) -> Response {
        let Ok(status) = StatusCode::from_u16(self.status) else { return Refusal::internal().into_response() };
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.status_mut() = status;
        for (name, value) in &self.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value)) {
                response.headers_mut().insert(name, value);
            }
        }
        if self.body.is_empty() {
            response.headers_mut().remove(CONTENT_TYPE);
        }
        response
    }
}

/// The faults of a router, each with the number of requests that could have got it.
#[derive(Debug)]
pub(crate) struct Faults(Vec<(Fault, AtomicU64)>);

impl Faults {
    pub(crate) fn new(faults: Vec<Fault>) -> Self {
        Self(faults.into_iter().map(|fault| (fault, AtomicU64::new(0))).collect())
    }

    /// The answer to this request, if it is to be no true one: that of the first fault whose turn it is. Every fault of the
    /// route counts it.
    pub(crate) fn answer(&self, path: &str) -> Option<Response> {
        let mut answer = None;
        for (fault, seen) in &self.0 {
            if fault.path.as_deref().is_some_and(|of| of != path) {
                continue;
            }
            let number = seen.fetch_add(1, Ordering::Relaxed);
            if answer.is_none() && number.checked_sub(fault.after).is_some_and(|n| n < fault.times) {
                answer = Some(fault.answer());
            }
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_its_turn_and_then_the_truth_comes_again() {
        let faults =
            Faults::new(vec![Fault::status(503).after(1).times(2).on("/a"), Fault::html(502).after(4).times(1)]);
        let answers: Vec<_> =
            ["/a", "/b", "/a", "/a", "/a", "/a"].map(|path| faults.answer(path).map(|r| r.status().as_u16())).into();
        assert_eq!(answers, [None, None, Some(503), Some(503), Some(502), None]);
    }
}
