//! Tests in processes of their own.
//!
//! Stores are found through the environment, and a process has only one: so a test that needs a store starts itself again
//! with the store's variables, and tells its story there.

use std::{collections::BTreeMap, process::Command, sync::OnceLock, time::Duration};

use tokio::runtime::Runtime;

use super::python::text;

/// Environment variables.
pub(crate) type Settings = BTreeMap<&'static str, String>;

const CHILD: &str = "CONVEX_ARCHIVER_TEST_CHILD";
/// A story that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(240);

/// How variables begin that lead to stores.
const OTHERS: &[&str] =
    &["AWS_", "AZURE_", "AZURITE_", "GOOGLE_", "GCE_", "IDENTITY_", "SERVICE_ACCOUNT", "STORAGE_EMULATOR"];

/// Tells `story` in a process whose environment has the settings and no other credentials. `test` is the whole name of the
/// calling test.
pub(crate) fn apart(test: &str, settings: impl FnOnce() -> Settings, story: impl Future<Output = ()>) {
    apart_under(test, Vec::new, settings, story);
}

/// As [`apart`]; the process is started by `launcher`, a command that runs the command behind it.
pub(crate) fn apart_under(
    test: &str,
    launcher: impl FnOnce() -> Vec<String>,
    settings: impl FnOnce() -> Settings,
    story: impl Future<Output = ()>,
) {
    if is_apart(test) {
        return block_on(story);
    }
    let mut words = launcher();
    words.push(std::env::current_exe().unwrap().to_str().unwrap().to_owned());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    for (name, _) in std::env::vars_os() {
        if OTHERS.iter().any(|other| name.to_string_lossy().starts_with(other)) {
            command.env_remove(name);
        }
    }
    command.args(["--exact", test, "--nocapture", "--include-ignored"]).env(CHILD, test).envs(settings());
    let output = command.output().unwrap();
    let said = text(&output);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    println!("{said}");
}

/// What this process's environment says, for stores.
pub(crate) fn environment() -> convex_archiver::archive::Settings {
    std::env::vars().collect()
}

/// Whether this is the process in which the story of `test` is told.
pub(crate) fn is_apart(test: &str) -> bool {
    std::env::var(CHILD).is_ok_and(|child| child == test)
}

/// Where servers of this process's own run, beside its tests.
pub(crate) fn background() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap())
}

/// Serves in the background, until this process ends. Answers the URL.
pub(crate) fn serve(routes: axum::Router) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    background().spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        axum::serve(listener, routes).await.unwrap();
    });
    url
}

/// Tells a story here.
pub(crate) fn block_on(story: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, story).await.expect("the story hangs") });
}

/// The name that the test runner gives to the test function `name` of this module.
macro_rules! test_name {
    ($name:ident) => {
        concat!(module_path!(), "::", stringify!($name)).split_once("::").unwrap().1
    };
}
pub(crate) use test_name;
