//! What a program is given: batches as they were written, and records in them.
//!
//! Records are read where they were fetched. A [`RecordView`] borrows its batch; a [`ConsumerRecord`] keeps the fetched
//! bytes of the whole answer alive until it is dropped or detached.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use crate::{
    batch::cursor::{self, OpenBatch, RecordSpan, Walk},
    record::Timestamp,
};

/// Where a batch came from.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    /// Nil where the broker does not say.
    pub(crate) topic_id: Uuid,
    /// The number of the assignment under which it was fetched, in a group.
    pub(crate) assignment: Option<u64>,
}

/// Records of one partition that were written together.
#[derive(Clone, Debug)]
pub struct ConsumerBatch {
    source: Arc<Source>,
    leader_epoch: i32,
    next_offset: i64,
    batch: OpenBatch,
    /// The first record that was not given out yet.
    walk: Walk,
}

impl ConsumerBatch {
    /// A batch that was verified, from the first record at or after `position` on.
    pub(crate) fn new(source: Arc<Source>, leader_epoch: i32, next_offset: i64, batch: OpenBatch, walk: Walk) -> Self {
        Self { source, leader_epoch, next_offset, batch, walk }
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.source.topic
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.source.partition
    }

    /// The id of the topic. A topic that was deleted and created anew has another one. Nil if the broker does not say.
    #[must_use]
    pub fn topic_id(&self) -> Uuid {
        self.source.topic_id
    }

    /// The offset after the batch: what a commit of it would commit.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// The epoch of the leader that wrote the batch.
    #[must_use]
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    /// The records, in order. Nothing is allocated for them.
    #[inline]
    pub fn records(&self) -> impl Iterator<Item = RecordView<'_>> {
        let mut walk = self.walk;
        std::iter::from_fn(move || {
            let span = next(&mut walk, &self.batch)?;
            Some(RecordView { source: &self.source, records: &self.batch.records, span })
        })
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// Each record as a batch of its own, with its offset.
    pub(crate) fn single_records(&self) -> impl Iterator<Item = (i64, Self)> {
        let mut walk = self.walk;
        std::iter::from_fn(move || {
            let one = walk.only_one();
            let offset = next(&mut walk, &self.batch)?.offset;
            Some((offset, Self { walk: one, next_offset: offset + 1, ..self.clone() }))
        })
    }

    /// How many records were not taken out.
    pub(crate) fn records_left(&self) -> u64 {
        self.walk.left()
    }

    /// Takes the next record out.
    pub(crate) fn take_record(&mut self) -> Option<ConsumerRecord> {
        let span = next(&mut self.walk, &self.batch)?;
        Some(ConsumerRecord { source: Arc::clone(&self.source), records: self.batch.records.clone(), span })
    }
}

/// The batch was walked once when it was opened, so there is nothing left to fail.
#[inline]
fn next(walk: &mut Walk, batch: &OpenBatch) -> Option<RecordSpan> {
    walk.next_checked(batch)
}

/// A part of what was fetched that keeps all of it in memory.
fn shared(records: &Bytes, (at, length): (u32, u32)) -> Bytes {
    records.slice(at as usize..(at + length) as usize)
}

macro_rules! accessors {
    () => {
        /// The topic.
        #[must_use]
        pub fn topic(&self) -> &str {
            &self.source.topic
        }

        /// The partition.
        #[must_use]
        pub fn partition(&self) -> i32 {
            self.source.partition
        }

        /// The id of the topic. A topic that was deleted and created anew has another one. Nil if the broker does not say.
        #[must_use]
        pub fn topic_id(&self) -> Uuid {
            self.source.topic_id
        }

        /// The offset.
        #[must_use]
        pub fn offset(&self) -> i64 {
            self.span.offset
        }

        /// The producer's time, or the broker's for a topic with `LogAppendTime`.
        #[must_use]
        pub fn timestamp(&self) -> Timestamp {
            self.span.timestamp
        }

        /// The headers, in order; a key may occur more than once.
        pub fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
            cursor::headers(&self.records, &self.span)
        }
    };
}

/// A record that borrows its batch.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    source: &'a Arc<Source>,
    records: &'a Bytes,
    span: RecordSpan,
}

impl<'a> RecordView<'a> {
    accessors!();

