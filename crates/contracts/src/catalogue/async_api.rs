//! The AsyncAPI document: which service sends and receives which events on which topics.

use serde_json::Value;

use super::CONTRACTS;

/// The document (AsyncAPI 3.0). It refers to the value schemas as files with relative paths.
pub const DOCUMENT: &str = include_str!("../../schemas/asyncapi.json");

/// The document with the value schemas inlined, for use without the files.
pub fn bundled() -> Result<Value, serde_json::Error> {
    let mut document = serde_json::from_str(DOCUMENT)?;
    for contract in CONTRACTS {
        let file = schema_file(contract.event_type, contract.version);
        inline_schema(&mut document, &file, &serde_json::from_str(contract.schema)?);
    }
    Ok(document)
}

/// The path of a version's schema, relative to the document.
pub(crate) fn schema_file(event_type: &str, version: &str) -> String {
    format!("./{event_type}/{version}.json")
}

fn inline_schema(node: &mut Value, file: &str, schema: &Value) {
    match node {
        Value::Object(members) if members.get("$ref").is_some_and(|it| it == file) => {
            *node = schema.clone();
        }
        Value::Object(members) => {
            for member in members.values_mut() {
                inline_schema(member, file, schema);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                inline_schema(element, file, schema);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_asyncapi_document_refers_to_no_file() {
        let bundled = bundled().unwrap();
        assert!(DOCUMENT.contains(r#""$ref": "./"#) && !bundled.to_string().contains(r#""./"#));
        for contract in CONTRACTS {
            let message = format!("{}-{}", contract.event_type, contract.version);
            let payload = &bundled["components"]["messages"][message]["payload"];
            assert_eq!(payload["$id"], contract.data_schema());
        }
    }
}
