//! The text of a page: one flat object a document, metadata first, then the fields sorted by name, as Convex writes it.

use axum::{
    body::Body,
    http::{HeaderValue, header::CONTENT_TYPE},
    response::Response,
};

use super::{
    era::Components,
    selection::{Columns, SelectedColumns},
};
use crate::{
    codec::{write_string, write_value},
    document::{Encoding, Revision, TableRef, Value},
};

/// The values of a page in the making.
#[derive(Debug)]
pub(crate) struct PageWriter {
    text: String,
    encoding: Encoding,
    /// Whether rows carry `_deleted`: in the deltas all of them, in a snapshot none.
    deltas: bool,
    /// Whether rows carry `_component`.
    components: bool,
    empty: bool,
}

impl PageWriter {
    pub(crate) fn new(encoding: Encoding, deltas: bool, components: Components) -> Self {
        let components = components != Components::Unknown;
        Self { text: "{\"values\":[".to_owned(), encoding, deltas, components, empty: true }
    }

    /// Appends one revision; a tombstone has nothing but its `_id`.
    pub(crate) fn push(&mut self, table: &TableRef, revision: &Revision, selected: SelectedColumns<'_>) {
        let columns = match selected {
            SelectedColumns::Nothing => return,
            SelectedColumns::AllColumns => None,
            SelectedColumns::Some(columns) => Some(columns),
        };
        let out = &mut self.text;
        if !std::mem::take(&mut self.empty) {
            out.push(',');
        }
        out.push('{');
        if self.components {
            out.push_str("\"_component\":");
            write_string(out, table.component());
            out.push(',');
        }
        out.push_str("\"_table\":");
        write_string(out, table.name());
        out.push_str(",\"_ts\":");
        out.push_str(&revision.ts.0.to_string());
        if self.deltas {
            out.push_str(",\"_deleted\":");
            out.push_str(if revision.document.is_none() { "true" } else { "false" });
        }
        match &revision.document {
            None => {
                out.push_str(",\"_id\":");
                write_string(out, &revision.id);
            }
            Some(document) => write_fields(out, document.iter(), columns, self.encoding),
        }
        out.push('}');
    }

    /// What is written so far, without the end of the values.
    #[cfg(test)]
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// The whole answer; `rest` is the text of the remaining members.
    pub(crate) fn finish(mut self, rest: &str) -> Response {
        self.text.push_str("],");
        self.text.push_str(rest);
        self.text.push('}');
        json(self.text)
    }
}

fn write_fields<'a>(
    out: &mut String,
    fields: impl Iterator<Item = (&'a String, &'a Value)>,
    columns: Option<&Columns>,
    encoding: Encoding,
) {
    for (name, value) in fields.filter(|(name, _)| columns.is_none_or(|c| c.includes(name))) {
        out.push(',');
        write_string(out, name);
        out.push(':');
        write_value(out, value, encoding);
    }
}

/// JSON text as an answer.
pub(crate) fn json(text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
