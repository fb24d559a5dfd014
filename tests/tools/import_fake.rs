//! A **fake** of Convex's importer, as far as `npx convex import` speaks with it: no package has the real one.
//! `import_rules.py` says what it takes and what it refuses.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Output, Stdio},
};

use super::python::{clients, node_modules};

const KEY: &str = "otter-1|import";

/// The fake, over a deployment that holds nothing at first. It ends when this is dropped, and also when this process is killed: its
/// input is closed then.
pub(crate) struct ImportFake {
    url: String,
    folder: tempfile::TempDir,
    process: Child,
    _input: Option<ChildStdin>,
}

impl Drop for ImportFake {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl ImportFake {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The client wants to be in the folder of a project that uses Convex.
        write_package(folder.path());
        let mut command = Command::new(clients());
        command
            .arg("-B")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/import_fake.py"))
            .args([KEY.as_ref(), folder.path().join("holds.ndjson").as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next().expect("the fake ended before it was ready").unwrap();
        // What it says later nobody reads, and it must not wait for that.
        std::thread::spawn(move || lines.for_each(drop));
        let input = process.stdin.take();
        Self { url: format!("http://127.0.0.1:{port}"), folder, process, _input: input }
    }

    /// `npx convex import ARGUMENTS ZIP`, to its end.
    pub(crate) fn import(&self, arguments: &[&str], zip: &Path) -> Output {
        self.import_with(KEY, arguments, zip)
    }

    /// As [`import`](Self::import), with this deploy key.
    pub(crate) fn import_with(&self, key: &str, arguments: &[&str], zip: &Path) -> Output {
        npx_convex_import(&self.url, key, self.folder.path(), arguments, zip)
    }

    /// Deletes a document, as a mutation does.
    pub(crate) async fn delete(&self, table: &str, id: &str) {
        let request = reqwest::Client::new().post(format!("{}/fake/delete", self.url));
        let request = request.header("Authorization", format!("Convex {KEY}"));
        let answer = request.body(serde_json::json!({ "table": table, "id": id }).to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// The file that tells what it holds after an import.
    pub(crate) fn holds(&self) -> PathBuf {
        self.folder.path().join("holds.ndjson")
    }
}

/// `npx convex import ARGUMENTS ZIP` into the deployment at `url`, to its end, in a folder with a `package.json`.
pub(crate) fn npx_convex_import(url: &str, key: &str, folder: &Path, arguments: &[&str], zip: &Path) -> Output {
    let mut node = Command::new("node");
    node.arg(node_modules().join("convex/bin/main.js")).arg("import").args(arguments).arg(zip);
    node.current_dir(folder).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CONVEX_") {
            node.env_remove(name);
        }
    }
    // In CI it asks nothing, and reports no errors to its makers.
    node.env_remove("VERCEL").env("CI", "true");
    node.envs([("CONVEX_SELF_HOSTED_URL", url), ("CONVEX_SELF_HOSTED_ADMIN_KEY", key)]);
    node.output().unwrap_or_else(|e| panic!("these tests need Node.js 20: {e}"))
}

/// Makes the folder that of a project that uses Convex: elsewhere its client does nothing.
pub(crate) fn write_package(folder: &Path) {
    std::fs::write(folder.join("package.json"), r#"{"dependencies": {"convex": "*"}}"#).unwrap();
}
