//! What the documents say about settings is what the programs read, and what they say about events is what is written.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use conf::Conf;
use conf::introspection::ProgramOptionMeta;
use contracts::catalogue::{CONTRACTS, async_api};
use contracts::topics::Names;
use serde_yaml_ng::Value;

type Variables = Vec<(String, Option<String>)>;

/// The variables of one service, with their defaults.
fn variables<C: Conf>() -> Variables {
    C::program_options()
        .filter_map(|option| {
            let default = option.default_help_str().map(ToString::to_string);
            let default = if option.is_required() { Some("required".to_owned()) } else { default };
            Some((option.env_form()?.to_string(), default))
        })
        .collect()
}

fn services() -> Vec<(&'static str, Variables)> {
    vec![
        ("sales-api", variables::<sales_api::Config>()),
        ("outbox-relay", variables::<outbox_relay::Config>()),
        ("delivery-service", variables::<delivery_service::Config>()),
        ("status-consumer", variables::<status_consumer::Config>()),
        ("inventory-mock", variables::<inventory_mock::Config>()),
    ]
}

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    fs::read_to_string(path).unwrap()
}

/// The cells of the configuration table of the README: variable, default, unit, service.
fn table() -> Vec<[String; 4]> {
    let readme = read("README.md");
    let rows =
        readme.lines().filter(|line| line.starts_with("| `") && line.split('|').count() == 7);
    rows.map(|row| {
        let mut cells = row.split('|').skip(1).map(|cell| cell.trim().replace('`', ""));
        std::array::from_fn(|_| cells.next().unwrap())
    })
    .collect()
}

#[test]
fn the_readme_names_every_setting_with_its_default_and_its_service() {
    let table = table();
    for (service, variables) in services() {
        for (variable, default) in variables {
            let row = table.iter().find(|row| {
                row[0] == variable
                    && (row[3] == "all" || row[3].split(", ").any(|it| it == service))
            });
            let [_, documented, ..] =
                row.unwrap_or_else(|| panic!("{variable} of {service} is not in the README"));
            let default = default.unwrap_or_else(|| "none".to_owned());
            assert!(
                documented.split(", ").any(|it| it.split(' ').next() == Some(default.as_str())),
                "{variable} of {service} is {default}, not {documented}"
            );
        }
    }
}

#[test]
fn every_setting_in_the_documents_is_read_by_somebody() {
    let known: BTreeSet<String> = services()
        .into_iter()
        .flat_map(|(_, variables)| variables)
        .map(|(variable, _)| variable)
        .collect();
    for [variable, ..] in table() {
        let salesctl =
            ["API_URL", "API_TOKEN", "DELIVERY_DATABASE_URL"].contains(&variable.as_str());
        assert!(salesctl || known.contains(&variable), "nobody reads {variable}");
    }
}

#[test]
fn the_example_file_names_every_setting() {
    let example = read(".env.example");
    // Those that are different for each service or each instance.
    let own_values = ["PORT", "MANAGEMENT_PORT", "CONSUMER_INSTANCE", "OTEL_SERVICE_NAME"];
    for (service, variables) in services() {
        for (variable, _) in
            variables.iter().filter(|(variable, _)| !own_values.contains(&variable.as_str()))
        {
            let named = example
                .lines()
                .any(|line| line.trim_start_matches('#').starts_with(&format!("{variable}=")));
            assert!(named, "{variable} of {service} is not in .env.example");
        }
    }
}

#[test]
fn compose_passes_on_every_setting_of_a_service_and_no_other() {
    let mut compose: Value = serde_yaml_ng::from_str(&read("docker-compose.yml")).unwrap();
    // Twice, since some of what is merged merges something itself.
    compose.apply_merge().unwrap();
    compose.apply_merge().unwrap();
    // What the image sets or each instance needs for itself, and names that all containers leave as they are.
    let left_out = [
        "HOST",
        "PORT",
        "MANAGEMENT_PORT",
        "CONSUMER_INSTANCE",
        "OTEL_SERVICE_NAME",
        "ORDER_EVENTS_TOPIC",
        "DELIVERY_EVENTS_TOPIC",
        "DEAD_LETTERS_TOPIC",
        "DELIVERY_GROUP",
        "STATUS_GROUP",
    ];
    for (service, variables) in services() {
        let read: BTreeSet<&str> = variables
            .iter()
            .map(|(variable, _)| variable.as_str())
            .filter(|variable| !left_out.contains(variable))
            .collect();
        let environment = compose["services"][service]["environment"].as_mapping().unwrap();
        let passed_on: BTreeSet<&str> = environment.keys().filter_map(Value::as_str).collect();
        assert_eq!(passed_on, read, "{service}");
    }
}

#[test]
fn the_examples_of_events_are_the_golden_records() {
    let document = read("docs/EVENTS.md");
    for contract in CONTRACTS {
        let (event_type, example) = (contract.event_type, contract.example);
        let shown = format!(
            "contracts example {event_type}\n```\n\n```\n{}\n{}\n```",
            example.headers, example.value
        );
        assert!(document.contains(&shown), "the example of {event_type} should be:\n{shown}");
    }
}

#[test]
fn the_topics_in_the_document_are_made_as_it_says() {
    let document = read("docs/EVENTS.md");
    for topic in Names::default().specs() {
        let (name, partitions) = (topic.name, topic.partitions);
        let days = topic.retention.as_secs() / 86_400;
        let row = format!("| `{name}` | {partitions} | {days} days |");
        assert!(document.contains(&row), "{row}");
    }
}

#[test]
fn the_document_names_every_header() {
    let document = read("docs/EVENTS.md");
    let described = async_api::bundled().unwrap();
    for headers in ["cloudEventHeaders", "deadLetterHeaders"] {
        let headers = &described["components"]["schemas"][headers];
        let required = headers["required"].as_array().unwrap();
        for (name, _) in headers["properties"].as_object().unwrap() {
            let presence =
                if required.contains(&name.as_str().into()) { "always" } else { "optional" };
            let row = format!("| `{name}` | {presence} |");
            assert!(document.contains(&row), "{row}");
        }
    }
}
