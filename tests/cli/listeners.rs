//! Who is told of a sync beside whoever started it: the archive, a dead man's switch, a webhook, a file of metrics.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, Uri},
};
use serde_json::Value;

use crate::{
    reports,
    support::{KEY, Simulation, archiver, run, served},
};

/// The path of a request, and its body.
type Told = (String, Option<Value>);

/// A service that writes down what it is told, and answers with this status.
#[derive(Clone)]
struct Heard {
    told: Arc<Mutex<Vec<Told>>>,
    status: StatusCode,
}

impl Heard {
    async fn start(status: StatusCode) -> (Self, String) {
        let heard = Self { told: Arc::default(), status };
        let hear = |State(heard): State<Self>, uri: Uri, body: Bytes| async move { heard.hear(&uri, &body) };
        let url = served(Router::new().fallback(hear).with_state(heard.clone())).await;
        (heard, url)
    }

    fn hear(&self, uri: &Uri, body: &[u8]) -> StatusCode {
        let body = (!body.is_empty()).then(|| serde_json::from_slice(body).unwrap());
        self.told.lock().unwrap().push((uri.to_string(), body));
        self.status
    }

    fn take(&self) -> Vec<Told> {
        std::mem::take(&mut self.told.lock().unwrap())
    }
}

fn archived(dir: &Path) -> std::path::PathBuf {
    dir.join("a")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_hears_of_the_beginning_and_the_end_and_a_webhook_of_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let archive = archived(dir.path());
    let simulation = Simulation::start(["--generate", "30"]);
    let (heard, url) = Heard::start(StatusCode::OK).await;
    let (switch, webhook) = (format!("{url}/switch-1?token=x"), format!("{url}/hook"));
    let report = run(simulation.sync(&archive).args(["--json", "--ping", &switch, "--webhook", &webhook])).with(0);
    let report = report.json();
    let told = heard.take();
    let paths: Vec<_> = told.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["/switch-1/start?token=x", "/switch-1/0?token=x", "/hook"]);
    assert_eq!(told[0].1, None);
    for (_, body) in &told[1..] {
        assert_eq!(body.as_ref(), Some(&report));
    }

    // From the environment, of a run that fails.
    let mut failing = archiver(["sync", "--deployment", &simulation.url, "--archive"]);
    failing.arg(&archive).env("CONVEX_DEPLOY_KEY", "otter-1|wrong");
    failing.env("CONVEX_ARCHIVER_PING", &switch).env("CONVEX_ARCHIVER_WEBHOOK", &webhook);
    run(&mut failing).with(2);
    let told = heard.take();
    let paths: Vec<_> = told.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["/switch-1/start?token=x", "/switch-1/2?token=x", "/hook"]);
    let failed = told[1].1.as_ref().unwrap();
    assert_eq!((&failed["exit_code"], &failed["error"]["kind"]), (&2.into(), &"access".into()));
    assert!(!failed.to_string().contains("wrong"), "{failed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_does_not_hear_is_a_warning_without_its_url() {
    let dir = tempfile::tempdir().unwrap();
    let archive = archived(dir.path());
    let simulation = Simulation::start(["--generate", "30"]);
    let (heard, url) = Heard::start(StatusCode::NOT_FOUND).await;
    let ended = run(simulation.sync(&archive).args(["--ping", &format!("{url}/s3cr3t")])).with(0);
    assert!(
        ended.stderr.contains("the dead man's switch was not notified of the end: 127.0.0.1 answered 404"),
        "{ended:?}"
    );
    assert!(!ended.stderr.contains("s3cr3t"), "{ended:?}");
    assert_eq!(heard.take().len(), 2, "a refusal is not asked again");
    let ended = run(simulation.sync(&archive).args(["--webhook", "http://127.0.0.1:9/s3cr3t"])).with(0);
    assert!(ended.stderr.contains("the webhook was not notified: 127.0.0.1 did not answer"), "{ended:?}");
    assert!(!ended.stderr.contains("s3cr3t"), "{ended:?}");
    let ended = run(simulation.sync(&archive).args(["--ping", "hc.example/s3cr3t"])).with(2);
    assert!(ended.stderr.contains("https://"), "{ended:?}");
}

