//! The schema of the next file of a table, from what is known and what was seen.
//!
//! # Laws, each a property below
//! 1. Nothing that is known changes or goes: fields are only added, at the end.
//! 2. Ids are unique in the table and never used again; `last_field_id` never falls. A node's id is smaller than those of
//!    the nodes inside it: DuckLake reads a table from its fields by ascending id, and refuses a child before its parent.
//! 3. Column names are unique in their struct when case is ignored, and none is a name of ours.
//! 4. A struct has 1 to 64 fields, a table at most 1,024 leaf columns, and nothing nests deeper than Convex does.
//! 5. The same evidence again changes nothing.
//! 6. What is decided depends on the arguments alone: no clock, no order of arrival inside the shapes.
//!
//! # Birth
//! A node (column, struct field, list item) is born from the union of its hint and the shapes of a file's first batch.
//! One type makes that type; more than one make *that node*, the smallest, JSON text for ever. Until a value gives a type
//! (only nulls, only empty arrays or objects) nothing is born: the values live in `_rescued`.
//! A node with more leaves than the table has left is born as JSON text, which takes one: better one readable column than
//! a document that is rescued whole for ever.
//!
//! # Siblings
//! A type that appears after birth and keeps coming ([`SIBLING_AFTER`] values, counted in commits, never in batches) gets
//! a column of its own beside the first, `price__string`, never beside a list item.
//!
//! # Maps
//! Where keys are data, values belong into JSON text and keys into no schema. A hint that says so, or that anything may come, and
//! objects with too many keys, make JSON text at birth; later they make the sibling `votes__json` at once. Keys that a struct cannot
//! have and that keep coming make it too: as often as another type. Beside JSON text a struct does not grow any more. A list of
//! such objects gets a sibling that lists JSON text.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::{
    ColumnType, Element, Field, Kind, OwnColumn, Shape, TableSchema,
    infer::{DocumentShape, Keys, NESTING, STRUCT_FIELDS, is_identifier, is_struct_key},
};

/// Values of a kind that did not fit a field: per field path (JSON Pointer of names, `*` for a list item) while they are used,
/// per field id where they are kept ([`misfits_by_id`](super::misfits_by_id)); and per kind.
pub type Misfits = BTreeMap<String, BTreeMap<String, u64>>;

/// Among the kinds of [`Misfits`]: keys of the objects in a struct, that it can never have.
pub(crate) const KEYS_OF_DATA: &str = "key";

/// A kind gets its sibling in the next file once this many values of it did not fit.
pub const SIBLING_AFTER: u64 = 100;

/// A table has at most this many leaf columns of fields.
pub(crate) const LEAF_COLUMNS: usize = 1024;

/// The schema of the next file of a table: `known`, grown by what its hint and first batch show (`seen`) and by the kinds
/// that did not fit often enough (`misfits`). `known` itself if nothing is new.
pub fn evolve(known: &TableSchema, seen: &DocumentShape, misfits: &Misfits) -> TableSchema {
    let mut schema = known.clone();
    let mut growth = Growth { last_id: known.last_field_id, leaves: known.leaves(), misfits };
    growth.document(&mut schema.fields, seen.fields());
    schema.last_field_id = growth.last_id;
    if schema != *known || known.id == 0 {
        schema.id += 1;
    }
    schema
}

/// Of a node that is not in the schema yet: perhaps it never will be, and ids are spent on what is.
const NO_ID: i32 = 0;

struct Growth<'a> {
    last_id: i32,
    leaves: usize,
    misfits: &'a Misfits,
}

