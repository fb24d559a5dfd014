//! What the errors of a store mean for us, and what to do about them.

use object_store::client::{HttpError, HttpErrorKind};

use crate::{
    certificates,
    error::{Error, ErrorKind},
};

/// What an error of the store means: a kind and a sentence, with `doing` in front (`cannot write log/…`).
///
/// The store has already retried what is worth retrying.
pub(crate) fn store_error(error: object_store::Error, doing: &str) -> Error {
    // Of a program that should have printed credentials: it says best what is wrong.
    if let Some(own) = own_error(&error) {
        return Error::new(own.kind(), format!("{doing}: {own}")).with_source(error);
    }
    let (kind, advice) = judge(&error);
    Error::new(kind, format!("{doing}: {advice}")).with_source(error)
}

/// An error of ours that the store's client has handed on.
fn own_error(error: &object_store::Error) -> Option<&Error> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(own) = error.downcast_ref() {
            return Some(own);
        }
        cause = error.source();
    }
    None
}

fn judge(error: &object_store::Error) -> (ErrorKind, &'static str) {
    use object_store::Error as E;
    if let Some(found) = io_kind(error).and_then(judge_io) {
        return found;
    }
    if let Some(advice) = certificates::advice(error) {
        return (ErrorKind::Usage, advice);
    }
    let text = texts(error);
    if let Some((_, kind, advice)) = CODES.iter().find(|(code, ..)| codes(&text).any(|found| found == *code)) {
        return (*kind, advice);
    }
    if let Some((_, kind, advice)) = PHRASES.iter().find(|(phrase, ..)| text.contains(phrase)) {
        return (*kind, advice);
    }
    match error {
        E::NotFound { .. } => (ErrorKind::NotFound, "there is no such object or bucket; check the archive's URL"),
        E::PermissionDenied { .. } => {
            (ErrorKind::Access, "the store refused; the credentials lack the permission to read, write and list there")
        }
        E::Unauthenticated { .. } => (ErrorKind::Access, "the store does not accept the credentials; check them"),
        // A race for a name is no error but an outcome ([`put_new`](super::put_new)); other names are nobody else's.
        E::AlreadyExists { .. } | E::Precondition { .. } => (ErrorKind::Unavailable, CONFLICT),
        E::InvalidPath { .. } => (ErrorKind::Usage, "the store cannot hold such a path; choose another archive URL"),
        E::UnknownConfigurationKey { .. } => (ErrorKind::Usage, "the store does not know this setting"),
        E::NotImplemented { .. } | E::NotSupported { .. } => {
            (ErrorKind::Usage, "the store cannot do what an archive needs; choose another store or change its settings")
        }
        _ if no_answer(error) => (ErrorKind::Unavailable, AWAY),
        _ => (ErrorKind::Unavailable, "the store gave an unexpected answer; run again later, nothing is lost"),
    }
}

/// Whether no connection came about, or no answer in time.
fn no_answer(error: &object_store::Error) -> bool {
    causes(error)
        .find_map(|e| e.downcast_ref::<HttpError>())
        .is_some_and(|e| matches!(e.kind(), HttpErrorKind::Connect | HttpErrorKind::Timeout))
}

const AWAY: &str =
    "the store does not answer; check the network, and the endpoint if one is set. Run again later, nothing is lost";

const BUSY: &str = "the store asks for fewer requests; run again later, nothing is lost";

const CONFLICT: &str =
    "the store says that another operation on the object is in progress; run again later, nothing is lost";

