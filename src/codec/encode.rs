//! Rows → documents: the way back, by field id, never by name.
//!
//! # Why text that is JSON already is read again
//! Columns of JSON and `_rescued` hold text that was JSON when it was written, and every block of a file is compared with its
//! checksum before it is decoded. What is handed on as a line of JSON is read once more all the same: a file of another writer,
//! or a defect of this one, would otherwise make a ZIP that an import refuses in the middle, or a line that shifts all that
//! follow. The cost, in a table of which nearly all is JSON text (21 MB in 20,000 documents): 311 of 725 million instructions
//! of an export as NDJSON, 9 % of those of a restore, which compresses (callgrind, dev profile); elsewhere nothing.

use std::collections::BTreeMap;

use arrow::{
    array::{
        Array, AsArray, BinaryArray, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
        StructArray,
    },
    datatypes::{DataType, Field as ArrowField, Float64Type, Int64Type},
};
use memchr::memchr2;
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;

use super::{
    json::{parse_value, write_bytes, write_float64, write_int64, write_string, write_value},
    parse::Json,
};
use crate::{
    document::{Encoding, Revision, Timestamp, Value},
    error::{Error, Result, ResultExt},
    schema::{ColumnType, Field, OwnColumn, TableSchema},
};

/// Reads revisions out of the rows of a batch.
///
/// The batch may have been written under any older schema of the table; a column that it lacks is absent in every row.
pub struct RowReader<'a> {
    id: &'a StringArray,
    creation_time: &'a Float64Array,
    ts: &'a Int64Array,
    tombstone: &'a BooleanArray,
    nulls: &'a StringArray,
    rescued: &'a StringArray,
    fields: Vec<Member<'a>>,
    /// All that a document has, sorted by name.
    order: Vec<Place>,
}

#[derive(Clone, Copy)]
enum Place {
    Id,
    CreationTime,
    Field(usize),
}

struct Member<'a> {
    name: &'a str,
    node: Node<'a>,
}

