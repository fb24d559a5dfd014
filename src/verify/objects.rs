//! The objects: every live data file is there with its size, every base has the rows that it says. What else lies in the archive's
//! folder is counted.

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, path::Path};

use super::{
    data::DataLevel,
    file::file_problem,
    report::{Problem, ProblemKind, Problems, Repair, Suffers, UnneededObjects, VerifiedObjects},
};
use crate::{
    archive::{Archive, Head, LiveFiles, TableState},
    data::DataFile,
    document::TableRef,
    error::{Error, ErrorKind, Result},
    layout,
    monitor::{Event, Monitor},
    position::BaseId,
    selection::Selection,
    store::store_error,
};

/// Folders of tables that are listed ahead. Of each the paths and sizes of its objects are held, as readers hold the files of a table.
const LISTED_AHEAD: usize = 2;

/// What lies at the top beside folders.
const KNOWN: [&str; 4] = [layout::HEADER, layout::MANIFEST, layout::SENTINEL, "lease.json"];
/// What belongs to others, or is looked at elsewhere.
const NOT_OURS: [&str; 4] = [layout::LOG, layout::RUNS, "_delta_log", "iceberg"];

/// Path → bytes.
type Listed = HashMap<String, u64>;

/// Looks for the live files of the selected tables at `head`, and hands those that are there to `data`.
pub(super) async fn check(
    archive: &Archive,
    head: &Head,
    selection: &Selection,
    monitor: &dyn Monitor,
    data: &mut DataLevel,
    problems: &mut Problems,
) -> Result<VerifiedObjects> {
    let mut found = VerifiedObjects { version: head.version(), ..VerifiedObjects::default() };
    let tables: Vec<&TableState> = head.tables().filter(|state| selection.contains(&state.table)).collect();
    let count = tables.len() as u64;
    let store = archive.store().as_ref();
    let listings = stream::iter(&tables).map(|state| list(store, &state.folder)).buffered(LISTED_AHEAD);
    let mut listings = std::pin::pin!(listings);
    let mut live = Live::open(archive, head).await?;
    for (number, state) in (1..).zip(&tables) {
        monitor.report(Event::Reading { table: &state.table, number, tables: count });
        let Some(mut listed) = listings.try_next().await? else { break };
        let mut bases: BTreeMap<BaseId, u64> = BTreeMap::new();
        data.begin_table(archive, head, state).await?;
        let is_whole = loop {
            let file = match live.next(&state.table).await? {
                Next::File(file) => file,
                Next::End => break true,
                Next::Lost => break false,
            };
            if let Some(base) = &file.base {
                *bases.entry(base.clone()).or_default() += file.rows;
            }
            match listed.remove(&file.path) {
                Some(bytes) if bytes == file.bytes => {
                    found.files += 1;
                    found.bytes += bytes;
                    data.take(head, *file, problems).await?;
                }
                bytes => {
                    let what = match bytes {
                        None => format!("{} is missing", file.path),
                        Some(bytes) => format!("{} has {bytes} bytes instead of {}", file.path, file.bytes),
                    };
                    problems.add(file_problem(head, &file, what));
                    data.lacks_a_file();
                }
            }
        };
        data.end_table(monitor, problems).await?;
        if is_whole {
            problems.extend(incomplete_bases(head, state, &bases));
            let mut left: Vec<_> = listed.into_iter().collect();
            left.sort();
            left.iter().for_each(|(path, bytes)| found.unneeded.add(path, *bytes));
        }
    }
    problems.extend(live.problems);
    if selection.is_everything() {
        others(archive, head, &mut found.unneeded).await?;
    }
    Ok(found)
}

/// The bases in force that say another number of rows of the table than its files have.
fn incomplete_bases(head: &Head, state: &TableState, rows: &BTreeMap<BaseId, u64>) -> Vec<Problem> {
    let table = &state.table;
    let bases = head.coverage().bases.iter().filter(|base| head.coverage().serves(base, table));
    let wrong = bases.filter_map(|base| {
        let said = base.tables.iter().find(|said| said.table == *table).map_or(0, |said| said.rows);
        let found = rows.get(&base.id).copied().unwrap_or_default();
        if said == found {
            return None;
        }
        let what = format!("the base {} should have {said} documents of {table}, but its files have {found}", base.id);
        let mut problem = Problem::new(ProblemKind::Base, &state.folder, Suffers::State, what);
        problem.table = Some(table.clone());
        (problem.from, problem.to, problem.revisions) = (Some(base.ts), Some(base.ts), Some(said.abs_diff(found)));
        Some(problem.repairs([Repair::Rebase(table.clone())]))
    });
    wrong.collect()
}

