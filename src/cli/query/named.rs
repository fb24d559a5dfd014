//! [`Named`]: which views of a table a query names, and at which moments, as far as its text tells. Pure.
//!
//! Words count, not what they mean: an alias or a column that is called like a table is taken for it. What is in a string or a comment is no
//! name, unless the query makes statements of strings.

use convex_archiver::{TableRef, Timestamp, read::Moment};

/// Words of queries that make names, or ask which there are: then all tables get views.
const MAY_NAME_ANY: &[&str] = &[
    "query",
    "prepare",
    "import",
    "show",
    "describe",
    "pragma",
    "information_schema",
    "pg_catalog",
    "duckdb_",
    "sqlite_",
    ".tables",
    ".schema",
];

/// Whether a query makes names, or asks which there are.
pub(super) fn makes_names(sql: &str) -> bool {
    let sql = sql.to_lowercase();
    MAY_NAME_ANY.iter().any(|word| sql.contains(word))
}

/// Whether a query may name this table, or something that is derived from its name.
pub(super) fn may_name(sql: &str, table: &TableRef) -> bool {
    makes_names(sql) || sql.to_lowercase().contains(&table.name().to_lowercase())
}

/// How a query names a table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// The plain name, the history or the versions: as of the moment of the whole query.
    pub(super) plain: bool,
    /// The history or the versions: also of every moment before.
    pub(super) past: bool,
    /// What the table is asked for by `…_as_of(moment)`.
    pub(super) moments: Vec<Timestamp>,
    /// Whether such a moment cannot be known before the query runs.
    pub(super) unknown: bool,
}

impl Named {
    /// What `sql` names of the table; `in_strings`: also what its strings name.
    pub(super) fn of(sql: &str, table: &TableRef, in_strings: bool) -> Self {
        let tokens = tokens(sql);
        let mut named = Self::default();
        if is_of_component(&tokens, table) {
            named.read(&tokens, &table.name().to_lowercase());
        }
        if in_strings {
            let texts = tokens.iter().filter_map(|token| if let Token::Text(text) = token { Some(text) } else { None });
            texts.for_each(|text| named.join(Self::of(text, table, false)));
        }
        named
    }

    /// Whether it is named at all.
    pub(super) fn is_any(&self) -> bool {
        *self != Self::default()
    }

    fn join(&mut self, other: Self) {
        self.plain |= other.plain;
        self.past |= other.past;
        self.unknown |= other.unknown;
        self.moments.extend(other.moments);
    }

    fn read(&mut self, tokens: &[Token], name: &str) {
        for (at, token) in tokens.iter().enumerate() {
            let Token::Word(word) = token else { continue };
            let Some(rest) = word.strip_prefix(name) else { continue };
            match without_number(rest) {
                "" => self.plain = true,
                "_history" | "_versions" => (self.plain, self.past) = (true, true),
                "_as_of" => match argument(&tokens[at + 1..]) {
                    Some(moment) => self.moments.push(moment),
                    None => self.unknown = true,
                },
                _ => {}
            }
        }
    }
}

/// Of names that only case tells apart one has a number behind it, `-2`.
fn without_number(text: &str) -> &str {
    match text.rsplit_once('-') {
        Some((before, number)) if number.bytes().all(|b| b.is_ascii_digit()) => before,
        _ => text,
    }
}

/// The views of a component are in a schema of its name.
fn is_of_component(tokens: &[Token], table: &TableRef) -> bool {
    let last = table.component().rsplit('/').next().unwrap_or_default().to_lowercase();
    last.is_empty() || tokens.iter().any(|token| matches!(token, Token::Word(word) if word.contains(&last)))
}

