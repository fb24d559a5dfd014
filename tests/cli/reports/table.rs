//! The schema as a text for people.

use std::fmt::Write;

use serde_json::Value;

use super::schema::{Schema, name_of};

pub(super) fn of(schema: &Schema) -> String {
    let mut text = format!(
        "# Reports in JSON\n\n{}\n\nMade from [report.schema.json](report.schema.json), a JSON Schema, which the tests hold against real \
         reports. *Optional* fields may be absent; all others are always there.\n",
        schema.about()
    );
    for name in schema.names() {
        let definition = schema.definition(name);
        let _ = write!(text, "\n## {name}\n\n{}\n", definition["description"].as_str().unwrap());
        let Some(properties) = definition.get("properties").map(|all| all.as_object().unwrap()) else { continue };
        text.push_str("\n| field | type | meaning |\n|---|---|---|\n");
        let required: Vec<_> = definition["required"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
        let optional = properties.keys().map(String::as_str).filter(|name| !required.contains(name));
        for field in required.iter().copied().chain(optional) {
            let rule = &properties[field];
            let about = rule["description"].as_str().unwrap_or_else(|| panic!("{name}.{field} is not described"));
            let rare = if required.contains(&field) { "" } else { "*Optional.* " };
            let _ = writeln!(text, "| `{field}` | {} | {rare}{} |", kind(rule), about.replace('|', "\\|"));
        }
    }
    text
}

fn kind(rule: &Value) -> String {
    if let Some(name) = name_of(rule) {
        return format!("[{name}](#{name})");
    }
    if let Some(forms) = rule.get("anyOf") {
        return forms.as_array().unwrap().iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    if let Some(values) = rule.get("enum") {
        let values = values.as_array().unwrap().iter().map(|value| format!("`{}`", value.as_str().unwrap()));
        return values.collect::<Vec<_>>().join(", ");
    }
    if let Some(value) = rule.get("const") {
        return format!("`{value}`");
    }
    match &rule["type"] {
        Value::String(name) if name == "array" => format!("list of {}", kind(&rule["items"])),
        Value::String(name) => name.clone(),
        Value::Array(names) => names.iter().map(|name| name.as_str().unwrap()).collect::<Vec<_>>().join(" or "),
        _ => "any value".to_owned(),
    }
}
