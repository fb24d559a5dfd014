//! Stores that cannot hold an archive, or do not let us: what is said, and how soon.

use std::{
    sync::{Mutex, Once, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use convex_archiver::{Error, ErrorKind, sync::SyncOptions};

use crate::{
    place::{azurite, gcs_fake, moto},
    tools::{
        azurite::make_container,
        gcs_fake::{NO_DELETES, OWNER, READER},
        moto::{Moto, make_bucket_at},
        process::{Settings, apart, background, is_apart, test_name},
        rclone::Rclone,
        s3rver::S3rver,
        trouble::{self, Trouble, What},
        world::World,
    },
};

/// A key in base64, as Azure has them.
const SECRET: &str = "c2VjcmV0";

const PLACE: &str = "s3://lake/convex/shop";

async fn refused(place: &str) -> Error {
    World::start(3, 3).await.sync(place, &SyncOptions::default()).await.unwrap_err()
}

fn assert_says(error: &Error, kind: ErrorKind, words: &[&str]) {
    assert_eq!(error.kind(), kind, "{error:?}");
    for word in words {
        assert!(error.to_string().contains(word), "`{word}` in {error}");
    }
}

/// A place, how it is found, and what is said of it.
type Case = (&'static str, fn() -> Settings, &'static [&'static str]);

const CASE: &str = "CONVEX_ARCHIVER_TEST_CASE";

/// Each is refused within a minute, with an error of the kind that says the words.
fn each_is_refused(test: &str, kind: ErrorKind, cases: &[Case]) {
    let tell = |n: usize| {
        let (place, settings, words) = cases[n];
        let settings = || but(settings(), &[(CASE, &n.to_string())]);
        apart(test, settings, async {
            let begun = Instant::now();
            let error = refused(place).await;
            println!("{place} after {:?}: {error}", begun.elapsed());
            assert_says(&error, kind, words);
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
            assert!(!format!("{error:?}").contains(SECRET), "a secret is never printed");
        });
    };
    if is_apart(test) {
        return tell(std::env::var(CASE).unwrap().parse().unwrap());
    }
    std::thread::scope(|threads| {
        let threads: Vec<_> = (0..cases.len()).map(|n| threads.spawn(move || tell(n))).collect();
        for thread in threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}

#[test]
fn a_bucket_that_does_not_exist_is_named() {
    each_is_refused(
        test_name!(a_bucket_that_does_not_exist_is_named),
        ErrorKind::NotFound,
        &[
            ("s3://lack/convex", || moto().settings(), &["the bucket does not exist"]),
            ("az://lack/convex", || azurite().settings(), &["the container does not exist"]),
            ("gs://lack/convex", || gcs_fake().settings(OWNER), &["the bucket does not exist"]),
        ],
    );
}

/// The settings, and others instead of some of them.
fn but(mut settings: Settings, others: &[(&'static str, &str)]) -> Settings {
    settings.extend(others.iter().map(|(name, value)| (*name, (*value).to_owned())));
    settings
}

#[test]
fn no_credentials_at_all_are_said_at_once() {
    each_is_refused(
        test_name!(no_credentials_at_all_are_said_at_once),
        ErrorKind::Access,
        &[
            (PLACE, || but(Settings::new(), &[("HOME", "/nowhere")]), &["AWS_ACCESS_KEY_ID", "AWS_SECRET"]),
            ("gs://lake/shop", || but(Settings::new(), &[("HOME", "/nowhere")]), &["GOOGLE_APPLICATION_CREDENTIALS"]),
            ("az://lake/shop", || but(Settings::new(), &[("AZURE_STORAGE_ACCOUNT", "shop")]), &["AZURE_STORAGE_KEY"]),
        ],
    );
}

#[test]
fn a_store_without_an_account_is_a_usage_error_that_names_the_variable() {
    each_is_refused(
        test_name!(a_store_without_an_account_is_a_usage_error_that_names_the_variable),
        ErrorKind::Usage,
        &[
            ("az://lake/shop", Settings::new, &["AZURE_STORAGE_ACCOUNT"]),
            (
                "gs://lake/shop",
                || but(Settings::new(), &[("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")]),
                &["GOOGLE_APPLICATION_CREDENTIALS"],
            ),
        ],
    );
}

/// S3 that checks signatures and permissions.
fn strict() -> &'static Moto {
    static SERVER: OnceLock<Moto> = OnceLock::new();
    SERVER.get_or_init(|| Moto::strict("lake", None))
}

#[test]
fn wrong_credentials_are_an_access_error_that_names_the_variable() {
    each_is_refused(
        test_name!(wrong_credentials_are_an_access_error_that_names_the_variable),
        ErrorKind::Access,
        &[
            (
                PLACE,
                || but(strict().settings(), &[("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")]),
                &["AWS_ACCESS_KEY_ID"],
            ),
            (PLACE, || but(strict().settings(), &[("AWS_SECRET_ACCESS_KEY", SECRET)]), &["AWS_SECRET_ACCESS_KEY"]),
            ("az://lake/shop", || but(azurite().settings(), &[("AZURE_STORAGE_KEY", SECRET)]), &["AZURE_STORAGE_KEY"]),
            ("gs://lake/shop", || gcs_fake().settings(SECRET), &["does not accept the credentials"]),
        ],
    );
}

/// What an archive needs of a bucket, and no more: no deletes.
const LEAST: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": "arn:aws:s3:::lake"},
    {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"],
     "Resource": "arn:aws:s3:::lake/convex/*"}]}"#;

const READ_ONLY: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": "arn:aws:s3:::lake"},
    {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::lake/*"}]}"#;

/// A container or bucket of the shared servers.
fn made(url: &str) {
    background().block_on(async {
        match url {
            "az" => make_container(&azurite().url, &azurite().all, "lake").await,
            _ => {
                let put =
                    reqwest::Client::new().put(format!("{}/lake", gcs_fake().url)).bearer_auth(OWNER).send().await;
                assert!(put.unwrap().status().is_success());
            }
        }
    });
}

#[test]
fn credentials_that_may_only_read_are_an_access_error() {
    static S3: OnceLock<Moto> = OnceLock::new();
    static MADE: Once = Once::new();
    let test = test_name!(credentials_that_may_only_read_are_an_access_error);
    if !is_apart(test) {
        MADE.call_once(|| ["az", "gs"].into_iter().for_each(made));
    }
    each_is_refused(
        test,
        ErrorKind::Access,
        &[
            (PLACE, || S3.get_or_init(|| Moto::strict("lake", Some(READ_ONLY))).settings(), &["permission"]),
            ("az://lake/shop", || azurite().signed(&azurite().read_only), &["permission"]),
            ("gs://lake/shop", || gcs_fake().settings(READER), &["permission"]),
        ],
    );
}

#[test]
fn reading_writing_and_listing_are_all_the_permissions_that_a_sync_needs() {
    let mut moto = None;
    let settings = || moto.insert(Moto::strict("lake", Some(LEAST))).settings();
    let name = test_name!(reading_writing_and_listing_are_all_the_permissions_that_a_sync_needs);
    apart(name, settings, async {
        least_is_enough(PLACE).await.compare("pyarrow_reads.py", PLACE);
        // Elsewhere in the bucket it is not allowed anything.
        assert_says(&refused("s3://lake/other").await, ErrorKind::Access, &["permission"]);
    });
}

#[test]
fn azure_needs_a_signature_for_reading_writing_and_listing_only() {
    let settings = || {
        background().block_on(make_container(&azurite().url, &azurite().all, "least"));
        azurite().signed(&azurite().least)
    };
    apart(test_name!(azure_needs_a_signature_for_reading_writing_and_listing_only), settings, async {
        least_is_enough("az://least/shop").await;
    });
}

#[test]
fn the_fake_of_gcs_needs_no_right_to_delete() {
    let settings = || {
        made("gs");
        gcs_fake().settings(NO_DELETES)
    };
    apart(test_name!(the_fake_of_gcs_needs_no_right_to_delete), settings, async {
        least_is_enough("gs://lake/least").await;
    });
}

async fn least_is_enough(place: &str) -> World {
    let world = World::start(3, 3).await;
    let documents = convex_archiver::server::demo_documents(0).unwrap();
    world.deployment.insert_all(documents.into_iter().take(1).collect()).unwrap();
    assert!(world.catch_up(place).await.first_run);
    assert!(!world.catch_up(place).await.first_run);
    world
}

/// An address that nobody listens at, for as long as this process lives: it is taken, so no other server can get it.
fn dead() -> String {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    std::mem::forget(socket);
    url
}

/// The variables of each store, with its server at `url`.
fn at(url: &str) -> Settings {
    Settings::from([
        ("AWS_ENDPOINT", url.to_owned()),
        ("AWS_ALLOW_HTTP", "true".into()),
        ("AWS_ACCESS_KEY_ID", "any".into()),
        ("AWS_SECRET_ACCESS_KEY", "thing".into()),
        ("AWS_REGION", "us-east-1".into()),
        ("AZURE_STORAGE_ENDPOINT", url.to_owned()),
        ("AZURE_ALLOW_HTTP", "true".into()),
        ("AZURE_STORAGE_ACCOUNT", "shop".into()),
        ("AZURE_STORAGE_KEY", SECRET.into()),
        ("STORAGE_EMULATOR_HOST", url.to_owned()),
    ])
}

const AWAY: &[&str] = &["cannot read archive.json", "does not answer", "nothing is lost"];

#[test]
fn a_dead_endpoint_is_unavailable_within_a_minute() {
    each_is_refused(
        test_name!(a_dead_endpoint_is_unavailable_within_a_minute),
        ErrorKind::Unavailable,
        &[
            (PLACE, || at(&dead()), AWAY),
            ("az://lake/shop", || at(&dead()), AWAY),
            ("gs://lake/shop", || at(&dead()), AWAY),
        ],
    );
}

const NAMELESS: &[&str] = &["cannot read archive.json", "the store's host name cannot be resolved"];

#[test]
fn a_host_that_no_name_server_knows_is_unavailable_within_a_minute() {
    each_is_refused(
        test_name!(a_host_that_no_name_server_knows_is_unavailable_within_a_minute),
        ErrorKind::Unavailable,
        &[
            (PLACE, || at("http://store.invalid"), NAMELESS),
            ("az://lake/shop", || at("http://store.invalid"), NAMELESS),
            ("gs://lake/shop", || at("http://store.invalid"), NAMELESS),
        ],
    );
}

const OVERWRITES: &[&str] = &["If-None-Match", "two writers"];

static RCLONE: Mutex<Option<Rclone>> = Mutex::new(None);
static S3RVER: Mutex<Option<S3rver>> = Mutex::new(None);

/// Ends both servers, however the test ends: nothing else would.
struct Both;

impl Drop for Both {
    fn drop(&mut self) {
        RCLONE.lock().unwrap_or_else(PoisonError::into_inner).take();
        S3RVER.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// rclone's S3 server and s3rver take `If-None-Match` and overwrite nevertheless.
#[test]
fn a_store_that_overwrites_what_it_should_only_create_is_refused_and_left_empty() {
    let _both = Both;
    let test = test_name!(a_store_that_overwrites_what_it_should_only_create_is_refused_and_left_empty);
    each_is_refused(
        test,
        ErrorKind::Usage,
        &[
            (PLACE, || RCLONE.lock().unwrap().insert(Rclone::start("lake")).settings(), OVERWRITES),
            (PLACE, || S3RVER.lock().unwrap().insert(S3rver::start("lake")).settings(), OVERWRITES),
        ],
    );
    // Not in the process that is apart: the servers are here.
    if !is_apart(test) {
        let left = [RCLONE.lock().unwrap().as_ref().unwrap().files(), S3RVER.lock().unwrap().as_ref().unwrap().files()];
        assert!(left.iter().all(Vec::is_empty), "{left:?}");
    }
}

/// Others say that they do not know it. That is no reason to try again later.
#[test]
fn a_store_that_does_not_know_how_to_create_only_if_absent_is_refused() {
    each_is_refused(
        test_name!(a_store_that_does_not_know_how_to_create_only_if_absent_is_refused),
        ErrorKind::Usage,
        &[(
            PLACE,
            || {
                background().block_on(async {
                    let proxy = trouble::between(&moto().url);
                    make_bucket_at(&moto().url, "lake").await;
                    let body = "<Error><Code>NotImplemented</Code></Error>".to_owned();
                    let what = What::Refuse(501, body);
                    trouble::tell(&proxy, &Trouble { method: "PUT".into(), what, ..Trouble::default() }).await;
                    at(&proxy)
                })
            },
            &["If-None-Match", "choose another store"],
        )],
    );
}
