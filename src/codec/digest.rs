//! The canonical text of a revision, from the wire and from rows, and the sum of those of one file: its [`ContentDigest`].
//!
//! ```text
//! ["waitlist/users","j57…",1790000000000000001,{"_creationTime":1789999999999.5,"_id":"j57…","name":"Ada"}]
//! ["waitlist/users","j57…",1790000000000000002,null]
//! ```
//!
//! That is: the table (component path and name), `_id`, `_ts`, and the document in export_json, keys sorted by bytes, no
//! white space; `null` for a tombstone. The document is what the archive keeps of it: of the names that begin with `_` it has
//! `_id` and `_creationTime`, and what a lossy encoding sent as a string is a string.
//!
//! Law: the sum over what came over the wire is the sum over what a reader decodes, for every document that Convex can hold,
//! after any drift.
//!
//! # Why here and not over columns
//! The text is made from the text that came, before any column: so what it proves is the whole way through columns, `_nulls`,
//! `_rescued` and Parquet, and back.

use std::{collections::BTreeMap, fmt::Write};

use arrow::array::RecordBatch;

use super::{
    encode::RowReader,
    json::{read_value, transcode, write_string, write_value},
    parse::{Bad, Json},
};
use crate::{
    content::{ContentDigest, DigestShare},
    document::{Encoding, TableRef, Timestamp, Value},
    error::Result,
    schema::TableSchema,
    sum::Sum,
};

/// Sums the revisions of one table, as they come or as they are read.
#[derive(Debug)]
pub struct ContentSum {
    share: DigestShare,
    sum: Sum,
    /// What all texts begin with: `["users",`.
    begin: String,
    text: String,
}

impl ContentSum {
    /// A sum of no revision of `table` yet.
    pub fn new(table: &TableRef, share: DigestShare) -> Self {
        let mut begin = String::from("[");
        write_string(&mut begin, &table.to_string());
        begin.push(',');
        Self { share, sum: Sum::default(), begin, text: String::new() }
    }

    /// The sum so far; `None` if the share is [`DigestShare::Off`].
    pub fn digest(&self) -> Option<ContentDigest> {
        (self.share != DigestShare::Off).then_some(ContentDigest { share: self.share, sum: self.sum })
    }

    /// Adds a revision from the wire, if its document is in the share.
    pub(super) fn take(&mut self, id: &str, ts: Timestamp, deleted: bool, document: Json<'_>) -> Result<(), Bad> {
        if self.share.takes(id) {
            self.begin(id, ts);
            if deleted {
                self.text.push_str("null");
            } else {
                document_text(document, &mut self.text)?;
            }
            self.end();
        }
        Ok(())
    }

    /// Adds those rows of a batch whose documents are in the share. `schema` is the table's newest.
    ///
    /// # Errors
    /// Corrupt, if the batch is none of that table, or its cells contradict one another.
    pub fn take_rows(&mut self, schema: &TableSchema, batch: &RecordBatch) -> Result<()> {
        if self.share == DigestShare::Off {
            return Ok(());
        }
        let reader = RowReader::new(schema, batch)?;
        for row in 0..batch.num_rows() {
            let id = reader.id(row);
            if self.share.takes(id) {
                self.begin(id, reader.ts(row));
                if reader.is_tombstone(row) {
                    self.text.push_str("null");
                } else {
                    reader.write_json(row, Encoding::ExportJson, &mut self.text)?;
                }
                self.end();
            }
        }
        Ok(())
    }

    fn begin(&mut self, id: &str, ts: Timestamp) {
        self.text.clear();
        self.text.push_str(&self.begin);
        write_string(&mut self.text, id);
        // Writing to a String cannot fail.
        let _ = write!(self.text, ",{},", ts.0);
    }

    fn end(&mut self) {
        self.text.push(']');
        self.sum.add(self.text.as_bytes());
    }
}

/// Whether a name of a document is kept: of those that begin with `_` two are.
fn is_kept(name: &str) -> bool {
    !name.starts_with('_') || name == "_id" || name == "_creationTime"
}

/// Appends what an archive keeps of a document that came in `encoding`, in canonical export_json: the text that
/// [`RowReader::write_json`] makes of its row.
///
/// # Errors
/// Protocol, if the text is not what a deployment may send.
pub(crate) fn kept_text(text: &str, encoding: Encoding, out: &mut String) -> Result<()> {
    Ok(document_text(Json::new(text, encoding), out)?)
}

/// Appends a document that was read once already, in export_json; without a tree where its names come sorted, as servers send
/// them.
fn document_text(document: Json<'_>, out: &mut String) -> Result<(), Bad> {
    let (mut json, before) = (document, out.len());
    let (mut previous, mut first) = (None, true);
    json.token()?;
    out.push('{');
    while let Some(key) = json.key(&mut first)? {
        if !is_kept(&key) {
            json.skip()?;
            continue;
        }
        if previous.as_ref().is_some_and(|previous| *previous >= key) {
            out.truncate(before);
            return sorted_text(document, out);
        }
        if previous.is_some() {
            out.push(',');
        }
        write_string(out, &key);
        out.push(':');
        transcode(&mut json, out)?;
        previous = Some(key);
    }
    out.push('}');
    Ok(())
}

/// The same of a document in any order.
fn sorted_text(mut json: Json<'_>, out: &mut String) -> Result<(), Bad> {
    let (mut fields, mut first) = (BTreeMap::new(), true);
    json.token()?;
    while let Some(key) = json.key(&mut first)? {
        if is_kept(&key) {
            fields.insert(key.into_owned(), read_value(&mut json)?);
        } else {
            json.skip()?;
        }
    }
    write_value(out, &Value::Object(fields), Encoding::ExportJson);
    Ok(())
}
