//! What happens in a client, as news.

use std::{sync::Arc, time::Duration};

use tokio::sync::broadcast;

use crate::error::{CloseReason, Error, Written};

/// Something that happened in a client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A connection to a broker was made.
    #[non_exhaustive]
    Connected {
        /// Host and port.
        address: Arc<str>,
    },
    /// A connection could not be made.
    #[non_exhaustive]
    ConnectFailed {
        /// Host and port.
        address: Arc<str>,
        /// Why.
        error: Error,
    },
    /// A connection ended.
    #[non_exhaustive]
    Disconnected {
        /// Host and port.
        address: Arc<str>,
        /// Why.
        reason: CloseReason,
    },
    /// A request has no answer, or none that can be read. Whoever sent it may try again.
    #[non_exhaustive]
    RequestFailed {
        /// The API, by Kafka's name.
        api: &'static str,
        /// Host and port.
        address: Arc<str>,
        /// Why.
        error: Error,
    },
    /// A broker wants quiet: a quota is used up (KIP-219).
    #[non_exhaustive]
    Throttled {
        /// The API, by Kafka's name.
        api: &'static str,
        /// Host and port.
        address: Arc<str>,
        /// For how long.
        length: Duration,
    },
    /// A producer has a producer id.
    #[non_exhaustive]
    ProducerIdentified {
        /// The id.
        producer_id: i64,
    },
    /// A batch was acknowledged.
    #[non_exhaustive]
    BatchDelivered {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// How many records.
        record_count: u32,
        /// The offset of the first; `None` with `Acks::None`.
        base_offset: Option<i64>,
    },
    /// A batch failed and is sent again.
    #[non_exhaustive]
    BatchRetried {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// How many records.
        record_count: u32,
        /// How often it has failed now.
        failures: u32,
        /// Why.
        error: Error,
    },
    /// A batch was too large for the broker and is sent again as two.
    #[non_exhaustive]
    BatchSplit {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// How many records.
        record_count: u32,
    },
    /// A batch was given up: its deliveries fail.
    #[non_exhaustive]
    BatchFailed {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// How many records.
        record_count: u32,
        /// Whether they may be in the log.
        written: Written,
        /// Why.
        error: Error,
    },
    /// The listener was too slow: so many events are missing here.
    Missed(u64),
}

/// What happens in a client from now on. Nothing waits for a listener: one that is more than 1024 events behind gets
/// [`Event::Missed`] in place of the oldest.
#[derive(Debug)]
pub struct Events {
    pub(super) receiver: broadcast::Receiver<Event>,
}

impl Events {
    /// The next event; `None` when the client and all that was opened from it are gone.
    ///
    /// Dropping the future is safe: no event is lost.
    pub async fn next(&mut self) -> Option<Event> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Event::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        match self.receiver.try_recv() {
            Ok(event) => Some(event),
            Err(broadcast::error::TryRecvError::Lagged(missed)) => Some(Event::Missed(missed)),
            Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => None,
        }
    }

    /// The events as a stream.
    pub fn into_stream(self) -> impl futures::Stream<Item = Event> + Send + 'static {
        futures::stream::unfold(self, |mut events| async move { Some((events.next().await?, events)) })
    }
}
