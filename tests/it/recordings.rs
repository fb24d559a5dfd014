//! A real deployment's recorded answers become an archive that holds what they said: every value, every revision once.
//!
//! The oracle reads the recorded bodies with serde_json and its own few lines for `$integer`, `$float` and `$bytes`.

use std::sync::Arc;

use convex_archiver::{
    DigestShare, Encoding, Monitor, Revision, TableRef, Timestamp,
    archive::Archive,
    convex::{Access, Client, ClientOptions, DeployKey, Source},
    sync::{SyncOptions, SyncReport, sync},
};
use object_store::{ObjectStore, memory::InMemory};

use crate::support::{
    Held, KEY, States, Warnings, assert_same_state,
    replay::{Recording, Replay},
};

/// What was never recorded, and is asked all the same: how new the server is, and whether it is still the same database.
const QUESTIONS: [&str; 4] = [
    "/api/data_sync_cursor_from_deltas",
    "/api/list_snapshot?cursor=nonsense&format=json",
    "/api/list_snapshot",
    "/api/get_table_column_names",
];

/// A recording, served, and an archive of it.
struct Played {
    recording: Arc<Recording>,
    replay: Replay,
    encoding: Encoding,
    store: Arc<dyn ObjectStore>,
    warnings: Arc<Warnings>,
}

impl Played {
    async fn new(recording: &Arc<Recording>, encoding: Encoding) -> Self {
        Self {
            recording: Arc::clone(recording),
            replay: Replay::start(recording).await,
            encoding,
            store: Arc::new(InMemory::new()),
            warnings: Arc::default(),
        }
    }

    async fn archive(&self) -> (Arc<Client>, Archive) {
        let access = Access::new(&self.replay.server.url, DeployKey::new(KEY).unwrap(), false).unwrap();
        let options = ClientOptions::default().encoding(self.encoding);
        let client = Arc::new(Client::new(access, options, Arc::clone(&self.warnings) as Arc<dyn Monitor>).unwrap());
        let (store, identity) = (Arc::clone(&self.store), client.identity().await.unwrap());
        (client, Archive::open_or_create(store, "memory:///archive", identity, Timestamp(1)).await.unwrap())
    }

    /// Brings the archive up to date with `stage`. All that was asked had been recorded.
    async fn sync(&self, stage: u64) -> SyncReport {
        self.replay.set_stage(stage);
        let (client, archive) = self.archive().await;
        let monitor = Arc::clone(&self.warnings) as Arc<dyn Monitor>;
        let options = SyncOptions::default().content_digest(DigestShare::All).audit_every(None);
        let report = sync(client, &archive, &options, monitor).await;
        let mut unknown = self.replay.unknown();
        unknown.retain(|asked| !QUESTIONS.contains(&asked.as_str()));
        assert_eq!(unknown, [].into(), "asked for what was not recorded: {report:?}");
        report.unwrap()
    }

    async fn held(&self) -> Held {
        Held::read(&self.archive().await.1).await
    }

    /// The walk, its deltas, and the state that the two make are held, value by value.
    async fn assert_holds(&self, stage: u64) -> Held {
        let held = self.held().await;
        let (s, walk) = self.recording.walk();
        let (through, deltas) = self.recording.deltas(stage);
        assert_eq!(held.through(), through);
        assert_same_state(&held.state_at(s), &walk);
        assert_same_state(&held.state_at(through), &after(walk, &deltas));
        held.assert_revisions(deltas.into_iter().map(|(table, revision)| (table, Arc::new(revision))).collect());
        held
    }
}

/// `state`, and then `deltas` in the order in which they came.
fn after(mut state: States, deltas: &[(TableRef, Revision)]) -> States {
    for (table, revision) in deltas {
        let documents = state.entry(table.clone()).or_default();
        if revision.document.is_some() {
            documents.insert(revision.id.clone(), revision.clone());
        } else {
            documents.remove(&revision.id);
        }
    }
    state.retain(|_, documents| !documents.is_empty());
    state
}

#[tokio::test]
async fn browser_compat_is_the_recorded_walk_and_then_the_recorded_state_at_every_poll() {
    let recording = Arc::new(Recording::read_with_states("browser-compat"));
    let played = Played::new(&recording, Encoding::ConvexEncodedJson).await;
    let report = played.sync(1).await;
    assert_eq!((report.documents, report.tombstones), (4467, 0));
    played.assert_holds(1).await;
    for stage in 2..=4 {
        let report = played.sync(stage).await;
        assert!(report.caught_up && !report.first_run);
        let held = played.assert_holds(stage).await;
        let true_state = &recording.states[&held.through()];
        assert_same_state(&held.state_at(held.through()), true_state);
    }
    // The past stays what it was.
    let held = played.held().await;
    assert_eq!((recording.states.len(), held.deltas.len()), (3, 2321));
    for (at, true_state) in &recording.states {
        assert_same_state(&held.state_at(*at), true_state);
    }
}

#[tokio::test]
async fn every_kind_of_value_arrives_by_bits_in_both_lossless_encodings() {
    let recording = Arc::new(Recording::read("types"));
    for encoding in [Encoding::ConvexEncodedJson, Encoding::ExportJson] {
        let played = Played::new(&recording, encoding).await;
        for stage in 1..=2 {
            played.sync(stage).await;
            let held = played.assert_holds(stage).await;
            assert_eq!(held.head.latest().unwrap().encoding, encoding);
        }
        assert!(played.warnings.0.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn the_lossy_encoding_brings_the_same_revisions() {
    let recording = Arc::new(Recording::read("types"));
    let played = Played::new(&recording, Encoding::Json).await;
    played.sync(2).await;
    let held = played.held().await;
    let (through, deltas) = recording.deltas(2);
    let ids = |state: &States| -> Vec<(TableRef, String, Timestamp)> {
        let rows = state.iter().flat_map(|(table, rows)| rows.values().map(move |r| (table, r)));
        rows.map(|(table, r)| (table.clone(), r.id.clone(), r.ts)).collect()
    };
    assert_eq!(ids(&held.state_at(through)), ids(&after(recording.walk().1, &deltas)));
}

#[tokio::test]
async fn a_table_that_breaks_json_schemas_for_all_costs_a_warning_and_no_value() {
    let recording = Arc::new(Recording::read("types"));
    let played = Played::new(&recording, Encoding::ConvexEncodedJson).await;
    // A first sync, since the deltas of stage 4 were not recorded.
    let report = played.sync(4).await;
    assert!(report.first_run && report.caught_up);
    let warnings = played.warnings.0.lock().unwrap().clone();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("400") && warnings[0].contains("json_schemas"), "{warnings:?}");
    played.assert_holds(2).await;
}
