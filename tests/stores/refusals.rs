//! Stores that cannot hold an archive, or do not let us: what is said, and how soon.

use std::time::{Duration, Instant};

use convex_archiver::{Error, ErrorKind, sync::SyncOptions};

use crate::tools::{
    moto::{Moto, make_bucket},
    process::{Settings, apart, test_name},
    rclone::Rclone,
    world::World,
};

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

#[test]
fn a_bucket_that_does_not_exist_is_named() {
    let mut moto = None;
    let settings = || moto.insert(Moto::start()).settings();
    apart(test_name!(a_bucket_that_does_not_exist_is_named), settings, async {
        make_bucket("lake").await;
        assert_says(&refused("s3://lack/convex").await, ErrorKind::NotFound, &["bucket does not exist"]);
    });
}

#[test]
fn an_unknown_access_key_is_an_access_error_that_names_the_variable() {
    let mut moto = None;
    let settings = || {
        let mut settings = moto.insert(Moto::strict("lake", None)).settings();
        settings.insert("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE".into());
        settings
    };
    apart(test_name!(an_unknown_access_key_is_an_access_error_that_names_the_variable), settings, async {
        assert_says(&refused(PLACE).await, ErrorKind::Access, &["AWS_ACCESS_KEY_ID"]);
    });
}

#[test]
fn a_wrong_secret_key_is_an_access_error_that_names_the_variable() {
    let mut moto = None;
    let settings = || {
        let mut settings = moto.insert(Moto::strict("lake", None)).settings();
        settings.insert("AWS_SECRET_ACCESS_KEY", "wrong".into());
        settings
    };
    apart(test_name!(a_wrong_secret_key_is_an_access_error_that_names_the_variable), settings, async {
        let error = refused(PLACE).await;
        assert_says(&error, ErrorKind::Access, &["AWS_SECRET_ACCESS_KEY"]);
        assert!(!format!("{error:?}").contains("wrong\""), "a secret is never printed");
    });
}

#[test]
fn no_credentials_at_all_are_said_at_once() {
    let empty = tempfile::tempdir().unwrap();
    let settings = || Settings::from([("HOME", empty.path().to_str().unwrap().to_owned())]);
    apart(test_name!(no_credentials_at_all_are_said_at_once), settings, async {
        let begun = Instant::now();
        assert_says(&refused(PLACE).await, ErrorKind::Access, &["AWS_ACCESS_KEY_ID", "AWS_SECRET"]);
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    });
}

/// What an archive needs of a bucket, and no more: no deletes.
const LEAST: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": "arn:aws:s3:::lake"},
    {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"],
     "Resource": "arn:aws:s3:::lake/convex/*"}]}"#;

#[test]
fn reading_writing_and_listing_are_all_the_permissions_that_a_sync_needs() {
    let mut moto = None;
    let settings = || moto.insert(Moto::strict("lake", Some(LEAST))).settings();
    let name = test_name!(reading_writing_and_listing_are_all_the_permissions_that_a_sync_needs);
    apart(name, settings, async {
        let world = World::start(3, 3).await;
        let documents = convex_archiver::server::demo_documents(0).unwrap();
        world.deployment.insert_all(documents.into_iter().take(1).collect()).unwrap();
        world.catch_up(PLACE).await;
        world.compare("pyarrow_reads.py", PLACE);
        // Elsewhere in the bucket it is not allowed anything.
        assert_says(&refused("s3://lake/other").await, ErrorKind::Access, &["permission"]);
    });
}

#[test]
fn a_dead_endpoint_is_unavailable_within_a_minute() {
    let settings = || {
        // A port that nobody listens on.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Settings::from([
            ("AWS_ENDPOINT", format!("http://{}", listener.local_addr().unwrap())),
            ("AWS_ACCESS_KEY_ID", "any".into()),
            ("AWS_SECRET_ACCESS_KEY", "thing".into()),
            ("AWS_REGION", "us-east-1".into()),
        ])
    };
    apart(test_name!(a_dead_endpoint_is_unavailable_within_a_minute), settings, async {
        let begun = Instant::now();
        assert_says(&refused(PLACE).await, ErrorKind::Unavailable, &["cannot read archive.json", "does not answer"]);
        println!("took {:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    });
}

/// rclone's S3 server takes `If-None-Match` and overwrites nevertheless.
#[test]
fn a_store_that_overwrites_what_it_should_only_create_is_refused_and_left_empty() {
    let mut rclone = None;
    let settings = || rclone.insert(Rclone::start("lake")).settings();
    let name = test_name!(a_store_that_overwrites_what_it_should_only_create_is_refused_and_left_empty);
    apart(name, settings, async {
        assert_says(&refused(PLACE).await, ErrorKind::Usage, &["If-None-Match", "two writers"]);
    });
    // Not in the process that is apart: the server is here.
    if let Some(rclone) = rclone {
        assert!(rclone.files().is_empty(), "{:?}", rclone.files());
    }
}
