//! Which tables of a deployment are archived: patterns of names, told by people and recorded as text.
//!
//! # Patterns
//! `messages` is the table of the root, `waitlist/users` one of the component `waitlist`, `a/b/users` one of the component
//! `b` inside `a`. In a name `*` stands for any letters and `?` for one. `**` stands for any number of components: `**/users`
//! is every table `users`, `waitlist/**` everything of `waitlist` and what it contains, `*/**` all components, `**`
//! everything. Case counts, as in Convex.
//!
//! A table is selected if an include pattern fits it, or there is none, and no exclude pattern does.
//!
//! # Why a matcher of our own
//! A crate for globs answers only whether a name fits. What is sent to the deployment also needs the other questions: which
//! tables are named exactly, and in which components a table that nobody has seen yet could be selected. The matcher
//! is twenty lines, since names are letters, digits and underscores: nothing has to be escaped.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    document::TableRef,
    error::{Error, Result, ResultExt},
};

/// The tables that are archived.
///
/// Guarantees:
/// 1. Its text is canonical: sorted, nothing twice, and parsed it gives the same selection. Equal patterns are equal texts.
/// 2. The default selects everything, and its text is `**`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selection {
    /// Empty: everything.
    include: BTreeSet<Pattern>,
    exclude: BTreeSet<Pattern>,
}

/// A pattern that fits none of the tables that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnusedPattern {
    pub(crate) text: String,
    /// It includes one table by its name: the table is missed.
    pub(crate) names_a_table: bool,
}

/// One pattern, `**/log_*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Pattern {
    component: Vec<Segment>,
    table: Glob,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    /// `**`: any number of components, none included.
    Components,
    One(Glob),
}

/// A name, perhaps with `*` and `?`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Glob(String);

impl Selection {
    /// The tables that fit one of `include`, or any if there is none, and none of `exclude`.
    ///
    /// # Errors
    /// Usage, naming the pattern that can fit no table.
    pub fn new<T: AsRef<str>>(
        include: impl IntoIterator<Item = T>,
        exclude: impl IntoIterator<Item = T>,
    ) -> Result<Self> {
        let parse = |patterns: T| patterns.as_ref().parse::<Pattern>();
        let mut include = include.into_iter().map(parse).collect::<Result<BTreeSet<_>>>()?;
        if include.iter().any(Pattern::fits_everything) {
            include.clear();
        }
        Ok(Self { include, exclude: exclude.into_iter().map(parse).collect::<Result<_>>()? })
    }

    /// Whether every table is selected, whatever comes.
    pub fn is_everything(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// Whether the table is selected.
    pub fn contains(&self, table: &TableRef) -> bool {
        let fits = |pattern: &Pattern| pattern.fits(table);
        (self.include.is_empty() || self.include.iter().any(fits)) && !self.exclude.iter().any(fits)
    }

    /// Whether every table of this one is also one of `other`. `false` in doubt.
    pub fn narrows(&self, other: &Self) -> bool {
        let includes_no_more =
            other.include.is_empty() || (!self.include.is_empty() && self.include.is_subset(&other.include));
        includes_no_more && other.exclude.is_subset(&self.exclude)
    }

    /// Whether an include pattern is this very table's name, without wildcards.
    pub(crate) fn includes_by_name(&self, table: &TableRef) -> bool {
        self.include.iter().any(|pattern| pattern.is_name() && pattern.fits(table))
    }

    /// The same without these tables.
    ///
    /// # Errors
    /// Internal, if a table's name is no pattern.
    pub(crate) fn without<'a>(&self, tables: impl IntoIterator<Item = &'a TableRef>) -> Result<Self> {
        let mut narrower = self.clone();
        for table in tables {
            let pattern = table.to_string().parse();
            let unnamed = |e| Error::internal("a table has a name that no pattern can match: report it").with_source(e);
            narrower.exclude.insert(pattern.map_err(unnamed)?);
        }
        Ok(narrower)
    }

