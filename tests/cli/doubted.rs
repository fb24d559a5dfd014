//! Archives with tables in doubt: who refuses, who tells, and what `status` says.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use convex_archiver::{
    NoMonitor, TableRef, Timestamp, Value,
    archive::{Archive, Location, Settings},
    convex::{Access, Client, ClientOptions, DeployKey, Source},
    server::{Deployment, ImportMode, RouterOptions, SimulatedDeployment, router},
    sync::{OnSuspicion, SyncOptions, SyncReport, sync},
};

use crate::support::{Ended, KEY, archiver, run, served};

/// A deployment without Data Sync, and an archive of it.
struct Blind {
    dir: tempfile::TempDir,
    deployment: Arc<SimulatedDeployment>,
    url: String,
}

fn named(name: &str) -> TableRef {
    TableRef::new("", name).unwrap()
}

fn fields(n: i64) -> BTreeMap<String, Value> {
    [("n".to_owned(), Value::Int64(n))].into()
}

impl Blind {
    async fn new() -> Self {
        // It ends now, and never stands still.
        let clock = AtomicI64::new(Timestamp::now().0 - 60 * 1_000_000_000);
        let now = move || Timestamp(clock.fetch_add(1_000_000, Ordering::SeqCst));
        let deployment = Arc::new(SimulatedDeployment::with_clock("otter-1", 7, now));
        let options = RouterOptions::default().key(KEY.to_owned()).data_sync_cursor(false);
        let url = served(router(Arc::clone(&deployment) as Arc<dyn Deployment>, options)).await;
        Self { dir: tempfile::tempdir().unwrap(), deployment, url }
    }

    fn insert(&self, table: &str, n: i64) -> String {
        let mut ids: Vec<_> =
            (0..n).map(|n| self.deployment.transaction(|tx| tx.insert(&named(table), fields(n))).unwrap().1).collect();
        ids.pop().unwrap()
    }

    async fn sync(&self, on_suspicion: OnSuspicion) -> SyncReport {
        let access = Access::new(&self.url, DeployKey::new(KEY).unwrap(), false).unwrap();
        let client = Client::new(access, ClientOptions::default(), Arc::new(NoMonitor)).unwrap();
        let place = Location::create(self.archive().to_str().unwrap(), &Settings::default()).unwrap();
        let identity = client.identity().await.unwrap();
        let archive = Archive::open_or_create(Arc::clone(place.store()), place.url(), identity, Timestamp::now());
        let options = SyncOptions::default().audit_every(Some(Duration::ZERO)).on_suspicion(on_suspicion);
        sync(Arc::new(client), &archive.await.unwrap(), &options, Arc::new(NoMonitor)).await.unwrap()
    }