impl Growth<'_> {
    fn document(&mut self, fields: &mut Vec<Field>, seen: &BTreeMap<String, Shape>) {
        let mut taken: BTreeSet<String> = fields.iter().map(|f| f.column.to_ascii_lowercase()).collect();
        taken.extend(OwnColumn::RESERVED.iter().map(|name| name.to_ascii_lowercase()));
        for (name, shape) in seen {
            if positions(fields, name).is_empty()
                && let Some(column_type) = self.birth(shape, 1)
            {
                let column = column_name(name, &taken);
                taken.insert(column.to_ascii_lowercase());
                fields.push(self.numbered(field(name, column, column_type, shape)));
            }
        }
        self.grow_all(fields, seen, "", 1);
        self.siblings(fields, seen, "", 1, |column, _| taken.contains(&column.to_ascii_lowercase()));
    }

    fn object(&mut self, fields: &mut Vec<Field>, seen: &BTreeMap<String, Shape>, path: &str, level: usize) {
        for (name, shape) in seen {
            let twin = || fields.iter().any(|f| f.column.eq_ignore_ascii_case(name));
            if positions(fields, name).is_empty()
                && fields.len() < STRUCT_FIELDS
                && is_struct_key(name)
                && !twin()
                && let Some(column_type) = self.birth(shape, level + 1)
            {
                fields.push(self.numbered(field(name, name.clone(), column_type, shape)));
            }
        }
        self.grow_all(fields, seen, path, level + 1);
        self.siblings(fields, seen, path, level + 1, |column, fields| {
            fields.len() >= STRUCT_FIELDS || fields.iter().any(|f| f.column.eq_ignore_ascii_case(column))
        });
    }

    /// Grows inside every field, seen or not, new or not: misfits may be due in it. Beside JSON text nothing grows.
    fn grow_all(&mut self, fields: &mut [Field], seen: &BTreeMap<String, Shape>, path: &str, level: usize) {
        let nothing = Shape::default();
        let with_text: BTreeSet<String> =
            fields.iter().filter(|f| f.column_type == ColumnType::Json).map(|f| f.name.clone()).collect();
        for field in fields.iter_mut().filter(|field| !with_text.contains(&field.name)) {
            let shape = seen.get(&field.name).unwrap_or(&nothing);
            self.grow(&mut field.column_type, shape, &pointer(path, &field.name), level);
        }
    }

    /// Grows inside a node that exists: struct fields, also inside lists; not where keys are data.
    fn grow(&mut self, column: &mut ColumnType, seen: &Shape, path: &str, level: usize) {
        match column {
            ColumnType::Struct(fields) if seen.any || self.is_record(fields, seen, path) => {}
            ColumnType::Struct(fields) => {
                let none = BTreeMap::new();
                let keys = seen.object.as_ref().map_or(&none, |object| &object.fields);
                self.object(fields, keys, path, level);
            }
            ColumnType::List(element) => {
                let nothing = Shape::default();
                let items = seen.items.as_deref().unwrap_or(&nothing);
                self.grow(&mut element.column_type, items, &pointer(path, "*"), level + 1);
            }
            ColumnType::Boolean
            | ColumnType::Int64
            | ColumnType::Float64
            | ColumnType::String
            | ColumnType::Bytes
            | ColumnType::Json => {}
        }
    }

    /// The kind of column for values that will never fit this one: JSON text, or lists of it, where the hint says that anything may come, or
    /// keys are data.
    fn kind_of_the_rest(&self, column: &ColumnType, seen: &Shape, path: &str) -> Option<Kind> {
        match column {
            _ if seen.any => Some(Kind::Json),
            ColumnType::Struct(fields) if self.is_record(fields, seen, path) => Some(Kind::Json),
            ColumnType::List(element) => {
                let nothing = Shape::default();
                let items = seen.items.as_deref().unwrap_or(&nothing);
                self.kind_of_the_rest(&element.column_type, items, &pointer(path, "*")).map(Kind::array_of)
            }
            _ => None,
        }
    }

    /// Whether the keys of what stands in a struct are data: together with those that were seen they are more than a struct can have, or
    /// some that it can never have keep coming.
    fn is_record(&self, fields: &[Field], seen: &Shape, path: &str) -> bool {
        let counts = self.misfits.get(path).and_then(|counts| counts.get(KEYS_OF_DATA));
        counts.is_some_and(|n| *n >= SIBLING_AFTER)
            || seen.object.as_ref().is_some_and(|object| {
                let new = object.fields.keys().filter(|key| positions(fields, key).is_empty()).count();
                object.keys == Keys::Record || fields.len() + new > STRUCT_FIELDS
            })
    }

    /// The kinds of columns that a family should have beside its own.
    fn due(&self, fields: &[Field], name: &str, seen: &Shape, path: &str) -> Vec<Kind> {
        let family = fields.iter().filter(|field| field.name == name);
        let rest = family.filter_map(|field| self.kind_of_the_rest(&field.column_type, seen, path));
        let mut due: BTreeSet<Kind> = rest.collect();
        if due.contains(&Kind::Json) {
            return vec![Kind::Json];
        }
        let counts = self.misfits.get(path).into_iter().flatten();
        due.extend(counts.filter(|(_, n)| **n >= SIBLING_AFTER).filter_map(|(kind, _)| kind.parse().ok()));
        due.into_iter().collect()
    }

    /// Adds the siblings that are due. `refused` says whether a column name can not be had.
    fn siblings(
        &mut self,
        fields: &mut Vec<Field>,
        seen: &BTreeMap<String, Shape>,
        path: &str,
        level: usize,
        refused: impl Fn(&str, &[Field]) -> bool,
    ) {
        let mut names: Vec<String> = Vec::new();
        for field in fields.iter() {
            if !names.contains(&field.name) {
                names.push(field.name.clone());
            }
        }
        let nothing = Shape::default();
        for name in names {
            let path = pointer(path, &name);
            let shape = seen.get(&name).unwrap_or(&nothing);
            // What is made may make more due.
            let mut tried = BTreeSet::new();
            while let Some(kind) =
                self.due(fields, &name, shape, &path).into_iter().find(|kind| tried.insert(kind.clone()))
            {
                let family = positions(fields, &name);
                // JSON text takes everything, so nothing ever comes beside it.
                let settled = |k: Kind| k == kind || k == Kind::Json;
                if family.iter().any(|i| settled(Kind::of_column(&fields[*i].column_type))) {
                    continue;
                }
                let Some(first) = family.first().map(|i| fields[*i].column.clone()) else { continue };
                let column = format!("{first}__{kind}");
                let Some(column) = std::iter::once(column.clone())
                    .chain((2..10).map(|n| format!("{column}_{n}")))
                    .find(|c| !refused(c, fields) && !fields.iter().any(|f| f.column.eq_ignore_ascii_case(c)))
                else {
                    continue;
                };
                let before = self.leaves;
                let shape = only(shape, &kind);
                match self.birth(&shape, level) {
                    Some(column_type) if Kind::of_column(&column_type) == kind => {
                        fields.push(self.numbered(field(&name, column, column_type, &shape)));
                    }
                    // Its objects have no shape yet, or none that makes a struct: it stays in `_rescued`.
                    _ => self.leaves = before,
                }
            }
        }
    }

    /// The type of a new node at `level` (1 for a column), its leaves already counted, its nodes without ids.
    fn birth(&mut self, shape: &Shape, level: usize) -> Option<ColumnType> {
        let before = self.leaves;
        let born = self.type_of(shape, level)?;
        if self.leaves <= LEAF_COLUMNS {
            return Some(born);
        }
        self.leaves = before;
        if self.leaves + 1 > LEAF_COLUMNS {
            return None;
        }
        self.leaves += 1;
        Some(ColumnType::Json)
    }

    fn type_of(&mut self, shape: &Shape, level: usize) -> Option<ColumnType> {
        let nested = shape.items.is_some() || shape.object.is_some();
        let born = match shape.types() {
            _ if shape.any => ColumnType::Json,
            0 => return None,
            1 if nested && level >= NESTING => ColumnType::Json,
            1 => match (&shape.items, &shape.object) {
                (Some(items), _) => {
                    let column_type = self.type_of(items, level + 1)?;
                    let references = references(&column_type, items);
                    return Some(ColumnType::List(Box::new(Element { id: NO_ID, column_type, references })));
                }
                (_, Some(object)) if object.keys == Keys::Names => {
                    let mut fields = Vec::new();
                    for (name, shape) in &object.fields {
                        if let Some(column_type) = self.type_of(shape, level + 1) {
                            fields.push(field(name, name.clone(), column_type, shape));
                        }
                    }
                    return (!fields.is_empty()).then_some(ColumnType::Struct(fields));
                }
                (_, Some(_)) => ColumnType::Json,
                _ if shape.boolean => ColumnType::Boolean,
                _ if shape.int64 => ColumnType::Int64,
                _ if shape.float64 => ColumnType::Float64,
                _ if shape.string => ColumnType::String,
                _ => ColumnType::Bytes,
            },
            _ => ColumnType::Json,
        };
        self.leaves += 1;
        Some(born)
    }

    /// A new field, its own id and those of all nodes inside it given, depth first.
    fn numbered(&mut self, mut field: Field) -> Field {
        self.number(std::slice::from_mut(&mut field));
        field
    }

    fn number(&mut self, fields: &mut [Field]) {
        for field in fields {
            field.id = self.next_id();
            self.number_inside(&mut field.column_type);
        }
    }

    fn number_inside(&mut self, column: &mut ColumnType) {
        match column {
            ColumnType::List(element) => {
                element.id = self.next_id();
                self.number_inside(&mut element.column_type);
            }
            ColumnType::Struct(fields) => self.number(fields),
            ColumnType::Boolean
            | ColumnType::Int64
            | ColumnType::Float64
            | ColumnType::String
            | ColumnType::Bytes
            | ColumnType::Json => {}
        }
    }

    fn next_id(&mut self) -> i32 {
        self.last_id += 1;
        self.last_id
    }
}

