//! `convex2pg` 0.1.0 makes SQL of a restore, and a PostgreSQL loads it.

use std::{collections::BTreeMap, path::Path};

use convex_archiver::{
    TableRef, Value,
    server::{Contents, SimulatedDeployment},
};

use crate::{Archived, run, tools::process::block_on};

fn text(s: &str) -> Value {
    Value::String(s.to_owned())
}

/// Tables that convex2pg can hold: one type a column.
fn fill(deployment: &SimulatedDeployment) {
    let mut documents = Contents::Generated(1000).documents(0).unwrap();
    documents.retain(|table, _| table.component().is_empty());
    deployment.insert_all(documents).unwrap();
    let integers = [i64::MIN, i64::MAX, 0, -1, 42];
    let floats = [f64::MIN_POSITIVE / 4.0, -0.5, 0.1, -f64::MAX, 999_999_999_999.5];
    let names = ["it's", "\\", "zürich \u{1f980}", "", "two\nlines; DROP TABLE oddities"];
    for component in ["", "waitlist"] {
        let table = TableRef::new(component, if component.is_empty() { "oddities" } else { "guests" }).unwrap();
        for n in 0..5 {
            let fields = BTreeMap::from([
                ("bigNumber".to_owned(), Value::Int64(integers[n])),
                ("real".to_owned(), Value::Float64(floats[n])),
                ("fullName".to_owned(), text(names[n])),
                ("open".to_owned(), if n % 2 == 0 { Value::Null } else { Value::Boolean(n == 3) }),
                ("blob".to_owned(), Value::Bytes(vec![n as u8; n])),
                ("nested".to_owned(), Value::Object([("a".to_owned(), Value::Array(vec![text(names[n])]))].into())),
                ("created_at".to_owned(), Value::Float64(1_700_000_000_000.75)),
            ]);
            deployment.transaction(|tx| tx.insert(&table, fields.clone())).unwrap();
        }
    }
}

#[test]
fn postgresql_loads_what_convex2pg_makes_of_a_restore() {
    block_on(async {
        let archived = Archived::with(fill).await;
        // Components are covered once a change of one came.
        let guests = TableRef::new("waitlist", "guests").unwrap();
        let more = [("fullName".to_owned(), text("late"))];
        archived.world.deployment.transaction(|tx| tx.insert(&guests, more.clone().into())).unwrap();
        archived.world.catch_up(&archived.place()).await;
        let at = archived.through().await;
        let zip = archived.restore(at, &[], "restored.zip");
        let at = at.0.to_string();
        run("convex2pg_loads.py", &[zip.as_path(), &archived.expected(), Path::new(&at)]);
    });
}
