//! What a deployment refuses, as the program ends: exit code, JSON report, and no key anywhere.

use std::sync::Arc;

use convex_archiver::server::{Deployment, Fault, RouterOptions, SimulatedDeployment, router};

use crate::support::{KEY, archiver, run, served};

/// The URL of a deployment with these faults; it lives as long as the test.
async fn deployment(faults: Vec<Fault>) -> String {
    let deployment = Arc::new(SimulatedDeployment::new("otter-1", 1)) as Arc<dyn Deployment>;
    let routes = router(deployment, RouterOptions::default().key(KEY.to_owned()).faults(faults));
    served(routes).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_ends_with_the_exit_code_of_what_to_do_about_it() {
    let page = "/api/list_snapshot";
    let table = [
        (Fault::refusal(401, "BadAdminKey"), 2, "access", "create a new one"),
        (Fault::refusal(403, "StreamingExportNotEnabled"), 2, "access", "Convex Professional"),
        (Fault::refusal(403, "OperationNotPermitted"), 2, "access", "deployment:data:view"),
        (Fault::refusal(400, "ClientVersionUnsupported").on(page), 1, "unsupported", "upgrade it"),
        (Fault::refusal(400, "BadFormat").on(page), 1, "unsupported", "none of the encodings"),
        (Fault::refusal(400, "BadQueryArgs").on(page), 1, "internal", "report it"),
        (Fault::refusal(400, "InvalidListSnapshotCursor").on(page), 1, "window", "its snapshot stopped"),
        (Fault::html(200).on(page), 1, "protocol", "HTML page"),
        (Fault::html(403), 2, "access", "proxy or firewall"),
        (Fault::status(404), 2, "usage", "no Convex deployment"),
        (Fault::status(302), 2, "usage", "redirects elsewhere"),
        // Asked four times, for some seconds.
        (Fault::refusal(500, "InternalServerError").on(page), 5, "unavailable", "report it if it persists"),
    ];
    for (fault, code, kind, text) in table {
        let url = deployment(vec![fault.clone()]).await;
        let dir = tempfile::tempdir().unwrap();
        let mut sync = archiver(["sync", "--json", "--deployment", &url, "--archive"]);
        let ended = run(sync.arg(dir.path().join("a")).env("CONVEX_DEPLOY_KEY", KEY)).with(code);
        let error = &ended.json()["error"];
        assert_eq!((&error["kind"], &error["exit_code"]), (&kind.into(), &code.into()), "{ended:?}");
        assert!(error["message"].as_str().unwrap().contains(text) && ended.stderr.contains(text), "{ended:?}");
        let secret = KEY.split_once('|').unwrap().1;
        assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret), "{ended:?}");
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_is_no_text_ends_with_2_and_its_name() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let broken = OsStr::from_bytes(b"otter-1|\xff");
    let ended = run(archiver(["sync", "--archive", "/nowhere/a"]).env("CONVEX_DEPLOY_KEY", broken)).with(2);
    assert!(ended.stderr.contains("CONVEX_DEPLOY_KEY is not valid UTF-8"), "{ended:?}");
}
