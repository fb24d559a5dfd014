//! The questions of the guide to queries, run as they stand there: a shop whose history makes each answer known.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use convex_archiver::{
    Result, TableRef, Timestamp, Value,
    server::{OpenTransaction, SimulatedDeployment},
};

use crate::tools::{process::block_on, python, world::World};

const HOUR: i64 = 3_600_000_000_000;
/// 2026-11-20T00:00:00Z, a Friday.
const FRIDAY: i64 = 1_795_132_800_000_000_000;

fn table(name: &str) -> TableRef {
    TableRef::new("", name).unwrap()
}

fn text(text: &str) -> Value {
    Value::String(text.into())
}

fn fields<const N: usize>(fields: [(&str, Value); N]) -> BTreeMap<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn user(t: &mut OpenTransaction<'_>, name: &str) -> Result<String> {
    t.insert(&table("users"), fields([("name", text(name))]))
}

fn order(number: &str, of: &str, status: &str, total: f64) -> BTreeMap<String, Value> {
    fields([("number", text(number)), ("userId", text(of)), ("status", text(status)), ("total", Value::Float64(total))])
}

/// What happened, from Friday to Wednesday; and sessions of the last weeks.
async fn shop(place: &str) {
    let clock = Arc::new(AtomicI64::new(0));
    let look = Arc::clone(&clock);
    let deployment = SimulatedDeployment::with_clock("otter-1", 7, move || Timestamp(look.load(Ordering::SeqCst)));
    let world = World::of(deployment).await;
    let d = &world.deployment;
    let orders = table("orders");
    let at = |day: i64, hour: i64| clock.store(FRIDAY + (24 * day + hour) * HOUR, Ordering::SeqCst);
    at(0, 10);
    let (_, (ada, bob, first, second)) = d
        .transaction(|t| {
            let (ada, bob) = (user(t, "Ada")?, user(t, "Bob")?);
            let first = t.insert(&orders, order("A-1001", &ada, "paid", 30.25))?;
            let second = t.insert(&orders, order("A-1002", &bob, "paid", 12.5))?;
            Ok((ada, bob, first, second))
        })
        .unwrap();
    at(0, 11);
    world.catch_up(place).await;
    at(1, 12);
    d.transaction(|t| t.insert(&orders, order("A-1003", &ada, "paid", 8.0))).unwrap();
    at(3, 9);
    d.transaction(|t| t.replace(&orders, &first, order("A-1001", &ada, "packed", 30.25))).unwrap();
    // Tuesday. The first of two deploys is at 14:00.
    at(4, 15);
    d.transaction(|t| t.replace(&orders, &first, order("A-1001", &ada, "shipped", 30.25))).unwrap();
    at(4, 16);
    d.transaction(|t| {
        t.delete(&orders, &second)?;
        let cleo = user(t, "Cleo")?;
        t.insert(&orders, order("A-1004", &cleo, "paid", 99.0))?;
        t.insert(&orders, order("A-1005", &cleo, "paid", 1.0)).map(drop)
    })
    .unwrap();
    at(5, 10);
    d.transaction(|t| t.replace(&table("users"), &bob, fields([("name", text("Robert"))]))).unwrap();
    let now = Timestamp::now().0;
    clock.store(now, Ordering::SeqCst);
    d.transaction(|t| {
        for (days, of) in [(40, &bob), (35, &ada), (20, &ada), (5, &ada), (1, &first)] {
            let created = Value::Float64((now - days * 24 * HOUR) as f64 / 1e6);
            t.insert(&table("sessions"), fields([("userId", text(of)), ("_creationTime", created)]))?;
        }
        Ok(())
    })
    .unwrap();
    world.catch_up(place).await;
}

/// Runs the blocks below these headings of the section "Questions".
fn answered(headings: &[&str]) {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("archive").to_str().unwrap().to_owned();
        shop(&place).await;
        let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/guides/query.md");
        let programs = [Path::new(env!("CARGO_BIN_EXE_convex-archiver")), python::python()];
        let mut path: Vec<PathBuf> = programs.iter().map(|program| program.parent().unwrap().to_owned()).collect();
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
        for heading in headings {
            let mut python = Command::new(python::python());
            python.env("CONVEX_ARCHIVE", &place).env("PATH", std::env::join_paths(&path).unwrap());
            // What the blocks write is theirs.
            python.current_dir(tempfile::tempdir_in(folder.path()).unwrap().keep());
            let arguments = [guide.as_os_str(), heading.as_ref()];
            println!("{}", python::try_run_in(&mut python, "readers/questions.py", &arguments).unwrap());
        }
    });
}

#[test]
fn the_questions_of_the_guide_have_the_right_answers() {
    answered(&["DuckDB", "polars", "pandas", "ClickHouse and DataFusion"]);
}

#[test]
fn they_have_the_right_answers_in_spark() {
    answered(&["Spark"]);
}
