//! What `views`, `schema --format` and `query` give to other engines, run by these engines on one archive that is hard for readers.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use convex_archiver::{
    TableRef, TableSchema, Timestamp,
    archive::Head,
    read::views::{SchemaFormat, duckdb_views, schema_text, spark_views},
    server::demo_documents,
};

use crate::{
    drift,
    tools::{
        azurite::{Azurite, make_container},
        expected,
        moto::Moto,
        process::{apart, block_on, test_name},
        python,
        world::World,
    },
};

struct Drifted {
    folder: tempfile::TempDir,
    head: Head,
    columns: BTreeMap<TableRef, Arc<TableSchema>>,
    place: String,
}

impl Drifted {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Apostrophes are to be quoted, and that twice where a text is in a text; nothing is to be put in the URL's place.
        let place = folder.path().join("it's an archive of $FORMAT").to_str().unwrap().to_owned();
        Self::at(folder, place).await
    }

    async fn at(folder: tempfile::TempDir, place: String) -> Self {
        let world = drift::archived(&place).await;
        expected::write(&world.deployment, &folder.path().join("expected.ndjson"));
        let archive = world.archive(&place).await.unwrap();
        let head = archive.head().await.unwrap();
        let columns = archive.all_schemas(&head).await.unwrap();
        Self { folder, head, columns, place }
    }

    /// A moment in the middle of its history.
    fn middle(&self) -> Timestamp {
        let coverage = self.head.coverage();
        let (first, last) = (coverage.bases.first().unwrap().ts.0, coverage.through.unwrap().0);
        Timestamp(first + (last - first) / 2)
    }

    fn expected(&self) -> PathBuf {
        self.folder.path().join("expected.ndjson")
    }

    /// Each table's schema for each reader, and the arguments of a script that reads with them.
    fn schemas(&self) -> [PathBuf; 3] {
        for state in self.head.tables() {
            let name = state.table.to_string().replace('/', ".");
            for (format, ending) in
                [(SchemaFormat::Pyarrow, "pyarrow"), (SchemaFormat::Polars, "polars"), (SchemaFormat::Sql, "sql")]
            {
                let text = schema_text(&state.table, &self.columns[&state.table], format, &self.place).unwrap();
                self.file(&format!("{name}.{ending}"), &text);
            }
        }
        [Path::new(&self.place).to_owned(), self.expected(), self.folder.path().to_owned()]
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

#[test]
fn the_views_of_duckdb_hold_every_state_and_revision_in_both_versions() {
    block_on(async {
        let drifted = Drifted::new().await;
        let as_of = drifted.middle();
        let script = drifted.file("views.sql", &duckdb_views(&drifted.head, &drifted.columns, &drifted.place, None));
        let fixed =
            drifted.file("as_of.sql", &duckdb_views(&drifted.head, &drifted.columns, &drifted.place, Some(as_of)));
        let arguments =
            [Path::new(&drifted.place).to_owned(), drifted.expected(), script, fixed, as_of.0.to_string().into()];
        for (version, path) in [("1.5.5", Path::new("")), ("2.0.0", python::next())] {
            let mut python = Command::new(python::python());
            let said =
                python::try_run_in(python.env("PYTHONPATH", path), "readers/duckdb_views.py", &arguments).unwrap();
            assert!(said.starts_with(&format!("DuckDB {version}: ")), "{said}");
        }
    });
}

#[test]
fn the_views_of_spark_hold_the_same() {
    spark("3.5.9", &mut Command::new(python::python()));
}

#[test]
fn the_views_of_spark_4_hold_the_same() {
    spark("4.0.1", Command::new(python::python()).env("PYTHONPATH", python::next()));
}

fn spark(version: &str, python: &mut Command) {
    block_on(async {
        let drifted = Drifted::new().await;
        let as_of = drifted.middle();
        let script = drifted.file("convex_views.py", &spark_views(&drifted.place, None));
        let fixed = drifted.file("as_of.py", &spark_views(&drifted.place, Some(as_of)));
        let arguments =
            [Path::new(&drifted.place).to_owned(), drifted.expected(), script, fixed, as_of.0.to_string().into()];
        let said = python::try_run_in(python, "readers/spark_views.py", &arguments).unwrap();
        assert!(said.contains(&format!("Spark {version}")), "{said}");
    });
}

#[test]
fn with_the_schema_of_a_table_no_reader_misses_a_column_and_its_state_is_that_of_every_moment() {
    block_on(async {
        let drifted = Drifted::new().await;
        let arguments = drifted.schemas();
        python::run("readers/schema_reads.py", &arguments);
        println!("{}", python::run("readers/state_reads.py", &arguments));
    });
}

#[test]
fn the_state_that_comes_with_a_schema_reads_s3_too() {
    let mut moto = None;
    let settings = || moto.insert(Moto::strict("lake", None)).settings();
    apart(test_name!(the_state_that_comes_with_a_schema_reads_s3_too), settings, async {
        let drifted = Drifted::at(tempfile::tempdir().unwrap(), "s3://lake/convex/shop".into()).await;
        println!("{}", python::run("readers/state_reads.py", &drifted.schemas()));
    });
}

#[test]
fn query_hands_the_views_to_duckdb() {
    block_on(async {
        let drifted = Drifted::new().await;
        let duckdb = python::python().with_file_name("duckdb");
        let query = |arguments: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_convex-archiver"));
            command.args(["query", "--archive", &drifted.place, "--duckdb"]).arg(&duckdb).args(arguments);
            let output = command.stdin(std::process::Stdio::null()).output().unwrap();
            (output.status.code(), python::text(&output))
        };
        let ends = |arguments: &[&str], code: i32, words: &[&str]| {
            let (ended, said) = query(arguments);
            assert_eq!(ended, Some(code), "{arguments:?}: {said}");
            words.iter().for_each(|word| assert!(said.contains(word), "{arguments:?}: {said}"));
        };
        let orders = r#"SELECT "count" AS n, typeof(mixed) AS kind, "waitlist/inner".names.id AS id FROM orders, "waitlist/inner".names
            WHERE "has space" = 0.5 AND "count" = 9223372036854775807 LIMIT 1 -- the end"#;
        ends(&[orders], 0, &["n,kind,id\n9223372036854775807,JSON,plain\n"]);
        ends(&[orders, "--json"], 0, &[r#"[{"n":9223372036854775807,"kind":"JSON","id":"plain"}]"#]);
        ends(&[orders, "--markdown"], 0, &["| kind |  id   |\n|", "| 9223372036854775807 | JSON | plain |"]);
        // Beside a column that drifted: what had no place in it before it got a sibling.
        let drifted_prices = "SELECT count(*) > 0 AS some FROM orders WHERE price__rescued->>'$' LIKE '% EUR' OR price__string LIKE '% EUR'";
        ends(&[drifted_prices], 0, &["some\ntrue\n"]);
        let out = drifted.folder.path().join("out.csv");
        let to = out.to_str().unwrap();
        ends(&["SELECT nonsense FROM orders", "--output", to], 1, &["nonsense", "DuckDB ended with"]);
        assert!(!out.exists());
        ends(&["FROM \"names-2\"", "--output", to], 0, &[]);
        assert!(std::fs::read_to_string(&out).unwrap().starts_with("_id,_creationTime,_creationTime_utc,_ts,_ts_utc,"));
        ends(&["SELECT 1", "--as-of", "2001-01-01"], 1, &["is not covered at 2001-01-01T00:00:00"]);
        let first = drifted.head.coverage().bases[0].ts.0;
        let component = ["SELECT count(*) FROM waitlist.orders", "--as-of", &(first + 1).to_string()];
        ends(&component, 1, &["table waitlist/orders is not covered at", "choose a moment in"]);
        // The shell, at the end of its input.
        ends(&[], 0, &[]);
        let mut shell = Command::new(env!("CARGO_BIN_EXE_convex-archiver"));
        shell.args(["query", "--archive", &drifted.place, "--duckdb"]).arg(&duckdb);
        let typed = drifted.file("typed.sql", "SELECT 'has ' || count(*) AS orders FROM orders_history WHERE false;\n");
        let output = shell.stdin(std::fs::File::open(typed).unwrap()).output().unwrap();
        assert!(python::text(&output).contains("has 0"), "{output:?}");
        // What only repeats the log is damaged: DuckDB gets lists that were made from the log.
        let sums = ["SELECT count(*) AS n, sum(_ts) AS ts FROM orders_history", "--csv"];
        let (_, right) = query(&sums);
        let manifest = std::path::Path::new(&drifted.place).join("manifest.json");
        for harmed in [manifest, a_part_of(&drifted.place, "orders")] {
            let good = std::fs::read(&harmed).unwrap();
            let empty = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()).finish().unwrap();
            for bad in [good[..good.len() / 2].to_vec(), empty] {
                std::fs::write(&harmed, bad).unwrap();
                ends(&sums, 0, &[right.trim(), "made from the log"]);
            }
            std::fs::remove_file(&harmed).unwrap();
            ends(&sums, 0, &[right.trim(), "made from the log"]);
            std::fs::write(&harmed, good).unwrap();
        }
        assert_eq!(query(&sums).1, right);
        // Of tables that a query does not name nothing is read, neither files nor lists.
        let (tables, parts) = (Path::new(&drifted.place).join("tables"), Path::new(&drifted.place).join("parts"));
        std::fs::remove_dir_all(tables.join("orders")).unwrap();
        std::fs::remove_dir_all(parts.join("tables/orders")).unwrap();
        ends(&["SELECT count(*) > 0 AS some FROM \"names-2\""], 0, &["some\ntrue\n"]);
        std::fs::remove_dir_all(tables).unwrap();
        ends(&["SELECT 1 AS one"], 0, &["one\n1\n"]);
    });
}

/// The list of files of a table.
fn a_part_of(archive: &str, table: &str) -> PathBuf {
    let mut place = std::path::Path::new(archive).join("parts/tables").join(table);
    while place.is_dir() {
        place = std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    }
    place
}

#[cfg(unix)]
#[test]
fn query_gives_the_keys_of_a_store_to_duckdb_in_the_script_alone() {
    use std::os::unix::fs::PermissionsExt;
    let mut moto = None;
    let settings = || moto.insert(Moto::strict("lake", None)).settings();
    apart(test_name!(query_gives_the_keys_of_a_store_to_duckdb_in_the_script_alone), settings, async {
        let place = "s3://lake/convex/shop";
        World::start(50, 64).await.catch_up(place).await;
        let folder = tempfile::tempdir().unwrap();
        let within = |name: &str| folder.path().join(name);
        // Stands for DuckDB: keeps what it is given, and how the system lists it.
        let keeping = "#!/bin/sh\ncd \"$(dirname \"$0\")\"\nps -o args= -p $$ -p $PPID > arguments\n\
                       if [ \"$1\" = -init ]; then cat \"$2\" > script; else cat > script; fi\n";
        std::fs::write(within("duckdb"), keeping).unwrap();
        std::fs::set_permissions(within("duckdb"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let [key, secret] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| std::env::var(name).unwrap());
        for sql in [Some("SELECT 1"), None] {
            let mut query = Command::new(env!("CARGO_BIN_EXE_convex-archiver"));
            query.args(["query", "--archive", place, "--duckdb"]).arg(within("duckdb")).args(sql);
            let output = query.env("TMPDIR", folder.path()).output().unwrap();
            let said = python::text(&output);
            assert!(output.status.success(), "{said}");
            let [arguments, script] =
                ["arguments", "script"].map(|name| std::fs::read_to_string(within(name)).unwrap());
            let created = format!("SCOPE 's3://lake', KEY_ID '{key}', SECRET '{secret}'");
            assert!(script.contains(&created) && script.contains("CREATE OR REPLACE MACRO"), "{script}");
            assert!(arguments.contains(":memory:") && arguments.contains("query --archive"), "{arguments}");
            for (what, text) in [("arguments", &arguments), ("output", &said)] {
                assert!(!text.contains(&secret) && !text.contains(&key), "{what}: {text}");
            }
            // The script was the only file, and is gone.
            let mut left: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
            left.sort();
            assert_eq!(left, ["arguments", "duckdb", "script"]);
        }
    });
}

/// Of what lies there the real DuckDB, let in by `query`, answers what the deployment had. `extension` is what it needs for that.
async fn query_reads_an_archive(place: &str, extension: &str) {
    let world = World::start(200, 64).await;
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    let first = world.catch_up(place).await.through.unwrap();
    world.deployment.change_to(demo_documents(1).unwrap(), "feature").unwrap();
    let last = world.catch_up(place).await.through.unwrap();
    // What DuckDB would load from the network.
    let install = format!(
        "import duckdb, duckdb_extensions\nduckdb_extensions.import_extension('{extension}', con=duckdb.connect())"
    );
    let installed = Command::new(python::python()).args(["-c", &install]).output().unwrap();
    assert!(installed.status.success(), "{}", python::text(&installed));
    let svg = TableRef::new("", "svg").unwrap();
    for at in [first, last] {
        let mut query = Command::new(env!("CARGO_BIN_EXE_convex-archiver"));
        query.args(["query", "SELECT count(*) AS n, sum(_ts) AS ts FROM svg", "--as-of", &at.0.to_string()]);
        query.args(["--archive", place, "--duckdb"]).arg(python::python().with_file_name("duckdb"));
        let output = query.output().unwrap();
        let state = &world.deployment.state_at(at)[&svg];
        let sum: i128 = state.values().map(|revision| i128::from(revision.ts.0)).sum();
        assert_eq!(python::text(&output).trim(), format!("n,ts\n{},{sum}", state.len()));
    }
}

#[test]
fn query_reads_an_archive_on_s3_with_the_keys_of_the_environment() {
    let mut moto = None;
    let settings = || moto.insert(Moto::strict("lake", None)).settings();
    apart(test_name!(query_reads_an_archive_on_s3_with_the_keys_of_the_environment), settings, async {
        query_reads_an_archive("s3://lake/convex/shop", "httpfs").await;
    });
}

#[test]
fn query_reads_an_archive_on_azure_with_the_key_of_the_environment() {
    let mut azurite = None;
    let settings = || {
        let azurite = azurite.insert(Azurite::start());
        let server = azurite.url.clone();
        block_on(make_container(&server, &azurite.all, "lake"));
        azurite.settings()
    };
    apart(test_name!(query_reads_an_archive_on_azure_with_the_key_of_the_environment), settings, async {
        query_reads_an_archive("az://lake/convex/shop", "azure").await;
    });
}
