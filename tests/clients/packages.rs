//! What a release is packed into, as far as it can be tried at every change: `packaging/check` with the program of this build. The
//! optimised program and the container's image are tried by hand and by the release workflow.

use std::{path::Path, process::Command};

use crate::tools::python::text;

/// Runs steps of `packaging/check`, none of which may be skipped.
fn holds(steps: &[&str]) {
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("packaging-tools");
    let mut check = Command::new("python3");
    check.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/check"));
    check.args(["--fast", "--all", "--program", env!("CARGO_BIN_EXE_convex-archiver")]).args(steps);
    let output = check.env("CONVEX_ARCHIVER_PACKAGING_TOOLS", tools).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    println!("{}", text(&output));
}

#[test]
fn npm_and_npx_install_the_program_and_it_gets_signals_and_input_and_its_exit_code_arrives() {
    holds(&["npm"]);
}

#[test]
fn the_release_workflow_the_image_and_cargo_binstall_agree_with_what_is_packed() {
    holds(&["names", "workflow", "dockerfile"]);
}
