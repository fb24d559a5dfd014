//! Small files become one: their rows in order, as they are.
//!
//! Nothing is sorted, dropped or moved between columns; rows of an older file have NULL in the columns that came later. People keep nothing but
//! the archive, so three things are compared before a commit replaces anything: the SHA-256 of each input as it is read, the content digest that
//! was taken from the wire with what its rows decode to, and the joined file, read back from the store, with the sum of its inputs.

use std::sync::Arc;

use arrow::{array::RecordBatch, compute::concat_batches, datatypes::SchemaRef};

use crate::{
    archive::{Archive, Head},
    budget::MemoryBudget,
    codec::{ContentSum, conform},
    content::{ContentDigest, DigestShare},
    data::{DataFile, FileContext, FileReader, FileWriter, NewFile, WantedRows, WriterOptions},
    error::{Error, Result},
    monitor::Monitor,
    own_base::read_back,
    schema::{Misfits, TableSchema},
};

/// Rows that are written at once, where they are small.
const ROWS: usize = 8_192;

/// What joining takes.
pub(super) struct Joiner<'a> {
    pub(super) archive: &'a Archive,
    pub(super) head: &'a Head,
    pub(super) budget: MemoryBudget,
    pub(super) compression_level: i32,
    pub(super) monitor: Arc<dyn Monitor>,
}

impl Joiner<'_> {
    /// One file at `path` with the rows of the group's files. It is complete in the store, and in no commit yet.
    ///
    /// # Errors
    /// Corrupt, if an input is damaged, or its rows are not the documents that came. Internal, if the joined file does not hold them. Otherwise as the
    /// store says. Nothing is joined then.
    pub(super) async fn join(&self, group: &[DataFile], path: String) -> Result<DataFile> {
        let newest = group.iter().max_by_key(|file| file.schema);
        let Some(newest) = newest else { return Err(Error::internal("nothing is joined: report it")) };
        let schema = self.archive.schema(self.head, &newest.table).await?;
        let columns = Arc::clone(self.open(newest).await?.schema());
        let new = NewFile {
            table: newest.table.clone(),
            path,
            phase: newest.phase,
            base: None,
            month: newest.month.clone(),
            encoding: newest.encoding,
            repeats: false,
            schema_id: newest.schema,
        };
        let options = WriterOptions { compression_level: self.compression_level, ..self.budget.into() };
        let (store, monitor) = (Arc::clone(self.archive.store()), Arc::clone(&self.monitor));
        let mut rows = Rows::new(FileWriter::open(store, new, Arc::clone(&columns), options, monitor)?, columns);
        let mut content = Content::Nothing;
        for file in group {
            match self.copy(file, &schema, &mut rows).await {
                Ok(digest) => content = content.and(digest),
                Err(error) => {
                    rows.writer.abandon().await;
                    return Err(error);
                }
            }
        }
        let digest = content.digest();
        let made = rows.close(misfits(group), digest).await?;
        let joined = DataFile {
            joined: group.iter().map(|file| file.joined).max().unwrap_or_default().saturating_add(1),
            brought_by: group.iter().filter_map(|file| file.brought_by).max(),
            ..made
        };
        self.check(&joined, &schema, group, digest).await?;
        Ok(joined)
    }

    async fn open(&self, file: &DataFile) -> Result<FileReader> {
        let wanted = WantedRows { batch_bytes: self.budget.read_batch(), ..WantedRows::default() };
        FileReader::open(Arc::clone(self.archive.store()), file, &wanted).await
    }

    /// Hands on the rows of an input. What its documents are, as its writer took it from the wire.
    async fn copy(&self, file: &DataFile, schema: &TableSchema, rows: &mut Rows) -> Result<Option<ContentDigest>> {
        let mut reader = self.open(file).await?;
        let said = reader.content()?;
        let mut found = sum_for(file, said);
        while let Some(batch) = reader.next().await? {
            found.take_rows(schema, &batch)?;
            rows.write(&batch).await?;
        }
        if found.digest() == said {
            return Ok(said);
        }
        Err(Error::corrupt(format!(
            "the documents in {} are not those that the deployment sent (the content digest differs), so the file \
             stays as it is; run audit --full --table {}",
            file.path, file.table
        )))
    }

    /// Reads the joined file back.
    async fn check(
        &self,
        joined: &DataFile,
        schema: &TableSchema,
        group: &[DataFile],
        said: Option<ContentDigest>,
    ) -> Result<()> {
        let context = FileContext::default();
        let mut wrong = read_back(self.archive, joined, schema, context, said, self.budget).await?;
        if joined.rows != group.iter().map(|file| file.rows).sum::<u64>() {
            wrong.push("it has a different number of rows".to_owned());
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Error::internal(format!(
            "{} does not contain the same as the files that it joins, so they stay and nothing was committed: {}: \
             report it",
            joined.path,
            wrong.join("; ")
        )))
    }
}

fn sum_for(file: &DataFile, said: Option<ContentDigest>) -> ContentSum {
    ContentSum::new(&file.table, said.map_or(DigestShare::Off, |digest| digest.share))
}

/// How many values did not fit, in all the files.
fn misfits(group: &[DataFile]) -> Misfits {
    let mut sums = Misfits::new();
    for (column, kinds) in group.iter().flat_map(|file| &file.misfits) {
        for (kind, n) in kinds {
            let sum = sums.entry(column.clone()).or_default().entry(kind.clone()).or_default();
            *sum = sum.saturating_add(*n);
        }
    }
    sums
}

/// The content digest of the files so far.
#[derive(Clone, Copy)]
enum Content {
    Nothing,
    Sum(ContentDigest),
    /// One of them has none, or another share: none can be said of all.
    Unknown,
}

impl Content {
    fn and(self, digest: Option<ContentDigest>) -> Self {
        match (self, digest) {
            (Self::Nothing, Some(digest)) => Self::Sum(digest),
            (Self::Sum(sum), Some(digest)) if sum.share == digest.share => {
                Self::Sum(ContentDigest { share: sum.share, sum: sum.sum.plus(digest.sum) })
            }
            _ => Self::Unknown,
        }
    }

    fn digest(self) -> Option<ContentDigest> {
        match self {
            Self::Sum(digest) => Some(digest),
            Self::Nothing | Self::Unknown => None,
        }
    }
}

/// Rows on their way into the joined file. Batches of small files are gathered first: the columns of a file are chosen by its first batch.
struct Rows {
    writer: FileWriter,
    columns: SchemaRef,
    waiting: Vec<RecordBatch>,
    count: usize,
    bytes: usize,
    most: usize,
}

impl Rows {
    fn new(writer: FileWriter, columns: SchemaRef) -> Self {
        Self { writer, columns, waiting: Vec::new(), count: 0, bytes: 0, most: 4 << 20 }
    }

    async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let batch = conform(batch, &self.columns)?;
        self.count += batch.num_rows();
        self.bytes += batch.get_array_memory_size();
        self.waiting.push(batch);
        if self.count >= ROWS || self.bytes >= self.most { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<()> {
        let failed = |e| Error::internal("rows of files cannot be joined").with_source(e);
        let batch = concat_batches(&self.columns, &self.waiting).map_err(failed)?;
        self.waiting.clear();
        (self.count, self.bytes) = (0, 0);
        self.writer.write(batch).await
    }

    async fn close(mut self, misfits: Misfits, content: Option<ContentDigest>) -> Result<DataFile> {
        self.flush().await?;
        self.writer.close(misfits, content).await
    }
}
