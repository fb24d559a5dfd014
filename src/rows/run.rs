//! A *run*: sorted rows in a temporary file without a name, which vanishes with the process.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Seek},
};

use arrow::{
    datatypes::SchemaRef,
    error::ArrowError,
    ipc::{reader::StreamReader, writer::StreamWriter},
};

use super::keyed::PickedRows;
use crate::{
    codec::{pick, weigh},
    error::{Error, Result},
    temporary,
};

/// A run that is being written.
pub(crate) struct RunWriter(StreamWriter<BufWriter<File>>);

impl RunWriter {
    pub(crate) fn create(schema: &SchemaRef) -> Result<Self> {
        let file = temporary::file()?;
        StreamWriter::try_new(BufWriter::with_capacity(256 << 10, file), schema).map(Self).map_err(run_failed)
    }

    /// Appends rows, in batches of about `batch` bytes.
    pub(crate) fn write(
        &mut self,
        picked: &PickedRows,
        schema: &SchemaRef,
        batch: usize,
        heaviest: &mut usize,
    ) -> Result<()> {
        let weights: Vec<_> = picked.sources.iter().map(|source| weigh(&source.batch, schema)).collect();
        let mut begin = 0;
        while begin < picked.rows.len() {
            let (mut end, mut weight) = (begin, 0);
            while let Some((source, row)) = picked.rows.get(end) {
                let next = weights[*source][*row];
                *heaviest = next.max(*heaviest);
                if end > begin && weight + next > batch {
                    break;
                }
                (weight, end) = (weight + next, end + 1);
            }
            let sources: Vec<_> = picked.sources.iter().map(|source| &source.batch).collect();
            let rows = pick(&sources, &picked.rows[begin..end], schema)?;
            self.0.write(&rows).map_err(run_failed)?;
            begin = end;
        }
        Ok(())
    }

    /// The run, at its beginning.
    pub(crate) fn finish(self) -> Result<File> {
        let mut file =
            self.0.into_inner().map_err(run_failed)?.into_inner().map_err(|e| temporary::failed(e.into_error()))?;
        file.rewind().map_err(temporary::failed)?;
        Ok(file)
    }
}

/// Reads a run from its beginning.
pub(crate) fn open(run: File) -> Result<RunReader> {
    StreamReader::try_new_buffered(run, None).map(Box::new).map_err(run_failed)
}

/// What an error of a run means.
pub(crate) fn run_failed(e: ArrowError) -> Error {
    match e {
        ArrowError::IoError(_, e) => temporary::failed(e),
        e => Error::internal("sorted rows could not be kept in a temporary file").with_source(e),
    }
}

/// A run, as it is read.
pub(crate) type RunReader = Box<StreamReader<BufReader<File>>>;
