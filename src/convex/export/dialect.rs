//! What the deployment understands, as far as it has shown: learned from refusals, remembered as long as the client lives.

use std::sync::{Mutex, PoisonError};

use crate::{convex::wire::refusal::Refusal, document::Encoding, monitor::Finding};

/// From the one that is lossless anywhere to the one that every server has.
const ENCODINGS: [Encoding; 3] = [Encoding::ConvexEncodedJson, Encoding::ExportJson, Encoding::Json];

/// How to speak to the deployment.
#[derive(Debug)]
pub(super) struct Dialect(Mutex<State>);

#[derive(Debug, Clone)]
struct State {
    encoding: Encoding,
    refused: Vec<Encoding>,
    /// Whether a selection is worth posting.
    selects: bool,
}

/// What a refusal says about the words of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lesson {
    /// It was not about the words.
    None,
    /// To ask again in other ones. The first time there is something to tell.
    AskAgain(Option<Finding>),
}

impl Dialect {
    /// Begins with `encoding`, and with the hope that selections are heeded.
    pub(super) fn new(encoding: Encoding) -> Self {
        Self(Mutex::new(State { encoding, refused: Vec::new(), selects: true }))
    }

    /// The encoding to ask for.
    pub(super) fn encoding(&self) -> Encoding {
        self.with(|state| state.encoding)
    }

    /// Whether a selection is worth posting.
    pub(super) fn selects(&self) -> bool {
        self.with(|state| state.selects)
    }

    /// Whether to ask again in other words, after a refusal of a request for `encoding` that perhaps `posted` a selection.
    pub(super) fn learn(&self, refusal: &Refusal, encoding: Encoding, posted: bool) -> Lesson {
        if refusal.code == "BadFormat" {
            return self.with(|state| state.do_without(encoding));
        }
        if !posted || !refusal.means_no_post() {
            return Lesson::None;
        }
        let why = format!("{} {}", refusal.status, refusal.code).trim_end().to_owned();
        Lesson::AskAgain(self.stop_selecting(Some(why)))
    }

    /// It sent what had not been asked for: the next request is without a selection. What to tell, the first time.
    pub(super) fn selection_was_ignored(&self) -> Option<Finding> {
        self.stop_selecting(None)
    }

    fn stop_selecting(&self, refusal: Option<String>) -> Option<Finding> {
        let first = self.with(|state| std::mem::replace(&mut state.selects, false));
        first.then_some(Finding::SelectionNotHeeded { refusal })
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn do_without(&mut self, encoding: Encoding) -> Lesson {
        if self.encoding != encoding {
            // Another request has heard it meanwhile.
            return Lesson::AskAgain(None);
        }
        self.refused.push(encoding);
        let Some(next) = ENCODINGS.into_iter().find(|other| !self.refused.contains(other)) else { return Lesson::None };
        self.encoding = next;
        Lesson::AskAgain(Some(match next {
            Encoding::Json => Finding::TypesLost { before: encoding },
            _ => Finding::OtherEncoding { before: encoding, now: next },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, code: &str) -> Refusal {
        Refusal::new(status, format!(r#"{{"code":"{code}","message":""}}"#).as_bytes(), str::to_owned)
    }

    /// The text of a lesson that is told.
    fn told(lesson: Lesson) -> String {
        let Lesson::AskAgain(Some(finding)) = lesson else { panic!("{lesson:?}") };
        finding.to_string()
    }

    #[test]
    fn encodings_are_given_up_one_after_another_and_each_is_told_once() {
        use Encoding::{ConvexEncodedJson, ExportJson, Json};
        let bad = refusal(400, "BadFormat");
        let dialect = Dialect::new(ConvexEncodedJson);
        let first = told(dialect.learn(&bad, ConvexEncodedJson, false));
        assert!(first.contains("export_json") && first.contains("is lossless"), "{first}");
        let under_way = dialect.learn(&bad, ConvexEncodedJson, false);
        assert_eq!((under_way, dialect.encoding()), (Lesson::AskAgain(None), ExportJson));
        assert!(told(dialect.learn(&bad, ExportJson, false)).contains("LOSES TYPES"));
        assert_eq!((dialect.learn(&bad, Json, false), dialect.encoding()), (Lesson::None, Json));

        let asked_for_another = Dialect::new(ExportJson);
        asked_for_another.learn(&bad, ExportJson, false);
        assert_eq!(asked_for_another.encoding(), ConvexEncodedJson);
    }

    #[test]
    fn a_refused_post_ends_the_selecting_and_another_refusal_does_not() {
        let format = Encoding::ConvexEncodedJson;
        for (status, code, ends) in [
            (404, "", true),
            (405, "", true),
            (415, "", true),
            (400, "BadJsonBody", true),
            (400, "SnapshotTooOld", false),
            (403, "OperationNotPermitted", false),
            (500, "InternalServerError", false),
        ] {
            let dialect = Dialect::new(format);
            assert_eq!(dialect.learn(&refusal(status, code), format, false), Lesson::None, "{status}: a GET");
            let lesson = dialect.learn(&refusal(status, code), format, true);
            assert_eq!((lesson == Lesson::None, dialect.selects()), (!ends, !ends), "{status} {code}");
            assert_eq!(dialect.selection_was_ignored().is_some(), !ends, "told once");
        }
    }
}
