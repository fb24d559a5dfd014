//! An archive with everything that is hard for readers: columns that come later, types that change and get a sibling
//! column, objects in lists, explicit nulls, rescued values, components, odd names, extremes of every type, tombstones.

use std::collections::BTreeMap;

use convex_archiver::{TableRef, Value, server::SimulatedDeployment, testing::schema::SIBLING_AFTER};

use crate::tools::world::World;

/// A NaN of the documents, as `tools::expected` writes it.
pub(crate) const ODD_NAN: &str = "7ff8000000000123";

type Fields = BTreeMap<String, Value>;

/// Archives such a deployment at `place` in four syncs.
pub(crate) async fn archived(place: &str) -> World {
    let world = World::unproven(50, 64).await;
    let d = &world.deployment;
    first(d);
    world.catch_up(place).await;
    for round in 1..=3 {
        change(d, round);
        let report = world.catch_up(place).await;
        assert!(report.documents > 0 && report.rescued_rows > 0 && !report.first_run);
    }
    // What the fixture is for is there: siblings of a column and inside a struct, a column and struct fields that came later.
    let archive = world.archive(place).await.unwrap();
    let head = archive.head().await.unwrap();
    let columns = format!("{:?}", archive.schema(&head, &table("", "orders")).await.unwrap().fields);
    for column in ["price__string", "open__object", "street__int64", "later", "country", "color"] {
        assert!(columns.contains(&format!("column: \"{column}\"")), "{column} in {columns}");
    }
    world
}

fn table(component: &str, name: &str) -> TableRef {
    TableRef::new(component, name).unwrap()
}

fn text(s: impl Into<String>) -> Value {
    Value::String(s.into())
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(self::fields(fields))
}

