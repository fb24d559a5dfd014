//! Convex's own client, npm `convex` 1.48.0: how it reads values, and its command `import`. That speaks with a fake of the
//! importer, which refuses what the real one is known to refuse.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use convex_archiver::{TableRef, Timestamp, Value, server::SimulatedDeployment};
use serde_json::Value as Json;

use crate::{
    Archived, run,
    support::{self, archiver},
    tools::{
        import_fake::{ImportFake, npx_convex_import, write_package},
        process::block_on,
        python::{node_modules, text},
        world::{KEY, World},
    },
};

/// Lets `jsonToConvex` read the documents of a place and compare them with what the file says of that moment.
pub(crate) fn read_values(expected: &Path, at: Timestamp, place: &[&OsStr]) -> Result<String, String> {
    let mut node = Command::new("node");
    node.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/json_to_convex.mjs"));
    node.arg(node_modules()).arg(expected).arg(at.0.to_string()).args(place);
    let output = node.output().unwrap();
    if output.status.success() { Ok(text(&output)) } else { Err(text(&output)) }
}

/// How many documents there were, and how many of their int64 JavaScript rounded.
fn reads(archived: &Archived, at: Timestamp, place: &[&OsStr]) -> (u64, u64) {
    let told = read_values(&archived.expected(), at, place).unwrap_or_else(|said| panic!("{said}"));
    println!("{told}");
    let told: Json = serde_json::from_str(&told).unwrap();
    (told["documents"].as_u64().unwrap(), told["rounded"].as_u64().unwrap())
}

#[test]
fn json_to_convex_reads_every_line_of_a_restore_and_of_an_export_but_javascript_rounds_large_int64() {
    block_on(async {
        let archived = Archived::hard().await;
        let at = archived.middle().await;
        let (zip, restored) = (archived.restore(at, &[], "restored.zip"), archived.path("restored"));
        zip::ZipArchive::new(std::fs::File::open(zip).unwrap()).unwrap().extract(&restored).unwrap();
        let exported = archived.path("exported");
        let mut export = archiver(["export", "--format", "ndjson", "--archive", &archived.place()]);
        support::run(export.args(["--as-of", &at.0.to_string(), "--output"]).arg(&exported)).with(0);
        let (documents, rounded) = reads(&archived, at, &[restored.as_os_str()]);
        assert!(documents > 100 && rounded > 0);
        assert_eq!(reads(&archived, at, &[exported.as_os_str()]), (documents, rounded));
    });
}

#[test]
fn json_to_convex_reads_a_served_archive_with_every_int64_as_it_was() {
    block_on(async {
        let archived = Archived::hard().await;
        let server = archived.serve(&["--snapshot-page", "50"]);
        let place = [server.url.as_ref(), support::KEY.as_ref()];
        let (documents, rounded) = reads(&archived, archived.middle().await, &place);
        assert!(documents > 100 && rounded == 0);
    });
}

/// What an import ended with.
#[track_caller]
fn ends(output: Output, code: i32, words: &str) {
    let said = text(&output);
    assert!(output.status.code() == Some(code) && said.contains(words), "{:?}, not {code}: {said}", output.status);
}

/// The fake holds what the deployment held at a moment, with parts from other moments.
fn holds(fake: &ImportFake, archived: &Archived, at: Timestamp, parts: &[String]) {
    let mut arguments = vec![fake.holds(), archived.expected(), at.0.to_string().into()];
    arguments.extend(parts.iter().map(PathBuf::from));
    run("imported.py", &arguments);
}

#[test]
fn convex_import_replaces_everything_with_a_restore_of_any_moment() {
    block_on(async {
        let (archived, fake) = (Archived::hard().await, ImportFake::start());
        for at in [archived.through().await, archived.middle().await] {
            let zip = archived.restore(at, &[], &format!("{}.zip", at.0));
            ends(fake.import(&["--replace-all", "-y"], &zip), 0, "Added");
            holds(&fake, &archived, at, &[]);
            // Not over documents that are there, unless one says so.
            ends(fake.import(&["-y"], &zip), 1, "TableExists");
            ends(fake.import(&["--append", "-y"], &zip), 1, "already exists");
            holds(&fake, &archived, at, &[]);
        }
    });
}

/// A document of `orders` that was there at one moment, and no more at a later one.
fn gone(archived: &Archived, earlier: Timestamp, later: Timestamp) -> String {
    let orders = TableRef::new("", "orders").unwrap();
    let [then, since] = [earlier, later].map(|at| archived.world.deployment.state_at(at).remove(&orders).unwrap());
    then.keys().find(|id| !since.contains_key(*id)).unwrap().clone()
}

