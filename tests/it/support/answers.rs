//! All that an archive answers, as text: for tests in which nothing of it may change.

use convex_archiver::{
    MemoryBudget, NoMonitor, Timestamp,
    archive::{Archive, Covers, Head},
    read::{DiffOptions, History, LogOptions, RestoreOptions, Transactions, diff, restore},
    server::read_snapshot_zip,
};

use super::states::read_state;

/// States, differences and restores at these moments, which ascend; the history of every document that is in one of the states; the log.
pub(crate) async fn answers(archive: &Archive, head: &Head, moments: &[Timestamp]) -> Vec<String> {
    let mut told = Vec::new();
    let mut documents = std::collections::BTreeSet::new();
    for (n, at) in moments.iter().enumerate() {
        let state = read_state(archive, head, *at).await;
        documents.extend(state.iter().flat_map(|(table, of)| of.keys().map(|id| (table.clone(), id.clone()))));
        told.push(format!("at {at}: {state:?}"));
        if head.tables().any(|state| !matches!(head.coverage().covers(&state.table, *at), Covers::Covered(_))) {
            continue;
        }
        let options = DiffOptions::default().from(moments[n.saturating_sub(3)]).to(*at).documents(true);
        let mut changes = Vec::new();
        let diffed = diff(archive, head, &options, |change| {
            changes.push(format!("{change:?}"));
            Ok(())
        });
        let tables = diffed.await;
        told.push(format!("differences up to {at}: {tables:?} {changes:?}"));
        let folder = tempfile::tempdir().unwrap();
        let options = RestoreOptions::default().at(*at).output(folder.path().join("a.zip"));
        restore(archive, head, &options, &NoMonitor).await.unwrap();
        let contents = read_snapshot_zip(&folder.path().join("a.zip")).unwrap();
        told.push(format!("restored at {at}: {contents:?}"));
    }
    for (table, id) in documents {
        let mut history = History::open(archive, head, &table, &id, MemoryBudget::default()).await.unwrap();
        let mut revisions = Vec::new();
        while let Some(revision) = history.next().await.unwrap() {
            let gone = history.gone_between(revision.ts, None);
            revisions.push(format!("{revision:?} {gone:?}"));
        }
        told.push(format!("history of {id} of {table}: {revisions:?} {:?} {:?}", history.missing(), history.doubted()));
    }
    let mut log = Transactions::open(archive, head, &LogOptions::default()).await.unwrap();
    while let Some(transaction) = log.next().await.unwrap() {
        told.push(format!("{transaction:?}"));
    }
    told.push(format!("{:?}", (log.missing(), log.doubted())));
    told
}