/// A new field without its id.
fn field(name: &str, column: String, column_type: ColumnType, shape: &Shape) -> Field {
    let references = references(&column_type, shape);
    Field { id: NO_ID, name: name.to_owned(), column, column_type, references }
}

fn references(column: &ColumnType, shape: &Shape) -> Option<String> {
    shape.references.clone().filter(|_| *column == ColumnType::String)
}

fn positions(fields: &[Field], name: &str) -> Vec<usize> {
    fields.iter().enumerate().filter(|(_, f)| f.name == name).map(|(i, _)| i).collect()
}

/// Of what was seen, the part that is of one kind.
fn only(seen: &Shape, kind: &Kind) -> Shape {
    let nothing = Shape::default();
    let mut shape = Shape::default();
    match kind {
        Kind::Boolean => shape.boolean = true,
        Kind::Int64 => shape.int64 = true,
        Kind::Float64 => shape.float64 = true,
        Kind::String => shape.string = true,
        Kind::Bytes => shape.bytes = true,
        Kind::Json => shape.any = true,
        Kind::Object => shape.object.clone_from(&seen.object),
        Kind::Array(item) => shape.items = Some(Box::new(only(seen.items.as_deref().unwrap_or(&nothing), item))),
    }
    shape
}

/// The JSON Pointer (RFC 6901) of `name` below `path`.
pub(crate) fn pointer(path: &str, name: &str) -> String {
    let mut out = String::with_capacity(path.len() + name.len() + 1);
    out.push_str(path);
    push_pointer(&mut out, name);
    out
}

