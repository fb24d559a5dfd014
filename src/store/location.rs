//! From an archive's URL to a store whose root is the archive.
//!
//! Settings and credentials are handed in ([`clouds`]). Retrying what is worth it is the store's business.

use std::{
    path::{Path as FilePath, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use object_store::{ObjectStore, local::LocalFileSystem, memory::InMemory, path::Path, prefix::PrefixStore};

use crate::{
    document::Timestamp,
    error::{Error, Result},
    monitor::Monitor,
};

use super::{
    Settings,
    clouds::{self, Bucket},
    disk_error,
    staging::{self, Reach},
    store_error,
};

/// An opened place for an archive.
#[derive(Debug, Clone)]
pub struct Location {
    store: Arc<dyn ObjectStore>,
    url: String,
    local: Option<PathBuf>,
    /// Whose names the URL is of: the endpoint, where the settings say one.
    endpoint: Option<String>,
    /// Where the credentials come from, in words; None of a folder.
    credentials: Option<String>,
    /// How often a store was asked.
    requests: Arc<AtomicU64>,
}

/// An opened place for one file.
#[derive(Debug)]
pub(crate) enum FilePlace {
    /// An absolute path on a local disk.
    Disk(PathBuf),
    /// An object of a store.
    Object { store: Arc<dyn ObjectStore>, path: Path, url: String },
}

impl FilePlace {
    /// Opens the place that an URL or a path names.
    ///
    /// # Errors
    /// Usage, if it names no object or a setting is missing; Access, if there are no credentials.
    pub(crate) fn open(file: &str, settings: &Settings) -> Result<Self> {
        let parsed = parse(file)?;
        let url = parsed.to_string();
        match parsed {
            ParsedUrl::Local(path) => Ok(Self::Disk(path)),
            ParsedUrl::Remote { prefix, .. } if prefix.as_ref().is_empty() || file.ends_with('/') => Err(Error::usage(
                format!("{url} is a prefix for many objects: name one object, such as {url}/backup.zip"),
            )),
            ParsedUrl::Remote { cloud, bucket, prefix: path } => {
                Ok(Self::Object { store: cloud.connect(&bucket, settings, Arc::default())?.store, path, url })
            }
        }
    }
}

/// What the text of an archive's URL says. Pure.
#[derive(Debug, PartialEq, Eq)]
enum ParsedUrl {
    Remote { cloud: Cloud, bucket: String, prefix: Path },
    Local(PathBuf),
}

/// Whose object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cloud {
    S3,
    Gcs,
    Azure,
}

impl Cloud {
    fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
        }
    }

    /// The settings of which the first one that is set says at whose door the bucket is asked for.
    fn endpoints(self) -> &'static [&'static str] {
        match self {
            Self::S3 => &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"],
            Self::Gcs => &["STORAGE_EMULATOR_HOST"],
            Self::Azure => &[
                "AZURE_STORAGE_CONNECTION_STRING",
                "AZURE_STORAGE_SERVICE_ENDPOINT",
                "AZURE_STORAGE_ACCOUNT_NAME",
                "AZURE_STORAGE_ACCOUNT",
            ],
        }
    }

    fn connect(self, bucket: &str, settings: &Settings, requests: Arc<AtomicU64>) -> Result<Bucket> {
        match self {
            Self::S3 => clouds::s3(bucket, settings, requests),
            Self::Gcs => clouds::gcs(bucket, settings, requests),
            Self::Azure => clouds::azure(bucket, settings, requests),
        }
    }
}

impl Location {
    /// Opens a place that should exist.
    ///
    /// # Errors
    /// Usage, if the text names no place or a setting is missing. Access, if there are no credentials.
    /// NotFound, if it is a folder that does not exist.
    pub fn open(archive: &str, settings: &Settings) -> Result<Self> {
        Self::connect(parse(archive)?, settings, false)
    }

    /// Opens a place; a folder on a local disk is created if missing.
    pub fn create(archive: &str, settings: &Settings) -> Result<Self> {
        Self::connect(parse(archive)?, settings, true)
    }

    /// The place as messages name it; nothing is opened.
    ///
    /// # Errors
    /// Usage, if the text names no place.
    pub fn url_of(archive: &str) -> Result<String> {
        parse(archive).map(|parsed| parsed.to_string())
    }

    /// Opens a place only to look at it: a folder that does not exist is an empty place, and is not created.
    ///
    /// # Errors
    /// As of [`open`](Self::open), but for NotFound.
    pub fn look(archive: &str, settings: &Settings) -> Result<Self> {
        match parse(archive)? {
            ParsedUrl::Local(path) if !path.exists() => Ok(Self {
                store: Arc::new(InMemory::new()),
                url: path.display().to_string(),
                local: Some(path),
                endpoint: None,
                credentials: None,
                requests: Arc::default(),
            }),
            parsed => Self::connect(parsed, settings, false),
        }
    }

