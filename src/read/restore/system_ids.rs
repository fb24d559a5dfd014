//! Ids of system tables in the text of documents: what a restore of the documents alone leaves dangling.
//!
//! An id tells the number of its table, and ends in a checksum: text of another kind passes for one once in 65,536 times that
//! it has the length and the letters. System tables are numbered 513 to 10,000 (`crates/value/src/table_mapping.rs` of
//! Convex's backend); ids of two of them occur in users' documents: of stored files (`_storage`) and of scheduled functions. Which of
//! the two a number means differs from deployment to deployment.

use std::ops::RangeInclusive;

use memchr::{memchr, memchr2};

use crate::{
    document::table_number,
    schema::{ColumnType, Field, NestedTypes},
};

/// Numbers of system tables.
const NUMBERS: RangeInclusive<u32> = 513..=10_000;

/// How many ids of system tables stand in a document's JSON text, as values or as keys.
pub(super) fn system_ids(json: &str) -> u64 {
    strings(json.as_bytes()).filter(|text| is_system_id(text)).count() as u64
}

fn is_system_id(text: &[u8]) -> bool {
    // Before it is decoded: most strings are something else.
    (31..=37).contains(&text.len())
        && std::str::from_utf8(text).ok().and_then(table_number).is_some_and(|number| NUMBERS.contains(&number))
}

/// Everything between quotes, escapes as they are.
fn strings(json: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = json;
    std::iter::from_fn(move || {
        let begin = memchr(b'"', rest)? + 1;
        let mut end = begin;
        loop {
            end += memchr2(b'"', b'\\', rest.get(end..)?)?;
            if rest[end] == b'"' {
                break;
            }
            end += 2;
        }
        let found = &rest[begin..end];
        rest = &rest[end + 1..];
        Some(found)
    })
}

/// Whether a field of the table is declared to hold ids of stored files, `v.id("_storage")`.
pub(super) fn declares_files(fields: &[Field]) -> bool {
    const FILES: &str = "_storage";
    fn of(column: &ColumnType) -> bool {
        match column.nested() {
            NestedTypes::Nothing => false,
            NestedTypes::Items(element) => element.references.as_deref() == Some(FILES) || of(&element.column_type),
            NestedTypes::Fields(fields) => declares_files(fields),
        }
    }
    fields.iter().any(|field| field.references.as_deref() == Some(FILES) || of(&field.column_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_ids_of_system_tables_wherever_they_stand_and_nothing_else() {
        // Of tables 5,000, 10,001 and 12.
        let file = "h0kge9j5cj1t5gf0zwf3tq3vk98jn4ds";
        let user = "j570wbacde5akj770rjm8rw2m58jm8wn";
        let old = "1gak8mvjj6rczvgd5h5pn2d8a4nb590";
        let broken = file.replace(&file[9..12], "000");
        for (json, expected) in [
            (format!(r#"{{"_id":"{user}","file":"{file}"}}"#), 1),
            (format!(r#"{{"_id":"{user}","files":["{file}","{file}"],"by":{{"{file}":1}}}}"#), 3),
            (format!(r#"{{"_id":"{user}","text":"see \"{file}\" and {file}"}}"#), 0),
            (format!(r#"{{"_id":"{user}","old":"{old}","broken":"{broken}","end":"\\"}}"#), 0),
            ("{}".to_owned(), 0),
            (r#"{"open":"#.to_owned(), 0),
        ] {
            assert_eq!(system_ids(&json), expected, "{json}");
        }
    }
}
