//! Recorded conversations with a real deployment (`tests/data/recordings/README.md`), for tests.

use std::{collections::BTreeMap, io::Read, path::Path};

use flate2::read::GzDecoder;
use serde::Deserialize;

/// One request and its answer.
#[derive(Deserialize)]
pub(crate) struct Exchange {
    pub(crate) stage: u32,
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) status: u16,
    pub(crate) body: String,
    /// Present on requests with another Authorization than the rest.
    pub(crate) auth: Option<String>,
}

/// A whole recording.
pub(crate) struct Recording {
    pub(crate) exchanges: Vec<Exchange>,
}

impl Recording {
    pub(crate) fn open(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/recordings/{name}.jsonl.gz"));
        let mut text = String::new();
        GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
        let exchanges = text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
        Self { exchanges }
    }

    /// What a deployment at `stage` answers: the newest exchange with this path and query.
    pub(crate) fn answer(&self, stage: u32, path: &str, query: &BTreeMap<String, String>) -> Option<&Exchange> {
        let same = |e: &&Exchange| e.stage <= stage && e.path == path && e.query == *query && e.auth.is_none();
        self.exchanges.iter().filter(same).max_by_key(|e| e.stage)
    }
}
