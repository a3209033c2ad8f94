//! An answer judged by the OpenAPI document: as much of JSON Schema as the document uses.

use serde_json::Value;

/// Panics with the place, if `value` is not as `schema` says.
pub(crate) fn check(document: &Value, schema: &Value, value: &Value, place: &str) {
    if let Err(why) = judge(document, schema, value, place) {
        panic!("{why}");
    }
}

fn judge(document: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    if let Some(path) = schema["$ref"].as_str() {
        let target = document.pointer(path.trim_start_matches('#'));
        return judge(document, target.unwrap_or_else(|| panic!("{path} is not there")), value, place);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = choices.iter().filter(|choice| judge(document, choice, value, place).is_ok()).count();
        return if fits == 1 { Ok(()) } else { Err(format!("{place}: {value} fits {fits} of {}", schema["oneOf"])) };
    }
    if let Some(names) = schema["enum"].as_array()
        && !names.contains(value)
    {
        return Err(format!("{place}: {value} is none of {names:?}"));
    }
    let types = match &schema["type"] {
        Value::String(name) => vec![name.as_str()],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.iter().any(|name| is_of(name, value)) {
        return Err(format!("{place}: {value} is no {types:?}"));
    }
    if let Some(items) = value.as_array() {
        for (index, item) in items.iter().enumerate() {
            judge(document, &schema["items"], item, &format!("{place}[{index}]"))?;
        }
    }
    match (value.as_object(), schema["properties"].as_object()) {
        (Some(fields), Some(known)) => {
            for (name, field) in fields {
                let of = known.get(name).ok_or_else(|| format!("{place}.{name} is not in the document"))?;
                judge(document, of, field, &format!("{place}.{name}"))?;
            }
            let required = schema["required"].as_array().into_iter().flatten();
            let missing = required.filter_map(Value::as_str).find(|name| !fields.contains_key(*name));
            missing.map_or(Ok(()), |name| Err(format!("{place}.{name} is missing")))
        }
        _ => Ok(()),
    }
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("JSON has no {name:?}"),
    }
}

#[test]
fn what_is_not_as_the_document_says_is_found() {
    use serde_json::json;

    let document =
        json!({ "a": { "type": "object", "properties": { "b": { "type": ["integer", "null"] } }, "required": ["b"] } });
    let found = |value: Value| judge(&document, &json!({ "$ref": "#/a" }), &value, "it").err();
    assert_eq!(found(json!({ "b": 1 })), None);
    assert_eq!(found(json!({ "b": null })), None);
    assert_eq!(found(json!({})), Some("it.b is missing".into()));
    assert_eq!(found(json!({ "b": 1, "c": 2 })), Some("it.c is not in the document".into()));
    assert!(found(json!({ "b": "1" })).is_some_and(|why| why.starts_with("it.b: \"1\" is no")));
}
