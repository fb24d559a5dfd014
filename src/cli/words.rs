//! What several verbs say in the same words: tables, covered moments, gaps.

use std::{borrow::Cow, fmt::Write};

use convex_archiver::{
    Scope, TableRef,
    archive::{Gap, Span},
};

use super::units::{counted, time};

/// What rows are, below a table of them.
pub(crate) const ROWS: &str = "Rows are revisions. To count the documents at a moment: tables --count\n";

/// Which moments are covered, tables of the same spans together.
pub(crate) fn covered<'a>(tables: impl Iterator<Item = (&'a TableRef, &'a [Span])>) -> String {
    let mut groups: Vec<(&[Span], Vec<&TableRef>)> = Vec::new();
    for (table, covered) in tables {
        match groups.iter_mut().find(|(spans, _)| *spans == covered) {
            Some((_, tables)) => tables.push(table),
            None => groups.push((covered, vec![table])),
        }
    }
    let mut text = String::new();
    for (spans, tables) in &groups {
        let spans: Vec<_> = spans.iter().map(span).collect();
        let spans =
            if spans.is_empty() { "at no moment until a snapshot is complete".to_owned() } else { spans.join(", ") };
        let _ = writeln!(text, "Covered: {}: {spans}", names(tables, groups.len() == 1));
    }
    text
}

fn span(span: &Span) -> String {
    if span.from == span.to { time(span.from) } else { format!("{} to {}", time(span.from), time(span.to)) }
}

fn names(tables: &[&TableRef], all: bool) -> String {
    if all && tables.len() > 1 {
        return "all tables".to_owned();
    }
    list(tables.iter().copied())
}

/// Names for people; thousands of tables must not become one line.
pub(crate) fn list<'a>(tables: impl ExactSizeIterator<Item = &'a TableRef>) -> String {
    const SHOWN: usize = 10;
    let left = tables.len().saturating_sub(SHOWN) as u64;
    let mut names: Vec<_> = tables.take(SHOWN).map(ToString::to_string).collect();
    if left > 0 {
        names.push(format!("and {} (all with --json)", counted(left, "more table")));
    }
    names.join(", ")
}

/// A gap, for people.
pub(crate) fn missing(gap: &Gap) -> String {
    let tables = match &gap.scope {
        Scope::All => "all tables".to_owned(),
        Scope::Tables(tables) => list(tables.iter()),
        Scope::Except(tables) => format!("all tables except {}", list(tables.iter())),
    };
    let to = format!("to {}", time(gap.to));
    let why = match gap.why.as_str() {
        "window" => "the deployment no longer kept these changes",
        "expired" => "older than the history that is kept",
        "lost" => "the files are lost",
        other => other,
    };
    format!("after {} {to}, {tables}: {why}", time(gap.from))
}

/// A text as one word of a shell.
pub(crate) fn of_shell(text: &str) -> String {
    // Only what no argument can hold, a zero byte, cannot be quoted.
    shlex::try_quote(text).map_or_else(|_| text.to_owned(), Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use convex_archiver::Result;

    use super::*;

    #[test]
    fn a_long_list_of_tables_is_cut_and_says_so() -> Result<()> {
        let tables: Vec<_> = (0..12).map(|n| TableRef::new("", format!("t{n}"))).collect::<Result<_>>()?;
        assert!(list(tables.iter()).ends_with("t9, and 2 more tables (all with --json)"));
        assert!(list(tables[..10].iter()).ends_with("t8, t9"));
        Ok(())
    }
}
