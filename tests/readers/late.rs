//! What came before its column, what has none, and names that mean something to an engine: SQL says of each field as much as the documents do.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use convex_archiver::{
    NoMonitor, TableRef, Value,
    archive::Archive,
    read::{
        ExportFormat, ExportOptions, export,
        views::{duckdb_views, spark_views},
    },
    server::SimulatedDeployment,
};
use object_store::local::LocalFileSystem;

use crate::tools::{expected, process::block_on, python, world::World};

type Fields = BTreeMap<String, Value>;

/// Reserved words of both engines, functions, virtual columns, parameters and helpers of our own macros.
const NAMES: &[&str] = &[
    "source",
    "moment",
    "file_index",
    "filename",
    "file_row_number",
    "rowid",
    "name",
    "ts",
    "known",
    "cell",
    "path",
    "paths",
    "value",
    "key",
    "other",
    "inside",
    "but",
    "entries",
    "pointer",
    "names",
    "item",
    "item_17",
    "c16",
    "c17",
    "c18",
    "c20",
    "select",
    "from",
    "table",
    "order",
    "group",
    "union",
    "all",
    "null",
    "true",
    "case",
    "end",
    "map",
    "struct",
    "list",
    "row_number",
    "count",
    "query",
    "main",
    "temp",
    "system",
    "value__rescued",
    "files",
    "base",
    "rank",
    "ranks",
    "state",
    "metadata",
    "input_file_name",
    "partition",
    "date",
    "timestamp",
    "interval",
    "schema",
    "default_value",
    "type",
];

fn table(name: &str) -> TableRef {
    TableRef::new("", name).unwrap()
}

