//! `manifest.json`: what people, scripts and SQL read. It shows exactly one committed version, perhaps not the newest,
//! and what it says of that version is right. Nothing of ours trusts it beyond the hint where the log's end may be.

use std::{collections::BTreeSet, sync::Arc};

use object_store::{GetOptions, GetRange, ObjectStore, path::Path};
use serde::Serialize;

use crate::{
    data::DataFile,
    document::{TableRef, Timestamp},
    error::Result,
    identity::DeploymentIdentity,
    layout,
    position::{DeltaCursor, Walk},
    schema::{Field, Misfits},
    store::{Upload, store_error},
};

use super::{
    commit::json_line,
    coverage::{Base, Gap, Selected, Span, Untyped},
    files::LiveFiles,
    header::{FORMAT, Header},
    manifest::Head,
    tables::TableState,
};

/// How the object begins: readers of the hint read no further than the number behind it.
const BEGINS: &str = r#"{"format":0,"version":"#;

/// Everything but the tables; the format and version come first.
#[derive(Serialize)]
struct Top<'a> {
    format: u32,
    version: u64,
    digest: &'a str,
    archive: &'a str,
    deployment: &'a DeploymentIdentity,
    phase: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a DeltaCursor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    through: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    walk: Option<&'a Walk>,
    #[serde(skip_serializing_if = "Option::is_none")]
    committed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checked_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caught_up: Option<bool>,
    bases: &'a [Base],
    gaps: &'a [Gap],
    #[serde(skip_serializing_if = "<[Selected]>::is_empty")]
    selections: &'a [Selected],
    #[serde(skip_serializing_if = "<[Untyped]>::is_empty")]
    untyped: &'a [Untyped],
    rows: u64,
    tombstones: u64,
    files: u64,
    bytes: u64,
}

/// A table; its files follow.
#[derive(Serialize)]
struct TableLine<'a> {
    table: &'a TableRef,
    folder: &'a str,
    rows: u64,
    tombstones: u64,
    rescued_rows: u64,
    bytes: u64,
    /// The moments at which its state is in the archive.
    covered: Vec<Span>,
    /// S of the bases that hold it, ascending: also of those that have no file of it.
    bases: BTreeSet<Timestamp>,
    schema: u32,
    columns: &'a [Field],
    /// What was found to have no place in a column, ever: why there may be something in `_rescued`.
    #[serde(skip_serializing_if = "Misfits::is_empty")]
    misfits: &'a Misfits,
}

/// A visible file: what a query planner wants to know.
#[derive(Serialize)]
struct FileLine<'a> {
    path: &'a str,
    phase: crate::position::Phase,
    /// S, in files of a base.
    #[serde(skip_serializing_if = "Option::is_none")]
    base_ts: Option<Timestamp>,
    bytes: u64,
    sha256: &'a str,
    rows: u64,
    tombstones: u64,
    rescued_rows: u64,
    min_ts: Timestamp,
    max_ts: Timestamp,
    min_id: &'a str,
    max_id: &'a str,
    ids_ascend: bool,
    /// The commit that brought its rows: of two with one `_id` and `_ts` the larger counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    brought_by: Option<u64>,
    schema: u32,
}

/// The version that `manifest.json` names, if it is there and begins as it should.
pub(super) async fn hint(store: &dyn ObjectStore) -> Result<Option<u64>> {
    let options = GetOptions { range: Some(GetRange::Bounded(0..64)), ..GetOptions::default() };
    let read = async { store.get_opts(&Path::from(layout::MANIFEST), options).await?.bytes().await };
    match read.await {
        Ok(bytes) => Ok(parse_hint(&bytes)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        // An empty object has no first byte: some stores refuse the range. It is advice only.
        Err(e @ (object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. })) => {
            Err(store_error(e, &format!("cannot read {}", layout::MANIFEST)))
        }
        Err(e) => {
            tracing::warn!(error = %e, "cannot read {}; listing the whole log instead", layout::MANIFEST);
            Ok(None)
        }
    }
}

fn parse_hint(bytes: &[u8]) -> Option<u64> {
    let rest = std::str::from_utf8(bytes).ok()?.strip_prefix(BEGINS)?;
    let (digits, _) = rest.split_once(',')?;
    digits.parse().ok()
}

