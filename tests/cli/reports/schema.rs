//! As much of JSON Schema as the reports need. A word that it does not know fails the test: nothing is passed over.

use std::collections::BTreeMap;

use serde_json::Value;

/// Words that say nothing of what is valid.
const ABOUT: [&str; 3] = ["description", "title", "$schema"];

pub(super) struct Schema(Value);

impl Schema {
    pub(super) fn read() -> Self {
        Self(serde_json::from_str(include_str!("../../../src/cli/report.schema.json")).unwrap())
    }

    /// The names of all definitions, those of reports first.
    pub(super) fn names(&self) -> Vec<&str> {
        let (reports, all) = (self.reports(), self.0["$defs"].as_object().unwrap());
        let others = all.keys().map(String::as_str).filter(|name| !reports.contains(name));
        reports.iter().copied().chain(others).collect()
    }

    /// The names of the reports, in the order of the schema.
    pub(super) fn reports(&self) -> Vec<&str> {
        self.0["oneOf"].as_array().unwrap().iter().map(|one| name_of(one).unwrap()).collect()
    }

    pub(super) fn definition(&self, name: &str) -> &Value {
        let found = &self.0["$defs"][name];
        assert!(found.is_object(), "there is no {name}");
        found
    }

    pub(super) fn about(&self) -> &str {
        self.0["description"].as_str().unwrap()
    }

    /// What is wrong with `value` as `name`, by JSON Pointers, sorted.
    pub(super) fn wrong(&self, name: &str, value: &Value) -> Vec<String> {
        let mut wrong = self.check(self.definition(name), value, "");
        wrong.sort();
        wrong
    }

    fn check(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut say = |ok: bool, what: &str| {
            if !ok {
                wrong.push(format!("{at} {what}"));
            }
        };
        let mut below = Vec::new();
        for (word, rule) in schema.as_object().unwrap() {
            match word.as_str() {
                "$ref" => below.extend(self.check(self.definition(name_of(schema).unwrap()), value, at)),
                "type" => {
                    let types: Vec<_> = rule.as_array().map_or(vec![rule], |types| types.iter().collect());
                    let text: Vec<_> = types.iter().map(|name| name.as_str().unwrap()).collect();
                    say(text.iter().any(|name| is_a(name, value)), &format!("is no {}", text.join(" or ")));
                }
                "const" => say(rule == value, &format!("is not {rule}")),
                "enum" => say(rule.as_array().unwrap().contains(value), "is none of the values"),
                "anyOf" => {
                    let fits = |one: &Value| self.check(one, value, at).is_empty();
                    say(rule.as_array().unwrap().iter().any(fits), "is none of the forms");
                }
                "items" => {
                    for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                        below.extend(self.check(rule, item, &format!("{at}/{n}")));
                    }
                }
                "required" => {
                    for name in rule.as_array().unwrap().iter().map(|name| name.as_str().unwrap()) {
                        if value.is_object() && value.get(name).is_none() {
                            below.push(format!("{at}/{name} is missing"));
                        }
                    }
                }
                "properties" | "additionalProperties" => {}
                word => assert!(ABOUT.contains(&word), "the schema's word {word} is not known here"),
            }
        }
        wrong.append(&mut below);
        wrong.extend(self.check_members(schema, value, at));
        wrong
    }

    fn check_members(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let none = serde_json::Map::new();
        let properties = schema.get("properties").map_or(&none, |all| all.as_object().unwrap());
        let mut wrong = Vec::new();
        for (name, member) in value.as_object().unwrap_or(&none) {
            let at = format!("{at}/{name}");
            match (properties.get(name), schema.get("additionalProperties")) {
                (None, Some(Value::Bool(false))) => wrong.push(format!("{at} is not documented")),
                (Some(rule), _) | (None, Some(rule)) => wrong.extend(self.check(rule, member, &at)),
                // What a document holds is the user's.
                (None, None) => {}
            }
        }
        wrong
    }
}

/// `#/$defs/NAME`
pub(super) fn name_of(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

fn is_a(name: &str, value: &Value) -> bool {
    let kinds: BTreeMap<&str, bool> = BTreeMap::from([
        ("null", value.is_null()),
        ("boolean", value.is_boolean()),
        ("string", value.is_string()),
        ("number", value.is_number()),
        ("integer", value.is_u64()),
        ("array", value.is_array()),
        ("object", value.is_object()),
    ]);
    kinds[name]
}