    /// The key, which may be null.
    #[must_use]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.span.key.map(|key| cursor::part(self.records, key))
    }

    /// The value, which may be null.
    #[must_use]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.span.value.map(|value| cursor::part(self.records, value))
    }

    /// The key as bytes of its own lifetime, to be sent on without a copy. They share the memory of everything that was fetched
    /// with them.
    #[must_use]
    pub fn key_bytes(&self) -> Option<Bytes> {
        self.span.key.map(|key| shared(self.records, key))
    }

    /// The value, as [`RecordView::key_bytes`].
    #[must_use]
    pub fn value_bytes(&self) -> Option<Bytes> {
        self.span.value.map(|value| shared(self.records, value))
    }

    /// The record by itself. It shares the fetched bytes.
    #[must_use]
    pub fn to_record(&self) -> ConsumerRecord {
        ConsumerRecord { source: Arc::clone(self.source), records: self.records.clone(), span: self.span }
    }
}

/// A record that was received.
#[derive(Clone, Debug)]
pub struct ConsumerRecord {
    source: Arc<Source>,
    records: Bytes,
    span: RecordSpan,
}

impl ConsumerRecord {
    accessors!();

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// The key, which may be null.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.span.key.map(|key| cursor::part(&self.records, key))
    }

    /// The value, which may be null.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.span.value.map(|value| cursor::part(&self.records, value))
    }

    /// The key as bytes of its own lifetime. They share the memory of everything that was fetched with them.
    #[must_use]
    pub fn key_bytes(&self) -> Option<Bytes> {
        self.span.key.map(|key| shared(&self.records, key))
    }

    /// The value, as [`ConsumerRecord::key_bytes`].
    #[must_use]
    pub fn value_bytes(&self) -> Option<Bytes> {
        self.span.value.map(|value| shared(&self.records, value))
    }

    /// A copy that no longer keeps the rest of what was fetched in memory. For records that are kept for long.
    #[must_use]
    pub fn detach(&self) -> Self {
        let start = self.span.start;
        let records = Bytes::copy_from_slice(&self.records[start as usize..self.span.end as usize]);
        let moved = |(at, length): (u32, u32)| (at - start, length);
        let span = RecordSpan {
            key: self.span.key.map(moved),
            value: self.span.value.map(moved),
            headers_at: self.span.headers_at - start,
            start: 0,
            end: self.span.end - start,
            ..self.span
        };
        Self { source: Arc::clone(&self.source), records, span }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        batch::{
            builder::{BatchBuilder, ProducerFields, RecordParts},
            cursor::Batches,
        },
        config::Compression,
        record::Header,
    };

    #[test]
    fn a_detached_record_is_the_same_and_small() {
        let mut builder = BatchBuilder::new(100);
        let headers = [Header { key: "h".to_owned(), value: Some(Bytes::from_static(b"1")) }];
        for value in [&[b'x'; 10_000][..], b"small"] {
            builder.append(RecordParts { timestamp: 7, key: Some(b"k"), value: Some(value), headers: &headers });
        }
        let bytes = builder.close(Compression::None).unwrap().finish(ProducerFields::NONE);
        let open = Batches::new(bytes).next_batch().unwrap().unwrap().open(true, usize::MAX).unwrap();
        let walk = open.walk();
        let source = Arc::new(Source { topic: "t".into(), partition: 1, topic_id: Uuid::nil(), assignment: None });
        let mut batch = ConsumerBatch::new(source, 0, 2, open, walk);
        let view = batch.records().nth(1).unwrap();
        assert_eq!((view.key_bytes().unwrap(), view.value_bytes().unwrap()), ("k".into(), "small".into()));
        assert_eq!(view.value_bytes().unwrap().as_ptr(), view.value().unwrap().as_ptr(), "it is no copy");
        batch.take_record().unwrap();
        let record = batch.take_record().unwrap();
        let detached = record.detach();
        assert!(detached.records.len() < 50);
        for record in [record, detached] {
            assert_eq!((record.key(), record.value(), record.offset()), (Some(&b"k"[..]), Some(&b"small"[..]), 1));
            assert_eq!((record.key_bytes().unwrap(), record.value_bytes().unwrap()), ("k".into(), "small".into()));
            assert_eq!(record.headers().collect::<Vec<_>>(), [("h", Some(&b"1"[..]))]);
        }
        assert!(batch.records().next().is_none());
    }
}