    /// The patterns that fit none of these tables, those that include first.
    pub(crate) fn fitting_none_of<'a>(&self, tables: impl Iterator<Item = &'a TableRef> + Clone) -> Vec<UnusedPattern> {
        let unused = |pattern: &&Pattern| !tables.clone().any(|table| pattern.fits(table));
        let included = self.include.iter().filter(unused).map(|p| (p, p.is_name()));
        let excluded = self.exclude.iter().filter(unused).map(|p| (p, false));
        included.chain(excluded).map(|(p, names)| UnusedPattern { text: p.to_string(), names_a_table: names }).collect()
    }

    /// The components that patterns name, be it only as the beginning of a path.
    pub(crate) fn component_names(&self) -> BTreeSet<String> {
        self.patterns().map(Pattern::component_name).collect()
    }

    /// The tables of this component that patterns name, selected or not, whether they exist or not.
    pub(crate) fn table_names(&self, component: &str) -> BTreeSet<&str> {
        let path: Vec<&str> = segments(component).collect();
        let named = self.patterns().filter(|p| p.table.is_exact() && fits_component(&p.component, &path));
        named.map(|p| p.table.0.as_str()).collect()
    }

    /// Whether a table of this component that is neither [named](Self::table_names) nor known could be selected. `true` in
    /// doubt.
    pub(crate) fn opens(&self, component: &str) -> bool {
        let path: Vec<&str> = segments(component).collect();
        let opened = |p: &Pattern| !p.table.is_exact() && fits_component(&p.component, &path);
        let closed = |p: &Pattern| p.table.fits_all() && fits_component(&p.component, &path);
        (self.include.is_empty() || self.include.iter().any(opened)) && !self.exclude.iter().any(closed)
    }

    /// Whether a table of a component that nobody has named or seen could be selected. `true` in doubt.
    pub(crate) fn opens_other_components(&self) -> bool {
        let opened = |p: &Pattern| p.component.iter().any(|s| !matches!(s, Segment::One(name) if name.is_exact()));
        (self.include.is_empty() || self.include.iter().any(opened))
            && !self.exclude.iter().any(Pattern::fits_all_components)
    }

    fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        self.include.iter().chain(&self.exclude)
    }
}

impl Pattern {
    fn fits(&self, table: &TableRef) -> bool {
        let path: Vec<&str> = segments(table.component()).collect();
        self.table.fits(table.name()) && fits_component(&self.component, &path)
    }

    /// Whether it is a table's name, without wildcards.
    fn is_name(&self) -> bool {
        let exact = |segment: &Segment| matches!(segment, Segment::One(name) if name.is_exact());
        self.table.is_exact() && self.component.iter().all(exact)
    }

    fn fits_everything(&self) -> bool {
        self.component == [Segment::Components] && self.table.fits_all()
    }

    /// `*/**` or `**`.
    fn fits_all_components(&self) -> bool {
        let fits_all = |s: &Segment| match s {
            Segment::Components => true,
            Segment::One(name) => name.fits_all(),
        };
        let singles = self.component.iter().filter(|s| **s != Segment::Components).count();
        self.table.fits_all() && singles <= 1 && singles < self.component.len() && self.component.iter().all(fits_all)
    }

    /// The component, as far as it has no wildcards.
    fn component_name(&self) -> String {
        let names = self.component.iter().map_while(|segment| match segment {
            Segment::One(name) if name.is_exact() => Some(name.0.as_str()),
            _ => None,
        });
        names.collect::<Vec<_>>().join("/")
    }
}

/// The names in a component's path.
fn segments(component: &str) -> impl Iterator<Item = &str> {
    component.split('/').filter(|name| !name.is_empty())
}

fn fits_component(pattern: &[Segment], path: &[&str]) -> bool {
    match pattern.split_first() {
        None => path.is_empty(),
        Some((Segment::Components, rest)) => (0..=path.len()).any(|n| fits_component(rest, &path[n..])),
        Some((Segment::One(name), rest)) => match path.split_first() {
            Some((first, others)) => name.fits(first) && fits_component(rest, others),
            None => false,
        },
    }
}

impl Glob {
    fn is_exact(&self) -> bool {
        !self.0.contains(['*', '?'])
    }

    fn fits_all(&self) -> bool {
        self.0 == "*"
    }

    /// Goes back to the last star whenever the letters after it do not fit.
    fn fits(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut p, mut n, mut star) = (0, 0, None);
        while n < name.len() {
            if pattern.get(p) == Some(&b'*') {
                star = Some((p, n));
                p += 1;
            } else if pattern.get(p).is_some_and(|c| *c == b'?' || *c == name[n]) {
                (p, n) = (p + 1, n + 1);
            } else if let Some((at, from)) = star {
                star = Some((at, from + 1));
                (p, n) = (at + 1, from + 1);
            } else {
                return false;
            }
        }
        pattern[p..].iter().all(|c| *c == b'*')
    }
}

impl FromStr for Glob {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fitting = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'*' | b'?');
        if text.is_empty() || !text.bytes().all(fitting) {
            return Err(Error::usage("names have letters, digits, `_`, and `*` and `?` for any of them"));
        }
        if text.starts_with('_') {
            return Err(Error::usage("names that begin with `_` are the system's, which no deployment exports"));
        }
        let mut name = text.to_owned();
        while name.contains("**") {
            name = name.replace("**", "*");
        }
        let glob = Self(name);
        if glob.is_exact() && TableRef::new("", text).is_err() {
            return Err(Error::usage("a name begins with a letter and has at most 64 characters"));
        }
        Ok(glob)
    }
}