    /// Whether one of the two lies in the other, or both are one place.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (&self.local, &other.local) {
            (Some(a), Some(b)) => {
                let (a, b) = (real(a), real(b));
                a.starts_with(&b) || b.starts_with(&a)
            }
            (None, None) => {
                let below =
                    |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
                self.endpoint == other.endpoint && (below(&self.url, &other.url) || below(&other.url, &self.url))
            }
            _ => false,
        }
    }

    /// The store; its root is the archive's prefix.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The place as messages name it: an URL without settings, or an absolute path.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the store's credentials come from, in words, such as "the key of `AWS_ACCESS_KEY_ID`"; None of a folder.
    pub fn credentials(&self) -> Option<&str> {
        self.credentials.as_deref()
    }

    /// Requests that were made of the store so far, repeated ones and those for credentials included; None of a folder.
    pub fn requests(&self) -> Option<u64> {
        self.local.is_none().then(|| self.requests.load(Ordering::Relaxed))
    }

    /// Removes what killed processes left under way on a local disk in the newest months, and what nobody has touched for
    /// [`STAGING_KEPT`](super::STAGING_KEPT): as every run can afford to. Returns how many files; those that cannot
    /// be removed are told to `monitor`. On other stores unfinished uploads are invisible,
    /// and a lifecycle rule of the bucket removes them.
    ///
    /// # Errors
    /// As the disk says.
    pub fn clean_staging(&self, now: Timestamp, monitor: &dyn Monitor) -> Result<u64> {
        self.clean(Reach::Recent, now, monitor)
    }

    /// The same in all folders of the archive: that takes longer the more files it has.
    ///
    /// # Errors
    /// As the disk says.
    pub fn clean_all_staging(&self, now: Timestamp, monitor: &dyn Monitor) -> Result<u64> {
        self.clean(Reach::All, now, monitor)
    }

    fn clean(&self, reach: Reach, now: Timestamp, monitor: &dyn Monitor) -> Result<u64> {
        match &self.local {
            Some(root) => staging::clean(root, reach, now, monitor),
            None => Ok(0),
        }
    }

    fn connect(parsed: ParsedUrl, settings: &Settings, create: bool) -> Result<Self> {
        let url = parsed.to_string();
        let endpoint = match &parsed {
            ParsedUrl::Remote { cloud, .. } => cloud.endpoints().iter().find_map(|name| settings.get(name)),
            ParsedUrl::Local(_) => None,
        };
        let (endpoint, requests) = (endpoint.map(str::to_owned), Arc::<AtomicU64>::default());
        let mut credentials = None;
        let (store, local) = match parsed {
            ParsedUrl::Local(path) => {
                if create {
                    make_folder(&path).map_err(|e| disk_error(e, &format!("cannot create the folder {url}")))?;
                } else if !path.is_dir() {
                    let what = if path.exists() { "is a file, not a folder" } else { "does not exist" };
                    return Err(Error::not_found(format!("the folder {url} {what}; check the archive's URL")));
                }
                // A write counts once it and the folder that names it are on the disk.
                let disk = LocalFileSystem::new_with_prefix(&path)
                    .map_err(|e| store_error(e, &format!("cannot open {url}")))?;
                (Arc::new(disk.with_fsync(true)) as Arc<dyn ObjectStore>, Some(path))
            }
            ParsedUrl::Remote { cloud, bucket, prefix } => {
                let bucket = cloud.connect(&bucket, settings, Arc::clone(&requests))?;
                credentials = Some(bucket.credentials);
                (below(prefix, bucket.store), None)
            }
        };
        Ok(Self { store, url, local, endpoint, credentials, requests })
    }
}

impl std::fmt::Display for ParsedUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (cloud, bucket, prefix) = match self {
            Self::Local(path) => return write!(f, "{}", path.display()),
            Self::Remote { cloud, bucket, prefix } => (cloud, bucket, prefix),
        };
        write!(f, "{}://{bucket}", cloud.scheme())?;
        if prefix.as_ref().is_empty() { Ok(()) } else { write!(f, "/{prefix}") }
    }
}

