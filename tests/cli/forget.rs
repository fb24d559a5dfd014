//! `forget`: what the plan says leaves, what is asked of before is refused, and a slip of the unit costs nothing.

use std::path::Path;

use crate::{
    reports::is,
    support::{Ended, Simulation, archiver, run},
};

fn forget(archive: &Path, args: &[&str]) -> Ended {
    run(archiver(["forget", "--archive"]).arg(archive).args(args))
}

#[test]
fn a_slip_of_the_unit_is_refused_and_a_young_archive_has_nothing_to_forget() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "30"]);
    run(&mut simulation.sync(&archive)).with(0);
    let version = || run(archiver(["status", "--json", "--archive"]).arg(&archive)).with(0).json()["version"].clone();
    let before = version();
    for (keep, why) in [
        ("2m", "years, months, weeks or days"),
        ("13d", "at least 14d"),
        ("0y", "at least 14d"),
        ("two years", "years, months, weeks or days"),
        ("-2y", ""),
    ] {
        let refused = forget(&archive, &["--keep-within", keep]).with(2);
        assert!(refused.stderr.contains(why), "{refused:?}");
    }
    assert!(forget(&archive, &[]).with(2).stderr.contains("--keep-within"));
    for plan in [&["--plan"][..], &[]] {
        let args = [&["--keep-within", "1 year 6 months", "--json"][..], plan].concat();
        let report = forget(&archive, &args).with(0).json();
        is("forget", &report);
        assert_eq!(
            (report["files"].as_u64(), report["tables"].as_array().map(Vec::len)),
            (Some(0), Some(0)),
            "{report}"
        );
        assert_eq!(report["keep_within_seconds"], 47_304_000);
    }
    let told = forget(&archive, &["--keep-within", "2y"]).with(0).stdout;
    assert!(told.contains("nothing: there is nothing older"), "{told}");
    assert_eq!(version(), before);
    assert_eq!(forget(&archive, &["--keep-within", "2y", "--table", "nobody"]).with(1).stdout, "");
    let nowhere = forget(&dir.path().join("nowhere"), &["--keep-within", "2y"]).with(1);
    assert!(nowhere.stderr.contains("there is no archive"), "{nowhere:?}");
}
