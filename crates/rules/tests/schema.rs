//! The JSON Schema takes what compiles, and refuses what an editor should mark.

use rules::language::rule::{KEYS, PROGRAM_KEYS};
use rules::schema::schema;
use serde_json::{Value, json};

/// What of JSON Schema ours uses: https://json-schema.org/draft/2020-12.
fn accepts(root: &Value, schema: &Value, value: &Value) -> bool {
    let Some(schema) = schema.as_object() else { return schema.as_bool().unwrap_or(true) };
    schema.iter().all(|(keyword, wanted)| match keyword.as_str() {
        "$ref" => {
            let path = wanted.as_str().unwrap().strip_prefix('#').unwrap();
            accepts(root, root.pointer(path).unwrap_or_else(|| panic!("there is no {path}")), value)
        }
        "type" => match wanted.as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "boolean" => value.is_boolean(),
            other => panic!("{other}"),
        },
        "enum" => wanted.as_array().unwrap().contains(value),
        "anyOf" => wanted.as_array().unwrap().iter().any(|one| accepts(root, one, value)),
        "required" => value.as_object().is_none_or(|object| {
            wanted.as_array().unwrap().iter().all(|key| object.contains_key(key.as_str().unwrap()))
        }),
        "properties" => value.as_object().is_none_or(|object| {
            object.iter().all(|(key, value)| wanted.get(key).is_none_or(|one| accepts(root, one, value)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|object| {
            let known = schema.get("properties");
            let others = object.iter().filter(|(key, _)| known.is_none_or(|known| known.get(key.as_str()).is_none()));
            others.into_iter().all(|(_, value)| accepts(root, wanted, value))
        }),
        "items" => value.as_array().is_none_or(|array| array.iter().all(|value| accepts(root, wanted, value))),
        "minItems" => value.as_array().is_none_or(|array| array.len() as u64 >= wanted.as_u64().unwrap()),
        "maxItems" => value.as_array().is_none_or(|array| array.len() as u64 <= wanted.as_u64().unwrap()),
        "minProperties" => value.as_object().is_none_or(|object| object.len() as u64 >= wanted.as_u64().unwrap()),
        "minLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 >= wanted.as_u64().unwrap()),
        "maxLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 <= wanted.as_u64().unwrap()),
        "minimum" => value.as_i64().is_none_or(|number| number >= wanted.as_i64().unwrap()),
        "maximum" => value.as_i64().is_none_or(|number| number <= wanted.as_i64().unwrap()),
        "pattern" => value.as_str().is_none_or(|text| matches(wanted.as_str().unwrap(), text)),
        "propertyNames" => value
            .as_object()
            .is_none_or(|object| object.keys().all(|key| accepts(root, wanted, &Value::String(key.clone())))),
        "$schema" | "$defs" | "title" | "description" | "default" | "format" => true,
        other => panic!("this test does not know the keyword {other}"),
    })
}

/// The patterns that there are.
fn matches(pattern: &str, text: &str) -> bool {
    let all = |text: &str, set: &str| !text.is_empty() && text.chars().all(|c| set.contains(c));
    const DIGITS: &str = "0123456789";
    match pattern {
        "^[A-Za-z0-9._-]{1,64}$" => {
            text.len() <= 64 && !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        }
        "^[0-9A-Fa-f]{64}$" => text.len() == 64 && all(text, "0123456789abcdefABCDEF"),
        "^[0-9]{1,5}(-[0-9]{1,5})?$" => {
            text.split('-').count() <= 2 && text.split('-').all(|part| part.len() <= 5 && all(part, DIGITS))
        }
        "^(once|process|forever|[0-9]+[smhd])$" => {
            ["once", "process", "forever"].contains(&text)
                || text.strip_suffix(['s', 'm', 'h', 'd']).is_some_and(|number| all(number, DIGITS))
        }
        other => panic!("this test does not know the pattern {other}"),
    }
}

/// TOML as editors see it: moments are text.
fn as_json(text: &str) -> Value {
    fn convert(value: toml::Value) -> Value {
        match value {
            toml::Value::String(text) => json!(text),
            toml::Value::Integer(number) => json!(number),
            toml::Value::Float(number) => json!(number),
            toml::Value::Boolean(flag) => json!(flag),
            toml::Value::Datetime(moment) => json!(moment.to_string()),
            toml::Value::Array(values) => values.into_iter().map(convert).collect(),
            toml::Value::Table(table) => table.into_iter().map(|(key, value)| (key, convert(value))).collect(),
        }
    }
    convert(toml::Value::Table(text.parse().unwrap()))
}

fn takes(text: &str) -> bool {
    let schema = schema();
    accepts(&schema, &schema, &as_json(text))
}

#[test]
fn the_published_file_is_the_schema() {
    let published = include_str!("../../../docs/rules.schema.json");
    assert_eq!(published, format!("{:#}\n", schema()), "`tollgate rules schema > docs/rules.schema.json`");
}

#[test]
fn it_knows_every_key() {
    let schema = schema();
    let keys = |pointer: &str| {
        let mut keys: Vec<String> = schema.pointer(pointer).unwrap().as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    let sorted = |known: &[&str]| {
        let mut known: Vec<String> = known.iter().map(|key| (*key).to_owned()).collect();
        known.sort();
        known
    };
    assert_eq!(keys("/$defs/rule/properties"), sorted(&KEYS));
    assert_eq!(keys("/$defs/known_program/properties"), sorted(&PROGRAM_KEYS));
}

#[test]
fn it_takes_the_examples_of_the_documentation() {
    let page = include_str!("../../../docs/rules.md");
    let mut taken = 0;
    for block in page.split("\n```toml").skip(1) {
        let (info, text) = block.split_once('\n').unwrap();
        let text = text.split("\n```").next().unwrap();
        if text.contains("[rule.") && !info.contains("broken") {
            assert!(takes(text), "{text}");
            taken += 1;
        }
    }
    assert!(taken >= 20, "{taken}");
}

#[test]
fn it_refuses_what_an_editor_should_mark() {
    assert!(takes("[rule.a]\naction = \"permit\"\nexpires = 2027-01-31T18:00:00Z\n"));
    for wrong in [
        "[rules.a]\naction = \"permit\"\n",
        "[rule.a]\nremote = \"*\"\n",
        "[rule.a]\naction = \"allow\"\n",
        "[rule.a]\naction = \"permit\"\nprogramm = \"x\"\n",
        "[rule.a]\naction = \"permit\"\nprogram = { name = \"x\" }\n",
        "[rule.a]\naction = \"permit\"\nprogram = {}\n",
        "[rule.a]\naction = \"permit\"\nprogram = []\n",
        "[rule.a]\naction = \"permit\"\nprogram = { sha256 = \"00\" }\n",
        "[rule.a]\naction = \"permit\"\nremote = 443\n",
        "[rule.a]\naction = \"permit\"\nlocal_port = 70000\n",
        "[rule.a]\naction = \"permit\"\nlocal_port = \"http\"\n",
        "[rule.a]\naction = \"permit\"\nprotocol = \"tpc\"\n",
        "[rule.a]\naction = \"permit\"\ndirection = \"outgoing\"\n",
        "[rule.a]\naction = \"permit\"\nfor = \"a while\"\n",
        "[rule.a]\naction = \"permit\"\npriority = 1.5\n",
        "[rule.a]\naction = \"permit\"\nlog = \"no\"\n",
        "[rule.\"a b\"]\naction = \"permit\"\n",
    ] {
        assert!(!takes(wrong), "{wrong}");
    }
}
