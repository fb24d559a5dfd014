//! Documents → rows: the hot path. Bytes go straight into the builders of their columns; no tree between.
//!
//! A value goes to the oldest column of its field's family that takes it whole; JSON text takes everything. If none does, it goes to
//! the oldest of its kind, and what does not fit in it is rescued item by item; if there is none of its kind, it is rescued whole.

use std::{borrow::Cow, cell::Cell, collections::BTreeMap, sync::Arc};

use arrow::{
    array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, new_null_array},
    datatypes::{DataType, SchemaRef},
};

use super::{
    column::{Column, Data, Object, take},
    digest::ContentSum,
    observe::{kind_of, observe_document},
    oddities::Oddities,
    parse::{Bad, Json, Token, decode_bytes},
    rescued::{Buffers, Mark, MisplacedFields, Path, Stop},
};
use crate::{
    content::{ContentDigest, DigestShare},
    document::{Encoding, TableRef, Timestamp},
    error::{Error, Result},
    schema::{
        ColumnType, DocumentShape, Kind, LEAF_COLUMNS, Misfits, STRUCT_FIELDS, TableSchema, arrow_schema, is_struct_key,
    },
};

/// One document is never longer than this, bytes of its text: 1 MiB in Convex, several times that in JSON at worst.
const MAX_DOCUMENT: usize = 64 << 20;

/// Fields that a document of Convex may have.
const DOCUMENTED_FIELDS: usize = 1024;

/// What one row takes in a leaf column beside its text, bytes: a number or an offset, and whether it is there.
const PLACE: usize = 9;

/// Decodes the documents of one file of one table. After an error it is of no use any more.
#[derive(Debug)]
pub struct TableDecoder {
    arrow: SchemaRef,
    leaves: usize,
    base: Option<Timestamp>,
    object: Object,
    own: OwnColumns,
    rows: usize,
    weight: usize,
    misfits: Misfits,
    newcomers: u64,
    buffers: Buffers,
    content: Option<ContentSum>,
    oddities: Oddities,
}

#[derive(Debug)]
struct OwnColumns {
    id: Column,
    creation_time: Column,
    ts: Vec<i64>,
    tombstone: Vec<bool>,
    nulls: Column,
    rescued: Column,
}

impl Default for OwnColumns {
    fn default() -> Self {
        let text = || Column::new(&ColumnType::String);
        let creation_time = Column::new(&ColumnType::Float64);
        Self { id: text(), creation_time, ts: Vec::new(), tombstone: Vec::new(), nulls: text(), rescued: text() }
    }
}

impl TableDecoder {
    /// A decoder for a file of a table under `schema`. `base` is S for the files of a base.
    pub fn new(schema: &TableSchema, base: Option<Timestamp>) -> Self {
        Self {
            arrow: arrow_schema(schema),
            leaves: schema.leaves(),
            base,
            object: Object::of_table(schema),
            own: OwnColumns::default(),
            rows: 0,
            weight: 0,
            misfits: Misfits::new(),
            newcomers: 0,
            buffers: Buffers::default(),
            content: None,
            oddities: Oddities::default(),
        }
    }

    /// The same, that sums what comes for the content digest of a file of `table`.
    #[must_use]
    pub fn with_content(self, table: &TableRef, share: DigestShare) -> Self {
        Self { content: Some(ContentSum::new(table, share)), ..self }
    }

    /// What came since the beginning; `None` if it is not summed.
    pub fn content(&self) -> Option<ContentDigest> {
        self.content.as_ref().and_then(ContentSum::digest)
    }

