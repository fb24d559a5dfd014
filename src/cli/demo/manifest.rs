//! `manifest.json` and a part as a script would read them: only the members that it needs.

use std::{collections::BTreeMap, fmt::Write, fs, io::Read, path::Path};

use convex_archiver::{Error, Result, TableRef, testing::layout};
use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{super::units::counted, say::failed};

/// Files of a part that are shown.
const FILES: usize = 2;

/// What is shown of the manifest, in the order of the file.
#[derive(Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    version: u64,
    digest: String,
    program: String,
    phase: String,
    cursor: serde_json::Value,
    rows: u64,
    tombstones: u64,
    files: u64,
    bytes: u64,
    coverage: Vec<Coverage>,
    covered: Vec<usize>,
    tables: Vec<Line>,
    #[serde(skip)]
    left: u64,
}

#[derive(Serialize, Deserialize)]
struct Coverage {
    covered: Vec<Span>,
    bases: Vec<Base>,
}

#[derive(Serialize, Deserialize)]
struct Span {
    from: String,
    to: String,
}

#[derive(Serialize, Deserialize)]
struct Base {
    id: String,
    ts: String,
}

#[derive(Serialize, Deserialize)]
struct Line {
    table: ListedTable,
}

#[derive(Serialize, Deserialize)]
struct ListedTable {
    table: TableRef,
    folder: String,
    schema: Schema,
    base: Counts,
    delta: Counts,
    months: BTreeMap<String, Month>,
}

#[derive(Serialize, Deserialize)]
struct Schema {
    fields: u64,
    version: u64,
    digest: String,
}

#[derive(Serialize, Deserialize)]
struct Counts {
    files: u64,
    rows: u64,
}

#[derive(Serialize, Deserialize)]
struct Month {
    version: u64,
    count: u64,
}

/// What is shown of a line of a part.
#[derive(Serialize, Deserialize)]
struct File {
    path: String,
    phase: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<String>,
    encoding: String,
    rows: u64,
    tombstones: u64,
    min_ts: String,
    max_ts: String,
}

/// Reads the manifest of the archive in a folder, with one of its tables.
pub(super) fn read(archive: &Path) -> Result<Manifest> {
    let path = archive.join(layout::MANIFEST);
    let text = fs::read(&path).map_err(|e| failed(&path, e))?;
    let mut manifest: Manifest = parse(layout::MANIFEST, &text)?;
    manifest.left = manifest.tables.len().saturating_sub(1) as u64;
    manifest.tables.truncate(1);
    Ok(manifest)
}

impl Manifest {
    /// As text, and what was left out.
    pub(super) fn shortened(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self).map_err(unspelled)?;
        Ok(format!(
            "{text}\n(and {}; also the digests that prove it, the bases and gaps, and how much of each table was \
             rescued)\n",
            counted(self.left, "more table")
        ))
    }

    /// The newest part of that table: the path of it, and a line for each of a few files.
    pub(super) fn part(&self, archive: &Path) -> Result<Option<(String, String)>> {
        let first = self.tables.first().map(|line| &line.table);
        let Some((table, (month, named))) = first.and_then(|table| Some((table, table.months.last_key_value()?)))
        else {
            return Ok(None);
        };
        let name = layout::part(&table.folder, month, named.version);
        let path = archive.join(&name);
        let mut lines = String::new();
        let packed = fs::File::open(&path).map_err(|e| super::failed(&path, e))?;
        GzDecoder::new(packed).read_to_string(&mut lines).map_err(|e| super::failed(&path, e))?;
        let mut shown = String::new();
        for line in lines.lines().take(FILES) {
            let file: File = parse(&name, line.as_bytes())?;
            // A String takes everything.
            let _ = writeln!(shown, "{}", serde_json::to_string(&file).map_err(unspelled)?);
        }
        let left = lines.lines().count().saturating_sub(FILES) as u64;
        let _ = writeln!(shown, "(and {}; for each its size, its digest and more)", counted(left, "more file"));
        Ok(Some((name, shown)))
    }
}

fn parse<T: DeserializeOwned>(name: &str, text: &[u8]) -> Result<T> {
    serde_json::from_slice(text)
        .map_err(|e| Error::internal(format!("{name} is not what was written: report it")).with_source(e))
}

fn unspelled(e: serde_json::Error) -> Error {
    Error::internal("cannot write what was read as JSON: report it").with_source(e)
}