/// The stores' own error codes that tell more than the type of an error: of S3, Google Cloud Storage and Azure.
const CODES: &[(&str, ErrorKind, &str)] = &[
    ("NoSuchBucket", ErrorKind::NotFound, "the bucket does not exist; check its name or create it"),
    ("ContainerNotFound", ErrorKind::NotFound, "the container does not exist; check its name or create it"),
    ("ContainerBeingDeleted", ErrorKind::NotFound, "the container is being deleted; choose another one"),
    (
        "NoSuchUpload",
        ErrorKind::Unavailable,
        "the store no longer knows a multipart upload; run again, nothing is lost",
    ),
    (
        "InvalidBlockList",
        ErrorKind::Unavailable,
        "the store no longer knows a multipart upload; run again, nothing is lost",
    ),
    // Of the credentials.
    ("ExpiredToken", ErrorKind::Access, "the credentials have expired; renew them"),
    ("InvalidToken", ErrorKind::Access, "the session token is not valid; check AWS_SESSION_TOKEN"),
    ("InvalidAccessKeyId", ErrorKind::Access, "the store does not know the access key; check AWS_ACCESS_KEY_ID"),
    (
        "SignatureDoesNotMatch",
        ErrorKind::Access,
        "the secret key does not belong to the access key; check AWS_SECRET_ACCESS_KEY",
    ),
    (
        "RequestTimeTooSkewed",
        ErrorKind::Access,
        "this machine's clock is wrong, so the store refuses its signatures; set the clock",
    ),
    (
        "AuthenticationFailed",
        ErrorKind::Access,
        "the store does not accept the credentials: a wrong AZURE_STORAGE_KEY, an expired signature, or a wrong clock",
    ),
    (
        "AuthorizationFailure",
        ErrorKind::Access,
        "the store refused: a wrong AZURE_STORAGE_KEY or signature, or the account's firewall blocks this network",
    ),
    (
        "InvalidAuthenticationInfo",
        ErrorKind::Access,
        "the store does not accept the credentials; check AZURE_STORAGE_KEY or renew the token",
    ),
    (
        "AuthorizationPermissionMismatch",
        ErrorKind::Access,
        "the store refused; the identity or signature lacks the permission to read, write and list there",
    ),
    // Of a listing: the client knows only that a request for an object was refused.
    (
        "AccessDenied",
        ErrorKind::Access,
        "the store refused; the credentials lack the permission to read, write and list there",
    ),
    ("AccountIsDisabled", ErrorKind::Access, "the storage account is disabled; enable it"),
    (
        "KeyBasedAuthenticationNotPermitted",
        ErrorKind::Access,
        "the account does not accept keys; use an identity: AZURE_CLIENT_ID …",
    ),
    // Of the place.
    (
        "AuthorizationHeaderMalformed",
        ErrorKind::Usage,
        "the bucket is in another region; set AWS_REGION to that region",
    ),
    ("PermanentRedirect", ErrorKind::Usage, "the bucket is in another region; set AWS_REGION to that region"),
    (
        "NotImplemented",
        ErrorKind::Usage,
        "the store lacks a feature that an archive needs, such as puts that create an object only if it is absent \
         (If-None-Match); choose another store",
    ),
    ("OperationAborted", ErrorKind::Unavailable, CONFLICT),
    ("ConditionalRequestConflict", ErrorKind::Unavailable, CONFLICT),
    ("SlowDown", ErrorKind::Unavailable, BUSY),
    ("ServerBusy", ErrorKind::Unavailable, BUSY),
];

/// Words in the text of an error, where there is no code: what the clients say themselves, and where credentials were
/// looked for in vain.
const PHRASES: &[(&str, ErrorKind, &str)] = &[
    (
        "computeMetadata",
        ErrorKind::Access,
        "no credentials: none in the environment and no metadata server here; set GOOGLE_APPLICATION_CREDENTIALS",
    ),
    (
        "metadata/identity",
        ErrorKind::Access,
        "no credentials: none in the environment and no managed identity here; set AZURE_STORAGE_KEY or another one",
    ),
    (
        "169.254.169.254",
        ErrorKind::Access,
        "no credentials: none in the environment and no instance metadata here; for S3 set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    ("invalid_grant", ErrorKind::Access, "Google does not accept the credentials; renew them"),
    ("without LOCATION", ErrorKind::Usage, "the bucket is in another region; set AWS_REGION to that region"),
    (
        "URL scheme is not allowed",
        ErrorKind::Usage,
        "plain http to the store must be allowed: AWS_ALLOW_HTTP=true, AZURE_ALLOW_HTTP=true",
    ),
    // The answer to HEAD has no body, so no code.
    ("status code: 503", ErrorKind::Unavailable, BUSY),
    ("status code: 429", ErrorKind::Unavailable, BUSY),
    (
        "dns error",
        ErrorKind::Unavailable,
        "the store's host name cannot be resolved; check the network, and the endpoint or account name. Run again \
         later, nothing is lost",
    ),
];

/// The error codes in the XML of an answer, and those of single objects of which many were to be deleted at once, which the client tells in
/// words of its own.
pub(super) fn codes(text: &str) -> impl Iterator<Item = &str> {
    let between = |open: &'static str, close: char| {
        text.split(open).skip(1).filter_map(move |rest| Some(rest.split_once(close)?.0))
    };
    between("<Code>", '<').chain(between("(code: ", ')'))
}