#[test]
fn the_archive_keeps_the_reports_and_status_shows_them() {
    let dir = tempfile::tempdir().unwrap();
    let archive = archived(dir.path());
    let simulation = Simulation::start(["--generate", "30"]);
    let first = run(simulation.sync(&archive).arg("--json")).with(0).json();
    let status = |args: &[&str]| run(archiver(["status", "--archive"]).arg(&archive).args(args)).with(0);
    let shown = status(&["--runs"]).stdout;
    assert!(shown.contains("The last run ended well. 1 run shown:"), "{shown}");

    // Another key, and no deployment at all.
    let mut failing = archiver(["sync", "--json", "--deployment", &simulation.url, "--archive"]);
    let wrong = run(failing.arg(&archive).env("CONVEX_DEPLOY_KEY", "otter-1|wrong")).with(2).json();
    let nowhere = run(archiver(["sync", "--json", "--archive"]).arg(&archive)).with(2).json();
    let status_report = status(&["--runs", "--json"]).json();
    reports::is("status", &status_report);
    assert_eq!(status_report["runs"].as_array().unwrap(), &[nowhere.clone(), wrong, first]);
    let shown = status(&["--runs", "2"]).stdout;
    assert!(
        shown.contains("The last 2 runs did not end with exit code 0, since ") && shown.contains("(all runs shown)"),
        "{shown}"
    );
    assert!(shown.contains("usage: which deployment?") && shown.contains("access: "), "{shown}");
    assert!(!status(&[]).stdout.contains("ended well"));
    for entry in std::fs::read_dir(archive.join("runs/sync")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains(KEY.split_once('|').unwrap().1), "{text}");
    }

    // Where there is no archive, none is made for a report.
    let none = dir.path().join("none");
    run(archiver(["sync", "--archive"]).arg(&none)).with(2);
    assert!(!none.exists());
}

#[test]
fn metrics_are_written_of_a_run_that_went_well_and_of_one_that_failed() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, file) = (archived(dir.path()), dir.path().join("convex.prom"));
    let simulation = Simulation::start(["--generate", "30"]);
    let report = run(simulation.sync(&archive).args(["--json", "--metrics-file"]).arg(&file)).with(0).json();
    let sample = |name: &str| {
        let text = std::fs::read_to_string(&file).unwrap();
        let begin = format!("convex_archiver_{name}{{");
        let line = text.lines().find(|line| line.starts_with(&begin))?;
        line.rsplit_once(' ')?.1.parse::<f64>().ok()
    };
    assert_eq!(sample("last_run_documents"), report["documents"].as_f64());
    assert_eq!(sample("last_run_requests"), report["requests"].as_f64());
    assert_eq!((sample("last_run_exit_code"), sample("version")), (Some(0.0), report["version"].as_f64()));
    let well = sample("last_success_timestamp_seconds");
    assert!(well.is_some() && well == sample("last_run_timestamp_seconds"));
    assert!(sample("window_left_seconds").unwrap() > 13.9 * 86400.0);

    let mut failing = archiver(["sync", "--archive"]);
    run(failing.arg(&archive).arg("--metrics-file").arg(&file)).with(2);
    assert_eq!((sample("last_run_exit_code"), sample("last_run_documents")), (Some(2.0), None));
    assert_eq!((sample("version"), sample("last_success_timestamp_seconds")), (report["version"].as_f64(), well));
    assert!(sample("lag_seconds").unwrap() >= 0.0);

    let ended = run(simulation.sync(&archive).arg("--metrics-file").arg(dir.path().join("no/convex.prom"))).with(0);
    assert!(ended.stderr.contains("the metrics were not written: cannot write"), "{ended:?}");
}
