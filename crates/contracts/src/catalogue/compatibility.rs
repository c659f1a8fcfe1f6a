//! Checks whether two versions of a schema are compatible.
//!
//! The rule is full compatibility: a reader of either version can read records of the other. Within
//! a major version, therefore, fields are only added, and only as optional fields. Any other
//! difference is an error, wider or narrower: a wider bound or a new enumeration value breaks
//! readers of the old schema.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Contract;

pub(super) const GUIDANCE: &str = "\
Topics keep records of the released versions, and other teams' readers do not change. A change that only adds optional \
fields needs a new minor version; any other change needs a new major version, in a topic of its own. \
See \"Versions\" in docs/EVENTS.md.";

/// Keywords that do not affect which values are valid.
const ANNOTATIONS: [&str; 8] =
    ["$schema", "$id", "$comment", "title", "description", "examples", "deprecated", "default"];

/// The differences that make `new` incompatible with `old`, each with its path. Empty if they are
/// compatible.
pub(super) fn breaches(old: &Value, new: &Value) -> Vec<String> {
    let mut breaches = Vec::new();
    compare_schemas(old, new, "", &mut breaches);
    breaches
}

fn compare_schemas(old: &Value, new: &Value, at: &str, breaches: &mut Vec<String>) {
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        if old != new {
            breaches.push(format!("{}: was {old}, is {new}", place(at)));
        }
        return;
    };
    let keywords: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for keyword in keywords {
        let of = |schema: &Map<String, Value>| schema.get(keyword).cloned().unwrap_or_default();
        let (was, is) = (of(old), of(new));
        match keyword.as_str() {
            annotation if ANNOTATIONS.contains(&annotation) => {}
            "properties" => compare_properties(&was, &is, at, breaches),
            "required" => compare_required(&was, &is, at, breaches),
            "items" if was.is_object() && is.is_object() => {
                compare_schemas(&was, &is, &format!("{at}/items"), breaches);
            }
            _ if was != is => {
                breaches.push(format!("{}: {keyword} was {was}, is {is}", place(at)));
            }
            _ => {}
        }
    }
}

fn compare_properties(old: &Value, new: &Value, at: &str, breaches: &mut Vec<String>) {
    for (name, was) in old.as_object().into_iter().flatten() {
        let at = format!("{at}/{name}");
        match new.get(name) {
            Some(is) => compare_schemas(was, is, &at, breaches),
            None => breaches.push(format!("{at}: was removed")),
        }
    }
}

fn compare_required(old: &Value, new: &Value, at: &str, breaches: &mut Vec<String>) {
    let names = |list: &Value| -> BTreeSet<String> {
        list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let (old, new) = (names(old), names(new));
    breaches.extend(new.difference(&old).map(|name| format!("{at}/{name}: is newly required")));
    breaches.extend(old.difference(&new).map(|name| format!("{at}/{name}: is no longer required")));
}

/// The incompatible pairs of versions with the same type and major version: the older one, the
/// newer one, and the differences.
fn incompatible(
    contracts: &[Contract],
) -> impl Iterator<Item = (String, String, Vec<String>)> + use<'_> {
    let pairs = contracts.iter().enumerate().flat_map(|(at, new)| {
        let earlier = contracts[..at].iter();
        earlier.filter(|old| old.has_same_major(new)).map(move |old| (old, new))
    });
    pairs.filter_map(|(old, new)| {
        let schema = |it: &Contract| serde_json::from_str(it.schema).unwrap();
        let breaches = breaches(&schema(old), &schema(new));
        let name = |it: &Contract| format!("{} {}", it.event_type, it.version);
        (!breaches.is_empty()).then(|| (name(old), name(new), breaches))
    })
}

fn place(at: &str) -> &str {
    if at.is_empty() { "the value" } else { at }
}

mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalogue::{CONTRACTS, Example};

    fn schema() -> Value {
        json!({
            "$id": "urn:sales:parcel.weighed:1.0",
            "type": "object",
            "required": ["grams", "labels"],
            "properties": {
                "grams": { "type": "integer", "minimum": 1, "maximum": 1000 },
                "colour": { "type": "string", "enum": ["red", "green"] },
                "labels": {
                    "type": "array",
                    "maxItems": 3,
                    "items": {
                        "type": "object",
                        "required": ["text"],
                        "properties": { "text": { "type": "string", "pattern": "^[a-z]+$" } }
                    }
                }
            }
        })
    }

    /// The incompatibilities after a change of the value at `pointer`; `Null` removes it.
    fn after(pointer: &str, value: Value) -> Vec<String> {
        let mut new = schema();
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        let parent = new.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            parent.remove(member).unwrap();
        } else {
            parent.insert(member.to_owned(), value);
        }
        breaches(&schema(), &new)
    }

    #[test]
    fn a_new_optional_field_is_compatible_at_any_depth() {
        for pointer in ["/properties/note", "/properties/labels/items/properties/note"] {
            assert_eq!(after(pointer, json!({ "type": "string" })), [""; 0]);
        }
    }

    #[test]
    fn annotations_do_not_affect_compatibility() {
        assert_eq!(after("/$id", json!("urn:sales:parcel.weighed:1.1")), [""; 0]);
        assert_eq!(after("/properties/grams/description", json!("The weight.")), [""; 0]);
        assert_eq!(after("/required", json!(["labels", "grams"])), [""; 0]);
    }

    #[test]
    fn a_removed_field_is_incompatible() {
        assert_eq!(after("/properties/colour", Value::Null), ["/colour: was removed"]);
        assert_eq!(
            after("/properties/labels/items/properties/text", Value::Null),
            ["/labels/items/text: was removed"]
        );
        let all = after("/properties", Value::Null);
        assert_eq!(all, ["/colour: was removed", "/grams: was removed", "/labels: was removed"]);
    }

    #[test]
    fn a_changed_type_is_incompatible() {
        for other in [json!("number"), json!("string"), json!(["integer", "null"]), Value::Null] {
            let said = after("/properties/grams/type", other.clone());
            assert_eq!(said, [format!(r#"/grams: type was "integer", is {other}"#)]);
        }
    }

    #[test]
    fn a_changed_list_of_required_fields_is_incompatible() {
        assert_eq!(
            after("/required", json!(["grams", "labels", "colour"])),
            ["/colour: is newly required"]
        );
        assert_eq!(after("/required", json!(["labels"])), ["/grams: is no longer required"]);
        assert_eq!(
            after("/properties/labels/items/required", Value::Null),
            ["/labels/items/text: is no longer required"]
        );
    }

    #[test]
    fn a_new_required_field_is_incompatible() {
        let mut new = schema();
        new["properties"]["note"] = json!({ "type": "string" });
        new["required"] = json!(["grams", "labels", "note"]);
        assert_eq!(breaches(&schema(), &new), ["/note: is newly required"]);
    }

    #[test]
    fn a_changed_bound_is_incompatible() {
        for (pointer, value, said) in [
            ("/properties/grams/maximum", json!(999), "/grams: maximum was 1000, is 999"),
            ("/properties/grams/maximum", json!(1001), "/grams: maximum was 1000, is 1001"),
            ("/properties/grams/minimum", Value::Null, "/grams: minimum was 1, is null"),
            ("/properties/colour/maxLength", json!(9), "/colour: maxLength was null, is 9"),
            ("/properties/labels/maxItems", json!(4), "/labels: maxItems was 3, is 4"),
            (
                "/additionalProperties",
                json!(false),
                "the value: additionalProperties was null, is false",
            ),
        ] {
            assert_eq!(after(pointer, value), [said]);
        }
        let pattern = after("/properties/labels/items/properties/text/pattern", json!("^[a-z]*$"));
        assert_eq!(pattern, [r#"/labels/items/text: pattern was "^[a-z]+$", is "^[a-z]*$""#]);
    }

    #[test]
    fn a_changed_enumeration_is_incompatible() {
        for words in [json!(["red"]), json!(["red", "green", "blue"])] {
            let said = after("/properties/colour/enum", words.clone());
            assert_eq!(said, [format!(r#"/colour: enum was ["red","green"], is {words}"#)]);
        }
    }

    #[test]
    fn a_boolean_schema_is_incompatible() {
        assert_eq!(
            after("/properties/labels/items", json!(true)).len(),
            1,
            "the schema of the elements was removed"
        );
        assert_eq!(after("/properties/colour", json!(false)).len(), 1);
    }

    /// A contract whose schema has one field.
    macro_rules! version {
        ($version:literal, $keywords:literal) => {
            Contract {
                event_type: "parcel.weighed",
                version: $version,
                topic: "parcels",
                schema: concat!(r#"{"properties":{"grams":{"#, $keywords, "}}}"),
                example: Example { value: "", headers: "" },
            }
        };
    }

    #[test]
    fn each_version_is_compared_with_all_earlier_ones_of_its_major() {
        let versions = [
            version!("1.0", r#""type":"integer""#),
            version!("1.1", r#""type":"integer","minimum":1"#),
            version!("1.2", r#""type":"integer""#),
            version!("2.0", r#""type":"string""#),
        ];
        let pairs: Vec<String> =
            incompatible(&versions).map(|(old, new, _)| format!("{old}, {new}")).collect();
        assert_eq!(
            pairs,
            ["parcel.weighed 1.0, parcel.weighed 1.1", "parcel.weighed 1.1, parcel.weighed 1.2"]
        );
    }

    #[test]
    fn versions_of_one_major_are_compatible() {
        let found: Vec<String> = incompatible(CONTRACTS)
            .map(|(old, new, breaches)| format!("{new} breaks with {old}: {}", breaches.join(", ")))
            .collect();
        assert!(found.is_empty(), "{}\n{GUIDANCE}", found.join("\n"));
    }
}
