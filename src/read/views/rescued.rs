//! What a row rescued, back in its columns: expressions of DuckDB.
//!
//! # The rule
//! A value that was rescued, and whose path has a column in the newest schema now, stands in that column if it fits it; so do those
//! inside of structs, each for itself, also where the whole object was rescued (nulls in it go to `_nulls`). Lists are taken whole or
//! not at all. All others stand in a column beside the top-level one, `x__rescued`: the value itself, or an object of what is inside of
//! `x`, nested as the document is. Keys are names; below a list they are indices, with the rest of the path behind. What has no column
//! at all is in `_rescued`. So each value stands once.
//!
//! JSON text beside a column inside of a struct, `x.y__json`, is told there too: who asks for what is at `y` need not know of it.
//!
//! What was rescued where is not known before the rows are read: counters tell of values that did not fit a column that was there
//! ([`Misfits`]), not of those that had none. So what may have happened counts ([`Evidence`]): in a table without rescued rows all columns are
//! left as they are, so that filters reach their files.
//!
//! `_archive.at`, `_archive.below`, … are macros of `rescued.sql`. Columns are called `c` and their field id here, and [`Steps`] have another letter before
//! it: whatever documents call their fields, nothing of ours has that name.

use std::collections::BTreeMap;

use super::duckdb_text::string;
use crate::schema::{ColumnType, Engine, Field, KEYS_OF_DATA, Misfits, NestedTypes, pointer};

/// What may have been rescued in a table.
pub(super) struct Evidence {
    /// Counters by path: values that did not fit a column that was there.
    pub(super) misfits: Misfits,
    /// Some row rescued something.
    pub(super) rescued: bool,
    /// Some columns came later than others: they may have been rescued before.
    pub(super) grown: bool,
}

impl Evidence {
    /// Whether a value at this path may have been rescued whole.
    fn whole(&self, path: &str) -> bool {
        let counted = |kinds: &BTreeMap<String, u64>| kinds.keys().any(|kind| kind != KEYS_OF_DATA);
        self.rescued && (self.grown || self.misfits.get(path).is_some_and(counted))
    }

    /// Whether something inside of these may have been rescued: any key or item may.
    fn below(&self, family: &[&Field]) -> bool {
        self.rescued && family.iter().any(|field| !matches!(field.column_type.nested(), NestedTypes::Nothing))
    }
}

/// The fields of one name, and what a row shows of them.
pub(super) struct Shown<'a> {
    /// Each column of the family and its expression.
    pub(super) columns: Vec<(&'a Field, String)>,
    /// The step that has all that fits none of them: JSON, or NULL.
    pub(super) beside: Option<String>,
    /// Lists of paths: of the nulls in objects that were rescued whole.
    pub(super) nulls: Vec<String>,
    /// It is another value than the file has, also in rows that rescued nothing.
    differs: bool,
}

/// Where a family stands.
struct Place {
    path: String,
    /// The step that has the object which was rescued there whole, and stands in a struct now.
    object: Option<String>,
}

/// Values that others are made of, each with a name, so that no expression is written out twice: what stands in an object three levels
/// down would be hundreds of them.
#[derive(Default)]
pub(super) struct Steps {
    /// Those of one level use only those of the levels before.
    levels: Vec<Vec<String>>,
    level_of: BTreeMap<String, usize>,
}

impl Steps {
    /// Gives an expression a name. `uses` are the steps in it.
    fn add(&mut self, name: String, expression: &str, uses: &[&str]) -> String {
        let after = uses.iter().filter_map(|used| self.level_of.get(*used)).max();
        let level = after.map_or(0, |level| level + 1);
        self.levels.resize_with(self.levels.len().max(level + 1), Vec::new);
        self.levels[level].push(format!("{expression} AS {name}"));
        self.level_of.insert(name.clone(), level);
        name
    }

    /// A relation with the columns of `source`, and all steps.
    pub(super) fn over(&self, source: &str) -> String {
        self.levels.iter().fold(source.to_owned(), |source, level| {
            format!("(SELECT *,\n    {}\n  FROM {source})", level.join(",\n    "))
        })
    }
}

/// How a column of the files is called.
pub(super) fn column(field: &Field) -> String {
    format!("c{}", field.id)
}

