//! The tables of a deployment, from `/api/json_schemas` or, without shapes, from `/api/get_table_column_names`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::protocol::{JSON_SCHEMAS, TableColumnNames};
use crate::{convex::source::Shapes, document::TableRef, monitor::Finding};

/// The tables of the answer that names columns, without shapes.
pub(super) fn add_names(shapes: &mut Shapes, names: TableColumnNames) {
    for (component, tables) in names.by_component {
        for table in tables {
            add_table(shapes, &component, table.name, None);
        }
    }
}

fn add_table(shapes: &mut Shapes, component: &str, name: String, shape: Option<String>) {
    match TableRef::new(component, name) {
        Ok(table) => drop(shapes.tables.insert(table, shape)),
        Err(e) => {
            shapes.complete = false;
            shapes.findings.push(Finding::ImpossibleTable { why: e.to_string() });
        }
    }
}

/// The answer of `json_schemas`: component → table → schema, or from servers that know no `byComponent` table → schema.
pub(super) fn parse_schemas(body: &[u8]) -> serde_json::Result<Shapes> {
    type Members<'a> = BTreeMap<String, &'a RawValue>;
    /// `type` of a schema is text; a table named `type` has an object there.
    #[derive(Deserialize)]
    struct Schema {
        #[serde(rename = "type")]
        _type: String,
    }
    let members: Members<'_> = serde_json::from_slice(body)?;
    let is_schema = |text: &&RawValue| serde_json::from_str::<Schema>(text.get()).is_ok();
    let flat = !members.is_empty() && members.values().all(is_schema);
    let mut shapes = Shapes { complete: !flat, ..Shapes::default() };
    for (name, text) in members {
        if flat {
            add_table(&mut shapes, "", name, Some(text.get().to_owned()));
        } else {
            let tables: Members<'_> = serde_json::from_str(text.get())?;
            for (table, schema) in tables {
                add_table(&mut shapes, &name, table, Some(schema.get().to_owned()));
            }
        }
    }
    Ok(shapes)
}
