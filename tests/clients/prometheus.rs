//! The file of metrics, read by Prometheus' own Python client: as OpenMetrics, and as the older text that node_exporter takes.

use std::path::Path;

use crate::support::{self, Simulation};

#[test]
fn prometheus_reads_the_metrics_and_the_documented_names_are_those() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, file) = (dir.path().join("a"), dir.path().join("convex.prom"));
    let simulation = Simulation::start(["--generate", "30"]);
    for _ in 0..2 {
        support::run(simulation.sync(&archive).arg("--metrics-file").arg(&file)).with(0);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let documents = [root.join("examples/guides/alerts.md"), root.join("examples/alerts/convex-archiver.rules.yml")];
    let arguments: Vec<&Path> =
        [file.as_path()].into_iter().chain(documents.iter().map(std::path::PathBuf::as_path)).collect();
    crate::run("prometheus_reads.py", &arguments);
}

#[test]
fn the_runbook_has_an_entry_for_each_alert() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let read = |name: &str| std::fs::read_to_string(examples.join(name)).unwrap();
    let (rules, runbook) = (read("alerts/convex-archiver.rules.yml"), read("RUNBOOK.md"));
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 5, "{alerts:?}");
    for alert in alerts {
        assert!(runbook.contains(&format!("\n| `{alert}` |")), "examples/RUNBOOK.md has no entry for {alert}");
    }
}
