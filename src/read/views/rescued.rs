//! What a row rescued, back in its columns: expressions of DuckDB.
//!
//! # The rule
//! A value that was rescued, and whose path has a column in the newest schema now, stands in that column if it fits it whole; so do those
//! inside of structs. All others stand in a column beside the top-level one, `x__rescued`: the value itself, or an object of
//! what is inside of `x`, nested as the document is. Keys are names; below a list they are indices, with the rest of the path behind. What
//! has no column at all is in `_rescued`. So each value stands once.
//!
//! What was rescued where is not known before the rows are read: counters tell of values that did not fit a column that was there
//! ([`Misfits`]), not of those that had none. So what may have happened counts ([`Evidence`]): in a table without rescued rows all columns are
//! left as they are, so that filters reach their files.
//!
//! `_archive.at`, `_archive.below`, … are macros of `rescued.sql`. Columns are called `c` and their field id here: whatever
//! documents call their fields, nothing of ours has that name.

use super::duckdb_text::string;
use crate::schema::{ColumnType, Engine, Field, Misfits, NestedTypes, pointer};

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
        self.rescued && (self.grown || self.misfits.contains_key(path))
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
    /// The expression of the column beside it, of all that fits none of them: JSON, or NULL.
    pub(super) beside: Option<String>,
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

/// The top-level fields, by families in the order of the oldest.
pub(super) fn shown<'a>(fields: &'a [Field], evidence: &Evidence) -> Vec<Shown<'a>> {
    families(fields).into_iter().map(|family| family_shown(family, evidence, "", &column)).collect()
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
    above: &str,
    held: &dyn Fn(&Field) -> String,
) -> Shown<'a> {
    let path = family.first().map_or_else(|| above.to_owned(), |first| pointer(above, &first.name));
    let (whole, below) = (evidence.whole(&path), evidence.below(&family));
    let inside = format!("{path}/");
    let value = at(&path);
    let mut fits: Vec<String> = Vec::new();
    let mut inner: Vec<(String, String)> = Vec::new();
    let mut columns = Vec::new();
    for field in family {
        let mut text = held(field);
        if let (ColumnType::Struct(fields), true) = (&field.column_type, below) {
            let inside = |field: &Field| format!("struct_extract({text}, {})", string(&field.column));
            let children: Vec<_> =
                families(fields).into_iter().map(|family| family_shown(family, evidence, &path, &inside)).collect();
            let is_more = children.iter().flat_map(|child| &child.columns).any(|(field, text)| *text != inside(field));
            if is_more {
                text = filled(&text, &children);
            }
            for child in children {
                if let (Some(beside), Some((field, ..))) = (child.beside, child.columns.first()) {
                    inner.push((field.name.clone(), beside));
                }
            }
        }
        if whole {
            let fits_it = fit(&field.column_type, &value);
            // An empty list fits every list: the oldest has it.
            let none_before = fits.iter().map(|fits| format!(" AND NOT ({fits})")).collect::<String>();
            let read = read(&field.column_type, &value);
            text = format!("coalesce({text}, CASE WHEN {fits_it}{none_before} THEN {read} END)");
            fits.push(fits_it);
        }
        columns.push((field, text));
    }
    let rest = whole.then(|| format!("CASE WHEN NOT ({}) THEN {value} END", fits.join(" OR ")));
    let nested = below.then(|| {
        // What has a column of its own inside, and something beside it, is told there.
        let but: Vec<_> = inner.iter().map(|(name, _)| string(&pointer(&path, name))).collect();
        let entries = format!("_archive.below(_rescued, {}, [{}]::VARCHAR[])", string(&inside), but.join(", "));
        let entries = inner.iter().fold(entries, |entries, (name, beside)| {
            format!("list_concat({entries}, _archive.entry({}, {beside}))", string(name))
        });
        format!("_archive.object({entries})")
    });
    let beside = match (rest, nested) {
        (Some(rest), Some(nested)) => Some(format!("coalesce({rest}, {nested})")),
        (rest, nested) => rest.or(nested),
    };
    Shown { columns, beside }
}

/// A struct with what was rescued back in its fields, which keep their order.
fn filled(held: &str, children: &[Shown<'_>]) -> String {
    let mut fields: Vec<_> = children.iter().flat_map(|child| &child.columns).collect();
    // Ids ascend in the order of the fields.
    fields.sort_by_key(|(field, _)| field.id);
    let fields: Vec<_> = fields.iter().map(|(field, text)| format!("{}: {text}", string(&field.column))).collect();
    format!("CASE WHEN {held} IS NULL OR _rescued IS NULL THEN {held} ELSE {{{}}} END", fields.join(", "))
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
                "(json_type({value}) = 'ARRAY' AND len(list_filter(CAST({value} AS JSON[]), lambda {item}: NOT (json_type({item}) = 'NULL' OR {}))) = 0)",
                fit(&element.column_type, &item)
            )
        }
        ColumnType::Struct(fields) => {
            let families = families(fields);
            let names: Vec<_> = families.iter().filter_map(|family| family.first()).map(|f| string(&f.name)).collect();
            let each = families.iter().map(|family| {
                let child = family.first().map_or(String::new(), |first| child(value, first));
                let any: Vec<_> = family.iter().map(|field| fit(&field.column_type, &child)).collect();
                format!("({child} IS NULL OR {})", any.join(" OR "))
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
                "list_transform(CAST({value} AS JSON[]), lambda {item}: {})",
                read_inside(&element.column_type, &item)
            )
        }
        ColumnType::Struct(fields) => {
            let fields = fields.iter().map(|field| {
                format!("{}: {}", string(&field.column), read_inside(&field.column_type, &child(value, field)))
            });
            let fields: Vec<_> = fields.collect();
            format!("{{{}}}", fields.join(", "))
        }
    }
}

/// The same of what is inside of a value: NULL for what is null, absent, or of another of its family.
fn read_inside(column: &ColumnType, value: &str) -> String {
    if *column == ColumnType::Json {
        // There null is a text.
        return read(column, value);
    }
    let null = Engine::DuckDb.type_of(column);
    format!(
        "CASE WHEN json_type({value}) <> 'NULL' AND {} THEN {} ELSE NULL::{null} END",
        fit(column, value),
        read(column, value)
    )
}

fn child(value: &str, field: &Field) -> String {
    format!("json_extract({value}, {})", string(&pointer("", &field.name)))
}
