//! Credentials of the archive's store, as DuckDB takes them.

use convex_archiver::archive::Settings;

/// Statements that let DuckDB into the store that the URL names, by what the settings say; empty for a folder.
///
/// Keys that are among the settings are passed on; where there are none, DuckDB looks for them itself (extensions `aws` and
/// `azure`). Secrets that the user's DuckDB keeps are used where nothing is known: so it is always for Google's storage, of
/// which DuckDB takes HMAC keys only.
pub(super) fn duckdb(url: &str, given: &Settings) -> String {
    let env = |name: &str| given.get(name).map(str::to_owned);
    let Some((scheme, rest)) = url.split_once("://") else { return String::new() };
    let bucket = rest.split('/').next().unwrap_or_default();
    let mut settings = vec![("SCOPE", format!("{scheme}://{bucket}"))];
    match scheme {
        "s3" => {
            let key = env("AWS_ACCESS_KEY_ID").zip(env("AWS_SECRET_ACCESS_KEY"));
            match key {
                Some((id, secret)) => {
                    settings.extend([("KEY_ID", id), ("SECRET", secret)]);
                    settings.extend(env("AWS_SESSION_TOKEN").map(|token| ("SESSION_TOKEN", token)));
                }
                None => {
                    settings.push(("PROVIDER", "credential_chain".to_owned()));
                    settings.extend(env("AWS_PROFILE").map(|profile| ("PROFILE", profile)));
                }
            }
            settings.extend(env("AWS_REGION").or_else(|| env("AWS_DEFAULT_REGION")).map(|region| ("REGION", region)));
            let endpoint = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"].into_iter().find_map(env);
            if let Some(endpoint) = endpoint {
                let (scheme, host) = endpoint.split_once("://").unwrap_or(("https", &endpoint));
                settings.push(("ENDPOINT", host.trim_end_matches('/').to_owned()));
                settings.push(("USE_SSL", (scheme != "http").to_string()));
                settings.push(("URL_STYLE", "path".to_owned()));
            }
            create("s3", &settings)
        }
        "az" => {
            let account = env("AZURE_STORAGE_ACCOUNT").or_else(|| env("AZURE_STORAGE_ACCOUNT_NAME"));
            let key = env("AZURE_STORAGE_KEY").or_else(|| env("AZURE_STORAGE_ACCOUNT_KEY"));
            let endpoint = env("AZURE_STORAGE_ENDPOINT");
            let connection = env("AZURE_STORAGE_CONNECTION_STRING").or_else(|| {
                let account = account.clone()?;
                if let Some(key) = key {
                    let elsewhere = endpoint.map(|endpoint| format!(";BlobEndpoint={endpoint}")).unwrap_or_default();
                    return Some(format!(
                        "DefaultEndpointsProtocol=https;AccountName={account};AccountKey={key}{elsewhere}"
                    ));
                }
                let signature = env("AZURE_STORAGE_SAS_TOKEN")?;
                let endpoint = endpoint.unwrap_or_else(|| format!("https://{account}.blob.core.windows.net"));
                Some(format!("BlobEndpoint={endpoint};SharedAccessSignature={}", signature.trim_start_matches('?')))
            });
            match (connection, account) {
                (Some(connection), _) => settings.push(("CONNECTION_STRING", connection)),
                (None, Some(account)) => {
                    settings.extend([("PROVIDER", "credential_chain".to_owned()), ("ACCOUNT_NAME", account)]);
                }
                (None, None) => return String::new(),
            }
            create("azure", &settings)
        }
        _ => String::new(),
    }
}

fn create(kind: &str, settings: &[(&str, String)]) -> String {
    let settings = settings.iter().map(|(name, value)| format!(", {name} '{}'", value.replace('\'', "''")));
    format!("CREATE OR REPLACE SECRET _archive (TYPE {kind}{});\n", settings.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_environment_knows_is_passed_on_and_the_rest_is_left_to_duckdb() {
        let aws = [
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "it's"),
            ("AWS_ENDPOINT", "http://127.0.0.1:5000/"),
        ];
        let azure = [("AZURE_STORAGE_ACCOUNT", "box"), ("AZURE_STORAGE_KEY", "key")];
        for (url, known, expected) in [
            ("/srv/archive", &aws[..], ""),
            ("gs://lake/a", &aws, ""),
            (
                "s3://lake/a",
                &aws,
                "CREATE OR REPLACE SECRET _archive (TYPE s3, SCOPE 's3://lake', KEY_ID 'id', SECRET 'it''s', \
                 ENDPOINT '127.0.0.1:5000', USE_SSL 'false', URL_STYLE 'path');\n",
            ),
            (
                "s3://lake/a",
                &[("AWS_PROFILE", "me"), ("AWS_REGION", "eu-central-1")],
                "CREATE OR REPLACE SECRET _archive (TYPE s3, SCOPE 's3://lake', PROVIDER 'credential_chain', PROFILE 'me', \
                 REGION 'eu-central-1');\n",
            ),
            (
                "az://box/a",
                &azure,
                "CREATE OR REPLACE SECRET _archive (TYPE azure, SCOPE 'az://box', CONNECTION_STRING \
                 'DefaultEndpointsProtocol=https;AccountName=box;AccountKey=key');\n",
            ),
            (
                "az://box/a",
                &[azure[0], azure[1], ("AZURE_STORAGE_ENDPOINT", "http://127.0.0.1:1/box")],
                "CREATE OR REPLACE SECRET _archive (TYPE azure, SCOPE 'az://box', CONNECTION_STRING \
                 'DefaultEndpointsProtocol=https;AccountName=box;AccountKey=key;BlobEndpoint=http://127.0.0.1:1/box');\n",
            ),
            (
                "az://box/a",
                &[azure[0], ("AZURE_STORAGE_SAS_TOKEN", "?sv=1&sig=2")],
                "CREATE OR REPLACE SECRET _archive (TYPE azure, SCOPE 'az://box', CONNECTION_STRING \
                 'BlobEndpoint=https://box.blob.core.windows.net;SharedAccessSignature=sv=1&sig=2');\n",
            ),
            (
                "az://box/a",
                &azure[..1],
                "CREATE OR REPLACE SECRET _archive (TYPE azure, SCOPE 'az://box', PROVIDER 'credential_chain', ACCOUNT_NAME 'box');\n",
            ),
        ] {
            assert_eq!(duckdb(url, &known.iter().copied().collect()), expected, "{url}");
        }
    }
}
