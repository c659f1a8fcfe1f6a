//! `salesctl dlq`: the records that a service could not process.

mod list;
mod redrive;
mod show;

use std::process::ExitCode;

use conf::{Conf, Subcommands};
use messaging::topic_admin::{self, TopicAdminError};
use messaging::{KafkaSettings, redrive as redrives};

use super::topics::TopicNames;
use crate::failure::Failure;

#[derive(Conf)]
pub(crate) struct Dlq {
    #[conf(subcommands)]
    command: Command,
}

#[derive(Subcommands)]
enum Command {
    /// Lists the dead letter topics with how many records wait, by error class
    List(list::List),
    /// Prints dead letters whole, oldest first
    Show(show::Show),
    /// Sends dead letters back to where they came from; a dry run unless --yes is given
    ///
    /// They go oldest first, with the same key, value and headers, and beside them `dlq-redrive-count` and
    /// `dlq-first-failed-at`. Every group that reads the topic sees them again, not only the one that failed.
    ///
    /// What went back is passed over the next time. What has to be left before the last record that goes back, because
    /// it is of another class, came back too often or is refused by its topic, is written to the end of the dead letter
    /// topic again, as it is, and waits there.
    ///
    /// A redrive that is stopped or killed loses nothing: run it again to go on. The last few records can then be sent a
    /// second time, as the same events. Run one at a time for a topic.
    Redrive(redrive::Redrive),
}

impl Dlq {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::List(command) => command.run().await.map(|()| ExitCode::SUCCESS),
            Command::Show(command) => command.run().await,
            Command::Redrive(command) => command.run().await,
        }
    }
}

/// The dead letter topics that there are: those of every group that reads one of our topics, and the one with
/// announcements of events that could not be published.
async fn topics(kafka: &KafkaSettings, names: &TopicNames) -> Result<Vec<String>, TopicAdminError> {
    let ours = |topic: &str| {
        [&names.order_events_topic, &names.delivery_events_topic]
            .into_iter()
            .any(|name| redrives::is_dead_letter_topic_of(topic, name))
    };
    let all = topic_admin::list(kafka).await?.into_iter().map(|topic| topic.name);
    Ok(all.filter(|topic| ours(topic) || *topic == names.dead_letters_topic).collect())
}
