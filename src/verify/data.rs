//! The data: each file is read from its beginning to its end, every row is decoded, and what its commit says of it is compared with
//! what it is. Several files are read at a time, as many as the memory limit has room for.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use object_store::ObjectStore;
use tokio::task::JoinSet;

use super::{
    file::file_problem,
    report::{Problem, ProblemKind, Problems, Suffers, VerifiedData},
    sample::Sample,
    unique::{self, Twice},
};
use crate::{
    archive::{Archive, Head, TableState},
    budget::MemoryBudget,
    codec::{ContentSum, RowReader},
    content::DigestShare,
    data::{DataFile, FileContext, FileReader, RowsCheck, WantedRows},
    document::{Encoding, TableRef, Timestamp},
    error::{Error, ErrorKind, Result},
    monitor::{Event, Monitor},
    position::BaseId,
    rows::files::Part,
    schema::{OwnColumn, TableSchema},
};

/// Files that are read have a share of the limit: one part of so many. As much again takes what sorts their keys.
const SHARE: u64 = 4;

/// Reads data files, unless nothing is to be read.
pub(super) struct DataLevel {
    store: Arc<dyn ObjectStore>,
    budget: MemoryBudget,
    /// None: no data are read.
    wanted: Option<Wanted>,
    at_once: usize,
    jobs: JoinSet<(DataFile, Problem, Result<FileRead>)>,
    table: Option<Table>,
    pub(super) read: VerifiedData,
}

/// Which data files are read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    All,
    Sample(Sample),
}

/// The table whose files come.
struct Table {
    name: Arc<TableRef>,
    /// None, if its columns cannot be read: then no row can be decoded.
    schema: Option<Arc<TableSchema>>,
    convex_ids: bool,
    /// Its change files, if all of them are read.
    deltas: Vec<Part>,
    is_whole: bool,
}

/// What came of reading a file.
#[derive(Debug, Default)]
struct FileRead {
    rows: u64,
    compared_rows: u64,
    wrong: Vec<String>,
}

/// A file to be read.
struct Job {
    store: Arc<dyn ObjectStore>,
    file: DataFile,
    schema: Option<Arc<TableSchema>>,
    context: FileContext,
    batch_bytes: usize,
}

impl DataLevel {
    pub(super) fn new(store: Arc<dyn ObjectStore>, budget: MemoryBudget, wanted: Option<Wanted>) -> Self {
        let each = (3 * budget.read_batch() + budget.row_group()) as u64;
        let room = (budget.limit() / SHARE / each).max(1) as usize;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let at_once = room.min(cores);
        Self { store, budget, wanted, at_once, jobs: JoinSet::new(), table: None, read: VerifiedData::default() }
    }

    pub(super) async fn begin_table(&mut self, archive: &Archive, head: &Head, state: &TableState) -> Result<()> {
        if self.wanted.is_none() {
            return Ok(());
        }
        let schema = match archive.schemas().of(head, state).await {
            Ok(schema) => Some(schema),
            // What is wrong with its object was found with the log.
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => None,
            Err(error) => return Err(error),
        };
        self.table = Some(Table {
            name: Arc::new(state.table.clone()),
            schema,
            convex_ids: state.number.is_some(),
            deltas: Vec::new(),
            is_whole: matches!(self.wanted, Some(Wanted::All)),
        });
        Ok(())
    }

    /// A live file of the table is not there as it should be.
    pub(super) fn lacks_a_file(&mut self) {
        if let Some(table) = &mut self.table {
            table.is_whole = false;
        }
    }

    /// A file of the table that is there. Waits until there is room to read it.
    pub(super) async fn take(&mut self, head: &Head, file: DataFile, problems: &mut Problems) -> Result<()> {
        let Some(wanted) = self.wanted else { return Ok(()) };
        let is_wanted = match wanted {
            Wanted::All => true,
            Wanted::Sample(sample) => sample.takes(&file.path),
        };
        if !is_wanted {
            return Ok(());
        }
        while self.jobs.len() >= self.at_once {
            self.finish_one(problems).await?;
        }
        let Some(table) = &mut self.table else { return Ok(()) };
        if table.is_whole && file.base.is_none() {
            table.deltas.push(Part::new(file.clone(), &table.name));
        }
        let job = Job {
            store: Arc::clone(&self.store),
            schema: table.schema.clone(),
            context: FileContext {
                base: file.base.as_ref().and_then(|id| moment_of(head, id)),
                convex_ids: table.convex_ids,
            },
            batch_bytes: self.budget.read_batch(),
            file,
        };
        // What it would say, should the file be harmed: the task knows no head.
        let problem = file_problem(head, &job.file, String::new());
        self.jobs.spawn(async move {
            let read = job.read().await;
            (job.file, problem, read)
        });
        Ok(())
    }

