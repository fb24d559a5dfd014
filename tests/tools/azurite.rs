//! Azure Blob Storage as a server: Azurite, Microsoft's own emulator.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use super::{process::Settings, python::node_modules};

/// An Azurite server. It ends when this is dropped, and also when this process ends: its input is closed then.
pub(crate) struct Azurite {
    /// With the account's name, which a real one has in its host.
    pub(crate) url: String,
    pub(crate) account: String,
    key: String,
    /// A signature that may do everything.
    pub(crate) all: String,
    /// Read, write and list, and no more: no deletes.
    pub(crate) least: String,
    /// Read and list.
    pub(crate) read_only: String,
    process: Child,
    _input: Option<ChildStdin>,
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Azurite {
    pub(crate) fn start() -> Self {
        Self::start_with(Path::new(""))
    }

    /// Over HTTPS, with the certificate in this folder ([`make_certificates`]). Such a server takes tokens, too.
    pub(crate) fn start_with(certificates: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/azure_server.cjs");
        let mut command = Command::new("node");
        command
            .arg(script)
            .arg(node_modules())
            .arg(certificates)
            .args(["rwdlacup", "rwl", "rl"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let words = lines.next().expect("azurite ended before it said anything");
        let url = lines.find_map(|line| Some(line.split_once("listens on ")?.1.to_owned()));
        // What it says later nobody reads, and it must not wait for that.
        std::thread::spawn(move || lines.for_each(drop));
        let mut words = words.split(' ').map(str::to_owned);
        let mut word = || words.next().unwrap();
        let (account, key, all, least, read_only) = (word(), word(), word(), word(), word());
        let url = format!("{}/{account}", url.expect("azurite ended before it was ready"));
        let input = process.stdin.take();
        Self { url, account, key, all, least, read_only, process, _input: input }
    }

    /// The environment variables that lead to it, as Microsoft's tools have them.
    pub(crate) fn settings(&self) -> Settings {
        Settings::from([
            ("AZURE_STORAGE_ACCOUNT", self.account.clone()),
            ("AZURE_STORAGE_KEY", self.key.clone()),
            ("AZURE_STORAGE_ENDPOINT", self.url.clone()),
        ])
    }

    /// With a signature instead of the key.
    pub(crate) fn signed(&self, signature: &str) -> Settings {
        let mut settings = self.settings();
        settings.remove("AZURE_STORAGE_KEY");
        settings.insert("AZURE_STORAGE_SAS_TOKEN", signature.to_owned());
        settings
    }
}

/// Makes a container. `server` and `signature` are those of an Azurite.
pub(crate) async fn make_container(server: &str, signature: &str, name: &str) {
    let url = format!("{server}/{name}?restype=container&{signature}");
    // Who serves it is no question here.
    let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build().unwrap();
    let answer = client.put(url).header("content-length", "0").send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
}

/// An authority (`authority.pem`), and a certificate of it for a server on 127.0.0.1.
pub(crate) fn make_certificates(folder: &Path) {
    super::python::run("tools/certificate.py", &[folder]);
}
