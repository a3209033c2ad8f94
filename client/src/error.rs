//! The one error type of the client, and the questions a program asks of it.
//!
//! Every public function of the crate fails with [`Error`]. It is cheap to clone, because one failed batch fails the
//! delivery of each of its records.

mod reasons;

use std::{fmt, io, sync::Arc, time::Duration};

pub use self::reasons::{BatchError, CloseReason};
use crate::codes::ErrorCode;

/// What the crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is impossible, or two settings contradict each other. Nothing was sent.
    #[error("the setting {setting} {reason}")]
    Config {
        /// The setting, by the name of its builder method.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },

    /// A broker answered with an error code.
    #[error("{api} was answered with {code}{}", Place { topic: topic.as_deref(), partition: *partition, message: message.as_deref() })]
    Server {
        /// The API that was called, by Kafka's name.
        api: &'static str,
        /// The topic that the code is about.
        topic: Option<Arc<str>>,
        /// The partition that the code is about.
        partition: Option<i32>,
        /// Kafka's code.
        code: ErrorCode,
        /// The broker's own words, where the API has room for them.
        message: Option<Arc<str>>,
    },

    /// No connection to a broker could be made.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// The host and port that were tried.
        address: Arc<str>,
        /// What the system said.
        source: Arc<io::Error>,
    },

    /// The two sides could not agree on an encrypted connection, or one does not trust the other. Trying again does not
    /// help: the reason says what does.
    #[error("no TLS with {address}: {reason}")]
    Tls {
        /// The host and port of the broker.
        address: Arc<str>,
        /// What rustls found, and what to do.
        reason: Arc<str>,
    },

    /// A broker refused the login, or did not prove itself. Trying again does not help: the reason says what does.
    #[error("no login by {mechanism} at {address}: {reason}")]
    Authentication {
        /// The host and port of the broker.
        address: Arc<str>,
        /// The mechanism, as in `sasl.mechanism`.
        mechanism: &'static str,
        /// What was wrong, in the broker's words where it has some.
        reason: Arc<str>,
    },

    /// A connection ended while something was waiting for it.
    #[error("the connection to {address} was closed: {reason}")]
    Disconnected {
        /// The host and port of the peer.
        address: Arc<str>,
        /// Why the connection ended.
        reason: CloseReason,
    },

    /// Something did not happen in its time.
    #[error("{what} took longer than {limit:?}")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// The time it had.
        limit: Duration,
    },

    /// A broker sent bytes that are not what the protocol says.
    #[error("the answer to {api} v{version} cannot be read: {reason}")]
    Malformed {
        /// The API whose answer it was.
        api: &'static str,
        /// The version that was asked for.
        version: i16,
        /// What was wrong, and where.
        reason: Arc<str>,
    },

    /// The broker and this client have no version of an API in common.
    #[error("{address} {}, this client speaks v{client_min}-v{client_max}", Offer { api, min: *broker_min, max: *broker_max })]
    UnsupportedVersion {
        /// The host and port of the broker.
        address: Arc<str>,
        /// The API, by Kafka's name.
        api: &'static str,
        /// The broker's lowest version, -1 when it lacks the API.
        broker_min: i16,
        /// The broker's highest version, -1 when it lacks the API.
        broker_max: i16,
        /// Our lowest version.
        client_min: i16,
        /// Our highest version.
        client_max: i16,
    },

    /// A record is bigger than the client may send (`max.request.size`).
    #[error("a record of {size_bytes} bytes is over the limit of {limit_bytes}")]
    RecordTooLarge {
        /// The record's encoded size with the overhead of its batch.
        size_bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },

    /// The record names a partition that the topic does not have.
    #[error("topic {topic} has {partition_count} partitions, there is no partition {partition}")]
    UnknownPartition {
        /// The topic.
        topic: Arc<str>,
        /// The partition that was asked for.
        partition: i32,
        /// How many partitions the topic has.
        partition_count: usize,
    },

    /// A record was accepted by the producer, and then not acknowledged.
    #[error("a record for {topic}-{partition} was not acknowledged ({written}): {cause}")]
    Delivery {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// Whether the record may nevertheless be in the log.
        written: Written,
        /// What went wrong last.
        cause: Arc<Self>,
    },

    /// Fetched bytes are damaged, or use what this client cannot read. The position stays before them, so the next call
    /// fails again; seek beyond `offset` to leave them out.
    #[error("the record batch at offset {offset} of {topic}-{partition} cannot be read: {reason}")]
    CorruptBatch {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// The first offset that could not be read.
        offset: i64,
        /// What was wrong.
        reason: BatchError,
    },

    /// The position is outside of the log and the consumer was told not to choose another one.
    #[error("offset {offset} of {topic}-{partition} is out of range, and auto_offset_reset is None")]
    OffsetOutOfRange {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// The position that does not exist.
        offset: i64,
    },

    /// What was read before the position is not in the log any more: a leader without it was elected. The consumer was told
    /// not to choose another position; seek to `end_offset` to go on where the logs part.
    #[error("the log of {topic}-{partition} was truncated beneath offset {offset}: it parts at {end_offset}")]
    LogTruncated {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// The position.
        offset: i64,
        /// The first offset whose record may be another one than was read.
        end_offset: i64,
    },

    /// The topic was deleted and created again. Its partitions go on at their first record, or at none before a seek if
    /// `auto_offset_reset` is `None`. Told once for each time it happens, not for each partition, unless they stand still.
    #[error("the topic {topic} was deleted and created again")]
    TopicRecreated {
        /// The topic.
        topic: Arc<str>,
    },

    /// The consumer has no such partition.
    #[error("{topic}-{partition} is not assigned to this consumer")]
    NotAssigned {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
    },

    /// The partition belongs to another member of the group now, so this one cannot commit for it any more. Whoever has it
    /// starts at the offset that was committed last.
    #[error("{topic}-{partition} was given to another member of the group")]
    PartitionLost {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
    },

    /// The group has no committed offset for the partition and the consumer was told not to choose another one.
    #[error("the group has no offset for {topic}-{partition}, and auto_offset_reset is None")]
    NoCommittedOffset {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
    },

    /// The program's store of offsets refused the partition: another member claimed it for a later generation of the group.
    #[error("the store of offsets refused a partition: {reason}")]
    OffsetStore {
        /// What the store said.
        reason: Arc<str>,
    },

    /// The open transaction can only be aborted. The producer can begin another one after that.
    #[error("the transaction can only be aborted: {cause}")]
    TransactionFailed {
        /// What went wrong first.
        cause: Arc<Self>,
    },

    /// Whether the transaction was committed is not known: the request may have arrived, and its answer did not. The producer
    /// keeps to the decision; [`TransactionalProducer::resolve`](crate::TransactionalProducer::resolve) asks again, for as long as
    /// [`Error::is_retriable`].
    #[error("whether the transaction was committed is not known: {cause}")]
    TransactionOutcomeUnknown {
        /// Why the answer did not come.
        cause: Arc<Self>,
    },

    /// The transaction was open for longer than `transaction.timeout.ms`, so the coordinator aborted it.
    #[error("the transaction took longer than its timeout of {limit:?} and was aborted")]
    TransactionTimedOut {
        /// The timeout.
        limit: Duration,
    },

    /// The transaction was aborted before the record was sent.
    #[error("the transaction was aborted")]
    TransactionAborted,

    /// The transaction was committed, aborted or dropped before this call.
    #[error("the transaction has ended")]
    TransactionEnded,

    /// The producer or consumer was closed.
    #[error("the {what} is closed")]
    Closed {
        /// `producer`, `consumer` or `client`.
        what: &'static str,
    },
}

