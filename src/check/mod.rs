//! What can be known before the first night: whether the deployment answers and lets itself be read, whether the store takes what is
//! written, and how much there will be.
//!
//! Each [`Check`] looks at one thing and goes on after whatever it finds. None of them changes the deployment; of the store, the
//! probe `runs/check.json` is written and removed again, and nothing else.

mod deployment;
mod first_snapshot;
mod keeping_up;
mod store;

use std::fmt;

use serde::Serialize;

pub use self::{
    deployment::{DeploymentChecks, check_deployment},
    first_snapshot::{FirstSnapshot, Range, estimate_first_snapshot},
    keeping_up::check_keeping_up,
    store::check_store,
};
use crate::error::Error;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Check {
    /// What was looked at.
    pub subject: Subject,
    /// How it is.
    pub result: CheckResult,
    /// What was found, a sentence.
    pub told: String,
    /// What to do; where something is wrong, and sometimes beside a note.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// As it should be.
    Good,
    /// Worth knowing; it works all the same.
    Note,
    /// It was not looked at, or cannot be told.
    Unknown,
    /// It must be mended before it works.
    Wrong,
}

/// What is looked at, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The deploy key, and where it leads.
    Key,
    /// Whether the deployment answers, and who it is.
    Deployment,
    /// Whether the key may read what an archive needs, and the plan includes it.
    Permission,
    /// The tables that are there, and which of them are archived.
    Tables,
    /// How imports and dropped tables are noticed.
    Noticing,
    /// This machine's clock.
    Clock,
    /// How much the first snapshot reads.
    FirstSnapshot,
    /// The archive's place, and whose archive lies there.
    Archive,
    /// Where the store's credentials come from.
    Credentials,
    /// Whether the store lets itself be listed and read.
    StoreRead,
    /// Whether the store takes objects.
    StoreWrite,
    /// Whether the store refuses to overwrite objects that are to be created only if absent.
    StoreConditionalWrite,
    /// Whether the store lets the few objects that change be overwritten.
    StoreOverwrite,
    /// Whether the store lets files be deleted.
    StoreDelete,
    /// Room for temporary files.
    TemporarySpace,
    /// Room for the archive, where it is a folder.
    ArchiveSpace,
    /// The program `duckdb`, for `query`.
    Duckdb,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Key => "Deploy key",
            Self::Deployment => "Deployment",
            Self::Permission => "Permission",
            Self::Tables => "Tables",
            Self::Noticing => "Noticing",
            Self::Clock => "Clock",
            Self::FirstSnapshot => "First snapshot",
            Self::Archive => "Archive",
            Self::Credentials => "Credentials",
            Self::StoreRead => "Read",
            Self::StoreWrite => "Write",
            Self::StoreConditionalWrite => "Write if absent",
            Self::StoreOverwrite => "Overwrite",
            Self::StoreDelete => "Delete",
            Self::TemporarySpace => "Temporary space",
            Self::ArchiveSpace => "Archive space",
            Self::Duckdb => "DuckDB",
        })
    }
}

impl Check {
    /// As it should be.
    pub fn good(subject: Subject, told: impl Into<String>) -> Self {
        Self { subject, result: CheckResult::Good, told: told.into(), fix: None }
    }

    /// Worth knowing.
    pub fn note(subject: Subject, told: impl Into<String>) -> Self {
        Self { subject, result: CheckResult::Note, told: told.into(), fix: None }
    }

    /// Not looked at.
    pub fn unknown(subject: Subject, told: impl Into<String>) -> Self {
        Self { subject, result: CheckResult::Unknown, told: told.into(), fix: None }
    }

    /// To be mended.
    pub fn wrong(subject: Subject, told: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { subject, result: CheckResult::Wrong, told: told.into(), fix: Some(fix.into()) }
    }

    /// To be mended, as an error says.
    pub fn failed(subject: Subject, error: &Error, fix: impl Into<String>) -> Self {
        Self::wrong(subject, error.to_string(), fix)
    }

    /// With what to do about it.
    #[must_use]
    pub fn with_fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }
}
