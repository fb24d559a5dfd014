//! What can go wrong, sorted by what the person or program who called has to do about it.
//!
//! Inside the library a small enum is used only where the caller branches on it. Expected outcomes (a lost race for a
//! commit, say) are values, findings of a check are data; an [`Error`] ends the verb.

use std::fmt;

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Says what to do about an [`Error`]. Two errors have the same kind if and only if the caller would act alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request makes no sense: fix the flag, the environment variable or the configuration named in the message.
    Usage,
    /// There is no archive (or no such object) at the place named: check the URL.
    NotFound,
    /// The deployment or the store refused: fix the key, the permission or the plan.
    Access,
    /// The deployment or the store does not answer as it should: run again later, nothing is lost.
    Unavailable,
    /// The deployment's answer makes no sense. Nothing of it was committed: report it.
    Protocol,
    /// What is asked for is older than the deployment keeps.
    Window,
    /// Another writer was faster: run again once it has finished, nothing is lost.
    Conflict,
    /// The archive is damaged: do not write to it, restore the object named from a copy.
    Corrupt,
    /// Out of memory budget or disk: raise the limit or free the space named in the message.
    Resource,
    /// The archive was written by a newer program: upgrade this one.
    Unsupported,
    /// A defect of this program: report it.
    Internal,
}

impl ErrorKind {
    /// A stable lower-case name, as it appears in JSON reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::Access => "access",
            Self::Unavailable => "unavailable",
            Self::Protocol => "protocol",
            Self::Window => "window",
            Self::Conflict => "conflict",
            Self::Corrupt => "corrupt",
            Self::Resource => "resource",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
        }
    }
}

/// One error: a kind for the program, a sentence for the person, names attached where they are known.
///
/// `Display` prints the contexts from the outermost in, then the message, on one line: `sync s3://b/p: table messages:
/// …`. The cause, where there is one, is kept as [`source`](std::error::Error::source); its text is printed by whoever
/// prints the error, once.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    context: Vec<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with a sentence that says what happened and what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), context: Vec::new(), source: None }
    }

    /// Keeps the cause.
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Names where it happened. Called from the inside out.
    pub fn context(mut self, name: impl Into<String>) -> Self {
        self.context.push(name.into());
        self
    }

    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in self.context.iter().rev() {
            write!(f, "{name}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn std::error::Error + 'static))
    }
}

/// Attaches names to the error of a result.
pub trait ResultExt<T> {
    /// Names where it happened; the closure runs only in the error case.
    fn context<S: Into<String>>(self, name: impl FnOnce() -> S) -> Result<T>;
}

impl<T> ResultExt<T> for Result<T> {
    fn context<S: Into<String>>(self, name: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|e| e.context(name()))
    }
}

macro_rules! shorthand {
    ($($(#[$doc:meta])* $name:ident => $kind:ident),* $(,)?) => {
        impl Error {
            $($(#[$doc])* pub fn $name(message: impl Into<String>) -> Self { Self::new(ErrorKind::$kind, message) })*
        }
    };
}

shorthand! {
    /// An error of kind [`ErrorKind::Usage`].
    usage => Usage,
    /// An error of kind [`ErrorKind::NotFound`].
    not_found => NotFound,
    /// An error of kind [`ErrorKind::Access`].
    access => Access,
    /// An error of kind [`ErrorKind::Unavailable`].
    unavailable => Unavailable,
    /// An error of kind [`ErrorKind::Protocol`].
    protocol => Protocol,
    /// An error of kind [`ErrorKind::Window`].
    window => Window,
    /// An error of kind [`ErrorKind::Conflict`].
    conflict => Conflict,
    /// An error of kind [`ErrorKind::Corrupt`].
    corrupt => Corrupt,
    /// An error of kind [`ErrorKind::Resource`].
    resource => Resource,
    /// An error of kind [`ErrorKind::Unsupported`].
    unsupported => Unsupported,
    /// An error of kind [`ErrorKind::Internal`].
    internal => Internal,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_the_outermost_name_first_and_keeps_the_cause() {
        let cause = std::io::Error::other("disk on fire");
        let error = Error::corrupt("the file is cut off").with_source(cause).context("table a").context("verify");
        assert_eq!(error.to_string(), "verify: table a: the file is cut off");
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "disk on fire");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}
