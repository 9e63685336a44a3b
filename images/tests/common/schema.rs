//! As much of JSON Schema as docs/outrigger.schema.json uses.

use serde_json::Value;

/// Checks what a command printed against its part of the schema.
#[track_caller]
pub fn conforms(command: &str, printed: &str) -> Value {
    let schema = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/outrigger.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(schema).unwrap()).unwrap();
    let value: Value = serde_json::from_str(printed).unwrap();
    let faults = faults(&schema, &schema["$defs"][command], &value, command);
    assert!(faults.is_empty(), "{faults:#?}");
    value
}

fn faults(all: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let Value::Object(rules) = schema else {
        return vec![format!("{at}: no schema")];
    };
    let mut found = Vec::new();
    for (rule, wanted) in rules {
        match rule.as_str() {
            "$ref" => {
                let name = wanted.as_str().unwrap().trim_start_matches("#/$defs/");
                found.extend(faults(all, &all["$defs"][name], value, at));
            }
            "const" if wanted != value => found.push(format!("{at}: {value} is not {wanted}")),
            "type" => {
                let is = |kind: &Value| kind == kind_of(value);
                if !is(wanted) && !wanted.as_array().is_some_and(|kinds| kinds.iter().any(is)) {
                    found.push(format!("{at}: {value} is no {wanted}"));
                }
            }
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    found.extend(faults(all, wanted, item, &format!("{at}[]")));
                }
            }
            "required" => {
                let missing = wanted.as_array().unwrap().iter();
                let missing = missing.filter(|key| value.get(key.as_str().unwrap()).is_none());
                found.extend(missing.map(|key| format!("{at}: {key} is missing")));
            }
            "properties" | "additionalProperties" | "const" => {}
            other => panic!("{other} is not understood here"),
        }
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{key}");
        match (
            rules.get("properties").and_then(|known| known.get(key)),
            rules.get("additionalProperties"),
        ) {
            (Some(schema), _) | (None, Some(schema @ Value::Object(_))) => {
                found.extend(faults(all, schema, inner, &at));
            }
            (None, Some(Value::Bool(false))) => found.push(format!("{at} is not in the schema")),
            _ => {}
        }
    }
    found
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_u64() || number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
