//! Credentials for S3 as people keep them: what the settings lack is taken from the files of the AWS tools.

use std::{path::PathBuf, sync::Arc};

use configparser::ini::{Ini, IniDefault};
use object_store::aws::AmazonS3Builder;

use crate::error::{Error, Result};

use super::{
    Settings,
    machine_role::has_machine_role,
    process_credentials::{ProcessCredentials, is_installed},
};

/// Any of these says where credentials come from, in this order; the store's client looks after them.
const IN_SETTINGS: &[(&str, &str)] = &[
    ("AWS_SKIP_SIGNATURE", "none, because AWS_SKIP_SIGNATURE is set and requests are not signed"),
    ("AWS_ACCESS_KEY_ID", "the key of AWS_ACCESS_KEY_ID"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "the role of AWS_ROLE_ARN, by the token of AWS_WEB_IDENTITY_TOKEN_FILE"),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "the role of the ECS task"),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "the role of the container, by AWS_CONTAINER_CREDENTIALS_FULL_URI"),
];

/// Another address of the machine's role.
const METADATA: &str = "AWS_METADATA_ENDPOINT";

/// Says, when it is `true`, that the machine has no role, or that it is not to be asked.
const NO_METADATA: &str = "AWS_EC2_METADATA_DISABLED";

/// What a profile of `~/.aws/credentials` or `~/.aws/config` says.
// No Debug: it holds secrets.
#[derive(Default, PartialEq, Eq)]
struct Profile {
    key: Option<String>,
    secret: Option<String>,
    token: Option<String>,
    region: Option<String>,
    endpoint: Option<String>,
    /// A command line that prints credentials.
    process: Option<String>,
    /// It gets its credentials in a way that only the AWS tools know.
    elsewhere: bool,
}

/// Adds what the settings lack, and tells in words where the credentials come from.
///
/// # Errors
/// Access, if there are no credentials anywhere: neither in the settings nor in a profile, and this is no machine of
/// AWS with a role. Asked here, because the store's client would try for minutes.
pub(super) fn complete(mut builder: AmazonS3Builder, settings: &Settings) -> Result<(AmazonS3Builder, String)> {
    let is_set = |name: &str| settings.get(name).is_some();
    let no_metadata = settings.get(NO_METADATA).is_some_and(|text| text.eq_ignore_ascii_case("true"));
    if let Some((_, words)) = IN_SETTINGS.iter().find(|(name, _)| is_set(name)) {
        return Ok((builder, (*words).to_owned()));
    }
    if is_set(METADATA) && !no_metadata {
        return Ok((builder, format!("the role of the machine, by {METADATA}")));
    }
    let chosen = settings.get("AWS_PROFILE");
    let name = chosen.unwrap_or("default");
    let file = |variable: &str, name: &str| {
        let home = settings.get("HOME").or_else(|| settings.get("USERPROFILE")).unwrap_or_default();
        let path = settings.get(variable).map_or_else(|| PathBuf::from(home).join(".aws").join(name), PathBuf::from);
        std::fs::read_to_string(path).unwrap_or_default()
    };
    let mut profile = Profile::default();
    profile.read(&file("AWS_CONFIG_FILE", "config"), name, true);
    profile.read(&file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), name, false);
    if let Some(region) = profile.region.filter(|_| !is_set("AWS_REGION") && !is_set("AWS_DEFAULT_REGION")) {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = profile.endpoint.filter(|_| !is_set("AWS_ENDPOINT_URL")) {
        builder = builder.with_endpoint(endpoint);
    }
    let of_profile = format!("the AWS profile `{name}`");
    // The order is that of the AWS tools: a profile with a role does not mean the keys that stand beside it.
    match (profile.key, profile.secret) {
        _ if profile.elsewhere && is_installed("aws", settings) => {
            let credentials = Arc::new(ProcessCredentials::of_aws_cli(name));
            Ok((builder.with_credentials(credentials), format!("{of_profile}, by the AWS CLI")))
        }
        _ if profile.elsewhere => Err(Error::access(format!(
            "{of_profile} signs in through SSO or a role, which only the AWS CLI can do, but `aws` is not on the PATH; \
             install it, or run \
             `eval \"$(aws configure export-credentials --profile {name} --format env)\"` where it is installed"
        ))),
        (Some(key), Some(secret)) => {
            builder = builder.with_access_key_id(key).with_secret_access_key(secret);
            Ok((profile.token.into_iter().fold(builder, AmazonS3Builder::with_token), of_profile))
        }
        _ if profile.process.is_some() => {
            let line = profile.process.unwrap_or_default();
            let credentials = Arc::new(ProcessCredentials::of_line(line));
            Ok((builder.with_credentials(credentials), format!("{of_profile}, by its credential_process")))
        }
        _ if chosen.is_some() => Err(Error::access(format!(
            "the AWS profile `{name}` of AWS_PROFILE holds no credentials; check ~/.aws/credentials"
        ))),
        _ if !no_metadata && has_machine_role() => Ok((builder, "the role of the machine".to_owned())),
        _ => Err(Error::access(
            "no credentials for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_REGION), or AWS_PROFILE",
        )),
    }
}

