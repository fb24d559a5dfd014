//! One builder per Arrow type: rows go in by position, and can be taken back.
//!
//! # Why not the builders of arrow
//! They can not be truncated, and the bound on `_rescued`, and lists with siblings, need just that. Besides, a column
//! that is absent from a document costs nothing here: nulls are filled in when its next value comes, or at the end of the
//! batch, so that wide sparse tables are cheap.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Float64Array, Int64Array, ListArray,
        NullBufferBuilder, StringArray, StructArray,
    },
    buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer},
    datatypes::FieldRef,
};

use super::{parse::Json, spelling::Spelling};
use crate::{
    error::{Error, Result},
    schema::{ColumnType, Element, Field, Kind, TableSchema, element_field, struct_fields},
};

/// Values of one column, by row.
#[derive(Debug)]
pub(super) struct Column {
    /// Rows filled so far.
    len: usize,
    validity: NullBufferBuilder,
    pub(super) data: Data,
}

/// What a column holds.
#[derive(Debug)]
pub(super) enum Data {
    Boolean(BooleanBufferBuilder),
    Int64(Vec<i64>),
    Float64(Vec<f64>),
    String(Text),
    Json(Text),
    Bytes(Text),
    List(List),
    Struct(Object),
}

/// Strings or bytes, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Text {
    pub(super) bytes: Vec<u8>,
    /// Where each row ends.
    ends: Vec<i32>,
}

#[derive(Debug)]
pub(super) struct List {
    pub(super) items: Box<Column>,
    /// Where each row ends in `items`.
    ends: Vec<i32>,
    field: FieldRef,
    /// Leaf columns in which each item has a place.
    pub(super) leaves: usize,
}

/// The columns of a document or of a struct, found by field name.
#[derive(Debug)]
pub(super) struct Object {
    /// Sorted by name.
    pub(super) families: Vec<Family>,
    /// In the order of the schema.
    pub(super) columns: Vec<Column>,
    fields: arrow::datatypes::Fields,
}

/// The columns of one field: for each kind of value, which of them takes it.
#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) name: String,
    spelling: Spelling,
    /// Takes every value that no other takes whole.
    pub(super) json: Option<usize>,
    pub(super) boolean: Option<usize>,
    pub(super) int64: Option<usize>,
    pub(super) float64: Option<usize>,
    pub(super) string: Option<usize>,
    pub(super) bytes: Option<usize>,
    pub(super) object: Option<usize>,
    /// Oldest first.
    pub(super) lists: Vec<usize>,
    pub(super) kinds: Vec<Kind>,
    /// All of them.
    members: Vec<usize>,
}

/// Families that are compared with a key without reading it.
const COMPARED: usize = 16;

impl Text {
    /// Ends the row that was written into `bytes`.
    fn end(&mut self) {
        // Batches are cut at about a megabyte and one document; see `TableDecoder::push` for the guard.
        self.ends.push(self.bytes.len() as i32);
    }
}