/// Adds one reference token to a JSON Pointer.
pub(crate) fn push_pointer(path: &mut String, name: &str) {
    path.push('/');
    if !name.contains(['~', '/']) {
        return path.push_str(name);
    }
    for c in name.chars() {
        match c {
            '~' => path.push_str("~0"),
            '/' => path.push_str("~1"),
            c => path.push(c),
        }
    }
}

/// The column for the top-level field `name`, given the lower-case names that are taken. A name that is no identifier, or
/// is taken, becomes `f_` and the hexadecimal of its UTF-8; a long one is cut and gets a hash.
fn column_name(name: &str, taken: &BTreeSet<String>) -> String {
    let free = |column: &str| !taken.contains(&column.to_ascii_lowercase());
    if is_identifier(name) && free(name) {
        return name.to_owned();
    }
    let digest = hex::encode(&Sha256::digest(name)[..8]);
    let plain = format!("f_{}", hex::encode(name));
    let short = if plain.len() <= 64 { plain } else { format!("{}_{digest}", &plain[..47]) };
    if free(&short) {
        return short;
    }
    // Somebody's own field is called just so.
    let hashed = format!("{}_{digest}", &short[..short.len().min(47)]);
    let mut column = hashed.clone();
    let mut n = 2u32;
    while !free(&column) {
        column = format!("{hashed}_{n}");
        n += 1;
    }
    column
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schema::FIRST_FIELD_ID;

    fn shape() -> impl Strategy<Value = Shape> {
        let leaf = (0u8..8).prop_map(|n| {
            let mut s = Shape::default();
            match n {
                0 => {}
                1 => s.boolean = true,
                2 => s.int64 = true,
                3 => s.float64 = true,
                4 => s.bytes = true,
                5 => s.any = true,
                6 => (s.string, s.references) = (true, Some("users".into())),
                _ => s.string = true,
            }
            s
        });
        leaf.prop_recursive(4, 64, 6, |inner| {
            prop_oneof![
                inner.clone().prop_map(|i| Shape { items: Some(Box::new(i)), ..Shape::default() }),
                proptest::collection::vec(("[abAB_]{1,2}|a b|[a-f]__string", inner.clone()), 0..6).prop_map(|fields| {
                    let mut s = Shape::default();
                    for (key, field) in fields {
                        if let Some(known) = s.object().field(&key) {
                            known.merge(&field);
                        }
                    }
                    s.object();
                    s
                }),
                (inner.clone(), inner).prop_map(|(mut a, b)| {
                    a.merge(&b);
                    a
                }),
            ]
        })
    }

    fn document() -> impl Strategy<Value = DocumentShape> {
        let name = "[abAB]{1,2}|a__(string|int64|object)|f_61|f_20| |a/b|~|é{1,80}|convex_phase|_|x{64,66}|";
        proptest::collection::vec((name, shape()), 0..8).prop_map(|fields| {
            let mut d = DocumentShape::default();
            for (name, shape) in fields {
                d.field(&name).unwrap().merge(&shape);
            }
            d
        })
    }

    fn misfits() -> impl Strategy<Value = Misfits> {
        let path = "(/[ab]{1,2}|/a/\\*|/a~1b|/a){1,2}";
        let kind = "(array_){0,2}(string|int64|float64|object|boolean|bytes|json)|key";
        let counts = proptest::collection::btree_map(kind, 0u64..2 * SIBLING_AFTER, 0..4);
        proptest::collection::btree_map(path, counts, 0..8)
    }

    fn ids(fields: &[Field], out: &mut Vec<i32>) {
        fn column(c: &ColumnType, out: &mut Vec<i32>) {
            match c {
                ColumnType::Struct(fields) => ids(fields, out),
                ColumnType::List(e) => {
                    out.push(e.id);
                    column(&e.column_type, out);
                }
                _ => {}
            }
        }
        for f in fields {
            out.push(f.id);
            column(&f.column_type, out);
        }
    }

    fn check(fields: &[Field], top: bool, level: usize) {
        let mut names: BTreeSet<String> = fields.iter().map(|f| f.column.to_ascii_lowercase()).collect();
        assert_eq!(names.len(), fields.len(), "{fields:?}");
        if top {
            names.extend(OwnColumn::RESERVED.iter().map(|n| n.to_ascii_lowercase()));
            assert_eq!(names.len(), fields.len() + OwnColumn::RESERVED.len());
        } else {
            assert!((1..=STRUCT_FIELDS).contains(&fields.len()));
        }
        for f in fields {
            assert!(is_identifier(&f.column) || f.column.len() > 64 && is_identifier(&f.column[..64]), "{}", f.column);
            let siblings = fields.iter().filter(|g| g.name == f.name);
            let kinds: Vec<_> = siblings.map(|g| Kind::of_column(&g.column_type).to_string()).collect();
            assert!(kinds.iter().rev().skip(1).all(|kind| kind != "json"), "nothing comes beside JSON text: {kinds:?}");
            assert_eq!(kinds.iter().collect::<BTreeSet<_>>().len(), kinds.len(), "{kinds:?}");
            check_type(&f.column_type, level);
        }
    }

    fn check_type(c: &ColumnType, level: usize) {
        assert!(level <= NESTING);
        match c {
            ColumnType::Struct(fields) => check(fields, false, level + 1),
            ColumnType::List(e) => check_type(&e.column_type, level + 1),
            _ => {}
        }
    }

    /// Every node's id is above that of the node it stands in.
    fn parents_first(parent: i32, fields: &[Field]) -> bool {
        fn inside(parent: i32, column: &ColumnType) -> bool {
            match column {
                ColumnType::Struct(fields) => parents_first(parent, fields),
                ColumnType::List(element) => parent < element.id && inside(element.id, &element.column_type),
                _ => true,
            }
        }
        fields.iter().all(|field| parent < field.id && inside(field.id, &field.column_type))
    }

    /// What stood in `old` stands in `new`, at the same place.
    fn extends(old: &[Field], new: &[Field]) -> bool {
        old.len() <= new.len()
            && old.iter().zip(new).all(|(o, n)| {
                (o.id, &o.name, &o.column, &o.references) == (n.id, &n.name, &n.column, &n.references)
                    && extends_type(&o.column_type, &n.column_type)
            })
    }

    fn extends_type(old: &ColumnType, new: &ColumnType) -> bool {
        match (old, new) {
            (ColumnType::Struct(o), ColumnType::Struct(n)) => extends(o, n),
            (ColumnType::List(o), ColumnType::List(n)) => o.id == n.id && extends_type(&o.column_type, &n.column_type),
            (o, n) => o == n,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn schemas_only_grow_and_keep_every_law(steps in proptest::collection::vec((document(), misfits()), 1..5)) {
            let mut known = TableSchema::empty();
            for (seen, misfits) in steps {
                let next = evolve(&known, &seen, &misfits);
                prop_assert!(extends(&known.fields, &next.fields));
                check(&next.fields, true, 1);
                let mut all = Vec::new();
                ids(&next.fields, &mut all);
                let distinct: BTreeSet<_> = all.iter().collect();
                prop_assert_eq!(distinct.len(), all.len());
                prop_assert!(all.iter().all(|id| (FIRST_FIELD_ID..=next.last_field_id).contains(id)));
                prop_assert!(parents_first(FIRST_FIELD_ID - 1, &next.fields));
                prop_assert!(next.last_field_id >= known.last_field_id);
                let new = all.iter().filter(|id| **id > known.last_field_id).count();
                prop_assert_eq!(new, (next.last_field_id - known.last_field_id) as usize, "no id is spent on what is not born");
                prop_assert!(next.leaves() <= LEAF_COLUMNS);
                prop_assert!(next.id == known.id || next.id == known.id + 1);
                prop_assert_eq!(&evolve(&next, &seen, &misfits), &next, "the same evidence again");
                known = next;
            }
        }
    }

    type Set = fn(&mut Shape);

    fn seen(fields: &[(&str, Set)]) -> DocumentShape {
        let mut d = DocumentShape::default();
        for (name, set) in fields {
            set(d.field(name).unwrap());
        }
        d
    }

    #[test]
    fn only_the_smallest_node_of_a_union_becomes_json() {
        let seen = seen(&[("a", |s| {
            s.object().field("x").unwrap().string = true;
            let mixed = s.object().field("y").unwrap();
            (mixed.string, mixed.int64) = (true, true);
        })]);
        let schema = evolve(&TableSchema::empty(), &seen, &Misfits::new());
        let ColumnType::Struct(fields) = &schema.fields[0].column_type else { panic!("{schema:?}") };
        assert_eq!(fields[0].column_type, ColumnType::String);
        assert_eq!(fields[1].column_type, ColumnType::Json);
    }

    #[test]
    fn a_kind_gets_its_sibling_once_it_came_often_enough() {
        let first = evolve(&TableSchema::empty(), &seen(&[("price", |s| s.float64 = true)]), &Misfits::new());
        let count = |n| Misfits::from([("/price".into(), BTreeMap::from([("string".into(), n)]))]);
        assert_eq!(evolve(&first, &seen(&[]), &count(SIBLING_AFTER - 1)), first);
        let grown = evolve(&first, &seen(&[]), &count(SIBLING_AFTER));
        assert_eq!(grown.fields[1].column, "price__string");
        assert_eq!((grown.fields[1].name.as_str(), grown.id), ("price", 2));
    }

    #[test]
    fn a_sibling_that_is_due_inside_a_list_of_structs_comes_although_the_next_batch_lacks_the_list() {
        let first = evolve(
            &TableSchema::empty(),
            &seen(&[("items", |s| s.items().object().field("price").unwrap().float64 = true)]),
            &Misfits::new(),
        );
        let due = Misfits::from([("/items/*/price".into(), BTreeMap::from([("string".into(), SIBLING_AFTER)]))]);
        let grown = evolve(&first, &seen(&[]), &due);
        let ColumnType::List(element) = &grown.fields[0].column_type else { panic!("{grown:?}") };
        let ColumnType::Struct(fields) = &element.column_type else { panic!("{grown:?}") };
        assert_eq!(fields[1].column, "price__string");
    }

    #[test]
    fn a_struct_grows_by_its_good_keys_although_an_odd_one_stands_beside_them() {
        let object: &[(&str, Set)] = &[("o", |s| s.object().field("a").unwrap().string = true)];
        let first = evolve(&TableSchema::empty(), &seen(object), &Misfits::new());
        let odd: &[(&str, Set)] = &[("o", |s| {
            s.object().field("b").unwrap().string = true;
            assert!(s.object().field("an odd key").is_none());
        })];
        let grown = evolve(&first, &seen(odd), &Misfits::new());
        let ColumnType::Struct(fields) = &grown.fields[0].column_type else { panic!("{grown:?}") };
        assert_eq!(fields.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        // Nothing but JSON text is born from such an object.
        assert_eq!(evolve(&TableSchema::empty(), &seen(odd), &Misfits::new()).fields[0].column_type, ColumnType::Json);
    }

    #[test]
    fn the_keys_of_a_record_never_reach_the_schema_of_a_struct_that_exists_but_make_json_text_beside_it() {
        let object: &[(&str, Set)] = &[("o", |s| s.object().field("a").unwrap().string = true)];
        let first = evolve(&TableSchema::empty(), &seen(object), &Misfits::new());
        let record: &[(&str, Set)] = &[("o", |s| {
            for n in 0..=STRUCT_FIELDS {
                if let Some(user) = s.object().field(&format!("user_{n}")) {
                    user.string = true;
                }
            }
        })];
        let grown = evolve(&first, &seen(record), &Misfits::new());
        assert_eq!(families(&grown.fields), ["o object", "o__json json"]);
        assert_eq!(grown.fields[0], first.fields[0]);
        // Once there is JSON text, keys are no fields either.
        let few: &[(&str, Set)] = &[("o", |s| s.object().field("b").unwrap().string = true)];
        assert_eq!(evolve(&grown, &seen(few), &Misfits::new()), grown);
    }

    fn families(fields: &[Field]) -> Vec<String> {
        fields.iter().map(|field| format!("{} {}", field.column, Kind::of_column(&field.column_type))).collect()
    }

    fn of_data(path: &str, count: u64) -> Misfits {
        Misfits::from([(path.into(), BTreeMap::from([(KEYS_OF_DATA.into(), count)]))])
    }

    #[test]
    fn a_hint_that_anything_may_come_makes_json_text_beside_a_column_at_once() {
        let all: &[(&str, Set)] = &[
            ("list", |s| s.items().object().field("a").unwrap().string = true),
            ("map", |s| s.object().field("a").unwrap().string = true),
            ("outer", |s| s.object().field("map").unwrap().object().field("a").unwrap().string = true),
            ("text", |s| s.string = true),
        ];
        let first = evolve(&TableSchema::empty(), &seen(all), &Misfits::new());
        let hint: &[(&str, Set)] = &[
            ("list", |s| s.items().any = true),
            ("map", |s| s.any = true),
            ("outer", |s| s.object().field("map").unwrap().any = true),
            ("text", |s| s.any = true),
        ];
        let grown = evolve(&first, &seen(hint), &Misfits::new());
        assert_eq!(
            families(&grown.fields),
            [
                "list array_object",
                "map object",
                "outer object",
                "text string",
                "list__array_json array_json",
                "map__json json",
                "text__json json"
            ]
        );
        let ColumnType::Struct(outer) = &grown.fields[2].column_type else { panic!("{grown:?}") };
        assert_eq!(families(outer), ["map object", "map__json json"]);
    }

    #[test]
    fn keys_that_a_struct_cannot_have_and_that_keep_coming_make_json_text_beside_it() {
        let objects: &[(&str, Set)] = &[
            ("list", |s| s.items().object().field("a").unwrap().string = true),
            ("map", |s| s.object().field("a").unwrap().string = true),
        ];
        let first = evolve(&TableSchema::empty(), &seen(objects), &Misfits::new());
        assert_eq!(evolve(&first, &seen(objects), &of_data("/map", SIBLING_AFTER - 1)), first);
        let grown = evolve(&first, &seen(objects), &of_data("/map", SIBLING_AFTER));
        assert_eq!(families(&grown.fields), ["list array_object", "map object", "map__json json"]);
        let grown = evolve(&grown, &seen(&[]), &of_data("/list/*", SIBLING_AFTER));
        assert_eq!(grown.fields[3].column, "list__array_json");
        // The keys of its objects are data now.
        let more: &[(&str, Set)] = &[("list", |s| s.items().object().field("b").unwrap().string = true)];
        assert_eq!(evolve(&grown, &seen(more), &of_data("/list/*", SIBLING_AFTER)), grown);
    }

    #[test]
    fn nothing_is_born_from_nulls_and_empty_values() {
        let schema = evolve(
            &TableSchema::empty(),
            &seen(&[
                ("n", |_| {}),
                ("l", |s| {
                    s.items();
                }),
                ("o", |s| {
                    s.object();
                }),
            ]),
            &Misfits::new(),
        );
        assert_eq!((schema.fields.len(), schema.id), (0, 1));
    }

    #[test]
    fn a_table_never_has_more_than_1024_leaves_and_a_wide_object_takes_one() {
        let mut d = DocumentShape::default();
        for n in 0..1020 {
            d.field(&format!("a{n}")).unwrap().boolean = true;
        }
        for n in 0..STRUCT_FIELDS {
            d.field("wide").unwrap().object().field(&format!("k{n}")).unwrap().boolean = true;
        }
        d.field("x").unwrap().boolean = true;
        let schema = evolve(&TableSchema::empty(), &d, &Misfits::new());
        assert_eq!(schema.leaves(), 1022);
        assert!(schema.fields.iter().any(|f| f.name == "wide" && f.column_type == ColumnType::Json));

        for n in 1020..1030 {
            d.field(&format!("b{n}")).unwrap().boolean = true;
        }
        let full = evolve(&schema, &d, &Misfits::new());
        assert_eq!(full.leaves(), 1024);
        d.field("c").unwrap().object().field("k").unwrap().items().boolean = true;
        assert_eq!(evolve(&full, &d, &Misfits::new()), full, "no id is spent on what is not born");
    }

    #[test]
    fn a_struct_never_has_more_than_64_fields_siblings_included() {
        let mut d = DocumentShape::default();
        for n in 0..STRUCT_FIELDS {
            d.field("o").unwrap().object().field(&format!("k{n}")).unwrap().boolean = true;
        }
        let schema = evolve(&TableSchema::empty(), &d, &Misfits::new());
        let mut late = DocumentShape::default();
        late.field("o").unwrap().object().field("late").unwrap().boolean = true;
        let due = Misfits::from([("/o/k1".into(), BTreeMap::from([("string".into(), SIBLING_AFTER)]))]);
        let grown = evolve(&schema, &late, &due);
        assert_eq!(grown.fields[0], schema.fields[0]);
        // That many keys are data.
        assert_eq!(families(&grown.fields), ["o object", "o__json json"]);
    }

    #[test]
    fn nothing_nests_deeper_than_convex_does_neither_by_birth_nor_by_growth() {
        for depth in 10..20 {
            let mut d = DocumentShape::default();
            let (mut objects, mut arrays) = (Shape::default(), Shape::default());
            (objects.string, arrays.string) = (true, true);
            for _ in 0..depth {
                let mut outer = Shape::default();
                *outer.object().field("x").unwrap() = objects;
                objects = outer;
                arrays = Shape { items: Some(Box::new(arrays)), ..Shape::default() };
            }
            d.field("x").unwrap().merge(&objects);
            d.field("l").unwrap().merge(&arrays);
            let mut schema = evolve(&TableSchema::empty(), &d, &Misfits::new());
            check(&schema.fields, true, 1);
            for n in 1..20 {
                let due = Misfits::from([("/x".repeat(n), BTreeMap::from([("array_string".into(), SIBLING_AFTER)]))]);
                schema = evolve(&schema, &d, &due);
                check(&schema.fields, true, 1);
            }
        }
    }

    #[test]
    fn odd_names_become_hexadecimal_and_twins_do_too() {
        let schema = evolve(
            &TableSchema::empty(),
            &seen(&[
                ("a b", |s| s.boolean = true),
                ("A", |s| s.boolean = true),
                ("a", |s| s.boolean = true),
                ("", |s| s.boolean = true),
                ("convex_phase", |s| s.boolean = true),
            ]),
            &Misfits::new(),
        );
        let columns: Vec<_> = schema.fields.iter().map(|f| (f.name.as_str(), f.column.as_str())).collect();
        assert_eq!(
            columns,
            [
                ("", "f_"),
                ("A", "A"),
                ("a", "f_61"),
                ("a b", "f_612062"),
                ("convex_phase", "f_636f6e7665785f7068617365")
            ]
        );
    }
}
