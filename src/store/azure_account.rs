//! An account of Azure Blob Storage as people name it: by the connection string that the portal shows, or by the
//! variables of Microsoft's own tools, which the store's client knows by longer names only.

use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

use crate::error::{Error, Result};

use super::Settings;

/// The variables of Microsoft's tools, and what each one sets unless it is set already.
const ALSO: &[(&str, AzureConfigKey)] = &[
    ("AZURE_STORAGE_ACCOUNT", AzureConfigKey::AccountName),
    ("AZURE_STORAGE_KEY", AzureConfigKey::AccessKey),
    ("AZURE_STORAGE_SERVICE_ENDPOINT", AzureConfigKey::Endpoint),
];

/// Any of these says who we are, in the order in which the store's client looks for them.
const CREDENTIALS: &[(AzureConfigKey, &str)] = &[
    (AzureConfigKey::Token, "the token of AZURE_STORAGE_TOKEN"),
    (AzureConfigKey::AccessKey, "the key of the storage account"),
    (AzureConfigKey::FederatedTokenFile, "a workload identity, by AZURE_FEDERATED_TOKEN_FILE"),
    (AzureConfigKey::ClientId, "the application of AZURE_CLIENT_ID"),
    (AzureConfigKey::SasKey, "a shared access signature"),
    (AzureConfigKey::MsiEndpoint, "the managed identity, by IDENTITY_ENDPOINT"),
    (AzureConfigKey::FabricSessionToken, "a session of Fabric"),
];

/// Adds what the settings say in these other ways.
///
/// # Errors
/// Usage, if no account is named, or the connection string cannot be read. Its text, which holds the key, is not shown.
pub(super) fn complete(mut builder: MicrosoftAzureBuilder, given: &Settings) -> Result<MicrosoftAzureBuilder> {
    for (variable, key) in ALSO {
        if builder.get_config_value(key).is_none()
            && let Some(value) = given.get(variable)
        {
            builder = builder.with_config(*key, value);
        }
    }
    if let Some(text) = given.get("AZURE_STORAGE_CONNECTION_STRING") {
        for (key, value) in connection(text)? {
            if builder.get_config_value(&key).is_none_or(|v| v == "false") {
                builder = builder.with_config(key, value);
            }
        }
    }
    let emulator = is_set(&builder, AzureConfigKey::UseEmulator);
    if builder.get_config_value(&AzureConfigKey::AccountName).is_none() && !emulator {
        return Err(Error::usage(
            "no account for az://: set AZURE_STORAGE_ACCOUNT to the name of the storage account, or \
             AZURE_STORAGE_CONNECTION_STRING",
        ));
    }
    Ok(builder)
}

/// What says who we are, in words; None, if only the machine's own identity, or a tool that somebody signed in with, could.
pub(super) fn credentials(builder: &MicrosoftAzureBuilder) -> Option<&'static str> {
    if is_set(builder, AzureConfigKey::UseEmulator) {
        return Some("the key of the emulator");
    }
    if is_set(builder, AzureConfigKey::SkipSignature) {
        return Some("none: requests are not signed");
    }
    let given = |key: &AzureConfigKey| builder.get_config_value(key).is_some_and(|v| !v.is_empty());
    CREDENTIALS.iter().find(|(key, _)| given(key)).map(|(_, words)| *words)
}

/// Whether the Azure CLI is to be asked.
pub(super) fn is_by_cli(builder: &MicrosoftAzureBuilder) -> bool {
    is_set(builder, AzureConfigKey::UseAzureCli)
}

fn is_set(builder: &MicrosoftAzureBuilder, key: AzureConfigKey) -> bool {
    builder.get_config_value(&key).is_some_and(|v| v == "true")
}

