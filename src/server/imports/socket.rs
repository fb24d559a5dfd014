//! The WebSocket by which a client of Convex subscribes to queries: as much of it as `npx convex import` needs to see how far its
//! import is.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Imports, import_id};

/// How often the state of an import is looked at.
const LOOK: Duration = Duration::from_millis(50);

pub(super) async fn sync(State(s): State<Arc<Imports>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|socket| async move {
        let mut talk = Talk { imports: s, queries: BTreeMap::new(), version: Version::default() };
        talk.run(socket).await;
    })
}

/// How far what the client knows reaches.
#[derive(Debug, Clone, Copy, Default)]
struct Version {
    query_set: u64,
    identity: u64,
    ts: u64,
}

impl Version {
    fn to_json(self) -> Value {
        let ts = STANDARD.encode(self.ts.to_le_bytes());
        json!({ "querySet": self.query_set, "identity": self.identity, "ts": ts })
    }
}

struct Talk {
    imports: Arc<Imports>,
    queries: BTreeMap<u64, Asked>,
    version: Version,
}

/// A query, and what was answered last.
struct Asked {
    path: String,
    args: Value,
    told: Option<Value>,
}

impl Talk {
    /// Until the client goes, or says what cannot be understood.
    async fn run(&mut self, mut socket: WebSocket) {
        let mut look = tokio::time::interval(LOOK);
        loop {
            let reply = tokio::select! {
                said = socket.recv() => match said {
                    Some(Ok(Message::Text(text))) => self.hear(&text),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => None,
                },
                _ = look.tick() => self.look(),
            };
            let Some(reply) = reply else { continue };
            let is_fatal = reply["type"] == "FatalError";
            if socket.send(Message::text(reply.to_string())).await.is_err() || is_fatal {
                return;
            }
        }
    }

    fn hear(&mut self, text: &str) -> Option<Value> {
        let said: Value = serde_json::from_str(text).ok()?;
        let mut next = self.version;
        match said["type"].as_str()? {
            "Authenticate" => {
                let key = said["value"].as_str().filter(|_| said["tokenType"] == "Admin");
                if !key.is_some_and(|key| (self.imports.opens)(key)) {
                    return Some(json!({ "type": "FatalError", "error": "The provided admin key was invalid" }));
                }
                next.identity += 1;
                Some(self.transition(next, Vec::new()))
            }
            // Nobody asks before saying who it is.
            "ModifyQuerySet" if next.identity > 0 => {
                next.query_set = said["newVersion"].as_u64()?;
                for change in said["modifications"].as_array()? {
                    let id = change["queryId"].as_u64()?;
                    if change["type"] == "Add" {
                        let path = change["udfPath"].as_str()?.to_owned();
                        self.queries.insert(id, Asked { path, args: change["args"].clone(), told: None });
                    } else {
                        self.queries.remove(&id);
                    }
                }
                let news = self.news();
                Some(self.transition(next, news))
            }
            _ => None,
        }
    }

    /// What has changed since.
    fn look(&mut self) -> Option<Value> {
        let news = self.news();
        (!news.is_empty()).then(|| self.transition(Version { ts: self.version.ts + 1, ..self.version }, news))
    }

    fn transition(&mut self, next: Version, modifications: Vec<Value>) -> Value {
        let start = std::mem::replace(&mut self.version, next);
        json!({
            "type": "Transition",
            "startVersion": start.to_json(),
            "endVersion": next.to_json(),
            "modifications": modifications,
        })
    }

    fn news(&mut self) -> Vec<Value> {
        let mut news = Vec::new();
        for (id, asked) in &mut self.queries {
            let Ok(value) = self.imports.told(&asked.path, import_id(&asked.args)) else { continue };
            if asked.told.as_ref() != Some(&value) {
                asked.told = Some(value.clone());
                news.push(
                    json!({ "type": "QueryUpdated", "queryId": id, "value": value, "logLines": [], "journal": null }),
                );
            }
        }
        news
    }
}
