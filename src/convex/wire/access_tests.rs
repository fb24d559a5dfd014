use std::{fmt::Write as _, net::SocketAddr};

use axum::{Router, http::StatusCode, routing::post};

use super::*;
use crate::{error::ErrorKind, monitor::NoMonitor};

const SECRET: &str = "eyJ2MiI6IjEyMzQ1Njc4OTAifQ==";

fn key(front: &str) -> String {
    format!("{front}|{SECRET}")
}

#[expect(clippy::unnecessary_wraps, reason = "fields of AccessOptions are optional")]
fn text(value: impl Into<String>) -> Option<String> {
    Some(value.into())
}

async fn resolve(options: &AccessOptions) -> Result<Access> {
    options.resolve(Arc::new(NoMonitor)).await
}

/// Everything that could be printed of an error.
fn whole(error: &Error) -> String {
    let mut all = format!("{error}\n{error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let _ = write!(all, "\n{inner}\n{inner:?}");
        cause = inner.source();
    }
    all
}

/// A fake of Convex's own API that answers `status` and `body`.
async fn convex_api(status: u16, body: &'static str) -> SocketAddr {
    let answer = move |sent: String| async move {
        let sent: serde_json::Value = serde_json::from_str(&sent).unwrap();
        assert_eq!(sent, serde_json::json!({ "deployKey": key("prod:happy-otter-123") }));
        (StatusCode::from_u16(status).unwrap(), body)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route(URL_FOR_KEY, post(answer));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

#[tokio::test]
async fn takes_flags_before_the_self_hosted_pair_before_the_cloud_pair() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, format!("{}\r\n\n", key("flag-1"))).unwrap();
    let mut options = AccessOptions {
        deployment: text("https://flag-1.convex.cloud"),
        deploy_key_file: Some(file),
        ..AccessOptions::default()
    }
    .with_environment(|name| {
        let value = match name {
            "CONVEX_SELF_HOSTED_URL" => "http://127.0.0.1:3210/".to_owned(),
            "CONVEX_SELF_HOSTED_ADMIN_KEY" => key("hosted-1"),
            "CONVEX_URL" => "https://cloud-1.eu-west-1.convex.cloud".to_owned(),
            "CONVEX_DEPLOY_KEY" => key("dev:cloud-1"),
            other => panic!("{other}"),
        };
        Some(value.into())
    })
    .unwrap();
    assert_eq!(resolve(&options).await.unwrap().identity().to_string(), "flag-1 (https://flag-1.convex.cloud)");
    (options.deployment, options.deploy_key_file) = (text(""), None);
    assert_eq!(resolve(&options).await.unwrap().identity().to_string(), "hosted-1 (http://127.0.0.1:3210)");
    (options.self_hosted_url, options.self_hosted_admin_key) = (None, text("  "));
    let access = resolve(&options).await.unwrap();
    assert_eq!(access.identity().to_string(), "cloud-1 (https://cloud-1.eu-west-1.convex.cloud)");
    assert_eq!(access.url("/api/x").as_str(), "https://cloud-1.eu-west-1.convex.cloud/api/x");
    options.deployment = text("https://cloud-1.convex.cloud/");
    assert_eq!(resolve(&options).await.unwrap().url("/api/x").as_str(), "https://cloud-1.convex.cloud/api/x");
    let below = Access::new("https://example.org/convex/", DeployKey::new("token").unwrap(), false).unwrap();
    assert_eq!(below.url("/api/x").as_str(), "https://example.org/convex/api/x");
    assert_eq!(below.identity().to_string(), "https://example.org");
}

