//! Flags and environment → options of the library, once.

use std::path::{Path, PathBuf};

use clap::Args;
use convex_archiver::{Error, Result, archive::Settings, convex::AccessOptions};

/// Which archive.
#[derive(Debug, Args)]
pub(crate) struct ArchiveArgs {
    /// Location of the archive: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, file:///path or a path
    #[arg(long = "archive", value_name = "URL", env = "CONVEX_ARCHIVE")]
    pub(crate) url: String,
}

/// Which deployment, and what opens it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Deployment")]
pub(crate) struct DeploymentArgs {
    /// URL of the deployment [default: CONVEX_SELF_HOSTED_URL or CONVEX_URL; if neither is set, Convex is asked which
    /// deployment the key belongs to]
    #[arg(long, value_name = "URL")]
    deployment: Option<String>,
    /// File with the deploy key [default: the key in CONVEX_DEPLOY_KEY or CONVEX_SELF_HOSTED_ADMIN_KEY]. No flag takes
    /// the key itself, because other users of the machine can read a command line
    #[arg(long, value_name = "FILE")]
    deploy_key_file: Option<PathBuf>,
    /// Command that prints the deploy key, such as `op read op://vault/convex/key`. Your shell runs it, and runs it
    /// again if the deployment refuses the key
    #[arg(long, value_name = "COMMAND", conflicts_with = "deploy_key_file")]
    deploy_key_command: Option<String>,
    /// Allow sending the key unencrypted to another machine; only for a network of your own
    #[arg(long)]
    allow_http: bool,
}

impl DeploymentArgs {
    /// Whether neither a flag nor a variable holds a key or says where it is.
    ///
    /// # Errors
    /// As of [`access`](Self::access).
    pub(crate) fn has_no_key(&self) -> Result<bool> {
        let said = self.access()?;
        let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
        let keys = [&said.deploy_key, &said.self_hosted_admin_key, &said.deploy_key_command];
        Ok(said.deploy_key_file.is_none() && !keys.into_iter().any(is_set))
    }

    /// With the key in this file, and this URL where none is given.
    pub(crate) fn with(self, deploy_key_file: PathBuf, deployment: Option<String>) -> Self {
        Self { deploy_key_file: Some(deploy_key_file), deployment: self.deployment.or(deployment), ..self }
    }

    /// With what the environment says.
    ///
    /// # Errors
    /// Usage, naming a variable that is no text.
    pub(crate) fn access(&self) -> Result<AccessOptions> {
        let flags = AccessOptions::default()
            .deployment(self.deployment.clone())
            .deploy_key_file(self.deploy_key_file.clone())
            .deploy_key_command(self.deploy_key_command.clone())
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
        return Err(Error::usage(format!("--temp-dir {}: this folder does not exist", folder.display())));
    }
    // Now, and not in the middle of a long run.
    tempfile::tempfile_in(folder).map_err(|e| {
        let folder = folder.display();
        Error::usage(format!("--temp-dir {folder}: cannot create a file there; choose another folder")).with_source(e)
    })?;
    // It can be said once; this is the only place that does.
    let _ = tempfile::env::override_temp_dir(folder);
    Ok(())
}
