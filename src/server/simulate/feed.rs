//! A log that was recorded elsewhere, fed in with its own moments, ids and tablets.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    deployment::SimulatedDeployment,
    id::table_number,
    state::{LogEntry, SimulatedTable, State},
};
use crate::{
    document::{Revision, Timestamp},
    error::{Error, Result},
    server::tablet::Tablet,
};

/// One thing that happened in a transaction that was recorded.
#[derive(Debug, Clone)]
pub enum FedChange {
    /// A table was made, hidden.
    Create(Tablet),
    /// A document was written, or deleted; its `_ts` is that of the transaction.
    Write([u8; 16], Revision),
    /// A table became the one of its name; the one before it was dropped.
    Activate([u8; 16]),
    /// A table was dropped.
    Drop([u8; 16]),
    /// A hidden table was left behind by an import that came to nothing.
    Leave([u8; 16]),
}

impl SimulatedDeployment {
    /// Takes over what happened at `ts`. Nothing is checked but that it comes after everything that is there.
    ///
    /// # Errors
    /// Usage, if it does not, or a tablet is not known.
    #[doc(hidden)]
    pub fn feed(&self, ts: Timestamp, changes: Vec<FedChange>) -> Result<()> {
        let mut state = self.state();
        if ts <= state.newest {
            return Err(Error::usage(format!("{} was fed, and {} is told already", ts.0, state.newest.0)));
        }
        state.newest = ts;
        let mut rows = Vec::new();
        for change in changes {
            match change {
                FedChange::Create(tablet) => {
                    let present = state.names.get(&tablet.table).map(|index| state.tables[*index].number);
                    let number = present.unwrap_or_else(|| state.fresh_number(&tablet.table));
                    let (activated, dropped, documents) = (None, None, BTreeMap::new());
                    state.tables.push(SimulatedTable { tablet, number, created: ts, activated, dropped, documents });
                    state.log.push(LogEntry { ts, change: None });
                }
                FedChange::Write(tablet, revision) => {
                    let index = index_of(&state, tablet)?;
                    let (revision, table) = (Arc::new(revision), &mut state.tables[index]);
                    table.number = table_number(&revision.id).unwrap_or(table.number);
                    table.documents.entry(revision.id.clone()).or_default().push(Arc::clone(&revision));
                    rows.push((tablet, LogEntry { ts, change: Some((index, revision)) }));
                }
                FedChange::Activate(tablet) => {
                    let index = index_of(&state, tablet)?;
                    let name = Arc::clone(&state.tables[index].tablet.table);
                    if let Some(old) = state.names.insert(name, index) {
                        state.tables[old].dropped = Some(ts);
                    }
                    state.tables[index].activated = Some(ts);
                    state.log.push(LogEntry { ts, change: None });
                }
                FedChange::Drop(tablet) => {
                    let index = index_of(&state, tablet)?;
                    state.tables[index].dropped = Some(ts);
                    state.names.retain(|_, named| *named != index);
                    state.log.push(LogEntry { ts, change: None });
                }
                FedChange::Leave(tablet) => {
                    let index = index_of(&state, tablet)?;
                    state.tables[index].leave(ts);
                }
            }
        }
        rows.sort_by(|(a, left), (b, right)| (a, id(left)).cmp(&(b, id(right))));
        state.log.extend(rows.into_iter().map(|(_, entry)| entry));
        Ok(())
    }
}

fn index_of(state: &State, tablet: [u8; 16]) -> Result<usize> {
    let index = state.tables.iter().position(|table| table.tablet.id == tablet);
    index.ok_or_else(|| Error::usage(format!("there is no tablet {}", hex::encode(tablet))))
}

fn id(entry: &LogEntry) -> Option<&str> {
    entry.change.as_ref().map(|(_, revision)| revision.id.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        document::{TableRef, Value},
        server::Deployment,
    };

    #[tokio::test]
    async fn what_is_fed_keeps_its_moments_and_tablets() {
        let d = SimulatedDeployment::with_clock("fed", 1, || Timestamp(1));
        let other = SimulatedDeployment::new("other", 2);
        let table = Arc::new(TableRef::new("", "t").unwrap());
        let fields = || [("n".to_owned(), Value::Int64(1))].into();
        let mut ids = other.transaction(|t| Ok([t.insert(&table, fields())?, t.insert(&table, fields())?])).unwrap().1;
        ids.sort();
        let [old, new] = [[9; 16], [2; 16]];
        let create = |id| FedChange::Create(Tablet { id, table: Arc::clone(&table) });
        let write = |tablet, id: &String, ts| {
            let document = Some([("_id".to_owned(), Value::String(id.clone()))].into());
            FedChange::Write(tablet, Revision { id: id.clone(), ts: Timestamp(ts), document })
        };
        d.feed(Timestamp(10), vec![create(old), FedChange::Activate(old), write(old, &ids[0], 10)]).unwrap();
        d.feed(Timestamp(20), vec![create(new), write(old, &ids[1], 20), write(new, &ids[1], 20)]).unwrap();
        assert!(d.feed(Timestamp(20), Vec::new()).is_err(), "it is told already");
        assert!(d.feed(Timestamp(21), vec![FedChange::Drop([3; 16])]).is_err());
        let log = d.log(Timestamp(0), Timestamp(30), usize::MAX).await.unwrap();
        let shown = log.rows.iter().filter_map(|row| row.change.as_ref()).count();
        assert_eq!((shown, d.state_at(Timestamp(20))[&*table].len()), (3, 2));
        d.feed(Timestamp(30), vec![FedChange::Activate(new)]).unwrap();
        assert_eq!((d.revisions().len(), d.state_at(Timestamp(30))[&*table].len()), (1, 1));
        assert_eq!(d.state_at(Timestamp(29))[&*table].len(), 2);
        assert_eq!(d.tables(Timestamp(30)).await.unwrap()[0].id, new);
        d.feed(Timestamp(40), vec![create([4; 16]), write([4; 16], &ids[0], 40), FedChange::Leave([4; 16])]).unwrap();
        assert_eq!((d.revisions().len(), d.state_at(Timestamp(40))[&*table].len()), (2, 1));
    }
}