#[tokio::test]
async fn says_which_half_is_missing_and_never_shows_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, broken) = (folder.path().join("empty"), folder.path().join("broken"));
    std::fs::write(&empty, "\n").unwrap();
    std::fs::write(&broken, [0xff, b'|', 0xfe]).unwrap();
    let default = AccessOptions::default;
    let file = |path: &std::path::Path| AccessOptions {
        deployment: text("https://a.convex.cloud"),
        deploy_key_file: Some(path.to_owned()),
        ..default()
    };
    let at = |url: &str| AccessOptions { url: text(url), deploy_key: text(key("dev:otter-1")), ..default() };
    let cases = [
        (default(), "Give --deployment URL"),
        (AccessOptions { url: text("https://a.convex.cloud"), ..default() }, "set CONVEX_DEPLOY_KEY"),
        (AccessOptions { deployment: text("https://a.convex.cloud"), ..default() }, "--deployment needs a key"),
        (
            AccessOptions { self_hosted_url: text("http://127.0.0.1"), ..default() },
            "CONVEX_SELF_HOSTED_ADMIN_KEY is needed",
        ),
        (AccessOptions { self_hosted_admin_key: text(key("a")), ..default() }, "CONVEX_SELF_HOSTED_URL is needed"),
        (
            AccessOptions {
                deployment: text("https://a.convex.cloud"),
                self_hosted_admin_key: text(key("a")),
                deploy_key: text(key("prod:a")),
                ..default()
            },
            "both set",
        ),
        (
            AccessOptions { deploy_key: text(key("preview:team:project")), ..default() },
            "the deployment's URL cannot be derived from this deploy key",
        ),
        (
            AccessOptions { deploy_key: text(key("project:team:project")), ..default() },
            "the deployment's URL cannot be derived from this deploy key",
        ),
        (
            AccessOptions { deploy_key: text(key("self-hosted")), ..default() },
            "the deployment's URL cannot be derived from this deploy key",
        ),
        (
            AccessOptions { deploy_key: text(format!("prod:a|{SECRET} {SECRET}")), ..at("https://a.b") },
            "CONVEX_DEPLOY_KEY: the deploy key contains",
        ),
        (file(&folder.path().join("none")), "none: cannot read the file (No such file"),
        (file(folder.path()), "it is not a regular file"),
        (file(&empty), "the deploy key is empty"),
        (file(&broken), "the file is not text"),
        (at("https://badger-2.convex.cloud"), "deployment badger-2, but the deploy key is for otter-1"),
        (at("https://badger-2.eu-west-1.convex.cloud"), "deployment badger-2, but"),
        (at("https://badger-2.convex.cloud."), "deployment badger-2, but"),
        (at("https://otter-1.convex.site./"), "ends with .convex.cloud"),
        (
            at("otter-1.convex.cloud"),
            "CONVEX_URL: `otter-1.convex.cloud` lacks its scheme: did you mean https://otter-1",
        ),
        (at("localhost:3210"), "did you mean http://localhost:3210?"),
        (at("http://example.org"), "--allow-http"),
        (at("http://127.0.0.1.example.org"), "--allow-http"),
        (at("ftp://example.org"), "not ftp://"),
        (at("https://"), "is not a URL"),
        (at("https://otter-1.convex.site"), "ends with .convex.cloud"),
        (at("https://dashboard.convex.dev/d/happy-otter-123?x=1"), "https://happy-otter-123.convex.cloud"),
        (at("https://dashboard.convex.dev/t/team/project"), "https://NAME.convex.cloud"),
        (at("https://example.org/?adminKey=x"), "after `?`"),
        (at(&format!("https://x:{SECRET}@example.org")), "user name or password"),
        (at(&key("dev:otter-1")), "looks like a deploy key"),
    ];
    for (options, expected) in cases {
        let error = resolve(&options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(error.to_string().contains(expected), "{error}\n{expected}");
        assert!(!whole(&error).contains(SECRET), "{error}");
        assert!(!format!("{options:?}").contains(SECRET));
    }
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_named_and_does_not_count_as_absent() {
    use std::os::unix::ffi::OsStringExt;
    for broken in ["CONVEX_SELF_HOSTED_URL", "CONVEX_SELF_HOSTED_ADMIN_KEY", "CONVEX_URL", "CONVEX_DEPLOY_KEY"] {
        let get = |name: &str| (name == broken).then(|| OsString::from_vec(vec![b'k', 0xff]));
        let error = AccessOptions::default().with_environment(get).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().contains(broken), "{error}");
    }
}