fn fields<const N: usize>(fields: [(&str, Value); N]) -> Fields {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn text(text: impl Into<String>) -> Value {
    Value::String(text.into())
}

/// Everything that comes late; `n` makes it another. Of each kind of column one, and what fits none.
fn late(n: i64) -> Fields {
    let profile = fields([("city", text("Utrecht")), ("since", Value::Int64(n)), ("score", Value::Float64(-0.0))]);
    fields([
        ("bannedAt", Value::Float64([f64::INFINITY, f64::NAN, 1.7e12 + n as f64, -0.0, 1e16][n as usize % 5])),
        ("flag", Value::Boolean(n % 2 == 0)),
        ("visits", Value::Int64([i64::MIN, i64::MAX, n][n as usize % 3])),
        ("note", text(format!("\"{n}\" \u{1f980} 5"))),
        ("blob", Value::Bytes(vec![0, 255, n as u8])),
        ("tags", Value::Array(vec![text("a"), Value::Null, text("b")])),
        (
            "matrix",
            Value::Array(vec![Value::Array(vec![Value::Float64(0.5), Value::Float64(f64::NEG_INFINITY)]), Value::Null]),
        ),
        ("profile", Value::Object(profile)),
        ("lines", Value::Array(vec![Value::Object(fields([("sku", text("x")), ("n", Value::Int64(n))]))])),
        // Of several types from its birth on.
        ("mixed", [Value::Int64(n), text("x")][n as usize % 2].clone()),
    ])
}

fn fill(d: &SimulatedDeployment) {
    d.transaction(|t| {
        let mut users = BTreeMap::new();
        for n in 0..3_000 {
            let user = fields([("k", Value::Int64(n)), ("text", text("x".repeat(600)))]);
            users.insert(t.insert(&table("users"), user.clone())?, user);
        }
        // Behind the part of the first file that gives birth to columns: files are sorted by `_id`.
        for (n, (id, mut user)) in users.into_iter().rev().take(10).enumerate() {
            user.append(&mut late(n as i64));
            // It fits each of the two columns that there will be.
            user.insert("pair".into(), Value::Array(vec![]));
            if n == 5 {
                // Another type, or a null or a key, that the column of later cannot hold.
                user.insert("note".into(), Value::Int64(5));
                user.insert("profile".into(), Value::Object(fields([("city", Value::Null), ("zip~/", text("12345"))])));
                user.insert("tags".into(), Value::Array(vec![text("a"), Value::Int64(1)]));
                user.insert("bannedAt".into(), Value::Float64(f64::from_bits(0x7ff8_0000_0000_0123)));
                user.insert("never".into(), text("has no column"));
            }
            t.replace(&table("users"), &id, user)?;
        }
        for n in 0..8 {
            t.insert(&table("polls"), poll(n))?;
        }
        for name in NAMES {
            let mut mixed = fields([("k", text(*name))]);
            for (at, field) in NAMES.iter().enumerate() {
                mixed.insert(
                    (*field).into(),
                    if (at + name.len()).is_multiple_of(2) { text(*field) } else { Value::Float64(1.0) },
                );
            }
            t.insert(&table("words"), mixed)?;
        }
        for (n, name) in NAMES.iter().enumerate() {
            let named = if n % 3 == 0 { table(name) } else { TableRef::new(*name, "users").unwrap() };
            if n % 3 < 2 {
                t.insert(&named, fields([("k", text(*name))]))?;
            }
        }
        Ok(())
    })
    .unwrap();
}

/// Votes by user, at the top and inside of an object: keys are data.
fn poll(n: i64) -> Fields {
    let votes = |m: i64| (0..3).map(|k| (format!("u{}", n * 3 + k + m), Value::Float64(k as f64))).collect::<Fields>();
    let inner = fields([("votes", Value::Object(votes(7))), ("closed", Value::Boolean(true))]);
    fields([("k", Value::Int64(n)), ("votes", Value::Object(votes(0))), ("stats", Value::Object(inner))])
}

struct Late {
    folder: tempfile::TempDir,
    place: String,
    archive: Archive,
}

impl Late {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("archive").to_str().unwrap().to_owned();
        let world = World::without_shapes().await;
        fill(&world.deployment);
        world.catch_up(&place).await;
        world
            .deployment
            .transaction(|t| {
                for n in 0..20 {
                    let mut user = late(n);
                    user.insert("k".into(), Value::Int64(-n - 1));
                    user.insert("pair".into(), Value::Array(vec![text("x")]));
                    t.insert(&table("users"), user)?;
                }
                (8..300).try_for_each(|n| t.insert(&table("polls"), poll(n)).map(drop))
            })
            .unwrap();
        world.catch_up(&place).await;
        // A column has its type; then enough of another for a second column; then that.
        let pair = |n| fields([("k", Value::Int64(n)), ("pair", Value::Array(vec![Value::Float64(n as f64)]))]);
        for numbers in [0..120, 120..121] {
            let insert = |n| world.deployment.transaction(|t| t.insert(&table("users"), pair(n))).map(drop).unwrap();
            numbers.for_each(insert);
            world.catch_up(&place).await;
        }
        expected::write(&world.deployment, &folder.path().join("expected.ndjson"));
        let archive = world.archive(&place).await.unwrap();
        Self { folder, place, archive }
    }

    fn expected(&self) -> PathBuf {
        self.folder.path().join("expected.ndjson")
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

#[test]
fn sql_says_of_each_field_as_much_as_the_documents() {
    block_on(async {
        let late = Late::new().await;
        let head = late.archive.head().await.unwrap();
        let columns = late.archive.all_schemas(&head).await.unwrap();
        let script = late.file("views.sql", &duckdb_views(&head, &columns, &late.place, None));
        let exported = late.folder.path().join("exported");
        std::fs::create_dir(&exported).unwrap();
        let target = std::sync::Arc::new(LocalFileSystem::new_with_prefix(&exported).unwrap());
        let options = ExportOptions::new(target, ExportFormat::Parquet, head.coverage().through.unwrap());
        export(&late.archive, &head, &options, &NoMonitor).await.unwrap();
        for path in [Path::new(""), python::next()] {
            let mut python = Command::new(python::python());
            let arguments = [Path::new(&late.place).to_owned(), late.expected(), script.clone(), exported.clone()];
            let said = python::try_run_in(python.env("PYTHONPATH", path), "readers/late_reads.py", &arguments).unwrap();
            assert!(said.contains("values agree"), "{said}");
        }
    });
}

#[test]
fn spark_says_the_same() {
    spark("3.5.9", Path::new(""));
}

#[test]
fn spark_4_says_the_same() {
    spark("4.0.1", python::next());
}

fn spark(version: &str, path: &Path) {
    block_on(async {
        let late = Late::new().await;
        let script = late.file("convex_views.py", &spark_views(&late.place, None));
        let mut python = Command::new(python::python());
        let arguments = [Path::new(&late.place).to_owned(), late.expected(), script];
        let said = python::try_run_in(python.env("PYTHONPATH", path), "readers/late_spark.py", &arguments).unwrap();
        assert!(said.contains(&format!("Spark {version}: ")) && said.contains("values agree"), "{said}");
    });
}
