//! [`spark_views`].
//!
//! # Why it is made like this
//! Spark's SQL has no macros with a table as their result before 4, and a list of files is not to be had in SQL. So the script is
//! Python, and general: tables and columns are what the archive says when it is run, and nothing of it goes stale. The
//! full schema is given to the reader, which otherwise takes the first file's and drops later columns in silence. How Spark spells
//! each type, and which columns are ours, the script is told when it is made.
//!
//! What was rescued is put back (`spark_rescued.py`; the rule is that of DuckDB's views) by a function in Python: Spark's own functions of JSON read it by
//! a type that is given, and lose the spelling of numbers. Only rows of tables in which something was rescued go there, of these only `_rescued`, and
//! not the values of columns, so that none of their bits can change on the way.

use std::fmt::Write;

use crate::{
    archive::{FORMAT, READERS},
    document::Timestamp,
    schema::{Engine, OwnColumn, rows},
};

const SCRIPT: &str = include_str!("spark.py");
const RESCUED: &str = include_str!("spark_rescued.py");

/// A PySpark script (Spark 3.5 and 4) with views of all tables of the archive at `url`: `messages`, `messages_history`,
/// `messages_versions`, and in Python the same at any moment.
///
/// With `as_of` the views mean that moment; without, as far as the archive reaches when the script is run.
pub fn spark_views(url: &str, as_of: Option<Timestamp>) -> String {
    let as_of = as_of.map_or("None".to_owned(), |ts| ts.0.to_string());
    let script = SCRIPT.replace("$RESCUED", RESCUED).replace("$FORMAT", &FORMAT.to_string()).replace("$AS_OF", &as_of);
    let script = script.replace("$READERS", &readers());
    let types = rows().map(|row| format!("    {}: {},\n", string(row.name), string(row.by(Engine::Spark))));
    let own = OwnColumn::ALL.iter();
    let own = own.map(|own| format!("    {},\n", string(&Engine::Spark.column(own.name(), own.column_type()))));
    let script = script.replace("$TYPES", &format!("{{\n{}}}", types.collect::<String>()));
    let script = script.replace("$OWN", &format!("[\n{}]", own.collect::<String>()));
    // The URL last: it may hold whatever a placeholder looks like.
    script.replace("$URL", &string(url))
}

/// The words for what a reader must know that scripts know, as a list of Python.
pub(super) fn readers() -> String {
    let words: Vec<_> = READERS.iter().map(|word| string(word)).collect();
    format!("[{}]", words.join(", "))
}

/// A string literal of Python.
pub(super) fn string(text: &str) -> String {
    let mut literal = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => literal.extend(['\\', c]),
            c if c.is_control() => {
                // A String takes everything.
                let _ = write!(literal, "\\u{:04x}", u32::from(c));
            }
            c => literal.push(c),
        }
    }
    literal + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_with_quotes_and_backslashes_stays_one_string() {
        assert_eq!(string(r#"C:\a "b""#), r#""C:\\a \"b\"""#);
        assert_eq!(string("a\nb\u{7f}"), r#""a\u000ab\u007f""#);
    }

    #[test]
    fn a_place_may_look_like_a_placeholder() {
        let script = spark_views("/srv/$FORMAT/$AS_OF/$OWN", None);
        assert!(script.contains("\nURL = \"/srv/$FORMAT/$AS_OF/$OWN\"\n"), "{script}");
    }
}
