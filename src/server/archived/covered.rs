//! What of a request the archive covers.

use super::ArchivedDeployment;
use crate::{
    archive::{Base, Coverage, Covers, SelectionEntry},
    document::{TableRef, Timestamp},
    error::{Error, Result},
    read::{base_at, in_full},
    server::requested::RequestedTables,
};

impl ArchivedDeployment {
    /// Of the tables that there are now, those whose state is not in the archive. Who asks for one of them is refused.
    pub fn uncovered(&self) -> Vec<&TableRef> {
        self.uncovered_at(&RequestedTables::everything(), self.now).collect()
    }

    /// Whether the state of any table is in the archive, be it an empty one.
    pub(super) fn covers_anything(&self) -> bool {
        let mut tables = self.tables.iter().map(|table| &table.tablet.table);
        let covered = |table| matches!(self.head.coverage().covers(table, self.now), Covers::Covered(_));
        self.head.covered_through().is_some_and(|through| self.now <= through)
            && (tables.any(|table| covered(table)) || self.covers_unseen(self.now))
    }

    /// The least cursor after which the changes of all tables are complete: now, if there is none before.
    pub fn changes_after(&self) -> Timestamp {
        let missing = self.tables.iter().flat_map(|table| self.head.coverage().missing(&table.tablet.table));
        let Coverage { bases, gaps, .. } = self.head.coverage();
        let said = gaps.iter().map(|gap| gap.to).chain(bases.iter().map(|base| base.ts));
        let mut moments: Vec<_> = missing.map(|(_, to)| to).chain(said).chain(self.head.origin()).collect();
        moments.retain(|moment| *moment < self.now);
        moments.sort_unstable();
        let complete = |after: &Timestamp| self.check_log(&RequestedTables::everything(), *after, self.now).is_ok();
        moments.into_iter().find(complete).unwrap_or(self.now)
    }

    /// Whether the archive was told to keep this table at that moment.
    pub(super) fn selects(&self, table: &TableRef, at: Timestamp) -> bool {
        let coverage = self.head.coverage();
        let in_force =
            coverage.selections.iter().rfind(|selected| selected.after < at).map(|selected| &selected.tables);
        // The first is in force after the first S, whose base was made with it.
        let at_first = || coverage.bases.iter().find(|base| base.ts == at).map(|base| &base.selected);
        in_force.or_else(at_first).is_none_or(|tables| tables.contains(table))
    }

    fn uncovered_at(&self, asked: &RequestedTables<'_>, at: Timestamp) -> impl Iterator<Item = &TableRef> {
        let tables = self.tables.iter().map(|table| &*table.tablet.table);
        tables.filter(move |table| {
            asked.contains(table)
                && self.selects(table, at)
                && matches!(self.head.coverage().covers(table, at), Covers::NotCovered(_))
        })
    }

    pub(super) fn check_table(&self, table: &TableRef, at: Timestamp) -> Result<()> {
        base_at(&self.head, table, at).map(drop).map_err(|error| Error::window(error.to_string()))
    }

    pub(super) fn check_state(&self, asked: &RequestedTables<'_>, at: Timestamp) -> Result<()> {
        if let Some(table) = self.uncovered_at(asked, at).next() {
            return self.check_table(table, at);
        }
        // A table that nobody has seen was empty, or was not asked for, or is not known.
        if asked.reaches_beyond(|table| self.knows(table)) && !self.covers_unseen(at) {
            return Err(Error::window(format!(
                "not every table is covered at {}: choose another moment, or ask for some tables by name",
                in_full(at)
            )));
        }
        Ok(())
    }

    /// Whether a table of the root that nobody has seen is known to have been empty at that moment, if it was to be kept
    /// then: a base that would have had it, and since then no gap, and no selection that may have let it in.
    fn covers_unseen(&self, at: Timestamp) -> bool {
        let Coverage { bases, gaps, selections, .. } = self.head.coverage();
        let bases = bases.iter().filter(|base| base.ts <= at && self.head.coverage().serves_unseen(base));
        let Some(base) = bases.max_by_key(|base| (base.ts, base.version)) else { return false };
        let mut before = &base.selected;
        for selected in selections.iter().filter(|selected| selected.after >= base.ts && selected.after < at) {
            if !selected.tables.narrows(before) {
                return false;
            }
            before = &selected.tables;
        }
        !gaps.iter().any(|gap| gap.scope.holds_unseen() && gap.from < at && base.ts < gap.to)
    }

    fn knows(&self, table: &TableRef) -> bool {
        self.tables.binary_search_by(|known| (*known.tablet.table).cmp(table)).is_ok()
    }

    /// Refuses a cursor from before the first change.
    pub(super) fn check_begin(&self, after: Timestamp) -> Result<()> {
        match self.head.origin() {
            Some(origin) if after >= origin => Ok(()),
            Some(origin) => Err(Error::window(format!(
                "the changes after {} are not in the archive, which begins at {}",
                in_full(after),
                in_full(origin)
            ))),
            None => Err(Error::window("the archive has no changes yet")),
        }
    }

    pub(super) fn check_log(&self, asked: &RequestedTables<'_>, after: Timestamp, through: Timestamp) -> Result<()> {
        if after >= through {
            return Ok(());
        }
        self.check_begin(after)?;
        let coverage = self.head.coverage();
        let within = |(from, to): &(Timestamp, Timestamp)| *from < through && after < *to;
        let tables = self.tables.iter().map(|table| &*table.tablet.table);
        for table in tables.filter(|table| asked.contains(table) && !self.never_selects(table, after, through)) {
            if !self.selects(table, after) {
                return Err(Error::window(format!("table {table} was archived later: it begins with a snapshot")));
            }
            if let Some((_, to)) = coverage.missing(table).into_iter().find(within) {
                return Err(Error::window(format!("changes of table {table} up to {} are missing", in_full(to))));
            }
            // What happened there no delta tells.
            let cut = |base: &&Base| base.cuts(table) && after < base.ts && base.ts <= through;
            if let Some(cut) = coverage.bases.iter().find(cut) {
                return Err(Error::window(format!("changes of table {table} up to {} are missing", in_full(cut.ts))));
            }
        }
        let of_unseen = coverage.gaps.iter().filter(|gap| gap.scope.holds_unseen()).map(|gap| (gap.from, gap.to));
        let lost = of_unseen.into_iter().find(within);
        // Tables may have been let in, and their snapshot is yet to come.
        let lost = lost.or_else(|| (!self.covers_unseen(through)).then_some((after, through)));
        match lost {
            Some((_, to)) if asked.reaches_beyond(|table| self.knows(table)) => {
                Err(Error::window(format!("changes up to {} are missing", in_full(to))))
            }
            _ => Ok(()),
        }
    }

    /// Whether the archive was told not to keep this table, for all of that time: then it was never there.
    fn never_selects(&self, table: &TableRef, after: Timestamp, through: Timestamp) -> bool {
        let later = |selected: &&SelectionEntry| selected.after >= after && selected.after < through;
        let mut later = self.head.coverage().selections.iter().filter(later);
        !self.selects(table, after) && !later.any(|s| s.tables.contains(table))
    }
}
