//! `copy`: exit codes, what it tells, and a copy that every verb takes.

use std::{fs, path::Path};

use serde_json::Value;

use crate::support::{Ended, Simulation, archiver, run, status};

fn copy(from: &Path, to: &Path, args: &[&str]) -> Ended {
    run(archiver(["copy", "--archive"]).arg(from).arg("--to").arg(to).args(args))
}

fn path(text: &Path) -> &str {
    text.to_str().unwrap()
}

/// The line of a report that holds the digest of the newest commit.
fn digest(told: &str) -> &str {
    told.lines().find_map(|line| line.strip_prefix("Digest")).unwrap_or_else(|| panic!("{told}")).trim()
}

#[test]
fn an_archive_is_planned_copied_brought_up_to_date_and_the_copy_is_an_archive_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, to) = (dir.path().join("a"), dir.path().join("vault/b"));
    let simulation = Simulation::start(["--generate", "60", "--writes-per-second", "300"]);
    run(&mut simulation.sync(&archive)).with(0);

    let plan = copy(&archive, &to, &["--plan"]).with(0).stdout;
    assert!(plan.contains("Would copy") && plan.contains("a new copy") && !to.exists(), "{plan}");
    let told = copy(&archive, &to, &[]).with(0).stdout;
    let of = run(archiver(["status", "--archive"]).arg(&archive)).with(0).stdout;
    let ours = run(archiver(["status", "--archive"]).arg(&to)).with(0).stdout;
    assert_eq!((digest(&told), digest(&of)), (digest(&ours), digest(&ours)));

    std::thread::sleep(std::time::Duration::from_millis(300));
    run(&mut simulation.sync(&archive)).with(0);
    let second = copy(&archive, &to, &["--json"]).with(0).json();
    assert_eq!((&second["complete"], &second["digest"]), (&true.into(), &status(&archive)["digest"]), "{second}");
    assert_eq!(status(&to)["digest"], second["digest"]);
    assert!(second["before"].as_u64().unwrap() < second["version"].as_u64().unwrap(), "{second}");
    let third = copy(&archive, &to, &[]).with(0).stdout;
    assert!(third.contains("nothing: the copy already has everything"), "{third}");
    assert_eq!(copy(&archive, &to, &["--quiet"]).with(0).stdout, "");

    // Every verb works on it.
    let verify = ["verify", "--read-data", "--expect-head", second["digest"].as_str().unwrap(), "--archive"];
    run(archiver(verify).arg(&to)).with(0);
    let zip = dir.path().join("restored.zip");
    run(archiver(["restore", "--output", path(&zip), "--archive"]).arg(&to)).with(0);
    let said =
        [&archive, &to].map(|place| run(archiver(["log", "--json", "--ids", "--archive"]).arg(place)).with(0).stdout);
    assert!(said[0].lines().count() > 5 && said[0] == said[1]);
    // The switch after a disaster: syncs go on with the copy, and the old archive is not copied over it.
    run(&mut simulation.sync(&to)).with(0);
    let refused = copy(&archive, &to, &["--json"]).with(2);
    assert!(refused.stderr.contains("a sync has written to the copy"), "{refused:?}");
    assert_eq!(refused.json()["error"]["kind"], "usage");
}

#[test]
fn damage_is_told_by_object_and_table_with_exit_code_3_and_the_copy_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, to) = (dir.path().join("a"), dir.path().join("b"));
    let simulation = Simulation::start(["--generate", "30"]);
    run(&mut simulation.sync(&archive)).with(0);
    let folder = archive.join("tables/messages/revisions/convex_phase=snapshot");
    let month = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let file = fs::read_dir(month).unwrap().next().unwrap().unwrap().path();
    let good = fs::read(&file).unwrap();
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    fs::write(&file, bad).unwrap();
    let told = copy(&archive, &to, &[]).with(3);
    assert!(told.stdout.contains("* source, table messages: the data file tables/messages/"), "{told:?}");
    assert!(told.stdout.contains("Not complete") && told.stdout.contains("the copy is not an archive yet"), "{told:?}");
    let report = copy(&archive, &to, &["--json", "--quiet"]).with(3).json();
    assert_eq!(
        (&report["complete"], &report["problem_count"], &report["exit_code"]),
        (&false.into(), &1.into(), &3.into())
    );
    crate::reports::is("copy", &report);
    let object = file.strip_prefix(&archive).unwrap().to_str().unwrap();
    assert_eq!(report["problems"][0]["object"].as_str(), Some(object), "{report}");
    // Until it is whole it is no archive, and says what it is.
    let status = run(archiver(["status", "--archive"]).arg(&to)).with(1);
    assert!(status.stderr.contains("run copy again"), "{status:?}");
    let sync = run(&mut simulation.sync(&to)).with(1);
    assert!(sync.stderr.contains("run copy again"), "{sync:?}");
    fs::write(&file, good).unwrap();
    copy(&archive, &to, &[]).with(0);
    run(archiver(["verify", "--read-data", "--archive"]).arg(&to)).with(0);
}

#[test]
fn a_destination_that_cannot_be_one_is_exit_code_2_and_stays_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let [archive, other, full] = ["a", "other", "full"].map(|name| dir.path().join(name));
    let simulation = Simulation::start(["--generate", "10"]);
    run(&mut simulation.sync(&archive)).with(0);
    run(&mut simulation.sync(&other)).with(0);
    fs::create_dir(&full).unwrap();
    fs::write(full.join("notes.txt"), "mine").unwrap();
    for (to, says) in [
        (archive.clone(), "would be inside the archive that is copied, or contain it"),
        (archive.join("inside"), "would be inside the archive that is copied, or contain it"),
        (dir.path().to_owned(), "would be inside the archive that is copied, or contain it"),
        (other.clone(), "holds another archive"),
        (full.clone(), "contains something that is not an archive, such as notes.txt"),
        (dir.path().join("x=y"), "query engines would read"),
    ] {
        let ended = copy(&archive, &to, &["--json"]).with(2);
        assert!(ended.stderr.contains(says), "{ended:?}");
        assert_eq!(ended.json()["error"]["kind"], "usage");
    }
    assert!(!archive.join("inside").exists() && fs::read_dir(&full).unwrap().count() == 1);
    run(&mut archiver(["copy", "--archive", path(&archive)])).with(2);
    let none = dir.path().join("none");
    copy(&none, &dir.path().join("b"), &[]).with(1);
}

/// The destination's own variables, and only those, count for it.
#[test]
fn the_destination_has_credentials_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "10"]);
    run(&mut simulation.sync(&archive)).with(0);
    let copy = |variables: &[(&str, &str)]| {
        let mut command = archiver(["copy", "--to", "s3://vault/a", "--plan", "--json", "--archive"]);
        let home = dir.path().to_str().unwrap();
        let command = command.arg(&archive).env("HOME", home).env("AWS_EC2_METADATA_DISABLED", "true");
        run(command.envs(variables.iter().copied()))
    };
    let says = |ended: Ended| -> String {
        let report: Value = ended.json();
        report["error"]["message"].as_str().unwrap_or_else(|| panic!("{report}")).to_owned()
    };
    // A profile of its own is looked for, though the source has keys.
    let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_REGION", "eu-north-1")];
    let own = [&keys[..], &[("CONVEX_ARCHIVER_COPY_AWS_PROFILE", "vault")]].concat();
    let told = says(copy(&own).with(2));
    assert!(told.contains("--to") && told.contains("`vault`"), "{told}");
}