impl Profile {
    /// Takes what the text of a profile file says of the profile `name`. In `config` files sections are called `profile X`.
    /// A file that cannot be read says nothing.
    fn read(&mut self, text: &str, name: &str, config: bool) {
        let mut file = Ini::new_from_defaults(as_aws_writes());
        if file.read(text.to_owned()).is_err() {
            return;
        }
        let is_named = |section: &str| match section.strip_prefix("profile") {
            Some(of_config) if config && name != "default" => of_config.trim() == name,
            _ => (!config || name == "default") && section == name,
        };
        let sections = file.get_map_ref().iter().filter(|(section, _)| is_named(section));
        for (key, value) in sections.flat_map(|(_, settings)| settings) {
            let value = value.clone().filter(|value| !value.is_empty());
            match key.as_str() {
                "aws_access_key_id" => self.key = value,
                "aws_secret_access_key" => self.secret = value,
                "aws_session_token" => self.token = value,
                "region" => self.region = value,
                "endpoint_url" => self.endpoint = value,
                "credential_process" => self.process = value,
                "sso_session" | "sso_start_url" | "role_arn" | "login_session" => {
                    self.elsewhere = true;
                }
                _ => {}
            }
        }
    }
}

/// How the AWS tools write INI files: indented lines go on with the setting above them (a nested one), and a secret may
/// hold the signs that begin a comment elsewhere.
fn as_aws_writes() -> IniDefault {
    let mut form = IniDefault::default();
    // What stands before the first section belongs to none.
    form.default_section = String::new();
    form.comment_symbols = vec!['#', ';'];
    form.enable_inline_comments = false;
    form.delimiters = vec!['='];
    form.case_sensitive = true;
    form.multiline = true;
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_gathered_from_both_files() {
        let config =
            "[default]\nregion = eu-west-1\n[profile shop]\nregion=eu-north-1\ns3 =\n  region = no\n; region=no\n";
        let credentials =
            "[default]\naws_access_key_id = A\naws_secret_access_key = B=\n\n[shop]\naws_access_key_id=C\n";
        let profile = |name: &str| {
            let mut profile = Profile::default();
            profile.read(config, name, true);
            profile.read(credentials, name, false);
            profile
        };
        let text = |s: &str| Some(s.to_owned());
        let default = profile("default");
        assert_eq!((default.region, default.key, default.secret), (text("eu-west-1"), text("A"), text("B=")));
        let shop = profile("shop");
        assert_eq!((shop.region, shop.key, shop.secret), (text("eu-north-1"), text("C"), None));
        assert!(profile("other") == Profile::default());
    }

    #[test]
    fn what_aws_files_hold_beside_plain_settings_is_read_as_its_own_tools_read_it() {
        let text = "region = before\n[ p ]\n# region = no\naws_access_key_id = A#1;x:y\naws_secret_access_key=a/b+c==\nregion =\n\
                    s3 =\n    endpoint_url = no\n[p]\nendpoint_url = http://127.0.0.1:9000/\n[q]\nregion = no\n";
        let mut profile = Profile::default();
        profile.read(text, "p", false);
        let found = [profile.key, profile.secret, profile.region, profile.endpoint].map(Option::unwrap_or_default);
        assert_eq!(found, ["A#1;x:y", "a/b+c==", "", "http://127.0.0.1:9000/"]);
    }

    #[test]
    fn a_profile_that_signs_in_elsewhere_is_told_from_one_without_credentials() {
        let mut profile = Profile::default();
        profile.read("[profile p]\nsso_session = x\n", "p", true);
        assert!(profile.elsewhere && profile.process.is_none());
        let mut profile = Profile::default();
        profile.read("[profile p]\ncredential_process = /opt/get \"a b\" --x=1\n", "p", true);
        assert!(!profile.elsewhere);
        assert_eq!(profile.process.as_deref(), Some("/opt/get \"a b\" --x=1"));
    }

    #[test]
    fn where_credentials_come_from_is_told_in_the_order_of_the_aws_tools() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let tools = dir.path().join("tools");
        std::fs::create_dir_all(home.join(".aws")).unwrap();
        std::fs::create_dir_all(&tools).unwrap();
        std::fs::write(
            home.join(".aws/config"),
            "[profile keys]\nregion = x\n[profile sso]\nsso_session = s\n[profile run]\ncredential_process = get\n\
             [profile role]\nrole_arn = r\naws_access_key_id = A\naws_secret_access_key = B\n",
        )
        .unwrap();
        std::fs::write(home.join(".aws/credentials"), "[keys]\naws_access_key_id = A\naws_secret_access_key = B\n")
            .unwrap();
        std::fs::write(tools.join(if cfg!(windows) { "aws.exe" } else { "aws" }), "").unwrap();
        let found = |profile: &str, path: &std::path::Path, more: &[(&str, &str)]| {
            let base = [("HOME", home.to_str().unwrap()), ("AWS_PROFILE", profile), ("PATH", path.to_str().unwrap())];
            let settings: Settings = base.iter().chain(more).copied().collect();
            complete(AmazonS3Builder::new(), &settings).map(|(_, words)| words)
        };
        let nowhere = dir.path().join("nowhere");
        for (profile, path, expected) in [
            ("keys", &nowhere, "the AWS profile `keys`"),
            ("run", &nowhere, "the AWS profile `run`, by its credential_process"),
            ("sso", &tools, "the AWS profile `sso`, by the AWS CLI"),
            // The role, not the keys beside it.
            ("role", &tools, "the AWS profile `role`, by the AWS CLI"),
        ] {
            assert_eq!(found(profile, path, &[]).unwrap(), expected);
        }
        let error = found("sso", &nowhere, &[]).unwrap_err().to_string();
        assert!(error.contains("export-credentials --profile sso"), "{error}");
        assert!(found("none", &tools, &[]).unwrap_err().to_string().contains("no credentials"));
        let ecs = found("sso", &nowhere, &[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x")]).unwrap();
        assert_eq!(ecs, "the role of the ECS task");
    }
}
