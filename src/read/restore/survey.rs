//! What a restore will hold, as far as the list of files tells without opening them: which tables, and which number the ids
//! of each bear.
//!
//! # Why the list of files is enough
//! An id begins with its table's number, and its text sorts as its bytes do. So if the least and the largest `_id` of a file
//! bear one number, all between them do. Only where files show several numbers the keys are read.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::{
        files::{FilesByTable, Part, TableFiles},
        get::{Found, get},
        moment::{base_at, in_full, missing},
        state::{Columns, State, StateOptions},
    },
    RestoreOptions,
    report::{Generation, NotCovered, NumberConflict},
};
use crate::{
    archive::{Archive, Base, Covers, Head},
    document::{Revision, TableRef, Timestamp, table_number},
    error::{Error, Result},
};

/// What will be restored.
pub(super) struct Survey {
    pub(super) tables: Vec<Surveyed>,
    pub(super) not_covered: Vec<NotCovered>,
    pub(super) conflicts: Vec<NumberConflict>,
    pub(super) later: Vec<TableRef>,
    pub(super) gaps: Vec<super::super::moment::Missing>,
}

/// One table.
pub(super) struct Surveyed {
    pub(super) table: TableRef,
    pub(super) base: Timestamp,
    pub(super) number: Option<u32>,
    pub(super) emptied: bool,
    pub(super) left_behind: Vec<Generation>,
    /// Just these documents; None: all.
    pub(super) only: Option<Vec<Revision>>,
}

/// Looks at every selected table.
///
/// # Errors
/// NotFound, if there is none, or of wanted documents one was not there at the moment.
pub(super) async fn survey(archive: &Archive, head: &Head, options: &RestoreOptions) -> Result<Survey> {
    let selected = head.tables().map(|state| &state.table).filter(|table| options.selection.contains(table));
    let selected: Vec<&TableRef> = selected.collect();
    if selected.is_empty() {
        return Err(Error::not_found("the archive has no such table: see tables for those that it has"));
    }
    let mut found = Survey {
        tables: Vec::new(),
        not_covered: Vec::new(),
        conflicts: Vec::new(),
        later: Vec::new(),
        gaps: missing(head, selected.iter().copied(), &(Timestamp(i64::MIN)..=options.at)),
    };
    let mut wanted = Documents::new(&options.ids)?;
    let mut files = FilesByTable::open(archive, head).await?;
    for table in selected {
        let base = match head.coverage().covers(table, options.at) {
            Covers::Covered(base) => base,
            Covers::NotCovered(covered) => {
                found.not_covered.push(NotCovered { table: table.clone(), covered });
                continue;
            }
        };
        let files = files.of(table).await?;
        if !options.ids.is_empty() {
            let only = wanted.of(archive, head, &files, options.at).await?;
            if let Some(first) = only.first() {
                let number = table_number(&first.id);
                found.tables.push(Surveyed { number, only: Some(only), ..Surveyed::new(table, base.ts) });
            }
            continue;
        }
        match look(archive, head, &files, base, options).await? {
            Some(surveyed) => found.tables.push(surveyed),
            None => found.later.push(table.clone()),
        }
    }
    if !options.ids.is_empty() && found.not_covered.is_empty() {
        wanted.all_found(options.at)?;
    }
    found.settle_numbers();
    Ok(found)
}

impl Surveyed {
    fn new(table: &TableRef, base: Timestamp) -> Self {
        Self { table: table.clone(), base, number: None, emptied: false, left_behind: Vec::new(), only: None }
    }
}

/// One table; None, if its first document came after the moment.
async fn look(
    archive: &Archive,
    head: &Head,
    files: &TableFiles,
    base: &Base,
    options: &RestoreOptions,
) -> Result<Option<Surveyed>> {
    let moments = Timestamp(base.ts.0.saturating_add(1))..=options.at;
    let now = |part: &&Part| part.is_of(base) || part.has_deltas(&moments);
    let mut surveyed = Surveyed::new(&files.table, base.ts);
    let numbers: BTreeSet<u32> = files.parts.iter().filter(now).flat_map(numbers).collect();
    let until = files.parts.iter().filter(|part| part.min_ts <= options.at);
    let newest = until.max_by_key(|part| part.max_ts);
    match (numbers.len(), newest) {
        // The archive never saw a document of it.
        (0, _) if files.parts.is_empty() => {}
        (0, None) => return Ok(None),
        (0, Some(newest)) => {
            surveyed.number = numbers_of(newest).1;
            surveyed.emptied = true;
        }
        (1, _) => surveyed.number = numbers.into_iter().next(),
        _ => {
            let mut generations = generations(archive, head, files, options).await?;
            generations.sort_by_key(|generation| generation.written);
            surveyed.number = generations.pop().map(|newest| newest.number).or(numbers.into_iter().next_back());
            surveyed.left_behind = generations;
        }
    }
    Ok(Some(surveyed))
}

fn numbers_of(part: &Part) -> (Option<u32>, Option<u32>) {
    (table_number(&part.min_id), table_number(&part.max_id))
}

