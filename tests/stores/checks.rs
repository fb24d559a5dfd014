//! `check` on each kind of store, and credentials that a program prints.

#[cfg(unix)]
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use convex_archiver::{
    archive::{Location, Settings},
    check::{CheckResult, Subject, check_store},
};

#[cfg(unix)]
use crate::tools::azurite::{Azurite, make_certificates, make_container};
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
    #[cfg(unix)]
    if std::env::var_os("AZURE_STORAGE_ENDPOINT").is_some() {
        az_prints_the_token_of_who_signed_in(&place).await;
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

/// By a fake of the Azure CLI: only Microsoft could sign somebody in. Azurite takes the token over HTTPS, and looks at its audience.
#[cfg(unix)]
async fn az_prints_the_token_of_who_signed_in(place: &Place) {
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let server = Azurite::start_with(folder.path());
    let container = place.url("").trim_start_matches("az://").trim_end_matches('/').to_owned();
    make_container(&server.url, &server.all, &container).await;
    std::fs::write(folder.path().join("azureProfile.json"), "{}").unwrap();
    let authority = folder.path().join("authority.pem");
    let variables = [
        ("AZURE_CONFIG_DIR", folder.path().to_str().unwrap()),
        ("AZURE_STORAGE_ENDPOINT", &server.url),
        ("SSL_CERT_FILE", authority.to_str().unwrap()),
    ];
    let script = |audience: &str| {
        let printed = serde_json::json!({"accessToken": token(audience), "expires_on": 4_070_908_800_u64});
        let arguments = "account get-access-token --output json --scope https://storage.azure.com/.default";
        format!("test \"$*\" = '{arguments}' && echo '{printed}'")
    };
    let asked = |audience| checked_by_a_tool(place, "az", &script(audience), &["AZURE_STORAGE_KEY"], &variables);
    let [credentials, write, _] = asked("https://storage.azure.com");
    assert_eq!(credentials["told"], "the sign-in of the Azure CLI");
    assert_eq!(write["result"], "good", "{write}");
    let [_, refused, _] = asked("https://vault.azure.net");
    assert_eq!(refused["result"], "wrong", "{refused}");
}

/// A token for this audience, as Microsoft's, with no signature.
#[cfg(unix)]
fn token(audience: &str) -> String {
    let encode = |json: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let header = encode(serde_json::json!({"alg": "RS256", "typ": "JWT"}));
    let claims = serde_json::json!({
        "aud": audience, "iss": "https://sts.windows.net/tenant/", "iat": 1, "nbf": 1, "exp": 4_070_908_800_u64,
    });
    format!("{header}.{}.none", encode(claims))
}
