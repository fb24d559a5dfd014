//! The simulation's importer over HTTP: what it refuses, and how it tells how far it is.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use convex_archiver::{
    MemoryBudget, NoMonitor, TableRef, Timestamp, Value,
    convex::{Access, DeployKey, ImportMode, ImportState, Importer, RetryPolicy},
    read::{RestoreOptions, restore},
    server::{Deployment, RouterOptions, SimulatedDeployment},
};
use serde_json::{Value as Json, json};

use crate::{
    conformance::Server,
    support::{KEY, World, pages},
};

fn notes() -> TableRef {
    TableRef::new("", "notes").unwrap()
}

/// A deployment, a ZIP of what it holds, and another into which it goes.
struct Two {
    world: World,
    target: Arc<SimulatedDeployment>,
    server: Server,
    folder: tempfile::TempDir,
}

impl Two {
    async fn new(options: RouterOptions) -> Self {
        let world = World::new(pages(100, 64)).await;
        let documents = (0..600).map(|n| BTreeMap::from([("n".to_owned(), Value::Int64(n))])).collect();
        world.deployment.insert_all([(notes(), documents)].into()).unwrap();
        world.sync().await;
        let archive = world.archive().await;
        let head = archive.head().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let at = head.coverage().through.unwrap();
        let restored = RestoreOptions::default().at(at).output(folder.path().join("a.zip"));
        restore(&archive, &head, &restored, &NoMonitor).await.unwrap();
        let target = Arc::new(SimulatedDeployment::new("otter-2", 8));
        let server = Server::start(Arc::clone(&target) as Arc<dyn Deployment>, options).await;
        Self { world, target, server, folder }
    }

    fn importer(&self) -> Importer {
        let access = Access::new(&self.server.url, DeployKey::new(KEY).unwrap(), false).unwrap();
        let (budget, retry) = (MemoryBudget::default(), RetryPolicy::default());
        Importer::new(access, budget, retry, Arc::new(NoMonitor)).unwrap()
    }

    async fn zip(&self) -> tokio::fs::File {
        tokio::fs::File::open(self.folder.path().join("a.zip")).await.unwrap()
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> (u16, Json) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request =
            client.post(format!("{}{path}", self.server.url)).header("Authorization", format!("Convex {KEY}"));
        let answer = request.body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }

    fn documents(&self) -> usize {
        self.target.state_at(Timestamp(i64::MAX)).get(&notes()).map_or(0, BTreeMap::len)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_asks_tells_how_far_it_is_and_shows_all_at_once() {
    let two = Two::new(pages(100, 64).import_pause(Duration::from_millis(400))).await;
    let importer = two.importer();
    let mut sent = Vec::new();
    let id = importer.upload(&mut two.zip().await, ImportMode::Replace, |bytes| sent.push(bytes)).await.unwrap();
    assert_eq!(sent, [std::fs::metadata(two.folder.path().join("a.zip")).unwrap().len()]);
    let asked = importer.wait(&id, |_| {}).await.unwrap();
    assert_eq!(asked, ImportState::WaitingForConfirmation("Import will replace 1 tables: 600 documents".into()));
    assert!(!importer.is_busy().await.unwrap() && two.documents() == 0);
    importer.perform(&id).await.unwrap();
    assert!(importer.is_busy().await.unwrap() && two.documents() == 0);
    // It is under way, and an answer that is lost does no harm.
    importer.perform(&id).await.unwrap();
    let mut told = Vec::new();
    let done = importer.wait(&id, |state| told.push(state.clone())).await.unwrap();
    assert_eq!((done, two.documents()), (ImportState::Completed(600), 600));
    assert!(matches!(told.last(), Some(ImportState::InProgress(how_far)) if how_far.contains("documents")), "{told:?}");
    assert!(importer.cancel(&id).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_cancelled_or_refused_changes_no_table() {
    let two = Two::new(pages(100, 64).import_pause(Duration::from_millis(200))).await;
    let importer = two.importer();
    // Before it is performed, and in the middle.
    let id = importer.upload(&mut two.zip().await, ImportMode::Replace, |_| {}).await.unwrap();
    importer.cancel(&id).await.unwrap();
    assert!(importer.perform(&id).await.is_err());
    let id = importer.upload(&mut two.zip().await, ImportMode::Replace, |_| {}).await.unwrap();
    importer.perform(&id).await.unwrap();
    importer.cancel(&id).await.unwrap();
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(importer.state(&id).await.unwrap(), ImportState::Failed("Import canceled".into()));
    assert_eq!(two.documents(), 0);
    // At once, and then once more.
    let zip = std::fs::read(two.folder.path().join("a.zip")).unwrap();
    let all = two.post("/api/import?format=zip&mode=requireEmpty", zip.clone()).await;
    assert_eq!(all, (200, json!({ "numWritten": 600 })));
    let (status, refused) = two.post("/api/import?format=zip", zip).await;
    assert_eq!((status, &refused["code"]), (400, &"ImportFailed".into()));
    assert_eq!(two.post("/api/import?format=csv&tableName=notes", Vec::new()).await.0, 400);
    let id = importer.upload(&mut two.zip().await, ImportMode::Append, |_| {}).await.unwrap();
    importer.perform(&id).await.unwrap();
    let failed = importer.wait(&id, |_| {}).await.unwrap();
    assert!(matches!(&failed, ImportState::Failed(why) if why.contains("already")), "{failed:?}");
    assert_eq!(two.documents(), 600);
    drop(two.world);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_may_come_twice_and_not_be_small_or_missing() {
    let two = Two::new(pages(100, 64)).await;
    let start =
        async || two.post("/api/import/start_upload", Vec::new()).await.1["uploadToken"].as_str().unwrap().to_owned();
    let part = async |token: &str, number: u32, bytes: Vec<u8>| {
        two.post(&format!("/api/import/upload_part?uploadToken={token}&partNumber={number}"), bytes).await
    };
    let finish = async |token: &str, tokens: &[Json]| {
        let import = json!({ "mode": "replace", "format": "zip" });
        let body = json!({ "import": import, "uploadToken": token, "partTokens": tokens });
        two.post("/api/import/finish_upload", body.to_string().into_bytes()).await
    };
    let token = start().await;
    assert_eq!(part("upload-0", 1, vec![1]).await.1["code"], "InvalidUploadToken");
    assert_eq!(part(&token, 10_000, vec![1]).await.1["code"], "InvalidPartNumber");
    let [first, second] = [part(&token, 1, vec![1]).await.1, part(&token, 2, vec![1]).await.1];
    assert_eq!(finish(&token, std::slice::from_ref(&first)).await.1["code"], "InvalidPartTokens");
    assert_eq!(finish(&token, &[first.clone(), second.clone()]).await.1["code"], "PartTooSmall");
    // The first again, and large enough.
    assert_eq!(part(&token, 1, vec![1; 5 << 20]).await.1, first);
    let (status, begun) = finish(&token, &[first, second]).await;
    assert_eq!((status, &begun["importId"]), (200, &"import-1".into()));
    let query = json!({ "path": "_system/cli/queryImport", "args": [{ "importId": "import-1" }] });
    let (_, told) = two.post("/api/query", query.to_string().into_bytes()).await;
    assert_eq!(told["value"]["state"]["state"], "failed", "{told}");
    // A key is asked for everywhere.
    for path in ["start_upload", "upload_part?uploadToken=a&partNumber=1", "finish_upload"] {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.post(format!("{}/api/import/{path}", two.server.url)).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 403, "{path}");
    }
}
