//! Harm of every kind, done to every kind of object, and what each verb then says: never something else than before with exit
//! code 0, never a panic, and nothing stands still because of an object that only repeats what others say.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::support::{Ended, KEY, Server, Simulation, archiver, run};

/// Commits that the archive has at least: a checkpoint lies behind some.
const COMMITS: u64 = 68;

/// An archive, the deployment that it is of, and what verbs say of its moment `at`.
struct Healthy {
    dir: tempfile::TempDir,
    simulation: Simulation,
    at: String,
    first: String,
    id: String,
    table: String,
}

/// One object of an archive.
#[derive(Debug, Clone)]
struct Place {
    name: &'static str,
    path: String,
    /// Another object of its kind, and an older state of it, if there is one.
    other: Vec<u8>,
    /// Whether it only repeats what others say.
    repeats: bool,
}

/// What is done to it: its bytes afterwards, or none.
type Harm = (&'static str, fn(&[u8], &Place) -> Option<Vec<u8>>);

const HARMS: [Harm; 9] = [
    ("deleted", |_, _| None),
    ("cut off", |bytes, _| Some(bytes[..bytes.len() / 2].to_vec())),
    ("emptied", |_, _| Some(Vec::new())),
    ("flipped at a third", |bytes, _| Some(flipped(bytes, bytes.len() / 3))),
    ("flipped in the middle", |bytes, _| Some(flipped(bytes, bytes.len() / 2))),
    ("flipped near the end", |bytes, _| Some(flipped(bytes, bytes.len() - bytes.len() / 10 - 3))),
    ("another one", |_, place| Some(place.other.clone())),
    ("forged", |bytes, _| Some(forged(bytes))),
    ("of a newer program", |bytes, _| Some(newer(bytes))),
];

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

/// A number of a text is another one, and it is a text as before; of anything else a byte.
fn forged(bytes: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(bytes) else { return flipped(bytes, bytes.len() / 2) };
    let places = ["\"rows\":", "\"ts\":\"", "\"created_at\":\"", "\"id\":"];
    let at = places.iter().find_map(|place| text.find(place).map(|at| at + place.len())).unwrap();
    let digit = if &text[at..=at] == "1" { "2" } else { "1" };
    format!("{}{digit}{}", &text[..at], &text[at + 1..]).into_bytes()
}

fn newer(bytes: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            let text = text.replacen("\"readers\":[]", "\"readers\":[\"tomorrow\"]", 1);
            text.replacen("{\"format\":0,", "{\"format\":99,", 1).into_bytes()
        }
        Err(_) => flipped(bytes, bytes.len() / 2 + 1),
    }
}

