//! [`VerifyArgs`]: the flags, whose comments are the help.

use std::str::FromStr;

use clap::Args;
use convex_archiver::{
    Result, Selection, Timestamp,
    verify::{Sample, VerifyDepth, VerifyOptions},
};

use super::super::{config::ArchiveArgs, past::LimitArgs};

/// Checks that the archive is complete and undamaged, object by object
///
/// Needs no deploy key, and also works on a copy of an archive. Every commit is read, and the state that they add up to
/// is compared with every checkpoint, list of files and manifest. Every data file must exist with the right size. With
/// --read-data every data file is read and decoded, and its documents are compared with the digest that was taken of
/// the data that the deployment sent. verify continues after damage and lists all of it. It records when the archive
/// was last verified in runs/verified.json, and status shows that.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(super) archive: ArchiveArgs,
    /// Also read every data file, or about this share of them: --read-data=10%. --seed chooses which
    #[arg(long, value_name = "SHARE", num_args = 0..=1, require_equals = true, default_missing_value = "100%")]
    read_data: Option<Share>,
    /// Which files --read-data=10% reads. Ten consecutive seeds reach every file [default: the number of the day]
    #[arg(long, value_name = "NUMBER", requires = "read_data")]
    seed: Option<u64>,
    /// Check only the log: commits, checkpoints, lists of files, schemas. Do not look for data files
    #[arg(long, conflicts_with = "read_data")]
    log_only: bool,
    /// Require that the log contains the commit with this digest, which sync and status print. This proves that nothing
    /// up to that commit was lost or replaced since the digest was noted
    #[arg(long, value_name = "DIGEST")]
    expect_head: Option<String>,
    /// Do not write runs/verified.json
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object, even on failure
    #[arg(long)]
    pub(crate) json: bool,
    /// Look only for the data files of these tables: `messages`, `waitlist/users` in a component, `log_*`,
    /// `waitlist/**`; may be repeated
    #[arg(long, value_name = "PATTERN", help_heading = SELECTION, conflicts_with = "log_only")]
    table: Vec<String>,
    /// All tables except these; may be repeated, and takes precedence over --table
    #[arg(long, value_name = "PATTERN", help_heading = SELECTION, conflicts_with = "log_only")]
    exclude: Vec<String>,
    #[command(flatten)]
    limits: LimitArgs,
}

const SELECTION: &str = "Selection";

const EXAMPLES: &str = "\
Examples:
  convex-archiver verify --archive s3://bucket/happy-otter
      checks the log and whether every file exists: some requests per table, no data

  convex-archiver verify --archive s3://bucket/happy-otter --read-data=10%
      reads another tenth of the data each day; after ten days all of it was read

  convex-archiver verify --archive ./copy --read-data --expect-head 3f9a… --json
      checks all of a copy against a digest that was noted elsewhere

Exit codes: 0 if nothing is wrong; 3 if there are problems, each listed with what repairs it.";

/// A share of all data files, percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Share(u8);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = text.strip_suffix('%').and_then(|number| number.parse().ok());
        percent
            .filter(|percent| (1..=100).contains(percent))
            .map(Self)
            .ok_or_else(|| "write a whole percentage, such as 10%".into())
    }
}

impl VerifyArgs {
    /// What is to be done at `now`.
    ///
    /// # Errors
    /// Usage, if something said can be no table, or the memory limit is too small.
    pub(super) fn options(&self, now: Timestamp) -> Result<VerifyOptions> {
        let depth = match self.read_data {
            Some(_) => VerifyDepth::Data,
            None if self.log_only => VerifyDepth::Log,
            None => VerifyDepth::Objects,
        };
        let share = self.read_data.filter(|share| share.0 < 100);
        let seed = self.seed.unwrap_or_else(|| Sample::seed_of(now));
        let options = VerifyOptions::default()
            .budget(self.limits.budget()?)
            .depth(depth)
            .sample(share.map(|share| Sample::new(share.0, seed)).transpose()?)
            .tables(Selection::new(&self.table, &self.exclude)?)
            .expect_head(self.expect_head.clone())
            .dry_run(self.dry_run);
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_whole_percentage() {
        for (text, expected) in [
            ("10%", Some(10)),
            ("100%", Some(100)),
            ("1%", Some(1)),
            ("0%", None),
            ("101%", None),
            ("10", None),
            ("1.5%", None),
            ("-1%", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<Share>().ok().map(|share| share.0), expected, "{text}");
        }
    }
}
