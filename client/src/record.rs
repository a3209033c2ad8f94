//! What is sent, and what is known about it afterwards.
//!
//! A [`Record`] is plain data: keys and values are bytes, and the crate does not serialise anything.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

/// A record to be sent.
///
/// ```
/// use async_kafka::Record;
///
/// let record = Record::to("orders").key("customer-7").value(r#"{"total": 12}"#).header("trace", "4bf9");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition. `None` lets the partitioner choose.
    pub partition: Option<i32>,
    /// The key. A null key and an empty key are different things in Kafka.
    pub key: Option<Bytes>,
    /// The value. A null value deletes the key in a compacted topic.
    pub value: Option<Bytes>,
    /// The headers, in order. A key may occur more than once.
    pub headers: Vec<Header>,
    /// The record's own time. `None` takes the client's clock at the call of `send`. A topic with
    /// `message.timestamp.type=LogAppendTime` replaces it.
    pub timestamp: Option<Timestamp>,
}

impl Record {
    /// A record for a topic, with null key and null value. The name is shared when it is an `Arc<str>`.
    #[must_use]
    pub fn to(topic: impl Into<Arc<str>>) -> Self {
        Self { topic: topic.into(), partition: None, key: None, value: None, headers: Vec::new(), timestamp: None }
    }

    /// Fixes the partition.
    #[must_use]
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Gives the record a key. Records with equal keys go to one partition, in order.
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Gives the record a value.
    #[must_use]
    pub fn value(mut self, value: impl Into<Bytes>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header { key: key.into(), value: Some(value.into()) });
        self
    }

    /// Sets the record's own time.
    #[must_use]
    pub fn timestamp(mut self, timestamp: impl Into<Timestamp>) -> Self {
        self.timestamp = Some(timestamp.into());
        self
    }
}

/// A header of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The key, which need not be unique.
    pub key: String,
    /// The value, which may be null.
    pub value: Option<Bytes>,
}

/// Milliseconds since 1970, as Kafka counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The time of the system's clock.
    #[must_use]
    pub fn now() -> Self {
        #[expect(clippy::disallowed_methods, reason = "record timestamps are wall-clock time; timeouts never are")]
        let now = SystemTime::now();
        Self::from(now)
    }

    /// Milliseconds since 1970; negative before it.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }
}

impl From<i64> for Timestamp {
    fn from(millis: i64) -> Self {
        Self(millis)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(millis(after)),
            Err(before) => Self(-millis(before.duration())),
        }
    }
}

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
}

impl TopicPartition {
    /// A partition by name and number.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}-{}", self.topic, self.partition)
    }
}

/// What the broker said about a record that it acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordMetadata {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The record's offset. `None` with [`Acks::None`](crate::Acks::None), where brokers answer nothing.
    pub offset: Option<i64>,
    /// The record's time in the log: the broker's for a topic with `LogAppendTime`, otherwise the record's own.
    pub timestamp: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_before_1970_is_negative() {
        assert_eq!(Timestamp::from(UNIX_EPOCH - Duration::from_millis(5)), Timestamp(-5));
        assert_eq!(Timestamp::from(UNIX_EPOCH + Duration::from_millis(5)), Timestamp(5));
    }
}
