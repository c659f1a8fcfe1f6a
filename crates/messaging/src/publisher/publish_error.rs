//! Why a record was not published, and whether the record is the cause.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Errors that the record itself causes, with the reason: the same record, sent to the same topic
/// again, gets the same error. Every other error is a condition (of the broker, the network, a
/// clock, the configuration, rights or quotas), also an unknown one: it can be fixed, and then the
/// record is published. Only a record that is the cause may become a dead letter.
const CAUSED_BY_THE_RECORD: [(RDKafkaErrorCode, &str); 5] = [
    (RDKafkaErrorCode::MessageSizeTooLarge, "larger than the client or the topic allows"),
    (RDKafkaErrorCode::InvalidMessageSize, "a size that the broker cannot accept"),
    (RDKafkaErrorCode::MessageBatchTooLarge, "larger than a segment of its topic, even alone"),
    (
        RDKafkaErrorCode::InvalidRecord,
        "the broker validated the record, and it violates a rule of its topic",
    ),
    (RDKafkaErrorCode::InvalidTopic, "the topic name of the record is invalid"),
];

/// Why a record was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A condition. The record is valid, and may even have been written.
    #[error("Kafka cannot accept the record now")]
    Unavailable(#[source] KafkaError),
    /// A condition: authentication failed on either side, because a password or a certificate is
    /// wrong.
    #[error("Kafka authentication failed: {0}")]
    AuthenticationFailed(String),
    /// The broker or the client will refuse this record every time.
    #[error("Kafka refuses the record")]
    Refused(#[source] KafkaError),
}

impl PublishError {
    /// Whether the error is a condition, so that the same record can be published later.
    pub const fn is_condition(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::AuthenticationFailed(_))
    }

    /// A short, stable name.
    pub(crate) fn class(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::AuthenticationFailed(_) => "authentication-failed",
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

/// Whether the same record gets the same error whenever it is sent alone.
pub(crate) fn is_caused_by_the_record(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    CAUSED_BY_THE_RECORD.iter().any(|(caused, _)| Some(*caused) == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_the_record_itself_are_permanent() {
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
        // The client canceled the record, and no broker has received it.
        assert!(PublishError::from_kafka(KafkaError::Canceled).is_condition());
        let too_large = KafkaError::MessageProduction(Code::MessageSizeTooLarge);
        assert!(!PublishError::from_kafka(too_large).is_condition());
    }
}
