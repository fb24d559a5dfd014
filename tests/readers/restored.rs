//! What leaves an archive for others, a restore and exports, is read by programs that are not ours.

use std::{path::Path, sync::Arc};

use convex_archiver::{
    NoMonitor, Timestamp,
    archive::{Location, Settings},
    read::{ExportFormat, ExportOptions, RestoreOptions, export, restore},
};

use crate::{
    drift,
    tools::{expected, process::block_on, python},
};

#[test]
fn python_reads_the_restored_zip_as_the_state_of_that_moment() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let world = drift::archived(path("archive").to_str().unwrap()).await;
        expected::write(&world.deployment, &path("expected.ndjson"));
        let archive = world.archive(path("archive").to_str().unwrap()).await.unwrap();
        let head = archive.head().await.unwrap();
        let through = head.coverage().through.unwrap();
        let written: Vec<Timestamp> = world.deployment.revisions().iter().map(|(_, r)| r.ts).collect();
        // The last, and one in the middle at which components are covered too.
        let known = head.coverage().component_rows.unwrap().since;
        let middle = written.into_iter().find(|ts| *ts > known).unwrap_or(through);
        for (n, at) in [middle, through].into_iter().enumerate() {
            let zip = path(&format!("{n}.zip"));
            let options = RestoreOptions::default().at(at);
            restore(&archive, &head, &options.clone().output(&zip), &NoMonitor).await.unwrap();
            let at = at.0.to_string();
            let arguments = [zip.as_path(), &path("expected.ndjson"), Path::new(&at)];
            println!("{}", python::run("readers/restored_zip.py", &arguments));
        }
    });
}

#[test]
fn pyarrow_json_and_csv_read_the_exported_files_as_the_state() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let world = drift::archived(path("archive").to_str().unwrap()).await;
        expected::write(&world.deployment, &path("expected.ndjson"));
        let archive = world.archive(path("archive").to_str().unwrap()).await.unwrap();
        let head = archive.head().await.unwrap();
        let at = head.coverage().through.unwrap();
        for format in [ExportFormat::Parquet, ExportFormat::Ndjson, ExportFormat::Csv] {
            let target = path(format.extension());
            let location = Location::create(target.to_str().unwrap(), &Settings::default()).unwrap();
            let options = ExportOptions::new(Arc::clone(location.store()), format, at);
            export(&archive, &head, &options, &NoMonitor).await.unwrap();
            let arguments = [target.as_path(), &path("archive"), &path("expected.ndjson")];
            println!("{}", python::run("readers/exported_files.py", &arguments));
            // A second export there would mix with it.
            let again = export(&archive, &head, &options, &NoMonitor).await.unwrap_err();
            assert!(again.to_string().contains("choose an empty location"), "{again}");
        }
    });
}
