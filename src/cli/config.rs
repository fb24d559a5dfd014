//! Flags and environment → options of the library, once.

use std::path::{Path, PathBuf};

use clap::Args;
use convex_archiver::{Error, Result, archive::Settings, convex::AccessOptions};

/// Which archive.
#[derive(Debug, Args)]
pub(crate) struct ArchiveArgs {
    /// Where the archive is: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, file:///path or a path
    #[arg(long = "archive", value_name = "URL", env = "CONVEX_ARCHIVE")]
    pub(crate) url: String,
}

/// Which deployment, and what opens it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Deployment")]
pub(crate) struct DeploymentArgs {
    /// The deployment's URL; without it CONVEX_SELF_HOSTED_URL or CONVEX_URL, or Convex is asked whose key it is
    #[arg(long, value_name = "URL")]
    deployment: Option<String>,
    /// A file that holds the deploy key; without it CONVEX_DEPLOY_KEY or CONVEX_SELF_HOSTED_ADMIN_KEY. A key is never a
    /// flag: others can read those
    #[arg(long, value_name = "FILE")]
    deploy_key_file: Option<PathBuf>,
    /// Send the key unencrypted to another machine: for a network of your own
    #[arg(long)]
    allow_http: bool,
}

impl DeploymentArgs {
    /// With what the environment says.
    ///
    /// # Errors
    /// Usage, naming a variable that is no text.
    pub(crate) fn access(&self) -> Result<AccessOptions> {
        let flags = AccessOptions::default()
            .deployment(self.deployment.clone())
            .deploy_key_file(self.deploy_key_file.clone())
            .allow_http(self.allow_http);
        flags.with_environment(|name| std::env::var_os(name))
    }
}

/// What the environment says, for stores. What is no text is for other programs.
pub(crate) fn settings() -> Settings {
    let texts = std::env::vars_os().map(|(name, value)| (name.into_string(), value.into_string()));
    texts.filter_map(|(name, value)| Some((name.ok()?, value.ok()?))).collect()
}

/// Where temporary files go from now on.
pub(crate) fn use_temp_dir(folder: &Path) -> Result<()> {
    if !folder.is_dir() {
        return Err(Error::usage(format!("--temp-dir {}: there is no such folder", folder.display())));
    }
    // Now, and not in the middle of a long run.
    tempfile::tempfile_in(folder).map_err(|e| {
        let folder = folder.display();
        Error::usage(format!("--temp-dir {folder}: no file can be made there; choose another folder")).with_source(e)
    })?;
    // It can be said once; this is the only place that does.
    let _ = tempfile::env::override_temp_dir(folder);
    Ok(())
}
