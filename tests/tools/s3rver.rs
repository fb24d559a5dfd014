//! Another S3 server that no archive can live on: s3rver does not know `If-None-Match`.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
};

use super::{process::Settings, python::node_modules, rclone::files_below};

/// An s3rver over a folder. It ends when this is dropped.
pub(crate) struct S3rver {
    url: String,
    process: Child,
    folder: tempfile::TempDir,
}

impl Drop for S3rver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl S3rver {
    /// With one bucket.
    pub(crate) fn start(bucket: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("node");
        command
            .arg(Path::new(node_modules()).join("s3rver/bin/s3rver.js"))
            .args(["--address", "127.0.0.1", "--port", "0", "--configure-bucket", bucket, "--directory"])
            .arg(folder.path());
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        let url = said.by_ref().lines().map_while(Result::ok).find_map(|line| {
            let port = line.rsplit(':').next()?.trim().parse::<u16>().ok()?;
            Some(format!("http://127.0.0.1:{port}"))
        });
        std::thread::spawn(move || said.lines().for_each(drop));
        Self { url: url.expect("s3rver ended before it was ready"), process, folder }
    }

    /// The environment variables that lead to it.
    pub(crate) fn settings(&self) -> Settings {
        Settings::from([
            ("AWS_ENDPOINT", self.url.clone()),
            ("AWS_ACCESS_KEY_ID", "S3RVER".into()),
            ("AWS_SECRET_ACCESS_KEY", "S3RVER".into()),
            ("AWS_REGION", "us-east-1".into()),
        ])
    }

    /// The names of the files in its folder, without its own of the bucket.
    pub(crate) fn files(&self) -> Vec<String> {
        files_below(self.folder.path()).into_iter().filter(|name| name.contains("archive.json")).collect()
    }
}
