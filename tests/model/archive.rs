//! The archive: the fold of its commits, and what it answers. [`Head::apply`] (in `fold.rs`) takes a commit or refuses it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    draft::{Base, BaseId, Doubt, Draft, Erasure, File, Gap, Made, Path, Progress, WithdrawalReason},
    rules::Rules,
    truth::{Documents, Row, Table, Ts},
};

/// What holds after a commit.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) rules: Rules,
    pub(crate) version: usize,
    pub(crate) progress: Option<Progress>,
    /// The S of the first walk.
    pub(crate) origin: Ts,
    pub(crate) live: BTreeMap<Path, File>,
    /// Every path that was ever added.
    pub(crate) paths: BTreeSet<Path>,
    /// In the order in which they were completed.
    pub(crate) bases: Vec<Base>,
    pub(crate) withdrawn: BTreeMap<(BaseId, Table), WithdrawalReason>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) doubts: Vec<Doubt>,
    pub(crate) erased: Vec<Erasure>,
    /// What was selected after which moment.
    pub(crate) selections: Vec<(Ts, BTreeSet<Table>)>,
}

impl Head {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            version: 0,
            progress: None,
            origin: 0,
            live: BTreeMap::new(),
            paths: BTreeSet::new(),
            bases: Vec::new(),
            withdrawn: BTreeMap::new(),
            gaps: Vec::new(),
            doubts: Vec::new(),
            erased: Vec::new(),
            selections: Vec::new(),
        }
    }

    /// Up to here the archive may cover; before the first commit there is none.
    pub(crate) fn cursor(&self) -> Ts {
        self.progress.as_ref().map_or(0, |p| p.cursor)
    }

    pub(crate) fn selection(&self) -> BTreeSet<Table> {
        self.selections.last().map(|(_, tables)| tables.clone()).unwrap_or_default()
    }

    /// S of an open walk that holds the table.
    pub(crate) fn walk_over(&self, table: Table) -> Option<Ts> {
        self.progress.as_ref()?.walk.as_ref().filter(|w| w.tables.contains(&table)).map(|w| w.ts)
    }

    pub(crate) fn is_in_force(&self, base: &Base, table: Table) -> bool {
        base.holds(table) && !self.withdrawn.contains_key(&(base.id, table))
    }

    /// Bases that serve the table, where nothing else stands against it.
    pub(crate) fn in_force(&self, table: Table) -> impl Iterator<Item = &Base> {
        self.bases.iter().filter(move |b| self.is_in_force(b, table))
    }

    /// Which of two bases counts where both could.
    pub(crate) fn rank(&self, base: &Base) -> (Ts, i64) {
        let version = base.version as i64;
        (base.ts, if self.rules.later_of_one_moment_counts { version } else { -version })
    }

    /// All cuts of a table, also those whose base is withdrawn.
    pub(crate) fn cuts(&self, table: Table) -> impl Iterator<Item = &Base> {
        let outlive = self.rules.cuts_outlive_their_bases;
        let bases = self.bases.iter().filter(move |b| b.cuts.contains(&table));
        bases.filter(move |b| self.rules.cuts_end_older_bases && (outlive || self.is_in_force(b, table)))
    }

    /// Spans (from, to] that are missing, for whatever reason.
    pub(crate) fn missing(&self, table: Table) -> Vec<(Ts, Ts)> {
        let mut spans: Vec<_> =
            self.gaps.iter().filter(|g| g.tables.contains(&table)).map(|g| (g.from, g.to)).collect();
        if self.rules.unselected_is_a_gap {
            spans.extend(self.unselected(table));
        }
        spans
    }

    /// Spans (from, to] in which the table was not selected.
    pub(crate) fn unselected(&self, table: Table) -> impl Iterator<Item = (Ts, Ts)> {
        let ends = self.selections.iter().skip(1).map(|(after, _)| *after).chain([Ts::MAX]);
        let spans = self.selections.iter().zip(ends).filter(move |((_, tables), _)| !tables.contains(&table));
        spans.map(|((after, _), to)| (*after, to)).filter(|(after, to)| after < to)
    }

    /// **The** question: the base from which the state at a moment is made, if that moment is covered.
    pub(crate) fn base_for(&self, table: Table, at: Ts) -> Option<&Base> {
        if at > self.cursor() {
            return None;
        }
        let newest = self.in_force(table).filter(|b| b.ts <= at).max_by_key(|b| self.rank(b))?;
        let cut = self.cuts(table).any(|c| c.ts <= at && self.rank(c) > self.rank(newest));
        // At its own moment a base is complete, whatever is missing.
        let gap = newest.ts < at && self.missing(table).iter().any(|(from, to)| *from < at && newest.ts < *to);
        let ended = cut || gap && self.rules.gaps_end_coverage;
        (!ended).then_some(newest)
    }

    /// The documents of a table at a moment, if that moment is covered.
    pub(crate) fn state(&self, table: Table, at: Ts) -> Option<Documents> {
        self.state_over(table, at, &self.deltas(table))
    }

    /// The same, from the table's deltas.
    pub(crate) fn state_over(&self, table: Table, at: Ts, deltas: &[Row]) -> Option<Documents> {
        let base = self.base_for(table, at)?;
        let files = self.live.values().filter(|f| f.belongs_to(base.id, table));
        let mut documents: Documents = files.flat_map(|f| &f.rows).map(|r| (r.id, r.ts)).collect();
        for row in deltas.iter().filter(|r| base.ts < r.ts && r.ts <= at) {
            if row.tombstone {
                documents.remove(&row.id);
            } else {
                documents.insert(row.id, row.ts);
            }
        }
        Some(documents)
    }

    /// All rows of a table's delta files, in order.
    pub(crate) fn deltas(&self, table: Table) -> Vec<Row> {
        let files = self.live.values().filter(|f| f.is_delta() && f.table == table);
        let mut rows: Vec<_> = files.flat_map(|f| &f.rows).copied().collect();
        rows.sort_unstable();
        rows
    }

    /// A table's delta files, in order.
    pub(crate) fn delta_files(&self, table: Table) -> Vec<&File> {
        let mut files: Vec<_> = self.live.values().filter(|f| f.is_delta() && f.table == table).collect();
        files.sort_by_key(|f| f.min_ts());
        files
    }

    /// Files that readers see: all but those of an open walk.
    pub(crate) fn visible(&self) -> impl Iterator<Item = &File> {
        let walk = self.progress.as_ref().and_then(|p| p.walk.as_ref()).map(|w| w.base);
        self.live.values().filter(move |f| f.base.is_none() || f.base != walk)
    }

    pub(crate) fn is_erased(&self, table: Table, row: &Row) -> bool {
        self.erased.iter().any(|e| e.names(table, row))
    }

    /// What the deployment held, without what the archive was told to erase.
    pub(crate) fn without_erased(&self, table: Table, documents: &Documents) -> Documents {
        let kept =
            documents.iter().filter(|(id, ts)| !self.is_erased(table, &Row { ts: **ts, id: **id, tombstone: false }));
        kept.map(|(id, ts)| (*id, *ts)).collect()
    }

    /// The last moment at or before `ts` at which the deployment was asked what the table held.
    pub(crate) fn last_proven(&self, table: Table, ts: Ts) -> Ts {
        let told = self.bases.iter().filter(|b| b.made == Made::Deployment && b.holds(table)).map(|b| b.ts);
        let corrected = self.doubts.iter().filter(|d| d.table == table).map(|d| d.to);
        told.chain(corrected).filter(|t| *t <= ts).max().unwrap_or(self.origin - 1)
    }

    /// The moments that no delta file of the table is to lie across.
    pub(crate) fn moments(&self, table: Table) -> Vec<Ts> {
        let bases = self.bases.iter().filter(|b| b.cuts.contains(&table) || self.is_in_force(b, table));
        bases.map(|b| b.ts).chain(self.walk_over(table)).collect()
    }

    /// A table's files in a base.
    pub(crate) fn files_of(&self, base: &Base, table: Table) -> impl Iterator<Item = Path> {
        let id = base.id;
        self.live.values().filter(move |f| f.belongs_to(id, table)).map(|f| f.path)
    }

    /// The files that leave with an own base that is superseded. Those that are not marked stay: history is in them.
    pub(crate) fn leave_with(&self, base: &Base, table: Table) -> impl Iterator<Item = Path> {
        let only = self.rules.only_repeats_are_superseded;
        self.files_of(base, table).filter(move |p| self.live[p].repeats || !only)
    }

    /// The archive with the deltas that a draft brings, but without the bases: what a base of that draft is compared with.
    pub(crate) fn with_deltas_of(&self, draft: &Draft) -> Self {
        let mut head = self.clone();
        let files = draft.add.iter().filter(|f| f.is_delta() && !draft.is_output(f.path));
        head.live.extend(files.map(|f| (f.path, f.clone())));
        if let Some(selection) = &draft.selection {
            head.selections.push((self.cursor(), selection.clone()));
        }
        head.progress = draft.progress.clone().or(head.progress);
        head.gaps.extend(draft.gaps.iter().cloned());
        head
    }
}