/// What has no column at all: neither one of these, nor one beside one.
pub(super) fn others(families: &[Shown<'_>]) -> String {
    let told = families.iter().filter(|family| family.beside.is_some());
    let told = told.filter_map(|family| family.columns.first());
    let told: Vec<_> = told.map(|(field, ..)| string(&pointer("", &field.name))).collect();
    if told.is_empty() {
        return "CAST(_rescued AS JSON)".to_owned();
    }
    format!("_archive.others(_rescued, [{}])", told.join(", "))
}

/// `_nulls`, with those of objects that were rescued whole.
pub(super) fn nulls(families: &[Shown<'_>]) -> String {
    let more: Vec<_> = families.iter().flat_map(|family| family.nulls.clone()).collect();
    if more.is_empty() {
        "CAST(_nulls AS JSON)".to_owned()
    } else {
        format!("_archive.nulls(_nulls, _rescued, {})", joined(&more))
    }
}

/// Lists, one behind the other.
fn joined(lists: &[String]) -> String {
    let (first, rest) = lists.split_first().map_or(("[]", lists), |(first, rest)| (first.as_str(), rest));
    rest.iter().fold(first.to_owned(), |all, list| format!("list_concat({all}, {list})"))
}

/// The top-level fields, by families in the order of the oldest.
pub(super) fn families_shown<'a>(fields: &'a [Field], evidence: &Evidence, steps: &mut Steps) -> Vec<Shown<'a>> {
    let top = Place { path: String::new(), object: None };
    families(fields).into_iter().map(|family| family_shown(family, evidence, &top, &column, steps)).collect()
}

fn families(fields: &[Field]) -> Vec<Vec<&Field>> {
    let mut families: Vec<Vec<&Field>> = Vec::new();
    for field in fields {
        match families.iter_mut().find(|family| family.first().is_some_and(|first| first.name == field.name)) {
            Some(family) => family.push(field),
            None => families.push(vec![field]),
        }
    }
    families
}

fn family_shown<'a>(
    family: Vec<&'a Field>,
    evidence: &Evidence,
    above: &Place,
    held: &dyn Fn(&Field) -> String,
    steps: &mut Steps,
) -> Shown<'a> {
    let (name, id) = family.first().map_or(("", 0), |first| (first.name.as_str(), first.id));
    let path = pointer(&above.path, name);
    let value = value(evidence, above, (name, id), is_text_alone(&family), steps);
    let below = evidence.below(&family);
    let mut shown = Shown { columns: Vec::new(), beside: None, nulls: Vec::new(), differs: false };
    let text = text_beside(&family);
    // Inside of a struct JSON text is told beside the top-level column.
    let (has_text, text) = if above.path.is_empty() { (text.is_some(), None) } else { (false, text) };
    // What stands beside: the value there, or keys and values inside of the path. And which steps those use.
    let mut whole: Vec<String> = text.map(|field| format!("CAST({} AS JSON)", held(field))).into_iter().collect();
    let (mut entries, mut names, mut uses) = (Vec::new(), Vec::new(), Vec::new());
    let mut fits: Vec<String> = Vec::new();
    for field in family.into_iter().filter(|field| text.is_none_or(|text| text.id != field.id)) {
        let own = held(field);
        let fits_it = value.as_ref().map(|value| match field.column_type {
            ColumnType::Struct(_) if !has_text => format!("_archive.is_object({value})"),
            _ => fit(&field.column_type, value),
        });
        let none_before = none_of(fits.iter().cloned());
        let taken = fits_it.as_ref().zip(value.as_ref());
        let taken = taken.map(|(fits_it, value)| (format!("{fits_it}{none_before}"), value));
        let shows = match &field.column_type {
            ColumnType::Struct(fields) => {
                let object = taken.map(|(fits_it, value)| {
                    steps.add(format!("o{}", field.id), &format!("CASE WHEN {fits_it} THEN {value} END"), &[value])
                });
                let inner = Inner::of(fields, evidence, &Place { path: path.clone(), object }, &own, steps);
                shown.differs |= inner.differs;
                shown.nulls.extend(inner.nulls);
                entries.extend(inner.entries);
                names.extend(inner.names);
                uses.extend(inner.uses);
                inner.shows
            }
            column => match &taken {
                Some((fits_it, value)) => {
                    format!("coalesce({own}, CASE WHEN {fits_it} THEN {} END)", read(column, value))
                }
                None => own,
            },
        };
        fits.extend(fits_it);
        shown.columns.push((field, shows));
    }
    shown.differs |= text.is_some();
    whole.extend(value.as_ref().map(|value| format!("CASE WHEN NOT ({}) THEN {value} END", fits.join(" OR "))));
    uses.extend(value);
    if below {
        // What has a column of its own inside, and something beside it, is told there.
        let but: Vec<_> = names.iter().map(|name| string(&pointer(&path, name))).collect();
        let under = string(&format!("{path}/"));
        entries.insert(0, format!("_archive.below(_rescued, {under}, [{}]::VARCHAR[])", but.join(", ")));
    }
    if !entries.is_empty() {
        whole.push(format!("_archive.object({})", joined(&entries)));
    }
    if !whole.is_empty() {
        let uses: Vec<_> = uses.iter().map(String::as_str).collect();
        shown.beside = Some(steps.add(format!("b{id}"), &format!("coalesce({})", whole.join(", ")), &uses));
    }
    shown
}

