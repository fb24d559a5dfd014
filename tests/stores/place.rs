//! Where an archive lies, and what lies there, seen past the library: one table of stores, and what differs between them.

use std::{
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use futures::{StreamExt, TryStreamExt, future::BoxFuture, stream};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::{Deserialize, Serialize};

use crate::tools::{
    azurite::Azurite,
    gcs_fake::{self, GcsFake},
    moto::{Moto, settings_at},
    process::{Settings, apart_under, is_apart},
    trouble::{self, Trouble, What},
};

/// The stores on which the suite runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Store {
    /// A folder of this machine.
    Disk,
    /// S3, a server: moto.
    S3,
    /// S3, the server that the variable [`ANOTHER_S3`] names.
    AnotherS3,
    /// Azure Blob Storage, a server: Azurite.
    Azure,
    /// A fake of Google Cloud Storage.
    GcsFake,
}

/// Whether a story meets its store directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Straight,
    /// Through a server that does what [`Place::trouble`] says; on a disk, without root's right to write everywhere.
    Troubled,
}

/// An empty place of its own: a folder, or a bucket of a server that all stories share.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) store: Store,
    /// The name of the bucket or container; the path of the folder.
    bucket: String,
    /// The server's URL, past all trouble.
    server: String,
    /// What is to be added to each URL.
    signature: String,
    proxy: Option<String>,
}

/// A prefix below a place.
pub(crate) const PREFIX: &str = "lake/convex/shop";

/// The variable that names another S3 server, by its URL: one that takes whatever credentials it is shown.
const ANOTHER_S3: &str = "ANOTHER_S3";

/// The variable by which a story in a process of its own is told its place.
const PLACE: &str = "CONVEX_ARCHIVER_TEST_PLACE";

/// A story, ready to be told on a place.
pub(crate) type Story = fn(Place) -> BoxFuture<'static, ()>;

/// Tells a story on a place of each of the stores at once, each in a process of its own whose environment leads there.
pub(crate) fn tell(stores: &[Store], way: Way, test: &str, story: Story) {
    std::thread::scope(|threads| {
        let told = |store| {
            let begun = Instant::now();
            tell_on(store, way, test, story);
            println!("told on {store:?}, {way:?}, in {:.1} s: {test}", begun.elapsed().as_secs_f64());
        };
        if is_apart(test) {
            // The place says which of them.
            return tell_on(stores[0], way, test, story);
        }
        let threads: Vec<_> = stores.iter().map(|store| threads.spawn(move || told(*store))).collect();
        for thread in threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}

fn tell_on(store: Store, way: Way, test: &str, story: Story) {
    let mut folder = None;
    let settings = || {
        let (mut place, mut settings) = Place::new(store);
        if store == Store::Disk {
            place.bucket = folder.get_or_insert_with(|| tempfile::tempdir().unwrap()).path().display().to_string();
        } else if way == Way::Troubled {
            let proxy = trouble::between(&place.server);
            for value in settings.values_mut() {
                *value = value.replace(&place.server, &proxy);
            }
            place.proxy = Some(proxy);
        }
        settings.insert(PLACE, serde_json::to_string(&place).unwrap());
        settings
    };
    let launcher = || if way == Way::Troubled && store == Store::Disk { without_privileges() } else { Vec::new() };
    apart_under(test, launcher, settings, async {
        let place: Place = serde_json::from_str(&std::env::var(PLACE).unwrap()).unwrap();
        place.make().await;
        story(place).await;
    });
}

/// Starts a process for which the permissions of files count also when it runs as root.
fn without_privileges() -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let root = std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    let words: &[&str] =
        if root { &["setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner"] } else { &[] };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The servers that all tests of this process share; they end with it.
pub(crate) fn moto() -> &'static Moto {
    static SERVER: OnceLock<Moto> = OnceLock::new();
    SERVER.get_or_init(Moto::start)
}

pub(crate) fn azurite() -> &'static Azurite {
    static SERVER: OnceLock<Azurite> = OnceLock::new();
    SERVER.get_or_init(Azurite::start)
}

pub(crate) fn gcs_fake() -> &'static GcsFake {
    static SERVER: OnceLock<GcsFake> = OnceLock::new();
    SERVER.get_or_init(GcsFake::start)
}

impl Place {
    /// A folder that is there.
    pub(crate) fn on_disk(folder: &Path) -> Self {
        let bucket = folder.to_str().unwrap().to_owned();
        Self { store: Store::Disk, bucket, server: String::new(), signature: String::new(), proxy: None }
    }

