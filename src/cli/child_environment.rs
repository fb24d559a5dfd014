//! What a program that we run finds in its environment: ours, without the keys of deployments.
//!
//! SQL can read the environment of DuckDB (`getenv`), and what it reads ends in answers, files and logs. Variables of clouds stay:
//! DuckDB finds credentials of stores by itself there.

use std::process::Command;

use super::memory;

/// Variables of ours and of Convex's own tools, keys among them.
const OURS: &str = "CONVEX_";

/// Takes keys, and what is only for this program, out of the environment of a child.
pub(super) fn clean(child: &mut Command) {
    memory::unset_for(child);
    for (name, value) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(OURS) || looks_like_a_key(&value.to_string_lossy()) {
            child.env_remove(name);
        }
    }
}

/// Whether a text has the form of a deploy key, `prod:NAME|SECRET`: it may stand in a variable of any name, such as one that
/// `--key-env` names.
fn looks_like_a_key(text: &str) -> bool {
    let Some((front, secret)) = text.trim().split_once('|') else { return false };
    let of =
        |text: &str, others: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || others.as_bytes().contains(&b));
    !front.is_empty() && of(front, ":_-") && secret.len() >= 8 && of(secret, "+/=_-.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_form_whatever_its_variable_is_called() {
        for (text, key) in [
            ("prod:happy-otter-123|eyJ2MiI6ImFiYyJ9", true),
            ("happy-otter-123|0123456789abcdef\n", true),
            ("preview:team:project|eyJ2MiI6ImFiYyJ9", true),
            ("| /usr/bin/lesspipe %s", false),
            ("", false),
            ("eu-central-1", false),
            ("wJalrXUtnFEMI/K7MDENG", false),
            ("a|b", false),
        ] {
            assert_eq!(looks_like_a_key(text), key, "{text}");
        }
    }
}
