//! A [`Selection`] in the API's words.
//!
//! Rows that the deployment filters are neither sent nor billed, and never leave it. But it knows names only, no patterns,
//! and tables come and go: so the tree asks for every table that could be selected, for some more where only names that
//! nobody has seen could tell, and what comes is filtered here in any case. Never less is asked for than is selected.
//!
//! Source: `crates/common/src/types/streaming_export/selection.rs` of get-convex/convex-backend: component path → (`"excluded"`
//! or table → (`"excluded"` or columns)), and at each level `_other`, without which all of it is ignored in silence.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Serialize, Serializer, ser::SerializeMap};
use sha2::{Digest, Sha256};

use crate::{document::TableRef, selection::Selection};

/// What is selected, and what was asked for because of it.
#[derive(Debug, Default)]
pub(super) struct SelectionRequest {
    selection: Selection,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The tables that the deployment has told.
    known: BTreeSet<TableRef>,
    /// What is asked for, of everything and of single components: made once, since a walk goes on cheaply only where it
    /// is asked for in the same words.
    trees: BTreeMap<Option<String>, Arc<Tree>>,
}

/// The `selection` of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tree {
    components: BTreeMap<String, ComponentTables>,
    others: bool,
}

/// Of what is selected all, or a part.
#[derive(Debug, Clone, Copy)]
pub(super) enum AskedPart<'a> {
    All,
    /// The tables of one component.
    Component(&'a str),
    /// These, which are selected.
    Tables(&'a [TableRef]),
}

/// In which words a request may be spelled.
#[derive(Debug, Clone, Copy)]
pub(super) enum SelectionCompat<'a> {
    /// The best that there are.
    Any,
    /// Those of the request before, by their [digest](Tree::digest), or without a selection. A walk's cursor stands in a table:
    /// where that is no longer asked for, a deployment ends the walk, or goes on behind documents that nobody has seen, without
    /// a word. Asking for more is harmless.
    As(Option<&'a str>),
}

impl SelectionCompat<'_> {
    pub(super) fn allow(self, tree: &Tree) -> bool {
        match self {
            Self::Any => true,
            Self::As(before) => before == Some(tree.digest().as_str()),
        }
    }
}

/// Tables that are not as the others of their component.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ComponentTables {
    named: BTreeSet<String>,
    others: bool,
}

impl SelectionRequest {
    pub(super) fn new(selection: Selection) -> Self {
        Self { selection, state: Mutex::default() }
    }

    pub(super) fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Whether anything is not selected.
    pub(super) fn selects(&self) -> bool {
        !self.selection.is_everything()
    }

    /// Whether the table is selected.
    pub(super) fn contains(&self, table: &TableRef) -> bool {
        self.selection.contains(table)
    }

    /// Remembers tables that exist, selected or not.
    pub(super) fn learn(&self, tables: impl IntoIterator<Item = TableRef>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).known.extend(tables);
    }

    /// What to ask for; `None` if that is everything.
    pub(super) fn tree(&self, part: AskedPart<'_>) -> Option<Arc<Tree>> {
        let component = match part {
            AskedPart::Tables(tables) => return Some(Arc::new(Tree::of(tables))),
            _ if self.selection.is_everything() => return None,
            AskedPart::All => None,
            AskedPart::Component(component) => Some(component),
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { known, trees } = &mut *state;
        let made = || Arc::new(Tree::new(&self.selection, known, component));
        Some(Arc::clone(trees.entry(component.map(str::to_owned)).or_insert_with(made)))
    }
}

impl Tree {
    fn new(selection: &Selection, known: &BTreeSet<TableRef>, only: Option<&str>) -> Self {
        let mut listed: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        listed.entry(only.unwrap_or_default().to_owned()).or_default();
        for component in selection.component_names() {
            listed.entry(component).or_default();
        }
        for table in known {
            listed.entry(table.component().to_owned()).or_default().insert(table.name());
        }
        listed.retain(|component, _| only.is_none_or(|only| only == component));
        let components = listed.into_iter().map(|(component, mut tables)| {
            tables.extend(selection.table_names(&component));
            let others = selection.opens(&component);
            let selected = |name: &str| TableRef::new(&*component, name).is_ok_and(|table| selection.contains(&table));
            let named = tables.into_iter().filter(|name| selected(name) != others).map(str::to_owned).collect();
            (component, ComponentTables { named, others })
        });
        Self { components: components.collect(), others: only.is_none() && selection.opens_other_components() }
    }

