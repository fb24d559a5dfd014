//! Clients of Convex that nobody here wrote, as they are, against what this program serves and writes: Airbyte's source
//! reads a deployment that is simulated and an archive that is served, Convex's own npm package reads and imports what
//! `restore` and `export` wrote, and a converter loads a restore into PostgreSQL.
//!
//! The program's own packages are tried here, too: by npm, which nobody here wrote either.
//!
//! What they are compared with is what the simulated deployment held. Beside them stands one fake, of Convex's importer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "shown where a test fails, or is asked to talk")]
#![allow(clippy::disallowed_methods, reason = "tests are told by the environment how much to do, and start processes")]

mod airbyte;
#[path = "../readers/drift.rs"]
mod drift;
mod npm;
mod packages;
mod postgres;
mod prometheus;
mod schedules;
#[allow(dead_code, reason = "every test program uses its own part of the support")]
#[path = "../cli/support.rs"]
mod support;
#[allow(dead_code, unused_imports, unused_macros, reason = "every test program uses its own part of the tools")]
#[path = "../tools/mod.rs"]
mod tools;

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use convex_archiver::{Timestamp, server::SimulatedDeployment};

use crate::{
    support::{Server, archiver},
    tools::{expected, import_fake::ImportFake, process::block_on, python, world::World},
};

/// A deployment, its archive, and what it held as a file.
struct Archived {
    folder: tempfile::TempDir,
    world: World,
}

impl Archived {
    /// One that is hard for readers.
    async fn hard() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("archive");
        let world = drift::archived(place.to_str().unwrap()).await;
        Self { folder, world }
    }

    /// One that holds what `fill` writes.
    async fn with(fill: impl FnOnce(&SimulatedDeployment)) -> Self {
        let archived = Self { folder: tempfile::tempdir().unwrap(), world: World::start(50, 64).await };
        fill(&archived.world.deployment);
        archived.world.catch_up(&archived.place()).await;
        archived
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn place(&self) -> String {
        self.path("archive").to_str().unwrap().to_owned()
    }

    /// As far as the archive reaches.
    async fn through(&self) -> Timestamp {
        let head = self.world.archive(&self.place()).await.unwrap().head().await.unwrap();
        head.coverage().through.unwrap()
    }

    /// A moment long before that, at which something was written, and tables of components are covered too.
    async fn middle(&self) -> Timestamp {
        let head = self.world.archive(&self.place()).await.unwrap().head().await.unwrap();
        let known = head.coverage().component_rows.as_ref().unwrap().since;
        let mut written = self.world.deployment.revisions().into_iter().map(|(_, revision)| revision.ts);
        written.find(|ts| *ts > known).unwrap()
    }

    /// What the deployment held and holds.
    fn expected(&self) -> PathBuf {
        let path = self.path("expected.ndjson");
        expected::write(&self.world.deployment, &path);
        path
    }

    /// Restores what the archive held at a moment, by the program.
    fn restore(&self, at: Timestamp, arguments: &[&str], name: &str) -> PathBuf {
        let output = self.path(name);
        let mut command = archiver(["restore", "--archive", &self.place(), "--as-of", &at.0.to_string()]);
        support::run(command.args(arguments).arg("--output").arg(&output)).with(0);
        output
    }

    /// The archive, served by the program.
    fn serve(&self, arguments: &[&str]) -> Server {
        let mut command = archiver(["serve", "--listen", "127.0.0.1:0", "--archive", &self.place()]);
        Server::start(command.args(arguments).env("CONVEX_ARCHIVER_SERVE_KEY", support::KEY))
    }
}

/// Runs a script of this folder where the clients are, and answers what it printed; `Err` is what it said where it says no.
fn try_run(script: &str, arguments: &[impl AsRef<OsStr>]) -> Result<String, String> {
    let script = Path::new("clients").join(script);
    python::try_run_in(&mut Command::new(python::clients()), script.to_str().unwrap(), arguments)
}

/// As [`try_run`], where it must say yes.
#[track_caller]
fn run(script: &str, arguments: &[impl AsRef<OsStr>]) {
    match try_run(script, arguments) {
        Ok(said) => println!("{said}"),
        Err(said) => panic!("{script} says no:\n{said}"),
    }
}

/// What the deployment held is altered behind the clients' backs: each comparison must say where.
#[test]
fn the_comparisons_find_a_value_that_differs() {
    block_on(async {
        let (archived, fake) = (Archived::hard().await, ImportFake::start());
        let at = archived.middle().await;
        let zip = archived.restore(at, &[], "restored.zip");
        assert!(fake.import(&["--replace-all", "-y"], &zip).status.success());
        let server = archived.serve(&["--snapshot-page", "50", "--as-of", &at.0.to_string()]);

        let path = archived.expected();
        let expected = std::fs::read_to_string(&path).unwrap();
        let harmed = expected.replacen(r#""street":"7 Main St""#, r#""street":"7 Main Rd""#, 1);
        assert_ne!(harmed, expected);
        std::fs::write(&path, harmed).unwrap();
        let (moment, state) = (at.0.to_string(), tempfile::tempdir().unwrap());
        let differs = |said: Result<String, String>| {
            let said = said.unwrap_err();
            assert!(said.contains("differs") && said.contains("7 Main Rd"), "{said}");
        };
        differs(try_run("imported.py", &[fake.holds(), path.clone(), moment.clone().into()]));
        let arguments = [Path::new(&server.url), Path::new(support::KEY), &path, Path::new(&moment), state.path()];
        differs(try_run("airbyte_reads.py", &arguments));
        differs(npm::read_values(&path, at, &[server.url.as_ref(), support::KEY.as_ref()]));
    });
}
