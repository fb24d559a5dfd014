//! Where an archive lies, and what lies there, seen past the library.

use std::path::{Path, PathBuf};

use crate::tools::moto::make_bucket;

/// An empty place of its own: a folder, or a bucket of the server that `AWS_ENDPOINT` names.
pub(crate) enum Place {
    Disk(tempfile::TempDir),
    S3 { bucket: String },
}

/// A prefix below a place.
pub(crate) const PREFIX: &str = "lake/convex/shop";

impl Place {
    pub(crate) fn on_disk() -> Self {
        Self::Disk(tempfile::tempdir().unwrap())
    }

    pub(crate) async fn on_s3() -> Self {
        make_bucket("lake").await;
        Self::S3 { bucket: "lake".into() }
    }

    /// The URL of `prefix` in it.
    pub(crate) fn url(&self, prefix: &str) -> String {
        match self {
            Self::Disk(folder) => folder.path().join(prefix).to_str().unwrap().to_owned(),
            Self::S3 { bucket } => format!("s3://{bucket}/{prefix}"),
        }
    }

    /// The names of all objects. (Up to a thousand, as S3 lists them.)
    pub(crate) async fn objects(&self) -> Vec<String> {
        match self {
            Self::Disk(folder) => files(folder.path()),
            Self::S3 { bucket } => texts(&get(&format!("{bucket}?list-type=2")).await, "Key"),
        }
    }

    /// The names of objects that somebody began to write and neither completed nor gave up.
    pub(crate) async fn unfinished(&self) -> Vec<String> {
        match self {
            Self::Disk(folder) => files(folder.path()).into_iter().filter(|name| name.contains('#')).collect(),
            Self::S3 { bucket } => {
                let uploads = get(&format!("{bucket}?uploads")).await;
                uploads.split("<Upload>").skip(1).flat_map(|upload| texts(upload, "Key")).collect()
            }
        }
    }

    /// In how many parts an object was uploaded; `None` on a disk.
    pub(crate) async fn parts(&self, object: &str) -> Option<u32> {
        let Self::S3 { bucket } = self else { return None };
        let answer = reqwest::Client::new().head(at(&format!("{bucket}/{object}"))).send().await.unwrap();
        let tag = answer.headers()["etag"].to_str().unwrap().trim_matches('"').to_owned();
        // S3 writes the number of parts behind the tag.
        Some(tag.split_once('-').map_or(1, |(_, parts)| parts.parse().unwrap()))
    }
}

fn at(path: &str) -> String {
    format!("{}/{path}", std::env::var("AWS_ENDPOINT").unwrap())
}

async fn get(path: &str) -> String {
    let answer = reqwest::get(at(path)).await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    answer.text().await.unwrap()
}

/// The texts of an element of XML.
fn texts(xml: &str, element: &str) -> Vec<String> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    xml.split(&open).skip(1).map(|rest| rest.split(&close).next().unwrap().to_owned()).collect()
}

/// The files below a folder, by their paths from there.
fn files(root: &Path) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root.join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else {
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}
