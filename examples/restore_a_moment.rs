//! How do I get yesterday back: what a restore would hold, and the ZIP for `npx convex import`; one document alone; and the same
//! moment as plain Parquet files for other tools.
//!
//! `cargo run --example restore_a_moment -- [ARCHIVE]`

#![allow(clippy::expect_used, clippy::print_stdout, reason = "an example prints, and may give up")]

mod support;

use std::sync::Arc;

use convex_archiver::{
    NoMonitor, Result,
    archive::{Location, Settings},
    read::{ExportFormat, ExportOptions, RestoreOptions, export, in_full, plan_restore, restore},
};

#[tokio::main]
async fn main() -> Result<()> {
    let (archive, head, _scratch) = support::archive().await?;
    let (id, before) = support::a_deletion(&archive, &head).await?;
    let all = RestoreOptions::default().at(before);

    let plan = plan_restore(&archive, &head, &all, &NoMonitor).await?;
    println!("{}: {} documents of {} tables", in_full(before), plan.documents(), plan.tables.len());
    println!("not covered then: {:?}; gaps before: {:?}", plan.not_covered, plan.gaps);

    let target = tempfile::tempdir().expect("a temporary folder");
    let zip = target.path().join("all.zip");
    let (report, bytes) = restore(&archive, &head, &all.clone().output(&zip), &NoMonitor).await?;
    println!("{}: {bytes} bytes. npx convex import --replace-all {0}", zip.display());
    assert_eq!(report.documents(), plan.documents());

    let one = all.ids([id].into());
    let zip = target.path().join("one.zip");
    let (report, bytes) = restore(&archive, &head, &one.clone().output(&zip), &NoMonitor).await?;
    println!("{}: {bytes} bytes. Into another deployment: npx convex import --append {0}", zip.display());
    assert_eq!(report.documents(), 1);

    // A folder, s3://bucket/prefix, …
    let folder = Location::create(&target.path().join("plain").display().to_string(), &Settings::default())?;
    let options = ExportOptions::new(Arc::clone(folder.store()), ExportFormat::Parquet, before);
    let exported = export(&archive, &head, &options, &NoMonitor).await?;
    for table in &exported.tables {
        println!("{}: {} documents in {}/{}", table.table, table.documents, table.folder, table.files.join(", "));
    }
    assert_eq!(exported.tables.iter().map(|table| table.documents).sum::<u64>(), plan.documents());
    Ok(())
}