#[test]
fn convex_import_replaces_one_table_and_adds_a_document_that_a_deployment_never_had() {
    block_on(async {
        let (archived, fake) = (Archived::hard().await, ImportFake::start());
        let (through, middle) = (archived.through().await, archived.middle().await);
        let now = archived.restore(through, &[], "now.zip");
        ends(fake.import(&["--replace-all", "-y"], &now), 0, "Added");

        let gone = gone(&archived, middle, through);
        let one = archived.restore(middle, &["--id", &gone], "one.zip");
        ends(fake.import(&["--append", "-y"], &one), 0, "Added 1 documents");
        holds(&fake, &archived, through, &[format!("{gone}@{}", middle.0)]);
        ends(fake.import(&["--append", "-y"], &one), 1, "already exists");

        let table = archived.restore(middle, &["--table", "orders"], "orders.zip");
        ends(fake.import(&["--replace", "-y"], &table), 0, "Added");
        holds(&fake, &archived, through, &[format!("orders@{}", middle.0)]);
    });
}

/// Convex takes no `_id` by `--append` that its table has had, deleted ones included.
#[test]
fn a_document_that_a_deployment_deleted_comes_back_with_its_table_and_not_by_an_append() {
    block_on(async {
        let (archived, fake) = (Archived::hard().await, ImportFake::start());
        let (through, middle) = (archived.through().await, archived.middle().await);
        let then = archived.restore(middle, &[], "then.zip");
        ends(fake.import(&["--replace-all", "-y"], &then), 0, "Added");
        let gone = gone(&archived, middle, through);
        fake.delete("orders", &gone).await;

        let one = archived.restore(middle, &["--id", &gone], "one.zip");
        ends(fake.import(&["--append", "-y"], &one), 1, "Cannot recreate document with _id");
        let table = archived.restore(middle, &["--table", "orders"], "orders.zip");
        ends(fake.import(&["--replace", "-y"], &table), 0, "Added");
        holds(&fake, &archived, middle, &[]);
    });
}

/// `restore --undo`, which must end with one of these codes.
fn undo(archived: &Archived, moments: [Timestamp; 2], arguments: &[&str], name: &str) -> PathBuf {
    let (output, [from, to]) = (archived.path(name), moments.map(|ts| ts.0.to_string()));
    let mut command = archiver(["restore", "--undo", "--from", &from, "--to", &to, "--archive", &archived.place()]);
    let ended = support::run(command.args(arguments).arg("--output").arg(&output));
    assert!(matches!(ended.code, Some(0 | 3)), "{ended:?}");
    output
}

#[test]
fn an_undo_brings_back_a_document_that_a_deployment_deleted_and_keeps_what_came_since() {
    block_on(async {
        let (archived, fake) = (Archived::hard().await, ImportFake::start());
        let (through, middle) = (archived.through().await, archived.middle().await);
        let now = archived.restore(through, &[], "now.zip");
        let then = archived.restore(middle, &[], "then.zip");
        let gone = gone(&archived, middle, through);
        // The deployment's tables know the id, and as deleted.
        ends(fake.import(&["--replace-all", "-y"], &then), 0, "Added");
        fake.delete("orders", &gone).await;
        let one = archived.restore(middle, &["--id", &gone], "one.zip");
        ends(fake.import(&["--append", "-y"], &one), 1, "Cannot recreate document with _id");

        let undone = undo(&archived, [middle, through], &["--id", &gone], "one-undone.zip");
        ends(fake.import(&["--replace-all", "-y"], &now), 0, "Added");
        ends(fake.import(&["--append", "-y"], &undone), 1, "already exists");
        ends(fake.import(&["--replace", "-y"], &undone), 0, "Added");
        holds(&fake, &archived, through, &[format!("{gone}@{}", middle.0)]);

        let all = undo(&archived, [middle, through], &["--inserted"], "undone.zip");
        ends(fake.import(&["--replace", "-y"], &all), 0, "Added");
        holds(&fake, &archived, middle, &[]);
    });
}

#[test]
fn the_mutation_of_an_undo_replaces_what_is_as_expected_and_nothing_else() {
    block_on(async {
        let archived = Archived::hard().await;
        let moments = [archived.middle().await, archived.through().await];
        let folder = undo(&archived, moments, &["--inserted", "--as", "mutation"], "undo");
        let mut node = Command::new("node");
        node.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/undo_mutation.mjs"));
        let output = node.arg(node_modules()).arg(folder).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let told: Json = serde_json::from_slice(&output.stdout).unwrap();
        assert!(told["replaced"].as_u64() > Some(0) && told["deleted"].as_u64() > Some(0), "{told}");
    });
}

