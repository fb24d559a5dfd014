//! The clouds' stores, by [`Settings`] and the credentials among them, under the names that each cloud's own
//! tools use: `AWS_*` (also the profile files), `GOOGLE_*` and `STORAGE_EMULATOR_HOST`, `AZURE_*`.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use object_store::{
    BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
};

use crate::{
    certificates,
    error::{Error, Result},
};

use super::{
    Settings, aws_profile, azure_account,
    conflict::Connector,
    machine_role::has_machine_role,
    process_credentials::{ProcessCredentials, is_installed},
};

/// A bucket, opened.
pub(super) struct Bucket {
    pub(super) store: Arc<dyn ObjectStore>,
    /// Where the credentials come from, in words.
    pub(super) credentials: String,
}

/// For one request. The store's default of 30 seconds cuts off parts of 8 MiB below 2 Mbit/s.
const TIMEOUT: &str = "120 seconds";

/// How long a store may be busy or away: ten further attempts take ten seconds on average, and three minutes at most. (The
/// client's own pauses, which begin at 100 milliseconds, are over after three seconds: too soon for a bucket that asks
/// for fewer requests.)
fn retries() -> RetryConfig {
    let backoff = BackoffConfig { init_backoff: Duration::from_millis(300), ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: 10, retry_timeout: Duration::from_secs(180) }
}

/// Any of these says who we are to Google's storage; its client looks after them.
const GOOGLE_CREDENTIALS: &[&str] = &[
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_BEARER_TOKEN",
    // Another address of the machine's role.
    "GCE_METADATA_HOST",
    "GCE_METADATA_ROOT",
];

/// A bucket of S3, or of what speaks like it.
pub(super) fn s3(bucket: &str, settings: &Settings, requests: Arc<AtomicU64>) -> Result<Bucket> {
    let mut builder = AmazonS3Builder::new();
    for (key, value) in settings.keys("AWS_") {
        builder = builder.with_config(key, value);
    }
    builder = builder.with_bucket_name(bucket).with_retry(retries()).with_http_connector(Connector(requests));
    if settings.get("AWS_TIMEOUT").is_none() {
        builder = builder.with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), TIMEOUT);
    }
    let endpoint =
        ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"].into_iter().find_map(|name| settings.get(name));
    if endpoint.is_some_and(is_loopback_http) {
        builder = builder.with_allow_http(true);
    }
    let (builder, credentials) = aws_profile::complete(builder, settings)?;
    let built = builder
        .build()
        .map_err(|e| setting_error(e, &format!("cannot use s3://{bucket}; check the AWS_ variables")))?;
    Ok(Bucket { store: Arc::new(built), credentials })
}

/// A bucket of Google Cloud Storage. `STORAGE_EMULATOR_HOST` leads to an emulator, which asks for no credentials.
pub(super) fn gcs(bucket: &str, settings: &Settings, requests: Arc<AtomicU64>) -> Result<Bucket> {
    let mut builder = GoogleCloudStorageBuilder::new();
    if let Some(file) = settings.get("SERVICE_ACCOUNT") {
        builder = builder.with_service_account_path(file);
    }
    for (key, value) in settings.keys("GOOGLE_") {
        builder = builder.with_config(key, value);
    }
    builder = builder.with_bucket_name(bucket).with_retry(retries()).with_http_connector(Connector(requests));
    if settings.get("GOOGLE_TIMEOUT").is_none() {
        builder = builder.with_config(GoogleConfigKey::Client(ClientConfigKey::Timeout), TIMEOUT);
    }
    let known = GOOGLE_CREDENTIALS.iter().find(|name| settings.get(name).is_some());
    if let Some(host) = settings.get("STORAGE_EMULATOR_HOST") {
        let host = if host.contains("://") { host.to_owned() } else { format!("http://{host}") };
        builder = builder.with_base_url(host.trim_end_matches('/'));
    }
    let credentials = match (known, google_login(settings)) {
        (Some(name @ &"GOOGLE_APPLICATION_CREDENTIALS"), _) if is_federated(settings.get(name)) => {
            builder = by_gcloud(builder, name, settings)?;
            format!("the file of {name}, by the gcloud CLI")
        }
        (Some(name), _) => format!("what {name} says"),
        (None, _) if settings.get("STORAGE_EMULATOR_HOST").is_some() => {
            builder = builder.with_bearer_token("");
            "none, because STORAGE_EMULATOR_HOST points to an emulator".to_owned()
        }
        (None, Some(file)) if is_federated(Some(&file)) => {
            builder = by_gcloud(builder, &file, settings)?;
            "the credentials of `gcloud auth application-default login`, by the gcloud CLI".to_owned()
        }
        (None, Some(file)) => {
            builder = builder.with_application_credentials(file);
            "the credentials of `gcloud auth application-default login`".to_owned()
        }
        (None, None) if has_machine_role() => "the service account of the machine".to_owned(),
        (None, None) => {
            return Err(Error::access(
                "no credentials for Google Cloud Storage: set GOOGLE_APPLICATION_CREDENTIALS to the file of a service \
                 account, or run `gcloud auth application-default login`",
            ));
        }
    };
    let advice = format!("cannot use gs://{bucket}; check GOOGLE_APPLICATION_CREDENTIALS");
    let built = builder.build().map_err(|e| setting_error(e, &advice))?;
    Ok(Bucket { store: Arc::new(built), credentials })
}

