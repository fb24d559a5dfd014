//! A snapshot ZIP, imported into a simulated deployment as Convex does it: some documents a transaction, and then all are seen at
//! once.

use std::{collections::VecDeque, path::Path};

use super::{
    deployment::SimulatedDeployment,
    import::{ImportMode, OpenImport},
    load::Documents,
    snapshot_zip::read,
    state::Fields,
};
use crate::{
    document::TableRef,
    error::{Error, Result},
    server::imports::target::{PreparedImport, TakesImports},
};

/// Documents of a transaction.
const AT_ONCE: usize = 250;

/// An import whose documents are known.
struct ZipImport {
    open: OpenImport,
    mode: ImportMode,
    tables: usize,
    left: VecDeque<(TableRef, Vec<Fields>)>,
}

impl TakesImports for SimulatedDeployment {
    fn prepare(&self, zip: &Path, mode: &str) -> Result<Box<dyn PreparedImport>> {
        let mode = match mode {
            "requireEmpty" => ImportMode::RequireEmpty,
            "append" => ImportMode::Append,
            "replace" => ImportMode::Replace,
            "replaceAll" => ImportMode::ReplaceAll,
            odd => return Err(Error::usage(format!("invalid import mode: {}", odd.escape_debug()))),
        };
        let documents: Documents = read(zip)?;
        let tables: Vec<_> = documents.keys().cloned().collect();
        let open = self.begin_import(mode, &tables)?;
        let left = documents.into_iter().flat_map(|(table, mut documents)| {
            let mut pieces = Vec::new();
            loop {
                let rest = documents.split_off(documents.len().min(AT_ONCE));
                pieces.push((table.clone(), std::mem::replace(&mut documents, rest)));
                if documents.is_empty() {
                    return pieces;
                }
            }
        });
        Ok(Box::new(ZipImport { open, mode, tables: tables.len(), left: left.collect() }))
    }
}

impl PreparedImport for ZipImport {
    fn question(&self) -> String {
        let what = match self.mode {
            ImportMode::RequireEmpty | ImportMode::Append => return String::new(),
            ImportMode::Replace => "replace",
            ImportMode::ReplaceAll => "replace everything with",
        };
        let documents: usize = self.left.iter().map(|(_, documents)| documents.len()).sum();
        format!("Import will {what} {} tables: {documents} documents", self.tables)
    }

    fn write(&mut self) -> Result<Option<u64>> {
        let Some((table, documents)) = self.left.pop_front() else { return Ok(None) };
        let (_, ids) = self.open.insert(&table, documents)?;
        Ok(Some(ids.len() as u64))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.open.finish().map(drop)
    }
}
