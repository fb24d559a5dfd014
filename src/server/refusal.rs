//! Answers that are no pages: `{"code":"…","message":"…"}` with a status, as Convex spells them.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::error::{Error, ErrorKind};

/// A request that is not answered with a page.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

#[derive(Serialize)]
struct Body<'a> {
    code: &'a str,
    message: &'a str,
}

impl Refusal {
    pub(crate) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.into() }
    }

    pub(crate) fn unauthorized(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, code, message: message.into() }
    }

    pub(crate) fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, code, message: message.into() }
    }

    pub(crate) fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, code, message: message.into() }
    }

    /// Of an error of kind Window a refusal with this code; of any other what Convex answers.
    pub(crate) fn outside(code: &'static str, error: Error) -> Self {
        match error.kind() {
            ErrorKind::Window => Self::bad_request(code, error.to_string()),
            _ => error.into(),
        }
    }

    /// What Convex answers to every error that bears no code of its own, a bad table name and a negative cursor included.
    pub(crate) fn internal() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "InternalServerError",
            message: "Your request couldn't be completed. Try again later.".to_owned(),
        }
    }
}

impl From<Error> for Refusal {
    /// The cause goes to the log, not to the client.
    fn from(error: Error) -> Self {
        tracing::error!(%error, "cannot answer a request");
        Self::internal()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(Body { code: self.code, message: &self.message })).into_response()
    }
}
