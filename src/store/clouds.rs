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

use super::{Settings, aws_profile, azure_account, conflict::Connector, machine_role::has_machine_role};

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
pub(super) fn s3(bucket: &str, settings: &Settings, requests: Arc<AtomicU64>) -> Result<Arc<dyn ObjectStore>> {
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
    builder = aws_profile::complete(builder, settings)?;
    let built = builder
        .build()
        .map_err(|e| setting_error(e, &format!("cannot use s3://{bucket}; check the AWS_ variables")))?;
    Ok(Arc::new(built))
}

/// A bucket of Google Cloud Storage. `STORAGE_EMULATOR_HOST` leads to an emulator, which asks for no credentials.
pub(super) fn gcs(bucket: &str, settings: &Settings, requests: Arc<AtomicU64>) -> Result<Arc<dyn ObjectStore>> {
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
    let known = GOOGLE_CREDENTIALS.iter().any(|name| settings.get(name).is_some());
    if let Some(host) = settings.get("STORAGE_EMULATOR_HOST") {
        let host = if host.contains("://") { host.to_owned() } else { format!("http://{host}") };
        builder = builder.with_base_url(host.trim_end_matches('/'));
        if !known {
            builder = builder.with_bearer_token("");
        }
    } else if !known {
        match google_login(settings) {
            Some(file) => builder = builder.with_application_credentials(file),
            None if has_machine_role() => {}
            None => {
                return Err(Error::access(
                    "no credentials for Google Cloud Storage: set GOOGLE_APPLICATION_CREDENTIALS to the file of a service \
                     account, or run `gcloud auth application-default login`",
                ));
            }
        }
    }
    let advice = format!("cannot use gs://{bucket}; check GOOGLE_APPLICATION_CREDENTIALS");
    Ok(Arc::new(builder.build().map_err(|e| setting_error(e, &advice))?))
}

/// A container of Azure Blob Storage.
pub(super) fn azure(container: &str, settings: &Settings, requests: Arc<AtomicU64>) -> Result<Arc<dyn ObjectStore>> {
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
    if !azure_account::has_credentials(&builder) && !has_machine_role() {
        return Err(Error::access(
            "no credentials for Azure Blob Storage: set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT and \
             one of AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or AZURE_CLIENT_ID, AZURE_TENANT_ID and \
             AZURE_CLIENT_SECRET",
        ));
    }
    if builder.get_config_value(&AzureConfigKey::Endpoint).is_some_and(|e| is_loopback_http(&e)) {
        builder = builder.with_allow_http(true);
    }
    let advice = format!("cannot use az://{container}; check the AZURE_ variables");
    Ok(Arc::new(builder.build().map_err(|e| setting_error(e, &advice))?))
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
