//! States as the archive's own readers have them, to be compared with what the deployment had.

use std::collections::BTreeMap;

use convex_archiver::{
    MemoryBudget, Timestamp,
    archive::{Archive, Covers, Head},
    read::{FilesByTable, State, StateOptions, count},
    server::SimulatedDeployment,
};

use super::{States, deployment_state};

/// The state of all tables that are covered, read as every reader does; and counted.
pub(crate) async fn read_state(archive: &Archive, head: &Head, at: Timestamp) -> States {
    let mut states = States::new();
    let mut files = FilesByTable::open(archive, head).await.unwrap();
    while let Some(of_table) = files.next().await.unwrap() {
        let Covers::Covered(_) = head.coverage().covers(&of_table.table, at) else { continue };
        let mut state = State::of_files(archive, head, &of_table, at, &StateOptions::default()).unwrap();
        let mut documents = BTreeMap::new();
        while let Some(batch) = state.next().await.unwrap() {
            let rows = batch.documents().unwrap();
            documents.extend((0..batch.len()).map(|row| (batch.id(row).to_owned(), rows.revision(row).unwrap())));
        }
        let counted = count(archive, head, &of_table, at, MemoryBudget::default()).await.unwrap();
        assert_eq!(counted, documents.len() as u64);
        if !documents.is_empty() {
            states.insert(of_table.table, documents);
        }
    }
    states
}

/// What the deployment had, of the tables that the archive covers at that moment.
pub(crate) fn covered_state(deployment: &SimulatedDeployment, head: &Head, at: Timestamp) -> States {
    let mut states = deployment_state(deployment, at);
    states.retain(|table, _| matches!(head.coverage().covers(table, at), Covers::Covered(_)));
    states
}
