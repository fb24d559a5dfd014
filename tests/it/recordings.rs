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
const QUESTIONS: [&str; 3] =
    ["/api/data_sync_cursor_from_deltas", "/api/list_snapshot?cursor=nonsense&format=json", "/api/list_snapshot"];

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
        let options = SyncOptions::default().content_digest(DigestShare::All);
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
        held.assert_revisions(deltas);
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

/// Documents that the archive shows and the deployment no longer has, per table; everything else is equal.
fn too_many(held: &States, true_state: &States) -> Vec<(String, usize)> {
    let mut known = held.clone();
    let mut extra = Vec::new();
    for (table, documents) in held {
        let live = true_state.get(table);
        let gone = documents.keys().filter(|id| live.is_none_or(|live| !live.contains_key(*id)));
        let gone: Vec<_> = gone.cloned().collect();
        if !gone.is_empty() {
            extra.push((table.to_string(), gone.len()));
            known.get_mut(table).unwrap().retain(|id, _| !gone.contains(id));
        }
    }
    known.retain(|_, documents| !documents.is_empty());
    assert_same_state(&known, true_state);
    extra
}

/// The archive of `holes`, with what it shows and the deployment no longer has after each stage. Stage 3 has no recorded
/// state: an import is filling a table.
async fn shown_in_vain(table: &str) -> Vec<(u64, usize)> {
    let recording = Arc::new(Recording::read_with_states("holes"));
    let played = Played::new(&recording, Encoding::ConvexEncodedJson).await;
    let mut shown = Vec::new();
    for stage in 1..=4 {
        played.sync(stage).await;
        // Every revision that the log tells is there all the same.
        let held = played.assert_holds(stage).await;
        if let Some(true_state) = recording.states.get(&held.through()) {
            let extra = too_many(&held.state_at(held.through()), true_state);
            shown.push((stage, extra.into_iter().find(|(name, _)| name == table).map_or(0, |(_, count)| count)));
        }
    }
    shown
}

/// The change log does not tell of a dropped table. It is not known yet, until the archive learns to look.
#[tokio::test]
async fn a_dropped_tables_documents_are_still_shown() {
    assert_eq!(shown_in_vain("dropped").await, [(2, 5), (4, 5)]);
}

/// An import brings its new documents, and no tombstones of those that it replaces. Not known yet.
#[tokio::test]
async fn a_replaced_tables_old_documents_are_still_shown_beside_the_new() {
    assert_eq!(shown_in_vain("replaced").await, [(2, 5), (4, 5)]);
    // The import that was under way in stage 3.
    assert_eq!(shown_in_vain("keep").await, [(2, 0), (4, 6)]);
}

/// A snapshot that is taken while an import fills its hidden table shows the old documents, and the new ones have a `_ts` before
/// it, so that the changes after it never tell them. Not known yet.
#[tokio::test]
async fn documents_of_an_import_that_was_filling_during_the_first_snapshot_are_missing() {
    let recording = Arc::new(Recording::read_with_states("holes"));
    let played = Played::new(&recording, Encoding::ConvexEncodedJson).await;
    assert!(played.sync(3).await.first_run);
    played.sync(4).await;
    let held = played.held().await;
    let (shown, true_state) = (held.state_at(held.through()), &recording.states[&held.through()]);
    let keep = TableRef::new("", "keep").unwrap();
    let ids = |state: &States| state[&keep].keys().cloned().collect::<std::collections::BTreeSet<_>>();
    assert_eq!((ids(&shown).len(), ids(true_state).len()), (6, 4));
    assert_eq!(ids(&shown).intersection(&ids(true_state)).count(), 0);
}
