//! [`Tablet`]: a table as it is stored.

use std::sync::Arc;

use crate::document::TableRef;

/// One table in its storage. A table that was dropped and created again, or replaced by an import, is another tablet with
/// the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tablet {
    /// The tablet's own id; a snapshot walks the tablets in this order.
    pub id: [u8; 16],
    /// The table's name.
    pub table: Arc<TableRef>,
}
