//! Credentials that only another program can get: a `credential_process` of an AWS profile, and the clouds' own tools for
//! whoever signed in there (SSO, roles, workload identity). The program is run again shortly before what it gave expires.

use std::{
    fmt,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use object_store::{CredentialProvider, aws::AwsCredential, azure::AzureCredential, gcp::GcpCredential};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::{
    child,
    document::Timestamp,
    error::{Error, Result},
};

use super::Settings;

/// What expires sooner than this is got anew.
const BEFORE_THE_END: Duration = Duration::from_secs(5 * 60);
/// How long credentials are kept whose end nobody tells. Google's tokens live for an hour.
const KEPT: Duration = Duration::from_secs(30 * 60);

/// Credentials, and until when they hold; None, if that is not told.
type Until<C> = (C, Option<Timestamp>);

/// Runs a program for credentials.
pub(super) struct ProcessCredentials<C> {
    program: Program,
    read: fn(&[u8]) -> Option<Until<C>>,
    held: Mutex<Option<(Arc<C>, Instant)>>,
}

/// What is run.
#[derive(Debug, Clone)]
enum Program {
    /// By the shell.
    Line(String),
    /// Program and arguments.
    Words(Vec<String>),
}

impl Program {
    fn words(words: &[&str]) -> Self {
        Self::Words(words.iter().map(|word| (*word).to_owned()).collect())
    }

    fn command(&self) -> Command {
        match self {
            Self::Line(line) => child::shell(line),
            // The clouds' tools are scripts on Windows, which only the shell starts.
            Self::Words(words) => {
                let shell: &[&str] = if cfg!(windows) { &["cmd", "/C"] } else { &[] };
                let mut words = shell.iter().copied().chain(words.iter().map(String::as_str));
                let mut command = Command::new(words.next().unwrap_or_default());
                command.args(words);
                command
            }
        }
    }

    /// For messages. Of a command line only the first word: the rest may hold secrets.
    fn name(&self) -> String {
        match self {
            Self::Line(line) => line.split_whitespace().next().unwrap_or_default().to_owned(),
            Self::Words(words) => words.join(" "),
        }
    }
}

impl ProcessCredentials<AwsCredential> {
    /// The `credential_process` of a profile, a command line.
    pub(super) fn of_line(line: String) -> Self {
        Self::new(Program::Line(line), read_aws)
    }

    /// The AWS CLI, which knows every way in which a profile signs in.
    pub(super) fn of_aws_cli(profile: &str) -> Self {
        let words = ["aws", "configure", "export-credentials", "--profile", profile, "--format", "process"];
        Self::new(Program::words(&words), read_aws)
    }
}

impl ProcessCredentials<GcpCredential> {
    /// The gcloud CLI, for application default credentials.
    pub(super) fn of_gcloud() -> Self {
        Self::new(Program::words(&["gcloud", "auth", "application-default", "print-access-token"]), read_google)
    }
}

impl ProcessCredentials<AzureCredential> {
    /// The Azure CLI, for whoever `az login` signed in.
    pub(super) fn of_az() -> Self {
        let scope = "https://storage.azure.com/.default";
        let words = ["az", "account", "get-access-token", "--output", "json", "--scope", scope];
        Self::new(Program::words(&words), read_azure)
    }
}

impl<C> ProcessCredentials<C> {
    fn new(program: Program, read: fn(&[u8]) -> Option<Until<C>>) -> Self {
        Self { program, read, held: Mutex::default() }
    }

    async fn fetch(&self) -> Result<Until<C>> {
        let command = self.program.command();
        let run = tokio::task::spawn_blocking(move || child::output(command)).await;
        let run = run.map_err(|e| Error::internal("cannot wait for a program").with_source(e))?;
        let named = || format!("`{}`, which gets the credentials", self.program.name());
        let text = run.map_err(|e| e.context(named()))?;
        // It is not shown: it holds secrets.
        (self.read)(&text).ok_or_else(|| Error::access("its output does not contain credentials").context(named()))
    }
}

#[async_trait]
impl<C: Send + Sync> CredentialProvider for ProcessCredentials<C> {
    type Credential = C;

    async fn get_credential(&self) -> object_store::Result<Arc<C>> {
        // Whoever waits here finds the new ones.
        let mut held = self.held.lock().await;
        if let Some((credential, until)) = &*held
            && Instant::now() < *until
        {
            return Ok(Arc::clone(credential));
        }
        let unauthenticated =
            |e: Error| object_store::Error::Unauthenticated { path: self.program.name(), source: Box::new(e) };
        let (credential, until) = self.fetch().await.map_err(unauthenticated)?;
        let credential = Arc::new(credential);
        *held = Some((Arc::clone(&credential), Instant::now() + kept(until, Timestamp::now())));
        Ok(credential)
    }
}

/// How long to keep what holds `until` then.
fn kept(until: Option<Timestamp>, now: Timestamp) -> Duration {
    let Some(until) = until else { return KEPT };
    let left = Duration::from_nanos(until.0.saturating_sub(now.0).max(0) as u64);
    left.saturating_sub(BEFORE_THE_END)
}

impl<C> fmt::Debug for ProcessCredentials<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProcessCredentials").field(&self.program.name()).finish()
    }
}

