//! `restore --into`: a deployment gets a restore or an undo, by the program itself.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use convex_archiver::{
    TableRef, Timestamp, Value,
    server::{RouterOptions, SimulatedDeployment, router},
};

use crate::{
    reports,
    support::{Ended, KEY, archiver, run, served},
};

type Fields = BTreeMap<String, Value>;

/// A deployment behind HTTP, and where its archive is.
struct World {
    deployment: Arc<SimulatedDeployment>,
    url: String,
    dir: tempfile::TempDir,
}

fn notes() -> TableRef {
    TableRef::new("", "notes").unwrap()
}

fn number(n: i64) -> Fields {
    [("n".to_owned(), Value::Int64(n))].into()
}

impl World {
    /// With 600 notes: three transactions of an import.
    async fn new() -> Self {
        let world = Self::empty().await;
        let documents = (0..600).map(number).collect();
        world.deployment.insert_all([(notes(), documents)].into()).unwrap();
        world.deployment.transaction(|t| t.insert(&TableRef::new("", "other").unwrap(), number(0))).unwrap();
        world
    }

    async fn empty() -> Self {
        let deployment = Arc::new(SimulatedDeployment::new("otter-1", 4));
        let options = RouterOptions::default().key(KEY.to_owned()).import_pause(Duration::from_millis(700));
        let url = served(router(Arc::clone(&deployment) as _, options)).await;
        Self { deployment, url, dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Ended {
        let mut command = archiver([]);
        command.args(args).current_dir(self.dir.path()).env("CONVEX_ARCHIVE", self.path("a"));
        let ended = run(command.env("THE_KEY", KEY));
        let secret = KEY.split_once('|').unwrap().1;
        assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret), "{ended:?}");
        ended
    }

    /// Archives it; as far as the archive reaches.
    fn sync(&self) -> String {
        std::fs::write(self.path("key"), KEY).unwrap();
        let key = self.path("key");
        let sync = ["sync", "--json", "--deployment", &self.url, "--deploy-key-file", key.to_str().unwrap()];
        self.run(&sync).with(0).json()["through"].as_str().unwrap().to_owned()
    }

    /// The program into `target`.
    fn restore(&self, target: &Self, args: &[&str]) -> Ended {
        self.run(&[&["restore", "--into", &target.url, "--into-key-env", "THE_KEY"], args].concat())
    }

    /// `n` by id.
    fn holds(&self) -> BTreeMap<String, i64> {
        let mut state = self.deployment.state_at(Timestamp(i64::MAX));
        let documents = state.remove(&notes()).unwrap_or_default();
        let n = |fields: &Fields| match fields["n"] {
            Value::Int64(n) => n,
            ref other => panic!("{other:?}"),
        };
        documents.into_iter().map(|(id, revision)| (id, n(revision.document.as_ref().unwrap()))).collect()
    }

