//! Cursors: hexadecimal text that holds a sync's whole state, grows with the number of its tables, and is refused by every
//! other deployment.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::{document::Timestamp, server::refusal::Refusal};

/// What is in front of every cursor: the version of its form.
const VERSION: &str = "01";

/// Digits of the check sum.
const CHECK: usize = 32;

/// Where a sync is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SyncState {
    pub(super) sync_id: String,
    /// What was sent of the tables in `synced` is their state at this moment.
    pub(super) ts: Timestamp,
    /// Values that were sent.
    pub(super) sent: u64,
    /// Tablets that were read through.
    pub(super) synced: Vec<[u8; 16]>,
    /// The tablet that is being read.
    pub(super) current: Option<Current>,
}

/// How far the tablet is that is being read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Current {
    pub(super) tablet: [u8; 16],
    /// The last `_id` that was read.
    pub(super) after: Option<String>,
    /// Documents that were read.
    pub(super) read: u64,
}

impl SyncState {
    /// # Errors
    /// `InvalidDataSyncCursor`, if it is none of this deployment's.
    pub(super) fn parse(text: &str, secret: [u8; 16]) -> Result<Self, Refusal> {
        let invalid = || Refusal::bad_request("InvalidDataSyncCursor", "Could not parse the data sync cursor");
        open(text, secret).ok_or_else(invalid)
    }

    pub(super) fn to_text(&self, secret: [u8; 16]) -> Result<String, Refusal> {
        seal(self, secret)
    }

    /// Whether what happened to this document of a tablet was sent, or would be a change of what was sent.
    pub(super) fn knows(&self, tablet: [u8; 16], id: &str) -> bool {
        self.synced.contains(&tablet)
            || self.current.as_ref().is_some_and(|current| {
                current.tablet == tablet && current.after.as_deref().is_some_and(|after| id <= after)
            })
    }
}

/// Any value as text that only its maker reads.
pub(crate) fn seal(value: &impl Serialize, secret: [u8; 16]) -> Result<String, Refusal> {
    let bytes = serde_json::to_vec(value).map_err(|_| Refusal::internal())?;
    Ok(format!("{VERSION}{}{}", check(&bytes, secret), hex::encode(bytes)))
}

/// The value that [`seal`] made text of, or `None` if it was not this, or not with this secret.
pub(crate) fn open<T: DeserializeOwned>(text: &str, secret: [u8; 16]) -> Option<T> {
    let (sum, bytes) = text.strip_prefix(VERSION)?.split_at_checked(CHECK)?;
    let bytes = hex::decode(bytes).ok()?;
    (sum == check(&bytes, secret)).then(|| serde_json::from_slice(&bytes).ok())?
}

fn check(bytes: &[u8], secret: [u8; 16]) -> String {
    let mut sum = hex::encode(Sha256::new().chain_update(secret).chain_update(bytes).finalize());
    sum.truncate(CHECK);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_with_another_digit_or_of_another_deployment_is_none() {
        let state = SyncState {
            sync_id: "s".to_owned(),
            ts: Timestamp(5),
            sent: 3,
            synced: vec![[1; 16], [2; 16]],
            current: Some(Current { tablet: [3; 16], after: Some("b".to_owned()), read: 1 }),
        };
        let text = state.to_text([7; 16]).unwrap();
        assert_eq!(SyncState::parse(&text, [7; 16]).unwrap(), state);
        assert!(SyncState::parse(&text, [8; 16]).is_err());
        for at in 0..text.len() {
            let digit = if text.as_bytes()[at] == b'0' { "1" } else { "0" };
            let changed = format!("{}{digit}{}", &text[..at], &text[at + 1..]);
            assert!(SyncState::parse(&changed, [7; 16]).is_err(), "{at}");
        }
        for odd in ["", "garbage", "01ff00", "é1"] {
            assert!(SyncState::parse(odd, [7; 16]).is_err());
        }
        assert!(state.knows([3; 16], "a") && state.knows([3; 16], "b") && !state.knows([3; 16], "c"));
        assert!(state.knows([1; 16], "z") && !state.knows([4; 16], "a"));
        let mut larger = state.clone();
        larger.synced.push([4; 16]);
        assert!(larger.to_text([7; 16]).unwrap().len() > text.len() + 32);
    }
}