enum Node<'a> {
    Boolean(&'a BooleanArray),
    Int64(&'a Int64Array),
    Float64(&'a Float64Array),
    String(&'a StringArray),
    Json(&'a StringArray),
    Bytes(&'a BinaryArray),
    List(&'a ListArray, Box<Node<'a>>),
    Struct(&'a StructArray, Vec<Member<'a>>),
}

impl<'a> RowReader<'a> {
    /// A reader for the rows of `batch`, of a table whose newest schema is `schema`.
    ///
    /// # Errors
    /// Corrupt, if the batch lacks one of our own columns or a column is not of its field's type.
    pub fn new(schema: &'a TableSchema, batch: &'a RecordBatch) -> Result<Self> {
        let own = |column: OwnColumn| {
            batch.column_by_name(column.name()).ok_or_else(|| Error::corrupt(format!("no column `{}`", column.name())))
        };
        let mismatch = |column: OwnColumn| Error::corrupt(format!("column `{}` has another type", column.name()));
        let text = |column: OwnColumn| own(column)?.as_string_opt::<i32>().ok_or_else(|| mismatch(column));
        let int = |column: OwnColumn| own(column)?.as_primitive_opt::<Int64Type>().ok_or_else(|| mismatch(column));
        let fields = members(&schema.fields, batch.schema_ref().fields(), batch.columns())?;
        let mut order = vec![("_id", Place::Id), ("_creationTime", Place::CreationTime)];
        order.extend(fields.iter().enumerate().map(|(i, field)| (field.name, Place::Field(i))));
        order.sort_by_key(|(name, _)| *name);
        let order = order.into_iter().map(|(_, place)| place).collect();
        Ok(Self {
            id: text(OwnColumn::Id)?,
            creation_time: own(OwnColumn::CreationTime)?
                .as_primitive_opt::<Float64Type>()
                .ok_or_else(|| mismatch(OwnColumn::CreationTime))?,
            ts: int(OwnColumn::Ts)?,
            tombstone: own(OwnColumn::Tombstone)?.as_boolean_opt().ok_or_else(|| mismatch(OwnColumn::Tombstone))?,
            nulls: text(OwnColumn::Nulls)?,
            rescued: text(OwnColumn::Rescued)?,
            fields,
            order,
        })
    }

    /// The id of the document in `row`.
    pub(super) fn id(&self, row: usize) -> &'a str {
        self.id.value(row)
    }

    pub(super) fn ts(&self, row: usize) -> Timestamp {
        Timestamp(self.ts.value(row))
    }

    pub(super) fn is_tombstone(&self, row: usize) -> bool {
        self.tombstone.value(row)
    }

    /// The revision in `row`.
    ///
    /// # Errors
    /// Corrupt, if the cells contradict one another.
    pub fn revision(&self, row: usize) -> Result<Revision> {
        let id = self.id.value(row).to_owned();
        let ts = Timestamp(self.ts.value(row));
        if self.tombstone.value(row) {
            return Ok(Revision { id, ts, document: None });
        }
        let document = self.document(row, &id).map_err(|e| e.context(format!("document {id}")))?;
        Ok(Revision { id, ts, document: Some(document) })
    }

    /// Appends the document in `row` as JSON text in `encoding`, keys sorted by bytes: what
    /// [`write_value`] writes of the revision's document. Makes a tree of it only where values were
    /// rescued, or nulls stand inside of objects.
    ///
    /// # Errors
    /// As [`revision`](Self::revision), and Corrupt for text that is no JSON; Internal for a tombstone.
    pub fn write_json(&self, row: usize, encoding: Encoding, out: &mut String) -> Result<()> {
        let id = self.id.value(row);
        if self.tombstone.value(row) {
            return Err(Error::internal(format!("document {id} is deleted, and a tombstone has no text")));
        }
        let nulls = if self.rescued.is_valid(row) {
            None
        } else {
            self.top_level_nulls(row).context(|| format!("document {id}"))?
        };
        let Some(nulls) = nulls else {
            let document = self.document(row, id).map_err(|e| e.context(format!("document {id}")))?;
            write_value(out, &Value::Object(document), encoding);
            return Ok(());
        };
        let creation_time = self.creation_time.is_valid(row).then(|| self.creation_time.value(row));
        let mut object = ObjectWriter { out, nulls: nulls.into_iter().peekable(), begun: false };
        for place in &self.order {
            match place {
                Place::Id => write_string(object.key("_id"), id),
                Place::CreationTime => {
                    if let Some(ms) = creation_time {
                        write_float64(object.key("_creationTime"), ms, encoding);
                    }
                }
                Place::Field(field) => {
                    let Member { name, node } = &self.fields[*field];
                    if node.array().is_valid(row) {
                        node.write(row, encoding, object.key(name))
                            .map_err(|e| e.context(format!("field `{name}`")).context(format!("document {id}")))?;
                    }
                }
            }
        }
        object.end();
        Ok(())
    }

    /// The names of the fields that are null, sorted; `None` if there are nulls deeper inside.
    fn top_level_nulls(&self, row: usize) -> Result<Option<Vec<String>>> {
        let mut names = Vec::new();
        if self.nulls.is_valid(row) {
            for path in null_paths(self.nulls.value(row))? {
                match path.strip_prefix('/') {
                    Some(name) if !name.contains('/') => names.push(unescape(name)),
                    _ => return Ok(None),
                }
            }
            names.sort();
        }
        Ok(Some(names))
    }

    fn document(&self, row: usize, id: &str) -> Result<BTreeMap<String, Value>> {
        let mut document = object(&self.fields, row)?;
        if self.rescued.is_valid(row) {
            let Value::Object(rescued) = parse(self.rescued.value(row)).context(|| "`_rescued`")? else {
                return Err(Error::corrupt("`_rescued` is no object"));
            };
            for (path, value) in rescued {
                place(&mut document, &path, value)?;
            }
        }
        if self.nulls.is_valid(row) {
            for path in null_paths(self.nulls.value(row))? {
                place(&mut document, &path, Value::Null)?;
            }
        }
        document.insert("_id".to_owned(), Value::String(id.to_owned()));
        if self.creation_time.is_valid(row) {
            document.insert("_creationTime".to_owned(), Value::Float64(self.creation_time.value(row)));
        }
        Ok(document)
    }
}

/// Writes an object whose keys come sorted, and the nulls between them.
struct ObjectWriter<'a, I: Iterator<Item = String>> {
    out: &'a mut String,
    nulls: std::iter::Peekable<I>,
    begun: bool,
}

impl<I: Iterator<Item = String>> ObjectWriter<'_, I> {
    /// Begins the value of `key`; returns where it goes.
    fn key(&mut self, key: &str) -> &mut String {
        while let Some(null) = self.nulls.next_if(|null| null.as_str() < key) {
            self.begin(&null);
            self.out.push_str("null");
        }
        self.begin(key);
        self.out
    }

    fn begin(&mut self, key: &str) {
        self.out.push(if self.begun { ',' } else { '{' });
        self.begun = true;
        write_string(self.out, key);
        self.out.push(':');
    }

    fn end(mut self) {
        while let Some(null) = self.nulls.next() {
            self.begin(&null);
            self.out.push_str("null");
        }
        self.out.push_str(if self.begun { "}" } else { "{}" });
    }
}

fn null_paths(cell: &str) -> Result<Vec<String>> {
    let Value::Array(paths) = parse(cell).context(|| "`_nulls`")? else {
        return Err(Error::corrupt("`_nulls` is no array"));
    };
    let path = |path| match path {
        Value::String(path) => Ok(path),
        _ => Err(Error::corrupt("`_nulls` holds no path")),
    };
    paths.into_iter().map(path).collect()
}

fn parse(text: &str) -> Result<Value> {
    parse_value(text, Encoding::ExportJson).map_err(no_json)
}

/// Appends text in [`Encoding::ExportJson`] as it is, once it has been read.
fn write_text(out: &mut String, text: &str) -> Result<()> {
    let mut json = Json::new(text, Encoding::ExportJson);
    json.skip().and_then(|()| json.end()).map_err(|bad| no_json(bad.into()))?;
    if memchr2(b'\n', b'\r', text.as_bytes()).is_none() {
        out.push_str(text);
    } else {
        // JSON may have line breaks between values, which this program never writes, and a line may not.
        write_value(out, &parse(text)?, Encoding::ExportJson);
    }
    Ok(())
}

fn no_json(e: Error) -> Error {
    Error::corrupt("a cell does not hold the JSON text that it should; take the file from a copy of the archive")
        .with_source(e)
}

/// The columns of `fields` that are there, found by field id.
fn members<'a>(
    fields: &'a [Field],
    arrow: &'a arrow::datatypes::Fields,
    columns: &'a [arrow::array::ArrayRef],
) -> Result<Vec<Member<'a>>> {
    let mut members = Vec::with_capacity(fields.len());
    let by_id: BTreeMap<i32, usize> =
        arrow.iter().enumerate().filter_map(|(i, field)| Some((field_id(field)?, i))).collect();
    for field in fields {
        if let Some(at) = by_id.get(&field.id) {
            let node = node(&field.column_type, columns[*at].as_ref())
                .map_err(|e| e.context(format!("column `{}`", field.column)))?;
            members.push(Member { name: &field.name, node });
        }
    }
    // As Convex keeps the fields of an object.
    members.sort_by(|a, b| a.name.cmp(b.name));
    Ok(members)
}

