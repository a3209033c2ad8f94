//! What a client has done, in numbers and as it happens.
//!
//! [`Recorder`] is written to by whoever does something: a few atomic additions for a request or a batch, none for a record.
//! [`Metrics`] is what it says at one moment, a plain value, so that any metrics library can be fed from it. [`Events`] is
//! the same as news, told only while somebody listens.

mod events;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Semaphore, broadcast};

pub use self::events::{Event, Events};
use crate::error::{CloseReason, Error};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How long things took: all together and the longest.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    total: AtomicU64,
    longest: AtomicU64,
}

impl Timer {
    pub(crate) fn add(&self, length: Duration) {
        let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        self.total.fetch_add(nanos, Ordering::Relaxed);
        self.longest.fetch_max(nanos, Ordering::Relaxed);
    }

    fn total(&self) -> Duration {
        Duration::from_nanos(self.total.load(Ordering::Relaxed))
    }

    fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest.load(Ordering::Relaxed))
    }
}

#[derive(Debug, Default)]
struct OfApi {
    name: Mutex<Option<&'static str>>,
    sent: Counter,
    answered: Counter,
    failed: Counter,
    sent_bytes: Counter,
    received_bytes: Counter,
    latency: Timer,
    throttled: Timer,
}

/// What producers count.
#[derive(Debug, Default)]
pub(crate) struct OfProducers {
    pub(crate) records: Counter,
    pub(crate) bytes: Counter,
    pub(crate) batches: Counter,
    pub(crate) errors: Counter,
    pub(crate) retries: Counter,
    pub(crate) splits: Counter,
    pub(crate) exhausted: Counter,
    pub(crate) queued: Timer,
}

/// Where one client counts and tells.
#[derive(Debug)]
pub(crate) struct Recorder {
    opened: Counter,
    closed: Counter,
    unreachable: Counter,
    /// By key: those of `wire::versions`.
    apis: Vec<OfApi>,
    pub(crate) producers: OfProducers,
    /// The memory of each producer that lives, and what it had at first.
    memories: Mutex<Vec<(usize, Weak<Semaphore>)>>,
    events: broadcast::Sender<Event>,
}

impl Recorder {
    /// Keys of Kafka's APIs are below this.
    const API_KEYS: usize = 128;
    /// Events that a listener may be behind.
    const BACKLOG: usize = 1024;

    pub(crate) fn connection_opened(&self, address: &Arc<str>) {
        self.opened.add(1);
        self.tell(|| Event::Connected { address: Arc::clone(address) });
    }

    pub(crate) fn connection_closed(&self, address: &Arc<str>, reason: CloseReason) {
        self.closed.add(1);
        self.tell(|| Event::Disconnected { address: Arc::clone(address), reason });
    }

    pub(crate) fn unreachable(&self, address: &str, error: &Error) {
        self.unreachable.add(1);
        self.tell(|| Event::ConnectFailed { address: address.into(), error: error.clone() });
    }

    fn api(&self, key: i16, name: &'static str) -> Option<&OfApi> {
        let api = self.apis.get(usize::try_from(key).ok()?)?;
        if api.sent.get() == 0 {
            *api.name.lock().unwrap_or_else(PoisonError::into_inner) = Some(name);
        }
        Some(api)
    }

