//! The demo's documents: an extract of npm's `@mdn/browser-compat-data` (CC0-1.0, see `demo/LICENSE.md`), made by
//! `demo/make.py`: the tables `html`, `http` and `svg` of release 6.0.0, and its way to 7.0.0 in two steps.

use std::{collections::BTreeMap, io::Read};

use flate2::read::GzDecoder;

use super::{
    load::{Documents, parse_document},
    state::Fields,
};
use crate::{
    document::{TableRef, Value},
    error::{Error, Result},
};

const BROWSER_COMPAT: &[u8] = include_bytes!("demo/browser-compat.ndjson.gz");

/// What the demo's deployment holds after `step` 0, 1 or 2; documents are told apart by the field `feature`, and
/// [`change_to`](super::SimulatedDeployment::change_to) leads from one to the next.
///
/// # Errors
/// Internal, if the embedded file is damaged.
pub fn demo_documents(step: u8) -> Result<Documents> {
    let mut text = String::new();
    let damaged = |e| Error::internal("the demo's documents cannot be unpacked").with_source(e);
    GzDecoder::new(BROWSER_COMPAT).read_to_string(&mut text).map_err(damaged)?;
    let mut tables: BTreeMap<String, BTreeMap<String, Fields>> = BTreeMap::new();
    for line in text.lines() {
        let mut line = parse_document(line)?;
        if !matches!(line.get("step"), Some(Value::Int64(of)) if *of <= i64::from(step)) {
            continue;
        }
        let (Some(Value::String(table)), document, deleted) =
            (line.remove("table"), line.remove("document"), line.remove("deleted"))
        else {
            return Err(odd());
        };
        let table = tables.entry(table).or_default();
        match (document, deleted) {
            (Some(Value::Object(document)), None) => {
                let Some(Value::String(feature)) = document.get("feature") else { return Err(odd()) };
                table.insert(feature.clone(), document);
            }
            (None, Some(Value::String(feature))) => drop(table.remove(&feature)),
            _ => return Err(odd()),
        }
    }
    tables
        .into_iter()
        .map(|(name, documents)| Ok((TableRef::new("", name)?, documents.into_values().collect())))
        .collect()
}

fn odd() -> Error {
    Error::internal("a line of the demo's documents is neither a document nor a deletion")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_tables_change_in_both_steps() {
        let [first, second, third] = [0, 1, 2].map(|step| demo_documents(step).unwrap());
        assert_eq!(first.keys().map(TableRef::name).collect::<Vec<_>>(), ["html", "http", "svg"]);
        assert_eq!(first.values().map(Vec::len).sum::<usize>(), 744 + 304 + 533);
        assert_eq!(third.values().map(Vec::len).sum::<usize>(), 748 + 362 + 442);
        for table in first.keys() {
            assert_ne!(first[table], second[table]);
            assert_ne!(second[table], third[table]);
        }
    }
}
