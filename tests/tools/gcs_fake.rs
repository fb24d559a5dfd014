//! A FAKE of Google Cloud Storage, not a server that Google or anybody else offers: of its XML API as much as an archive
//! needs, written from the API's documentation. It stands in because no emulator knows both `x-goog-if-generation-match`
//! and uploads in parts there. What it shows is that our requests are of that API and that we read its answers right;
//! that the real service keeps its own promises is shown by nothing here.
//!
//! Like the real one it insists on: a bearer token and what that may do; parts of at least 5 MiB but for the last; lists of
//! at most a thousand; and that an object is overwritten at most once a second.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::any,
};

use super::process::{Settings, serve};

/// Tokens: what their names say.
pub(crate) const OWNER: &str = "owner";
pub(crate) const NO_DELETES: &str = "no-deletes";
pub(crate) const READER: &str = "reader";

const SMALLEST_PART: usize = 5 << 20;
const LISTED: usize = 1000;
const OVERWRITE_PAUSE: Duration = Duration::from_secs(1);

/// A fake, served until this process ends.
pub(crate) struct GcsFake {
    pub(crate) url: String,
}

impl GcsFake {
    pub(crate) fn start() -> Self {
        let routes = Router::new()
            .route("/{bucket}", any(of_bucket))
            .route("/{bucket}/{*object}", any(of_object))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::default());
        Self { url: serve(routes) }
    }

    /// The environment variables that lead to it, with one of the tokens.
    pub(crate) fn settings(&self, token: &str) -> Settings {
        Settings::from([("STORAGE_EMULATOR_HOST", self.url.clone()), ("GOOGLE_BEARER_TOKEN", token.to_owned())])
    }
}

type Shared = Arc<Mutex<Buckets>>;
type Buckets = HashMap<String, Bucket>;
type Answer = Result<Response, Refused>;

#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
    generation: u64,
}

struct Object {
    bytes: Bytes,
    generation: u64,
    parts: usize,
    written: Instant,
    modified: String,
}

#[derive(Default)]
struct Upload {
    object: String,
    parts: BTreeMap<u32, Bytes>,
}

/// An error as the API spells it: status and code.
struct Refused(u16, &'static str);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = format!("<Error><Code>{}</Code><Message>The fake says no.</Message></Error>", self.1);
        (StatusCode::from_u16(self.0).unwrap(), xml(body)).into_response()
    }
}

