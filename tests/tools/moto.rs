//! A real S3 server: moto, started by the test that needs it.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use super::{process::Settings, python::python};

/// A moto server. It ends when this is dropped, and also when this process is killed: its input is closed then.
pub(crate) struct Moto {
    pub(crate) url: String,
    key: String,
    secret: String,
    process: Child,
    _input: Option<ChildStdin>,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Moto {
    /// One that takes every request.
    pub(crate) fn start() -> Self {
        Self::spawn(&[])
    }

    /// One with a bucket and a user, who may do there what `policy` says (without it: everything), and nobody else.
    pub(crate) fn strict(bucket: &str, policy: Option<&str>) -> Self {
        Self::spawn(&[Some(bucket), policy].into_iter().flatten().collect::<Vec<_>>())
    }

    fn spawn(arguments: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/s3_server.py");
        let mut command = Command::new(python());
        command
            .arg("-B")
            .arg(script)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut line = || lines.next().expect("moto ended before it was ready").unwrap();
        let url = format!("http://127.0.0.1:{}", line());
        let keys = if arguments.is_empty() { "any thing".to_owned() } else { line() };
        let (key, secret) = keys.split_once(' ').unwrap();
        let input = process.stdin.take();
        Self { url, key: key.to_owned(), secret: secret.to_owned(), process, _input: input }
    }

    /// The environment variables that lead to it.
    pub(crate) fn settings(&self) -> Settings {
        settings_at(&self.url, &self.key, &self.secret)
    }
}

/// The environment variables that lead to an S3 server.
pub(crate) fn settings_at(url: &str, key: &str, secret: &str) -> Settings {
    Settings::from([
        ("AWS_ENDPOINT", url.to_owned()),
        ("AWS_ALLOW_HTTP", "true".into()),
        ("AWS_ACCESS_KEY_ID", key.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
        ("AWS_REGION", "us-east-1".into()),
    ])
}

/// Makes a bucket in the server that `AWS_ENDPOINT` names.
pub(crate) async fn make_bucket(name: &str) {
    make_bucket_at(&std::env::var("AWS_ENDPOINT").unwrap(), name).await;
}

/// Makes a bucket in a server.
pub(crate) async fn make_bucket_at(server: &str, name: &str) {
    let answer = reqwest::Client::new().put(format!("{server}/{name}")).send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
}
