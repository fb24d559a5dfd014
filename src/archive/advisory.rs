//! `manifest.json`: what people, scripts and SQL read, and where our own readers begin. It shows exactly one committed version,
//! perhaps not the newest, and what it says of that version is right.
//!
//! It is advisory: it is proven by the commit of its version before anything of it is believed, and without it everything is
//! found in the log.

use bytes::Bytes;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, path::Path};
use serde::Deserialize;

use super::{
    head::{
        Head,
        text::{BEGINS, ReadHead},
    },
    log::Log,
    needs::PROGRAM,
};
use crate::{
    error::{ErrorKind, Result},
    layout,
    monitor::{Event, Finding, Monitor},
    store::{self, store_error},
};

/// The manifest as it was read.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) head: ReadHead,
    /// The bytes of the object.
    pub(super) text: Bytes,
}

/// Whether a manifest that says what holds at `head` says beside it what follows from that: SQL cannot find it out for
/// itself. Known only of what this program wrote.
pub(super) fn follows(text: &[u8], head: &Head, archive: &str) -> Result<bool> {
    #[derive(Deserialize)]
    struct WrittenBy<'a> {
        program: &'a str,
    }
    let ours = serde_json::from_slice::<WrittenBy<'_>>(text).is_ok_and(|written| written.program == PROGRAM);
    Ok(!ours || head.to_text(archive)? == text)
}

/// The id of the archive that a manifest says it is of.
pub(super) fn archive(text: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Of {
        archive: String,
    }
    serde_json::from_slice::<Of>(text).ok().map(|of| of.archive)
}

/// What `manifest.json` says; None, if it is not there or nothing can be made of it, which is a finding.
///
/// # Errors
/// Access, Unavailable, as the store says. Unsupported, if a reader must know what this program does not.
pub(super) async fn read(store: &dyn ObjectStore, monitor: &dyn Monitor) -> Result<Option<Manifest>> {
    let read = async {
        let Some(text) = store::get(store, layout::MANIFEST).await? else { return Ok(None) };
        ReadHead::parse(layout::MANIFEST, &text).map(|head| Some(Manifest { head, text }))
    };
    match read.await {
        Ok(read) => Ok(read),
        // What a newer program wrote may be read by nobody but it; the log says whether we may read on.
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => {
            monitor.report(Event::Finding(&Finding::ManifestUnreadable { why: error.to_string() }));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The version that `manifest.json` names, if it is there and begins as it should.
pub(super) async fn version(store: &dyn ObjectStore) -> Result<Option<u64>> {
    let options = GetOptions { range: Some(GetRange::Bounded(0..64)), ..GetOptions::default() };
    let read = async { store.get_opts(&Path::from(layout::MANIFEST), options).await?.bytes().await };
    match read.await {
        Ok(bytes) => Ok(parse_version(&bytes)),
        Err(e @ (object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. })) => {
            Err(store_error(e, &format!("cannot read {}", layout::MANIFEST)))
        }
        // An empty object has no first byte: some stores refuse the range. It is written anew.
        Err(_) => Ok(None),
    }
}

fn parse_version(bytes: &[u8]) -> Option<u64> {
    let rest = std::str::from_utf8(bytes).ok()?.strip_prefix(BEGINS)?;
    let (digits, _) = rest.split_once(',')?;
    digits.parse().ok()
}

/// Rewrites `manifest.json` to show `head`, of which all parts are written. One that already shows a newer version stays, if
/// the log has that version.
pub(super) async fn write(log: &Log, archive: &str, head: &Head) -> Result<()> {
    let (text, store) = (head.to_text(archive)?, log.store());
    if let Some(there) = version(store).await?
        && there > head.version()
        && log.has(there).await?
    {
        return Ok(());
    }
    let failed = |e| store_error(e, &format!("cannot write {}", layout::MANIFEST));
    store.put(&Path::from(layout::MANIFEST), text.into()).await.map(drop).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::FORMAT;

    #[test]
    fn every_text_begins_with_the_number_of_its_format() {
        assert_eq!(BEGINS, format!("{{\"format\":{FORMAT},\"version\":"));
    }

    #[test]
    fn the_version_is_read_from_the_first_bytes_and_anything_else_is_none() {
        assert_eq!(parse_version(br#"{"format":0,"version":42,"digest":"#), Some(42));
        for text in
            ["", "{", r#"{"format":0,"version":42"#, r#"{"format":1,"version":42,"#, r#"{"format":0,"version":x,"#]
        {
            assert_eq!(parse_version(text.as_bytes()), None, "{text}");
        }
    }
}
