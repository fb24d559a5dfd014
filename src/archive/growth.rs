//! Whether a table's schema only grew: what every reader of old files relies on. Pure.

use std::collections::BTreeSet;

use crate::schema::{ColumnType, Field, NestedTypes, TableSchema};

/// Why `new` is not `old` grown, or not a schema at all; `Ok` if it is. `old` is absent for a new table.
pub(super) fn check(old: Option<&TableSchema>, new: &TableSchema) -> Result<(), String> {
    let known = old.map_or(0, |s| s.last_field_id);
    let mut ids = BTreeSet::new();
    collect(&new.fields, &mut ids)?;
    if let Some(id) = ids.iter().find(|id| **id > new.last_field_id) {
        return Err(format!("the field id {id} is larger than the last one assigned, {}", new.last_field_id));
    }
    let Some(old) = old else { return Ok(()) };
    if new.last_field_id < known {
        return Err("field ids are assigned a second time".into());
    }
    let mut before = BTreeSet::new();
    collect(&old.fields, &mut before)?;
    if let Some(id) = ids.difference(&before).find(|id| **id <= known) {
        return Err(format!("the field id {id} is assigned a second time"));
    }
    fields(&old.fields, &new.fields)?;
    let same = ids.len() == before.len();
    if new.id < old.id || (new.id == old.id && !same) {
        return Err(format!("schema {} was followed by schema {}", old.id, new.id));
    }
    Ok(())
}

/// All ids, each once.
fn collect(fields: &[Field], ids: &mut BTreeSet<i32>) -> Result<(), String> {
    fn nested(t: &ColumnType, ids: &mut BTreeSet<i32>) -> Result<(), String> {
        match t.nested() {
            NestedTypes::Nothing => Ok(()),
            NestedTypes::Items(element) => {
                once(element.id, ids)?;
                nested(&element.column_type, ids)
            }
            NestedTypes::Fields(fields) => collect(fields, ids),
        }
    }
    fn once(id: i32, ids: &mut BTreeSet<i32>) -> Result<(), String> {
        if ids.insert(id) { Ok(()) } else { Err(format!("the field id {id} occurs in the schema twice")) }
    }
    fields.iter().try_for_each(|f| {
        once(f.id, ids)?;
        nested(&f.column_type, ids)
    })
}

fn fields(old: &[Field], new: &[Field]) -> Result<(), String> {
    for before in old {
        let Some(after) = new.iter().find(|f| f.id == before.id) else {
            return Err(format!("the column {} is gone", before.column));
        };
        if (&after.name, &after.column) != (&before.name, &before.column) {
            return Err(format!("the column {} was renamed", before.column));
        }
        types(&before.column_type, &after.column_type).map_err(|why| format!("{}: {why}", before.column))?;
    }
    Ok(())
}

fn types(old: &ColumnType, new: &ColumnType) -> Result<(), String> {
    match (old.nested(), new.nested()) {
        (NestedTypes::Fields(old), NestedTypes::Fields(new)) => fields(old, new),
        (NestedTypes::Items(old), NestedTypes::Items(new)) if old.id == new.id => {
            types(&old.column_type, &new.column_type)
        }
        _ if old == new => Ok(()),
        _ => Err("its type was changed".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Element;

    fn field(id: i32, name: &str, column_type: ColumnType) -> Field {
        Field { id, name: name.into(), column: name.into(), column_type, references: None }
    }

    fn schema(id: u32, last_field_id: i32, fields: Vec<Field>) -> TableSchema {
        TableSchema { id, last_field_id, fields }
    }

    #[test]
    fn schemas_may_grow_at_any_depth_and_do_nothing_else() {
        let list = |id, item| ColumnType::List(Box::new(Element { id, column_type: item, references: None }));
        let object = |fields| ColumnType::Struct(fields);
        let (a, b) = (field(16, "a", ColumnType::String), field(17, "b", ColumnType::Int64));
        let inner = |extra: Vec<Field>| {
            let fields = [vec![field(20, "x", ColumnType::Json)], extra].concat();
            field(18, "c", list(19, object(fields)))
        };
        let old = schema(1, 20, vec![a.clone(), b.clone(), inner(vec![])]);
        let with = |id, last, fields| check(Some(&old), &schema(id, last, fields)).is_ok();
        let y = |id| vec![field(id, "y", ColumnType::Bytes)];
        assert!(check(None, &old).is_ok());
        assert!(check(Some(&old), &old).is_ok());
        assert!(with(2, 21, vec![a.clone(), b.clone(), inner(y(21))]));
        assert!(with(2, 21, vec![a.clone(), b.clone(), inner(vec![]), field(21, "d", ColumnType::Json)]));
        assert!(!with(2, 20, vec![a.clone(), b.clone()]), "a column is gone");
        assert!(!with(1, 21, vec![a.clone(), b.clone(), inner(y(21))]), "the same schema id");
        assert!(!with(0, 20, old.fields.clone()), "an older schema id");
        assert!(!with(2, 20, vec![a.clone(), b.clone(), inner(y(21))]), "an id beyond the last");
        assert!(!with(2, 21, vec![a.clone(), b.clone(), inner(y(16))]), "an id twice");
        assert!(!with(2, 21, vec![a.clone(), b.clone(), inner(y(5))]), "an id of old");
        assert!(!with(2, 20, vec![a.clone(), field(17, "b", ColumnType::Float64), inner(vec![])]), "a type changed");
        assert!(!with(2, 20, vec![a.clone(), field(17, "B", ColumnType::Int64), inner(vec![])]), "renamed");
        assert!(!with(2, 20, vec![a, b, field(18, "c", list(19, ColumnType::Json))]), "a nested type changed");
    }
}