fn xml(body: String) -> Response {
    ([(header::CONTENT_TYPE, "application/xml")], format!("<?xml version='1.0' encoding='UTF-8'?>{body}"))
        .into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn check_token(headers: &HeaderMap, method: &Method) -> Result<(), Refused> {
    let said = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    match said.strip_prefix("Bearer ").unwrap_or_default() {
        OWNER => Ok(()),
        NO_DELETES if *method != Method::DELETE => Ok(()),
        READER if *method == Method::GET || *method == Method::HEAD => Ok(()),
        NO_DELETES | READER => Err(Refused(403, "AccessDenied")),
        _ => Err(Refused(401, "AuthenticationRequired")),
    }
}

type Asked = Query<HashMap<String, String>>;

async fn of_bucket(
    State(buckets): State<Shared>,
    Path(name): Path<String>,
    Query(query): Asked,
    method: Method,
    headers: HeaderMap,
) -> Answer {
    check_token(&headers, &method)?;
    let mut buckets = buckets.lock().unwrap();
    if method == Method::PUT {
        buckets.entry(name).or_default();
        return Ok(StatusCode::OK.into_response());
    }
    let bucket = buckets.get(&name).ok_or(Refused(404, "NoSuchBucket"))?;
    Ok(if query.contains_key("uploads") { bucket.unfinished() } else { bucket.list(&query) })
}

async fn of_object(
    State(buckets): State<Shared>,
    Path((bucket, name)): Path<(String, String)>,
    Query(query): Asked,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    check_token(&headers, &method)?;
    let mut buckets = buckets.lock().unwrap();
    let bucket = buckets.get_mut(&bucket).ok_or(Refused(404, "NoSuchBucket"))?;
    let upload = query.get("uploadId");
    match (method.as_str(), upload, query.get("partNumber")) {
        ("POST", None, _) if query.contains_key("uploads") => Ok(bucket.begin(&name)),
        ("PUT", Some(upload), Some(part)) => bucket.part(upload, part, body),
        ("POST", Some(upload), _) => bucket.complete(upload, &String::from_utf8_lossy(&body)),
        ("DELETE", Some(upload), _) => {
            bucket.uploads.remove(upload).ok_or(Refused(404, "NoSuchUpload"))?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        ("PUT", None, None) => bucket.put(name, body, headers.get("x-goog-if-generation-match")),
        ("GET" | "HEAD", None, None) => {
            let object = bucket.objects.get(&name).ok_or(Refused(404, "NoSuchKey"))?;
            object.read(headers.get(header::RANGE).and_then(|v| v.to_str().ok()), method == Method::HEAD)
        }
        ("DELETE", None, None) => {
            bucket.objects.remove(&name).ok_or(Refused(404, "NoSuchKey"))?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        _ => Err(Refused(400, "InvalidArgument")),
    }
}

impl Bucket {
    /// Makes an object appear. `condition` is the generation that must be there, 0 for none.
    fn put(&mut self, name: String, bytes: Bytes, condition: Option<&header::HeaderValue>) -> Answer {
        let there = self.objects.get(&name);
        if let Some(condition) = condition {
            let generation = there.map_or(0, |object| object.generation);
            if condition.to_str().ok().and_then(|c| c.parse().ok()) != Some(generation) {
                return Err(Refused(412, "PreconditionFailed"));
            }
        }
        if there.is_some_and(|object| object.written.elapsed() < OVERWRITE_PAUSE) {
            return Err(Refused(429, "SlowDown"));
        }
        let object = self.store(name, bytes, 1);
        Ok((StatusCode::OK, object.headers()).into_response())
    }

    fn store(&mut self, name: String, bytes: Bytes, parts: usize) -> &Object {
        self.generation += 1;
        let modified = convex_archiver::Timestamp::now().to_datetime().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let object = Object { bytes, generation: self.generation, parts, written: Instant::now(), modified };
        self.objects.insert(name.clone(), object);
        &self.objects[&name]
    }

    fn begin(&mut self, name: &str) -> Response {
        self.generation += 1;
        let id = format!("upload-{}", self.generation);
        self.uploads.insert(id.clone(), Upload { object: name.to_owned(), ..Upload::default() });
        xml(format!(
            "<InitiateMultipartUploadResult><Key>{}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>",
            escaped(name)
        ))
    }

    fn part(&mut self, upload: &str, number: &str, bytes: Bytes) -> Answer {
        let upload = self.uploads.get_mut(upload).ok_or(Refused(404, "NoSuchUpload"))?;
        let number = number.parse().map_err(|_| Refused(400, "InvalidArgument"))?;
        let tag = part_tag(number, &bytes);
        upload.parts.insert(number, bytes);
        Ok((StatusCode::OK, [(header::ETAG, tag)]).into_response())
    }

    fn complete(&mut self, id: &str, wanted: &str) -> Answer {
        let upload = self.uploads.get(id).ok_or(Refused(404, "NoSuchUpload"))?;
        let tags: Vec<String> = upload.parts.iter().map(|(number, bytes)| part_tag(*number, bytes)).collect();
        let said: Vec<&str> =
            wanted.split("<ETag>").skip(1).filter_map(|rest| Some(rest.split_once("</ETag>")?.0)).collect();
        if said != tags {
            return Err(Refused(400, "InvalidPart"));
        }
        let short = upload.parts.values().rev().skip(1).any(|bytes| bytes.len() < SMALLEST_PART);
        if short {
            return Err(Refused(400, "EntityTooSmall"));
        }
        let Some(upload) = self.uploads.remove(id) else { return Err(Refused(404, "NoSuchUpload")) };
        let bytes: Vec<u8> = upload.parts.values().flatten().copied().collect();
        let (name, parts) = (upload.object, upload.parts.len());
        let object = self.store(name.clone(), bytes.into(), parts);
        let body = format!(
            "<CompleteMultipartUploadResult><Key>{}</Key><ETag>{}</ETag></CompleteMultipartUploadResult>",
            escaped(&name),
            object.tag()
        );
        Ok((object.headers(), xml(body)).into_response())
    }

    fn list(&self, query: &HashMap<String, String>) -> Response {
        let of = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
        let most = of("max-keys").parse().unwrap_or(LISTED).min(LISTED);
        let (prefix, after) = (of("prefix"), of("start-after").max(of("continuation-token")));
        let mut left = self.objects.iter().filter(|(name, _)| name.starts_with(prefix) && name.as_str() > after);
        let page: Vec<_> = left.by_ref().take(most).collect();
        let more = left.next().is_some();
        let mut body = format!("<ListBucketResult><IsTruncated>{more}</IsTruncated>");
        if let (true, Some((last, _))) = (more, page.last()) {
            body.extend(["<NextContinuationToken>", &escaped(last), "</NextContinuationToken>"]);
        }
        let contents = page.into_iter().map(|(name, object)| {
            let modified = chrono::DateTime::parse_from_rfc2822(&object.modified).unwrap().to_rfc3339();
            let (name, tag, size) = (escaped(name), object.tag(), object.bytes.len());
            format!(
                "<Contents><Key>{name}</Key><LastModified>{modified}</LastModified><ETag>{tag}</ETag><Size>{size}</Size></Contents>"
            )
        });
        body.extend(contents);
        xml(body + "</ListBucketResult>")
    }

    fn unfinished(&self) -> Response {
        let uploads = self.uploads.values();
        let uploads: String = uploads.map(|u| format!("<Upload><Key>{}</Key></Upload>", escaped(&u.object))).collect();
        xml(format!("<ListMultipartUploadsResult>{uploads}</ListMultipartUploadsResult>"))
    }
}

fn part_tag(number: u32, bytes: &Bytes) -> String {
    format!("\"{number}-{}\"", bytes.len())
}

impl Object {
    fn tag(&self) -> String {
        format!("\"{}\"", self.generation)
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut say = |name: &'static str, value: String| headers.insert(name, value.parse().unwrap());
        say("etag", self.tag());
        say("last-modified", self.modified.clone());
        say("x-goog-generation", self.generation.to_string());
        // Only the fake tells this.
        say("x-fake-parts", self.parts.to_string());
        headers
    }

    fn read(&self, range: Option<&str>, head: bool) -> Answer {
        let size = self.bytes.len();
        let Some(range) = range else {
            let length = [(header::CONTENT_LENGTH, size.to_string())];
            let bytes = if head { Bytes::new() } else { self.bytes.clone() };
            return Ok((self.headers(), length, bytes).into_response());
        };
        let (from, to) = range.strip_prefix("bytes=").and_then(|r| r.split_once('-')).unwrap_or_default();
        let number = |text: &str| text.parse::<usize>().ok();
        let (from, to) = match (number(from), number(to)) {
            (Some(from), to) => (from, to.map_or(size, |to| (to + 1).min(size))),
            (None, Some(last)) => (size.saturating_sub(last), size),
            (None, None) => (size, size),
        };
        if from >= to {
            return Err(Refused(416, "InvalidRange"));
        }
        let said = [(header::CONTENT_RANGE, format!("bytes {from}-{}/{size}", to - 1))];
        Ok((StatusCode::PARTIAL_CONTENT, self.headers(), said, self.bytes.slice(from..to)).into_response())
    }
}
