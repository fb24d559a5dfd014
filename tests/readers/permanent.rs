//! Views that stay in a database of DuckDB, on the archive that is hard for readers.

use std::{path::Path, process::Command};

use convex_archiver::{
    Selection, Timestamp,
    read::views::{dbt_sources, permanent_views},
};

use crate::{
    drift,
    tools::{expected, process::block_on, python},
};

#[test]
fn the_views_that_stay_hold_every_document_and_revision_for_any_session_in_both_versions() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        // Apostrophes are to be quoted, and that twice where a text is in a text.
        let place = folder.path().join("it's an archive").to_str().unwrap().to_owned();
        let world = drift::archived(&place).await;
        let archive = world.archive(&place).await.unwrap();
        let head = archive.head().await.unwrap();
        let (first, last) = (head.coverage().bases[0].ts, head.coverage().through.unwrap());
        // Tables of components are not covered then.
        let early = Timestamp(first.0 + 1);
        let views = async |at| permanent_views(&archive, &head, &Selection::default(), at).await.unwrap();
        let sources = dbt_sources(&head, &archive.all_schemas(&head).await.unwrap());
        let written = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let expected = folder.path().join("expected.ndjson");
        expected::write(&world.deployment, &expected);
        let arguments = [
            Path::new(&place).to_owned(),
            expected,
            written("views.sql", views(last).await),
            written("as_of.sql", views(early).await),
            early.0.to_string().into(),
            written("sources.yml", sources),
        ];
        for (version, path) in [("1.5.5", Path::new("")), ("2.0.0", python::next())] {
            let mut python = Command::new(python::python());
            let said =
                python::try_run_in(python.env("PYTHONPATH", path), "readers/permanent_views.py", &arguments).unwrap();
            assert!(said.starts_with(&format!("DuckDB {version}: ")), "{said}");
        }
        let early = permanent_views(&archive, &head, &Selection::default(), Timestamp(first.0 - 1)).await.unwrap_err();
        assert!(early.to_string().contains("is not covered at"), "{early}");
    });
}