    fn new(store: Store) -> (Self, Settings) {
        static BUCKETS: AtomicU32 = AtomicU32::new(1);
        let bucket = format!("lake-{}", BUCKETS.fetch_add(1, Ordering::Relaxed));
        let place = Self { store, bucket, server: String::new(), signature: String::new(), proxy: None };
        match store {
            Store::Disk => (place, Settings::new()),
            Store::S3 => {
                let moto = moto();
                (Self { server: moto.url.clone(), ..place }, moto.settings())
            }
            Store::AnotherS3 => {
                let server = std::env::var(ANOTHER_S3).expect("the variable ANOTHER_S3 names no server");
                // A server that lives longer than this process has the buckets of others.
                let bucket = format!("{}-{}", place.bucket, std::process::id());
                let settings = settings_at(&server, "any", "thing");
                (Self { store: Store::S3, server, bucket, ..place }, settings)
            }
            Store::Azure => {
                let azurite = azurite();
                let server = azurite.url.strip_suffix(&format!("/{}", azurite.account)).unwrap().to_owned();
                let bucket = format!("{}/{}", azurite.account, place.bucket);
                (Self { server, bucket, signature: azurite.all.clone(), ..place }, azurite.settings())
            }
            Store::GcsFake => {
                let fake = gcs_fake();
                (Self { server: fake.url.clone(), ..place }, fake.settings(gcs_fake::OWNER))
            }
        }
    }

    async fn make(&self) {
        match self.store {
            Store::Disk => {}
            Store::Azure => drop(self.ask(Method::PUT, "", "restype=container", None).await),
            Store::S3 | Store::AnotherS3 | Store::GcsFake => drop(self.ask(Method::PUT, "", "", None).await),
        }
    }

    /// The URL of `prefix` in it.
    pub(crate) fn url(&self, prefix: &str) -> String {
        match self.store {
            Store::Disk => Path::new(&self.bucket).join(prefix).to_str().unwrap().to_owned(),
            Store::S3 | Store::AnotherS3 => format!("s3://{}/{prefix}", self.bucket),
            Store::Azure => format!("az://{}/{prefix}", self.bucket.split_once('/').unwrap().1),
            Store::GcsFake => format!("gs://{}/{prefix}", self.bucket),
        }
    }

    /// The folder, on a disk.
    pub(crate) fn folder(&self) -> Option<&Path> {
        (self.store == Store::Disk).then_some(Path::new(&self.bucket))
    }

    /// The names of all objects, in order.
    pub(crate) async fn objects(&self) -> Vec<String> {
        let (list, mark, next) = match self.store {
            Store::Disk => return files(Path::new(&self.bucket)),
            Store::Azure => ("restype=container&comp=list", "marker", "NextMarker"),
            Store::S3 | Store::AnotherS3 | Store::GcsFake => {
                ("list-type=2", "continuation-token", "NextContinuationToken")
            }
        };
        let (mut found, mut query) = (Vec::new(), list.to_owned());
        loop {
            let page = self.ask(Method::GET, "", &query, None).await.text().await.unwrap();
            found.extend(texts(&page, if self.store == Store::Azure { "Name" } else { "Key" }));
            match texts(&page, next).into_iter().find(|mark| !mark.is_empty()) {
                Some(at) => {
                    let at: String = url::form_urlencoded::byte_serialize(at.as_bytes()).collect();
                    query = format!("{list}&{mark}={at}");
                }
                None => break found,
            }
        }
    }

    /// The names of objects that somebody began to write and neither completed nor gave up.
    pub(crate) async fn unfinished(&self) -> Vec<String> {
        match self.store {
            Store::Disk => self.objects().await.into_iter().filter(|name| name.contains('#')).collect(),
            Store::Azure => {
                let query = "restype=container&comp=list&include=uncommittedblobs";
                let all = self.ask(Method::GET, "", query, None).await.text().await.unwrap();
                let whole = self.objects().await;
                texts(&all, "Name").into_iter().filter(|name| !whole.contains(name)).collect()
            }
            Store::S3 | Store::AnotherS3 | Store::GcsFake => {
                let uploads = self.ask(Method::GET, "", "uploads", None).await.text().await.unwrap();
                uploads.split("<Upload>").skip(1).flat_map(|upload| texts(upload, "Key")).collect()
            }
        }
    }

    /// In how many parts an object was uploaded; `None` on a disk.
    pub(crate) async fn parts(&self, object: &str) -> Option<usize> {
        if self.store == Store::Azure {
            let blocks = self.ask(Method::GET, object, "comp=blocklist&blocklisttype=committed", None).await;
            return Some(texts(&blocks.text().await.unwrap(), "Size").len());
        }
        let header = |answer: Response, name| answer.headers()[name].to_str().unwrap().trim_matches('"').to_owned();
        match self.store {
            Store::Disk | Store::Azure => None,
            Store::S3 | Store::AnotherS3 => {
                // S3 writes the number of parts behind the tag.
                let tag = header(self.ask(Method::HEAD, object, "", None).await, "etag");
                Some(tag.split_once('-').map_or(1, |(_, parts)| parts.parse().unwrap()))
            }
            Store::GcsFake => {
                Some(header(self.ask(Method::HEAD, object, "", None).await, "x-fake-parts").parse().unwrap())
            }
        }
    }

    /// The bytes of an object.
    pub(crate) async fn read(&self, object: &str) -> Vec<u8> {
        match self.folder() {
            Some(folder) => std::fs::read(folder.join(object)).unwrap(),
            None => self.ask(Method::GET, object, "", None).await.bytes().await.unwrap().to_vec(),
        }
    }

