//! Tests in processes of their own.
//!
//! Stores are found through the environment, and a process has only one: so a test that needs a store starts itself again
//! with the store's variables, and tells its story there.

use std::{collections::BTreeMap, process::Command, time::Duration};

use super::python::text;

/// Environment variables.
pub(crate) type Settings = BTreeMap<&'static str, String>;

const CHILD: &str = "CONVEX_ARCHIVER_TEST_CHILD";
/// A story that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(240);

/// Tells `story` in a process whose environment has the settings and no other credentials. `test` is the whole name of the
/// calling test.
pub(crate) fn apart(test: &str, settings: impl FnOnce() -> Settings, story: impl Future<Output = ()>) {
    if std::env::var(CHILD).is_ok_and(|child| child == test) {
        return block_on(story);
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command.args(["--exact", test, "--nocapture", "--include-ignored"]).env(CHILD, test).envs(settings());
    let output = command.output().unwrap();
    let said = text(&output);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    println!("{said}");
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
