//! What the deployment says when it does not give an answer, and what the person has to do about it.
//!
//! Codes decide, never texts: the wording of messages has changed over time. They were seen on a running backend
//! (commit 94a42c3d) or read in its `crates/errors`, `crates/authentication` and `crates/local_backend`.

use std::fmt;

use super::protocol::ErrorBody;
use crate::error::{Error, ErrorKind};

/// An answer that is no answer: a status other than 200, after all retries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::convex) struct Refusal {
    pub(in crate::convex) status: u16,
    /// `code` of the body; empty if the body is no JSON of that form.
    pub(in crate::convex) code: String,
    /// `message` of the body, or what the body is instead; one line, cut, without the deploy key.
    pub(in crate::convex) message: String,
    /// The body is a page for people. The deployment itself never sends one for these routes.
    html: bool,
    /// What was tried in vain about it, for the person.
    tried: Option<String>,
}

/// Longest piece of a message that is shown, characters.
const SHOWN: usize = 300;

impl Refusal {
    /// From the beginning of the body. `redact` removes the deploy key, should a server repeat it.
    pub(in crate::convex) fn new(status: u16, body: &[u8], redact: impl Fn(&str) -> String) -> Self {
        if let Ok(ErrorBody { code, message }) = serde_json::from_slice(body) {
            return Self {
                status,
                code: line(&redact(&code)),
                message: line(&redact(&message)),
                html: false,
                tried: None,
            };
        }
        let text = String::from_utf8_lossy(body);
        let (text, html) = (text.trim_start(), text.trim_start().starts_with('<'));
        let message = match text {
            "" => "no body".to_owned(),
            _ if html => "an HTML page, so it is from a proxy in front of it".to_owned(),
            other => line(&redact(other)),
        };
        Self { status, code: String::new(), message, html, tried: None }
    }

    /// With what was tried in vain about it.
    pub(in crate::convex) fn tried(self, tried: Option<String>) -> Self {
        Self { tried, ..self }
    }

    /// Whether it came after the retries of something that may pass.
    pub(in crate::convex) fn may_pass(&self) -> bool {
        matches!(self.status, 408 | 421 | 425 | 429 | 500..)
    }

    /// Whether it says that the server takes no JSON (400, 415) or no POST (404, 405) there.
    pub(in crate::convex) fn means_no_post(&self) -> bool {
        matches!(self.status, 404 | 405 | 415) || self.code == "BadJsonBody"
    }

    /// The error for the person: what it means, what to do, what the deployment said.
    pub(in crate::convex) fn into_error(self) -> Error {
        let (kind, advice) = self.meaning();
        let tried = self.tried.as_ref().map(|tried| format!("; {tried}")).unwrap_or_default();
        Error::new(kind, format!("{advice} (the deployment answered {self}{tried})"))
    }

    /// The same for a request that is made again: what `who` said, without what to do once it does not help.
    pub(in crate::convex) fn as_retried(&self, who: &str) -> Error {
        Error::new(self.meaning().0, format!("{who} answered {self}"))
    }

    fn meaning(&self) -> (ErrorKind, &'static str) {
        use ErrorKind::{Access, Internal, Protocol, Unavailable, Unsupported, Usage, Window};
        match self.code.as_str() {
            "StreamingExportNotEnabled" => {
                return (
                    Access,
                    "streaming export is not part of this deployment's plan: it needs Convex Professional or higher (self-hosted: \
                     CONVEX_ENABLE_STREAMING_EXPORT=true)",
                );
            }
            "OperationNotPermitted" => {
                return (
                    Access,
                    "the deploy key lacks a permission: create one with `deployment:data:view` in the dashboard",
                );
            }
            "BadAdminKey" => {
                return (Access, "the deployment does not know this deploy key: create a new one for this deployment");
            }
            "BadDeployKey" => return (Access, "the deploy key belongs to another deployment, or is not one"),
            "InvalidHeaderFailure" | "InvalidAuthHeader" => {
                return (Access, "the deploy key does not have the form of a deploy key: copy the whole of it");
            }
            "SnapshotTooOld" => {
                return (
                    Window,
                    "the unfinished snapshot is older than the deployment serves (5 days): run again, which begins a \
                     new one",
                );
            }
            "InvalidWindowToReadDocuments" => {
                return (Window, "the changes asked for are older than the deployment keeps (14 days by default)");
            }
            "SnapshotTooNew" => {
                return (
                    Protocol,
                    "the snapshot lies in the deployment's future: was it restored from a backup, or is this another deployment?",
                );
            }
            "InvalidListSnapshotCursor" => {
                return (
                    Window,
                    "the deployment does not know the position at which its snapshot stopped (was it restored or moved \
                     since?): run again, which begins a new one",
                );
            }
            "BadFormat" => {
                return (
                    Unsupported,
                    "the deployment supports none of the encodings convex_encoded_json, export_json, json: upgrade it, \
                     or report it",
                );
            }
            "InvalidClientVersion" | "ClientVersionUnsupported" => {
                return (Unsupported, "the deployment refuses this version of the program: upgrade it");
            }
            "DocumentDeltasCursorRequired" | "BadQueryArgs" | "BadJsonBody" => {
                return (Internal, "the deployment does not understand a request of this program: report it");
            }
            "TableSummariesUnavailable" => {
                return (
                    Unavailable,
                    "the deployment has just started and does not know its tables yet: run again in a few minutes",
                );
            }
            "NoSchemaForExport" | "NoTableDefinitionForExport" | "UnsupportedSchemaForExport" => {
                return (
                    Protocol,
                    "the deployment cannot describe the shapes of its tables, which are used only as a hint: report it",
                );
            }
            _ => {}
        }
        match self.status {
            400..=403 | 405..=407 | 409..=420 if self.html => (
                Access,
                "a proxy or firewall in front of the deployment refuses the request: allow it there, or check the URL",
            ),
            401 | 403 => (Access, "the deployment refuses the deploy key: check the key and its permissions"),
            404 => (
                Usage,
                "there is no Convex deployment with streaming export at this URL: check the URL (NAME.convex.cloud, \
                 not NAME.convex.site)",
            ),
            409 => {
                (Unavailable, "the request conflicts with an operation in progress in the deployment: run again later")
            }
            300..=399 => (Usage, "the URL redirects elsewhere: give the deployment's own URL"),
            429 => (Unavailable, "the deployment asks for fewer requests: run again later"),
            408 => (Unavailable, "the deployment repeatedly took too long: run again later, which resumes from here"),
            500 => (
                Unavailable,
                "the deployment failed in a way that it does not explain: run again later, and report it if it \
                 persists",
            ),
            502..=504 if self.html => {
                (Unavailable, "a proxy cannot reach the deployment: run again later, or check the URL if it persists")
            }
            521..=524 => (Unavailable, "the network of the deployment's host cannot reach it: run again later"),
            421 | 425 | 501.. => (Unavailable, "the deployment is not available: run again later"),
            _ => {
                (Protocol, "the deployment refuses the request for a reason that this program does not know: report it")
            }
        }
    }
}

