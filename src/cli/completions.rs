//! The verb `completions`.

use clap::{Args, Command};
use clap_complete::Shell;
use convex_archiver::Result;

use super::{outcome::Outcome, output};

/// Prints a shell script that completes verbs and flags.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  convex-archiver completions bash > ~/.local/share/bash-completion/completions/convex-archiver
  convex-archiver completions zsh  > ~/.zfunc/_convex-archiver
  convex-archiver completions fish > ~/.config/fish/completions/convex-archiver.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// `command`: the whole program.
pub(super) fn run(args: &CompletionsArgs, mut command: Command) -> Result<Outcome> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Done)
}