fn parse(archive: &str) -> Result<ParsedUrl> {
    let shown = archive.escape_debug();
    if archive.is_empty() {
        return Err(Error::usage("the archive's URL is empty; write for example s3://bucket/prefix or ./archive"));
    }
    let Some((scheme, rest)) = archive.split_once("://") else {
        // A folder of that name is never meant.
        return match mistyped(archive) {
            Some(meant) => Err(Error::usage(format!(
                "`{shown}` is not a URL; did you mean {meant}? For a folder of that name, write ./{shown}"
            ))),
            None => local(FilePath::new(archive)),
        };
    };
    if scheme == "file" {
        let path = url::Url::parse(archive).ok().and_then(|u| u.to_file_path().ok());
        let path = path.ok_or_else(|| Error::usage(format!("`{shown}` does not name a folder; write file:///path")))?;
        return local(&path);
    }
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let (bucket, prefix) = (bucket.to_owned(), prefix.trim_end_matches('/'));
    let prefix = Path::parse(prefix)
        .map_err(|e| Error::usage(format!("`{shown}` has a prefix that no store can hold")).with_source(e))?;
    let Some(cloud) = [Cloud::S3, Cloud::Gcs, Cloud::Azure].into_iter().find(|cloud| cloud.scheme() == scheme) else {
        let meant = known_elsewhere(archive).map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
        return Err(Error::usage(format!(
            "`{shown}` is not a supported location: use s3://bucket/prefix, gs://bucket/prefix, \
             az://container/prefix, file:///path or a path{meant}"
        )));
    };
    if bucket.is_empty() || bucket.contains(['@', '?', '#', ':', '=']) {
        return Err(Error::usage(format!("`{shown}` has no bucket name; write {scheme}://bucket/prefix")));
    }
    Ok(ParsedUrl::Remote { cloud, bucket, prefix })
}

/// What is meant by `s3:/bucket`, `s3:bucket` and `s3//bucket`.
fn mistyped(archive: &str) -> Option<String> {
    ["s3", "gs", "az", "file"].into_iter().find_map(|scheme| {
        let rest = archive.strip_prefix(scheme)?;
        let rest = rest.strip_prefix(':').or_else(|| rest.strip_prefix("//"))?.trim_start_matches('/');
        let slashes = if scheme == "file" { "///" } else { "//" };
        Some(format!("{scheme}:{slashes}{}", rest.escape_debug()))
    })
}

/// What is meant by the schemes of Hadoop, and by the web addresses of the clouds' stores.
fn known_elsewhere(archive: &str) -> Option<String> {
    let url = url::Url::parse(archive).ok()?;
    let (host, path) = (url.host_str()?, url.path().trim_start_matches('/'));
    let (scheme, bucket) = match url.scheme() {
        "s3a" | "s3n" => ("s3", host),
        "gcs" => ("gs", host),
        "abfs" | "abfss" | "wasb" | "wasbs" => ("az", url.username()),
        "https" if host == "storage.googleapis.com" => ("gs", ""),
        "https" if host.ends_with(".blob.core.windows.net") => ("az", ""),
        "https" if host.ends_with(".amazonaws.com") => ("s3", host.split_once(".s3").map_or("", |(bucket, _)| bucket)),
        _ => return None,
    };
    let slash = if bucket.is_empty() || path.is_empty() { "" } else { "/" };
    Some(format!("{scheme}://{}", format!("{bucket}{slash}{path}").escape_debug()))
}

/// The path without links, as far as it exists.
fn real(path: &FilePath) -> PathBuf {
    let there = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    let Some((above, real)) = there else { return path.to_owned() };
    path.strip_prefix(above).map_or_else(|_| path.to_owned(), |rest| real.join(rest))
}

fn local(path: &FilePath) -> Result<ParsedUrl> {
    let path = std::path::absolute(path).map_err(|e| disk_error(e, "cannot determine the current folder"))?;
    Ok(ParsedUrl::Local(path))
}

/// Refuses a place below a segment `key=value`: readers of the folder would take it for a partition and add a column that
/// hides, or is hidden by, the user's own.
pub(crate) fn refuse_partition_keys(url: &str) -> Result<()> {
    match url.split(['/', '\\']).find(|s| s.split_once('=').is_some_and(|(key, _)| !key.is_empty())) {
        None => Ok(()),
        Some(segment) => Err(Error::usage(format!(
            "an archive cannot be created at {url}: query engines would read `{}` as a column; choose a location \
             without `=`",
            segment.escape_debug()
        ))),
    }
}

fn below(prefix: Path, store: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
    if prefix.as_ref().is_empty() { store } else { Arc::new(PrefixStore::new(store, prefix)) }
}