    /// The Arrow schema of its batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.arrow
    }

    /// Bytes that the rows since the last flush hold, estimated from above, so that it costs nothing to know.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// How many values since the beginning were rescued only because their name came later than the file's schema, and
    /// could have a column in the next file.
    pub fn newcomers(&self) -> u64 {
        self.newcomers
    }

    /// Per field path and kind, how many values since the beginning did not fit.
    pub fn misfits(&self) -> &Misfits {
        &self.misfits
    }

    /// How many odd documents came since the beginning.
    pub fn oddities(&self) -> Oddities {
        self.oddities
    }

    /// Appends one revision: the text of a document, or of a tombstone, of which only `_id` counts.
    ///
    /// # Errors
    /// Protocol, if the text is not a document that Convex can hold.
    pub fn push(&mut self, text: &str, encoding: Encoding, ts: Timestamp, deleted: bool) -> Result<()> {
        self.push_from(0, text, encoding, ts, deleted)
    }

    /// The same of a document whose first `read` bytes need not be read: they hold nothing but its bracket and members that say what
    /// is known already, and a key follows. 0 if nothing of it is known.
    ///
    /// # Errors
    /// The same.
    pub fn push_from(
        &mut self,
        read: usize,
        text: &str,
        encoding: Encoding,
        ts: Timestamp,
        deleted: bool,
    ) -> Result<()> {
        if text.len() > MAX_DOCUMENT {
            return Err(Error::protocol(format!("a document of {} bytes is larger than Convex allows", text.len())));
        }
        let deep = Cell::new(false);
        let whole = Json::new(text, encoding).noting_depth(&deep);
        let json = if read == 0 { opened(whole)? } else { Json::inside(text, read, encoding).noting_depth(&deep) };
        let mut misplaced = MisplacedFields::new(std::mem::take(&mut self.buffers), json);
        let system = document(&mut self.object, self.rows, self.leaves, json, deleted, &mut misplaced)?;
        if let Some(content) = &mut self.content {
            content.take(&system.id, ts, deleted, whole)?;
        }
        let (own, row) = (&mut self.own, self.rows);
        own.id.push_text(row, &system.id);
        if let Some(ms) = system.creation_time {
            own.creation_time.push_float64(row, ms);
        }
        self.oddities.unknown_fields += u64::from(system.unknown_fields);
        self.oddities.beyond_limits += u64::from(deep.get() || system.fields > DOCUMENTED_FIELDS);
        own.ts.push(ts.0);
        own.tombstone.push(deleted);
        for (column, cell) in [(&mut own.nulls, misplaced.nulls_cell()), (&mut own.rescued, misplaced.rescued_cell())] {
            if let Some(text) = cell {
                column.push_text(row, &text);
            }
        }
        let places = misplaced.places;
        let (buffers, misfits, newcomers) = misplaced.finish();
        self.buffers = buffers;
        self.newcomers += newcomers;
        for (path, misfit) in misfits {
            *self.misfits.entry(path).or_default().entry(misfit.to_string()).or_default() += 1;
        }
        self.rows += 1;
        // A row costs its text, and in every column a place, whether it has a value there or not; so does a list item.
        self.weight += text.len() + PLACE * (self.leaves + 8 + places);
        Ok(())
    }

    /// The rows since the last flush as one batch; `None` if there are none.
    pub fn flush(&mut self) -> Result<Option<RecordBatch>> {
        let rows = std::mem::take(&mut self.rows);
        if rows == 0 {
            return Ok(None);
        }
        self.weight = 0;
        let own = &mut self.own;
        let base: ArrayRef = match self.base {
            Some(ts) => Arc::new(Int64Array::from_value(ts.0, rows)),
            None => new_null_array(&DataType::Int64, rows),
        };
        let mut columns: Vec<ArrayRef> = vec![
            own.id.finish(rows)?,
            own.creation_time.finish(rows)?,
            Arc::new(Int64Array::from(take(&mut own.ts))),
            Arc::new(BooleanArray::from(take(&mut own.tombstone))),
            base,
        ];
        for column in &mut self.object.columns {
            columns.push(column.finish(rows)?);
        }
        columns.push(own.nulls.finish(rows)?);
        columns.push(own.rescued.finish(rows)?);
        let batch = RecordBatch::try_new(self.arrow.clone(), columns);
        batch.map(Some).map_err(|e| Error::internal("a batch could not be built").with_source(e))
    }
}

/// Notes which types stand where in one document.
///
/// # Errors
/// Protocol, if the text is not a document that Convex can hold.
pub fn observe(text: &str, encoding: Encoding, shape: &mut DocumentShape) -> Result<()> {
    Ok(observe_document(Json::new(text, encoding), shape)?)
}

struct System<'a> {
    id: Cow<'a, str>,
    creation_time: Option<f64>,
    /// Fields that are not its own.
    fields: usize,
    /// Whether there are fields that begin with `_` and are unknown.
    unknown_fields: bool,
}