impl Error {
    /// Whether the same call may succeed later without any change by the program. Where the outcome of a transaction is
    /// unknown, the call is [`TransactionalProducer::resolve`](crate::TransactionalProducer::resolve), and `false` says that it
    /// will never tell.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Server { code, .. } => code.is_retriable(),
            Self::Connect { .. } | Self::Timeout { .. } => true,
            Self::Disconnected { reason, .. } => reason.is_retriable(),
            Self::Delivery { cause, .. } | Self::TransactionOutcomeUnknown { cause } => cause.is_retriable(),
            _ => false,
        }
    }

    /// Whether the open transaction can only be aborted. The producer can begin another one after that.
    #[must_use]
    pub fn requires_abort(&self) -> bool {
        match self {
            Self::Server { code, .. } => code.requires_abort(),
            // A record that may or may not be in the log leaves a hole that only an abort closes.
            Self::Delivery { cause, .. } => !cause.is_fatal(),
            Self::TransactionFailed { .. } | Self::TransactionTimedOut { .. } | Self::PartitionLost { .. } => true,
            _ => false,
        }
    }

    /// Whether it is open what became of the transaction: committed or not.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::TransactionOutcomeUnknown { .. })
    }

    /// Whether the producer or consumer that met the error is of no further use.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Server { code, .. } => code.is_fatal(),
            Self::Delivery { cause, .. } | Self::TransactionOutcomeUnknown { cause } => cause.is_fatal(),
            Self::UnsupportedVersion { .. } | Self::Closed { .. } => true,
            _ => false,
        }
    }

    /// For a record that was sent: whether it may be in the log. `None` for errors that are not about a sent record.
    #[must_use]
    pub fn written(&self) -> Option<Written> {
        match self {
            Self::Delivery { written, .. } => Some(*written),
            _ => None,
        }
    }

    /// The broker's error code, where a broker answered with one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Server { code, .. } => Some(*code),
            Self::Delivery { cause, .. }
            | Self::TransactionFailed { cause }
            | Self::TransactionOutcomeUnknown { cause } => cause.code(),
            _ => None,
        }
    }

    /// Whether the leader that was asked may no longer be the leader.
    pub(crate) fn refreshes_metadata(&self) -> bool {
        match self {
            Self::Server { code, .. } => code.refreshes_metadata(),
            Self::Connect { .. } | Self::Disconnected { .. } => true,
            _ => false,
        }
    }

    pub(crate) fn server(api: &'static str, code: i16) -> Self {
        let code = ErrorCode::from_number(code);
        Self::Server { api, topic: None, partition: None, code, message: None }
    }

    /// The same with what the broker said besides.
    pub(crate) fn with_message(mut self, words: Option<&str>) -> Self {
        if let Self::Server { message, .. } = &mut self {
            *message = words.map(Into::into);
        }
        self
    }

    pub(crate) fn of_partition(api: &'static str, topic: &Arc<str>, partition: i32, code: ErrorCode) -> Self {
        Self::Server { api, topic: Some(Arc::clone(topic)), partition: Some(partition), code, message: None }
    }

    pub(crate) fn config(setting: &'static str, reason: impl Into<String>) -> Self {
        Self::Config { setting, reason: reason.into() }
    }
}