impl FromStr for Pattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let name = || format!("the pattern `{}`", text.escape_debug());
        let mut path: Vec<&str> = text.split('/').collect();
        // `a/**` stands for `a/**/*`.
        if path.last() == Some(&"**") {
            path.push("*");
        }
        let table = path.pop().unwrap_or_default();
        let mut component = Vec::new();
        for segment in path {
            match segment {
                "**" if component.last() == Some(&Segment::Components) => {}
                "**" => component.push(Segment::Components),
                other => component.push(Segment::One(other.parse().context(name)?)),
            }
        }
        Ok(Self { component, table: table.parse().context(name)? })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = self.table.fits_all() && self.component.last() == Some(&Segment::Components);
        let mut texts: Vec<&str> = self
            .component
            .iter()
            .map(|segment| match segment {
                Segment::Components => "**",
                Segment::One(name) => &name.0,
            })
            .collect();
        if !short {
            texts.push(&self.table.0);
        }
        f.write_str(&texts.join("/"))
    }
}

/// The canonical text: include patterns, then exclude patterns with `!` before them, `log_* waitlist/** !waitlist/users`.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut texts: Vec<String> = self.include.iter().map(ToString::to_string).collect();
        texts.sort_unstable();
        if texts.is_empty() {
            texts.push("**".to_owned());
        }
        let mut exclude: Vec<String> = self.exclude.iter().map(|pattern| format!("!{pattern}")).collect();
        exclude.sort_unstable();
        texts.append(&mut exclude);
        f.write_str(&texts.join(" "))
    }
}

impl FromStr for Selection {
    type Err = Error;

    /// The canonical text.
    fn from_str(text: &str) -> Result<Self> {
        let (exclude, include): (Vec<&str>, Vec<&str>) = text.split_whitespace().partition(|p| p.starts_with('!'));
        if include.is_empty() {
            return Err(Error::usage("a selection names what it includes; `**` is everything"));
        }
        Self::new(include, exclude.into_iter().map(|pattern| &pattern[1..]).collect::<Vec<_>>())
    }
}

