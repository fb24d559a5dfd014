//! Documents as large, as deep and as wide as Convex allows them, in pages that are larger than the memory.

use std::{collections::BTreeMap, sync::Arc};

use convex_archiver::{
    MemoryBudget, NoMonitor, Phase, TableRef, Value,
    convex::{Access, Client, ClientOptions, DeployKey, Source},
    sync::{SyncOptions, sync},
};

use crate::support::{KEY, World, pages};

type Fields = BTreeMap<String, Value>;
/// A table's name, and its documents by a seed.
type Kind = (&'static str, fn(usize) -> Fields);

/// 16 levels of 1,024 keys, a MiB in all.
fn deep(seed: usize) -> Fields {
    let level = |inner: Option<Fields>, level: usize| {
        let text = |n: usize| Value::String(format!("{:048}", seed + level * n));
        let mut fields: Fields = (0..1023).map(|n| (format!("k{n:04}"), text(n))).collect();
        fields.insert("inner".to_owned(), inner.map_or(Value::Null, Value::Object));
        fields
    };
    (0..15).fold(level(None, 16), |inner, n| level(Some(inner), 15 - n))
}

/// An array of 8,192 items, no two of which follow each other with the same type.
fn drifted(seed: usize) -> Fields {
    let item = |n: usize| match n % 9 {
        0 => Value::Null,
        1 => Value::Boolean(n.is_multiple_of(2)),
        2 => Value::Int64(n as i64),
        3 => Value::Float64(n as f64 / 3.0),
        4 => Value::String(format!("{n} \u{1}\u{7}\"é")),
        5 => Value::Bytes(vec![n as u8; n % 5]),
        6 => Value::Array(vec![Value::Int64(n as i64), Value::Null, Value::Array(Vec::new())]),
        7 => Value::Object(BTreeMap::from([(format!("k{}", n % 100), Value::Float64(f64::NAN))])),
        _ => Value::Object(BTreeMap::from([("a".to_owned(), Value::Object(BTreeMap::new()))])),
    };
    BTreeMap::from([("items".to_owned(), Value::Array((seed..seed + 8192).map(item).collect()))])
}

/// Values that grow most in JSON: empty bytes sevenfold, control characters sixfold.
fn growing(seed: usize) -> Fields {
    let empty = Value::Array(vec![Value::Bytes(Vec::new()); 8190]);
    let text = Value::String("\u{1}".repeat(300_000 + seed));
    BTreeMap::from([("empty".to_owned(), Value::Array(vec![empty; 20])), ("text".to_owned(), text)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_documents_arrive_whole_in_pages_larger_than_the_memory() {
    let world = World::new(pages(1024, 128)).await;
    let kinds: [Kind; 3] = [("deep", deep), ("drifted", drifted), ("growing", growing)];
    let mut ids = Vec::new();
    for (name, fields) in kinds {
        let table = TableRef::new("", name).unwrap();
        // Under 16 MiB, the most that a transaction takes.
        let (_, inserted) = world
            .deployment
            .transaction(|t| (0..6).map(|n| t.insert(&table, fields(n))).collect::<Result<Vec<_>, _>>())
            .unwrap();
        ids.push((table, fields, inserted));
    }
    let budget = MemoryBudget::new(MemoryBudget::MINIMUM).unwrap();
    let access = Access::new(&world.server.url, DeployKey::new(KEY).unwrap(), false).unwrap();
    let options = ClientOptions::default().budget(budget);
    let client = Arc::new(Client::new(access, options, Arc::new(NoMonitor)).unwrap());
    let archive = world.archive().await;
    let options = SyncOptions::default().budget(budget);

    let first = sync(client.clone(), &archive, &options, Arc::new(NoMonitor)).await.unwrap();
    assert_eq!((first.documents, first.caught_up), (18, true));
    world.assert_equal().await;

    for (table, fields, ids) in &ids {
        for part in ids.chunks(3) {
            let replace = |t: &mut convex_archiver::server::OpenTransaction<'_>| {
                part.iter().try_for_each(|id| t.replace(table, id, fields(100)))
            };
            world.deployment.transaction(replace).unwrap();
        }
    }
    let deltas = client.page(&client.deltas_after(first.through.unwrap()).await.unwrap()).await.unwrap();
    assert_eq!((deltas.phase, deltas.documents.len()), (Phase::Delta, 18));
    assert!(deltas.body.held().is_none(), "{} bytes are held", deltas.body.len());
    let second = sync(client, &archive, &options, Arc::new(NoMonitor)).await.unwrap();
    assert_eq!((second.documents, second.caught_up), (18, true));
    assert!(second.files > 3, "files end inside the page: {second:?}");
    world.assert_equal().await;
}