fn fields<const N: usize>(fields: [(&str, Value); N]) -> Fields {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn floats() -> Vec<f64> {
    let odd = f64::from_bits(u64::from_str_radix(ODD_NAN, 16).unwrap());
    let negative_nan = f64::from_bits(0xfff8_0000_0000_0001);
    vec![
        odd,
        negative_nan,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        0.0,
        f64::MIN_POSITIVE / 4.0,
        f64::MAX,
        0.1,
    ]
}

fn order(n: i64) -> Fields {
    let floats = floats();
    let price = floats[n as usize % floats.len()];
    let line = |k: i64| {
        object([
            ("sku", text(format!("sku-{k}"))),
            ("quantity", Value::Int64(k)),
            ("tags", Value::Array((0..k % 3).map(|t| text(format!("tag {t}"))).collect())),
            ("gift", if k % 2 == 0 { Value::Null } else { Value::Boolean(true) }),
        ])
    };
    let mut order = fields([
        ("title", text(format!("order {n} — \u{1f980} \"quoted\" \u{0}"))),
        ("count", Value::Int64([i64::MIN, i64::MAX, 0, -1, n][n as usize % 5])),
        ("price", Value::Float64(price)),
        ("open", Value::Boolean(n % 2 == 0)),
        ("blob", Value::Bytes((0..n as usize % 300).map(|b| b as u8).collect())),
        (
            "address",
            object([
                ("street", text(format!("{n} Main St"))),
                ("zip", if n % 3 == 0 { Value::Null } else { text("12345") }),
                ("place", object([("lat", Value::Float64(n as f64 / 7.0)), ("lng", Value::Float64(-0.0))])),
            ]),
        ),
        ("lines", Value::Array((0..n % 4).map(line).collect())),
        ("matrix", Value::Array((0..n % 3).map(|r| Value::Array(vec![Value::Float64(r as f64); 2])).collect())),
        // Every form of little: null, empty, absent.
        ("note", if n % 2 == 0 { Value::Null } else { text("") }),
        ("nothing", Value::Null),
        ("no_items", Value::Array(vec![])),
        ("no_fields", object([])),
        // Two types from birth on: JSON text.
        ("mixed", [Value::Int64(n), Value::Float64(n as f64), text("x"), Value::Null][n as usize % 4].clone()),
        // A record: its keys are data.
        ("votes", Value::Object((0..70).map(|k| (format!("voter {k}"), Value::Int64(k))).collect())),
    ]);
    if n % 5 == 0 {
        order.remove("address");
    }
    order
}

fn odd_names(n: i64) -> Fields {
    let long = "long_".repeat(20);
    fields([
        ("case", Value::Int64(n)),
        ("Case", text("the other case")),
        ("has space", Value::Float64(0.5)),
        // Two types from birth on, where there are several: JSON text.
        ("two types", if n % 2 == 0 { Value::Int64(n) } else { text("x") }),
        ("a/b", object([("c~d", Value::Null), ("", Value::Int64(1))])),
        ("a~1b", Value::Null),
        ("", Value::Boolean(true)),
        (".", Value::Array(vec![Value::Null, text("x")])),
        ("convex_phase", text("mine")),
        ("convex_month", Value::Int64(12)),
        ("id", text("plain")),
        ("f_6120", Value::Int64(0)),
        (&long, text("cut")),
        ("0", Value::Array(vec![object([("0", Value::Int64(0))])])),
    ])
}

fn first(d: &SimulatedDeployment) {
    let orders = table("", "orders");
    d.create_table(&table("", "without_documents")).unwrap();
    d.transaction(|tx| (0..120).try_for_each(|n| tx.insert(&orders, order(n)).map(drop))).unwrap();
    for (component, name) in [
        ("", "Names"),
        ("", "names"),
        ("", "CON"),
        ("waitlist", "orders"),
        ("waitlist/inner", "names"),
        ("waitlist/inner", "tables"),
    ] {
        d.transaction(|tx| (0..10).try_for_each(|n| tx.insert(&table(component, name), odd_names(n)).map(drop)))
            .unwrap();
    }
}

/// Round 1 counts enough misfits for siblings, which round 2 fills; round 3 deletes. A round more does some of both.
pub(crate) fn change(d: &SimulatedDeployment, round: i64) {
    let rows = i64::try_from(SIBLING_AFTER).unwrap();
    let orders = table("", "orders");
    let live: Vec<(String, Fields)> = d.state_at(convex_archiver::Timestamp(i64::MAX))[&orders]
        .iter()
        .map(|(id, revision)| (id.clone(), revision.document.clone().unwrap()))
        .collect();
    // Types that change: in a column, in a struct, in the items of a list.
    let drifted = |n: i64| {
        let mut new = order(n);
        new.insert("price".into(), text(format!("{n} EUR")));
        new.insert("open".into(), object([("since", Value::Float64(n as f64)), ("by", Value::Null)]));
        new.insert("later".into(), Value::Array(vec![object([("round", Value::Int64(round)), ("why", text("new"))])]));
        if let Some(Value::Object(address)) = new.get_mut("address") {
            address.insert("country".into(), text("NL"));
            address.insert("street".into(), Value::Int64(n));
        }
        if let Some(Value::Array(lines)) = new.get_mut("lines") {
            lines.push(text("not an object"));
            lines.push(Value::Null);
            // A key that no struct can have comes later: it would keep `color` from becoming a field.
            let odd = if round == 1 { "quantity" } else { "odd key" };
            lines.push(object([("sku", Value::Null), ("color", text("red")), (odd, Value::Null)]));
        }
        if let Some(Value::Array(matrix)) = new.get_mut("matrix") {
            matrix.push(Value::Null);
            matrix.push(Value::Array(vec![Value::Int64(1), Value::Float64(2.0), Value::Null]));
        }
        new
    };
    d.transaction(|tx| (0..rows + 20).try_for_each(|n| tx.insert(&orders, drifted(n)).map(drop))).unwrap();
    for (k, (id, old)) in live.iter().enumerate().filter(|(k, _)| k % 7 == round as usize) {
        d.transaction(|tx| {
            if round == 3 || k % 2 == 0 {
                return tx.delete(&orders, id);
            }
            let mut new = old.clone();
            new.insert("note".into(), text("changed"));
            new.remove("lines");
            tx.replace(&orders, id, new)
        })
        .unwrap();
    }
    d.transaction(|tx| {
        tx.insert(&table("waitlist/inner", "names"), odd_names(round))?;
        tx.insert(&table("", format!("born_in_{round}").as_str()), odd_names(round))?;
        tx.insert(&table("", "names"), fields([("NAME", text("twin")), ("name", text("of a twin"))])).map(drop)
    })
    .unwrap();
}