/// Inside of the object that comes next.
fn opened(mut json: Json<'_>) -> Result<Json<'_>, Bad> {
    let Token::Object = json.token()? else { return json.bad("a document is an object") };
    Ok(json)
}

/// Appends the fields of one document, inside of which `json` is, as row `row`.
fn document<'a>(
    object: &mut Object,
    row: usize,
    leaves: usize,
    mut json: Json<'a>,
    deleted: bool,
    misplaced: &mut MisplacedFields<'a>,
) -> Result<System<'a>, Bad> {
    let mut order = Order::new(json);
    let (mut id, mut creation_time) = (None, None);
    let (mut first, mut next) = (true, 0);
    let (mut fields, mut unknown_fields) = (0, false);
    while let Some((key, passed)) = next_key(object, &mut json, &mut first, &mut next)? {
        if key.starts_with('_') {
            let twin = match key.as_ref() {
                "_id" => match json.token()? {
                    Token::String(s) => id.replace(s).is_some(),
                    _ => return json.bad("`_id` is a string"),
                },
                "_creationTime" => match json.token()? {
                    Token::Float64(ms) => creation_time.replace(ms).is_some(),
                    _ => return json.bad("`_creationTime` is a float64"),
                },
                other => {
                    unknown_fields |= !matches!(other, "_table" | "_component" | "_ts" | "_deleted");
                    json.skip()?;
                    false
                }
            };
            if twin {
                return json.bad("a key occurs twice in one object");
            }
            continue;
        }
        if deleted {
            json.skip()?;
            continue;
        }
        fields += 1;
        let family = order.family(object, &key, passed, &mut next)?;
        let start = json;
        let mark = misplaced.begin_field(start);
        let path = Path::field(&key);
        let done = match family {
            Some(family) => field(object, family, row, &mut json, &path, misplaced),
            None => newcomer(leaves < LEAF_COLUMNS, &mut json, &path, misplaced).map(drop),
        };
        match done {
            Ok(()) => {}
            Err(Stop::Bad(bad)) => return Err(bad),
            Err(Stop::TooLong) => {
                if let Some(family) = family {
                    object.truncate(family, row);
                }
                misplaced.roll_back_field(mark);
                json = start;
                misplaced.rescue_field(&path, &mut json)?;
            }
        }
        order.keep(key);
    }
    json.end()?;
    let Some(id) = id else { return json.bad("a document has an `_id`") };
    if !deleted && creation_time.is_none() {
        return json.bad("a document has a `_creationTime`");
    }
    Ok(System { id, creation_time: creation_time.filter(|_| !deleted), fields, unknown_fields })
}

/// A key, and its family if it is one of those that are expected.
type Key<'a> = (Cow<'a, str>, Option<usize>);

/// The next key.
fn next_key<'a>(
    object: &Object,
    json: &mut Json<'a>,
    first: &mut bool,
    next: &mut usize,
) -> Result<Option<Key<'a>>, Bad> {
    if let Some((key, family)) = object.pass_key(json, first, next) {
        return Ok(Some((Cow::Borrowed(key), Some(family))));
    }
    Ok(json.key(first)?.map(|key| (key, None)))
}

