//! Why a record was not published, and whether the record is to blame.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// The errors that the record itself causes, with the reason: whenever the same record is sent again to the same topic,
/// the answer is the same. Every other error is a condition (of the broker, of the network, of a clock, of the
/// configuration, of rights or quotas), also one that is not known here: someone can mend it, and then the record is
/// published. Only a record that is to blame may become a dead letter.
const CAUSED_BY_THE_RECORD: [(RDKafkaErrorCode, &str); 5] = [
    (RDKafkaErrorCode::MessageSizeTooLarge, "larger than the client, or its topic, allows"),
    (RDKafkaErrorCode::InvalidMessageSize, "a size that the broker cannot accept"),
    (RDKafkaErrorCode::MessageBatchTooLarge, "larger than a segment of its topic, even alone"),
    (
        RDKafkaErrorCode::InvalidRecord,
        "the broker checked the record, and it breaks a rule of its topic",
    ),
    (RDKafkaErrorCode::InvalidTopic, "no topic can have the name that the record says"),
];

/// Why a record was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A condition: nothing is wrong with the record, and it may even have been written.
    #[error("Kafka cannot take the record now")]
    Unavailable(#[source] KafkaError),
    /// A condition: the broker takes nothing from this client, or the client trusts no broker, because a password or a
    /// certificate is wrong.
    #[error("Kafka does not let this client in: {0}")]
    NotLetIn(String),
    /// Broker or client will refuse this record for ever.
    #[error("Kafka refuses the record")]
    Refused(#[source] KafkaError),
}

impl PublishError {
    /// Whether it is a condition, so that the same record can be published later.
    pub const fn is_condition(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::NotLetIn(_))
    }

    /// A short name that never changes.
    pub(crate) fn class(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::NotLetIn(_) => "not-let-in",
            Self::Refused(_) => "refused",
        }
    }

    pub(crate) fn from_kafka(error: KafkaError) -> Self {
        if is_caused_by_the_record(&error) {
            Self::Refused(error)
        } else {
            Self::Unavailable(error)
        }
    }
}

/// Whether the same record meets the same answer whenever it is sent alone.
pub(crate) fn is_caused_by_the_record(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    CAUSED_BY_THE_RECORD.iter().any(|(caused, _)| Some(*caused) == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_no_fault_of_the_record() {
        use RDKafkaErrorCode as Code;
        for condition in [
            Code::MessageTimedOut,
            Code::QueueFull,
            Code::UnknownTopicOrPartition,
            Code::NotEnoughReplicas,
            Code::InvalidTimestamp,
            Code::TopicAuthorizationFailed,
            Code::ThrottlingQuotaExceeded,
            Code::PolicyViolation,
            Code::UnsupportedForMessageFormat,
            Code::InvalidMessage,
            Code::Unknown,
        ] {
            assert!(
                PublishError::from_kafka(KafkaError::MessageProduction(condition)).is_condition(),
                "{condition:?}"
            );
        }
        // The client gave up, and no broker has seen the record.
        assert!(PublishError::from_kafka(KafkaError::Canceled).is_condition());
        let too_large = KafkaError::MessageProduction(Code::MessageSizeTooLarge);
        assert!(!PublishError::from_kafka(too_large).is_condition());
    }
}