/// Creates the folder and those above it, and makes their names durable.
fn make_folder(path: &FilePath) -> std::io::Result<()> {
    let there = path.ancestors().take_while(|a| !a.exists()).count();
    std::fs::create_dir_all(path)?;
    // A folder is on the disk once the one that names it is.
    #[cfg(unix)]
    for parent in path.ancestors().skip(1).take(there) {
        std::fs::File::open(parent)?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = there;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn urls_are_read_as_people_write_them() {
        for (text, shown) in [
            ("s3://lake/convex/shop", "s3://lake/convex/shop"),
            ("s3://lake/convex/shop/", "s3://lake/convex/shop"),
            ("s3://lake", "s3://lake"),
            ("gs://lake/a", "gs://lake/a"),
            ("az://box/a", "az://box/a"),
            ("/srv/archive", "/srv/archive"),
            ("file:///srv/an%20archive", "/srv/an archive"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), shown, "{text}");
        }
        assert!(matches!(parse("archive").unwrap(), ParsedUrl::Local(p) if p.is_absolute()));
    }

    #[test]
    fn an_url_that_names_no_place_is_a_usage_error_that_says_what_to_write() {
        for text in [
            "",
            "s3://",
            "s3:///prefix",
            "ftp://host/x",
            "http://host/x",
            "s3://a/b//c",
            "s3://key@a/b",
            "s3:/bucket/a",
            "s3:bucket",
            "gs//bucket/a",
            "file:/srv/a",
            "file://host/x",
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{text}");
            assert!(
                ["write ", "use s3://", "prefix", "did you mean "]
                    .iter()
                    .any(|advice| error.to_string().contains(advice)),
                "{error}"
            );
        }
    }

    #[test]
    fn the_place_of_one_file_is_a_path_or_an_object_and_never_a_whole_bucket_or_folder_of_a_store() {
        let settings: Settings = [("AWS_REGION", "x"), ("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .collect();
        let place = |text| FilePlace::open(text, &settings);
        match place("s3://lake/backups/a.zip").unwrap() {
            FilePlace::Object { path, url, .. } => {
                assert_eq!((path.as_ref(), url.as_str()), ("backups/a.zip", "s3://lake/backups/a.zip"));
            }
            FilePlace::Disk(path) => panic!("{path:?}"),
        }
        assert!(
            matches!(place("file:///srv/a%20b.zip").unwrap(), FilePlace::Disk(path) if path == FilePath::new("/srv/a b.zip"))
        );
        for text in ["s3://lake", "s3://lake/", "s3://lake/backups/", "ftp://x/a.zip", ""] {
            assert_eq!(place(text).unwrap_err().kind(), ErrorKind::Usage, "{text}");
        }
    }

    #[test]
    fn an_archive_is_not_created_below_a_partition_key() {
        for (url, fine) in
            [("s3://lake/app=shop/x", false), ("/srv/a=b", false), ("s3://lake/shop", true), ("s3://lake/=x", true)]
        {
            assert_eq!(refuse_partition_keys(url).is_ok(), fine, "{url}");
        }
    }

    #[test]
    fn places_overlap_where_one_lies_in_the_other_and_not_behind_another_door() {
        let with = |endpoint: &str| -> Settings {
            let keys = [("AWS_REGION", "x"), ("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")];
            keys.into_iter().chain([("AWS_ENDPOINT_URL", endpoint)]).collect()
        };
        let at = |url: &str, endpoint: &str| Location::look(url, &with(endpoint)).unwrap();
        let first = at("s3://lake/a", "");
        for (url, endpoint, expected) in [
            ("s3://lake/a", "", true),
            ("s3://lake/a/b", "", true),
            ("s3://lake", "", true),
            ("s3://lake/ab", "", false),
            ("s3://other/a", "", false),
            ("s3://lake/a", "http://127.0.0.1:9000", false),
            ("/lake/a", "", false),
        ] {
            let second = at(url, endpoint);
            assert_eq!((first.overlaps(&second), second.overlaps(&first)), (expected, expected), "{url} {endpoint}");
        }
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a");
        std::fs::create_dir(&folder).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(&folder, dir.path().join("link")).unwrap();
        let at = |name: &str| at(dir.path().join(name).to_str().unwrap(), "");
        let names = [("a", true), ("a/b/c", true), ("ab", false), ("", true), ("link/b", cfg!(unix))];
        for (name, expected) in names {
            assert_eq!(at("a").overlaps(&at(name)), expected, "{name}");
            assert!(!dir.path().join("ab").exists(), "looking creates nothing");
        }
    }

    #[test]
    fn a_missing_folder_is_created_for_writers_and_not_found_for_readers() {
        let none = Settings::default();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let text = path.to_str().unwrap();
        assert_eq!(Location::open(text, &none).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(Location::create(text, &none).unwrap().url(), text);
        assert!(Location::open(text, &none).is_ok());
        std::fs::write(dir.path().join("file"), "").unwrap();
        for occupied in ["file", "file/x"] {
            let error = Location::create(dir.path().join(occupied).to_str().unwrap(), &none).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        }
    }
}