impl Healthy {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("healthy");
        let simulation = Simulation::start(["--writes-per-second", "60", "--generate", "300"]);
        let mut first = None;
        let mut report = Value::Null;
        while report["version"].as_u64().unwrap_or(0) < COMMITS {
            report = run(simulation.sync(&archive).arg("--json")).with(0).json();
            first.get_or_insert_with(|| report["through"].as_str().unwrap().to_owned());
        }
        let at = report["through"].as_str().unwrap().to_owned();
        let documents =
            run(archiver(["log", "--json", "--table", "messages", "--until", &at]).arg("--archive").arg(&archive));
        let said = documents.with(0).stdout;
        let updated = said.lines().filter(|line| line.contains("\"updated\"")).find_map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["changes"]
                .as_array()
                .unwrap()
                .iter()
                .find(|c| c["change"] == "updated")
                .map(|c| c["id"].as_str().unwrap().to_owned())
        });
        Self { simulation, at, first: first.unwrap(), id: updated.unwrap(), table: "messages".into(), dir }
    }

    fn archive(&self) -> PathBuf {
        self.dir.path().join("healthy")
    }

    /// One object of each kind.
    fn places(&self) -> Vec<Place> {
        let all = files(&self.archive());
        let newest = all.keys().filter(|path| is_commit(path)).max().unwrap();
        let commit = |n: u64| format!("log/{n:020}.json");
        let number: u64 = newest[4..24].parse().unwrap();
        let find = |has: &[&str]| {
            let found: Vec<&String> = all.keys().filter(|path| has.iter().all(|part| path.contains(part))).collect();
            assert!(found.len() > 1, "{has:?}: {found:?}");
            (found[0].clone(), found[found.len() - 1].clone())
        };
        let place = |name, path: String, other: &[u8], repeats| Place { name, path, other: other.to_vec(), repeats };
        // The newest: those before it may have been joined, and are then needed by nobody.
        let delta = find(&["tables/messages/", "convex_phase=delta"]);
        let base = all
            .keys()
            .find(|path| path.contains("tables/messages/") && path.contains("phase=snapshot"))
            .unwrap()
            .clone();
        let other_base =
            all.keys().find(|path| path.contains("tables/users/") && path.contains("phase=snapshot")).unwrap().clone();
        let schemas = all.keys().find(|path| path.contains(".schemas.")).unwrap().clone();
        // The newest list of a table: those before it are needed by nobody.
        let part = find(&["parts/tables/messages/"]);
        vec![
            place("the header", "archive.json".into(), b"{\"format\":0,\"archive\":\"00000000000000000000000000000000\",\"deployment\":{\"name\":\"otter\",\"origin\":\"http://otter\"},\"created_at\":\"1\",\"program\":\"other\"}\n", false),
            place("the newest commit", newest.clone(), &all[&commit(number - 1)], false),
            place("a commit behind the checkpoint", commit(66), &all[&commit(65)], false),
            place("a commit before the checkpoint", commit(20), &all[&commit(21)], false),
            place("the checkpoint", format!("log/{:020}.checkpoint.json.gz", 64), &all[&commit(64)], true),
            place("the manifest", "manifest.json".into(), b"{}", true),
            place("a part", part.1, &all[&part.0], true),
            place("schemas", schemas, &all[&commit(1)], false),
            place("a file of the base", base, &all[&other_base], false),
            place("a delta file", delta.1, &all[&delta.0], false),
        ]
    }

    /// What each verb that reads says of the archive.
    fn readers(&self, archive: &Path) -> Vec<(&'static str, Ended, Vec<u8>)> {
        let (at, first, id, table) = (self.at.as_str(), self.first.as_str(), self.id.as_str(), self.table.as_str());
        let out = self.dir.path().join("out");
        let _ = fs::remove_dir_all(&out);
        fs::create_dir(&out).unwrap();
        let say = |args: &[&str]| run(archiver([]).args(args).arg("--archive").arg(archive));
        let mut said = Vec::new();
        let status = say(&["status", "--json"]);
        let told = told_by_status(&status);
        said.push(("status", status, told));
        let zip = out.join("restore.zip");
        let ended = say(&["restore", "--as-of", at, "--output", zip.to_str().unwrap()]);
        said.push(("restore", ended, fs::read(&zip).unwrap_or_default()));
        let folder = out.join("export");
        let ended = say(&["export", "--as-of", at, "--format", "ndjson", "--output", folder.to_str().unwrap()]);
        said.push(("export", ended, documents(&folder)));
        for (verb, args) in [
            ("get", vec!["get", table, id, "--as-of", at, "--json"]),
            ("history", vec!["history", table, id, "--json"]),
            ("log", vec!["log", "--json", "--until", at]),
            ("diff", vec!["diff", first, at, "--documents", "--json"]),
            ("tables", vec!["tables", "--count", "--as-of", at, "--json"]),
        ] {
            let ended = say(&args);
            let told = ended.stdout.clone().into_bytes();
            said.push((verb, ended, told));
        }
        said
    }

    /// What a verification says is damaged, by the paths of the objects: of the log and the objects, and of the data as well.
    fn verify(&self, story: &str) -> [Vec<String>; 2] {
        [&[][..], &["--read-data"][..]].map(|deep| {
            let mut verify = archiver(["verify", "--dry-run", "--json"]);
            let ended = run(verify.args(deep).arg("--archive").arg(self.archive()));
            no_panic(story, &ended);
            if ended.code == Some(1) {
                // Only a newer program reads on.
                assert_eq!(ended.json()["error"]["kind"], "unsupported", "{story}: {ended:#?}");
                return vec!["unsupported".to_owned()];
            }
            let report = ended.json();
            let problems = report["problems"].as_array().unwrap();
            assert_eq!(ended.code, Some(if problems.is_empty() { 0 } else { 3 }), "{story}: {ended:#?}");
            problems.iter().map(|problem| problem["object"].as_str().unwrap().to_owned()).collect()
        })
    }

    /// What a sync makes of a copy of the archive in which the object has these bytes, and the documents that the copy then holds at
    /// the moment.
    fn sync(&self, place: &Place, bytes: Option<&[u8]>) -> (Ended, Vec<u8>, BTreeMap<String, Vec<u8>>) {
        let copy = self.dir.path().join("copy");
        let _ = fs::remove_dir_all(&copy);
        for (path, bytes) in files(&self.archive()) {
            write(&copy, &path, Some(&bytes));
        }
        write(&copy, &place.path, bytes);
        let ended = run(&mut self.simulation.sync(&copy));
        let folder = self.dir.path().join("copied");
        let _ = fs::remove_dir_all(&folder);
        let mut export = archiver(["export", "--as-of", &self.at, "--format", "ndjson", "--output"]);
        run(export.arg(&folder).arg("--archive").arg(&copy));
        (ended, documents(&folder), files(&copy))
    }
}

