//! Reads an archive back through the library, without the deployment and without any engine: which tables there are, and
//! every revision of one of them with its values as Convex has them.
//!
//! `cargo run --example read_an_archive -- [FOLDER [TABLE]]`; without a folder it makes an archive of the simulation first.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "an example prints, and may give up")]

use std::sync::Arc;

use convex_archiver::{
    Encoding, NoMonitor, Result, Timestamp, Value,
    archive::{Archive, Location},
    codec::{RowReader, write_value},
    convex::{Access, Client, ClientOptions, DeployKey, Source},
    data::{FileReader, Wanted},
    server::{RouterOptions, SimulatedDeployment, demo_documents, router},
    sync::{SyncOptions, sync},
};

#[tokio::main]
async fn main() -> Result<()> {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let mut arguments = std::env::args().skip(1);
    let folder = match arguments.next() {
        Some(folder) => folder,
        None => archive_of_the_simulation(scratch.path().display().to_string()).await?,
    };
    let wanted = arguments.next();

    let location = Location::open(&folder)?;
    let archive = Archive::open(Arc::clone(location.store()), location.url()).await?;
    let head = archive.head().await?;
    for table in head.tables() {
        let counts = table.visible();
        println!(
            "{}: {} rows in {} files, {} columns",
            table.table,
            counts.rows,
            counts.files,
            table.schema.fields.len()
        );
    }

    let mut live = archive.live_files(&head).await?;
    let mut shown = 0;
    while let Some(file) = live.next().await? {
        if wanted.as_ref().is_some_and(|name| *name != file.table.to_string()) {
            continue;
        }
        let Some(table) = head.table(&file.table) else { continue };
        let mut reader = FileReader::open(Arc::clone(archive.store()), &file, &Wanted::default()).await?;
        while let Some(batch) = reader.next().await? {
            let rows = RowReader::new(&table.schema, &batch)?;
            for row in 0..batch.num_rows() {
                let revision = rows.revision(row)?;
                shown += 1;
                if shown > 5 {
                    continue;
                }
                let mut text = String::new();
                match revision.document {
                    Some(document) => write_value(&mut text, &Value::Object(document), Encoding::ExportJson),
                    None => text.push_str("deleted"),
                }
                println!("{} {} {}: {text:.100}", file.table, revision.id, revision.ts);
            }
        }
    }
    println!("{shown} revisions");
    assert!(shown > 0);
    Ok(())
}

async fn archive_of_the_simulation(folder: String) -> Result<String> {
    let deployment = Arc::new(SimulatedDeployment::new("happy-otter-123", 1));
    deployment.insert_all(demo_documents(0)?)?;
    let key = "happy-otter-123|example";
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("a bound port"));
    let app = router(deployment, RouterOptions { key: key.into(), ..RouterOptions::default() });
    tokio::spawn(async move { axum::serve(listener, app).await });
    let access = Access::new(&url, DeployKey::new(key)?, false)?;
    let client = Arc::new(Client::new(access, ClientOptions::default(), Arc::new(NoMonitor))?);
    let location = Location::create(&folder)?;
    let identity = client.identity().await?;
    let archive = Archive::create(Arc::clone(location.store()), location.url(), identity, Timestamp(0)).await?;
    sync(client, &archive, &SyncOptions::default(), Arc::new(NoMonitor)).await?;
    Ok(folder)
}