/// `503 TableSummariesUnavailable: …`
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gap = if self.code.is_empty() { "" } else { " " };
        write!(f, "{}{gap}{}: {}", self.status, self.code, self.message)
    }
}

/// One line of at most [`SHOWN`] characters, without control characters.
fn line(text: &str) -> String {
    let mut line: String = text.trim().chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.trim().chars().nth(SHOWN).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_of_the_table_gets_its_kind_and_says_what_to_do() {
        use ErrorKind::{Access, Internal, Protocol, Unavailable, Unsupported, Usage, Window};
        let json = |code: &str| format!(r#"{{"code":"{code}","message":"Why."}}"#);
        // status, body, kind, a piece of the sentence
        let table = [
            (403, json("StreamingExportNotEnabled"), Access, "Convex Professional"),
            (403, json("OperationNotPermitted"), Access, "`deployment:data:view`"),
            (401, json("BadAdminKey"), Access, "create a new one"),
            (403, json("BadDeployKey"), Access, "another deployment"),
            (400, json("InvalidHeaderFailure"), Access, "copy the whole of it"),
            (401, json("InvalidAuthHeader"), Access, "copy the whole of it"),
            (403, json("SomethingNew"), Access, "check the key"),
            (400, json("InvalidListSnapshotCursor"), Window, "the position at which"),
            (400, json("SnapshotTooOld"), Window, "5 days"),
            (400, json("SnapshotTooNew"), Protocol, "future"),
            (400, json("InvalidWindowToReadDocuments"), Window, "14 days"),
            (400, json("DocumentDeltasCursorRequired"), Internal, "report it"),
            (400, json("BadQueryArgs"), Internal, "report it"),
            (400, json("BadFormat"), Unsupported, "supports none of the encodings"),
            (403, "<html>".into(), Access, "a proxy or firewall"),
            (404, "<html>".into(), Usage, "convex.site"),
            (409, json("OptimisticConcurrencyControlFailure"), Unavailable, "run again later"),
            (400, json("InvalidClientVersion"), Unsupported, "upgrade"),
            (400, json("ClientVersionUnsupported"), Unsupported, "upgrade"),
            (400, json("NoSchemaForExport"), Protocol, "shapes"),
            (400, json("SomethingNew"), Protocol, "400 SomethingNew: Why."),
            (404, String::new(), Usage, "convex.site"),
            (302, String::new(), Usage, "own URL"),
            (408, String::new(), Unavailable, "408: no body"),
            (429, json("TooManyRequests"), Unavailable, "fewer requests"),
            (500, json("InternalServerError"), Unavailable, "report it if it persists"),
            (502, "<html><h1>Bad".into(), Unavailable, "cannot reach the deployment: run again later"),
            (504, "<html>".into(), Unavailable, "504: an HTML page"),
            (503, json("TableSummariesUnavailable"), Unavailable, "in a few minutes"),
            (503, json("Overloaded"), Unavailable, "run again later"),
            (522, "error code: 522".into(), Unavailable, "error code: 522"),
        ];
        for (status, body, kind, text) in table {
            let error = Refusal::new(status, body.as_bytes(), str::to_owned).into_error();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn no_recorded_refusal_is_a_stranger() {
        let recording = crate::convex::recording::Recording::open("types");
        let refusals: Vec<_> = recording.exchanges.iter().filter(|e| e.status != 200).collect();
        assert_eq!(refusals.len(), 28);
        for e in refusals {
            let error = Refusal::new(e.status, e.body.as_bytes(), str::to_owned).into_error();
            assert!(!error.to_string().contains("does not know: report it"), "{error}");
        }
    }

    #[test]
    fn a_message_stays_one_short_line() {
        let body = format!("a\nb\u{1b}[31m{}", "x".repeat(1000));
        let refusal = Refusal::new(418, body.as_bytes(), str::to_owned);
        assert!(refusal.message.starts_with("a b [31mxxx"));
        assert_eq!(refusal.message.chars().count(), SHOWN + 1);
    }
}