    /// These tables and nothing else.
    fn of(tables: &[TableRef]) -> Self {
        let mut components: BTreeMap<String, ComponentTables> = BTreeMap::new();
        for table in tables {
            let none = || ComponentTables { named: BTreeSet::new(), others: false };
            let of_component = components.entry(table.component().to_owned()).or_insert_with(none);
            of_component.named.insert(table.name().to_owned());
        }
        Self { components, others: false }
    }

    /// Names it in the positions of a walk: 16 hexadecimal digits.
    pub(super) fn digest(&self) -> String {
        // Maps of texts and booleans can always be spelled.
        let text = serde_json::to_vec(self).unwrap_or_default();
        hex::encode(&Sha256::digest(text)[..8])
    }

    /// Whether a deployment that heeds it sends rows of this table.
    pub(super) fn asks_for(&self, table: &TableRef) -> bool {
        self.components
            .get(table.component())
            .map_or(self.others, |tables| tables.others != tables.named.contains(table.name()))
    }
}

/// `"included"` alone is no word for a component or a table: those have an object with `_other`.
const EXCLUDED: &str = "excluded";

fn word(included: bool) -> &'static str {
    if included { "included" } else { EXCLUDED }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(Some(self.components.len() + 1))?;
        for (component, tables) in &self.components {
            map.serialize_entry(component, tables)?;
        }
        map.serialize_entry("_other", word(self.others))?;
        map.end()
    }
}

impl Serialize for ComponentTables {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if self.named.is_empty() && !self.others {
            return s.serialize_str(EXCLUDED);
        }
        let mut map = s.serialize_map(Some(self.named.len() + 1))?;
        for table in &self.named {
            if self.others {
                map.serialize_entry(table, EXCLUDED)?;
            } else {
                map.serialize_entry(table, &BTreeMap::from([("_other", word(true))]))?;
            }
        }
        map.serialize_entry("_other", word(self.others))?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::selection::tests::{any_selection, any_table};

    /// The grammar, read back from its JSON.
    fn sent(tree: &Json, table: &TableRef) -> bool {
        let included = |json: &Json| json == "included";
        match tree.get(table.component()) {
            None => included(&tree["_other"]),
            Some(Json::String(word)) => word != "excluded",
            Some(tables) => match tables.get(table.name()) {
                None => included(&tables["_other"]),
                Some(Json::String(word)) => word != "excluded",
                Some(columns) => included(&columns["_other"]),
            },
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1500))]

        #[test]
        fn never_less_is_asked_for_than_is_selected_and_of_known_tables_nothing_more(
            selection in any_selection(), known in prop::collection::btree_set(any_table(), 0..8),
            other in any_table(), only in any::<Option<prop::sample::Index>>(),
        ) {
            let all: Vec<_> = known.iter().chain([&other]).collect();
            let only = only.map(|index| all[index.index(all.len())].component());
            let tree = Tree::new(&selection, &known, only);
            let json = serde_json::to_value(&tree).unwrap();
            for table in all {
                let wanted = selection.contains(table) && only.is_none_or(|only| only == table.component());
                prop_assert_eq!(tree.asks_for(table), sent(&json, table));
                prop_assert!(sent(&json, table) || !wanted, "{} {} {}", selection, table, json);
                if known.contains(table) {
                    prop_assert_eq!(sent(&json, table), wanted, "{} {} {}", selection, table, json);
                }
            }
        }
    }

    #[test]
    fn spells_what_the_grammar_asks_for() {
        let known: BTreeSet<_> = [("", "users"), ("", "logs"), ("waitlist", "users"), ("quiet", "x")]
            .map(|(component, name)| TableRef::new(component, name).unwrap())
            .into();
        let tree = |include: &[&str], exclude: &[&str]| {
            let selection = Selection::new(include, exclude).unwrap();
            serde_json::to_value(Tree::new(&selection, &known, None)).unwrap()
        };
        assert_eq!(
            tree(&["users"], &[]),
            json!({"": {"users": {"_other": "included"}, "_other": "excluded"},
                "waitlist": "excluded", "quiet": "excluded", "_other": "excluded"})
        );
        assert_eq!(
            tree(&[], &["users", "quiet/**"]),
            json!({"": {"users": "excluded", "_other": "included"},
                "waitlist": {"_other": "included"}, "quiet": "excluded", "_other": "included"})
        );
        assert_eq!(
            tree(&["l*", "**/users"], &["waitlist/users"]),
            json!({"": {"_other": "included"}, "waitlist": "excluded",
                "quiet": {"users": {"_other": "included"}, "_other": "excluded"}, "_other": "included"})
        );
    }
}
