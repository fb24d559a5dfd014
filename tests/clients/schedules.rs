//! What `init` writes, read by the schemas and programs of those for whom it is. Terraform's files: `terraform/check written`.

use std::process::Command;

use crate::{
    support::{archiver, run},
    tools::python,
};

#[test]
fn each_scheduler_takes_what_init_writes_for_it() {
    let program = env!("CARGO_BIN_EXE_convex-archiver");
    for archive in ["s3://bucket/happy-otter", "gs://bucket/a", "az://box/a", "/srv/50% of it's \"all\" $HOME"] {
        let folder = tempfile::tempdir().unwrap();
        let mut init = archiver(["init", "--skip-check", "--every", "1h", "--program", program, "--archive", archive]);
        init.args(["--deployment", "http://backend:3210", "--allow-http", "--output"]).arg(folder.path());
        for scheduler in ["cron", "systemd", "kubernetes", "compose", "github"] {
            // A workflow has no disk that stays.
            if !(scheduler == "github" && archive.starts_with('/')) {
                init.args(["--write", scheduler]);
            }
        }
        run(&mut init).with(0);
        let mut interpreter = Command::new(python::schedules());
        let said = python::try_run_in(&mut interpreter, "clients/schedules_read.py", &[folder.path()]);
        let said = said.unwrap_or_else(|said| panic!("{archive}: {said}"));
        let read: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        assert!(read.as_array().unwrap().len() >= 5, "{read}");
        // As the shell understands it that cron starts.
        assert_eq!(read[0]["archive"].as_str().or(read[1]["archive"].as_str()), Some(archive), "{read}");
    }
}