/// What a row rescued at the path of a name, or in the object above it; null is none, but where JSON text stands alone.
fn value(
    evidence: &Evidence,
    above: &Place,
    (name, id): (&str, i32),
    is_text_alone: bool,
    steps: &mut Steps,
) -> Option<String> {
    let path = pointer(&above.path, name);
    let own = evidence.whole(&path).then(|| at(&path));
    let inside = above.object.as_ref().map(|object| format!("json_extract({object}, {})", string(&pointer("", name))));
    let expression = match (own, inside) {
        (Some(own), Some(inside)) => format!("coalesce({own}, {inside})"),
        (own, inside) => own.or(inside)?,
    };
    let uses: Vec<_> = above.object.iter().map(String::as_str).collect();
    let with_null = steps.add(format!("n{id}"), &expression, &uses);
    if is_text_alone {
        return Some(with_null);
    }
    let value = format!("CASE WHEN json_type({with_null}) <> 'NULL' THEN {with_null} END");
    Some(steps.add(format!("v{id}"), &value, &[&with_null]))
}

fn is_text_alone(family: &[&Field]) -> bool {
    matches!(family, [only] if only.column_type == ColumnType::Json)
}

/// JSON text beside other columns.
fn text_beside<'a>(family: &[&'a Field]) -> Option<&'a Field> {
    let text = family.iter().find(|field| field.column_type == ColumnType::Json).copied();
    text.filter(|_| family.len() > 1)
}

/// A struct, with what was rescued back in its fields.
#[derive(Default)]
struct Inner {
    shows: String,
    differs: bool,
    /// Keys and values that stand beside it, and the fields of which something does.
    entries: Vec<String>,
    names: Vec<String>,
    /// The steps in the entries.
    uses: Vec<String>,
    nulls: Vec<String>,
}

impl Inner {
    fn of(fields: &[Field], evidence: &Evidence, place: &Place, held: &str, steps: &mut Steps) -> Self {
        let inside = |field: &Field| format!("struct_extract({held}, {})", string(&field.column));
        let families = families(fields);
        let names: Vec<_> = families.iter().filter_map(|family| family.first()).map(|f| string(&f.name)).collect();
        let texts = families.iter().filter(|family| is_text_alone(family)).filter_map(|family| family.first());
        let texts: Vec<_> = texts.map(|field| string(&field.name)).collect();
        let children: Vec<_> =
            families.into_iter().map(|family| family_shown(family, evidence, place, &inside, steps)).collect();
        let mut inner = Self { shows: held.to_owned(), ..Self::default() };
        let mut columns: Vec<_> = children.iter().flat_map(|child| &child.columns).collect();
        // Ids ascend in the order of the fields.
        columns.sort_by_key(|(field, _)| field.id);
        inner.differs = children.iter().any(|child| child.differs);
        if inner.differs || columns.iter().any(|(field, shows)| *shows != inside(field)) {
            let built: Vec<_> =
                columns.iter().map(|(field, shows)| format!("{}: {shows}", string(&field.column))).collect();
            let unchanged = if inner.differs { String::new() } else { format!("WHEN _rescued IS NULL THEN {held} ") };
            let put_in = place.object.as_ref().map_or(String::new(), |object| format!(" OR {object} IS NOT NULL"));
            inner.shows = format!("CASE {unchanged}WHEN {held} IS NOT NULL{put_in} THEN {{{}}} END", built.join(", "));
        }
        if let Some(object) = &place.object {
            inner.uses.push(object.clone());
            inner.entries.push(format!("_archive.unknown({object}, [{}])", names.join(", ")));
            let path = string(&place.path);
            inner.nulls.push(format!("_archive.nulls_in({object}, {path}, [{}]::VARCHAR[])", texts.join(", ")));
        }
        for child in children {
            inner.nulls.extend(child.nulls);
            if let (Some(beside), Some((field, ..))) = (child.beside, child.columns.first()) {
                inner.entries.push(format!("_archive.entry({}, {beside})", string(&field.name)));
                inner.names.push(field.name.clone());
                inner.uses.push(beside);
            }
        }
        inner
    }
}