/// Rewrites `manifest.json`, streamed. One that already shows a newer version stays.
pub(super) async fn write(
    store: &Arc<dyn ObjectStore>,
    header: &Header,
    head: &Head,
    mut files: LiveFiles,
) -> Result<()> {
    if hint(store).await?.is_some_and(|there| there > head.version()) {
        return Ok(());
    }
    let mut upload = Upload::new(store.clone(), layout::MANIFEST);
    match body(&mut upload, header, head, &mut files).await {
        Ok(()) => upload.finish().await,
        Err(e) => {
            upload.abort().await;
            Err(e)
        }
    }
}

async fn body(upload: &mut Upload, header: &Header, head: &Head, files: &mut LiveFiles) -> Result<()> {
    open(upload, &top(header, head)?, r#","tables":["#).await?;
    let mut file = files.next().await?;
    for (i, table) in head.tables().enumerate() {
        let between = if i == 0 { "\n" } else { ",\n" };
        upload.push(&mut between.as_bytes().to_vec()).await?;
        open(upload, &json_line(&table_line(head, table))?, r#","files":["#).await?;
        let mut between = "\n ";
        // Files come in the order of tables, so each table takes its own from the front.
        while let Some(f) = file.take_if(|f| f.table == table.table) {
            if head.shows(&f) {
                let mut text = between.as_bytes().to_vec();
                text.extend_from_slice(json_line(&file_line(head, &f))?.trim_ascii_end());
                upload.push(&mut text).await?;
                between = ",\n ";
            }
            file = files.next().await?;
        }
        upload.push(&mut b"]}".to_vec()).await?;
    }
    upload.push(&mut b"\n]}\n".to_vec()).await
}

/// Writes an object of JSON without its closing brace, then the key of a list to come.
async fn open(upload: &mut Upload, object: &[u8], key: &str) -> Result<()> {
    let mut text = object.trim_ascii_end().strip_suffix(b"}").unwrap_or(object).to_vec();
    text.extend_from_slice(key.as_bytes());
    upload.push(&mut text).await
}

fn top(header: &Header, head: &Head) -> Result<bytes::Bytes> {
    let (progress, latest, visible) = (head.progress(), head.latest(), head.visible());
    json_line(&Top {
        format: FORMAT,
        version: head.version(),
        digest: head.digest(),
        archive: &header.archive,
        deployment: head.deployment(),
        phase: if progress.walk.is_some() { "snapshot" } else { "delta" },
        cursor: progress.delta.as_ref(),
        through: head.covered_through().map(|ts| ts.to_string()),
        walk: progress.walk.as_ref(),
        committed_at: latest.map(|l| l.at.to_string()),
        checked_at: latest.map(|l| l.checked_at.to_string()),
        caught_up: latest.map(|l| l.caught_up),
        bases: &head.coverage().bases,
        gaps: &head.coverage().gaps,
        selections: &head.coverage().selections,
        untyped: &head.coverage().untyped,
        rows: visible.rows,
        tombstones: visible.tombstones,
        files: visible.files,
        bytes: visible.bytes,
    })
}

fn table_line<'a>(head: &Head, table: &'a TableState) -> TableLine<'a> {
    let visible = table.visible();
    TableLine {
        table: &table.table,
        folder: &table.folder,
        rows: visible.rows,
        tombstones: visible.tombstones,
        rescued_rows: visible.rescued_rows,
        bytes: visible.bytes,
        covered: head.coverage().spans(&table.table),
        bases: head.coverage().bases.iter().filter(|base| base.holds(&table.table)).map(|base| base.ts).collect(),
        schema: table.schema.id,
        columns: &table.schema.fields,
        misfits: &table.misfits,
    }
}

fn file_line<'a>(head: &'a Head, f: &'a DataFile) -> FileLine<'a> {
    FileLine {
        path: &f.path,
        phase: f.phase,
        base_ts: f.base.as_ref().and_then(|id| head.coverage().bases.iter().find(|b| b.id == *id)).map(|b| b.ts),
        bytes: f.bytes,
        sha256: &f.sha256,
        rows: f.rows,
        tombstones: f.tombstones,
        rescued_rows: f.rescued_rows,
        min_ts: f.min_ts,
        max_ts: f.max_ts,
        min_id: &f.min_id,
        max_id: &f.max_id,
        ids_ascend: f.ids_ascend,
        brought_by: f.brought_by,
        schema: f.schema,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_is_read_from_the_first_bytes_and_anything_else_is_no_hint() {
        assert_eq!(parse_hint(br#"{"format":0,"version":42,"digest":"#), Some(42));
        for text in
            ["", "{", r#"{"format":0,"version":42"#, r#"{"format":1,"version":42,"#, r#"{"format":0,"version":x,"#]
        {
            assert_eq!(parse_hint(text.as_bytes()), None, "{text}");
        }
    }
}