/// What a connection string (`Name=value;Name=value`) sets. Pure.
fn connection(text: &str) -> Result<Vec<(AzureConfigKey, String)>> {
    let odd = || {
        Error::usage(
            "AZURE_STORAGE_CONNECTION_STRING cannot be read; copy it from the portal, for example \
             `DefaultEndpointsProtocol=https;AccountName=…;AccountKey=…;EndpointSuffix=core.windows.net`",
        )
    };
    let (mut settings, mut protocol, mut account, mut suffix, mut endpoint) = (Vec::new(), "https", None, None, None);
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        // Keys are base64 and end in `=`: the first one divides.
        let (name, value) = part.split_once('=').ok_or_else(odd)?;
        match name.to_ascii_lowercase().as_str() {
            "usedevelopmentstorage" => settings.push((AzureConfigKey::UseEmulator, value.to_owned())),
            "defaultendpointsprotocol" => protocol = value,
            "accountname" => account = Some(value),
            "accountkey" => settings.push((AzureConfigKey::AccessKey, value.to_owned())),
            "sharedaccesssignature" => settings.push((AzureConfigKey::SasKey, value.to_owned())),
            "endpointsuffix" => suffix = Some(value),
            "blobendpoint" => endpoint = Some(value.trim_end_matches('/').to_owned()),
            // Endpoints of queues, tables and files.
            _ => {}
        }
    }
    // With a signature there may be an endpoint and no name: then the name is the host's first label.
    let named =
        endpoint.as_deref().and_then(|e| url::Url::parse(e).ok()?.host_str()?.split('.').next().map(str::to_owned));
    let account = account.map(str::to_owned).or(named);
    if endpoint.is_none()
        && let (Some(account), Some(suffix)) = (&account, suffix)
    {
        endpoint = Some(format!("{protocol}://{account}.blob.{suffix}"));
    }
    settings.extend(account.map(|account| (AzureConfigKey::AccountName, account)));
    settings.extend(endpoint.map(|endpoint| (AzureConfigKey::Endpoint, endpoint)));
    if settings.is_empty() { Err(odd()) } else { Ok(settings) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn completed(variables: &[(&str, &str)]) -> Result<MicrosoftAzureBuilder> {
        complete(MicrosoftAzureBuilder::new(), &variables.iter().copied().collect())
    }

    #[test]
    fn an_account_is_found_under_every_name_that_people_have_for_it() {
        let portal =
            "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=a2V5==;EndpointSuffix=core.windows.net";
        let local = "AccountName=dev;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:10000/dev/;QueueEndpoint=http://q";
        let signed = "BlobEndpoint=https://shop.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=a%3D";
        for (variables, account, endpoint) in [
            (vec![("AZURE_STORAGE_ACCOUNT", "shop"), ("AZURE_STORAGE_KEY", "a2V5")], "shop", None),
            (vec![("AZURE_STORAGE_CONNECTION_STRING", portal)], "shop", Some("https://shop.blob.core.windows.net")),
            (vec![("AZURE_STORAGE_CONNECTION_STRING", local)], "dev", Some("http://127.0.0.1:10000/dev")),
            (vec![("AZURE_STORAGE_CONNECTION_STRING", signed)], "shop", Some("https://shop.blob.core.windows.net")),
        ] {
            let builder = completed(&variables).unwrap();
            let value = |key| builder.get_config_value(&key);
            assert_eq!(value(AzureConfigKey::AccountName).as_deref(), Some(account), "{variables:?}");
            assert_eq!(value(AzureConfigKey::Endpoint).as_deref(), endpoint, "{variables:?}");
            assert!(credentials(&builder).is_some(), "{variables:?}");
        }
        let emulated = completed(&[("AZURE_STORAGE_CONNECTION_STRING", "UseDevelopmentStorage=true")]).unwrap();
        assert_eq!(credentials(&emulated), Some("the key of the emulator"));
        let nameless = completed(&[("AZURE_STORAGE_ACCOUNT", "shop")]).unwrap();
        assert_eq!(credentials(&nameless), None);
    }

    #[test]
    fn an_account_that_is_not_named_or_cannot_be_read_is_a_usage_error_without_the_key() {
        for variables in [vec![], vec![("AZURE_STORAGE_CONNECTION_STRING", "secret")]] {
            let error = completed(&variables).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().contains("AZURE_STORAGE_") && !error.to_string().contains("secret"), "{error}");
        }
    }
}
