//! Seeded writes: what happens on a deployment while it is archived.

use std::sync::Arc;

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    deployment::SimulatedDeployment, generate, id::new_document_id, state::Fields, transaction::OpenTransaction,
};
use crate::{
    document::{Revision, TableRef, Timestamp, Value, is_document_id},
    error::Result,
};

/// One transaction of a [`SeededWriter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Write {
    /// Its `_ts`.
    pub ts: Timestamp,
    /// Documents inserted.
    pub inserted: usize,
    /// Documents updated.
    pub updated: usize,
    /// Documents deleted.
    pub deleted: usize,
}

/// Writes to a deployment, whatever is in it: inserts like the documents that are there, updates, deletes, now and then a
/// burst of hundreds in one transaction, a row of a system table, or a field that changes its type.
///
/// The same seed on the same documents writes the same.
#[derive(Debug)]
pub struct SeededWriter {
    rng: StdRng,
}

impl SeededWriter {
    /// A writer that always writes the same.
    pub fn new(seed: u64) -> Self {
        // Not the deployment's own sequence.
        Self { rng: StdRng::seed_from_u64(seed ^ 0x7772_6974_6572) }
    }

    /// One transaction.
    pub fn write(&mut self, deployment: &SimulatedDeployment) -> Result<Write> {
        let (ts, write) = deployment.transaction(|t| self.fill(t))?;
        Ok(Write { ts, ..write })
    }

    fn fill(&mut self, t: &mut OpenTransaction<'_>) -> Result<Write> {
        let mut write = Write::default();
        // How many writes, and how many of ten are no inserts: a burst only adds.
        let (writes, changes) = match self.rng.random_range(0..100) {
            0..2 => (self.rng.random_range(100..=400), 0),
            2..10 => (self.rng.random_range(5..=30), 6),
            _ => (1, 6),
        };
        if self.rng.random_bool(0.05) {
            t.write_hidden_rows(1);
        }
        let tables = t.tables();
        for _ in 0..writes {
            let Some((table, old)) = self.pick(t, &tables) else {
                let (table, fields) = generate::first(&mut self.rng)?;
                t.insert(&table, fields)?;
                write.inserted += 1;
                continue;
            };
            let mut fields = old.document.clone().unwrap_or_default();
            fields.retain(|name, _| !name.starts_with('_'));
            match self.rng.random_range(0..10) {
                0 if changes > 0 => {
                    t.delete(&table, &old.id)?;
                    write.deleted += 1;
                }
                kind if kind < changes => {
                    self.vary_one(&mut fields);
                    t.replace(&table, &old.id, fields)?;
                    write.updated += 1;
                }
                _ => {
                    for value in fields.values_mut() {
                        self.vary(value);
                    }
                    t.insert(&table, fields)?;
                    write.inserted += 1;
                }
            }
        }
        Ok(write)
    }

    /// Any live document of any table.
    fn pick(&mut self, t: &OpenTransaction<'_>, tables: &[(TableRef, u32)]) -> Option<(TableRef, Arc<Revision>)> {
        let start = self.rng.random_range(0..tables.len().max(1));
        (0..tables.len()).find_map(|i| {
            let (table, number) = &tables[(start + i) % tables.len()];
            let near = new_document_id(*number, t.ts(), &mut self.rng);
            Some((table.clone(), t.document_near(table, &near)?))
        })
    }

    /// Changes one field: its value, seldom its type, seldom whether it is there.
    fn vary_one(&mut self, fields: &mut Fields) {
        let Some(name) = fields.keys().nth(self.rng.random_range(0..fields.len().max(1))).cloned() else { return };
        match self.rng.random_range(0..50) {
            0 => {
                let other = match self.rng.random_range(0..4) {
                    0 => Value::Null,
                    1 => Value::Int64(self.rng.random()),
                    2 => Value::String(generate::word(&mut self.rng)),
                    _ => Value::Array(vec![Value::Boolean(true)]),
                };
                fields.insert(name, other);
            }
            1 => drop(fields.remove(&name)),
            _ => {
                if let Some(value) = fields.get_mut(&name) {
                    self.vary(value);
                }
            }
        }
    }

    /// Another value of the same type.
    fn vary(&mut self, value: &mut Value) {
        match value {
            Value::Null => {}
            Value::Boolean(b) => *b = self.rng.random(),
            Value::Int64(i) => *i = i.wrapping_add(self.rng.random_range(-100..=100)),
            Value::Float64(f) => *f += f64::from(self.rng.random_range(-100..=100)) / 4.0,
            Value::String(s) if is_document_id(s) => {}
            Value::String(s) => {
                let word = generate::word(&mut self.rng);
                // Never longer and longer.
                if s.len() > 200 || self.rng.random_bool(0.5) {
                    *s = word;
                } else {
                    s.push(' ');
                    s.push_str(&word);
                }
            }
            Value::Bytes(b) => b.iter_mut().for_each(|byte| *byte = self.rng.random()),
            Value::Array(items) => items.iter_mut().for_each(|item| self.vary(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.vary(field)),
        }
    }
}
