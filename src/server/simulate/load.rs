//! Documents from files.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::Path,
};

use super::state::Fields;
use crate::{
    codec::parse_value,
    document::{Encoding, TableRef, Value},
    error::{Error, Result, ResultExt},
};

/// Whole tables, in the order of their documents.
pub type Documents = BTreeMap<TableRef, Vec<BTreeMap<String, Value>>>;

/// Reads `DIR/[_components/NAME/]TABLE.ndjson`: one document a line, values in export_json. All of it is held in memory.
///
/// # Errors
/// Usage, if the directory cannot be read or a line is no document; the file and the line are named.
pub fn read_directory(directory: &Path) -> Result<Documents> {
    let mut documents = Documents::new();
    read_component(directory, "", &mut documents)?;
    if documents.is_empty() {
        return Err(Error::usage(format!("{}: there is no TABLE.ndjson in it", directory.display())));
    }
    Ok(documents)
}

fn read_component(directory: &Path, component: &str, documents: &mut Documents) -> Result<()> {
    let named = || directory.display().to_string();
    let unreadable = |e| Error::usage("the directory cannot be read: check the path").with_source(e);
    for entry in fs::read_dir(directory).map_err(unreadable).context(named)? {
        let path = entry.map_err(unreadable).context(named)?.path();
        let (Some(stem), extension) = (path.file_stem().and_then(|s| s.to_str()), path.extension()) else { continue };
        if extension.is_some_and(|e| e == "ndjson") {
            let table = TableRef::new(component, stem);
            let table = table.map_err(|e| Error::usage(e.to_string())).context(|| path.display().to_string())?;
            documents.insert(table, read_file(&path).context(|| path.display().to_string())?);
        } else if stem == "_components" && path.is_dir() {
            for child in fs::read_dir(&path).map_err(unreadable).context(named)? {
                let child = child.map_err(unreadable).context(named)?;
                let name = child.file_name().to_string_lossy().into_owned();
                let below = if component.is_empty() { name } else { format!("{component}/{name}") };
                read_component(&child.path(), &below, documents)?;
            }
        }
    }
    Ok(())
}

fn read_file(path: &Path) -> Result<Vec<Fields>> {
    let unreadable = |e| Error::usage("the file cannot be read").with_source(e);
    let lines = BufReader::new(fs::File::open(path).map_err(unreadable)?).lines().enumerate();
    let documents =
        lines.map(|(i, line)| parse_document(&line.map_err(unreadable)?).context(|| format!("line {}", i + 1)));
    documents.collect()
}

/// One document as export_json.
pub(crate) fn parse_document(line: &str) -> Result<Fields> {
    match parse_value(line, Encoding::ExportJson)? {
        value if !has_field_names(&value) => Err(Error::usage("a field name that Convex does not take")),
        Value::Object(fields) => Ok(fields),
        _ => Err(Error::usage("a document is an object")),
    }
}

/// Whether Convex takes every field name in `value` (`crates/value/src/field_name.rs`): printable ASCII, at most 1,024
/// characters, no `$` at the front; the empty name passes.
fn has_field_names(value: &Value) -> bool {
    let is_name =
        |name: &str| name.len() <= 1024 && !name.starts_with('$') && name.bytes().all(|b| (b' '..=b'~').contains(&b));
    match value {
        Value::Array(items) => items.iter().all(has_field_names),
        Value::Object(fields) => fields.iter().all(|(name, value)| is_name(name) && has_field_names(value)),
        _ => true,
    }
}
