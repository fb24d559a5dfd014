//! [`InitArgs`]: the flags, whose comments are the help.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{
    super::{config::DeploymentArgs, units},
    schedule::Every,
};

/// Writes the files for a scheduler that keeps an archive up to date
///
/// Asks for settings that you do not give as flags, checks everything as `check` does, and writes what your scheduler
/// needs: a crontab line, a systemd timer, a GitHub Actions workflow, a Kubernetes CronJob, a file for docker compose,
/// or a Terraform root module. Nothing is installed or started. No file contains a key; each says where to put it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InitArgs {
    /// Location of the archive: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, file:///path or a path
    #[arg(long, value_name = "URL", env = "CONVEX_ARCHIVE")]
    pub(super) archive: Option<String>,
    #[command(flatten)]
    pub(super) deployment: DeploymentArgs,
    /// Interval between syncs: minutes that divide an hour, hours that divide a day, or 1d
    #[arg(long, value_name = "TIME", value_parser = every)]
    pub(super) every: Option<Every>,
    /// Scheduler to write files for; may be repeated
    #[arg(long, value_name = "WHAT", value_enum)]
    pub(super) write: Vec<Scheduler>,
    /// Folder for the files
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub(super) output: PathBuf,
    /// Container image with the program, for kubernetes, compose and terraform
    #[arg(long, value_name = "IMAGE", default_value = IMAGE)]
    pub(super) image: String,
    /// Path of the program where it will run, for cron and systemd
    #[arg(long, value_name = "PATH", default_value = "/usr/local/bin/convex-archiver")]
    pub(super) program: String,
    /// File that will hold the deploy key, for cron and systemd
    #[arg(long, value_name = "FILE", default_value = "/etc/convex-archiver/deploy-key")]
    pub(super) key_file: String,
    /// Do not check anything, for a machine that has no key or cannot reach the store
    #[arg(long)]
    pub(super) skip_check: bool,
    /// Write the files even if the check found problems, and overwrite existing files
    #[arg(long)]
    pub(super) force: bool,
}

/// The image, as long as no registry has one.
const IMAGE: &str = concat!("REGISTRY/convex-archiver:", env!("CARGO_PKG_VERSION"));

const EXAMPLES: &str = "\
Examples:
  convex-archiver init
      asks for everything

  convex-archiver init --archive s3://bucket/happy-otter --every 1h --write systemd
  convex-archiver init --archive gs://bucket/happy-otter --every 15m --write terraform \\
                       --output infra

Exit codes: 0 if the files were written; 3 if something must be fixed first.";

/// What starts the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Scheduler {
    /// Lines for a crontab
    Cron,
    /// A service and its timer
    Systemd,
    /// A GitHub Actions workflow
    Github,
    /// A CronJob
    Kubernetes,
    /// A service for docker compose that keeps running
    Compose,
    /// A Terraform root module for AWS (s3://) or Google Cloud (gs://)
    Terraform,
}

fn every(text: &str) -> Result<Every, String> {
    Every::new(units::some_duration(text)?)
}
