//! [`Settings`]: what a store is opened with, by the names that the clouds' own tools give to their environment variables.
//!
//! # Why not the process's environment
//! A program that embeds the library may keep its settings elsewhere, and open two stores of different accounts; a test that
//! needs a variable would change those of every other test. So they are handed in.
//!
//! The clouds' client libraries ask the process's environment themselves for a few things that no setting of theirs
//! reaches: `HTTPS_PROXY` and its kin, `GCE_METADATA_*`, `IDENTITY_HEADER`, `AZURITE_BLOB_STORAGE_URL`.

use std::{collections::BTreeMap, fmt};

/// Names and values: `AWS_REGION`, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT`, `HOME`, … For a folder
/// none is needed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, String>);

impl Settings {
    /// The value of a setting that is set to something.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The settings of a second place: those whose name begins with `prefix` count without it. Where one is of a kind of cloud (`AWS_`,
    /// `GOOGLE_`, `AZURE_`), none of the first place of that kind counts: keys and endpoints of two accounts are never mixed.
    #[must_use]
    pub fn of_second_place(&self, prefix: &str) -> Self {
        let own = self.0.iter().filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value)));
        let own: BTreeMap<String, String> = own.map(|(name, value)| (name.to_owned(), value.clone())).collect();
        let replaced =
            |name: &str| KINDS.iter().any(|kind| is_of(kind, name) && own.keys().any(|own| is_of(kind, own)));
        let kept = self.0.iter().filter(|(name, _)| !replaced(name) && !name.starts_with(prefix));
        let kept = kept.map(|(name, value)| (name.clone(), value.clone()));
        Self(kept.chain(own.clone()).collect())
    }

    /// Every setting whose name begins with `prefix`, in lower case as the stores' builders spell their keys.
    pub(super) fn keys<K: std::str::FromStr>(&self, prefix: &str) -> impl Iterator<Item = (K, &str)> {
        let of_cloud = self.0.iter().filter(move |(name, _)| name.starts_with(prefix));
        // What no builder knows is for other programs.
        of_cloud.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.as_str())))
    }
}

/// The beginnings of the names of each kind of cloud's settings.
const KINDS: [&[&str]; 3] = [
    &["AWS_"],
    &["GOOGLE_", "GCE_METADATA_", "SERVICE_ACCOUNT", "STORAGE_EMULATOR_HOST"],
    &["AZURE_", "IDENTITY_ENDPOINT"],
];

fn is_of(kind: &[&str], name: &str) -> bool {
    kind.iter().any(|begin| name.starts_with(begin))
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Settings {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(settings: I) -> Self {
        Self(settings.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// The names only: among the values are secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Settings").field(&self.0.keys().collect::<Vec<_>>()).finish()
    }
}

#[cfg(test)]
mod tests {
    use object_store::aws::AmazonS3ConfigKey;

    use super::*;

    #[test]
    fn what_is_set_to_nothing_is_not_set_and_secrets_are_not_shown() {
        let settings: Settings =
            [("AWS_REGION", "eu-north-1"), ("AWS_PROFILE", ""), ("HOME", "/secret")].into_iter().collect();
        assert_eq!((settings.get("AWS_REGION"), settings.get("AWS_PROFILE")), (Some("eu-north-1"), None));
        assert_eq!(settings.get("AWS_SECRET_ACCESS_KEY"), None);
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn a_second_place_takes_all_of_a_kind_from_its_own_settings_or_none() {
        let settings: Settings = [
            ("AWS_ACCESS_KEY_ID", "a"),
            ("AWS_SESSION_TOKEN", "b"),
            ("GOOGLE_APPLICATION_CREDENTIALS", "c"),
            ("STORAGE_EMULATOR_HOST", "d"),
            ("AZURE_STORAGE_ACCOUNT", "e"),
            ("HOME", "f"),
            ("COPY_AWS_ACCESS_KEY_ID", "g"),
            ("COPY_AZURE_STORAGE_KEY", "h"),
        ]
        .into_iter()
        .collect();
        let second = settings.of_second_place("COPY_");
        let expected: Settings = [
            ("AWS_ACCESS_KEY_ID", "g"),
            ("GOOGLE_APPLICATION_CREDENTIALS", "c"),
            ("STORAGE_EMULATOR_HOST", "d"),
            ("AZURE_STORAGE_KEY", "h"),
            ("HOME", "f"),
        ]
        .into_iter()
        .collect();
        assert!(second == expected, "{second:?}");
        // Without any it is the first.
        assert!(expected.of_second_place("COPY_") == expected);
    }

    #[test]
    fn a_cloud_takes_the_settings_that_bear_its_prefix_and_that_its_builder_knows() {
        let settings: Settings =
            [("AWS_REGION", "a"), ("AWS_PAGER", "less"), ("REGION", "b"), ("aws_region", "c")].into_iter().collect();
        let keys: Vec<(AmazonS3ConfigKey, &str)> = settings.keys("AWS_").collect();
        assert_eq!(keys, [(AmazonS3ConfigKey::Region, "a")]);
    }
}
