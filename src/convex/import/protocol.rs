//! The requests of an import, exactly as the server spells them; serde only.
//!
//! Source: `crates/local_backend/src/snapshot_import.rs` and `npm-packages/convex/src/cli/lib/convexImport.ts` of
//! get-convex/convex-backend (commit 94a42c3d).

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

pub(super) const START_UPLOAD: &str = "/api/import/start_upload";
pub(super) const UPLOAD_PART: &str = "/api/import/upload_part";
pub(super) const FINISH_UPLOAD: &str = "/api/import/finish_upload";
pub(super) const PERFORM: &str = "/api/perform_import";
pub(super) const CANCEL: &str = "/api/cancel_import";
pub(super) const QUERY: &str = "/api/query";
/// The system query that tells how far an import is.
pub(super) const QUERY_IMPORT: &str = "_system/cli/queryImport";
/// The one that lists all imports.
pub(super) const LIST_IMPORTS: &str = "_system/cli/queryImport:list";

/// Answer of [`START_UPLOAD`].
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Started {
    pub(super) upload_token: String,
}

/// Parameters of [`UPLOAD_PART`], whose answer is a token as a JSON string.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    pub(super) upload_token: &'a str,
    pub(super) part_number: usize,
}

/// Body of [`FINISH_UPLOAD`].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finish<'a> {
    pub(super) import: How,
    pub(super) upload_token: &'a str,
    pub(super) part_tokens: &'a [serde_json::Value],
}

/// How it is imported.
#[derive(Serialize)]
pub(super) struct How {
    pub(super) mode: &'static str,
    pub(super) format: &'static str,
}

/// An import by its id: answer of [`FINISH_UPLOAD`], body of [`PERFORM`] and [`CANCEL`], argument of [`QUERY_IMPORT`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named {
    pub(super) import_id: String,
}

/// Body of [`QUERY`].
#[derive(Serialize)]
pub(super) struct SystemQuery<'a, A> {
    pub(super) path: &'a str,
    pub(super) format: &'static str,
    pub(super) args: [A; 1],
}

/// No arguments.
#[derive(Serialize)]
pub(super) struct Nothing {}

/// Answer of [`QUERY`].
#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub(super) enum Answer<T> {
    Success { value: T },
    Error { error_message: String },
}

/// What [`QUERY_IMPORT`] tells; of [`LIST_IMPORTS`] a list of it.
#[derive(Deserialize)]
pub(super) struct Told {
    pub(super) state: State,
}

/// How far an import is.
#[derive(Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum State {
    Uploaded,
    WaitingForConfirmation {
        #[serde(default)]
        message_to_confirm: Option<String>,
    },
    InProgress {
        #[serde(default)]
        progress_message: Option<String>,
    },
    Completed {
        num_rows_written: Number,
    },
    Failed {
        error_message: String,
    },
    #[serde(other)]
    Unknown,
}

/// An int64 in Convex's encoding, or a plain number.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Number {
    Integer {
        #[serde(rename = "$integer")]
        integer: String,
    },
    Plain(f64),
}

impl Number {
    /// As a count; 0 if it is none.
    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Integer { integer } => {
                let bytes = STANDARD.decode(integer).ok().and_then(|bytes| bytes.try_into().ok());
                bytes.map_or(0, u64::from_le_bytes)
            }
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
            Self::Plain(number) => *number as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_as_the_server_spells_them() {
        let read = |text: &str| serde_json::from_str::<Answer<Told>>(text).unwrap();
        let completed = r#"{"status":"success","value":{"_id":"x","state":{"state":"completed","num_rows_written":{"$integer":"EAAAAAAAAAA="},"x":1}},"logLines":[]}"#;
        let Answer::Success { value: Told { state: State::Completed { num_rows_written } } } = read(completed) else {
            panic!()
        };
        assert_eq!(num_rows_written.count(), 16);
        let error = read(r#"{"status":"error","errorMessage":"no","logLines":[]}"#);
        assert!(matches!(error, Answer::Error { error_message } if error_message == "no"));
        let odd = read(r#"{"status":"success","value":{"state":{"state":"resting"}}}"#);
        assert!(matches!(odd, Answer::Success { value: Told { state: State::Unknown } }));
    }
}
