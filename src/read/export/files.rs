//! [`FileSet`]: the files of one table, one after another, each cut at about the same size.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use object_store::ObjectStore;
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::WriterProperties,
};

use super::options::{ExportFormat, ExportOptions};
use crate::{
    error::{Error, Result},
    monitor::{Event, Monitor},
    store::Upload,
};

/// Stored bytes at which a Parquet file ends.
const PARQUET_BYTES: u64 = 128 << 20;
/// Bytes at which a file of text ends.
const TEXT_BYTES: u64 = 512 << 20;

/// Files on their way. What it holds: an open row group, and two parts of an upload.
pub(super) struct FileSet {
    target: Arc<dyn ObjectStore>,
    folder: String,
    format: ExportFormat,
    row_group_bytes: usize,
    schema: SchemaRef,
    /// What stands at the beginning of each file.
    header: String,
    names: Vec<String>,
    bytes: u64,
    open: Option<OpenFile>,
}

struct OpenFile {
    upload: Upload,
    text: String,
    parquet: Option<ArrowWriter<Vec<u8>>>,
    bytes: u64,
}

impl FileSet {
    pub(super) fn new(
        target: Arc<dyn ObjectStore>,
        folder: &str,
        options: &ExportOptions,
        schema: SchemaRef,
        header: String,
    ) -> Self {
        let row_group_bytes = options.budget.row_group();
        let (folder, format) = (folder.to_owned(), options.format);
        Self { target, folder, format, row_group_bytes, schema, header, names: Vec::new(), bytes: 0, open: None }
    }

    /// Stored bytes of all files so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The names of the files.
    pub(super) fn into_names(self) -> Vec<String> {
        self.names
    }

    /// Where text goes.
    pub(super) fn text(&mut self) -> &mut String {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.begun(None),
        };
        &mut self.open.insert(open).text
    }

    /// Rows of a Parquet file.
    pub(super) fn rows(&mut self, rows: &RecordBatch) -> Result<()> {
        self.begin_parquet()?;
        if let Some(OpenFile { parquet: Some(writer), .. }) = &mut self.open {
            writer.write(rows).map_err(not_encoded)?;
            if writer.in_progress_size() >= self.row_group_bytes || writer.memory_size() >= 2 * self.row_group_bytes {
                writer.flush().map_err(not_encoded)?;
            }
        }
        Ok(())
    }

    /// Sends what is encoded, and ends the file if it is large enough.
    pub(super) async fn send(&mut self) -> Result<()> {
        let full = if self.format == ExportFormat::Parquet { PARQUET_BYTES } else { TEXT_BYTES };
        let Some(open) = &mut self.open else { return Ok(()) };
        let mut encoded = match &mut open.parquet {
            Some(writer) => std::mem::take(writer.inner_mut()),
            None => std::mem::take(&mut open.text).into_bytes(),
        };
        open.bytes += encoded.len() as u64;
        self.bytes += encoded.len() as u64;
        open.upload.push(&mut encoded).await?;
        if open.bytes >= full { self.close().await } else { Ok(()) }
    }

    /// Ends the last file. A table without documents has one too.
    pub(super) async fn end(&mut self) -> Result<()> {
        if self.names.is_empty() {
            if self.format == ExportFormat::Parquet {
                self.begin_parquet()?;
            } else {
                self.text();
            }
        }
        self.send().await?;
        self.close().await
    }

    /// Gives up the file that is open.
    pub(super) async fn abort(&mut self, monitor: &dyn Monitor) {
        if let Some(open) = self.open.take()
            && let Some(left) = open.upload.abort().await
        {
            monitor.report(Event::Finding(&left));
        }
    }

    fn begin_parquet(&mut self) -> Result<()> {
        if self.open.is_some() {
            return Ok(());
        }
        let properties = WriterProperties::builder()
            .set_created_by(concat!("convex-archiver version ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            // Names the items of a list `element`, whatever the Arrow field is called.
            .set_coerce_types(true)
            .set_max_row_group_row_count(None)
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&self.schema), Some(properties));
        let open = self.begun(Some(writer.map_err(not_encoded)?));
        self.open = Some(open);
        Ok(())
    }

    /// The next file.
    fn begun(&mut self, parquet: Option<ArrowWriter<Vec<u8>>>) -> OpenFile {
        let name = format!("part-{:05}.{}", self.names.len(), self.format.extension());
        let upload = Upload::new(Arc::clone(&self.target), format!("{}/{name}", self.folder));
        self.names.push(name);
        OpenFile { upload, text: self.header.clone(), parquet, bytes: 0 }
    }

    async fn close(&mut self) -> Result<()> {
        // What fails here is given up by whoever hears of it.
        if let Some(open) = &mut self.open
            && let Some(writer) = open.parquet.take()
        {
            let mut rest = writer.into_inner().map_err(not_encoded)?;
            self.bytes += rest.len() as u64;
            open.upload.push(&mut rest).await?;
        }
        if let Some(open) = &mut self.open {
            open.upload.finish().await?;
        }
        self.open = None;
        Ok(())
    }
}

fn not_encoded(error: ParquetError) -> Error {
    Error::internal("rows could not be encoded as Parquet: report it").with_source(error)
}
