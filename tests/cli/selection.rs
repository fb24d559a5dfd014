//! `sync --include` and `--exclude`: what fits nothing, and what an archive keeps.

use std::path::Path;

use crate::support::{Ended, Simulation, archiver, run, status};

/// `messages`, `orders`, `users`, `analytics/events` and `analytics/daily/counters`.
fn simulation() -> Simulation {
    Simulation::start(["--generate", "50"])
}

fn sync(simulation: &Simulation, archive: &Path, args: &[&str]) -> Ended {
    run(simulation.sync(archive).args(args))
}

#[test]
fn a_first_run_that_would_archive_nothing_ends_with_2_and_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, simulation) = (dir.path().join("a"), simulation());
    for (args, said) in [
        (&["--include", "user"][..], "is `users` meant?"),
        (&["--include", "events"], "is `analytics/events` meant?"),
        (&["--include", "log_*"], "no table of the deployment matches `log_*`"),
        (&["--exclude", "**"], "matches none of the deployment's tables (5)"),
        (&["--include", "users", "--exclude", "users"], "matches none of the deployment's tables"),
    ] {
        let ended = sync(&simulation, &archive, args).with(2);
        assert!(ended.stderr.contains(said) && ended.stderr.contains("--include"), "{args:?}: {ended:?}");
        assert!(!archive.exists());
    }
}

#[test]
fn an_empty_deployment_is_archived_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let simulation = Simulation::start(["--generate", "0"]);
    sync(&simulation, &dir.path().join("a"), &[]).with(0);
}

#[test]
fn a_table_that_is_missed_is_a_finding_and_a_pattern_that_fits_nothing_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let simulation = simulation();
    for (n, (args, code, kind, said)) in [
        (&["--include", "users", "--include", "mesages"][..], 3, Some("no_such_table"), "is `messages` meant?"),
        (
            &["--include", "users", "--include", "log_*"],
            0,
            Some("pattern_fits_nothing"),
            "no table of the deployment matches `log_*`",
        ),
        (&["--exclude", "logs"], 0, Some("pattern_fits_nothing"), "no table of the deployment matches `logs`"),
        (&["--exclude", "users"], 0, None, ""),
        (&["--exclude", "analytics/**"], 0, None, ""),
        (&["--include", "*", "--exclude", "users", "--exclude", "orders"], 0, None, ""),
    ]
    .into_iter()
    .enumerate()
    {
        let archive = dir.path().join(n.to_string());
        for run in ["first", "second"] {
            let ended = sync(&simulation, &archive, &[&["--json"], args].concat()).with(code);
            let kinds: Vec<_> = ended.json()["findings"].as_object().unwrap().keys().cloned().collect();
            assert_eq!(kinds, kind.into_iter().collect::<Vec<_>>(), "{args:?} {run}");
            assert!(ended.stderr.contains(said), "{args:?} {run}: {ended:?}");
        }
    }
}

#[test]
fn an_archive_keeps_its_selection_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, simulation) = (dir.path().join("a"), simulation());
    sync(&simulation, &archive, &["--include", "users", "--include", "orders"]).with(0);
    let kept = sync(&simulation, &archive, &[]).with(0);
    assert!(kept.stderr.contains("keeps its selection `orders users`"), "{kept:?}");
    assert!(kept.stdout.contains("Selection  orders users"), "{kept:?}");
    let kept = sync(&simulation, &archive, &["--json", "--accept-selection"]).with(0).json();
    assert_eq!(kept["selection"], "orders users");
    let other = sync(&simulation, &archive, &["--include", "users"]).with(2);
    assert!(other.stderr.contains("--accept-selection"), "{other:?}");
    sync(&simulation, &archive, &["--include", "**"]).with(2);
    sync(&simulation, &archive, &["--include", "**", "--accept-selection"]).with(0);
    assert_eq!(status(&archive)["selection"], "**");
    let all = sync(&simulation, &archive, &[]).with(0);
    assert!(!all.stderr.contains("keeps its selection") && !all.stdout.contains("Selection"), "{all:?}");
}

#[test]
fn a_later_selection_of_nothing_is_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, simulation) = (dir.path().join("a"), simulation());
    sync(&simulation, &archive, &[]).with(0);
    let nothing = sync(&simulation, &archive, &["--exclude", "**", "--accept-selection"]).with(3);
    assert!(nothing.stderr.contains("nothing is archived"), "{nothing:?}");
    // And remains one, until it is mended.
    sync(&simulation, &archive, &["-q"]).with(3);
    let all = run(archiver(["status", "--json", "--archive"]).arg(&archive)).with(0).json();
    assert_eq!(all["selection"], "** !**");
}