/// The moment of `(moment)`, if it is spelled out.
fn argument(tokens: &[Token]) -> Option<Timestamp> {
    let Some((Token::Sign('('), tokens)) = tokens.split_first() else { return None };
    let end = tokens.iter().position(|token| *token == Token::Sign(')'))?;
    match &tokens[..end] {
        [Token::Word(digits)] => digits.parse().ok().map(Timestamp),
        [Token::Sign('-'), Token::Word(digits)] => format!("-{digits}").parse().ok().map(Timestamp),
        [Token::Text(text)] => moment(text),
        [Token::Word(kind), Token::Text(text)] if kind.starts_with("timestamp") || kind == "date" => moment(text),
        _ => None,
    }
}

/// As the views read it: without a zone it is UTC.
fn moment(text: &str) -> Option<Timestamp> {
    match text.parse() {
        Ok(Moment::At(ts)) => Some(ts),
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// A word, a number or a quoted name, in lower case.
    Word(String),
    /// A string.
    Text(String),
    Sign(char),
}

fn tokens(sql: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = sql.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            _ if c.is_whitespace() => {}
            _ if c.is_alphanumeric() || c == '_' => {
                let mut word = String::from(c);
                while let Some(next) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    word.push(next);
                }
                tokens.push(Token::Word(word.to_lowercase()));
            }
            '\'' | '"' => {
                let mut text = String::new();
                while let Some(next) = chars.next() {
                    if next != c {
                        text.push(next);
                    } else if chars.next_if_eq(&c).is_some() {
                        text.push(c);
                    } else {
                        break;
                    }
                }
                tokens.push(if c == '"' { Token::Word(text.to_lowercase()) } else { Token::Text(text) });
            }
            '-' if chars.peek() == Some(&'-') => chars.by_ref().take_while(|c| *c != '\n').for_each(drop),
            '/' if chars.peek() == Some(&'*') => {
                let mut before = ' ';
                chars.next();
                for next in chars.by_ref() {
                    if (before, next) == ('*', '/') {
                        break;
                    }
                    before = next;
                }
            }
            _ => tokens.push(Token::Sign(c)),
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use convex_archiver::Result;

    use super::*;

    #[test]
    fn words_of_a_query_name_tables_and_moments() -> Result<()> {
        let day = Timestamp(1_795_478_400_000_000_000);
        let plain = || Named { plain: true, ..Named::default() };
        for (sql, expected) in [
            ("SELECT 1", Named::default()),
            ("FROM users", plain()),
            ("SELECT * FROM \"Users\" u", plain()),
            ("SELECT 1 -- users\n, 'users' /* users */ FROM others", Named::default()),
            ("FROM users2", Named::default()),
            ("FROM \"users-2\"", plain()),
            ("FROM users_archive, users_history2", Named::default()),
            ("FROM \"users_history-2\"", Named { past: true, ..plain() }),
            ("FROM users_history", Named { past: true, ..plain() }),
            ("FROM users_versions", Named { past: true, ..plain() }),
            ("FROM users_as_of('2026-11-24')", Named { moments: vec![day], ..Named::default() }),
            ("FROM users_as_of(TIMESTAMP '2026-11-24 00:00:00')", Named { moments: vec![day], ..Named::default() }),
            ("FROM Users_As_Of (1795478400000000000)", Named { moments: vec![day], ..Named::default() }),
            ("FROM users_as_of(now() - INTERVAL 1 DAY)", Named { unknown: true, ..Named::default() }),
            ("FROM users_as_of('2026-11-24'), users", Named { moments: vec![day], ..plain() }),
        ] {
            assert_eq!(Named::of(sql, &TableRef::new("", "users")?, false), expected, "{sql}");
        }
        let table = TableRef::new("waitlist", "users")?;
        assert!(!Named::of("FROM users", &table, false).is_any());
        assert_eq!(Named::of("FROM waitlist.users", &table, false), plain());
        let sql = "FROM query('FROM users')";
        assert!(!Named::of(sql, &TableRef::new("", "users")?, false).is_any());
        assert_eq!(Named::of(sql, &TableRef::new("", "users")?, true), plain());
        Ok(())
    }
}
