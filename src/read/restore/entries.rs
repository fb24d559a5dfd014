//! The entries of a snapshot ZIP: their names, and those that say how the documents are to be read.

use super::zip::SnapshotZip;
use crate::{document::TableRef, error::Result};

/// The name of the entry with a table's documents.
pub(in crate::read) fn documents(table: &TableRef) -> String {
    format!("{}documents.jsonl", folder(table))
}

/// Writes that a table's numbers are told by their spelling.
pub(in crate::read) async fn generated_schema(table: &TableRef, zip: &mut SnapshotZip) -> Result<()> {
    zip.entry(format!("{}generated_schema.jsonl", folder(table))).await?;
    zip.write(b"\"uniform\"\n").await
}

/// Writes the numbers of the tables, of every component in their order.
pub(in crate::read) async fn write_numbers(
    numbers: impl Iterator<Item = (&TableRef, u32)>,
    zip: &mut SnapshotZip,
) -> Result<()> {
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_by_key(|(table, number)| (table.component(), *number));
    let mut last = None;
    for (table, number) in numbers {
        if last != Some(table.component()) {
            zip.entry(format!("{}_tables/documents.jsonl", component_folder(table.component()))).await?;
            last = Some(table.component());
        }
        // Names are letters, digits and underscores.
        let line = format!("{{\"name\":\"{}\",\"id\":{number}}}\n", table.name());
        zip.write(line.as_bytes()).await?;
    }
    Ok(())
}

fn folder(table: &TableRef) -> String {
    format!("{}{}/", component_folder(table.component()), table.name())
}

/// `_components/a/_components/b/` for the component `a/b`; nothing for the root.
pub(in crate::read) fn component_folder(component: &str) -> String {
    component.split('/').filter(|name| !name.is_empty()).map(|name| format!("_components/{name}/")).collect()
}
