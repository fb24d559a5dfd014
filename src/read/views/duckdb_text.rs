//! Names and texts as DuckDB's SQL writes them.

use crate::schema::Engine;

/// An identifier.
pub(super) fn quoted(name: &str) -> String {
    Engine::DuckDb.quoted(name)
}

/// A string.
pub(super) fn string(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
