//! The archives that are kept in `tests/data/archives`, one for each format from 0 on: what was written once stays readable.
//!
//! Beside each archive stands what was answered of it when it was made (`tools::answers` says in which form).

mod make;

use std::path::{Path, PathBuf};

use convex_archiver::{
    archive::{Archive, FORMAT, Location, Settings},
    read::views::spark_views,
};

use crate::tools::{
    answers::{self, Asked},
    process::block_on,
    python,
};

/// All documents, and many moments.
const ASKED: Asked = Asked { moments: 8, documents: 1 };

fn archives() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/archives")
}

/// The folders of formats, oldest first, each with `archive` and `answers` in it.
fn kept() -> Vec<(u32, PathBuf)> {
    let folders = archives().read_dir().unwrap().map(|entry| entry.unwrap().path());
    let numbered = |path: PathBuf| Some((path.file_name()?.to_str()?.parse().ok()?, path));
    let mut kept: Vec<_> = folders.filter_map(numbered).collect();
    kept.sort();
    kept
}

async fn answer(archive: &Path, folder: &Path) {
    let location = Location::open(archive.to_str().unwrap(), &Settings::default()).unwrap();
    let archive = Archive::open(std::sync::Arc::clone(location.store()), location.url()).await.unwrap();
    answers::write(&archive, folder, ASKED).await;
}

#[test]
fn every_format_has_an_archive_that_is_kept() {
    let formats: Vec<u32> = kept().into_iter().map(|(format, _)| format).collect();
    let wanted: Vec<u32> = (0..=FORMAT).collect();
    assert_eq!(formats, wanted, "FORMAT is {FORMAT}: make its archive as tests/data/archives/README.md says");
}

#[test]
fn what_was_archived_once_is_read_as_it_was_then() {
    block_on(async {
        for (format, folder) in kept() {
            let now = tempfile::tempdir().unwrap();
            answer(&folder.join("archive"), now.path()).await;
            for name in ["head", "tables", "states", "history"].map(|name| format!("{name}.ndjson")) {
                let [then, now] = [folder.join("answers"), now.path().to_owned()]
                    .map(|folder| std::fs::read_to_string(folder.join(&name)).unwrap());
                let differs = then.lines().zip(now.lines()).find(|(then, now)| then != now);
                assert!(then == now, "format {format}, {name}: {differs:?}");
            }
        }
    });
}

/// It knows the newest format only.
#[test]
fn the_independent_reader_agrees_on_the_archive_that_is_kept() {
    let folder = archives().join(FORMAT.to_string());
    println!("{}", python::run("readers/log_reads.py", &[folder.join("archive"), folder.join("answers")]));
}

/// It has what a small archive has not: gaps, cuts, several bases, documents without types.
#[test]
fn spark_agrees_on_the_archive_that_is_kept() {
    let folder = archives().join(FORMAT.to_string());
    let script = tempfile::NamedTempFile::with_suffix(".py").unwrap();
    let archive = folder.join("archive");
    std::fs::write(script.path(), spark_views(archive.to_str().unwrap(), None)).unwrap();
    let arguments = [archive, folder.join("answers"), script.path().to_owned()];
    let said = python::run("readers/frozen_spark.py", &arguments);
    assert!(said.contains("views of versions"), "{said}");
}

/// What becomes of an object: other bytes, or it is gone.
type Harm<'a> = &'a dyn Fn(Vec<u8>) -> Option<Vec<u8>>;

/// Each harm to a copy of it is found, and named.
#[test]
fn the_independent_reader_finds_what_was_harmed() {
    let kept = archives().join(FORMAT.to_string()).join("archive");
    let harmed = |path: &str, harm: Harm<'_>| {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(&kept, copy.path());
        let object = copy.path().join(path);
        match harm(std::fs::read(&object).unwrap()) {
            Some(bytes) => std::fs::write(&object, bytes).unwrap(),
            None => std::fs::remove_file(&object).unwrap(),
        }
        python::try_run("readers/log_reads.py", &[copy.path()]).unwrap_err()
    };
    // The last object in a folder whose path has this in it.
    let last = |folder: &str, part: &str| {
        let mut found = Vec::new();
        objects(&kept.join(folder), &mut found);
        let paths = found.iter().map(|path| path.strip_prefix(&kept).unwrap().to_str().unwrap().replace('\\', "/"));
        paths.filter(|path| path.contains(part)).max().unwrap()
    };
    let flipped = |mut bytes: Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        Some(bytes)
    };
    let replaced = |from: &'static str, to: &'static str| {
        move |bytes: Vec<u8>| Some(String::from_utf8(bytes).unwrap().replacen(from, to, 1).into_bytes())
    };
    let head = std::fs::read_to_string(kept.join("../answers/head.ndjson")).unwrap();
    let version = serde_json::from_str::<serde_json::Value>(&head).unwrap()["version"].as_u64().unwrap();
    let [middle, newest] = [70, version].map(|version| format!("log/{version:020}.json"));
    let (file, schemas) = (last("tables/gone", ".parquet"), last("log", ".schemas."));
    let cases: [(&str, Harm<'_>, &str); 7] = [
        (&middle, &|_| None, "00070.json is missing"),
        (&middle, &replaced(r#""at":"1"#, r#""at":"2"#), "00071.json: it does not follow"),
        (&newest, &replaced(r#""rows":"#, r#""rows":1"#), &newest),
        ("manifest.json", &replaced(r#""why":"import""#, r#""why":"report""#), "the head that is written"),
        (
            "manifest.json",
            &replaced(r#""covered":[{"from":"1"#, r#""covered":[{"from":"2"#),
            "the head that is written",
        ),
        (&file, &flipped, &file),
        (&schemas, &flipped, &schemas),
    ];
    for (path, harm, says) in cases {
        let error = harmed(path, harm);
        assert!(error.contains(says), "{path}, {says}: {error}");
    }
}

fn objects(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() { objects(&entry.path(), found) } else { found.push(entry.path()) }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    let mut found = Vec::new();
    objects(from, &mut found);
    for path in found {
        let copy = to.join(path.strip_prefix(from).unwrap());
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(path, copy).unwrap();
    }
}

#[test]
#[ignore = "writes the archive of this format anew: tests/data/archives/README.md says when"]
fn make_the_archive_that_is_kept() {
    block_on(async {
        let folder = archives().join(FORMAT.to_string());
        assert!(!folder.exists(), "{} is there already; remove it first", folder.display());
        let [archive, answers] = ["archive", "answers"].map(|name| folder.join(name));
        std::fs::create_dir_all(&answers).unwrap();
        make::archive(&archive).await;
        answer(&archive, &answers).await;
    });
}
