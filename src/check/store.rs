//! Whether a store takes what the verbs do there.

use bytes::Bytes;
use futures::StreamExt;
use object_store::{ObjectStore, path::Path};

use crate::{
    error::{Error, ErrorKind, Result},
    layout,
    store::{self, Location, PutNew, store_error},
};

use super::{Check, Subject};

/// A name that no archive has, in a folder whose files vacuum deletes.
const NOTHING: &str = "tables/convex-archiver-check";

/// Looks at the place of an archive: lists and reads; with `probe` it also writes the object `runs/check.json`, overwrites it and removes it
/// again. Where nothing may be deleted it stays.
pub async fn check_store(location: &Location, probe: bool) -> Vec<Check> {
    let store = location.store().as_ref();
    let mut checks = Vec::new();
    if let Some(credentials) = location.credentials() {
        checks.push(Check::good(Subject::Credentials, credentials));
    }
    checks.push(match read(store).await {
        Ok(()) => Check::good(
            Subject::StoreRead,
            "objects can be listed and read, so status, query, restore and the other reading verbs work",
        ),
        Err(error) => {
            Check::failed(Subject::StoreRead, &error, fix(&error, "list the bucket and read below the prefix"))
        }
    });
    let rest = [Subject::StoreWrite, Subject::StoreConditionalWrite, Subject::StoreOverwrite, Subject::StoreDelete];
    let unknown = |subjects: &[Subject], why: &str| -> Vec<Check> {
        subjects.iter().map(|subject| Check::unknown(*subject, why)).collect()
    };
    if !probe {
        checks.extend(unknown(&rest, "not tried, because of --read-only"));
        return checks;
    }
    match write(store).await {
        Ok(written) => {
            checks.extend(written);
            checks.push(delete(store).await);
        }
        Err(error) => {
            checks.push(Check::failed(Subject::StoreWrite, &error, fix(&error, "write below the prefix")));
            checks.extend(unknown(&rest[1..], "not tried, because nothing can be written"));
        }
    }
    checks
}

/// What to do about an error of the store, where these rights are needed.
fn fix(error: &Error, rights: &str) -> String {
    match error.kind() {
        ErrorKind::NotFound => "create the bucket, or correct the archive's URL".to_owned(),
        ErrorKind::Unavailable => "check the network from this machine, or run check again later".to_owned(),
        ErrorKind::Access => {
            format!("give credentials that may {rights}: terraform/modules/archive_policy has the policies")
        }
        _ => "correct the settings that the message names: the README's section \"Environment variables\" lists them"
            .to_owned(),
    }
}

async fn read(store: &dyn ObjectStore) -> Result<()> {
    store::get(store, layout::HEADER).await?;
    let listed = store.list(Some(&Path::from(layout::RUNS))).next().await;
    listed.transpose().map_err(|e| store_error(e, "cannot list the archive")).map(drop)
}

/// Writes the probe, as sync writes.
async fn write(store: &dyn ObjectStore) -> Result<Vec<Check>> {
    let text = |what: &str| Bytes::from(format!("{{\"written_by\":\"convex-archiver check\",\"put\":\"{what}\"}}\n"));
    // One that was left behind is as good as one that is made now.
    store::put_new(store, layout::PROBE, text("if absent")).await?;
    let mut checks = vec![Check::good(Subject::StoreWrite, "objects can be written, so sync works")];
    checks.push(match store::put_new(store, layout::PROBE, text("this must have been refused")).await {
        Ok(PutNew::Exists) => {
            Check::good(Subject::StoreConditionalWrite, "the store refuses to overwrite objects that are to be created \
                only if absent")
        }
        Ok(PutNew::Created) => Check::wrong(
            Subject::StoreConditionalWrite,
            "the store overwrote an object that it was told to create only if absent, so two writers could destroy each other's commits",
            "choose a store with conditional puts (If-None-Match)",
        ),
        Err(error) => Check::failed(
            Subject::StoreConditionalWrite,
            &error,
            "choose a store with conditional puts (If-None-Match), or run check again",
        ),
    });
    let overwritten = text("over it");
    checks.push(match overwrite(store, overwritten.clone()).await {
        Ok(()) => match store::get(store, layout::PROBE).await {
            Ok(Some(found)) if found == overwritten => Check::good(
                Subject::StoreOverwrite,
                "manifest.json and the other objects that repeat the log can be brought up to date",
            ),
            Ok(_) => Check::wrong(
                Subject::StoreOverwrite,
                "after an object was overwritten, the store still returns something else",
                "choose a strongly consistent store, without a cache in front of it",
            ),
            Err(error) => Check::failed(Subject::StoreOverwrite, &error, "let the credentials read below the prefix"),
        },
        Err(error) => Check::failed(
            Subject::StoreOverwrite,
            &error,
            "let the credentials overwrite manifest.json, sentinel.json, lease.json and runs/ (Google Cloud asks for storage.objects.delete)",
        ),
    });
    Ok(checks)
}

async fn overwrite(store: &dyn ObjectStore, bytes: Bytes) -> Result<()> {
    let put = store.put_opts(&Path::from(layout::PROBE), bytes.into(), object_store::PutOptions::default()).await;
    put.map(drop).map_err(|e| store_error(e, &format!("cannot overwrite {}", layout::PROBE)))
}

/// Removes the probe, and sees whether files of the archive could be deleted: by a name that is not there.
async fn delete(store: &dyn ObjectStore) -> Check {
    let left = match store::delete(store, vec![layout::PROBE.to_owned()]).await {
        Ok(_) => "",
        Err(_) => ". The test object runs/check.json stays there and is harmless",
    };
    match store::delete(store, vec![NOTHING.to_owned()]).await {
        Ok(_) => Check::good(Subject::StoreDelete, format!("files can be deleted, so vacuum and forget work{left}")),
        Err(error) if is_refusal(&error) => Check::note(
            Subject::StoreDelete,
            format!(
                "files cannot be deleted: vacuum and forget do not work with these credentials, but sync does{left}"
            ),
        ),
        Err(error) => {
            Check::note(Subject::StoreDelete, format!("cannot determine whether files can be deleted: {error}{left}"))
        }
    }
}

fn is_refusal(error: &Error) -> bool {
    error.kind() == ErrorKind::Access
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;
    use crate::{check::CheckResult, store::faults::FaultyStore};

    fn results(checks: &[Check]) -> Vec<(Subject, CheckResult)> {
        checks.iter().map(|check| (check.subject, check.result)).collect()
    }

    #[tokio::test]
    async fn a_store_that_overwrites_is_found_and_nothing_is_left_behind() {
        use CheckResult::{Good, Wrong};
        for (store, expected) in [
            (Arc::new(InMemory::new()) as Arc<dyn ObjectStore>, Good),
            (Arc::new(FaultyStore::that_overwrites(Arc::new(InMemory::new()))), Wrong),
        ] {
            let written = write(store.as_ref()).await.unwrap();
            assert_eq!(
                results(&written),
                [
                    (Subject::StoreWrite, Good),
                    (Subject::StoreConditionalWrite, expected),
                    (Subject::StoreOverwrite, Good)
                ]
            );
            assert_eq!(delete(store.as_ref()).await.result, Good);
            assert!(store.list(None).next().await.is_none());
            // Once more, after one that was left behind.
            overwrite(store.as_ref(), Bytes::from_static(b"left")).await.unwrap();
            assert_eq!(results(&write(store.as_ref()).await.unwrap())[0], (Subject::StoreWrite, Good));
        }
    }
}