impl Column {
    pub(super) fn new(column_type: &ColumnType) -> Self {
        let data = match column_type {
            ColumnType::Boolean => Data::Boolean(BooleanBufferBuilder::new(0)),
            ColumnType::Int64 => Data::Int64(Vec::new()),
            ColumnType::Float64 => Data::Float64(Vec::new()),
            ColumnType::String => Data::String(Text::default()),
            ColumnType::Json => Data::Json(Text::default()),
            ColumnType::Bytes => Data::Bytes(Text::default()),
            ColumnType::List(element) => Data::List(List::new(element)),
            ColumnType::Struct(fields) => Data::Struct(Object::new(fields)),
        };
        Self { len: 0, validity: NullBufferBuilder::new(0), data }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Fills the rows up to `row` with NULL.
    #[inline]
    pub(super) fn pad(&mut self, row: usize) {
        // Most values stand right behind the last one.
        if row > self.len {
            self.fill(row);
        }
    }

    fn fill(&mut self, row: usize) {
        let missing = row - self.len;
        self.validity.append_n_nulls(missing);
        match &mut self.data {
            Data::Boolean(values) => values.append_n(missing, false),
            Data::Int64(values) => values.resize(row, 0),
            Data::Float64(values) => values.resize(row, 0.0),
            Data::String(text) | Data::Json(text) | Data::Bytes(text) => text.ends.resize(row, text.bytes.len() as i32),
            Data::List(list) => list.ends.resize(row, list.items.len as i32),
            // The rows of its fields are filled in later, like all others.
            Data::Struct(_) => {}
        }
        self.len = row;
    }

    /// Row `row` has a value, which the caller has just written or will write into the data.
    fn valid(&mut self) {
        self.validity.append_non_null();
        self.len += 1;
    }

    pub(super) fn push_boolean(&mut self, row: usize, value: bool) {
        self.pad(row);
        if let Data::Boolean(values) = &mut self.data {
            values.append(value);
            self.valid();
        }
    }

    pub(super) fn push_int64(&mut self, row: usize, value: i64) {
        self.pad(row);
        if let Data::Int64(values) = &mut self.data {
            values.push(value);
            self.valid();
        }
    }

    pub(super) fn push_float64(&mut self, row: usize, value: f64) {
        self.pad(row);
        if let Data::Float64(values) = &mut self.data {
            values.push(value);
            self.valid();
        }
    }

    /// Appends what `write` writes as the text or bytes of row `row`; nothing if it fails.
    pub(super) fn push_bytes<E>(
        &mut self,
        row: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.pad(row);
        if let Data::String(text) | Data::Json(text) | Data::Bytes(text) = &mut self.data {
            let before = text.bytes.len();
            if let Err(e) = write(&mut text.bytes) {
                text.bytes.truncate(before);
                return Err(e);
            }
            text.end();
            self.valid();
        }
        Ok(())
    }

    pub(super) fn push_text(&mut self, row: usize, value: &str) {
        self.pad(row);
        if let Data::String(text) | Data::Json(text) = &mut self.data {
            text.bytes.extend_from_slice(value.as_bytes());
            text.end();
            self.valid();
        }
    }

    /// A struct is present in row `row`; the row of its fields is the same.
    pub(super) fn push_struct(&mut self, row: usize) -> Option<&mut Object> {
        self.pad(row);
        self.valid();
        match &mut self.data {
            Data::Struct(object) => Some(object),
            _ => None,
        }
    }

    /// Begins a list in row `row`.
    pub(super) fn list(&mut self, row: usize) -> Option<&mut List> {
        self.pad(row);
        match &mut self.data {
            Data::List(list) => Some(list),
            _ => None,
        }
    }

    /// Ends the list that was begun.
    pub(super) fn end_list(&mut self) {
        if let Data::List(list) = &mut self.data {
            list.ends.push(list.items.len as i32);
            self.valid();
        }
    }

    /// Takes back every row from `row` on, finished or not.
    pub(super) fn truncate(&mut self, row: usize) {
        if row < self.len {
            self.validity.truncate(row);
            self.len = row;
        }
        match &mut self.data {
            Data::Boolean(values) => values.truncate(row.min(values.len())),
            Data::Int64(values) => values.truncate(row),
            Data::Float64(values) => values.truncate(row),
            Data::String(text) | Data::Json(text) | Data::Bytes(text) => {
                text.ends.truncate(row);
                text.bytes.truncate(text.ends.last().map_or(0, |end| *end as usize));
            }
            Data::List(list) => {
                list.ends.truncate(row);
                list.items.truncate(list.ends.last().map_or(0, |end| *end as usize));
            }
            Data::Struct(object) => object.columns.iter_mut().for_each(|c| c.truncate(row)),
        }
    }

    /// The Arrow array of the first `rows` rows. Leaves the column empty.
    pub(super) fn finish(&mut self, rows: usize) -> Result<ArrayRef> {
        self.pad(rows);
        self.len = 0;
        let nulls = self.validity.finish();
        let internal = |e| Error::internal("a column could not be built").with_source(e);
        Ok(match &mut self.data {
            Data::Boolean(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Data::Int64(values) => Arc::new(Int64Array::new(ScalarBuffer::from(take(values)), nulls)),
            Data::Float64(values) => Arc::new(Float64Array::new(ScalarBuffer::from(take(values)), nulls)),
            Data::String(text) | Data::Json(text) => {
                let (offsets, bytes) = text.finish();
                Arc::new(StringArray::try_new(offsets, bytes, nulls).map_err(internal)?)
            }
            Data::Bytes(text) => {
                let (offsets, bytes) = text.finish();
                Arc::new(BinaryArray::try_new(offsets, bytes, nulls).map_err(internal)?)
            }
            Data::List(list) => {
                let items = list.items.finish(list.items.len)?;
                let offsets = offsets(&mut list.ends);
                Arc::new(ListArray::try_new(list.field.clone(), offsets, items, nulls).map_err(internal)?)
            }
            Data::Struct(object) => object.finish(rows, nulls)?,
        })
    }
}

impl List {
    fn new(element: &Element) -> Self {
        let items = Box::new(Column::new(&element.column_type));
        let leaves = element.column_type.leaves();
        Self { items, ends: Vec::new(), field: Arc::new(element_field(element)), leaves }
    }
}

impl Object {
    pub(super) fn of_table(schema: &TableSchema) -> Self {
        Self::new(&schema.fields)
    }

    fn new(fields: &[Field]) -> Self {
        let mut families: Vec<Family> = Vec::new();
        for (i, field) in fields.iter().enumerate() {
            let at = match families.binary_search_by(|f| f.name.as_str().cmp(&field.name)) {
                Ok(at) => at,
                Err(at) => {
                    let (name, spelling) = (field.name.clone(), Spelling::of(&field.name));
                    families.insert(at, Family { name, spelling, ..Family::default() });
                    at
                }
            };
            families[at].add(i, &field.column_type);
        }
        let columns = fields.iter().map(|f| Column::new(&f.column_type)).collect();
        Self { families, columns, fields: struct_fields(fields) }
    }

    /// Passes the next key if it is the name of one of the families from `next` on, which moves behind it, and is spelled as
    /// usual. Fields come sorted, so nearly every key is that of one of the next families.
    pub(super) fn pass_key<'a>(
        &self,
        json: &mut Json<'a>,
        first: &mut bool,
        next: &mut usize,
    ) -> Option<(&'a str, usize)> {
        let text = json.name_ahead(*first)?;
        let begin = u64::from_le_bytes(*text.first_chunk()?);
        // Names of Convex's own are none of these.
        let from = if begin as u8 == b'_' { return None } else { (*next).min(self.families.len()) };
        let expected = &self.families[from..(from + COMPARED).min(self.families.len())];
        let at = from + expected.iter().position(|family| family.spelling.begins(text, begin))?;
        *next = at + 1;
        Some((json.pass_key(first, &self.families[at].spelling), at))
    }

    /// The family of `name`; `next` moves to the one behind it, or behind where it would be.
    pub(super) fn find(&self, name: &str, next: &mut usize) -> Option<usize> {
        let found = self.families.binary_search_by(|f| f.name.as_str().cmp(name));
        *next = found.map_or_else(|at| at, |at| at + 1);
        found.ok()
    }

    /// Takes back what row `row` of this family holds.
    pub(super) fn truncate(&mut self, family: usize, row: usize) {
        for column in &self.families[family].members {
            self.columns[*column].truncate(row);
        }
    }

    fn finish(&mut self, rows: usize, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let columns = self.columns.iter_mut().map(|c| c.finish(rows)).collect::<Result<Vec<_>>>()?;
        let array = StructArray::try_new_with_length(self.fields.clone(), columns, nulls, rows);
        Ok(Arc::new(array.map_err(|e| Error::internal("a struct column could not be built").with_source(e))?))
    }
}

impl Family {
    pub(super) fn is_alone(&self) -> bool {
        self.members.len() == 1
    }

