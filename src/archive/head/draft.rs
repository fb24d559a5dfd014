//! The next commit: a draft that leaves everything as it is, to begin from, and a draft with its place in the log.

use std::collections::BTreeMap;

use super::{
    Head,
    base::{Base, BaseTable},
    rules::CONTRADICT,
};
use crate::{
    archive::{
        commit::{Commit, Draft, Run, SchemaSize},
        needs::{Needs, PROGRAM},
    },
    document::{Encoding, TableRef, Timestamp},
    error::{Error, Result},
    selection::Selection,
    sum::Sum,
};

impl Head {
    /// A draft that leaves everything as it is: what a run commits when nothing changed.
    #[doc(hidden)]
    pub fn unchanged(&self, encoding: Encoding, selection: Selection, at: Timestamp) -> Draft {
        Draft {
            at,
            checked_at: at,
            caught_up: false,
            maintenance: false,
            encoding,
            selection,
            progress: self.progress().clone(),
            tables: Vec::new(),
            add: Vec::new(),
            remove: Vec::new(),
            replaced: Vec::new(),
            bases: Vec::new(),
            withdrawn: Vec::new(),
            unmarked: Vec::new(),
            gaps: Vec::new(),
            doubts: Vec::new(),
            suspects: Vec::new(),
            compared: Vec::new(),
            guarded: None,
            deployment: None,
            proofs: Vec::new(),
            erased: Vec::new(),
        }
    }

    /// A draft of maintenance, which says nothing of the deployment; None before the first commit, when there is nothing to
    /// maintain.
    #[doc(hidden)]
    pub fn maintenance(&self, at: Timestamp) -> Option<Draft> {
        let latest = self.latest()?;
        Some(Draft {
            checked_at: latest.checked_at,
            caught_up: latest.caught_up,
            maintenance: true,
            ..self.unchanged(latest.encoding, self.coverage().selected(), at)
        })
    }

    /// The commit that follows with `draft`, and the head after it but for the commit's digest. `schemas` is the digest of
    /// the object beside it, if one is needed.
    ///
    /// # Errors
    /// Corrupt, if the draft breaks a guarantee of the head.
    pub(in crate::archive) fn follow(
        &self,
        mut draft: Draft,
        run: Run,
        schemas: Option<String>,
    ) -> Result<(Commit, Self)> {
        draft.sort();
        for entry in &mut draft.tables {
            entry.columns = SchemaSize::of(&entry.schema);
        }
        let said: Vec<Vec<BaseTable>> =
            draft.bases.iter().map(|base| self.rows_with(base, &draft)).collect::<Result<_>>()?;
        for (base, tables) in draft.bases.iter_mut().zip(said) {
            base.tables = tables;
        }
        let mut commit = Commit {
            version: self.version() + 1,
            program: PROGRAM.into(),
            needs: Needs::default(),
            previous: self.digest().to_owned(),
            run,
            state: Sum::default(),
            schemas,
            draft,
        };
        let next = self.clone().folded(&commit)?;
        commit.state = next.state();
        Ok((commit, next))
    }

    /// The head that [`follow`](Self::follow) gave, once the commit has its bytes.
    pub(in crate::archive) fn with_digest(self, digest: String) -> Self {
        Self { digest, ..self }
    }

    /// The tables of a base that the draft completes which have documents: in files of its walk so far, and in the draft's.
    fn rows_with(&self, base: &Base, draft: &Draft) -> Result<Vec<BaseTable>> {
        let base = Base { selected: draft.selection.clone(), ..base.clone() };
        let mut rows: BTreeMap<TableRef, u64> = BTreeMap::new();
        if self.progress.walk.as_ref().is_some_and(|walk| walk.base == base.id) {
            rows.extend(self.tables().map(|t| (t.table.clone(), t.unfinished.rows)));
        }
        for file in draft.add.iter().filter(|f| f.base.as_ref() == Some(&base.id)) {
            let rows = rows.entry(file.table.clone()).or_default();
            *rows =
                rows.checked_add(file.rows).ok_or_else(|| Error::corrupt(format!("{}: {CONTRADICT}", file.path)))?;
        }
        let held = rows.into_iter().filter(|(table, rows)| *rows > 0 && base.holds(table));
        Ok(held.map(|(table, rows)| BaseTable { table, rows }).collect())
    }
}