    pub(crate) fn sent(&self, (key, name): (i16, &'static str), bytes: usize) {
        if let Some(api) = self.api(key, name) {
            api.sent.add(1);
            api.sent_bytes.add(bytes as u64);
        }
    }

    pub(crate) fn answered(&self, (key, name): (i16, &'static str), bytes: usize, latency: Duration) {
        if let Some(api) = self.api(key, name) {
            api.answered.add(1);
            api.received_bytes.add(bytes as u64);
            api.latency.add(latency);
        }
    }

    pub(crate) fn failed(&self, (key, name): (i16, &'static str), address: &Arc<str>, error: &Error) {
        if let Some(api) = self.api(key, name) {
            api.failed.add(1);
        }
        self.tell(|| Event::RequestFailed { api: name, address: Arc::clone(address), error: error.clone() });
    }

    pub(crate) fn throttled(&self, (key, name): (i16, &'static str), address: &Arc<str>, length: Duration) {
        if let Some(api) = self.api(key, name) {
            api.throttled.add(length);
        }
        self.tell(|| Event::Throttled { api: name, address: Arc::clone(address), length });
    }

    /// A producer with so much memory began.
    pub(crate) fn producer_began(&self, bytes: usize, memory: &Arc<Semaphore>) {
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        memories.retain(|(_, memory)| memory.strong_count() > 0);
        memories.push((bytes, Arc::downgrade(memory)));
    }

    /// Makes an event only if somebody listens.
    pub(crate) fn tell(&self, event: impl FnOnce() -> Event) {
        if self.events.receiver_count() > 0 {
            // Whoever listened may have gone meanwhile.
            let _ = self.events.send(event());
        }
    }

    pub(crate) fn listen(&self) -> Events {
        Events { receiver: self.events.subscribe() }
    }

    pub(crate) fn snapshot(&self) -> Metrics {
        let opened = self.opened.get();
        let requests = self.apis.iter().filter_map(|api| {
            let name = (*api.name.lock().unwrap_or_else(PoisonError::into_inner))?;
            let (answered, failed) = (api.answered.get(), api.failed.get());
            let requests = RequestMetrics {
                request_total: api.sent.get(),
                response_total: answered,
                failed_total: failed,
                outgoing_byte_total: api.sent_bytes.get(),
                incoming_byte_total: api.received_bytes.get(),
                latency_total: api.latency.total(),
                latency_max: api.latency.longest(),
                throttle_time_total: api.throttled.total(),
                throttle_time_max: api.throttled.longest(),
            };
            Some((name, requests))
        });
        let memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        let memories = memories.iter().filter_map(|(bytes, memory)| Some((*bytes, memory.upgrade()?)));
        let (total, available) = memories.fold((0, 0), |(total, available), (bytes, memory)| {
            (total + bytes as u64, available + memory.available_permits() as u64)
        });
        let of = &self.producers;
        Metrics {
            connection_creation_total: opened,
            connection_close_total: self.closed.get(),
            connection_count: opened.saturating_sub(self.closed.get()),
            connection_failed_total: self.unreachable.get(),
            requests: requests.collect(),
            producer: ProducerMetrics {
                record_send_total: of.records.get(),
                byte_total: of.bytes.get(),
                batch_total: of.batches.get(),
                record_error_total: of.errors.get(),
                record_retry_total: of.retries.get(),
                batch_split_total: of.splits.get(),
                buffer_exhausted_total: of.exhausted.get(),
                record_queue_time_total: of.queued.total(),
                record_queue_time_max: of.queued.longest(),
                buffer_total_bytes: total,
                buffer_available_bytes: available,
            },
        }
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            opened: Counter::default(),
            closed: Counter::default(),
            unreachable: Counter::default(),
            apis: (0..Self::API_KEYS).map(|_| OfApi::default()).collect(),
            producers: OfProducers::default(),
            memories: Mutex::default(),
            events: broadcast::Sender::new(Self::BACKLOG),
        }
    }
}

/// What a client and all that was opened from it has done since it was connected. Totals only grow: a rate is the
/// difference of two snapshots over the time between them. Names are those of Java's metrics where it has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Connections that were made (`connection-creation-total`).
    pub connection_creation_total: u64,
    /// Connections that ended (`connection-close-total`).
    pub connection_close_total: u64,
    /// Connections that are open (`connection-count`).
    pub connection_count: u64,
    /// Attempts to connect that failed, with their TLS and login.
    pub connection_failed_total: u64,
    /// By API, those that were called.
    pub requests: BTreeMap<&'static str, RequestMetrics>,
    /// What the producers did.
    pub producer: ProducerMetrics,
}

/// Requests of one API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestMetrics {
    /// Requests that were handed to a connection (`request-total`).
    pub request_total: u64,
    /// Answers that came and could be read (`response-total`).
    pub response_total: u64,
    /// Requests without such an answer: a lost connection, no answer in time, nonsense. What a broker refuses is answered.
    pub failed_total: u64,
    /// Bytes of the requests, as encoded (`outgoing-byte-total`).
    pub outgoing_byte_total: u64,
    /// Bytes of the answers (`incoming-byte-total`).
    pub incoming_byte_total: u64,
    /// From handing over to the answer, all together.
    pub latency_total: Duration,
    /// The longest (`request-latency-max`).
    pub latency_max: Duration,
    /// What brokers told to be quiet for, all together (KIP-219).
    pub throttle_time_total: Duration,
    /// The longest (`produce-throttle-time-max`, `fetch-throttle-time-max`).
    pub throttle_time_max: Duration,
}

impl RequestMetrics {
    /// From handing over to the answer, on average (`request-latency-avg`); zero without answers.
    #[must_use]
    pub fn latency_avg(&self) -> Duration {
        average(self.latency_total, self.response_total)
    }