/// Appends the next value, of a field that has columns.
fn field<'a>(
    object: &mut Object,
    family: usize,
    row: usize,
    json: &mut Json<'a>,
    path: &Path<'_>,
    misplaced: &mut MisplacedFields<'a>,
) -> Result<(), Stop> {
    let start = *json;
    let takes = &object.families[family];
    if let (Some(column), true) = (takes.json, takes.is_alone()) {
        object.columns[column].push_text(row, misplaced.text(json)?);
        return Ok(());
    }
    if let (Some(column), true) = (takes.string, json.at_string()) {
        return Ok(object.columns[column].push_bytes(row, |out| json.string_into(out))?);
    }
    let kind = match json.token()? {
        Token::Null => return misplaced.null(path),
        Token::Boolean(value) => match takes.boolean {
            Some(column) => {
                object.columns[column].push_boolean(row, value);
                return Ok(());
            }
            None => Kind::Boolean,
        },
        Token::Int64(value) => match takes.int64 {
            Some(column) => {
                object.columns[column].push_int64(row, value);
                return Ok(());
            }
            None => Kind::Int64,
        },
        Token::Float64(value) => match takes.float64 {
            Some(column) => {
                object.columns[column].push_float64(row, value);
                return Ok(());
            }
            None => Kind::Float64,
        },
        Token::String(_) => Kind::String,
        Token::Bytes(text) => match takes.bytes {
            Some(column) => {
                return Ok(object.columns[column].push_bytes(row, |out| decode_bytes(&text, start.at(), out))?);
            }
            None => Kind::Bytes,
        },
        Token::Array if takes.lists.is_empty() && takes.json.is_none() => {
            if let Some(kind) = kind_of(&mut start.clone())? {
                misplaced.misfit(path, kind);
            }
            *json = start;
            return misplaced.rescue(path, json);
        }
        Token::Array => return array(object, family, row, json, start, path, misplaced),
        Token::Object => match takes.object {
            Some(column) => {
                let mark = misplaced.mark();
                let Some(inner) = object.columns[column].push_struct(row) else { return Ok(()) };
                let done = fields(inner, row, json, path, misplaced);
                if takes.json.is_none() || is_whole(&done, mark, misplaced) {
                    return done;
                }
                object.columns[column].truncate(row);
                misplaced.roll_back(mark);
                Kind::Object
            }
            None => Kind::Object,
        },
    };
    *json = start;
    if let Some(column) = takes.json {
        object.columns[column].push_text(row, misplaced.text(json)?);
        return Ok(());
    }
    misplaced.misfit(path, kind);
    misplaced.rescue(path, json)
}

/// Whether a column took a value whole, or it cannot be read at all.
fn is_whole(done: &Result<(), Stop>, mark: Mark, misplaced: &MisplacedFields<'_>) -> bool {
    match done {
        Ok(()) => !misplaced.rescued_since(mark),
        Err(Stop::TooLong) => false,
        Err(Stop::Bad(_)) => true,
    }
}

/// Appends the fields of an object, whose opening bracket has been consumed, to row `row` of a struct.
fn fields<'a>(
    object: &mut Object,
    row: usize,
    json: &mut Json<'a>,
    path: &Path<'_>,
    misplaced: &mut MisplacedFields<'a>,
) -> Result<(), Stop> {
    let mut order = Order::new(*json);
    let (mut first, mut next) = (true, 0);
    while let Some((key, passed)) = next_key(object, json, &mut first, &mut next)? {
        let family = order.family(object, &key, passed, &mut next)?;
        let at = path.name(&key);
        match family {
            Some(family) => field(object, family, row, json, &at, misplaced)?,
            None => {
                let twin = || object.families.iter().any(|f| f.name.eq_ignore_ascii_case(&key));
                let room = object.columns.len() < STRUCT_FIELDS && is_struct_key(&key) && !twin();
                if newcomer(room, json, &at, misplaced)? && !room {
                    misplaced.key(path);
                }
            }
        }
        order.keep(key);
    }
    Ok(())
}

/// The next value stands under a name without a column; `room`: the next file may have one. Whether it is more than null.
fn newcomer<'a>(
    room: bool,
    json: &mut Json<'a>,
    path: &Path<'_>,
    misplaced: &mut MisplacedFields<'a>,
) -> Result<bool, Stop> {
    let start = *json;
    if let Token::Null = json.token()? {
        misplaced.null(path)?;
        return Ok(false);
    }
    *json = start;
    misplaced.rescue(path, json)?;
    if room {
        misplaced.newcomer();
    }
    Ok(true)
}

/// Appends an array, whose opening bracket has been consumed, to the oldest list that takes it whole, or as JSON text where there is a column of
/// that, or to the oldest.
fn array<'a>(
    object: &mut Object,
    family: usize,
    row: usize,
    json: &mut Json<'a>,
    start: Json<'a>,
    path: &Path<'_>,
    misplaced: &mut MisplacedFields<'a>,
) -> Result<(), Stop> {
    let opened = *json;
    let mark = misplaced.mark();
    let (lists, text) = (object.families[family].lists.len(), object.families[family].json);
    for n in 0..if lists > 1 || text.is_some() { lists } else { 0 } {
        let column = object.families[family].lists[n];
        let done = items(&mut object.columns[column], row, json, path, misplaced);
        if is_whole(&done, mark, misplaced) {
            return done;
        }
        object.columns[column].truncate(row);
        misplaced.roll_back(mark);
        *json = opened;
    }
    if let Some(column) = text {
        *json = start;
        object.columns[column].push_text(row, misplaced.text(json)?);
        return Ok(());
    }
    let oldest = object.families[family].lists[0];
    let done = items(&mut object.columns[oldest], row, json, path, misplaced);
    // Counted as well when it is too long: a long list of another kind is the first to need a sibling.
    if misplaced.rescued_since(mark)
        && let Some(kind) = kind_of(&mut start.clone())?
        && !object.families[family].kinds.contains(&kind)
    {
        misplaced.misfit(path, kind);
    }
    done
}

