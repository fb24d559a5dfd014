//! The archive read back: the program's own verbs, each as it would be typed, with what it prints.

use std::collections::BTreeMap;

use convex_archiver::{
    Error, Result, TableRef, Timestamp,
    archive::{Archive, Head},
    read::{Change, LogOptions, Transactions},
};

use futures::future::LocalBoxFuture;

use super::{
    super::{outcome::Outcome, output, telemetry::Screen, words::of_shell},
    clock::{DAYS, after, before},
    say::heading,
};

/// Runs the program's words (the first is its name) as the program does: parses them and ends as the verb does.
pub(in super::super) type RunWords = for<'a> fn(Vec<String>, &'a Screen) -> LocalBoxFuture<'a, Result<Outcome>>;

/// What is worth looking at.
pub(super) struct Sights {
    /// A document that was deleted.
    deleted: String,
    /// One that was changed most often, and is still there.
    changed: String,
    /// When the first one was deleted.
    at: Timestamp,
}

impl Sights {
    /// Those of one table, from the archive alone.
    pub(super) async fn of(archive: &Archive, head: &Head, table: &TableRef) -> Result<Self> {
        let options = LogOptions::default().tables(vec![table.clone()]);
        let mut log = Transactions::open(archive, head, &options).await?;
        let (mut deleted, mut updates) = (None, BTreeMap::<String, usize>::new());
        while let Some(transaction) = log.next().await? {
            for change in transaction.changes {
                match change.change {
                    Change::Updated => *updates.entry(change.id).or_default() += 1,
                    Change::Deleted => {
                        updates.remove(&change.id);
                        deleted.get_or_insert((change.id, transaction.ts));
                    }
                    Change::Inserted | Change::Written => {}
                }
            }
        }
        let changed = updates.into_iter().max_by_key(|(_, times)| *times).map(|(id, _)| id);
        let none = || Error::internal("the demo's documents do not change as they should: report it");
        let (deleted, at) = deleted.ok_or_else(none)?;
        Ok(Self { deleted, changed: changed.ok_or_else(none)?, at })
    }

    /// Queries of the table now, and on both sides of the deletion.
    pub(super) fn queries(&self, table: &TableRef) -> String {
        let (before, after, id) = (Timestamp(self.at.0 - 1), self.at, &self.deleted);
        format!(
            "\
-- Now.
SELECT count(*) AS documents, count(*) FILTER (status.deprecated) AS deprecated FROM {table};
SELECT feature, status.experimental, mdn_url FROM {table} ORDER BY feature LIMIT 3;

-- Just before {id} was deleted, and just after.
SELECT count(*) AS documents, count(*) FILTER (_id = '{id}') AS it FROM {table}_as_of({});
SELECT count(*) AS documents, count(*) FILTER (_id = '{id}') AS it FROM {table}_as_of({});

-- The history of two documents.
SELECT _ts_utc, CASE WHEN _tombstone THEN 'deleted' ELSE 'written' END AS what, feature, status.experimental
FROM {table}_history WHERE _id IN ('{id}', '{}') ORDER BY _id, _ts;
",
            before.0, after.0, self.changed
        )
    }

    /// What happened, one document, and how to get yesterday back.
    pub(super) async fn show(
        &self,
        dir: &str,
        table: &TableRef,
        zip: &str,
        screen: &Screen,
        typed: RunWords,
    ) -> Result<()> {
        let (table, before, after) = (table.to_string(), before(DAYS[1]), after(DAYS[1]));
        let verb = |words: Vec<&str>| shown(words.into_iter().map(str::to_owned).collect(), screen, typed);

        heading("What happened? Every transaction, across all tables")?;
        verb(vec!["log", "--archive", dir]).await?;
        heading("A document that was deleted on Tuesday: an hour before, and now")?;
        verb(vec!["get", &table, &self.deleted, "--as-of", &before, "--archive", dir]).await?;
        verb(vec!["get", &table, &self.deleted, "--archive", dir]).await?;
        heading("A document that changed: every revision, field by field")?;
        verb(vec!["history", &table, &self.changed, "--archive", dir]).await?;
        heading("What is different since")?;
        verb(vec!["diff", &before, "now", "--archive", dir]).await?;
        heading("How do I get that moment back? What a restore would contain, and the restore")?;
        verb(vec!["restore", "--plan", "--as-of", &before, "--archive", dir]).await?;
        verb(vec!["restore", "--as-of", &before, "--output", zip, "--archive", dir]).await?;
        heading("Or undo Tuesday's changes alone, and keep Wednesday's")?;
        verb(vec!["restore", "--undo", "--from", &before, "--to", &after, "--plan", "--archive", dir]).await
    }
}

/// Types a command, and runs it as the program would.
async fn shown(words: Vec<String>, screen: &Screen, typed: RunWords) -> Result<()> {
    output::print(&format!(
        "\n$ convex-archiver {}\n",
        words.iter().map(|w| of_shell(w)).collect::<Vec<_>>().join(" ")
    ))?;
    let words = ["convex-archiver".to_owned()].into_iter().chain(words).collect();
    match typed(words, screen).await {
        Ok(_) => Ok(()),
        // What is not there is an answer too.
        Err(error) => output::print(&format!("error: {error}\n")),
    }
}
