//! [`IntoArgs`]: the flags, whose comments are the help.

use std::{io::IsTerminal, path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};
use convex_archiver::{
    Error, Monitor, Result, ResultExt,
    convex::{Access, AccessOptions, DeployKey, ImportMode},
};

/// Into which deployment it is imported.
#[derive(Debug, Args)]
#[command(next_help_heading = "Import")]
pub(in super::super) struct IntoArgs {
    /// Import the ZIP into the deployment at this URL, as `npx convex import` does: upload it, ask for confirmation,
    /// import it. With --undo this must be the archive's own deployment; it is synced before, during and after the
    /// import
    #[arg(long, value_name = "URL", conflicts_with = "plan")]
    pub(in super::super) into: Option<String>,
    /// What the import does with the data that the deployment holds; with --undo always replace
    #[arg(long, value_enum, value_name = "MODE", requires = "into")]
    pub(super) mode: Option<Mode>,
    /// Environment variable with a key for that deployment that may write data. No flag takes the key itself, because
    /// other users of the machine can read a command line
    #[arg(long, value_name = "VARIABLE", requires = "into", conflicts_with = "into_key_file")]
    into_key_env: Option<String>,
    /// File with the key
    #[arg(long, value_name = "FILE", requires = "into")]
    into_key_file: Option<PathBuf>,
    /// Import without asking for confirmation
    #[arg(long, requires = "into")]
    pub(super) yes: bool,
    /// Allow sending the key unencrypted to another machine; only for a network of your own
    #[arg(long, requires = "into")]
    allow_http: bool,
}

/// What an import does with what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Mode {
    /// Replace the tables in the ZIP and leave the others alone
    Replace,
    /// Replace the tables in the ZIP, and delete or empty all others
    ReplaceAll,
    /// Add documents; Convex refuses an `_id` that the table has or once had
    Append,
    /// Import only into tables that are empty
    RequireEmpty,
}

impl From<Mode> for ImportMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Replace => Self::Replace,
            Mode::ReplaceAll => Self::ReplaceAll,
            Mode::Append => Self::Append,
            Mode::RequireEmpty => Self::RequireEmpty,
        }
    }
}

impl IntoArgs {
    /// How a restore is imported; None if it is not.
    ///
    /// # Errors
    /// Usage, if no mode was said, or nobody can be asked.
    pub(in super::super) fn restore_mode(&self) -> Result<Option<ImportMode>> {
        if self.into.is_none() {
            return Ok(None);
        }
        self.check_can_ask()?;
        let mode = self.mode.ok_or_else(|| {
            Error::usage(
                "--into needs --mode: replace, replace-all, append or require-empty; --plan names the one that fits",
            )
        })?;
        Ok(Some(mode.into()))
    }

    /// The same of an undo: whether it is imported.
    ///
    /// # Errors
    /// Usage, if another mode was said, or nobody can be asked.
    pub(in super::super) fn is_undo_imported(&self) -> Result<bool> {
        if self.into.is_none() {
            return Ok(false);
        }
        self.check_can_ask()?;
        match self.mode {
            None | Some(Mode::Replace) => Ok(true),
            Some(_) => Err(Error::usage(
                "an undo must be imported with --mode replace, or documents that it leaves alone would be lost",
            )),
        }
    }

    /// Whether nobody is to be asked.
    pub(in super::super) fn is_confirmed(&self) -> bool {
        self.yes
    }

    fn check_can_ask(&self) -> Result<()> {
        if self.yes || std::io::stdin().is_terminal() {
            return Ok(());
        }
        Err(Error::usage(
            "--into asks for confirmation before the import, but standard input is not a terminal: add --yes to import \
             without asking",
        ))
    }

    /// The deployment, and what opens it.
    ///
    /// # Errors
    /// Usage, if there is no key, or the URL is none.
    pub(in super::super) async fn access(&self, monitor: Arc<dyn Monitor>) -> Result<Access> {
        let url = self.into.clone().unwrap_or_default();
        if let Some(file) = &self.into_key_file {
            let options = AccessOptions::default().deployment(Some(url)).deploy_key_file(Some(file.clone()));
            return options.allow_http(self.allow_http).resolve(monitor).await;
        }
        let Some(name) = &self.into_key_env else {
            return Err(Error::usage(
                "--into needs a key that may write data: name the variable or the file that holds it with \
                 --into-key-env or --into-key-file",
            ));
        };
        let key = std::env::var_os(name).ok_or_else(|| Error::usage(format!("the variable {name} is not set")))?;
        let key = key.into_string().map_err(|_| Error::usage(format!("{name} is not valid UTF-8: set it again")))?;
        Access::new(&url, DeployKey::new(&key).context(|| name)?, self.allow_http)
    }
}
