//! [`Uploads`]: files that arrive in parts.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
};

use tempfile::{NamedTempFile, TempDir};

use crate::{
    error::{Error, Result},
    server::refusal::Refusal,
    temporary,
};

/// The least size of a part that is not the last.
const SMALLEST_PART: u64 = 5 << 20;
/// The number that no part may have.
const PARTS: u32 = 10_000;

/// Uploads under way.
#[derive(Default)]
pub(super) struct Uploads {
    begun: u64,
    under_way: BTreeMap<String, Upload>,
}

/// One upload: a file for each part, named by its number, and their sizes.
struct Upload {
    folder: TempDir,
    parts: BTreeMap<u32, u64>,
}

impl Uploads {
    /// Begins one, and names it.
    pub(super) fn begin(&mut self) -> Result<String> {
        self.begun += 1;
        let token = format!("upload-{}", self.begun);
        let folder = tempfile::tempdir().map_err(temporary::failed)?;
        self.under_way.insert(token.clone(), Upload { folder, parts: BTreeMap::new() });
        Ok(token)
    }

    /// Keeps a part; one of the same number is replaced.
    pub(super) fn part(&mut self, token: &str, number: u32, bytes: &[u8]) -> Result<String, Refusal> {
        let upload = self.under_way.get_mut(token).ok_or_else(unknown)?;
        if !(1..PARTS).contains(&number) {
            return Err(Refusal::bad_request("InvalidPartNumber", format!("{number} is no number of a part")));
        }
        fs::write(upload.folder.path().join(number.to_string()), bytes).map_err(temporary::failed)?;
        upload.parts.insert(number, bytes.len() as u64);
        Ok(part_token(token, number))
    }

    /// Puts the parts together.
    pub(super) fn finish(&mut self, token: &str, part_tokens: &[String]) -> Result<NamedTempFile, Refusal> {
        let upload = self.under_way.get(token).ok_or_else(unknown)?;
        let known = upload.parts.keys().map(|number| part_token(token, *number));
        if !known.eq(part_tokens.iter().cloned()) {
            return Err(Refusal::bad_request("InvalidPartTokens", "The part tokens are not those of this upload"));
        }
        let last = upload.parts.keys().next_back();
        if upload.parts.iter().any(|(number, size)| Some(number) != last && *size < SMALLEST_PART) {
            return Err(Refusal::bad_request("PartTooSmall", "Each part but the last has at least 5 MiB"));
        }
        let mut whole = tempfile::NamedTempFile::new().map_err(temporary::failed)?;
        for number in upload.parts.keys() {
            let part = File::open(upload.folder.path().join(number.to_string()));
            part.and_then(|mut part| io::copy(&mut part, &mut whole)).map_err(temporary::failed)?;
        }
        self.under_way.remove(token);
        Ok(whole)
    }
}

fn part_token(upload: &str, number: u32) -> String {
    format!("{upload}/{number}")
}

fn unknown() -> Refusal {
    Refusal::bad_request("InvalidUploadToken", "There is no such upload")
}

/// A whole file that was sent at once.
pub(super) fn whole(bytes: &[u8]) -> Result<NamedTempFile> {
    let file = NamedTempFile::new().map_err(temporary::failed)?;
    fs::write(file.path(), bytes).map_err(temporary::failed)?;
    Ok(file)
}

/// What a request with a body that cannot be read gets.
pub(super) fn bad_body(error: &serde_json::Error) -> Refusal {
    Refusal::bad_request("BadJsonBody", format!("Failed to deserialize the JSON body: {error}"))
}

/// What an import is told that its deployment refuses; everything else is for the monitor.
pub(super) fn refused(error: Error) -> Refusal {
    if error.kind() == crate::error::ErrorKind::Usage {
        Refusal::bad_request("ImportFailed", error.to_string())
    } else {
        error.into()
    }
}
