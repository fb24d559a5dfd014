//! What a deployment holds, as plain JSON for scripts that know nothing of this library.
//!
//! One line a revision: `{"table": "component/name", "id", "ts", "document": VALUE or null}`. A VALUE tells its type by its
//! form: `null`, `true`, `"text"`, `{"int": "42"}`, `{"float": "3ff0000000000000"}` (the bits), `{"bytes": "00ff"}`,
//! `{"array": [VALUE…]}`, `{"object": {"name": VALUE…}}`.

use std::{fs::File, io::Write, path::Path};

use convex_archiver::{Value, server::SimulatedDeployment};
use serde_json::{Map, Value as Json, json};

/// Writes every revision of the tables that exist now, in the order of the log.
pub(crate) fn write(deployment: &SimulatedDeployment, path: &Path) {
    let mut file = std::io::BufWriter::new(File::create(path).unwrap());
    for (table, revision) in deployment.revisions() {
        let document = revision.document.as_ref().map(|fields| object(fields.iter()));
        let line = json!({
            "table": table.to_string(),
            "id": revision.id,
            "ts": revision.ts.0,
            "document": document,
        });
        writeln!(file, "{line}").unwrap();
    }
    file.flush().unwrap();
}

/// Fields as an object.
pub(crate) fn object<'a>(fields: impl Iterator<Item = (&'a String, &'a Value)>) -> Json {
    let fields: Map<_, _> = fields.map(|(name, value)| (name.clone(), plain(value))).collect();
    json!({ "object": fields })
}

fn plain(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Boolean(b) => json!(b),
        Value::Int64(i) => json!({"int": i.to_string()}),
        Value::Float64(f) => json!({"float": format!("{:016x}", f.to_bits())}),
        Value::String(s) => json!(s),
        Value::Bytes(bytes) => json!({"bytes": hex::encode(bytes)}),
        Value::Array(items) => json!({"array": items.iter().map(plain).collect::<Vec<_>>()}),
        Value::Object(fields) => object(fields.iter()),
    }
}