    fn add(&mut self, column: usize, column_type: &ColumnType) {
        self.members.push(column);
        self.kinds.push(Kind::of_column(column_type));
        let place = match column_type {
            ColumnType::Boolean => &mut self.boolean,
            ColumnType::Int64 => &mut self.int64,
            ColumnType::Float64 => &mut self.float64,
            ColumnType::String => &mut self.string,
            ColumnType::Bytes => &mut self.bytes,
            ColumnType::Json => &mut self.json,
            ColumnType::Struct(_) => &mut self.object,
            ColumnType::List(_) => return self.lists.push(column),
        };
        place.get_or_insert(column);
    }
}

impl Text {
    fn finish(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        (offsets(&mut self.ends), Buffer::from_vec(take(&mut self.bytes)))
    }
}

/// What `values` holds; it gets room for as much again, and a little more: batches are of about one size, and half of them would be moved to a
/// place twice as large for a few values.
pub(super) fn take<T>(values: &mut Vec<T>) -> Vec<T> {
    let next = Vec::with_capacity(values.len() + values.len() / 8);
    std::mem::replace(values, next)
}

fn offsets(ends: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let mut offsets = Vec::with_capacity(ends.len() + 1);
    offsets.push(0);
    offsets.append(ends);
    OffsetBuffer::new(ScalarBuffer::from(offsets))
}