    fn replace(&self, id: &str, n: i64) {
        self.deployment.transaction(|t| t.replace(&notes(), id, number(n))).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_restore_goes_into_another_deployment_by_the_named_mode_and_not_without_being_asked() {
    let (world, target) = (World::new().await, World::empty().await);
    world.sync();
    for (args, words) in [
        (&["--yes"][..], "--into needs --mode"),
        (&["--mode", "replace-all"], "add --yes to import without asking"),
        (&["--mode", "replace-all", "--yes", "--plan"], "cannot be used with"),
        (&["--mode", "replace-all", "--yes", "--output", "-"], "uploads from a file"),
    ] {
        let ended = world.restore(&target, args).with(2);
        assert!(ended.stderr.contains(words), "{words} in {ended:?}");
    }
    let into = ["restore", "--into", &target.url, "--mode", "replace-all", "--yes"];
    let keyless = world.run(&into).with(2);
    assert!(keyless.stderr.contains("--into-key-env"), "{keyless:?}");
    std::fs::write(world.path("other.key"), "otter-1|anotherkey").unwrap();
    let wrong = world.run(&[&into[..], &["--into-key-file", "other.key"]].concat()).with(2);
    assert!(wrong.stderr.contains("may write data") && !wrong.stderr.contains("anotherkey"), "{wrong:?}");
    assert!(target.holds().is_empty());

    let done = world.restore(&target, &["--mode", "replace-all", "--yes", "--json"]).with(0).json();
    reports::is("restore", &done);
    assert_eq!((&done["imported"]["documents"], &done["documents"]), (&601.into(), &601.into()));
    assert_eq!(target.holds(), world.holds());
    // What the deployment refuses changes nothing.
    for (mode, words) in [("require-empty", "has documents"), ("append", "already")] {
        let refused = world.restore(&target, &["--mode", mode, "--yes", "--output", &format!("{mode}.zip")]).with(2);
        assert!(refused.stderr.contains(words), "{mode}: {refused:?}");
        assert!(world.path(&format!("{mode}.zip")).is_file());
    }
    assert_eq!(target.holds(), world.holds());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_undo_goes_into_its_own_deployment_and_what_is_written_meanwhile_is_kept() {
    let world = World::new().await;
    let before = world.holds();
    let from = world.sync();
    let ids: Vec<_> = before.keys().cloned().collect();
    world.deployment.transaction(|t| ids[..3].iter().try_for_each(|id| t.delete(&notes(), id))).unwrap();
    world.replace(&ids[3], 1000);
    let to = world.sync();
    world.replace(&ids[4], 2000);
    let undo = ["--undo", "--from", &from, "--to", &to, "--output", "undo.zip", "--force", "--json"];

    // Not into another deployment, and in no other mode.
    let other = World::empty().await;
    let refused = world.restore(&other, &[&undo[..], &["--yes"]].concat());
    assert!(refused.code != Some(0) && other.holds().is_empty(), "{refused:?}");
    let refused = world.restore(&world, &[&undo[..], &["--yes", "--mode", "replace-all"]].concat()).with(2);
    assert!(refused.stderr.contains("documents that it leaves alone would be lost"), "{refused:?}");

    // The app writes while the import is performed.
    let (deployment, url, id) = (Arc::clone(&world.deployment), world.url.clone(), ids[5].clone());
    let app = tokio::spawn(async move {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        loop {
            let list = serde_json::json!({ "path": "_system/cli/queryImport:list", "args": [{}] });
            let asked = client.post(format!("{url}/api/query")).header("Authorization", format!("Convex {KEY}"));
            let told = asked.body(list.to_string()).send().await.unwrap().text().await.unwrap();
            if told.contains("in_progress") {
                return deployment.transaction(|t| t.replace(&notes(), &id, number(3000))).unwrap().0;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let done = world.restore(&world, &[&undo[..], &["--yes"]].concat()).with(3);
    let written = app.await.unwrap();
    assert!(done.stderr.contains("3 put back, 1 reverted"), "the plan is shown: {done:?}");
    let done = done.json();
    reports::is("undo", &done);
    assert_eq!(done["imported"]["documents"], 600);
    assert_eq!(done["written_meanwhile"]["revisions"], 1, "{done}");
    let caught = std::fs::read_to_string(world.path("undo.zip.later.ndjson")).unwrap();
    let caught: serde_json::Value = serde_json::from_str(&caught).unwrap();
    assert_eq!((&caught["id"], &caught["ts"]), (&ids[5].as_str().into(), &written.0.to_string().into()));
    assert_eq!(caught["document"]["n"], 3000);
    // What was lost is what was caught, and nothing else.
    let mut expected = before;
    expected.insert(ids[4].clone(), 2000);
    assert_eq!(world.holds(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_undo_stops_where_the_app_goes_on_writing_to_its_tables() {
    let world = World::new().await;
    let from = world.sync();
    let ids: Vec<_> = world.holds().into_keys().collect();
    world.deployment.transaction(|t| t.delete(&notes(), &ids[0])).unwrap();
    let to = world.sync();
    let (deployment, id) = (Arc::clone(&world.deployment), ids[1].clone());
    let app = tokio::spawn(async move {
        for n in 0.. {
            deployment.transaction(|t| t.replace(&notes(), &id, number(n))).unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let stopped = world.restore(&world, &["--undo", "--from", &from, "--to", &to, "--yes"]).with(4);
    app.abort();
    assert!(stopped.stderr.contains("so nothing was imported"), "{stopped:?}");
    assert!(!world.holds().contains_key(&ids[0]));
    // Nothing to undo: nothing is asked and nothing imported.
    let nothing = world.restore(&world, &["--undo", "--from", &to, "--to", &to, "--yes"]).with(0);
    assert!(nothing.stdout.contains("nothing to undo"), "{nothing:?}");
}
