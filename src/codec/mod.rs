//! Documents ↔ rows.