/// The simulation's own importer, with which the client speaks as with a real deployment's.
#[test]
fn convex_import_speaks_with_the_simulation_and_an_undo_comes_back_there() {
    block_on(async {
        let archived = Archived::hard().await;
        let (through, middle) = (archived.through().await, archived.middle().await);
        let target = World::of(SimulatedDeployment::new("otter-1", 9)).await;
        let folder = archived.path("project");
        std::fs::create_dir(&folder).unwrap();
        write_package(&folder);
        let import = |arguments: &[&str], zip: &Path| npx_convex_import(&target.url, KEY, &folder, arguments, zip);
        let documents = |deployment: &SimulatedDeployment, at| {
            let of_table = |documents: std::collections::BTreeMap<_, std::sync::Arc<convex_archiver::Revision>>| {
                documents.into_values().map(|revision| revision.document.clone()).collect::<Vec<_>>()
            };
            let all = deployment.state_at(at).into_iter().map(|(table, documents)| (table, of_table(documents)));
            all.filter(|(_, documents)| !documents.is_empty()).collect::<Vec<_>>()
        };
        let holds =
            |at| documents(&target.deployment, Timestamp(i64::MAX)) == documents(&archived.world.deployment, at);

        let then = archived.restore(middle, &[], "then.zip");
        ends(import(&["--replace-all", "-y"], &then), 0, "Added");
        assert!(holds(middle));
        ends(import(&["-y"], &then), 1, "has documents");
        let gone = gone(&archived, middle, through);
        let orders = TableRef::new("", "orders").unwrap();
        target.deployment.transaction(|t| t.delete(&orders, &gone)).unwrap();
        let one = archived.restore(middle, &["--id", &gone], "one.zip");
        ends(import(&["--append", "-y"], &one), 1, "Cannot recreate document with _id");
        ends(import(&["--replace-all", "-y"], &archived.restore(through, &[], "now.zip")), 0, "Added");
        assert!(holds(through));
        let undone = undo(&archived, [middle, through], &["--inserted"], "undone.zip");
        ends(import(&["--replace", "-y"], &undone), 0, "Added");
        assert!(holds(middle));

        let large = Archived::with(large).await;
        let zip = large.restore(large.through().await, &[], "large.zip");
        assert!(zip.metadata().unwrap().len() > 6 << 20, "two parts at least");
        ends(import(&["--replace-all", "-y"], &zip), 0, "Added 16 documents");
        ends(npx_convex_import(&target.url, "otter-1|another", &folder, &["-y"], &zip), 1, "BadAdminKey");
        std::fs::write(&zip, "no ZIP").unwrap();
        ends(import(&["--replace-all", "-y"], &zip), 1, "no ZIP that can be read");
    });
}

/// Larger than a part of an upload.
fn large(deployment: &SimulatedDeployment) {
    let blobs = TableRef::new("", "blobs").unwrap();
    for n in 0..16_u64 {
        // Not to be compressed: a number's squares, mixed.
        let mixed =
            |k: u64| (k ^ n << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(k | 1) >> 56;
        let bytes = Value::Bytes((0..600_000).map(|k| mixed(k) as u8).collect());
        deployment.transaction(|tx| tx.insert(&blobs, [("bytes".to_owned(), bytes.clone())].into())).unwrap();
    }
}

#[test]
fn convex_import_uploads_a_restore_in_several_parts() {
    block_on(async {
        let archived = Archived::with(large).await;
        let (fake, at) = (ImportFake::start(), archived.through().await);
        let zip = archived.restore(at, &[], "large.zip");
        assert!(zip.metadata().unwrap().len() > 6 << 20, "two parts at least");
        ends(fake.import(&["--replace-all", "-y"], &zip), 0, "Added 16 documents");
        holds(&fake, &archived, at, &[]);
    });
}

#[test]
fn the_fake_importer_refuses_what_the_real_one_refuses() {
    block_on(async {
        let fill = |deployment: &SimulatedDeployment| {
            for (component, name) in [("", "users"), ("", "orders"), ("shop", "items")] {
                let table = TableRef::new(component, name).unwrap();
                let document = |n: i64| [("n".to_owned(), Value::Int64(n))].into();
                deployment.transaction(|tx| (0..5).try_for_each(|n| tx.insert(&table, document(n)).map(drop))).unwrap();
            }
        };
        let archived = Archived::with(fill).await;
        // Components are covered once a change of one came.
        fill(&archived.world.deployment);
        archived.world.catch_up(&archived.place()).await;
        let zip = archived.restore(archived.through().await, &[], "good.zip");
        run("importer_refuses.py", &[zip.as_path()]);

        // What it says no to, `npx convex import` shows.
        let (fake, broken) = (ImportFake::start(), archived.path("broken.zip"));
        std::fs::write(&broken, "no ZIP").unwrap();
        ends(fake.import(&["--replace-all", "-y"], &broken), 1, "ImportFailed: no ZIP");
        ends(fake.import_with("otter-1|another", &["--replace-all", "-y"], &zip), 1, "BadAdminKey");
        assert!(!fake.holds().exists());
    });
}