impl TryFrom<String> for Selection {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Selection> for String {
    fn from(selection: Selection) -> Self {
        selection.to_string()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind;

    fn table(path: &str) -> TableRef {
        let (component, name) = path.rsplit_once('/').unwrap_or(("", path));
        TableRef::new(component, name).unwrap()
    }

    fn name() -> impl Strategy<Value = String> {
        prop::sample::select(vec!["a", "b", "ab", "aab", "Users", "users", "user_logs", "logs"]).prop_map(str::to_owned)
    }

    /// Tables whose names patterns of [`any_selection`] often fit.
    pub(crate) fn any_table() -> impl Strategy<Value = TableRef> {
        prop::collection::vec(name(), 1..4).prop_map(|path| table(&path.join("/")))
    }

    fn any_pattern() -> impl Strategy<Value = String> {
        let glob = prop::sample::select(vec!["*", "?", "a*", "*s", "u*s", "user*", "??*", "*a*b*"]);
        let segment = prop_oneof![4 => name(), 2 => glob.prop_map(str::to_owned), 1 => Just("**".to_owned())];
        prop::collection::vec(segment, 1..4).prop_map(|path| path.join("/"))
    }

    pub(crate) fn any_selection() -> impl Strategy<Value = Selection> {
        let patterns = || prop::collection::vec(any_pattern(), 0..3);
        (patterns(), patterns()).prop_map(|(include, exclude)| Selection::new(include, exclude).unwrap())
    }

    /// Letter by letter, trying everything.
    fn fits(pattern: &[u8], path: &[u8]) -> bool {
        match pattern {
            [] => path.is_empty(),
            [b'*', b'*', b'/', rest @ ..] => {
                let after_slash = |n: &usize| *n == 0 || path[n - 1] == b'/';
                (0..=path.len()).filter(after_slash).any(|n| fits(rest, &path[n..]))
            }
            [b'*', b'*'] => !path.is_empty(),
            [b'*', rest @ ..] => fits(rest, path) || (!path.is_empty() && path[0] != b'/' && fits(pattern, &path[1..])),
            [b'?', rest @ ..] => !path.is_empty() && path[0] != b'/' && fits(rest, &path[1..]),
            [c, rest @ ..] => path.first() == Some(c) && fits(rest, &path[1..]),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_pattern_fits_what_trying_everything_fits(pattern in any_pattern(), table in any_table()) {
            let selection = Selection::new([&pattern], []).unwrap();
            let expected = fits(pattern.as_bytes(), table.to_string().as_bytes());
            prop_assert_eq!(selection.contains(&table), expected, "{} {}", pattern, table);
            let others = Selection::new([], [&pattern]).unwrap();
            prop_assert_eq!(others.contains(&table), !expected);
        }

        #[test]
        fn the_text_is_canonical_and_gives_the_same_selection(
            include in prop::collection::vec(any_pattern(), 0..4), exclude in prop::collection::vec(any_pattern(), 0..4),
        ) {
            let selection = Selection::new(&include, &exclude).unwrap();
            let text = selection.to_string();
            prop_assert_eq!(&text.parse::<Selection>().unwrap(), &selection);
            let turned = |patterns: &[String]| patterns.iter().rev().chain(patterns).cloned().collect::<Vec<_>>();
            prop_assert_eq!(Selection::new(turned(&include), turned(&exclude)).unwrap().to_string(), text);
            let json = serde_json::to_string(&selection).unwrap();
            prop_assert_eq!(serde_json::from_str::<Selection>(&json).unwrap(), selection);
        }

        #[test]
        fn what_narrows_another_holds_no_other_table(a in any_selection(), b in any_selection(), table in any_table()) {
            prop_assert!(!a.narrows(&b) || !a.contains(&table) || b.contains(&table), "{} {} {}", a, b, table);
            let more = Selection { exclude: a.exclude.union(&b.exclude).cloned().collect(), ..a.clone() };
            prop_assert!(more.narrows(&a) && a.narrows(&Selection::default()) && a.narrows(&a));
        }

        /// What these say of tables that nobody has seen is what holds for each of them.
        #[test]
        fn a_selected_table_is_named_or_in_an_open_component(selection in any_selection(), table in any_table()) {
            if selection.contains(&table) {
                let component = table.component();
                let named = selection.table_names(component).contains(table.name());
                prop_assert!(named || selection.opens(component), "{} {}", selection, table);
                let named = selection.component_names().contains(component) || component.is_empty();
                prop_assert!(named || selection.opens_other_components(), "{} {}", selection, table);
            }
        }
    }

    #[test]
    fn each_example_of_the_header_fits_what_it_says() {
        let cases = [
            ("messages", vec!["messages"]),
            ("waitlist/users", vec!["waitlist/users"]),
            ("**/users", vec!["users", "waitlist/users", "waitlist/deep/users"]),
            ("waitlist/**", vec!["waitlist/deep/users", "waitlist/users"]),
            ("*/**", vec!["waitlist/deep/users", "waitlist/users"]),
            ("*", vec!["Users", "messages", "users", "waitlist"]),
            ("?sers", vec!["Users", "users"]),
        ];
        let tables = ["Users", "messages", "users", "waitlist", "waitlist/deep/users", "waitlist/users"];
        for (pattern, mut expected) in cases {
            let selection = Selection::new([pattern], []).unwrap();
            let mut fitting: Vec<_> = tables.into_iter().filter(|t| selection.contains(&table(t))).collect();
            fitting.sort_unstable();
            expected.sort_unstable();
            assert_eq!(fitting, expected, "{pattern}");
        }
        let all = Selection::default();
        assert!(all.is_everything() && all.to_string() == "**" && Selection::new(["x", "**/*"], []).unwrap() == all);
        let some = Selection::new(["waitlist/**", "log_*"], ["waitlist/users"]).unwrap();
        assert_eq!(some.to_string(), "log_* waitlist/** !waitlist/users");
        assert!(!some.opens("other") && some.opens("waitlist/deep") && some.opens("") && some.opens_other_components());
        let known = [table("log_a"), table("waitlist/users")];
        assert!(some.fitting_none_of(known.iter()).is_empty());
        let unused = |selection: &Selection| -> Vec<(String, bool)> {
            let unused = selection.fitting_none_of(known[..1].iter());
            unused.into_iter().map(|pattern| (pattern.text, pattern.names_a_table)).collect()
        };
        assert_eq!(unused(&some), [("waitlist/**".to_owned(), false), ("waitlist/users".to_owned(), false)]);
        let named = Selection::new(["log_a", "log_b", "a/?"], ["log_a"]).unwrap();
        assert_eq!(unused(&named), [("log_b".to_owned(), true), ("a/?".to_owned(), false)]);
        let root = Selection::new([], ["*/**"]).unwrap();
        assert!(root.opens("") && !root.opens("waitlist") && !root.opens_other_components());
    }

    #[test]
    fn what_can_fit_no_table_is_refused_by_name() {
        for (pattern, expected) in [
            ("", "letters"),
            ("a-b", "letters"),
            ("/users", "letters"),
            ("a//b", "letters"),
            ("a/", "letters"),
            ("!a", "letters"),
            ("_storage", "system's"),
            ("9lives", "begins with a letter"),
            ("a/9/b", "begins with a letter"),
        ] {
            let error = Selection::new([pattern], []).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(
                error.to_string().contains(expected) && error.to_string().contains(&format!("`{pattern}`")),
                "{error}"
            );
        }
        assert!("".parse::<Selection>().is_err() && "!a".parse::<Selection>().is_err());
    }
}
