//! dbt over an archive, as the README says it: the macro, the sources, `dbt build` with several threads; and again after a sync.

use std::{collections::BTreeMap, fs::File, path::Path, process::Command};

use convex_archiver::{TableRef, Value, server::SimulatedDeployment};

use crate::tools::{
    expected,
    process::block_on,
    python::{self, text},
    world::World,
};

/// Jinja, where a field has such a name.
const ODD: &str = "{% endraw %} {{ no jinja }} {#";

fn table(component: &str, name: &str) -> TableRef {
    TableRef::new(component, name).unwrap()
}

fn fields<const N: usize>(fields: [(&str, Value); N]) -> BTreeMap<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn string(text: impl Into<String>) -> Value {
    Value::String(text.into())
}

/// Users and what they wrote, at the root and in a component; some are gone, and what they wrote is not.
fn write(d: &SimulatedDeployment, odd: Option<&str>, late: impl Fn(i64) -> Value) {
    d.transaction(|t| {
        let mut users = Vec::new();
        for n in 0..20 {
            let mut user = fields([("name", string(format!("user {n}")))]);
            user.extend(odd.map(|name| (name.to_owned(), string("odd"))));
            users.push(t.insert(&table("", "users"), user)?);
            let guest =
                t.insert(&table("waitlist", "users"), fields([("email", string(format!("{n}@example.org")))]))?;
            t.insert(&table("waitlist", "requests"), fields([("guest", string(guest))]))?;
        }
        for n in 0..200 {
            let (author, to) = (users[n % 20].clone(), users[n % 7].clone());
            let message =
                [("body", string("hello")), ("author", string(author)), ("late", late(n as i64)), ("from", string(to))];
            t.insert(&table("", "messages"), fields(message))?;
        }
        users.iter().step_by(5).try_for_each(|id| t.delete(&table("", "users"), id))
    })
    .unwrap();
}

/// Deletes some messages, and changes others.
fn change(d: &SimulatedDeployment) {
    let messages = table("", "messages");
    let state = d.state_at(convex_archiver::Timestamp(i64::MAX))[&messages].clone();
    for (n, (id, revision)) in state.iter().enumerate() {
        let mut message = revision.document.clone().unwrap();
        message.insert("body".into(), string("changed"));
        d.transaction(|t| match n % 9 {
            0 => t.delete(&messages, id),
            1 => t.replace(&messages, id, message),
            _ => Ok(()),
        })
        .unwrap();
    }
}

/// What `arguments` let the program print, in a file of the project.
fn print_to(file: &Path, place: &str, arguments: &[&str]) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_convex-archiver"));
    program.args(arguments).args(["--archive", place]).stdout(File::create(file).unwrap());
    let output = program.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

fn dbt(project: &Path, arguments: &[&str]) -> String {
    let mut dbt = Command::new(python::dbt().with_file_name("dbt"));
    dbt.args(arguments).current_dir(project).env("DO_NOT_TRACK", "1").env("DBT_PROFILES_DIR", project);
    let output = dbt.output().unwrap();
    let said = text(&output);
    assert!(output.status.success(), "dbt {arguments:?}: {said}");
    said
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn dbt_builds_from_the_archive_with_threads_and_again_after_a_sync() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("it's an archive").to_str().unwrap().to_owned();
        let (project, facts) = (folder.path().join("project"), folder.path().join("expected.ndjson"));
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/dbt"), &project);
        std::fs::create_dir(project.join("macros")).unwrap();
        let world = World::start(50, 64).await;
        // The deployment tells which table Ids point to, as long as no table has such a name.
        write(&world.deployment, None, Value::Int64);
        world.catch_up(&place).await;
        // It fits no column, and is not enough for another.
        write(&world.deployment, Some(ODD), |n| if n % 50 == 0 { string("a text") } else { Value::Int64(n) });
        for round in 0..2 {
            world.catch_up(&place).await;
            print_to(&project.join("macros/convex_archive.sql"), &place, &["views", "--engine", "dbt"]);
            print_to(&project.join("models/convex.yml"), &place, &["schema", "--format", "dbt"]);
            if round == 0 {
                dbt(&project, &["parse", "--warn-error", "--show-all-deprecations"]);
            }
            let said = dbt(&project, &["build"]);
            assert!(said.contains("Concurrency: 4 threads"), "{said}");
            expected::write(&world.deployment, &facts);
            let mut python = Command::new(python::dbt());
            println!("{}", python::try_run_in(&mut python, "readers/dbt_reads.py", &[&project, &facts]).unwrap());
            change(&world.deployment);
            write(&world.deployment, Some(ODD), Value::Int64);
        }
    });
}
