//! The archives that are kept in `tests/data/archives`, one for each format from 0 on: what was written once stays readable.
//!
//! Beside each archive stands what was answered of it when it was made (`tools::answers` says in which form).

mod make;

use std::path::{Path, PathBuf};

use convex_archiver::archive::{Archive, FORMAT, Location, Settings};

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