/// What a row rescued at a path.
fn at(path: &str) -> String {
    format!("_archive.at(_rescued, {})", string(&pointer("", path)))
}

/// Whether a value fits a column whole: true, false, or NULL if there is no value. An item of a list may be null; a field inside of an object may be
/// absent, but where it is null a struct could not tell that from absent.
fn fit(column: &ColumnType, value: &str) -> String {
    match column {
        ColumnType::Boolean => format!("json_type({value}) = 'BOOLEAN'"),
        ColumnType::Int64 => format!("json_type({value}) IN ('BIGINT', 'UBIGINT')"),
        ColumnType::Float64 => format!("_archive.is_float64({value})"),
        ColumnType::String => format!("json_type({value}) = 'VARCHAR'"),
        ColumnType::Bytes => format!("_archive.is_bytes({value})"),
        ColumnType::Json => format!("{value} IS NOT NULL"),
        ColumnType::List(element) => {
            let item = format!("item_{}", element.id);
            format!(
                "(json_type({value}) = 'ARRAY' AND len(list_filter(TRY_CAST({value} AS JSON[]), lambda {item}: NOT (json_type({item}) = 'NULL' OR {}))) = 0)",
                fit(&element.column_type, &item)
            )
        }
        ColumnType::Struct(fields) => {
            let families = families(fields);
            let names: Vec<_> = families.iter().filter_map(|family| family.first()).map(|f| string(&f.name)).collect();
            let each = families.iter().map(|family| {
                let child = family.first().map_or(String::new(), |first| child(value, first));
                let any: Vec<_> = family.iter().map(|field| fit(&field.column_type, &child)).collect();
                // JSON text has a null of its own only where it stands alone.
                let no_null =
                    if family.len() > 1 { format!("json_type({child}) <> 'NULL' AND ") } else { String::new() };
                format!("({child} IS NULL OR {no_null}({}))", any.join(" OR "))
            });
            let each: Vec<_> = each.collect();
            format!(
                "(json_type({value}) = 'OBJECT' AND _archive.has_only({value}, [{}]) AND {})",
                names.join(", "),
                each.join(" AND ")
            )
        }
    }
}

/// A value that fits, as the column has it.
fn read(column: &ColumnType, value: &str) -> String {
    match column {
        ColumnType::Boolean => format!("CAST({value} AS BOOLEAN)"),
        ColumnType::Int64 => format!("CAST({value} AS BIGINT)"),
        ColumnType::Float64 => format!("_archive.float64({value})"),
        ColumnType::String => format!("json_extract_string({value}, '$')"),
        ColumnType::Bytes => format!("_archive.bytes({value})"),
        ColumnType::Json => format!("CAST({value} AS VARCHAR)"),
        ColumnType::List(element) => {
            let item = format!("item_{}", element.id);
            format!(
                "list_transform(TRY_CAST({value} AS JSON[]), lambda {item}: {})",
                read_inside(&element.column_type, &[], &item)
            )
        }
        ColumnType::Struct(fields) => {
            let each = fields.iter().enumerate().map(|(n, field)| {
                let before: Vec<_> = fields[..n].iter().filter(|other| other.name == field.name).collect();
                format!("{}: {}", string(&field.column), read_inside(&field.column_type, &before, &child(value, field)))
            });
            let each: Vec<_> = each.collect();
            format!("{{{}}}", each.join(", "))
        }
    }
}

/// The same of what is inside of a value, in a column that came after those of its family `before` it: NULL for what is null, absent, or of another
/// of them.
fn read_inside(column: &ColumnType, before: &[&Field], value: &str) -> String {
    if *column == ColumnType::Json && before.is_empty() {
        // There null is a text.
        return read(column, value);
    }
    let null = Engine::DuckDb.type_of(column);
    let none_before = none_of(before.iter().map(|field| fit(&field.column_type, value)));
    format!(
        "CASE WHEN json_type({value}) <> 'NULL' AND {}{none_before} THEN {} ELSE NULL::{null} END",
        fit(column, value),
        read(column, value)
    )
}

/// That a value fits none of the columns that came before: the oldest has it, also an empty list, which fits every list.
fn none_of(fits: impl IntoIterator<Item = String>) -> String {
    fits.into_iter().map(|fits| format!(" AND NOT ({fits})")).collect()
}

fn child(value: &str, field: &Field) -> String {
    format!("json_extract({value}, {})", string(&pointer("", &field.name)))
}