/// Whether a file of Google's credentials is of a kind that the store's client does not know: workload identity federation (`external_account`),
/// a service account in whose name somebody else acts. One that cannot be read is left to the client, which says why.
fn is_federated(file: Option<&str>) -> bool {
    #[derive(serde::Deserialize)]
    struct Credentials {
        r#type: String,
    }
    let text = file.and_then(|file| std::fs::read(file).ok()).unwrap_or_default();
    let known = ["service_account", "authorized_user"];
    serde_json::from_slice(&text).is_ok_and(|Credentials { r#type }| !known.contains(&r#type.as_str()))
}

/// Credentials by Google's own tool.
fn by_gcloud(builder: GoogleCloudStorageBuilder, of: &str, settings: &Settings) -> Result<GoogleCloudStorageBuilder> {
    if !is_installed("gcloud", settings) {
        return Err(Error::access(format!(
            "the credentials of {of} are of a kind that only the gcloud CLI can use (workload identity federation), \
             but `gcloud` is not on the PATH; install it, or use the file of a service account"
        )));
    }
    Ok(builder.with_credentials(Arc::new(ProcessCredentials::of_gcloud())))
}

/// A container of Azure Blob Storage.
pub(super) fn azure(container: &str, settings: &Settings, requests: Arc<AtomicU64>) -> Result<Bucket> {
    let mut builder = MicrosoftAzureBuilder::new();
    for (key, value) in settings.keys("AZURE_") {
        builder = builder.with_config(key, value);
    }
    if let Some(endpoint) = settings.get("IDENTITY_ENDPOINT") {
        builder = builder.with_msi_endpoint(endpoint);
    }
    builder = builder.with_container_name(container).with_retry(retries()).with_http_connector(Connector(requests));
    if settings.get("AZURE_TIMEOUT").is_none() {
        builder = builder.with_config(AzureConfigKey::Client(ClientConfigKey::Timeout), TIMEOUT);
    }
    builder = azure_account::complete(builder, settings)?;
    let credentials = if azure_account::is_by_cli(&builder) {
        builder = builder.with_credentials(Arc::new(ProcessCredentials::of_az()));
        "the sign-in of the Azure CLI, as AZURE_USE_AZURE_CLI says".to_owned()
    } else if let Some(words) = azure_account::credentials(&builder) {
        words.to_owned()
    } else if azure_login(settings) && is_installed("az", settings) {
        builder = builder.with_credentials(Arc::new(ProcessCredentials::of_az()));
        "the sign-in of the Azure CLI".to_owned()
    } else if has_machine_role() {
        "the managed identity of the machine".to_owned()
    } else {
        return Err(Error::access(
            "no credentials for Azure Blob Storage: set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT and \
             one of AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or AZURE_CLIENT_ID, AZURE_TENANT_ID and \
             AZURE_CLIENT_SECRET, or run `az login`",
        ));
    };
    if builder.get_config_value(&AzureConfigKey::Endpoint).is_some_and(|e| is_loopback_http(&e)) {
        builder = builder.with_allow_http(true);
    }
    let advice = format!("cannot use az://{container}; check the AZURE_ variables");
    let built = builder.build().map_err(|e| setting_error(e, &advice))?;
    Ok(Bucket { store: Arc::new(built), credentials })
}

/// Whether `az login` was run here.
fn azure_login(settings: &Settings) -> bool {
    let folder = settings.get("AZURE_CONFIG_DIR").map(PathBuf::from);
    let home = || Some(PathBuf::from(settings.get("HOME").or_else(|| settings.get("USERPROFILE"))?).join(".azure"));
    folder.or_else(home).is_some_and(|folder| folder.join("azureProfile.json").exists())
}

/// What `gcloud auth application-default login` has left here.
fn google_login(settings: &Settings) -> Option<String> {
    let (home, below) = if cfg!(windows) { ("APPDATA", "gcloud") } else { ("HOME", ".config/gcloud") };
    let file = PathBuf::from(settings.get(home)?).join(below).join("application_default_credentials.json");
    file.exists().then(|| file.display().to_string())
}

fn setting_error(error: object_store::Error, message: &str) -> Error {
    Error::usage(certificates::advice(&error).unwrap_or(message)).with_source(error)
}

/// Plain http to the own machine needs no setting that allows it.
fn is_loopback_http(endpoint: &str) -> bool {
    let Ok(url) = url::Url::parse(endpoint) else { return false };
    url.scheme() == "http"
        && match url.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_needs_no_setting_on_the_own_machine_only() {
        for (endpoint, own) in [
            ("http://127.0.0.1:5000", true),
            ("http://localhost:9000", true),
            ("http://[::1]:9000", true),
            ("https://localhost", false),
            ("http://minio:9000", false),
            ("http://127.0.0.1.example.com", false),
        ] {
            assert_eq!(is_loopback_http(endpoint), own, "{endpoint}");
        }
    }
}