fn numbers(part: &Part) -> impl Iterator<Item = u32> {
    let (least, largest) = numbers_of(part);
    least.into_iter().chain(largest)
}

/// The live documents by their number.
///
/// A table has one number at a time. So where there are several, those of the number that was written last are the table's,
/// and the others are of a table of that name that was dropped before.
async fn generations(
    archive: &Archive,
    head: &Head,
    files: &TableFiles,
    options: &RestoreOptions,
) -> Result<Vec<Generation>> {
    let keys = StateOptions { budget: options.budget, columns: Columns::Keys, after: None };
    let mut state = State::of_files(archive, head, files, options.at, &keys)?;
    let mut found: BTreeMap<u32, Generation> = BTreeMap::new();
    while let Some(batch) = state.next().await? {
        for row in 0..batch.len() {
            let Some(number) = table_number(batch.id(row)) else { continue };
            let written = batch.ts(row);
            let generation = found.entry(number).or_insert(Generation { number, documents: 0, written });
            generation.documents += 1;
            generation.written = generation.written.max(written);
        }
    }
    Ok(found.into_values().collect())
}

impl Survey {
    /// Numbers are unique within a component. That of a table without documents is let go where another table has it.
    fn settle_numbers(&mut self) {
        let mut by_number: BTreeMap<(String, u32), Vec<usize>> = BTreeMap::new();
        for (at, surveyed) in self.tables.iter().enumerate() {
            if let Some(number) = surveyed.number {
                by_number.entry((surveyed.table.component().to_owned(), number)).or_default().push(at);
            }
        }
        for ((_, number), mut tables) in by_number.into_iter().filter(|(_, tables)| tables.len() > 1) {
            tables.retain(|at| {
                let surveyed = &mut self.tables[*at];
                if surveyed.emptied {
                    surveyed.number = None;
                }
                !surveyed.emptied
            });
            if tables.len() > 1 {
                let tables = tables.into_iter().map(|at| self.tables[at].table.clone()).collect();
                self.conflicts.push(NumberConflict { number, tables });
            }
        }
    }

    /// Whether it can be restored.
    ///
    /// # Errors
    /// NotFound, if a table is not covered; Usage, if numbers collide.
    pub(super) fn check(&self, head: &Head, at: Timestamp) -> Result<()> {
        if let Some(NotCovered { table, .. }) = self.not_covered.first() {
            let others = match self.not_covered.len() - 1 {
                0 => String::new(),
                n => format!(" (and {n} other tables: --plan names them)"),
            };
            let Err(error) = base_at(head, table, at) else {
                return Err(Error::internal("a table is covered and is not: report it"));
            };
            return Err(Error::not_found(format!("{error}; or leave the table out, --exclude {table}{others}")));
        }
        if let Some(NumberConflict { number, tables }) = self.conflicts.first() {
            let tables: Vec<_> = tables.iter().map(ToString::to_string).collect();
            return Err(Error::usage(format!(
                "tables {} have ids of one table number, {number}, which Convex does not import: one of them was dropped before; leave \
                 it out with --exclude",
                tables.join(" and ")
            )));
        }
        Ok(())
    }
}

/// Wanted documents.
struct Documents {
    /// By id: whether it was found, else what is known of it.
    ids: BTreeMap<String, Option<Found>>,
}

impl Documents {
    fn new(ids: &BTreeSet<String>) -> Result<Self> {
        if let Some(odd) = ids.iter().find(|id| table_number(id).is_none()) {
            return Err(Error::usage(format!("`{}` is no document id of Convex", odd.escape_debug())));
        }
        Ok(Self { ids: ids.iter().map(|id| (id.clone(), None)).collect() })
    }

    /// Those of this table, in the order of their ids.
    async fn of(&mut self, archive: &Archive, head: &Head, files: &TableFiles, at: Timestamp) -> Result<Vec<Revision>> {
        let holds = |id: &str| files.parts.iter().any(|part| part.min_id.as_str() <= id && id <= part.max_id.as_str());
        let mut found = Vec::new();
        for (id, known) in self.ids.iter_mut().filter(|(id, _)| holds(id)) {
            match get(archive, head, &files.table, id, at).await? {
                Found::Nothing => {}
                Found::Document(revision) => {
                    *known = Some(Found::Document(revision.clone()));
                    found.push(*revision);
                }
                deleted @ Found::Deleted(_) => {
                    known.get_or_insert(deleted);
                }
            }
        }
        Ok(found)
    }

    fn all_found(&self, at: Timestamp) -> Result<()> {
        for (id, known) in &self.ids {
            let why = match known {
                Some(Found::Document(_)) => continue,
                Some(Found::Deleted(ts)) => format!("it was deleted at {}: choose an earlier --as-of", in_full(*ts)),
                _ => "history shows what the archive knows of it".to_owned(),
            };
            return Err(Error::not_found(format!("there was no document {id} at {}: {why}", in_full(at))));
        }
        Ok(())
    }
}
