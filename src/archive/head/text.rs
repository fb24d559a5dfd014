//! The object in which a head is written down: `manifest.json`, and packed as a checkpoint.
//!
//! One JSON object, with a line for each entry and each table: its line as it counts in the sum, so that every reader can sum
//! them up. It begins with the format and the version, so that whoever looks for the end of the log reads no further. Beside
//! what holds it repeats, for people and for SQL, what follows from it: sums, and for each table what is covered.
//!
//! It takes some hundred bytes a table and month, whatever the number of files: those stand in the parts that the months name
//! (`archive/parts.rs`).

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    AnchorCell, Head, Latest,
    base::Base,
    coverage::{Coverage, Span},
    lines::Entry,
    tables::TableState,
};
use crate::{
    archive::{
        commit::{Commit, json_text},
        header::FORMAT,
        needs::{Needs, PROGRAM},
    },
    document::{TableRef, Timestamp},
    error::Result,
    identity::DeploymentIdentity,
    position::{BaseId, DeltaCursor, Position, Progress},
    sum::Sum,
};

/// How the object begins: readers of the hint read no further than the number behind it.
pub(in crate::archive) const BEGINS: &str = r#"{"format":0,"version":"#;

/// Everything before the lines.
#[derive(Serialize)]
struct Top<'a> {
    format: u32,
    version: u64,
    digest: &'a str,
    program: &'a str,
    needs: &'a Needs,
    archive: &'a str,
    state: Sum,
    phase: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a DeltaCursor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    walk: Option<&'a Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest: Option<&'a Latest>,
    rows: u64,
    tombstones: u64,
    files: u64,
    bytes: u64,
    /// For SQL: what is covered, each such thing once …
    coverage: &'a [CoverageOfTables<'a>],
    /// … and for each table, in the order of the tables, which of these is its own.
    covered: &'a [usize],
}

/// What is covered of one or more tables.
#[derive(Serialize, PartialEq, Eq)]
struct CoverageOfTables<'a> {
    /// The moments at which their state is in the archive.
    covered: Vec<Span>,
    /// The bases in force that hold them, by S.
    bases: Vec<BaseOfTables<'a>>,
}

#[derive(Serialize, PartialEq, Eq)]
struct BaseOfTables<'a> {
    id: &'a BaseId,
    ts: Timestamp,
}

/// What is read back.
#[derive(Deserialize)]
struct WrittenTop {
    version: u64,
    digest: String,
    needs: Needs,
    #[serde(default)]
    cursor: Option<DeltaCursor>,
    #[serde(default)]
    walk: Option<Position>,
    #[serde(default)]
    latest: Option<Latest>,
    entries: Vec<Entry>,
    tables: Vec<Entry>,
}

/// A head that was read from an object and is not proven.
#[derive(Debug)]
pub(in crate::archive) struct ReadHead(Head);

impl Head {
    /// The object. The same head gives the same bytes.
    pub(in crate::archive) fn to_text(&self, archive: &str) -> Result<Vec<u8>> {
        let mut coverage: Vec<CoverageOfTables<'_>> = Vec::new();
        let mut covered = Vec::with_capacity(self.tables.len());
        for table in self.tables.keys() {
            let of = self.coverage_of(table);
            let place = coverage.iter().position(|known| *known == of).unwrap_or_else(|| {
                coverage.push(of);
                coverage.len() - 1
            });
            covered.push(place);
        }
        let (progress, visible) = (&self.progress, self.visible());
        let top = Top {
            format: FORMAT,
            version: self.version,
            digest: &self.digest,
            program: PROGRAM,
            needs: &self.needs,
            archive,
            state: self.sum,
            phase: if progress.walk.is_some() { "snapshot" } else { "delta" },
            cursor: progress.delta.as_ref(),
            walk: progress.walk.as_ref().map(|walk| &walk.position),
            latest: self.latest.as_ref(),
            rows: visible.rows,
            tombstones: visible.tombstones,
            files: visible.files,
            bytes: visible.bytes,
            coverage: &coverage,
            covered: &covered,
        };
        let mut text = json_text(&top)?;
        text.pop();
        text.extend_from_slice(b",\"entries\":[");
        push_lines(&mut text, self.entries())?;
        text.extend_from_slice(b"],\"tables\":[");
        push_lines(&mut text, self.tables().map(|table| Entry::Table(Box::new(table.clone()))))?;
        text.extend_from_slice(b"]}\n");
        Ok(text)
    }

    fn coverage_of(&self, table: &TableRef) -> CoverageOfTables<'_> {
        let mut bases: Vec<&Base> =
            self.coverage.bases.iter().filter(|base| self.coverage.serves(base, table)).collect();
        bases.sort_by_key(|base| base.rank());
        // Of two bases with one S the later counts, so the other is none that readers need.
        bases.dedup_by(|later, kept| {
            let same = later.ts == kept.ts;
            if same {
                *kept = later;
            }
            same
        });
        let bases = bases.into_iter().map(|base| BaseOfTables { id: &base.id, ts: base.ts }).collect();
        CoverageOfTables { covered: self.coverage.spans(table), bases }
    }
}

