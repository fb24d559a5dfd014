//! Who may ask: the `Authorization` and `Convex-Client` headers.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use sha2::{Digest, Sha256};

use super::refusal::Refusal;

/// Lets a request pass that bears the deploy key, in any of the forms that Convex takes.
///
/// `query_key` is the value of `?adminKey=`, which counts only without the header.
pub(crate) fn check(headers: &HeaderMap, query_key: Option<&str>, key: &str) -> Result<(), Refusal> {
    check_client(headers)?;
    let Some(header) = headers.get(AUTHORIZATION) else {
        return match query_key {
            Some(given) => check_key(given, key),
            None => Err(bad_deploy_key()),
        };
    };
    let malformed = || Refusal::bad_request("InvalidHeaderFailure", "Invalid authentication header");
    let (scheme, given) = header.to_str().ok().and_then(|h| h.split_once(' ')).ok_or_else(malformed)?;
    match scheme.to_ascii_lowercase().as_str() {
        "convex" => check_key(given.trim(), key),
        // A user's token: whoever it names, it is no admin.
        "bearer" => Err(Refusal::unauthorized("InvalidAuthHeader", "This deployment knows no users")),
        _ => Err(malformed()),
    }
}

/// Whether this is the deploy key.
pub(crate) fn opens(given: &str, key: &str) -> bool {
    check_key(given, key).is_ok()
}

fn check_key(given: &str, key: &str) -> Result<(), Refusal> {
    // Digests are compared, so the time taken tells nothing of the key.
    if Sha256::digest(without_type(given)) == Sha256::digest(without_type(key)) {
        return Ok(());
    }
    Err(Refusal::unauthorized("BadAdminKey", "The provided admin key was invalid for this instance"))
}

/// `prod:name-123|secret` is the same key as `name-123|secret`.
fn without_type(key: &str) -> &str {
    match key.split_once('|') {
        Some((name, _)) => &key[name.rfind(':').map_or(0, |colon| colon + 1)..],
        None => key,
    }
}

fn bad_deploy_key() -> Refusal {
    Refusal::forbidden(
        "BadDeployKey",
        "The provided deploy key was invalid for this deployment. Double check that the environment this key was \
         generated for matches the desired deployment.",
    )
}

/// `Convex-Client: name-1.2.3`. Convex knows a few names of its own and refuses their old versions; others may be anything.
fn check_client(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(header) = headers.get("Convex-Client") else { return Ok(()) };
    let text = String::from_utf8_lossy(header.as_bytes());
    let invalid = || {
        Refusal::bad_request(
            "InvalidClientVersion",
            format!(
                "Failed to parse client version string: '{text}'. Expected format is {{client_name}}-{{semver}}, e.g. \
                 my-esolang-client-0.0.1"
            ),
        )
    };
    let (name, version) = split_version(&text).ok_or_else(invalid)?;
    if matches!(name, "npm" | "npm-cli") && version < [1, 0, 0] {
        return Err(Refusal::bad_request(
            "ClientVersionUnsupported",
            format!("The Convex client `{text}` is too old for this deployment: upgrade it."),
        ));
    }
    Ok(())
}

/// The name and the numbers of the version, which begins after the last dash that is followed by three numbers.
fn split_version(client: &str) -> Option<(&str, [u64; 3])> {
    client.match_indices('-').find_map(|(dash, _)| {
        let (name, version) = (&client[..dash], &client[dash + 1..]);
        let release = version.split(['-', '+']).next()?;
        let numbers: Vec<u64> = release.split('.').map(|n| n.parse().ok()).collect::<Option<_>>()?;
        Some((name, numbers.try_into().ok()?)).filter(|_| !name.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn answer(authorization: Option<&str>, client: Option<&str>, query_key: Option<&str>) -> String {
        let mut headers = HeaderMap::new();
        if let Some(a) = authorization {
            headers.insert(AUTHORIZATION, HeaderValue::from_str(a).unwrap());
        }
        if let Some(c) = client {
            headers.insert("Convex-Client", HeaderValue::from_str(c).unwrap());
        }
        match check(&headers, query_key, "prod:otter-1|secret") {
            Ok(()) => "ok".into(),
            Err(refusal) => format!("{refusal:?}"),
        }
    }

    #[test]
    fn takes_the_key_in_each_form_that_convex_takes() {
        for header in ["Convex otter-1|secret", "convex prod:otter-1|secret", "CONVEX dev:otter-1|secret"] {
            assert_eq!(answer(Some(header), None, None), "ok", "{header}");
        }
        assert_eq!(answer(None, None, Some("otter-1|secret")), "ok");
    }

    #[test]
    fn refuses_with_the_code_of_the_real_server() {
        let table = [
            (None, None, "BadDeployKey"),
            (Some("Convex otter-1|wrong"), None, "BadAdminKey"),
            (Some("Convex otter-2|secret"), None, "BadAdminKey"),
            (Some("abc"), None, "InvalidHeaderFailure"),
            (Some("Bearer x"), None, "InvalidAuthHeader"),
            (Some("Convex otter-1|secret"), Some("bogus"), "InvalidClientVersion"),
            (Some("Convex otter-1|secret"), Some("npm-0.1.0"), "ClientVersionUnsupported"),
        ];
        for (authorization, client, code) in table {
            assert!(answer(authorization, client, None).contains(&format!("code: \"{code}\"")), "{code}");
        }
        for client in ["convex-archiver-0.1.0", "fivetran-export-2.0.2", "x-1.0.0-beta.1", "npm-1.31.0"] {
            assert_eq!(answer(Some("Convex otter-1|secret"), Some(client), None), "ok", "{client}");
        }
    }
}