/// Appends the items of an array, whose opening bracket has been consumed, as row `row` of a list.
fn items<'a>(
    column: &mut Column,
    row: usize,
    json: &mut Json<'a>,
    path: &Path<'_>,
    misplaced: &mut MisplacedFields<'a>,
) -> Result<(), Stop> {
    let Some(list) = column.list(row) else { return Ok(()) };
    let (mut first, mut index) = (true, 0);
    while json.item(&mut first)? {
        misplaced.place(list.leaves)?;
        item(&mut list.items, json, &path.item(index), misplaced)?;
        index += 1;
    }
    column.end_list();
    Ok(())
}

/// Appends the next value as the next item of a list.
fn item<'a>(
    column: &mut Column,
    json: &mut Json<'a>,
    path: &Path<'_>,
    misplaced: &mut MisplacedFields<'a>,
) -> Result<(), Stop> {
    let row = column.len();
    let start = *json;
    if let Data::Json(_) = column.data {
        column.push_text(row, misplaced.text(json)?);
        return Ok(());
    }
    if let (Data::String(_), true) = (&column.data, json.at_string()) {
        return Ok(column.push_bytes(row, |out| json.string_into(out))?);
    }
    match (json.token()?, &column.data) {
        (Token::Null, _) => column.pad(row + 1),
        (Token::Boolean(value), Data::Boolean(_)) => column.push_boolean(row, value),
        (Token::Int64(value), Data::Int64(_)) => column.push_int64(row, value),
        (Token::Float64(value), Data::Float64(_)) => column.push_float64(row, value),
        (Token::Bytes(text), Data::Bytes(_)) => column.push_bytes(row, |out| decode_bytes(&text, start.at(), out))?,
        (Token::Array, Data::List(_)) => return items(column, row, json, path, misplaced),
        (Token::Object, Data::Struct(_)) => {
            let Some(inner) = column.push_struct(row) else { return Ok(()) };
            return fields(inner, row, json, path, misplaced);
        }
        _ => {
            column.pad(row + 1);
            *json = start;
            return misplaced.rescue(path, json);
        }
    }
    Ok(())
}

/// Watches that no key stands twice in an object. Keys come sorted from the server, so a comparison with the last one is
/// enough; only where they do not, the whole object is looked through, once.
struct Order<'a> {
    object: Json<'a>,
    last: Option<Cow<'a, str>>,
    looked_through: bool,
}

impl<'a> Order<'a> {
    fn new(object: Json<'a>) -> Self {
        Self { object, last: None, looked_through: false }
    }

    fn check(&mut self, key: &str) -> Result<(), Bad> {
        if !self.looked_through && self.last.as_ref().is_some_and(|last| last.as_ref() >= key) {
            self.looked_through = true;
            self.object.refuse_twins()?;
        }
        Ok(())
    }

    /// The family of a key, unless it stands there for the second time. Those that are expected lie behind every key that came in
    /// order before, so that such a key is none.
    fn family(
        &mut self,
        object: &Object,
        key: &str,
        expected: Option<usize>,
        next: &mut usize,
    ) -> Result<Option<usize>, Bad> {
        if expected.is_some() {
            return Ok(expected);
        }
        self.check(key)?;
        Ok(object.find(key, next))
    }

    fn keep(&mut self, key: Cow<'a, str>) {
        self.last = Some(key);
    }
}

/// Adds up misfits.
pub fn add_misfits(sum: &mut Misfits, more: &Misfits) {
    for (path, kinds) in more {
        let counts: &mut BTreeMap<String, u64> = sum.entry(path.clone()).or_default();
        for (kind, n) in kinds {
            *counts.entry(kind.clone()).or_default() += n;
        }
    }
}
