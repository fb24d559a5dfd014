//! `check` on each kind of store, and credentials that a program prints.

use convex_archiver::{
    archive::{Location, Settings},
    check::{CheckResult, Subject, check_store},
};

use crate::{
    place::{PREFIX, Place},
    tools::process::environment,
};

pub(crate) async fn what_a_store_takes_is_told_and_no_probe_is_left(place: Place) {
    let location = Location::create(&place.url(PREFIX), &environment()).unwrap();
    let checks = check_store(&location, true).await;
    let wrong: Vec<_> = checks.iter().filter(|check| check.result != CheckResult::Good).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let subjects: Vec<_> = checks.iter().map(|check| check.subject).collect();
    let rights = [
        Subject::StoreRead,
        Subject::StoreWrite,
        Subject::StoreConditionalWrite,
        Subject::StoreOverwrite,
        Subject::StoreDelete,
    ];
    assert!(subjects.ends_with(&rights), "{subjects:?}");
    assert_eq!(subjects.contains(&Subject::Credentials), place.folder().is_none());
    assert_eq!(place.objects().await, [] as [String; 0]);
    // Nothing but reading, and nothing is there afterwards.
    let read_only = check_store(&location, false).await;
    let unknown = read_only.iter().filter(|check| check.result == CheckResult::Unknown).count();
    assert_eq!(unknown, 4, "{read_only:#?}");
    if std::env::var_os("AWS_ENDPOINT").is_some() {
        a_program_prints_the_credentials(&place).await;
    }
    assert_eq!(place.objects().await, [] as [String; 0]);
}

/// As an AWS profile names it.
async fn a_program_prints_the_credentials(place: &Place) {
    let home = tempfile::tempdir().unwrap();
    let variable = |name: &str| std::env::var(name).unwrap();
    let printed = serde_json::json!({
        "Version": 1,
        "AccessKeyId": variable("AWS_ACCESS_KEY_ID"),
        "SecretAccessKey": variable("AWS_SECRET_ACCESS_KEY"),
        "Expiration": "2999-01-01T00:00:00Z",
    });
    let profile = |line: String| {
        std::fs::create_dir_all(home.path().join(".aws")).unwrap();
        std::fs::write(home.path().join(".aws/config"), format!("[profile work]\ncredential_process = {line}\n"))
            .unwrap();
        let settings: Settings = [
            ("HOME", home.path().to_str().unwrap().to_owned()),
            ("AWS_PROFILE", "work".to_owned()),
            ("AWS_ENDPOINT", variable("AWS_ENDPOINT")),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
        .into_iter()
        .collect();
        Location::open(&place.url(PREFIX), &settings).unwrap()
    };
    std::fs::write(home.path().join("printed"), printed.to_string()).unwrap();
    let location = profile(format!("cat {}", home.path().join("printed").display()));
    assert_eq!(location.credentials(), Some("the AWS profile `work`, by its credential_process"));
    let checks = check_store(&location, true).await;
    assert!(checks.iter().all(|check| check.result == CheckResult::Good), "{checks:#?}");
    let location = profile("echo 'sign in first' >&2 && false".to_owned());
    let checks = check_store(&location, true).await;
    let read = checks.iter().find(|check| check.subject == Subject::StoreRead).unwrap();
    assert_eq!(read.result, CheckResult::Wrong);
    assert!(
        read.told.contains("`echo`, which gets the credentials") && read.told.contains("sign in first"),
        "{read:?}"
    );
}
