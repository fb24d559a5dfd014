//! The fields that changed from one revision of a document to another, as `history` and `diff` print them.

use std::fmt::Write;

use convex_archiver::{Result, Value, read::FieldChange};
use serde::Serialize;
use serde_json::value::RawValue;

use super::past;

/// A field that changed, as JSON.
#[derive(Serialize)]
pub(super) struct Field {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Box<RawValue>>,
}

/// For people.
pub(super) fn lines(text: &mut String, changes: &[FieldChange<'_>], marks: bool) {
    for FieldChange { path, before, after } in changes {
        let _ = match (before, after) {
            (Some(before), Some(after)) => {
                writeln!(text, "  ~ {path}: {} -> {}", past::value(before), past::value(after))
            }
            (Some(before), None) => writeln!(text, "  - {path}: {}", past::value(before)),
            (None, Some(after)) if marks => writeln!(text, "  + {path}: {}", past::value(after)),
            (None, Some(after)) => writeln!(text, "    {path}: {}", past::value(after)),
            (None, None) => Ok(()),
        };
    }
}

/// For scripts.
pub(super) fn fields(changes: &[FieldChange<'_>]) -> Result<Vec<Field>> {
    let text = |value: Option<&Value>| value.map(|value| past::raw(past::value(value))).transpose();
    let field = |change: &FieldChange<'_>| {
        Ok(Field { path: change.path.pointer(), before: text(change.before)?, after: text(change.after)? })
    };
    changes.iter().map(field).collect()
}
