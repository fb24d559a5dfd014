//! What a restore will hold, as far as the list of files tells without opening them: which tables, and which number the ids
//! of each bear.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::get::{Lookup, get_of_files},
    options::RestoreOptions,
    report::{NotCovered, NumberConflict},
};
use crate::{
    archive::{Archive, Base, Covers, Head},
    document::{Revision, TableRef, Timestamp, table_number},
    error::{Error, Result},
    rows::{
        common::{NearestMoments, all_covered},
        damage::Damage,
        doubt::{DoubtedTable, doubted_at, refuse_doubted},
        files::{FilesByTable, TableFiles},
        generations::{Generation, generations, numbers_at, numbers_of},
        moment::{in_full, missing, whole_span},
    },
};

/// What stands before a moment on the command line.
const AS_OF: &str = "--as-of ";

/// What will be restored.
pub(super) struct Survey {
    pub(super) tables: Vec<SurveyedTable>,
    pub(super) not_covered: Vec<NotCovered>,
    /// Where tables are not covered: where all are.
    pub(super) nearest: NearestMoments,
    pub(super) doubted: Vec<DoubtedTable>,
    /// Where tables are in doubt: where none is.
    pub(super) proven: NearestMoments,
    pub(super) conflicts: Vec<NumberConflict>,
    pub(super) later: Vec<TableRef>,
    pub(super) gaps: Vec<crate::rows::moment::MissingSpan>,
    /// What could not be read so far, and was left out.
    pub(super) damage: Damage,
}

/// One table.
pub(super) struct SurveyedTable {
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
/// NotFound, if there is none and the moment is not covered, or of wanted documents one was not there at the moment.
pub(super) async fn survey(archive: &Archive, head: &Head, options: &RestoreOptions) -> Result<Survey> {
    let selected = selected(head, options);
    if selected.is_empty() {
        all_covered(head, &[], options.at, AS_OF)?;
    }
    let mut found = Survey {
        tables: Vec::new(),
        not_covered: Vec::new(),
        nearest: NearestMoments::default(),
        doubted: Vec::new(),
        proven: NearestMoments::default(),
        conflicts: Vec::new(),
        later: Vec::new(),
        gaps: Vec::new(),
        damage: Damage::default(),
    };
    let mut covered = Vec::new();
    let mut wanted = Documents::new(&options.ids)?;
    let mut files = FilesByTable::open(archive, head).await?;
    for &table in &selected {
        let base = match head.coverage().covers(table, options.at) {
            Covers::Covered(base) => base,
            Covers::NotCovered(covered) => {
                found.not_covered.push(NotCovered { table: table.clone(), covered });
                continue;
            }
        };
        covered.push(table);
        let files = files.of(table).await?;
        if !options.ids.is_empty() {
            let only = wanted.of(archive, head, &files, options.at).await?;
            if !only.is_empty()
                && let Some(surveyed) = look(archive, head, &files, base, options, &found.damage).await?
            {
                of_one_generation(&surveyed, &only, options.at)?;
                let only = Some(only);
                found.tables.push(SurveyedTable { left_behind: Vec::new(), only, ..surveyed });
            }
            continue;
        }
        match look(archive, head, &files, base, options, &found.damage).await? {
            Some(surveyed) => found.tables.push(surveyed),
            None => found.later.push(table.clone()),
        }
    }
    if !found.not_covered.is_empty() {
        found.nearest = NearestMoments::of(head, &selected, options.at);
    } else if !options.ids.is_empty() {
        wanted.all_found(options.at)?;
    }
    let concerned = found.concerned(head, options);
    let doubted = doubted_at(head, concerned.iter().copied(), options.at);
    if doubted.iter().any(|doubted| !doubted.unwatched) {
        found.proven = NearestMoments::proven(head, &concerned, options.at);
    }
    found.doubted = doubted;
    found.look_at_collisions(archive, head, options).await?;
    found.settle_numbers();
    let first = whole_span(head).map_or(options.at, |span| *span.start());
    found.gaps = missing(head, covered.into_iter(), &(first..=options.at));
    Ok(found)
}

fn selected<'a>(head: &'a Head, options: &RestoreOptions) -> Vec<&'a TableRef> {
    head.tables().map(|state| &state.table).filter(|table| options.selection.contains(table)).collect()
}

/// # Errors
/// Usage, if one of the documents was left behind by an earlier table of that name.
fn of_one_generation(table: &SurveyedTable, documents: &[Revision], at: Timestamp) -> Result<()> {
    let number = |revision: &Revision| table_number(&revision.id);
    match documents.iter().find(|revision| number(revision) != table.number) {
        None => Ok(()),
        Some(of_another) => Err(Error::usage(format!(
            "{} belongs to an earlier table {} (number {}), which was dropped before {}, so an import would refuse it. \
             Choose an earlier --as-of, or print the document with get",
            of_another.id,
            table.table,
            number(of_another).unwrap_or_default(),
            in_full(at)
        ))),
    }
}