    /// Requests on their way.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.request_total.saturating_sub(self.response_total + self.failed_total)
    }
}

/// What producers did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerMetrics {
    /// Records that were sent and acknowledged, or written with `Acks::None` (`record-send-total`).
    pub record_send_total: u64,
    /// Bytes of their batches, compressed (`byte-total`).
    pub byte_total: u64,
    /// Their batches.
    pub batch_total: u64,
    /// Records that were given up (`record-error-total`).
    pub record_error_total: u64,
    /// Records in batches that were sent again (`record-retry-total`).
    pub record_retry_total: u64,
    /// Batches that were too large and sent again as two (`batch-split-total`).
    pub batch_split_total: u64,
    /// Sends that found no room in `buffer_memory`: refused by `try_send`, or not in time (`buffer-exhausted-total`).
    pub buffer_exhausted_total: u64,
    /// From the first record of a batch to its request, all batches together.
    pub record_queue_time_total: Duration,
    /// The longest (`record-queue-time-max`).
    pub record_queue_time_max: Duration,
    /// `buffer_memory` of the producers that live (`buffer-total-bytes`).
    pub buffer_total_bytes: u64,
    /// What of it is free (`buffer-available-bytes`).
    pub buffer_available_bytes: u64,
}

impl ProducerMetrics {
    /// Bytes of a batch on average (`batch-size-avg`); 0 without any.
    #[must_use]
    pub fn batch_size_avg(&self) -> u64 {
        self.byte_total.checked_div(self.batch_total).unwrap_or(0)
    }

    /// Records of a batch on average; 0 without any.
    #[must_use]
    pub fn records_per_batch_avg(&self) -> u64 {
        self.record_send_total.checked_div(self.batch_total).unwrap_or(0)
    }
}

fn average(total: Duration, count: u64) -> Duration {
    u32::try_from(count).ok().and_then(|count| total.checked_div(count)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCE: (i16, &str) = (0, "Produce");

    #[test]
    fn a_snapshot_says_what_was_counted() {
        let recorder = Recorder::default();
        let address = "b:9092".into();
        recorder.connection_opened(&address);
        recorder.sent(PRODUCE, 100);
        recorder.sent(PRODUCE, 50);
        recorder.sent(PRODUCE, 50);
        recorder.answered(PRODUCE, 20, Duration::from_millis(4));
        recorder.answered(PRODUCE, 20, Duration::from_millis(2));
        let metrics = recorder.snapshot();
        let produce = &metrics.requests["Produce"];
        assert_eq!((produce.request_total, produce.response_total, produce.in_flight()), (3, 2, 1));
        assert_eq!((produce.outgoing_byte_total, produce.incoming_byte_total), (200, 40));
        assert_eq!((produce.latency_avg(), produce.latency_max), (Duration::from_millis(3), Duration::from_millis(4)));
        assert_eq!((metrics.connection_count, metrics.requests.len()), (1, 1));
        recorder.connection_closed(&address, CloseReason::ByBroker);
        let metrics = recorder.snapshot();
        assert_eq!((metrics.connection_creation_total, metrics.connection_count), (1, 0));
        assert_eq!(ProducerMetrics::default().batch_size_avg(), 0);
    }

    #[test]
    fn memory_is_that_of_producers_that_live() {
        let recorder = Recorder::default();
        let (one, other) = (Arc::new(Semaphore::new(100)), Arc::new(Semaphore::new(50)));
        recorder.producer_began(100, &one);
        recorder.producer_began(50, &other);
        one.try_acquire_many(30).expect("there is room").forget();
        let producer = recorder.snapshot().producer;
        assert_eq!((producer.buffer_total_bytes, producer.buffer_available_bytes), (150, 120));
        drop(one);
        assert_eq!(recorder.snapshot().producer.buffer_total_bytes, 50);
    }

    #[tokio::test]
    async fn a_listener_that_is_too_slow_is_told_what_it_missed() {
        let recorder = Recorder::default();
        recorder.tell(|| panic!("nobody listens"));
        let mut events = recorder.listen();
        for _ in 0..Recorder::BACKLOG + 3 {
            recorder.tell(|| Event::ProducerIdentified { producer_id: 7 });
        }
        assert!(matches!(events.next().await, Some(Event::Missed(3))));
        assert!(matches!(events.try_next(), Some(Event::ProducerIdentified { producer_id: 7 })));
        drop(recorder);
        let mut left = 0;
        while events.next().await.is_some() {
            left += 1;
        }
        assert_eq!(left, Recorder::BACKLOG - 1);
    }
}