/// Whether a program is on the PATH of the settings.
pub(super) fn is_installed(program: &str, settings: &Settings) -> bool {
    let endings: &[&str] = if cfg!(windows) { &[".exe", ".cmd", ".bat"] } else { &[""] };
    let folders = settings.get("PATH").map(std::env::split_paths).into_iter().flatten();
    folders.into_iter().any(|folder| endings.iter().any(|ending| is_file(&folder.join(format!("{program}{ending}")))))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file())
}

/// The last one that there is, if it is later.
fn moment(text: &str) -> Option<Timestamp> {
    let moment = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    Some(Timestamp(moment.timestamp_nanos_opt().unwrap_or(i64::MAX)))
}

/// As the AWS tools define it: [Sourcing credentials with an external
/// process](https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html).
fn read_aws(text: &[u8]) -> Option<Until<AwsCredential>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Printed {
        version: u32,
        access_key_id: String,
        secret_access_key: String,
        session_token: Option<String>,
        expiration: Option<String>,
    }
    let printed: Printed = serde_json::from_slice(text).ok()?;
    let until = printed.expiration.as_deref().map(|text| moment(text).ok_or(())).transpose().ok()?;
    let credential = AwsCredential {
        key_id: printed.access_key_id,
        secret_key: printed.secret_access_key,
        token: printed.session_token.filter(|token| !token.is_empty()),
    };
    (printed.version == 1).then_some((credential, until))
}

/// One line, a token.
fn read_google(text: &[u8]) -> Option<Until<GcpCredential>> {
    let token = std::str::from_utf8(text).ok()?.trim();
    let fits = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| (GcpCredential { bearer: token.to_owned() }, None))
}

/// `expires_on` (seconds since 1970) is printed since version 2.54; `expiresOn` is local time, which nobody can read for sure.
fn read_azure(text: &[u8]) -> Option<Until<AzureCredential>> {
    #[derive(Deserialize)]
    struct Printed {
        #[serde(rename = "accessToken")]
        token: String,
        expires_on: Option<i64>,
    }
    let printed: Printed = serde_json::from_slice(text).ok()?;
    let until = printed.expires_on.map(|seconds| Timestamp(seconds.saturating_mul(1_000_000_000)));
    (!printed.token.is_empty()).then_some((AzureCredential::BearerToken(printed.token), until))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_programs_print_is_read_and_anything_else_is_none() {
        let (aws, until) = read_aws(
            br#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"B","SessionToken":"C","Expiration":"1970-01-01T00:01:00+00:00"}"#,
        )
        .unwrap();
        assert_eq!((aws.key_id.as_str(), aws.secret_key.as_str(), aws.token.as_deref()), ("A", "B", Some("C")));
        assert_eq!(until, Some(Timestamp(60_000_000_000)));
        assert!(read_aws(br#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"B"}"#).unwrap().1.is_none());
        for odd in [
            &br#"{"Version":2,"AccessKeyId":"A","SecretAccessKey":"B"}"#[..],
            br#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"B","Expiration":"soon"}"#,
            b"{}",
            b"",
        ] {
            assert!(read_aws(odd).is_none(), "{odd:?}");
        }
        assert_eq!(read_google(b"ya29.x\n").unwrap().0.bearer, "ya29.x");
        assert!(read_google(b"\n").is_none() && read_google(b"two words").is_none());
        let (azure, until) =
            read_azure(br#"{"accessToken":"t","expires_on":7,"expiresOn":"2026-01-01 10:00:00"}"#).unwrap();
        assert!(matches!(azure, AzureCredential::BearerToken(token) if token == "t"));
        assert_eq!(until, Some(Timestamp(7_000_000_000)));
        assert!(read_azure(b"{}").is_none());
    }

    #[test]
    fn what_expires_is_got_anew_before_it_does() {
        let minute = 60_000_000_000;
        let now = Timestamp(100 * minute);
        for (until, expected) in [(Some(160), 55), (Some(104), 0), (Some(90), 0), (None, 30)] {
            let until = until.map(|minutes| Timestamp(minutes * minute));
            assert_eq!(kept(until, now), Duration::from_secs(expected * 60), "{until:?}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_program_is_run_once_as_long_as_what_it_gave_holds_and_what_it_prints_is_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let count = dir.path().join("count");
        let line = |expires: &str| {
            format!(
                r#"echo run >> {}; echo '{{"Version":1,"AccessKeyId":"A","SecretAccessKey":"hidden","Expiration":"{expires}"}}'"#,
                count.display()
            )
        };
        let runs = || std::fs::read_to_string(&count).unwrap().lines().count();
        let lasting = ProcessCredentials::of_line(line("2999-01-01T00:00:00Z"));
        for _ in 0..3 {
            assert_eq!(lasting.get_credential().await.unwrap().key_id, "A");
        }
        assert_eq!(runs(), 1);
        let expired = ProcessCredentials::of_line(line("2001-01-01T00:00:00Z"));
        for _ in 0..2 {
            expired.get_credential().await.unwrap();
        }
        assert_eq!(runs(), 3);
        let odd = ProcessCredentials::of_line("echo hidden".to_owned());
        let error = odd.get_credential().await.unwrap_err().to_string();
        assert!(error.contains("echo") && !error.contains("hidden"), "{error}");
    }
}