pub(crate) fn field_id(field: &ArrowField) -> Option<i32> {
    field.metadata().get(PARQUET_FIELD_ID_META_KEY)?.parse().ok()
}

fn node<'a>(column: &'a ColumnType, array: &'a dyn Array) -> Result<Node<'a>> {
    let node = match column {
        ColumnType::Boolean => array.as_boolean_opt().map(Node::Boolean),
        ColumnType::Int64 => array.as_primitive_opt::<Int64Type>().map(Node::Int64),
        ColumnType::Float64 => array.as_primitive_opt::<Float64Type>().map(Node::Float64),
        ColumnType::String => array.as_string_opt::<i32>().map(Node::String),
        ColumnType::Json => array.as_string_opt::<i32>().map(Node::Json),
        ColumnType::Bytes => array.as_binary_opt::<i32>().map(Node::Bytes),
        ColumnType::List(element) => match array.as_list_opt::<i32>() {
            Some(list) => Some(Node::List(list, Box::new(self::node(&element.column_type, list.values().as_ref())?))),
            None => None,
        },
        ColumnType::Struct(fields) => match (array.as_struct_opt(), array.data_type()) {
            (Some(inner), DataType::Struct(arrow)) => {
                Some(Node::Struct(inner, members(fields, arrow, inner.columns())?))
            }
            _ => None,
        },
    };
    node.ok_or_else(|| Error::corrupt(format!("holds {} where the schema says {column:?}", array.data_type())))
}

