//! `completions`.

use crate::support::{archiver, run};

#[test]
fn every_shell_completes_every_verb() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(&mut archiver(["completions", shell])).with(0).stdout;
        for verb in ["sync", "status", "demo", "simulate", "completions"] {
            assert!(script.contains(verb), "{shell}: {verb}");
        }
    }
}
