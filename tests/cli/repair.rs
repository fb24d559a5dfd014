//! `repair`.

use std::{fs, path::Path};

use crate::{
    reports::is,
    support::{Ended, archiver, run},
    verify::{archived, data_files},
};

fn repair(archive: &Path, args: &[&str]) -> Ended {
    run(archiver(["repair"]).args(args).arg("--archive").arg(archive))
}

fn copy_of(folder: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_of(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

#[test]
fn a_sound_archive_needs_no_repair_and_a_damaged_one_is_repaired_from_a_copy() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, copy) = (dir.path().join("a"), dir.path().join("copy"));
    archived(&archive);
    let sound = repair(&archive, &["--read-data", "--json"]).with(0).json();
    is("repair", &sound);
    assert_eq!(sound["repaired"], serde_json::json!([]));
    assert!(repair(&archive, &[]).with(0).stdout.contains("nothing: no problems found"));
    copy_of(&archive, &copy);

    let mut files = Vec::new();
    data_files(&archive.join("tables/messages"), &mut files);
    fs::write(&files[0], "no parquet").unwrap();
    fs::remove_file(archive.join("log/00000000000000000001.json")).unwrap();
    fs::write(archive.join("manifest.json"), "{").unwrap();
    let from = ["--from", copy.to_str().unwrap()];

    let plan = repair(&archive, &[&from[..], &["--plan", "--json"]].concat()).with(3).json();
    is("repair", &plan);
    let planned = (&plan["plan"], &plan["version"], plan["repaired"].as_array().unwrap().len());
    assert_eq!(planned, (&true.into(), &0.into(), 1), "what else is wrong is known once the log is whole: {plan}");
    assert_eq!(fs::read(&files[0]).unwrap(), b"no parquet");
    let text = repair(&archive, &[&from[..], &["--plan"]].concat()).with(3).stdout;
    for word in ["would be taken from the copy", "until the log is complete, nothing else can be planned", "Would do"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let done = repair(&archive, &[&from[..], &["--json"]].concat()).with(0).json();
    is("repair", &done);
    let froms: Vec<_> = done["repaired"].as_array().unwrap().iter().map(|one| one["from"].as_str().unwrap()).collect();
    assert_eq!(froms, ["copy", "log", "copy"], "{done}");
    run(archiver(["verify", "--read-data", "--archive"]).arg(&archive)).with(0);
}

#[test]
fn what_nobody_has_is_told_and_recorded_only_if_somebody_accepts_it() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    archived(&archive);
    let mut files = Vec::new();
    data_files(&archive.join("tables/messages"), &mut files);
    let delta = files.iter().find(|file| file.to_str().unwrap().contains("phase=delta")).unwrap();
    fs::remove_file(delta).unwrap();

    let told = repair(&archive, &["--json"]).with(3).json();
    is("repair", &told);
    assert_eq!((&told["loss_recorded"], told["lost"].as_array().unwrap().len()), (&false.into(), 1), "{told}");
    let text = repair(&archive, &[]).with(3).stdout;
    assert!(text.contains("is lost:") && text.contains("repair --accept-loss"), "{text}");
    let recorded = repair(&archive, &["--accept-loss"]).with(3).stdout;
    assert!(recorded.contains("run sync --rebase messages"), "{recorded}");
    run(archiver(["verify", "--read-data", "--archive"]).arg(&archive)).with(0);
    assert!(repair(&archive, &["--accept-loss"]).with(0).stdout.contains("nothing: no problems found"));
    // What is lost is refused by name, and not for want of a file.
    let refused = run(archiver(["restore", "--as-of", "now", "--output"])
        .arg(dir.path().join("z.zip"))
        .arg("--archive")
        .arg(&archive));
    assert!(!refused.stderr.contains("missing") && refused.code == Some(3) || refused.code == Some(1), "{refused:?}");
}

#[test]
fn what_cannot_be_a_copy_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, other) = (dir.path().join("a"), dir.path().join("other"));
    assert_eq!(repair(&archive, &["--json"]).with(1).json()["error"]["kind"], "not_found");
    archived(&archive);
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    for (place, word) in [(dir.path().join("nobody"), "--from: the folder "), (empty, "the copy: there is no archive")]
    {
        let nothing = repair(&archive, &["--from", place.to_str().unwrap()]).with(1);
        assert!(nothing.stderr.contains(word), "{nothing:?}");
    }
    archived(&other);
    let refused = repair(&archive, &["--from", other.to_str().unwrap()]).with(2);
    assert!(refused.stderr.contains("not a copy of this archive"), "{refused:?}");
}
