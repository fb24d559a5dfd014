//! What a log speaks of where no data file exists: tables, and files of deltas.

use std::collections::BTreeMap;

use convex_archiver::{
    BaseId, ColumnType, CreationTime, DataFile, DeltaCursor, DeploymentIdentity, Encoding, Field, Footer, Phase,
    Position, Progress, Scope, Selection, TableRef, TableSchema, Timestamp,
    archive::{Base, Draft, Head, TableEntry},
    testing::layout,
};

pub(crate) fn identity() -> DeploymentIdentity {
    DeploymentIdentity { name: None, origin: "http://127.0.0.1:1".into() }
}

/// A table of so many columns of text.
pub(crate) fn entry(n: u64, columns: i32) -> TableEntry {
    let field = |id: i32| Field {
        id,
        name: format!("field_{id}"),
        column: format!("field_{id}"),
        column_type: ColumnType::String,
        references: None,
    };
    let last = 16 + columns;
    let schema = TableSchema { id: 1, last_field_id: last, fields: (17..=last).map(field).collect() };
    let table = TableRef::new("", format!("table_{n:03}")).expect("a name");
    TableEntry::new(table, format!("tables/table_{n:03}"), None, schema)
}

/// A file of 1,000 revisions and 100,000 bytes.
pub(crate) fn delta_file(entry: TableEntry, min: Timestamp, max: Timestamp, counter: u32, run: &str) -> DataFile {
    DataFile {
        path: layout::delta_file(&entry.folder, min, counter, run),
        table: entry.table,
        phase: Phase::Delta,
        base: None,
        month: layout::month_of(min),
        encoding: Encoding::ConvexEncodedJson,
        repeats: false,
        bytes: 100_000,
        sha256: "0".repeat(64),
        footer: Footer { bytes: 4_000, crc32c: 0x1234_5678 },
        rows: 1_000,
        tombstones: 10,
        rescued_rows: 0,
        min_ts: min,
        max_ts: max,
        min_created: CreationTime::new(min.0 as f64 / 1e6),
        max_created: CreationTime::new(max.0 as f64 / 1e6),
        min_id: Some("j5700221pceb603t7je2hkqn0s8jrtmp".into()),
        max_id: Some("j57ctvgn8g1g4g69wrh7hgjdmn8jrcng".into()),
        ids_ascend: false,
        schema: 1,
        joined: 0,
        misfits: BTreeMap::default(),
        brought_by: None,
        encryption: None,
    }
}

/// A commit that reaches through `through`, and changes nothing else yet.
pub(crate) fn draft(head: &Head, through: Timestamp) -> Draft {
    let cursor = DeltaCursor { position: Position::new(Phase::Delta, through.to_string()), ts: through };
    Draft {
        progress: Progress { delta: Some(cursor), walk: None },
        ..head.unchanged(Encoding::ConvexEncodedJson, Selection::default(), through)
    }
}

/// The first commit: the tables, and an empty base of all of them.
pub(crate) fn first_draft(head: &Head, at: Timestamp, tables: Vec<TableEntry>) -> Draft {
    let base = Base::new(BaseId("20261120T101500Z-5f3a9c01".into()), at, Scope::All, Vec::new());
    Draft { tables, bases: vec![base], ..draft(head, at) }
}
