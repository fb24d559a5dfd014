//! [`read_snapshot_zip`]: the documents of a snapshot ZIP, read as strictly as Convex imports one
//! (`crates/application/src/snapshot_import/parse.rs` of its backend), so that a simulation shows what a restore would.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use zip::ZipArchive;

use super::{
    load::{Documents, parse_document},
    state::Fields,
};
use crate::{
    codec::parse_value,
    document::{Encoding, TableRef, Value, table_number},
    error::{Error, Result, ResultExt},
};

/// Reads `[_components/NAME/]TABLE/documents.jsonl` of a ZIP. All of it is held in memory. Tables that only `_tables` names are empty;
/// stored files are passed over.
///
/// # Errors
/// Usage, naming entry and line, if it is no ZIP, or an import would refuse it. Also a table without
/// `generated_schema.jsonl`, or with another one than `"uniform"`: Convex takes older forms too, which this does not know.
pub fn read_snapshot_zip(path: &Path) -> Result<Documents> {
    read(path).context(|| path.display().to_string())
}

/// The same; an error does not name the file.
pub(super) fn read(path: &Path) -> Result<Documents> {
    let file = File::open(path).map_err(|e| Error::usage("the file cannot be read: check the path").with_source(e))?;
    let mut zip = ZipArchive::new(BufReader::new(file))
        .map_err(|e| Error::usage("it is no ZIP that can be read").with_source(e))?;
    let names = zip.file_names().map(|name| name.map(std::borrow::Cow::into_owned)).collect::<Result<Vec<String>, _>>();
    let names = names.map_err(|e| Error::usage("it has an entry without a readable name").with_source(e))?;
    let mut numbers: BTreeMap<TableRef, u32> = BTreeMap::new();
    let mut documents = Documents::new();
    for name in &names {
        if let Some((component, "_tables")) = table_of(name) {
            for line in lines(&mut zip, name)? {
                let (table, number) = table_line(&component, &line).context(|| name.clone())?;
                let taken = |(known, other): (&TableRef, &u32)| known.component() == component && *other == number;
                if numbers.iter().any(taken) || numbers.insert(table.clone(), number).is_some() {
                    return Err(Error::usage(format!("table {table} or its number stands there twice")));
                }
                documents.insert(table, Vec::new());
            }
        }
    }
    for name in &names {
        let Some((component, table)) = table_of(name).filter(|(_, table)| !table.starts_with('_')) else { continue };
        let table = TableRef::new(component, table).map_err(|e| Error::usage(e.to_string()))?;
        let schema = name.replace("documents.jsonl", "generated_schema.jsonl");
        if lines(&mut zip, &schema)? != ["\"uniform\""] {
            return Err(Error::usage(format!("{schema} is not \"uniform\"")));
        }
        let mut number = numbers.get(&table).copied();
        let mut of_table = Vec::new();
        for (i, line) in lines(&mut zip, name)?.iter().enumerate() {
            let fields = document(line, &mut number).context(|| format!("{name}, line {}", i + 1))?;
            of_table.push(fields);
        }
        documents.insert(table, of_table);
    }
    Ok(documents)
}

/// Component and table of `…/TABLE/documents.jsonl`.
fn table_of(entry: &str) -> Option<(String, &str)> {
    let mut path: Vec<&str> = entry.strip_suffix("/documents.jsonl")?.split('/').collect();
    let table = path.pop()?;
    let mut component = Vec::new();
    while let [.., "_components", name] = path.as_slice() {
        component.insert(0, *name);
        path.truncate(path.len() - 2);
    }
    Some((component.join("/"), table))
}

fn lines(zip: &mut ZipArchive<BufReader<File>>, name: &str) -> Result<Vec<String>> {
    let entry = zip.by_name(name).map_err(|e| Error::usage(format!("{name} cannot be read")).with_source(e))?;
    let lines = BufReader::new(entry).lines().collect::<std::io::Result<Vec<_>>>();
    lines.map_err(|e| Error::usage(format!("{name} is damaged")).with_source(e))
}

fn table_line(component: &str, line: &str) -> Result<(TableRef, u32)> {
    let fields = parse_value(line, Encoding::ExportJson)?;
    let Value::Object(fields) = fields else { return Err(Error::usage("a line is no object")) };
    match (fields.get("name"), fields.get("id")) {
        (Some(Value::String(name)), Some(Value::Int64(number))) => {
            let number = u32::try_from(*number).map_err(|e| Error::usage("no table number").with_source(e))?;
            Ok((TableRef::new(component, name).map_err(|e| Error::usage(e.to_string()))?, number))
        }
        _ => Err(Error::usage("a line has no name and id")),
    }
}

/// One document; `number` is that of the table, or becomes it.
fn document(line: &str, number: &mut Option<u32>) -> Result<Fields> {
    let fields = parse_document(line)?;
    if let Some(id) = fields.get("_id") {
        let Value::String(id) = id else { return Err(Error::usage("its `_id` is no text")) };
        let own = table_number(id).ok_or_else(|| Error::usage(format!("`{}` is no id", id.escape_debug())))?;
        if *number.get_or_insert(own) != own {
            return Err(Error::usage(format!("`{id}` bears the number of another table")));
        }
    }
    match fields.get("_creationTime") {
        None => {}
        Some(Value::Float64(ms)) if ms.is_finite() && *ms > 0.0 => {}
        Some(_) => return Err(Error::usage("its `_creationTime` is no positive float64")),
    }
    let odd = |name: &&String| name.starts_with('_') && *name != "_id" && *name != "_creationTime";
    match fields.keys().find(odd) {
        Some(name) => Err(Error::usage(format!("Convex takes no field `{}`", name.escape_debug()))),
        None => Ok(fields),
    }
}