    fn archive(&self) -> PathBuf {
        self.dir.path().join("a")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Ended {
        let mut command = archiver([]);
        let command = command.args(args).env("CONVEX_ARCHIVE", self.archive()).current_dir(self.dir.path());
        tokio::task::block_in_place(|| run(command))
    }

    /// A shell script that stands for `duckdb` and answers with a line.
    #[cfg(unix)]
    fn duckdb(&self) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path("fake-duckdb");
        std::fs::write(&path, "#!/bin/sh\ncat > /dev/null\necho 42\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// `t` was imported into by an import that failed, and corrected; the last moment before, one within, and the first behind it; an id.
async fn corrected(blind: &Blind) -> ([String; 3], String) {
    let id = blind.insert("t", 5);
    blind.insert("kept", 3);
    blind.sync(OnSuspicion::Heal).await;
    let mut import = blind.deployment.begin_import(ImportMode::Replace, &[named("t")]).unwrap();
    import.insert(&named("t"), (0..7).map(fields).collect()).unwrap();
    import.fail();
    blind.insert("kept", 1);
    let healed = blind.sync(OnSuspicion::Heal).await.healed.remove(0);
    let moments = [healed.after, Timestamp(healed.at.0 - 1), healed.at].map(|ts| ts.0.to_string());
    (moments, id)
}

fn tables_in_doubt(report: &serde_json::Value) -> Vec<&str> {
    let doubted = report["doubted"].as_array().map(Vec::as_slice).unwrap_or_default();
    doubted.iter().map(|doubted| doubted["table"]["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moment_in_doubt_ends_restore_and_export_until_it_is_accepted() {
    let blind = Blind::new().await;
    let ([before, within, after], _) = corrected(&blind).await;
    for verb in ["restore", "export"] {
        for (n, moment) in [&before, &after].into_iter().enumerate() {
            let output = format!("{verb}-{n}");
            let told = blind.run(&[verb, "--as-of", moment, "--output", &output, "--json"]).with(0).json();
            assert!(told.get("doubted").is_none(), "{told}");
        }
        let refused = blind.run(&[verb, "--as-of", &within, "--output", "refused", "--json"]).with(1);
        assert_eq!(refused.json()["error"]["kind"], "not_found");
        for words in [&format!("--as-of {before} ("), &format!("--as-of {after} ("), "--accept-doubt", "--exclude t"] {
            assert!(refused.stderr.contains(words), "{words}: {refused:?}");
        }
        assert!(!blind.path("refused").join("export.json").exists() && !blind.path("refused").is_file());
        let others = format!("{verb}-others");
        blind.run(&[verb, "--as-of", &within, "--output", &others, "--exclude", "t"]).with(0);
        let accept = [verb, "--as-of", &within, "--accept-doubt", "--output"];
        let told = blind.run(&[&accept[..], &[&format!("{verb}-json"), "--json"]].concat()).with(3).json();
        assert_eq!(tables_in_doubt(&told), ["t"]);
        let doubted = &told["doubted"][0];
        assert_eq!((&doubted["why"], &doubted["unwatched"]), (&"differs".into(), &false.into()));
        let told = blind.run(&[&accept[..], &[&format!("{verb}-text")]].concat()).with(3).stdout;
        let spans = format!("* in doubt: t after {}", doubted["after"].as_str().unwrap());
        assert!(told.contains(&spans) && told.contains(&format!("(_ts {after})")), "{spans}: {told}");
    }
    for accept in [&[][..], &["--accept-doubt"]] {
        let plan = ["restore", "--plan", "--as-of", &within];
        let plan = [&plan[..], accept].concat();
        let told = blind.run(&[&plan[..], &["--json"]].concat()).with(3).json();
        assert_eq!((tables_in_doubt(&told), &told["complete"]), (vec!["t"], &false.into()));
        assert_eq!(told["proven_before"], told["doubted"][0]["after"]);
        assert_eq!(told["proven_after"], told["doubted"][0]["to"]);
        let told = blind.run(&plan).with(3).stdout;
        assert!(told.contains("* in doubt: t ") && !told.contains("--replace-all"), "{told}");
        assert_eq!(told.contains("needs --accept-doubt"), accept.is_empty(), "{told}");
        assert!(told.contains("nearest moment before at which no table is in doubt"), "{told}");
    }
    blind.run(&["restore", "--plan"]).with(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_look_answer_as_before_and_tell_once() {
    let blind = Blind::new().await;
    let ([before, within, after], id) = corrected(&blind).await;
    let get = |moment: &str, json: bool| {
        let ended =
            blind.run(&[&["get", "t", &id, "--as-of", moment][..], if json { &["--json"] } else { &[] }].concat());
        ended.with(0)
    };
    assert_eq!(tables_in_doubt(&get(&within, true).json()), ["t"]);
    assert!(get(&within, false).stdout.contains("\n* in doubt: t after "));
    for moment in [&before, &after] {
        assert!(get(moment, true).json().get("doubted").is_none());
        assert!(!get(moment, false).stdout.contains("doubt"));
    }
    // Also of a document that was not there.
    let nobody = blind.run(&["get", "t", "nobody", "--as-of", &within]).with(1);
    assert!(nobody.stderr.contains("in doubt: t after"), "{nobody:?}");

    // Of seven documents that never became true each is marked, and the line for people is one.
    let lines = |ended: Ended| -> Vec<serde_json::Value> {
        ended.with(0).stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let log = lines(blind.run(&["log", "--json", "--since", &before]));
    let of_t = |line: &&serde_json::Value| line["changes"][0]["table"]["name"] == "t";
    let (of_t, others): (Vec<_>, Vec<_>) = log.iter().partition(of_t);
    assert!(!of_t.is_empty() && of_t.iter().all(|line| tables_in_doubt(line) == ["t"]), "{log:#?}");
    assert!(!others.is_empty() && others.iter().all(|line| line.get("doubted").is_none()), "{log:#?}");
    let told = blind.run(&["log", "--since", &before]).with(0);
    assert_eq!(told.stderr.matches("in doubt").count(), 1, "{told:?}");
    assert!(!blind.run(&["log", "--until", &before]).with(0).stderr.contains("in doubt"));
    assert!(!blind.run(&["log", "--table", "kept"]).with(0).stderr.contains("in doubt"));

    let changes = of_t[0]["changes"].as_array().unwrap();
    let history = blind.run(&["history", "t", changes[0]["id"].as_str().unwrap(), "--json"]);
    assert_eq!(history.stderr.matches("in doubt").count(), 1, "{history:?}");
    assert_eq!(tables_in_doubt(&lines(history)[0]), ["t"]);
    assert!(lines(blind.run(&["history", "t", &id, "--json"]))[0].get("doubted").is_none());

    let diff = |from: &str, to: &str| blind.run(&["diff", from, to, "--json"]).with(0).json();
    assert_eq!(tables_in_doubt(&diff(&before, &within)), ["t"]);
    assert_eq!(tables_in_doubt(&diff(&before, &after)), [] as [&str; 0]);
    let told = blind.run(&["diff", &before, &within]).with(0).stdout;
    assert!(told.contains("\n* in doubt: t after "), "{told}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_refused_for_the_tables_that_it_names_at_moments_that_it_spells_out() {
    let blind = Blind::new().await;
    let ([before, within, after], _) = corrected(&blind).await;
    let duckdb = blind.duckdb();
    let query = |args: &[&str]| blind.run(&[&["query", "--duckdb", &duckdb][..], args].concat());
    for sql in ["FROM kept", "FROM t", &format!("FROM t_as_of({before})"), "SELECT 't'"] {
        assert!(!query(&[sql]).with(0).stderr.contains("in doubt"), "{sql}");
    }
    assert!(!query(&["FROM kept", "--as-of", &within]).with(0).stderr.contains("in doubt"));
    let refused = query(&["FROM t, kept", "--as-of", &within]).with(1).stderr;
    for words in [&format!("--as-of {before} ("), &format!("--as-of {after} ("), "--accept-doubt"] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
    let of_macro = format!("SELECT count(*) FROM kept, t_as_of({within})");
    let refused = query(&[&of_macro]).with(1).stderr;
    assert!(refused.contains(&format!("proven: {before} (")) && !refused.contains("--as-of"), "{refused}");
    for args in [&["FROM t", "--as-of", &within, "--accept-doubt"][..], &[&of_macro, "--accept-doubt"]] {
        let told = query(args).with(3);
        assert!(told.stdout.contains("42") && told.stderr.matches("in doubt: t after").count() == 1, "{told:?}");
    }
    // What cannot be known is told.
    for args in [
        &["FROM t_as_of(now() - INTERVAL 1 MINUTE)"][..],
        &["FROM t_history"],
        &["FROM query('FROM ' || chr(116))"],
        &[],
    ] {
        let told = query(args).with(0);
        assert_eq!(told.stderr.matches("in doubt: t after").count(), 1, "{args:?}: {told:?}");
    }
    let views = blind.run(&["views", "--engine", "duckdb"]).with(0);
    assert!(views.stdout.contains("--   t, after ") && views.stderr.contains("in doubt: t after"), "{views:?}");
    let views = blind.run(&["views", "--engine", "duckdb", "--table", "kept"]).with(0);
    assert!(!views.stdout.contains("--   t, after ") && !views.stderr.contains("in doubt"), "{views:?}");
    let views = blind.run(&["views", "--engine", "dbt", "--as-of", &before]).with(0);
    assert!(!views.stdout.contains("--   t, after ") && !views.stderr.contains("in doubt"), "{views:?}");
}

fn status(archive: &Path, args: &[&str]) -> Ended {
    tokio::task::block_in_place(|| run(archiver(["status", "--archive"]).arg(archive).args(args)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_tells_when_each_table_was_proven_and_which_are_suspect() {
    let blind = Blind::new().await;
    blind.insert("gone", 5);
    blind.insert("kept", 5);
    let through = blind.sync(OnSuspicion::Heal).await.through.unwrap();
    let archive = blind.archive();
    let calm = ["--fail-on", "suspect,unproven=7d"];
    let told = status(&archive, &calm).with(0).stdout;
    let words = ["Guarded     no: the deployment has no Data Sync", "Proven: all tables: compared by ids at "];
    assert!(words.iter().all(|words| told.contains(words)) && !told.contains("Suspect"), "{told}");
    assert_eq!(status(&archive, &["--json"]).json()["guarded"], serde_json::Value::Null);

    blind.deployment.drop_table(&named("gone")).unwrap();
    blind.insert("kept", 1);
    blind.sync(OnSuspicion::Warn).await;
    let told = status(&archive, &[]).with(0).stdout;
    assert!(told.contains("\nSuspect: gone: since ") && told.contains("no longer listed the table"), "{told}");
    let failed = status(&archive, &["--fail-on", "suspect", "--json"]).with(3).json();
    assert_eq!(failed["failed_on"][0]["condition"], "suspect");
    let gone = &failed["tables"][0];
    assert_eq!((&gone["table"]["name"], &gone["suspect"]["why"]), (&"gone".into(), &"dropped".into()));
    assert_eq!(gone["suspect"]["after"], through.to_string());
    assert_eq!((&gone["proven"]["through"], &gone["proven"]["by"]), (&through.to_string().into(), &"ids".into()));
    assert_eq!(failed["tables"][1]["suspect"], serde_json::Value::Null);
    let failed = status(&archive, &["--fail-on", "unproven=0s"]).with(3).stdout;
    assert!(failed.starts_with("Failed: unproven: 2 tables not proven equal"), "{failed}");
    status(&archive, &["--fail-on", "unproven=7d"]).with(0);
    // Now is refused, and where it is not is said.
    let refused = blind.run(&["restore", "--output", "b.zip"]).with(1).stderr;
    assert!(refused.contains("run sync, which compares the table"), "{refused}");
    assert!(refused.contains(&format!("--as-of {} (", through.0)), "{refused}");
    blind.run(&["restore", "--output", "b.zip", "--accept-doubt"]).with(3);

    blind.sync(OnSuspicion::Heal).await;
    let told = status(&archive, &calm).with(0).stdout;
    assert!(told.contains("\nIn doubt: gone: after ") && !told.contains("Suspect"), "{told}");
    blind.run(&["restore", "--output", "c.zip"]).with(0);
}
