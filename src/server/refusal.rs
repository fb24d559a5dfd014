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
    /// What went wrong here, if it did. Not for the client.
    cause: Option<Cause>,
}

/// Why a request could not be answered: rides on the answer to whoever tells the monitor.
#[derive(Debug, Clone)]
pub(crate) struct Cause(pub(crate) String);

#[derive(Serialize)]
struct Body<'a> {
    code: &'a str,
    message: &'a str,
}

impl Refusal {
    pub(crate) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.into(), cause: None }
    }

    pub(crate) fn unauthorized(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, code, message: message.into(), cause: None }
    }

    pub(crate) fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, code, message: message.into(), cause: None }
    }

    pub(crate) fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, code, message: message.into(), cause: None }
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
            cause: None,
        }
    }
}

impl From<Error> for Refusal {
    /// The cause goes to the monitor, not to the client.
    fn from(error: Error) -> Self {
        Self { cause: Some(Cause(error.to_string())), ..Self::internal() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(Body { code: self.code, message: &self.message })).into_response();
        if let Some(cause) = self.cause {
            response.extensions_mut().insert(cause);
        }
        response
    }
}