/// What status tells that stays so while time goes on.
fn told_by_status(status: &Ended) -> Vec<u8> {
    let Ok(mut told) = serde_json::from_str::<Value>(&status.stdout) else { return Vec::new() };
    let object = told.as_object_mut().unwrap();
    for moving in ["archive", "lag_seconds", "deltas_left_seconds", "run_id", "started", "ended"] {
        object.remove(moving);
    }
    for table in object.get_mut("tables").and_then(Value::as_array_mut).into_iter().flatten() {
        table.as_object_mut().unwrap().remove("unproven_seconds");
    }
    told.to_string().into_bytes()
}

fn is_commit(path: &str) -> bool {
    path.len() == "log/00000000000000000001.json".len() && path.starts_with("log/")
}

/// All files below a folder, by their path in it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

/// The documents of an export; none, if it failed.
fn documents(folder: &Path) -> Vec<u8> {
    if folder.exists() { files(folder).into_values().flatten().collect() } else { Vec::new() }
}

fn write(archive: &Path, path: &str, bytes: Option<&[u8]>) {
    let path = archive.join(path);
    match bytes {
        Some(bytes) => {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        None => fs::remove_file(path).unwrap(),
    }
}

#[track_caller]
fn no_panic(story: &str, ended: &Ended) {
    assert!(!ended.stderr.contains("panicked") && ended.code.is_some_and(|code| code < 101), "{story}: {ended:#?}");
}

#[test]
fn whatever_is_done_to_whatever_object_no_verb_says_something_else_with_exit_code_0() {
    let healthy = Healthy::new();
    let right = healthy.readers(&healthy.archive());
    for (verb, ended, told) in &right {
        assert!(ended.code == Some(0) && !told.is_empty(), "{verb}: {ended:#?}");
    }
    let exported = &right.iter().find(|(verb, ..)| *verb == "export").unwrap().2;
    let (mut errors, mut cells) = (0, 0);
    for place in healthy.places() {
        let good = fs::read(healthy.archive().join(&place.path)).unwrap();
        for (harm, make) in HARMS {
            let bad = make(&good, &place);
            if bad.as_ref() == Some(&good) {
                continue;
            }
            let story = format!("{} {harm} ({})", place.name, place.path);
            write(&healthy.archive(), &place.path, bad.as_deref());
            for ((verb, ended, told), (_, _, right)) in healthy.readers(&healthy.archive()).iter().zip(&right) {
                let story = format!("{story}, {verb}");
                no_panic(&story, ended);
                cells += 1;
                if ended.code == Some(0) {
                    assert!(told == right, "{story}: another answer: {ended:#?}");
                } else if ended.code == Some(3) {
                    // What an end of the log says is gone or altered, and that is told.
                    let may_differ = place.name == "the newest commit" || *verb == "status";
                    assert!(told == right || may_differ, "{story}: another answer: {ended:#?}");
                    assert!(ended.stderr.contains("WARN"), "{story}: {ended:#?}");
                } else {
                    assert!(!place.repeats, "{story}: blocked by what only repeats others: {ended:#?}");
                    assert!(
                        matches!(ended.code, Some(1 | 2)) && ended.stderr.contains("error: "),
                        "{story}: {ended:#?}"
                    );
                    errors += 1;
                }
            }
            write(&healthy.archive(), &place.path, Some(&good));

            let mut before = files(&healthy.archive());
            match &bad {
                Some(bad) => drop(before.insert(place.path.clone(), bad.clone())),
                None => drop(before.remove(&place.path)),
            }
            let (ended, held, after) = healthy.sync(&place, bad.as_deref());
            let story = format!("{story}, sync");
            no_panic(&story, &ended);
            cells += 1;
            if matches!(ended.code, Some(0 | 3)) {
                assert!(held.is_empty() || held == *exported, "{story}: another state: {ended:#?}");
                assert!(!place.repeats || held == *exported, "{story}: {ended:#?}");
            } else {
                assert!(!place.repeats, "{story}: blocked by what only repeats others: {ended:#?}");
                // Data files that no commit names are none of the archive, and neither is the report of the run.
                let named =
                    |(path, _): &(&String, &Vec<u8>)| !path.ends_with(".parquet") && !path.starts_with("runs/sync/");
                assert!(before.iter().filter(named).eq(after.iter().filter(named)), "{story}: it wrote: {ended:#?}");
                errors += 1;
            }
        }
    }
    assert!(cells > 600 && errors > 200, "{cells} cells, {errors} errors");
}

#[test]
fn verify_finds_whatever_is_done_to_whatever_object_and_calls_nothing_else_damage() {
    let healthy = Healthy::new();
    assert_eq!(healthy.verify("nothing is harmed"), [vec![], Vec::<String>::new()]);
    let mut cells = 0;
    for place in healthy.places() {
        let good = fs::read(healthy.archive().join(&place.path)).unwrap();
        for (harm, make) in HARMS {
            let bad = make(&good, &place);
            if bad.as_ref() == Some(&good) {
                continue;
            }
            let story = format!("{} {harm} ({})", place.name, place.path);
            write(&healthy.archive(), &place.path, bad.as_deref());
            let [shallow, deep] = healthy.verify(&story);
            let is_format = place.name == "the header" && harm == "of a newer program";
            let expected = if is_format { "unsupported".to_owned() } else { place.path.clone() };
            assert_eq!(deep, std::slice::from_ref(&expected), "{story}, verify --read-data");
            // Flipped bits of data are seen by nobody who does not read them.
            let is_unread = place.path.ends_with(".parquet") && bad.as_ref().is_some_and(|bad| bad.len() == good.len());
            assert_eq!(shallow, if is_unread { vec![] } else { vec![expected] }, "{story}, verify");
            cells += 2;
            write(&healthy.archive(), &place.path, Some(&good));
        }
    }
    assert!(cells > 150, "{cells}");
}

#[test]
fn whatever_is_done_to_whatever_object_a_copy_has_none_of_it_and_is_whole_or_no_archive() {
    let healthy = Healthy::new();
    let to = healthy.dir.path().join("to");
    let copy = |story: &str| {
        let _ = fs::remove_dir_all(&to);
        let mut copy = archiver(["copy", "--json", "--archive"]);
        let ended = run(copy.arg(healthy.archive()).arg("--to").arg(&to));
        no_panic(story, &ended);
        (ended, if to.exists() { files(&to) } else { BTreeMap::new() })
    };
    let (ended, whole) = copy("nothing is harmed");
    assert_eq!(ended.with(0).json()["complete"], true);
    let source = files(&healthy.archive());
    let (mut complete, mut told) = (0, 0);
    for place in healthy.places() {
        let good = fs::read(healthy.archive().join(&place.path)).unwrap();
        for (harm, make) in HARMS {
            let bad = make(&good, &place);
            if bad.as_ref() == Some(&good) {
                continue;
            }
            let story = format!("{} {harm} ({})", place.name, place.path);
            write(&healthy.archive(), &place.path, bad.as_deref());
            let (ended, copied) = copy(&story);
            write(&healthy.archive(), &place.path, Some(&good));
            let code = ended.code;
            if code == Some(0) {
                assert!(copied == whole, "{story}: it is not the archive: {ended:#?}");
                complete += 1;
                continue;
            }
            assert!(!place.repeats, "{story}: blocked by what only repeats others: {ended:#?}");
            assert!(matches!(code, Some(1..=3)), "{story}: {ended:#?}");
            if code == Some(3) && ended.json()["complete"] == true {
                // It is lost without a trace but that of the manifest: the version before is copied, and that is told.
                assert!(place.name == "the newest commit" && ended.stderr.contains("WARN"), "{story}: {ended:#?}");
                assert_eq!(ended.json()["exit_code"], 3, "{story}");
                run(archiver(["verify", "--read-data", "--dry-run", "--archive"]).arg(&to)).with(0);
                continue;
            }
            // What was copied before is right. Files that only the damaged commit had removed may be among it.
            let is_right = |(path, bytes): (&String, _)| source.get(path).or(whole.get(path)) == Some(bytes);
            assert!(copied.iter().all(is_right), "{story}: {ended:#?}");
            assert!(!copied.contains_key("archive.json") && !copied.contains_key(&place.path), "{story}: {ended:#?}");
            if code == Some(3) {
                let report = ended.json();
                let objects: Vec<_> = report["problems"].as_array().unwrap().iter().map(|p| &p["object"]).collect();
                assert_eq!(objects, [place.path.as_str()], "{story}: {ended:#?}");
                told += 1;
            }
        }
    }
    assert!(complete > 20 && told > 20, "{complete} {told}");
}

#[test]
fn a_damaged_file_is_refused_by_serve_and_what_is_sound_is_served() {
    let healthy = Healthy::new();
    let place = healthy.places().into_iter().find(|place| place.name == "a file of the base").unwrap();
    let good = fs::read(healthy.archive().join(&place.path)).unwrap();
    let copy_of = |name: &str| {
        let mut serve = archiver(["serve", "--listen", "127.0.0.1:0", "--as-of", &healthy.at]);
        let server = Server::start(serve.arg("--archive").arg(healthy.archive()).env("CONVEX_ARCHIVER_SERVE_KEY", KEY));
        let copy = healthy.dir.path().join(name);
        let key = healthy.dir.path().join("key");
        fs::write(&key, KEY).unwrap();
        let mut sync = archiver(["sync", "--max-duration", "20s", "--deployment", &server.url]);
        let ended = run(sync.arg("--archive").arg(&copy).arg("--deploy-key-file").arg(key));
        (ended, copy)
    };
    let (ended, copy) = copy_of("sound");
    ended.with(0);
    let [ours, theirs] = [&healthy.archive(), &copy].map(|archive| {
        let folder = healthy.dir.path().join("documents");
        let _ = fs::remove_dir_all(&folder);
        let mut export = archiver(["export", "--as-of", &healthy.at, "--format", "ndjson", "--output"]);
        run(export.arg(&folder).arg("--archive").arg(archive)).with(0);
        files(&folder)
    });
    assert_eq!(ours, theirs);
    write(&healthy.archive(), &place.path, Some(&flipped(&good, good.len() / 2)));
    let (ended, _) = copy_of("harmed");
    no_panic("serve", &ended);
    assert!(matches!(ended.code, Some(1 | 5)), "{ended:#?}");
}
