//! Why a connection ended, and what is wrong with a batch: the causes that errors carry.

use std::{fmt, io, sync::Arc, time::Duration};

use super::Error;

/// Why a connection ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// The broker closed it. Kafka's only answer to a request that it cannot read.
    ByBroker,
    /// Reading or writing failed.
    Io(Arc<io::Error>),
    /// An answer did not come in time. Everything behind it on the connection would have come later still.
    RequestTimedOut(Duration),
    /// The broker announced a frame that is longer than the client takes.
    FrameTooLarge {
        /// The length that the frame announced, which may be negative.
        announced_bytes: i64,
        /// The limit.
        limit_bytes: usize,
    },
    /// The broker answered out of order, or answered what was never asked.
    UnexpectedCorrelationId {
        /// The id of the oldest open request, if there was one.
        expected: Option<i32>,
        /// The id in the answer.
        received: i32,
    },
    /// The broker closed it although nothing but its versions was asked before. A listener that wants a login does so with
    /// a client that makes none, and has no other way to say it; so does a broker that stops.
    Unanswered,
    /// The session was over and the login could not be made again (KIP-368).
    NotAuthenticated(Arc<Error>),
    /// Nothing was sent or received for `connections.max.idle.ms`.
    Idle,
    /// The client no longer needs it.
    ByClient,
}

impl CloseReason {
    pub(super) fn is_retriable(&self) -> bool {
        // A frame over the limit is over the limit the next time as well.
        !matches!(self, Self::FrameTooLarge { .. })
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByBroker => formatter.write_str("the broker closed it"),
            Self::Io(error) => error.fmt(formatter),
            Self::RequestTimedOut(limit) => write!(formatter, "no answer within {limit:?}"),
            Self::FrameTooLarge { announced_bytes, limit_bytes } => {
                write!(formatter, "a frame of {announced_bytes} bytes was announced, the limit is {limit_bytes}")
            }
            Self::UnexpectedCorrelationId { expected: Some(expected), received } => {
                write!(formatter, "the answer with correlation id {received} came where {expected} was due")
            }
            Self::UnexpectedCorrelationId { expected: None, received } => {
                write!(formatter, "the answer with correlation id {received} belongs to no request")
            }
            Self::Unanswered => formatter.write_str(
                "the broker closed it at the first request; does this listener want a login (KafkaBuilder::sasl)?",
            ),
            Self::NotAuthenticated(error) => write!(formatter, "the session is over: {error}"),
            Self::Idle => formatter.write_str("it was idle"),
            Self::ByClient => formatter.write_str("the client closed it"),
        }
    }
}

/// What is wrong with a record batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The checksum is not that of the bytes.
    #[error("the batch says CRC-32C {stored:08x}, its bytes have {computed:08x}")]
    Crc {
        /// The checksum in the header.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// A batch in a format from before Kafka 0.11.
    #[error("magic {0} is not supported, only 2")]
    Magic(i8),
    /// A codec that Kafka does not have.
    #[error("compression codec {0} does not exist")]
    Codec(u8),
    /// The codec is a feature of this crate that is not compiled in.
    #[error("{0} is not compiled in: enable the feature `{0}` of async-kafka")]
    NotBuilt(&'static str),
    /// A length or count that cannot be true.
    #[error("{0}")]
    Malformed(&'static str),
    /// The compressed records cannot be decompressed.
    #[error("decompression failed: {0}")]
    Decompression(Arc<str>),
    /// The records would decompress to more than the client allows.
    #[error("the batch decompresses to more than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
}