/// Whether a record that was not acknowledged may be in the log all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The record is not in the log. Sending it again makes no duplicate.
    NotWritten,
    /// The answer was lost or proves nothing. Sending the record again may make a duplicate.
    MaybeWritten,
}

impl fmt::Display for Written {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotWritten => "not written",
            Self::MaybeWritten => "maybe written",
        })
    }
}

/// Prints what a broker has of an API.
struct Offer {
    api: &'static str,
    min: i16,
    max: i16,
}

impl fmt::Display for Offer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { api, min, max } = self;
        match max {
            ..0 => {
                write!(formatter, "does not offer {api}: it needs a newer broker, or one on which it is switched on")
            }
            _ => write!(formatter, "offers {api} v{min}-v{max}"),
        }
    }
}

/// Prints the part of a server error after its code.
struct Place<'a> {
    topic: Option<&'a str>,
    partition: Option<i32>,
    message: Option<&'a str>,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.topic, self.partition) {
            (Some(topic), Some(partition)) => write!(formatter, " for {topic}-{partition}")?,
            (Some(topic), None) => write!(formatter, " for {topic}")?,
            _ => {}
        }
        match self.message {
            Some(message) => write!(formatter, ": {message}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_small_and_clonable() {
        fn claims<T: Clone + Send + Sync + 'static>() {}
        claims::<Error>();
        assert!(size_of::<Error>() <= 96, "{}", size_of::<Error>());
    }

    #[test]
    fn a_server_error_names_the_partition_and_the_code() {
        let error = Error::of_partition("Produce", &"orders".into(), 3, ErrorCode::NotLeaderOrFollower);
        assert_eq!(error.to_string(), "Produce was answered with NOT_LEADER_OR_FOLLOWER(6) for orders-3");
        assert!(error.is_retriable() && error.refreshes_metadata() && !error.is_fatal());
    }

    #[test]
    fn a_delivery_error_says_what_a_second_attempt_would_do() {
        let cause = Arc::new(Error::Timeout { what: "delivery", limit: Duration::from_secs(120) });
        let error = Error::Delivery { topic: "a".into(), partition: 0, written: Written::MaybeWritten, cause };
        assert_eq!(error.written(), Some(Written::MaybeWritten));
        assert!(error.is_retriable() && error.requires_abort());
    }
}
