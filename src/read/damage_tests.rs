//! Cells that should hold JSON text and do not: an error that names them, never a line that is no JSON.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use object_store::{ObjectStore, memory::InMemory};

use super::*;
use crate::{
    document::Timestamp,
    error::{Error, ErrorKind},
    monitor::NoMonitor,
    rows::testing::{ORIGIN, archive_of_one_file},
    schema::OwnColumn,
};

const ID: &str = "j97ft5vd8bpy3ge1wh7nwrdm998jtrf4";
const OTHER: &str = "j976b1wbqj0texx9d615pn3b0d8jvre1";

/// Two documents with a column of JSON text, since one of its keys is no name.
fn documents() -> [String; 2] {
    let document = |id: &str| format!(r#"{{"_creationTime":1.5,"_id":"{id}","keyed":{{"an odd key":[1.0]}},"n":1.0}}"#);
    [document(OTHER), document(ID)]
}

/// Puts `text` into the column of the second document.
fn with(column: &str, text: &str) -> impl FnOnce(RecordBatch) -> RecordBatch {
    move |batch| {
        let at = batch.schema().index_of(column).unwrap();
        let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
        let old = columns[at].as_any().downcast_ref::<StringArray>().unwrap();
        let first = old.iter().next().unwrap();
        columns[at] = Arc::new(StringArray::from(vec![first, Some(text)]));
        RecordBatch::try_new(batch.schema(), columns).unwrap()
    }
}

/// What restoring and exporting say.
async fn outcomes(column: &str, text: &str) -> Vec<Result<String, Error>> {
    let documents = documents();
    let documents: Vec<_> = documents.iter().map(String::as_str).collect();
    let (archive, head) = archive_of_one_file(&documents, with(column, text)).await;
    let at = Timestamp(ORIGIN);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zip");
    let options = RestoreOptions::default().at(at).output(&path);
    let lines = |path: &std::path::Path| {
        let mut zip = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
        std::io::read_to_string(zip.by_name("a/documents.jsonl").unwrap()).unwrap()
    };
    let mut outcomes = vec![restore(&archive, &head, &options, &NoMonitor).await.map(|_| lines(&path))];
    let one = options.clone().output(folder.path().join("one.zip")).ids([ID.to_owned()].into());
    outcomes.push(restore(&archive, &head, &one, &NoMonitor).await.map(|_| lines(&folder.path().join("one.zip"))));
    assert!(outcomes[0].is_ok() || std::fs::read_dir(folder.path()).unwrap().count() == 0, "nothing is left");
    for format in [ExportFormat::Ndjson, ExportFormat::Csv] {
        let target: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let options = ExportOptions::new(Arc::clone(&target), format, at);
        let exported = export(&archive, &head, &options, &NoMonitor).await;
        let file = format!("tables/a/part-00000.{}", format.extension());
        outcomes.push(match exported {
            Ok(_) => {
                let bytes = crate::store::get(&target, &file).await.unwrap().unwrap();
                Ok(String::from_utf8(bytes.to_vec()).unwrap())
            }
            Err(e) => Err(e),
        });
    }
    outcomes
}

#[tokio::test]
async fn text_that_is_no_json_ends_with_an_error_that_names_file_table_and_document() {
    let rescued = OwnColumn::Rescued.name();
    let nulls = OwnColumn::Nulls.name();
    let lost = "{\"a\":1";
    let texts = ["", "nonsense", lost, "{\"a\":1}}", "1 2", "{\"a\":\"line\nbreak\"}", "[1,]", "{\"$odd\":1}"];
    for (column, text) in
        texts.map(|text| ("keyed", text)).into_iter().chain([(rescued, lost), (nulls, lost), (nulls, "{}")])
    {
        for outcome in outcomes(column, text).await {
            let error = outcome.expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{column} {text:?}: {error}");
            let error = error.to_string();
            for name in ["table a: ", "file tables/a/00000.parquet: ", ID] {
                assert!(error.contains(name), "{name} in {error}");
            }
            assert!(!error.contains(OTHER), "{error}");
        }
    }
}

#[tokio::test]
async fn json_that_another_writer_spread_over_lines_comes_out_as_one_line() {
    let outcomes = outcomes("keyed", "{\n  \"an odd key\": [1.0,\r\n  \"a\\nb\" ]}\n").await;
    for (outcome, documents) in outcomes.into_iter().zip([2, 1, 2]) {
        let text = outcome.unwrap();
        assert_eq!(text.lines().count(), documents, "{text}");
        assert!(text.contains("\"keyed\":{\"an odd key\":[1.0,\"a\\nb\"]}"), "{text}");
        text.lines().for_each(|line| drop(serde_json::from_str::<serde_json::Value>(line).unwrap()));
    }
}