    /// Writes objects past the library.
    pub(crate) async fn write_all(&self, objects: Vec<(String, Vec<u8>)>) {
        let writes = objects.into_iter().map(|(name, bytes)| async move {
            if let Some(folder) = self.folder() {
                let path = folder.join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            } else {
                self.ask(Method::PUT, &name, "", Some(bytes)).await;
            }
        });
        stream::iter(writes).buffer_unordered(8).collect::<()>().await;
    }

    /// Removes an object past the library.
    pub(crate) async fn remove(&self, object: &str) {
        match self.folder() {
            Some(folder) => std::fs::remove_file(folder.join(object)).unwrap(),
            None => drop(self.ask(Method::DELETE, object, "", None).await),
        }
    }

    /// What readers that begin with the manifest look at below `prefix`, copied to a folder: all but the commits.
    pub(crate) async fn copied(&self, prefix: &str) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let log = format!("{prefix}log/");
        let commit = |name: &str| name.starts_with(&log) && !name.contains(".schemas.");
        let objects = self.objects().await.into_iter().filter(|name| name.starts_with(&prefix) && !commit(name));
        let copies = objects.map(|name| {
            let path = copy.path().join(&name[prefix.len()..]);
            async move {
                std::fs::create_dir_all(path.parent().unwrap())?;
                std::fs::write(path, self.read(&name).await)
            }
        });
        stream::iter(copies).buffer_unordered(8).try_collect::<()>().await.unwrap();
        copy
    }

    async fn ask(&self, method: Method, object: &str, query: &str, body: Option<Vec<u8>>) -> Response {
        static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
        // No connection twice: a server may close one just when it is used again.
        let fresh = || reqwest::Client::builder().no_gzip().pool_max_idle_per_host(0).build().unwrap();
        let client = CLIENT.get_or_init(fresh);
        let object: PathBuf = [self.bucket.as_str(), object].iter().filter(|part| !part.is_empty()).collect();
        let query: Vec<&str> = [query, &self.signature].into_iter().filter(|part| !part.is_empty()).collect();
        let object = object.display().to_string().replace('#', "%23");
        let url = format!("{}/{object}?{}", self.server, query.join("&"));
        let mut request: RequestBuilder = client.request(method.clone(), &url);
        request = match self.store {
            Store::GcsFake => request.bearer_auth(gcs_fake::OWNER),
            // It asks for some signature, and does not look at it.
            Store::S3 | Store::AnotherS3 => request.header("authorization", "AWS any:thing"),
            Store::Disk | Store::Azure => request,
        };
        if self.store == Store::Azure && method == Method::PUT {
            request = request.header("x-ms-blob-type", "BlockBlob");
        }
        if method == Method::PUT {
            request = request.body(body.unwrap_or_default());
        }
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success() || answer.status() == StatusCode::NOT_FOUND, "{url}: {answer:?}");
        answer
    }

    // Trouble.

    /// From now on. The trouble before ends.
    pub(crate) async fn trouble(&self, trouble: Trouble) {
        trouble::tell(self.proxy.as_ref().unwrap(), &trouble).await;
    }

    /// No trouble any more. Answers how many requests it has hit.
    pub(crate) async fn calm(&self) -> u32 {
        let hit = trouble::hit(self.proxy.as_ref().unwrap()).await;
        self.trouble(Trouble::default()).await;
        hit
    }

    /// The permission to write is lost, or comes back.
    pub(crate) async fn permit(&self, writing: bool) {
        let Some(folder) = self.folder() else {
            let what = if writing { What::Pass } else { What::Refuse(403, self.error("denied")) };
            return self.trouble(Trouble { method: "PUT".into(), what, ..Trouble::default() }).await;
        };
        for folder in folders(folder) {
            use std::os::unix::fs::PermissionsExt;
            let mode = if writing { 0o755 } else { 0o555 };
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).unwrap();
        }
    }

    /// Asking for fewer requests, as this store does.
    pub(crate) fn busy(&self) -> What {
        What::Refuse(503, self.error("busy"))
    }

    fn error(&self, what: &str) -> String {
        let code = match (what, self.store) {
            ("busy", Store::Azure) => "ServerBusy",
            ("busy", _) => "SlowDown",
            (_, Store::Azure) => "AuthorizationPermissionMismatch",
            _ => "AccessDenied",
        };
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>Trouble.</Message></Error>"#
        )
    }
}

/// The texts of an element of XML.
fn texts(xml: &str, element: &str) -> Vec<String> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let found = xml.split(&open).skip(1).map(|rest| rest.split(&close).next().unwrap());
    found.map(|text| text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")).collect()
}

/// The files below a folder, by their paths from there.
fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for folder in folders(root) {
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            if !entry.file_type().unwrap().is_dir() {
                found.push(entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// A folder and all below it.
fn folders(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut at) = (vec![root.to_owned()], 0);
    while at < found.len() {
        for entry in std::fs::read_dir(&found[at]).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                found.push(entry.path());
            }
        }
        at += 1;
    }
    found
}