fn push_lines(text: &mut Vec<u8>, entries: impl IntoIterator<Item = Entry>) -> Result<()> {
    for (n, entry) in entries.into_iter().enumerate() {
        text.extend_from_slice(if n == 0 { b"\n" } else { b",\n" });
        text.extend_from_slice(&entry.line()?);
    }
    text.push(b'\n');
    Ok(())
}

impl ReadHead {
    /// The head in the bytes of the object at `path`.
    ///
    /// # Errors
    /// Unsupported, if another program wrote it and this one cannot read it; Corrupt, if it is damaged.
    pub(in crate::archive) fn parse(path: &str, bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Envelope {
            program: String,
            needs: Needs,
        }
        let unreadable = |e| super::super::commit::unreadable(path, bytes, e);
        let envelope: Envelope = serde_json::from_slice(bytes).map_err(unreadable)?;
        envelope.needs.check_reader(path, &envelope.program)?;
        let written: WrittenTop = serde_json::from_slice(bytes).map_err(unreadable)?;
        Ok(Self(written.into_head()?))
    }

    /// The version that it says it describes.
    pub(in crate::archive) fn version(&self) -> u64 {
        self.0.version
    }

    /// The digest that it says the commit of that version has.
    pub(in crate::archive) fn digest(&self) -> &str {
        &self.0.digest
    }

    /// The head, if the commit of its version, whose stored bytes have this digest, says the same of what holds after it.
    pub(in crate::archive) fn proven_by(self, commit: &Commit, digest: &str) -> Option<Head> {
        let head = self.0;
        let proven = head.version == commit.version
            && head.digest == digest
            && head.sum == commit.state
            && head.progress == commit.draft.progress
            && head.latest.as_ref().is_some_and(|latest| *latest == Latest::of(commit));
        proven.then(|| head.anchored())
    }

    /// The head, if `next` follows on the commit that it names. Nothing is proven until `next` is folded into it.
    pub(in crate::archive) fn followed_by(self, next: &Commit) -> Option<Head> {
        let head = self.0;
        (head.version + 1 == next.version && head.digest == next.previous).then(|| head.anchored())
    }
}

impl WrittenTop {
    fn into_head(self) -> Result<Head> {
        // The sum of what is written there, entry by entry: also of one that stands there twice.
        let mut sum = Sum::default();
        let mut walk = None;
        let mut head = Head {
            version: self.version,
            digest: self.digest,
            needs: self.needs,
            deployment: DeploymentIdentity { name: None, origin: String::new() },
            latest: self.latest,
            progress: Progress { delta: self.cursor, walk: None },
            origin: None,
            coverage: Coverage::default(),
            guarded: None,
            erased: std::collections::BTreeSet::new(),
            tables: BTreeMap::new(),
            sum,
            anchor: AnchorCell::default(),
        };
        let coverage = &mut head.coverage;
        for entry in self.entries.into_iter().chain(self.tables) {
            sum = sum.plus(entry.sum()?);
            match entry {
                Entry::Needs(needs) => head.needs.add(&needs),
                Entry::Deployment(deployment) => head.deployment = deployment,
                Entry::Progress(reached) => walk = reached.walk,
                Entry::Origin(origin) => head.origin = Some(origin),
                Entry::Base(base) => coverage.bases.push(base),
                Entry::Withdrawal(withdrawal) => coverage.withdrawals.push(withdrawal),
                Entry::Unmarked(base) => coverage.unmarked.push(base),
                Entry::Gap(gap) => coverage.gaps.push(gap),
                Entry::Doubt(doubt) => coverage.doubts.push(doubt),
                Entry::Selection(selected) => coverage.selections.push(selected),
                Entry::Untyped(untyped) => coverage.untyped.push(untyped),
                Entry::ComponentRows(rows) => coverage.component_rows = Some(rows),
                Entry::Guarded(through) => head.guarded = Some(through),
                Entry::Erased(schemas) => {
                    head.erased.insert(schemas);
                }
                Entry::Table(table) => {
                    let table: TableState = *table;
                    head.tables.insert(table.table.clone(), Arc::new(table));
                }
            }
        }
        // Whatever the order in which they were written: it is not in the sum.
        coverage.bases.sort_by(|a, b| (a.version, &a.id).cmp(&(b.version, &b.id)));
        coverage.selections.sort_by_key(|selected| selected.version);
        coverage.through = head.progress.delta.as_ref().map(|delta| delta.ts);
        if let (Some(walk), Some(position)) = (walk, self.walk) {
            head.progress.walk = Some(walk.at(position));
        }
        head.sum = sum;
        Ok(head)
    }
}
