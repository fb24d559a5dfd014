//! The deploy key in force, and the one that takes its place when a key is rotated while a run goes on.
//!
//! A key that came from a file or from a command is got there again when the deployment does not know it any more (401). Only another
//! content is another key: the same one is never tried twice, so a wrong key fails as fast as ever.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use reqwest::header::HeaderValue;

use crate::{
    child,
    error::{Error, Result, ResultExt},
    monitor::Finding,
};

/// A deploy key. It has no `Display`, its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct DeployKey {
    text: String,
    header: HeaderValue,
}

impl DeployKey {
    /// A key as it was copied; white space around it is dropped.
    ///
    /// # Errors
    /// Usage, if it is empty or holds anything that a header cannot.
    pub fn new(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::usage("the deploy key is empty"));
        }
        let visible = text.bytes().all(|b| b.is_ascii_graphic());
        let Some(mut header) = visible.then(|| HeaderValue::try_from(format!("Convex {text}")).ok()).flatten() else {
            return Err(Error::usage(
                "the deploy key contains white space or characters that are not printable ASCII: copy it again, as one \
                 line",
            ));
        };
        header.set_sensitive(true);
        Ok(Self { text: text.to_owned(), header })
    }

    /// The value of the `Authorization` header, marked as sensitive.
    pub(super) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// `text` without this key or its secret half.
    pub(super) fn redact(&self, text: &str) -> String {
        let mut text = text.replace(&self.text, "…");
        if let Some((_, secret)) = self.text.split_once('|').filter(|(_, secret)| secret.len() >= 8) {
            text = text.replace(secret, "…");
        }
        text
    }

    /// The key itself, for the body of a request that asks about it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The deployment that the key names: `NAME` of `prod:NAME|…`, `dev:NAME|…`, `NAME|…`.
    pub fn deployment(&self) -> Option<&str> {
        match self.kind() {
            KeyKind::Cloud(name) | KeyKind::Admin(name) => Some(name),
            KeyKind::Nameless => None,
        }
    }

    pub(super) fn kind(&self) -> KeyKind<'_> {
        let Some((front, _)) = self.text.split_once('|') else { return KeyKind::Nameless };
        match front.split_once(':') {
            Some(("prod" | "dev", name)) if is_deployment_name(name) => KeyKind::Cloud(name),
            None if is_deployment_name(front) => KeyKind::Admin(front),
            _ => KeyKind::Nameless,
        }
    }
}

impl fmt::Debug for DeployKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeployKey(…)")
    }
}

/// What a key tells of its deployment.
pub(super) enum KeyKind<'a> {
    /// Of Convex's cloud, which knows the URL.
    Cloud(&'a str),
    /// Names a deployment, perhaps a self-hosted one.
    Admin(&'a str),
    /// `preview:team:project|…`, `project:team:project|…`, tokens.
    Nameless,
}

pub(super) fn is_deployment_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// Where a key can be got again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeySource {
    /// `--deploy-key-file`
    File(PathBuf),
    /// `--deploy-key-command`: a command line for the shell, which prints the key.
    Command(String),
}

impl KeySource {
    /// As messages name it. Of a command only the first word: the rest may hold secrets.
    fn name(&self) -> String {
        match self {
            Self::File(file) => format!("--deploy-key-file {}", file.display()),
            Self::Command(line) => {
                format!("--deploy-key-command `{} …`", line.split_whitespace().next().unwrap_or_default())
            }
        }
    }

    /// What is said of it when the same key comes again.
    fn repeated(&self) -> &'static str {
        match self {
            Self::File(_) => "was read again and holds the same key",
            Self::Command(_) => "was run again and printed the same key",
        }
    }

    /// The key. A file is read again when its key is refused, which a pipe or a device does not stand, and none of those is waited for.
    /// A command has a minute, and blocks this thread.
    ///
    /// # Errors
    /// Usage or Access, naming the flag.
    pub(super) fn key(&self) -> Result<DeployKey> {
        let key = match self {
            Self::File(file) => read_key(file),
            Self::Command(line) => child::output(child::shell(line)).and_then(|printed| {
                // What is no key is not shown: it may be a secret all the same.
                let text = String::from_utf8(printed).map_err(|_| Error::usage("its output is not text"))?;
                DeployKey::new(&text)
            }),
        };
        key.context(|| self.name())
    }
}

/// Every key that was in force, the newest last.
pub(super) struct Keys {
    known: RwLock<Vec<DeployKey>>,
    source: Option<KeySource>,
}

/// What came of looking for another key.
#[derive(Debug)]
pub(super) enum Renewal {
    /// There is another one than the one that was refused, and it is in force now. The first time it is told.
    Renewed(Option<Finding>),
    /// There is none. Where one was looked for, this is what came of it.
    Same(Option<String>),
}

impl Keys {
    /// `source`: where `key` came from, if it can be got there again.
    pub(super) fn new(key: DeployKey, source: Option<KeySource>) -> Self {
        Self { known: RwLock::new(vec![key]), source }
    }

    /// The key to ask with.
    pub(super) fn current(&self) -> DeployKey {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        // There is always one.
        known[known.len() - 1].clone()
    }

    /// `text` without any of the keys.
    pub(super) fn redact(&self, text: &str) -> String {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().fold(text.to_owned(), |text, key| key.redact(&text))
    }

    /// Looks for another key than `refused`. `check` says whether one may take its place.
    ///
    /// # Errors
    /// Whatever `check` says: a key of another deployment must not go unnoticed.
    pub(super) fn renew(&self, refused: &DeployKey, check: impl FnOnce(&DeployKey) -> Result<()>) -> Result<Renewal> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.last() != Some(refused) {
            // Another request was refused as well, and has looked already.
            return Ok(Renewal::Renewed(None));
        }
        let Some(source) = &self.source else { return Ok(Renewal::Same(None)) };
        let name = source.name();
        match source.key() {
            // A file that is just being written is none; its old key has been refused all the same.
            Err(error) => Ok(Renewal::Same(Some(format!("the new attempt failed: {error}")))),
            Ok(key) if key == *refused => Ok(Renewal::Same(Some(format!("{name} {}", source.repeated())))),
            Ok(key) => {
                check(&key).context(|| format!("{name}, read again because its key was refused"))?;
                known.push(key);
                Ok(Renewal::Renewed(Some(Finding::KeyRenewed { place: name })))
            }
        }
    }
}

fn read_key(file: &Path) -> Result<DeployKey> {
    let unreadable = |e: std::io::Error| Error::usage(format!("cannot read the file ({e})")).with_source(e);
    if !std::fs::metadata(file).map_err(unreadable)?.is_file() {
        return Err(Error::usage("it is not a regular file but a folder, a pipe or a device: put the key into a file"));
    }
    let bytes = std::fs::read(file).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| Error::usage("the file is not text"))?;
    DeployKey::new(&text)
}