fn object(members: &[Member<'_>], row: usize) -> Result<BTreeMap<String, Value>> {
    let mut object = BTreeMap::new();
    for member in members {
        if let Some(value) = member.node.value(row)? {
            object.insert(member.name.to_owned(), value);
        }
    }
    Ok(object)
}

impl Node<'_> {
    fn array(&self) -> &dyn Array {
        match self {
            Self::Boolean(a) => *a,
            Self::Int64(a) => *a,
            Self::Float64(a) => *a,
            Self::String(a) | Self::Json(a) => *a,
            Self::Bytes(a) => *a,
            Self::List(a, _) => *a,
            Self::Struct(a, _) => *a,
        }
    }

    /// The value in `row`; `None` for NULL.
    fn value(&self, row: usize) -> Result<Option<Value>> {
        if self.array().is_null(row) {
            return Ok(None);
        }
        Ok(Some(match self {
            Self::Boolean(a) => Value::Boolean(a.value(row)),
            Self::Int64(a) => Value::Int64(a.value(row)),
            Self::Float64(a) => Value::Float64(a.value(row)),
            Self::String(a) => Value::String(a.value(row).to_owned()),
            Self::Json(a) => parse(a.value(row))?,
            Self::Bytes(a) => Value::Bytes(a.value(row).to_vec()),
            Self::List(a, items) => {
                let offsets = a.value_offsets();
                let mut values = Vec::new();
                for item in offsets[row] as usize..offsets[row + 1] as usize {
                    values.push(items.value(item)?.unwrap_or(Value::Null));
                }
                Value::Array(values)
            }
            Self::Struct(_, members) => Value::Object(object(members, row)?),
        }))
    }
}

impl Node<'_> {
    /// Appends the value in `row`, which is not NULL.
    fn write(&self, row: usize, encoding: Encoding, out: &mut String) -> Result<()> {
        match self {
            Self::Boolean(a) => out.push_str(if a.value(row) { "true" } else { "false" }),
            Self::Int64(a) => write_int64(out, a.value(row), encoding),
            Self::Float64(a) => write_float64(out, a.value(row), encoding),
            Self::String(a) => write_string(out, a.value(row)),
            Self::Json(a) if encoding == Encoding::ExportJson => write_text(out, a.value(row))?,
            Self::Json(a) => write_value(out, &parse(a.value(row))?, encoding),
            Self::Bytes(a) => write_bytes(out, a.value(row), encoding),
            Self::List(a, items) => {
                let offsets = a.value_offsets();
                let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
                out.push('[');
                for item in from..to {
                    if item > from {
                        out.push(',');
                    }
                    if items.array().is_valid(item) { items.write(item, encoding, out)? } else { out.push_str("null") }
                }
                out.push(']');
            }
            Self::Struct(_, members) => {
                out.push('{');
                let mut begun = false;
                for member in members.iter().filter(|member| member.node.array().is_valid(row)) {
                    if std::mem::replace(&mut begun, true) {
                        out.push(',');
                    }
                    write_string(out, member.name);
                    out.push(':');
                    member.node.write(row, encoding, out)?;
                }
                out.push('}');
            }
        }
        Ok(())
    }
}

/// Puts a value where the JSON Pointer `path` says. A token is an index if the typed columns gave a list there.
fn place(document: &mut BTreeMap<String, Value>, path: &str, value: Value) -> Result<()> {
    let lost = || Error::corrupt("a path in `_nulls` or `_rescued` points to nothing");
    let mut tokens = path.strip_prefix('/').ok_or_else(lost)?.split('/').map(unescape).peekable();
    let mut name = tokens.next().ok_or_else(lost)?;
    let mut object = document;
    loop {
        let Some(mut token) = tokens.next() else {
            object.insert(name, value);
            return Ok(());
        };
        let mut at = object.get_mut(&name).ok_or_else(lost)?;
        while let Value::Array(items) = at {
            at = token.parse::<usize>().ok().and_then(|i| items.get_mut(i)).ok_or_else(lost)?;
            match tokens.next() {
                Some(next) => token = next,
                None => {
                    *at = value;
                    return Ok(());
                }
            }
        }
        let Value::Object(inner) = at else { return Err(lost()) };
        object = inner;
        name = token;
    }
}

fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}
