//! A coordinator on its own, with everything written down that it asks for. After every step it is what its records say.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::protocol::StrBytes;

use crate::cluster::BrokerConfig;
use crate::time::Timestamp;
use crate::txn::*;

pub(super) const ID: &str = "t";
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_795_391_000_000);
pub(super) const V0: ClientVersion = ClientVersion::V0;
pub(super) const V2: ClientVersion = ClientVersion::V2;

#[derive(Debug)]
pub(super) struct Kit {
    pub(super) machine: TransactionCoordinator,
    pub(super) now: Timestamp,
    pub(super) config: BrokerConfig,
    pub(super) transaction_version: i16,
    pub(super) records: Vec<Record>,
    /// Markers that were asked for and not yet told of.
    pub(super) markers: Vec<Markers>,
    pub(super) host: OneNode,
}

/// A node that gives out every id from 0 on, and whose log takes what it is told to take.
#[derive(Debug, Default)]
pub(super) struct OneNode {
    next_producer_id: i64,
    pub(super) refusal: Option<ResponseError>,
}

impl Host for OneNode {
    fn producer_id(&mut self, _: &str) -> Result<i64, ResponseError> {
        self.next_producer_id += 1;
        Ok(self.next_producer_id - 1)
    }

    fn admit(&self, _: &Record) -> Result<(), ResponseError> {
        self.refusal.map_or(Ok(()), Err)
    }
}

impl Kit {
    pub(super) fn new(transaction_version: i16) -> Self {
        let mut machine = TransactionCoordinator::default();
        let config = BrokerConfig::default();
        machine.begin(NOW, &config);
        let (records, markers) = (Vec::new(), Vec::new());
        Self { machine, now: NOW, config, transaction_version, records, markers, host: OneNode::default() }
    }

    pub(super) fn step(&mut self, id: &str, event: Event) -> Answer {
        let mut out = Vec::new();
        let mut ctx = Ctx {
            now: self.now,
            config: &self.config,
            transaction_version: self.transaction_version,
            host: &mut self.host,
        };
        let answer = self.machine.step(&mut ctx, &text(id), event, &mut out);
        self.carry_out(out);
        answer
    }

    pub(super) fn init(&mut self, expected: Option<(i64, i16)>) -> Answer {
        self.step(ID, Event::InitProducerId { timeout_ms: 60_000, expected })
    }

    pub(super) fn add(&mut self, producer: (i64, i16), client_version: ClientVersion) -> Answer {
        let partitions = BTreeSet::from([partition("p", 0)]);
        self.step(ID, Event::AddPartitions { producer, partitions, client_version })
    }

    pub(super) fn end(&mut self, producer: (i64, i16), is_commit: bool, client_version: ClientVersion) -> Answer {
        self.step(ID, Event::EndTransaction { producer, is_commit, client_version })
    }

    /// As if the producer had been given every epoch up to `epoch`.
    pub(super) fn skip_to_epoch(&mut self, epoch: i16) -> (i64, i16) {
        let mut record = self.records.pop().unwrap();
        let metadata = record.metadata.as_mut().unwrap();
        metadata.producer_epoch = epoch;
        let producer = (metadata.producer_id, epoch);
        self.machine.apply(&record);
        self.records.push(record);
        producer
    }

    /// Writes all markers that were asked for.
    pub(super) fn write_markers(&mut self) {
        for markers in std::mem::take(&mut self.markers) {
            let partitions = markers.partitions;
            self.step(&markers.transactional_id, Event::MarkersWritten { partitions }).unwrap();
            self.step(&markers.transactional_id, Event::Complete).unwrap();
        }
    }

    /// Moves the time, and does what is due on the way.
    pub(super) fn advance(&mut self, millis: i64) {
        let target = self.now.plus_millis(millis);
        while let Some(next) = self.machine.next_deadline().filter(|next| *next <= target) {
            assert!(next >= self.now, "a deadline in the past: {next:?}");
            self.now = next;
            let mut out = Vec::new();
            let mut ctx = Ctx {
                now: self.now,
                config: &self.config,
                transaction_version: self.transaction_version,
                host: &mut self.host,
            };
            self.machine.expire(&mut ctx, &mut out);
            self.carry_out(out);
            assert!(self.machine.next_deadline().is_none_or(|left| left > next), "a deadline is left");
        }
        self.now = target;
    }

    /// A new coordinator that knows only what is written.
    pub(super) fn restart(&mut self) {
        self.machine = TransactionCoordinator::default();
        self.machine.begin(self.now, &self.config);
        let records: Vec<Record> = self.records.iter().map(|record| reread(record, self.transaction_version)).collect();
        records.iter().for_each(|record| self.machine.apply(record));
        self.markers.clear();
        let mut out = Vec::new();
        self.machine.load(self.now, |_| true, &mut out);
        self.carry_out(out);
    }

    pub(super) fn state(&self) -> Option<TransactionState> {
        self.machine.describe(&text(ID)).map(|described| described.state)
    }

    pub(super) fn producer(&self) -> (i64, i16) {
        let described = self.machine.describe(&text(ID)).unwrap();
        (described.producer_id, described.producer_epoch)
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Persist(record) => self.records.push(record),
                Effect::WriteMarkers(markers) => self.markers.push(markers),
            }
        }
        let mut folded = BTreeMap::new();
        for record in &self.records {
            match reread(record, self.transaction_version).metadata {
                Some(metadata) => folded.insert(record.transactional_id.clone(), metadata),
                None => folded.remove(&record.transactional_id),
            };
        }
        // At level 0 there are things that a record does not say.
        let said = |(id, metadata): (&StrBytes, &Metadata)| {
            let record = Record { transactional_id: id.clone(), metadata: Some(metadata.clone()) };
            Some((id.clone(), reread(&record, self.transaction_version).metadata?))
        };
        let hard: BTreeMap<_, _> = self.machine.hard.iter().filter_map(said).collect();
        assert_eq!(hard, folded, "the coordinator is what its records say");
    }
}

/// The record as it comes back from its bytes.
fn reread(record: &Record, transaction_version: i16) -> Record {
    Record::read(&record.key(), record.value(transaction_version).as_deref()).unwrap()
}

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(super) fn partition(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: text(topic), partition }
}