fn judge_io(kind: std::io::ErrorKind) -> Option<(ErrorKind, &'static str)> {
    use std::io::ErrorKind as K;
    Some(match kind {
        K::PermissionDenied => (ErrorKind::Access, "permission denied; run as a user who may write there"),
        K::ReadOnlyFilesystem => (ErrorKind::Access, "the disk is mounted read-only"),
        K::StorageFull | K::QuotaExceeded => (ErrorKind::Resource, "the disk is full; free some space and run again"),
        K::FileTooLarge => (ErrorKind::Resource, "the disk's file system cannot hold a file that large"),
        K::NotADirectory | K::AlreadyExists => {
            (ErrorKind::Usage, "there is a file where a folder is needed; choose another archive path")
        }
        _ => return None,
    })
}

/// The kind of the I/O error behind an error of a local disk. (What a network client says of its sockets means something
/// else.)
fn io_kind(error: &object_store::Error) -> Option<std::io::ErrorKind> {
    match error {
        object_store::Error::Generic { store: "LocalFileSystem" | DISK, .. } => {
            causes(error).find_map(|e| e.downcast_ref::<std::io::Error>()).map(std::io::Error::kind)
        }
        _ => None,
    }
}

/// What an I/O error of a local disk means, with `doing` in front.
pub(crate) fn disk_error(error: std::io::Error, doing: &str) -> Error {
    store_error(object_store::Error::Generic { store: DISK, source: Box::new(error) }, doing)
}

const DISK: &str = "disk";

fn texts(error: &object_store::Error) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn causes(error: &object_store::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |e| e.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_a_store_has_the_kind_of_what_to_do() {
        let generic =
            |source: Box<dyn std::error::Error + Send + Sync>| object_store::Error::Generic { store: "S3", source };
        let socket = |kind| generic(Box::new(std::io::Error::from(kind)));
        let io = |kind: std::io::ErrorKind| object_store::Error::Generic {
            store: "LocalFileSystem",
            source: Box::new(std::io::Error::from(kind)),
        };
        let denied = object_store::Error::PermissionDenied { path: "x".into(), source: "403".into() };
        for (error, kind) in [
            (io(std::io::ErrorKind::StorageFull), ErrorKind::Resource),
            (io(std::io::ErrorKind::PermissionDenied), ErrorKind::Access),
            (socket(std::io::ErrorKind::TimedOut), ErrorKind::Unavailable),
            (socket(std::io::ErrorKind::PermissionDenied), ErrorKind::Unavailable),
            (generic("PUT http://169.254.169.254/latest/api/token".into()), ErrorKind::Access),
            (generic("<Code>NoSuchBucket</Code>".into()), ErrorKind::NotFound),
            (generic("403 <Code>AccessDenied</Code>".into()), ErrorKind::Access),
            (
                generic("DeleteObjects request failed for key a: Access Denied (code: AccessDenied)".into()),
                ErrorKind::Access,
            ),
            (generic("503 <Code>SlowDown</Code>".into()), ErrorKind::Unavailable),
            (generic("501 <Code>NotImplemented</Code>".into()), ErrorKind::Usage),
            (generic("404 <Code>ContainerNotFound</Code>".into()), ErrorKind::NotFound),
            (generic("error trying to connect: dns error".into()), ErrorKind::Unavailable),
            // A table may be called so.
            (generic("503 for /lake/tables/NoSuchBucket/a.parquet".into()), ErrorKind::Unavailable),
            (denied, ErrorKind::Access),
        ] {
            let text = error.to_string();
            let ours = store_error(error, "cannot write x");
            assert_eq!(ours.kind(), kind, "{text}");
            assert!(ours.to_string().starts_with("cannot write x: "));
        }
        for (kind, advice) in [
            (HttpErrorKind::Connect, "the store does not answer; check the network"),
            (HttpErrorKind::Timeout, "the store does not answer; check the network"),
            (HttpErrorKind::Decode, "the store gave an unexpected answer"),
        ] {
            let ours =
                store_error(generic(Box::new(HttpError::new(kind, std::io::Error::other("x")))), "cannot write x");
            assert!(ours.to_string().starts_with(&format!("cannot write x: {advice}")), "{ours}");
            assert_eq!(ours.kind(), ErrorKind::Unavailable);
        }
        for busy in ["<Code>SlowDown</Code>", "Server returned non-2xx status code: 503 Service Unavailable: "] {
            let ours = store_error(generic(busy.into()), "cannot write x");
            assert!(ours.to_string().ends_with(BUSY), "{ours}");
        }
    }
}
