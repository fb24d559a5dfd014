//! Documents made up: the tables of a small chat product with a shop, and every kind of value somewhere.

use std::collections::BTreeMap;

use rand::{Rng, RngCore, seq::IndexedRandom};

use super::{load::Documents, state::Fields};
use crate::{
    document::{TableRef, Value},
    error::Result,
};

const WORDS: [&str; 24] = [
    "amber", "basalt", "cedar", "delta", "ember", "fjord", "grove", "harbor", "island", "juniper", "kestrel", "lagoon",
    "meadow", "nimbus", "orchard", "prairie", "quartz", "river", "sierra", "tundra", "umber", "valley", "willow",
    "zürich",
];

/// One of the tables.
struct Table {
    component: &'static str,
    name: &'static str,
    /// How many of a hundred documents belong to it.
    share: usize,
    make: fn(&mut dyn RngCore) -> Fields,
}

const TABLES: [Table; 5] = [
    Table { component: "", name: "messages", share: 50, make: message },
    Table { component: "", name: "users", share: 20, make: user },
    Table { component: "", name: "orders", share: 15, make: order },
    Table { component: "analytics", name: "events", share: 12, make: event },
    Table { component: "analytics/daily", name: "counters", share: 3, make: counter },
];

/// About `count` documents in all.
pub(crate) fn documents(count: usize, rng: &mut impl Rng) -> Result<Documents> {
    let mut documents = Documents::new();
    for Table { component, name, share, make } in TABLES {
        let made = (0..(count * share).div_ceil(100)).map(|_| make(rng)).collect();
        documents.insert(TableRef::new(component, name)?, made);
    }
    Ok(documents)
}

/// A document of the first table, for a deployment that has none.
pub(crate) fn first(rng: &mut impl Rng) -> Result<(TableRef, Fields)> {
    Ok((TableRef::new(TABLES[0].component, TABLES[0].name)?, message(rng)))
}

/// One word.
pub(crate) fn word(rng: &mut (impl Rng + ?Sized)) -> String {
    (*WORDS.choose(rng).unwrap_or(&"amber")).to_owned()
}

fn words(rng: &mut (impl Rng + ?Sized), most: usize) -> Value {
    let words: Vec<_> = (0..rng.random_range(1..=most)).map(|_| word(rng)).collect();
    Value::String(words.join(" "))
}

fn fields<const N: usize>(fields: [(&str, Value); N]) -> Fields {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn time(rng: &mut (impl Rng + ?Sized)) -> Value {
    Value::Float64(1_700_000_000_000.0 + rng.random_range(0..90_000_000_000_i64) as f64)
}

fn message(rng: &mut dyn RngCore) -> Fields {
    let mut message = fields([
        ("body", words(rng, 30)),
        ("channel", Value::String(format!("#{}", word(rng)))),
        ("sent", time(rng)),
        ("edited", Value::Boolean(rng.random_bool(0.1))),
    ]);
    if rng.random_bool(0.2) {
        let reactions = (0..rng.random_range(0..4)).map(|_| Value::String(word(rng))).collect();
        message.insert("reactions".to_owned(), Value::Array(reactions));
    }
    message
}

fn user(rng: &mut dyn RngCore) -> Fields {
    let name = word(rng);
    let mut user = fields([
        ("email", Value::String(format!("{name}{}@example.com", rng.random_range(0..100_000)))),
        ("name", Value::String(name)),
        ("credits", Value::Int64(rng.random_range(-5..10_000_000_000))),
        (
            "profile",
            Value::Object(fields([
                ("city", words(rng, 1)),
                ("score", Value::Float64(f64::from(rng.random_range(0..1000)) / 8.0)),
                ("tags", Value::Array((0..rng.random_range(0..5)).map(|_| words(rng, 1)).collect())),
            ])),
        ),
    ]);
    let avatar = if rng.random_bool(0.5) { Value::Null } else { Value::Bytes((0..24).map(|_| rng.random()).collect()) };
    user.insert("avatar".to_owned(), avatar);
    user
}

fn order(rng: &mut dyn RngCore) -> Fields {
    let lines = (0..rng.random_range(1..6)).map(|_| {
        Value::Object(fields([
            ("item", words(rng, 2)),
            ("quantity", Value::Int64(rng.random_range(1..9))),
            ("price", Value::Float64(f64::from(rng.random_range(100..100_000)) / 100.0)),
        ]))
    });
    let lines = Value::Array(lines.collect());
    fields([("lines", lines), ("status", words(rng, 1)), ("placed", time(rng))])
}

/// Sparse: each has a few of many fields.
fn event(rng: &mut dyn RngCore) -> Fields {
    let mut event = fields([("kind", words(rng, 1)), ("at", time(rng))]);
    for _ in 0..rng.random_range(0..5) {
        let value = if rng.random_bool(0.5) { words(rng, 3) } else { Value::Float64(rng.random_range(0..100).into()) };
        event.insert(format!("p{}", rng.random_range(0..30)), value);
    }
    event
}

/// A map whose keys are no identifiers.
fn counter(rng: &mut dyn RngCore) -> Fields {
    let pages: BTreeMap<_, _> = (0..rng.random_range(1..8))
        .map(|_| (format!("/{}", word(rng).replace('ü', "ue")), Value::Int64(rng.random_range(0..500))))
        .collect();
    let ratio = *[0.0, -0.0, f64::NAN, 0.25].choose(rng).unwrap_or(&0.0);
    fields([("pages", Value::Object(pages)), ("ratio", Value::Float64(ratio))])
}
