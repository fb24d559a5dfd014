//! A real S3 server that no archive can live on: rclone's takes `If-None-Match` and ignores it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use super::{process::Settings, python::python};

/// An rclone server over a folder. It ends when this is dropped.
pub(crate) struct Rclone {
    url: String,
    process: Child,
    folder: tempfile::TempDir,
}

impl Drop for Rclone {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Rclone {
    /// With one bucket.
    pub(crate) fn start(bucket: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(bucket)).unwrap();
        let mut command = Command::new(python().with_file_name("rclone"));
        command.args(["serve", "s3", "--auth-key", "key,secret", "--addr", "127.0.0.1:0"]).arg(folder.path());
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(process.stderr.take().unwrap()).lines().map(Result::unwrap);
        let url = said.into_iter().find_map(|line| Some(line.split_once('[')?.1.split_once("/]")?.0.to_owned()));
        Self { url: url.expect("rclone ended before it was ready"), process, folder }
    }

    /// The environment variables that lead to it.
    pub(crate) fn settings(&self) -> Settings {
        Settings::from([
            ("AWS_ENDPOINT", self.url.clone()),
            ("AWS_ALLOW_HTTP", "true".into()),
            ("AWS_ACCESS_KEY_ID", "key".into()),
            ("AWS_SECRET_ACCESS_KEY", "secret".into()),
            ("AWS_REGION", "us-east-1".into()),
        ])
    }

    /// The names of the files in its folder.
    pub(crate) fn files(&self) -> Vec<String> {
        files_below(self.folder.path())
    }
}

/// The files below a folder, at any depth.
pub(crate) fn files_below(folder: &std::path::Path) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path.display().to_string()) }
        }
    }
    found
}
