//! [`ImportState`]: how far an import is, as the system query of Convex tells it.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// How far an import is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ImportState {
    /// It is asked whether it shall be performed.
    WaitingForConfirmation(String),
    /// It is being performed.
    InProgress(u64),
    /// So many documents were written.
    Completed(u64),
    /// It was refused, or cancelled.
    Failed(String),
}

impl ImportState {
    /// In Convex's JSON encoding.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::WaitingForConfirmation(question) => json!({
                "state": "waiting_for_confirmation",
                "message_to_confirm": question,
                "require_manual_confirmation": !question.is_empty(),
            }),
            Self::InProgress(written) => json!({
                "state": "in_progress",
                "progress_message": format!("Importing ({written} documents)"),
                "checkpoint_messages": [],
            }),
            Self::Completed(written) => json!({
                "state": "completed",
                "num_rows_written": { "$integer": STANDARD.encode(written.to_le_bytes()) },
            }),
            Self::Failed(message) => json!({ "state": "failed", "error_message": message }),
        }
    }
}
