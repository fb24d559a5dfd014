//! Views that stay in a database of DuckDB, on the archive that is hard for readers.

use std::{path::Path, process::Command};

use convex_archiver::{
    Selection, TableRef, Timestamp,
    read::views::{dbt_sources, permanent_views},
    server::demo_documents,
};

use crate::{
    drift,
    tools::{
        expected,
        moto::Moto,
        process::{apart, block_on, test_name},
        python,
        world::World,
    },
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

#[test]
fn the_views_that_stay_are_made_without_keys_of_the_store_and_read_with_them() {
    let mut moto = None;
    let settings = || moto.insert(Moto::strict("lake", None)).settings();
    apart(test_name!(the_views_that_stay_are_made_without_keys_of_the_store_and_read_with_them), settings, async {
        let place = "s3://lake/convex/shop";
        let world = World::start(200, 64).await;
        world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
        world.catch_up(place).await;
        world.deployment.change_to(demo_documents(1).unwrap(), "feature").unwrap();
        let at = world.catch_up(place).await.through.unwrap();
        let archive = world.archive(place).await.unwrap();
        let head = archive.head().await.unwrap();
        let script = tempfile::NamedTempFile::new().unwrap();
        let views = permanent_views(&archive, &head, &Selection::default(), at).await.unwrap();
        std::fs::write(script.path(), views).unwrap();
        let state = &world.deployment.state_at(at)[&TableRef::new("", "svg").unwrap()];
        let sum: i128 = state.values().map(|revision| i128::from(revision.ts.0)).sum();
        let said = python::run("readers/permanent_s3.py", &[script.path()]);
        assert_eq!(said.trim(), format!("{} {sum}", state.len()));
    });
}