#[test]
fn a_dot_behind_the_host_is_the_same_deployment() {
    let identity = |url| Access::new(url, DeployKey::new(&key("otter-1")).unwrap(), false).unwrap().identity();
    assert_eq!(identity("https://otter-1.convex.cloud.:443/"), identity("https://otter-1.convex.cloud"));
    assert_eq!(identity("http://localhost.:3210"), identity("http://localhost:3210"));
}

#[tokio::test]
async fn plain_http_is_for_this_machine_unless_allowed() {
    for url in ["http://localhost:3210", "http://127.0.0.2", "http://[::1]:1", "http://a.localhost"] {
        Access::new(url, DeployKey::new("k").unwrap(), false).unwrap();
    }
    Access::new("http://backend:3210", DeployKey::new("k").unwrap(), true).unwrap();
}

#[tokio::test]
async fn a_cloud_key_alone_asks_convex_for_its_url() {
    let cases = [
        (200, r#""https://happy-otter-123.convex.cloud""#, "https://happy-otter-123.convex.cloud"),
        (200, r#"{"url":"https://db.example.org","more":1}"#, "https://db.example.org"),
    ];
    for (status, body, origin) in cases {
        let api = convex_api(status, body).await;
        let options = AccessOptions {
            deploy_key: text(key("prod:happy-otter-123")),
            convex_api: text(format!("http://{api}")),
            ..AccessOptions::default()
        };
        let identity = resolve(&options).await.unwrap().identity();
        assert_eq!((identity.name.as_deref(), identity.origin.as_str()), (Some("happy-otter-123"), origin));
    }
    let refusals = [
        (
            401,
            r#"{"code":"Nope","message":"Key eyJ2MiI6IjEyMzQ1Njc4OTAifQ== unknown"}"#,
            ErrorKind::Access,
            "401 Nope: Key … unknown",
        ),
        (403, "<html>", ErrorKind::Access, "127.0.0.1 answered 403: an HTML page"),
        (503, "", ErrorKind::Unavailable, "127.0.0.1, which is asked for the URL of a deploy key, is not available"),
        (200, "12", ErrorKind::Protocol, "neither a URL"),
        (200, r#""https://badger-2.convex.cloud""#, ErrorKind::Usage, "the URL that Convex returned"),
        (200, r#""http://happy-otter-123.convex.cloud""#, ErrorKind::Usage, "unencrypted"),
    ];
    for (status, body, kind, expected) in refusals {
        let api = convex_api(status, body).await;
        let options = AccessOptions {
            deploy_key: text(key("prod:happy-otter-123")),
            convex_api: text(format!("http://{api}")),
            retry: RetryPolicy { budget: std::time::Duration::ZERO, ..RetryPolicy::default() },
            ..AccessOptions::default()
        };
        let error = resolve(&options).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!whole(&error).contains(SECRET) && !error.to_string().contains("the deployment"), "{error}");
    }
}

#[test]
fn a_key_shows_nothing_of_itself_and_names_its_deployment() {
    for (front, name) in [
        ("prod:happy-otter-123", Some("happy-otter-123")),
        ("dev:otter-1", Some("otter-1")),
        ("self-hosted", Some("self-hosted")),
        ("preview:team:project", None),
        ("project:team:project", None),
    ] {
        let key = DeployKey::new(&format!(" {}\n", key(front))).unwrap();
        assert_eq!(key.deployment(), name);
        assert_eq!(format!("{key:?}"), "DeployKey(…)");
        assert!(key.header().is_sensitive());
        assert!(!format!("{:?}", key.header()).contains(SECRET));
        assert_eq!(key.header().to_str().unwrap(), format!("Convex {front}|{SECRET}"));
        assert_eq!(key.redact(&format!("a {front}|{SECRET} b {SECRET}")), "a … b …");
    }
}
