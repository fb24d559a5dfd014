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
        #[cfg(unix)]
        the_aws_cli_prints_the_credentials_of_a_profile_with_sso(&place);
    }
    #[cfg(unix)]
    if std::env::var_os("STORAGE_EMULATOR_HOST").is_some() {
        gcloud_prints_the_token_of_a_workload_identity(&place);
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

/// What the program says of the credentials and of writing, with a tool of this name on the PATH that is this script, and of the archive without it.
#[cfg(unix)]
fn checked_by_a_tool(
    place: &Place,
    tool: &str,
    script: &str,
    without: &[&str],
    with: &[(&str, &str)],
) -> [serde_json::Value; 3] {
    use std::os::unix::fs::PermissionsExt;

    let tools = tempfile::tempdir().unwrap();
    let file = tools.path().join(tool);
    std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    let check = |path: &str, subject: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_convex-archiver"));
        command.args(["check", "--json", "--archive", &place.url(PREFIX), "--deployment", "http://127.0.0.1:1"]);
        for name in without {
            command.env_remove(name);
        }
        let ended = command.envs(with.iter().copied()).env("PATH", path).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["subject"] == subject).cloned().unwrap_or_default()
    };
    let path = format!("{}:/usr/bin:/bin", tools.path().display());
    [check(&path, "credentials"), check(&path, "store_write"), check("/nowhere", "archive")]
}

/// By a fake of the AWS CLI: only Amazon could sign somebody in.
#[cfg(unix)]
fn the_aws_cli_prints_the_credentials_of_a_profile_with_sso(place: &Place) {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    let profile = "[profile work]\nsso_session = s\nsso_account_id = 1\n";
    std::fs::write(home.path().join(".aws/config"), profile).unwrap();
    let variable = |name: &str| std::env::var(name).unwrap();
    let printed = serde_json::json!({
        "Version": 1,
        "AccessKeyId": variable("AWS_ACCESS_KEY_ID"),
        "SecretAccessKey": variable("AWS_SECRET_ACCESS_KEY"),
    });
    let script =
        format!("test \"$*\" = 'configure export-credentials --profile work --format process' && echo '{printed}'");
    let home = home.path().to_str().unwrap();
    let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
    let [credentials, write, archive] =
        checked_by_a_tool(place, "aws", &script, &keys, &[("HOME", home), ("AWS_PROFILE", "work")]);
    assert_eq!(credentials["told"], "the AWS profile `work`, by the AWS CLI");
    assert_eq!(write["result"], "good", "{write}");
    assert!(archive["told"].as_str().unwrap().contains("`aws` is not on the PATH"), "{archive}");
}

/// By a fake of the gcloud CLI: only Google could take a real token.
#[cfg(unix)]
fn gcloud_prints_the_token_of_a_workload_identity(place: &Place) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials.json");
    std::fs::write(&file, r#"{"type": "external_account", "audience": "a"}"#).unwrap();
    let token = std::env::var("GOOGLE_BEARER_TOKEN").unwrap();
    let script = format!("test \"$*\" = 'auth application-default print-access-token' && echo {token}");
    let variables = [("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().unwrap())];
    let [credentials, write, archive] =
        checked_by_a_tool(place, "gcloud", &script, &["GOOGLE_BEARER_TOKEN"], &variables);
    assert!(credentials["told"].as_str().unwrap().ends_with("by the gcloud CLI"), "{credentials}");
    assert_eq!(write["result"], "good", "{write}");
    assert!(archive["told"].as_str().unwrap().contains("`gcloud` is not on the PATH"), "{archive}");
}