/// The live files, table by table. Where they cannot be listed for all tables at once, they are for each alone.
struct Live<'a> {
    archive: &'a Archive,
    head: &'a Head,
    /// Those of all tables, or of one.
    files: Option<LiveFiles>,
    /// The table that `files` are of; None for all.
    alone: Option<TableRef>,
    next: Option<Box<DataFile>>,
    is_broken: bool,
    problems: Vec<Problem>,
}

enum Next {
    File(Box<DataFile>),
    End,
    /// What else there is cannot be told.
    Lost,
}

impl<'a> Live<'a> {
    async fn open(archive: &'a Archive, head: &'a Head) -> Result<Self> {
        let mut live =
            Self { archive, head, files: None, alone: None, next: None, is_broken: false, problems: Vec::new() };
        match archive.live_files(head).await {
            Ok(files) => live.files = Some(files),
            // Which tables cannot be listed is told of each.
            Err(error) if error.kind() == ErrorKind::Corrupt => live.is_broken = true,
            Err(error) => return Err(error),
        }
        Ok(live)
    }

    /// The next file of the table. Tables are asked for in their order.
    async fn next(&mut self, table: &TableRef) -> Result<Next> {
        if self.is_broken && self.alone.as_ref() != Some(table) {
            (self.alone, self.files, self.next) = (Some(table.clone()), None, None);
            match self.archive.live_files_of(self.head, table).await {
                Ok(files) => self.files = Some(files),
                Err(error) => return self.lose(table, error),
            }
        }
        loop {
            if let Some(file) = self.next.take_if(|file| file.table <= *table) {
                if file.table == *table {
                    return Ok(Next::File(file));
                }
                continue;
            }
            if self.next.is_some() {
                return Ok(Next::End);
            }
            let Some(files) = &mut self.files else { return Ok(Next::End) };
            match files.next().await {
                Ok(Some(file)) => self.next = Some(Box::new(file)),
                Ok(None) => {
                    self.files = None;
                    return Ok(Next::End);
                }
                Err(error) => return self.lose(table, error),
            }
        }
    }

    fn lose(&mut self, table: &TableRef, error: Error) -> Result<Next> {
        if error.kind() != ErrorKind::Corrupt {
            return Err(error);
        }
        (self.files, self.next, self.is_broken, self.alone) = (None, None, true, Some(table.clone()));
        let what = format!("cannot determine the live files of {table}: {error}");
        let folder = self.head.table(table).map_or(layout::PARTS, |state| state.folder.as_str());
        let mut problem = Problem::new(ProblemKind::List, folder, Suffers::State, what);
        problem.table = Some(table.clone());
        problem.revisions = self.head.table(table).map(|state| state.live().rows);
        self.problems.push(problem.repairs([Repair::OthersFirst]));
        Ok(Next::Lost)
    }
}

/// All objects below `folder`.
async fn list(store: &dyn ObjectStore, folder: &str) -> Result<Listed> {
    let failed = |e| store_error(e, &format!("cannot list {folder}/"));
    let objects = store.list(Some(&Path::from(folder)));
    objects.map_ok(|object| (object.location.to_string(), object.size)).try_collect().await.map_err(failed)
}

/// Counts what lies outside of the folders of tables and of the log, and lists that this version does not name.
async fn others(archive: &Archive, head: &Head, unneeded: &mut UnneededObjects) -> Result<()> {
    let store = archive.store().as_ref();
    let folders: Vec<&str> = head.tables().map(|state| state.folder.as_str()).collect();
    let mut open = vec![String::new()];
    while let Some(folder) = open.pop() {
        let failed = |e| store_error(e, "cannot list the archive");
        let prefix = (!folder.is_empty()).then(|| Path::from(folder.as_str()));
        let here = store.list_with_delimiter(prefix.as_ref()).await.map_err(failed)?;
        for object in here.objects {
            let path = object.location.as_ref();
            let is_known = KNOWN.contains(&path) || path.starts_with("deletion_vector_");
            if !is_known {
                unneeded.add(path, object.size);
            }
        }
        for prefix in here.common_prefixes {
            let path = prefix.as_ref();
            let leads_on = |of: &&str| of.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
            if NOT_OURS.contains(&path) || folders.contains(&path) {
                continue;
            }
            if path != layout::PARTS && folders.iter().any(leads_on) {
                open.push(path.to_owned());
                continue;
            }
            // Lists are written anew by and by, and old ones are no loss: they are told as one number.
            let mut objects = store.list(Some(&prefix));
            let named: Vec<String> = if path == layout::PARTS {
                Archive::parts_of(head).map(|part| part.path()).collect()
            } else {
                Vec::new()
            };
            while let Some(object) = objects.try_next().await.map_err(failed)? {
                let path = object.location.as_ref();
                if named.binary_search_by(|known| known.as_str().cmp(path)).is_err() {
                    unneeded.add(path, object.size);
                }
            }
        }
    }
    Ok(())
}