impl SurveyedTable {
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
    damage: &Damage,
) -> Result<Option<SurveyedTable>> {
    let mut surveyed = SurveyedTable::new(&files.table, base.ts);
    let numbers = numbers_at(files, base, options.at);
    let until = files.parts.iter().filter(|part| part.file.min_ts <= options.at);
    let newest = until.max_by_key(|part| part.file.max_ts);
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
            let damage = damage.of(&files.table, options.accept_damage.as_ref());
            let mut generations = generations(archive, head, files, options.at, options.budget, damage).await?;
            surveyed.number = generations.pop().map(|newest| newest.number).or(numbers.into_iter().next_back());
            generations.retain(|generation| generation.documents > 0);
            surveyed.left_behind = generations;
        }
    }
    Ok(Some(surveyed))
}

impl Survey {
    /// Tables of one component that have one number, by their place.
    fn collisions(&self) -> impl Iterator<Item = (u32, Vec<usize>)> + use<> {
        let mut by_number: BTreeMap<(String, u32), Vec<usize>> = BTreeMap::new();
        for (at, surveyed) in self.tables.iter().enumerate() {
            if let Some(number) = surveyed.number {
                by_number.entry((surveyed.table.component().to_owned(), number)).or_default().push(at);
            }
        }
        by_number.into_iter().filter(|(_, tables)| tables.len() > 1).map(|((_, number), tables)| (number, tables))
    }

    /// Which of the tables of one number hold nothing, and were dropped. The list of files does not say what tombstones emptied.
    async fn look_at_collisions(&mut self, archive: &Archive, head: &Head, options: &RestoreOptions) -> Result<()> {
        for at in self.collisions().flat_map(|(_, tables)| tables) {
            let surveyed = &mut self.tables[at];
            if !surveyed.emptied && surveyed.only.is_none() {
                let files = TableFiles::of(archive, head, &surveyed.table).await?;
                let damage = self.damage.of(&files.table, options.accept_damage.as_ref());
                let generations = generations(archive, head, &files, options.at, options.budget, damage).await?;
                surveyed.emptied = generations.iter().all(|generation| generation.documents == 0);
            }
        }
        Ok(())
    }

    /// Numbers are unique within a component. That of a table without documents is let go where another table has it.
    fn settle_numbers(&mut self) {
        for (number, mut tables) in self.collisions() {
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

    /// The tables whose state is asked for: of single documents those that hold one.
    fn concerned<'a>(&self, head: &'a Head, options: &RestoreOptions) -> Vec<&'a TableRef> {
        let mut tables = selected(head, options);
        tables.retain(|table| options.ids.is_empty() || self.tables.iter().any(|of| of.table == **table));
        tables
    }

    /// Whether it can be restored.
    ///
    /// # Errors
    /// NotFound, if a table is not covered, or is in doubt and that was not accepted; Usage, if numbers collide.
    pub(super) fn check(&self, head: &Head, options: &RestoreOptions) -> Result<()> {
        all_covered(head, &selected(head, options), options.at, AS_OF)?;
        if !options.accept_doubt {
            refuse_doubted(head, &self.concerned(head, options), options.at, Some(AS_OF))?;
        }
        if let Some(NumberConflict { number, tables }) = self.conflicts.first() {
            let tables: Vec<_> = tables.iter().map(ToString::to_string).collect();
            return Err(Error::usage(format!(
                "the ids in tables {} have the same table number, {number}, which Convex does not import: one of these \
                 tables was dropped; leave it out with --exclude",
                tables.join(" and ")
            )));
        }
        Ok(())
    }
}

/// Wanted documents.
struct Documents {
    /// By id: whether it was found, else what is known of it.
    ids: BTreeMap<String, Option<Lookup>>,
}

impl Documents {
    fn new(ids: &BTreeSet<String>) -> Result<Self> {
        if let Some(odd) = ids.iter().find(|id| table_number(id).is_none()) {
            return Err(Error::usage(format!("`{}` is not a document id of Convex", odd.escape_debug())));
        }
        Ok(Self { ids: ids.iter().map(|id| (id.clone(), None)).collect() })
    }

    /// Those of this table, in the order of their ids.
    async fn of(&mut self, archive: &Archive, head: &Head, files: &TableFiles, at: Timestamp) -> Result<Vec<Revision>> {
        let holds = |id: &str| files.parts.iter().any(|part| part.may_hold(id));
        let mut found = Vec::new();
        for (id, known) in self.ids.iter_mut().filter(|(id, _)| holds(id)) {
            match get_of_files(archive, head, files, id, at).await? {
                Lookup::Nothing => {}
                Lookup::Document(revision) => {
                    *known = Some(Lookup::Document(revision.clone()));
                    found.push(*revision);
                }
                deleted @ Lookup::Deleted(_) => {
                    known.get_or_insert(deleted);
                }
            }
        }
        Ok(found)
    }

    fn all_found(&self, at: Timestamp) -> Result<()> {
        for (id, known) in &self.ids {
            let why = match known {
                Some(Lookup::Document(_)) => continue,
                Some(Lookup::Deleted(ts)) => format!("it was deleted at {}: choose an earlier --as-of", in_full(*ts)),
                _ => "run `history` with the table and id to see what the archive has of it".to_owned(),
            };
            return Err(Error::not_found(format!("no document {id} at {}: {why}", in_full(at))));
        }
        Ok(())
    }
}
