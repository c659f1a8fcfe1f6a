//! `salesctl contracts`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use conf::{Conf, Subcommands};
use contracts::catalogue::{self, CONTRACTS, Contract, async_api};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{Output, line, lines};

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
    #[conf(flatten)]
    output: Output,
}

/// Selects a contract.
#[derive(Conf)]
struct Selected {
    /// The event type, such as order.created
    #[conf(pos)]
    event_type: String,

    /// Version of the event type, such as 1.0; the newest when unset
    #[conf(long)]
    version: Option<String>,
}

#[derive(Conf)]
struct Schema {
    #[conf(flatten)]
    selected: Selected,
}

#[derive(Conf)]
struct Example {
    #[conf(flatten)]
    selected: Selected,

    #[conf(flatten)]
    output: Output,
}

#[derive(Conf)]
struct Asyncapi {}

#[derive(Serialize)]
struct Record {
    key: &'static str,
    headers: BTreeMap<&'static str, &'static str>,
    value: &'static RawValue,
}

impl Contracts {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::List(List { output }) => {
                output.print(&CONTRACTS.iter().map(json).collect::<Vec<_>>(), table)
            }
            Command::Schema(Schema { selected }) => {
                selected.print(|contract| line(contract.schema.trim_end()))
            }
            Command::Example(Example { selected, output }) => {
                selected.print(|contract| print_example(contract, output))
            }
            Command::Asyncapi(Asyncapi {}) => {
                line(&serde_json::to_string_pretty(&async_api::bundled()?)?)
            }
        }
    }
}

impl Selected {
    /// Prints the contract. An unknown contract is wrong usage; the error lists the known ones.
    fn print(
        &self,
        print: impl FnOnce(&Contract) -> Result<ExitCode, Failure>,
    ) -> Result<ExitCode, Failure> {
        match catalogue::find(&self.event_type, self.version.as_deref()) {
            Ok(contract) => print(contract),
            Err(error) => {
                eprintln!("error: {error}; known event types:\n{}", table());
                Ok(ExitCode::from(2))
            }
        }
    }
}

fn json(contract: &Contract) -> Value {
    json!({
        "eventType": contract.event_type,
        "version": contract.version,
        "topic": contract.topic,
        "dataSchema": contract.data_schema(),
    })
}

fn table() -> String {
    let widest = CONTRACTS.iter().map(|contract| contract.event_type.len()).max().unwrap_or(0);
    let row = |event_type, version, topic| {
        format!("{event_type:<width$}{version:<9}{topic}", width = widest + 2)
    };
    let rows = lines(CONTRACTS, |it| row(it.event_type, it.version, it.topic));
    format!("{}\n{rows}", row("type", "version", "topic"))
}

fn print_example(contract: &Contract, output: Output) -> Result<ExitCode, Failure> {
    let example = contract.example;
    let record = Record {
        key: example.header("ce_subject").unwrap_or_default(),
        headers: example.headers().collect(),
        value: serde_json::from_str(example.value)?,
    };
    output.print(&record, || format!("{}\n{}", example.headers, example.value))
}
