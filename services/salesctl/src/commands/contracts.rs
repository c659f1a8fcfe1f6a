//! `salesctl contracts`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use conf::{Conf, Subcommands};
use contracts::catalogue::{self, CONTRACTS, Contract, async_api};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::output;

#[derive(Conf)]
pub(crate) struct Contracts {
    #[conf(subcommands)]
    command: Command,
}

#[derive(Subcommands)]
enum Command {
    /// Lists the event types with their versions and topics
    List(List),
    /// Prints the JSON Schema of an event's value
    Schema(Schema),
    /// Prints an example record of an event: its headers and its value
    Example(Example),
    /// Prints the AsyncAPI document of all topics, with the schemas in it
    Asyncapi(Asyncapi),
}

#[derive(Conf)]
struct List {
    /// Prints JSON
    #[conf(long)]
    json: bool,
}

#[derive(Conf)]
struct Schema {
    /// The event type, such as order.created
    #[conf(pos)]
    event_type: String,

    /// Version of the event type, such as 1.0; the newest when unset
    #[conf(long)]
    version: Option<String>,
}

#[derive(Conf)]
struct Example {
    /// The event type, such as order.created
    #[conf(pos)]
    event_type: String,

    /// Version of the event type, such as 1.0; the newest when unset
    #[conf(long)]
    version: Option<String>,

    /// Prints JSON
    #[conf(long)]
    json: bool,
}

#[derive(Conf)]
struct Asyncapi {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    event_type: &'static str,
    version: &'static str,
    topic: &'static str,
    data_schema: String,
}

#[derive(Serialize)]
struct Record {
    key: &'static str,
    headers: BTreeMap<&'static str, &'static str>,
    value: &'static RawValue,
}

impl Contracts {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::List(list) => list.run()?,
            Command::Schema(Schema { event_type, version }) => {
                return with_contract(&event_type, version.as_deref(), print_schema);
            }
            Command::Example(Example { event_type, version, json }) => {
                let print = |contract: &Contract| print_example(contract, json);
                return with_contract(&event_type, version.as_deref(), print);
            }
            Command::Asyncapi(Asyncapi {}) => {
                output::line(&serde_json::to_string_pretty(&async_api::bundled()?)?)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints a contract. An unknown contract is wrong usage; the error lists the known ones.
fn with_contract(
    event_type: &str,
    version: Option<&str>,
    print: impl FnOnce(&Contract) -> Result<(), Failure>,
) -> Result<ExitCode, Failure> {
    match catalogue::find(event_type, version) {
        Ok(contract) => print(contract).map(|()| ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("error: {error}; known event types:\n{}", table(&listed()));
            Ok(ExitCode::from(2))
        }
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        output::print(self.json, &listed(), |listed| table(listed))
    }
}

fn listed() -> Vec<Listed> {
    let listed = CONTRACTS.iter().map(|contract| Listed {
        event_type: contract.event_type,
        version: contract.version,
        topic: contract.topic,
        data_schema: contract.data_schema(),
    });
    listed.collect()
}

fn table(listed: &[Listed]) -> String {
    let line = |event_type, version, topic| format!("{event_type:<22}{version:<9}{topic}");
    let lines = listed.iter().map(|it| line(it.event_type, it.version, it.topic));
    std::iter::once(line("type", "version", "topic")).chain(lines).collect::<Vec<_>>().join("\n")
}

fn print_schema(contract: &Contract) -> Result<(), Failure> {
    output::line(contract.schema.trim_end())
}

fn print_example(contract: &Contract, json: bool) -> Result<(), Failure> {
    let example = contract.example;
    let record = Record {
        key: example.header("ce_subject").unwrap_or_default(),
        headers: example.headers().collect(),
        value: serde_json::from_str(example.value)?,
    };
    output::print(json, &record, |_| format!("{}\n{}", example.headers, example.value))
}
