//! Readers that are not ours open what a real sync wrote, on a local disk and on S3, and compare it with what the
//! deployment held: every table, every row, every value by its bits.
//!
//! The scripts beside this file know the format from `src/archive/FORMAT.md` only. Those of the engines begin with the manifest;
//! `log_reads.py` is an independent reader of the whole format, from the log on.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "shown where a test fails, or is asked to talk")]
#![allow(clippy::disallowed_methods, reason = "tests are told by the environment how much to do, and start processes")]

mod dbt;
mod drift;
mod frozen;
mod full_size;
mod generated;
mod late;
mod permanent;
mod questions;
mod readme;
mod restored;
mod scripts;
#[allow(dead_code, reason = "every test program uses its own part of the tools")]
#[path = "../tools/mod.rs"]
mod tools;

use std::path::Path;

use crate::tools::{
    answers::{self, Asked},
    expected,
    moto::Moto,
    process::{apart, block_on, test_name},
    python,
    world::World,
};

fn agrees_on_local_files(script: &str) {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("archive").to_str().unwrap().to_owned();
        let world = drift::archived(&place).await;
        println!("{}", world.compare(script, &place));
    });
}

fn agrees_over_s3(test: &str, script: &str) {
    let mut moto = None;
    let settings = || moto.insert(Moto::start()).settings();
    apart(test, settings, async {
        let place = "s3://lake/convex/shop";
        tools::moto::make_bucket("lake").await;
        let world = drift::archived(place).await;
        println!("{}", world.compare(script, place));
    });
}

/// The independent reader proves the archive at `place` and finds what our own reader answers; of all questions some are asked.
async fn reads_alone_as_we_do(world: &World, place: &str) {
    let answers = tempfile::tempdir().unwrap();
    let archive = world.archive(place).await.unwrap();
    answers::write(&archive, answers.path(), Asked { moments: 50, documents: 25 }).await;
    println!("{}", python::run("readers/log_reads.py", &[Path::new(place), answers.path()]));
}

#[test]
fn the_independent_reader_agrees_on_local_files() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("archive").to_str().unwrap().to_owned();
        let world = drift::archived(&place).await;
        reads_alone_as_we_do(&world, &place).await;
    });
}

#[test]
fn the_independent_reader_agrees_over_s3() {
    let mut moto = None;
    let settings = || moto.insert(Moto::start()).settings();
    apart(test_name!(the_independent_reader_agrees_over_s3), settings, async {
        let place = "s3://lake/convex/shop";
        tools::moto::make_bucket("lake").await;
        let world = drift::archived(place).await;
        reads_alone_as_we_do(&world, place).await;
    });
}

#[test]
fn duckdb_agrees_on_local_files() {
    agrees_on_local_files("duckdb_reads.py");
}

#[test]
fn duckdb_agrees_over_s3() {
    agrees_over_s3(test_name!(duckdb_agrees_over_s3), "duckdb_reads.py");
}

#[test]
fn pyarrow_agrees_on_local_files() {
    agrees_on_local_files("pyarrow_reads.py");
}

#[test]
fn pyarrow_agrees_over_s3() {
    agrees_over_s3(test_name!(pyarrow_agrees_over_s3), "pyarrow_reads.py");
}

#[test]
fn spark_agrees_on_the_folders() {
    agrees_on_local_files("spark_reads.py");
}

#[test]
fn spark_agrees_through_iceberg_with_its_vectorised_reader() {
    agrees_on_local_files("iceberg_reads.py");
}

#[test]
fn datafusion_and_chdb_agree_on_every_file() {
    agrees_on_local_files("engines_read.py");
}

/// What the deployment holds is altered behind the archive's back: the comparison must say where.
#[test]
fn the_comparison_finds_a_value_a_row_and_a_table_that_differ() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("archive").to_str().unwrap().to_owned();
        let world = drift::archived(&place).await;
        let file = folder.path().join("expected.ndjson");
        expected::write(&world.deployment, &file);
        let lines: Vec<String> = std::fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect();
        let place_of = |what: &str| lines.iter().position(|line| line.contains(what)).unwrap();
        // NaN with another payload; a row less; a tombstone that was a document; a table more.
        let nan = place_of(drift::ODD_NAN);
        let dead = place_of(r#""document":null"#);
        for (harm, says) in [
            ((nan, lines[nan].replace(drift::ODD_NAN, "7ff8000000000000")), "differs"),
            ((nan, String::new()), "too many"),
            ((dead, lines[dead].replace("null", r#"{"object":{}}"#)), "differs"),
            ((dead, lines[dead].replace(r#""table":""#, r#""table":"other_"#)), "too many"),
            (
                (nan, format!("{0}\n{1}", lines[nan], lines[nan].replace(r#""table":""#, r#""table":"other_"#))),
                "missing",
            ),
        ] {
            let mut lines = lines.clone();
            lines[harm.0] = harm.1;
            lines.retain(|line| !line.is_empty());
            std::fs::write(&file, lines.join("\n")).unwrap();
            let error = python::try_run("readers/pyarrow_reads.py", &[Path::new(&place), &file]).unwrap_err();
            assert!(error.contains(says), "{says}: {error}");
        }
    });
}
