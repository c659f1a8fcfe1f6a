//! `salesctl audit`: what operators have done.

use std::process::ExitCode;

use conf::Conf;
use contracts::timestamp_text;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use service_kit::config::within;
use store::operator_actions::{Action, latest};
use store::{Database, DatabaseSettings};

use crate::failure::Failure;
use crate::output::{Output, lines};

#[derive(Conf)]
pub(crate) struct Audit {
    #[conf(flatten)]
    database: DatabaseSettings,

    /// Only actions of this subject
    #[conf(long)]
    subject: Option<String>,

    /// Only this action, for example `cancel order`
    #[conf(long)]
    action: Option<String>,

    /// Maximum number of actions to list
    #[conf(long, default_value = "20", value_parser = within(1..=100_000))]
    limit: i64,

    #[conf(flatten)]
    output: Output,
}

impl Audit {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let database = Database::new("salesctl", &self.database);
        let mut connection = database.connection().await?;
        let (subject, action) = (self.subject.as_deref(), self.action.as_deref());
        let actions = latest(&mut connection, subject, action, self.limit).await?;
        let listed = actions.iter().map(entry).collect::<Result<Vec<Value>, _>>()?;
        self.output.print(&listed, || match actions.as_slice() {
            [] => "no actions".to_owned(),
            actions => lines(actions, line),
        })
    }
}

fn entry(action: &Action) -> Result<Value, serde_json::Error> {
    Ok(json!({
        "id": action.id,
        "subject": action.subject,
        "action": action.action,
        "parameters": serde_json::from_str::<&RawValue>(&action.parameters)?,
        "startedAt": timestamp_text(action.started_at),
        "outcome": action.outcome,
        "finishedAt": action.finished_at.map(timestamp_text),
    }))
}

fn line(action: &Action) -> String {
    let Action { subject, action: name, parameters, started_at, outcome, .. } = action;
    let (at, outcome) = (timestamp_text(*started_at), outcome.as_deref());
    let outcome = outcome.unwrap_or("no outcome: it is running, or was interrupted");
    format!("{at}  {subject}  {name}  {parameters}\n    {outcome}")
}
