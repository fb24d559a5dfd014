//! A whole real data set: all documents of `@mdn/browser-compat-data` 6.0.0, then the changes that make them 7.0.0, synced
//! into S3 and compared document by document: every revision with what the deployment held, by pyarrow and by DuckDB, and the
//! current documents with the files that the deployment was made of.
//!
//! ```text
//! cargo test --test readers -- --ignored --nocapture full_size
//! ```
//!
//! It fetches the two releases with npm. To use directories that `src/server/simulate/demo/make.py release` made before, name
//! them in `FULL_SIZE_FROM` and `FULL_SIZE_TO`.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use convex_archiver::server::read_directory;

use crate::tools::{
    moto::{Moto, make_bucket},
    process::{apart, test_name},
    python,
    world::World,
};

#[test]
#[ignore = "takes a minute or two and, without directories, npm; see the head of the file"]
fn browser_compat_data_full_size() {
    let [from, to] = [("FULL_SIZE_FROM", "6.0.0"), ("FULL_SIZE_TO", "7.0.0")]
        .map(|(name, version)| env::var_os(name).map_or_else(|| release(version), PathBuf::from));
    let mut moto = None;
    let settings = || moto.insert(Moto::start()).settings();
    apart(test_name!(browser_compat_data_full_size), settings, async {
        let place = "s3://lake/browser-compat";
        make_bucket("lake").await;
        let world = World::start(1024, 128).await;
        world.deployment.insert_all(read_directory(&from).unwrap()).unwrap();
        sync(&world, place, "snapshot", &from).await;
        let writes = world.deployment.change_to(read_directory(&to).unwrap(), "feature").unwrap();
        println!("changes: {writes} writes");
        sync(&world, place, "deltas", &to).await;
    });
}

async fn sync(world: &World, place: &str, what: &str, source: &Path) {
    let begun = Instant::now();
    let report = world.catch_up(place).await;
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{what}: {} documents, {} tombstones, {} tables, {} files of {} bytes from {} pages of {} bytes, {} commits, {} rows \
         with rescued values, in {seconds:.1} s",
        report.documents,
        report.tombstones,
        report.tables,
        report.files,
        report.file_bytes,
        report.pages,
        report.page_bytes,
        report.commits,
        report.rescued_rows
    );
    let begun = Instant::now();
    let documents = python::run("readers/source_agrees.py", &[Path::new(place), source, Path::new("feature")]);
    println!("source_agrees.py: {} in {:.1} s", documents.trim(), begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let counts = python::run("readers/log_reads.py", &[Path::new(place)]);
    println!("log_reads.py: {} in {:.1} s", counts.trim(), begun.elapsed().as_secs_f64());
    for script in ["pyarrow_reads.py", "duckdb_reads.py"] {
        let begun = Instant::now();
        let counts = world.compare(script, place);
        println!("{script} agrees: {} in {:.1} s", counts.trim(), begun.elapsed().as_secs_f64());
    }
}

/// The directory of a release, made where it is not there yet.
fn release(version: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser-compat").join(version);
    if !directory.exists() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/server/simulate/demo/make.py");
        let made = directory.with_extension("new");
        let status = Command::new("python3").arg(script).args(["release", version]).arg(&made).status().unwrap();
        assert!(status.success(), "make.py needs npm and its registry");
        std::fs::rename(made, &directory).unwrap();
    }
    directory
}
