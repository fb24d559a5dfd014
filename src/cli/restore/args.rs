//! [`RestoreArgs`]: the flags, whose comments are the help.

use std::{
    fs::File,
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use convex_archiver::{
    Error, Result,
    read::{Moment, RestoreTarget},
};

use super::{
    super::{
        config::{self, ArchiveArgs},
        doubt::DoubtArgs,
        past::{DamageArgs, LimitArgs, SelectionArgs},
    },
    into::args::IntoArgs,
    undo::args::UndoArgs,
};

/// Writes the documents as they were at a moment to a ZIP for `npx convex import`
///
/// All tables are restored at the same moment. Only the archive is needed, not the deployment. --plan shows in advance
/// what the ZIP would contain and what it would not. The same version of an archive and the same moment give the same
/// bytes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  convex-archiver restore --plan --as-of '1 day ago' --archive s3://bucket/happy-otter
  convex-archiver restore --as-of '1 day ago' --output yesterday.zip \\
                          --archive s3://bucket/happy-otter
  npx convex import --replace-all --deployment staging yesterday.zip

  convex-archiver restore --output s3://backups/happy-otter/today.zip \\
                          --archive s3://bucket/happy-otter
  convex-archiver restore --output - --archive ./archive | ssh backup 'cat > today.zip'

  convex-archiver restore --as-of 2026-11-24 --table messages --output messages.zip \\
                          --archive ./archive
  convex-archiver restore --as-of 2026-11-24 --id j57d8m… --output one.zip --archive ./archive
      for another deployment; Convex refuses the _id in a deployment where the document was changed or deleted

  convex-archiver restore --undo --from '3 hours ago' --to '2 hours ago' --plan \\
                          --archive s3://bucket/happy-otter
  convex-archiver restore --undo --from '3 hours ago' --to '2 hours ago' --output undo.zip \\
                          --archive s3://bucket/happy-otter
  npx convex import --replace --prod undo.zip
      undoes a bad hour, and keeps what was written since
  convex-archiver restore --undo --from '1 day ago' --to now --match author=j57d8m… \\
                          --as mutation --output undo --archive ./archive
      the same without an import, for documents that were changed but not deleted

  convex-archiver restore --into https://kind-fox-7.convex.cloud --into-key-env TARGET_KEY \\
                          --mode replace-all --archive ./archive
      uploads and imports the ZIP itself, after asking for confirmation

Exit codes: 3 if there is something to look at before the import, such as documents that a dropped
table left behind, or a moment that is earlier than 'now' because a table is not covered; with
--plan also if a restore would be refused; with --undo also if documents were not undone (because
they were changed again or their table was dropped) or the import lost writes. 4 if the tables of
an undo were written to before the import.")]
pub(crate) struct RestoreArgs {
    #[command(flatten)]
    pub(super) archive: ArchiveArgs,
    /// Moment: '2026-11-24 07:45:39' (UTC, or with a zone), 2026-11-24 (00:00 UTC), '2 hours ago' or 2h, yesterday, a
    /// _ts in nanoseconds, or 'now' (the newest moment at which all tables are covered, if that is at most an hour
    /// before the end of the archive)
    #[arg(long, value_name = "MOMENT", default_value = "now")]
    pub(super) as_of: Moment,
    /// The ZIP to write, which appears complete or not at all: a path, s3://bucket/name.zip, gs://… or az://…; or - for
    /// standard output (the report then goes to stderr)
    #[arg(long, short, value_name = "FILE", required_unless_present_any = ["plan", "into"])]
    pub(super) output: Option<PathBuf>,
    /// Replace the file or object if it exists
    #[arg(long)]
    pub(super) force: bool,
    /// Write nothing; show what a restore would contain. This reads all of it
    #[arg(long, conflicts_with_all = ["output", "force"])]
    pub(super) plan: bool,
    /// Print one JSON object, even on failure
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(super) tables: SelectionArgs,
    /// Only the document with this `_id`, in whichever table; may be repeated
    #[arg(long, value_name = "ID", help_heading = "Selection")]
    pub(super) id: Vec<String>,
    #[command(flatten)]
    pub(super) undo: UndoArgs,
    #[command(flatten)]
    pub(super) into: IntoArgs,
    #[command(flatten)]
    pub(super) damage: DamageArgs,
    #[command(flatten)]
    pub(super) doubt: DoubtArgs,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
}

impl RestoreArgs {
    /// Whether stdout is for the ZIP, so that nothing else may be printed there.
    pub(crate) fn is_to_stdout(&self) -> bool {
        self.output.as_deref() == Some(Path::new("-"))
    }

    /// The file from which an import is uploaded: `--output`, or one that goes again.
    ///
    /// # Errors
    /// Usage, if `--output` is no file; Resource, if there is no room for one.
    pub(super) fn uploaded_file(&self) -> Result<UploadedFile> {
        match &self.output {
            Some(path) if self.is_to_stdout() || path.to_string_lossy().contains("://") => {
                let shown = path.display();
                Err(Error::usage(format!(
                    "--into uploads from a file, and --output {shown} is not a file; give a path, or omit --output"
                )))
            }
            Some(path) => Ok(UploadedFile::Kept(path.clone())),
            None => {
                let folder = tempfile::tempdir();
                let failed = |e| Error::resource("cannot create a temporary file: see --temp-dir").with_source(e);
                folder.map(UploadedFile::Temporary).map_err(failed)
            }
        }
    }

    /// Where the ZIP goes; None of a plan.
    pub(super) fn target(&self) -> Result<Option<RestoreTarget>> {
        let Some(output) = &self.output else { return Ok(None) };
        if self.is_to_stdout() {
            return Ok(Some(RestoreTarget::Stream(Arc::new(stdout()?))));
        }
        let target = match output.to_str() {
            Some(url) if url.contains("://") => RestoreTarget::open(url, &config::settings())?,
            _ => RestoreTarget::from(output),
        };
        Ok(Some(target))
    }
}

/// # Errors
/// Usage, if it is a terminal.
fn stdout() -> Result<File> {
    let stdout = std::io::stdout();
    if stdout.is_terminal() {
        return Err(Error::usage("--output -: a ZIP cannot be printed on a terminal; redirect it, or name a file"));
    }
    #[cfg(unix)]
    let handle = std::os::fd::AsFd::as_fd(&stdout).try_clone_to_owned();
    #[cfg(windows)]
    let handle = std::os::windows::io::AsHandle::as_handle(&stdout).try_clone_to_owned();
    handle.map(File::from).map_err(|e| Error::resource("cannot write to standard output").with_source(e))
}

/// A ZIP that is uploaded.
pub(super) enum UploadedFile {
    /// It stays.
    Kept(PathBuf),
    /// It goes with this.
    Temporary(tempfile::TempDir),
}

impl UploadedFile {
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::Kept(path) => path.clone(),
            Self::Temporary(folder) => folder.path().join("restore.zip"),
        }
    }
}