    /// All files of the table were given. Waits for those that are being read, and sees whether each revision stands once in its
    /// change files.
    pub(super) async fn end_table(&mut self, monitor: &dyn Monitor, problems: &mut Problems) -> Result<()> {
        let Some(table) = self.table.take() else { return Ok(()) };
        let before = self.read;
        while !self.jobs.is_empty() {
            self.finish_one(problems).await?;
        }
        monitor.report(Event::Documents {
            documents: self.read.rows - before.rows,
            bytes: self.read.bytes - before.bytes,
        });
        let (true, Some(schema)) = (table.is_whole, &table.schema) else { return Ok(()) };
        match unique::check(&self.store, table.deltas, schema, self.budget).await? {
            None => {}
            Some(twice) if twice.count == 0 => self.read.unique_tables += 1,
            Some(twice) => problems.add(duplicates(&table.name, &twice)),
        }
        Ok(())
    }

    /// Waits for a file that is being read.
    async fn finish_one(&mut self, problems: &mut Problems) -> Result<()> {
        let Some(ended) = self.jobs.join_next().await else { return Ok(()) };
        let (file, problem, read) =
            ended.map_err(|e| Error::internal("a data file could not be verified: report it").with_source(e))?;
        let wrong = match read {
            Ok(read) => {
                self.read.files += 1;
                self.read.bytes += file.bytes;
                self.read.rows += read.rows;
                self.read.compared_rows += read.compared_rows;
                read.wrong
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => vec![with_causes(&error)],
            Err(error) => return Err(error),
        };
        if !wrong.is_empty() {
            problems.add(Problem { what: format!("{}: {}", file.path, wrong.join("; ")), ..problem });
        }
        Ok(())
    }
}

/// S of a base that is complete, or is being made.
fn moment_of(head: &Head, id: &BaseId) -> Option<Timestamp> {
    let complete = head.coverage().bases.iter().find(|base| base.id == *id).map(|base| base.ts);
    complete.or_else(|| head.progress().walk.as_ref().filter(|walk| walk.base == *id).map(|walk| walk.ts))
}

fn duplicates(table: &TableRef, twice: &Twice) -> Problem {
    let Twice { count, id, ts } = twice;
    let what = format!("{count} revisions occur more than once in the change files of {table}, such as {id} at {ts}");
    let mut problem = Problem::new(ProblemKind::Duplicate, table.to_string(), Suffers::History, what);
    problem.table = Some(table.clone());
    (problem.from, problem.to, problem.revisions) = (Some(*ts), Some(*ts), Some(*count));
    problem
}

/// An error with what it comes from.
fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = next.source();
    }
    text
}

impl Job {
    /// # Errors
    /// Corrupt, if the file is not what was written, or a row of it cannot be decoded.
    async fn read(&self) -> Result<FileRead> {
        let wanted = WantedRows { batch_bytes: self.batch_bytes, ..WantedRows::default() };
        let mut reader = FileReader::open(Arc::clone(&self.store), &self.file, &wanted).await?;
        let content = reader.content()?;
        let share = content.map_or(DigestShare::Off, |content| content.share);
        let mut sum = ContentSum::new(&self.file.table, share);
        let mut check = RowsCheck::new(&self.file, self.context);
        let mut read = FileRead::default();
        let mut text = String::new();
        // What is wrong with rows is told after all bytes were compared: if those are not as they were written, that is why.
        let mut undecoded = None;
        while let Some(batch) = reader.next().await? {
            read.rows += batch.num_rows() as u64;
            if undecoded.is_some() {
                continue;
            }
            let decoded = check.add(&batch).and_then(|()| match &self.schema {
                Some(schema) => {
                    sum.take_rows(schema, &batch)?;
                    decode(schema, &batch, &mut text)
                }
                None => Ok(()),
            });
            undecoded = decoded.err();
        }
        match undecoded {
            Some(error) if error.kind() == ErrorKind::Corrupt => {
                read.wrong
                    .push(format!("it is as it was written, but its rows cannot be decoded: {}", with_causes(&error)));
                return Ok(read);
            }
            Some(error) => return Err(error),
            None => {}
        }
        read.wrong = check.end();
        if self.schema.is_some() {
            let found = sum.digest();
            read.compared_rows = found.map_or(0, |found| found.sum.count);
            if found != content {
                read.wrong.push(
                    "its documents are not those that the deployment sent (the content digest taken at that time \
                     differs)"
                        .to_owned(),
                );
            }
        }
        Ok(read)
    }
}

/// Decodes every row.
fn decode(schema: &TableSchema, batch: &RecordBatch, text: &mut String) -> Result<()> {
    let reader = RowReader::new(schema, batch)?;
    let tombstones = batch.column_by_name(OwnColumn::Tombstone.name()).and_then(|column| column.as_boolean_opt());
    let tombstones = tombstones.ok_or_else(|| Error::corrupt("it has no column _tombstone"))?;
    for row in (0..batch.num_rows()).filter(|row| !tombstones.value(*row)) {
        text.clear();
        reader.write_json(row, Encoding::ExportJson, text)?;
    }
    Ok(())
}
