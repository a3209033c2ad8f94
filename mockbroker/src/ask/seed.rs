//! Records that a test puts into a log itself, without a client: also such that no client could write.

use bytes::Bytes;

use super::Partition;
use crate::cluster::CompressionType;
use crate::log::{Batch, BatchBuilder, NewRecord};
use crate::state::Seed;
use crate::time::Timestamp;
use crate::types::PartitionId;

/// One batch to be written by [`Partition::write`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use mockbroker::{Codec, MockBroker, SeedBatch, SeedRecord, Timestamp};
///
/// let broker = MockBroker::builder().topic("orders", 1).start().await;
/// let orders = broker.topic("orders").partition(0);
/// orders.write(SeedBatch::of(["first", "second"]));
/// orders.write(SeedBatch::of([SeedRecord::value("old").key("k").at(Timestamp::from_millis(1000))]).codec(Codec::Zstd));
/// orders.write(SeedBatch::of(["never was"]).aborted(7, 0)); // the transaction of producer 7, with its marker
/// orders.write(SeedBatch::of(["far away"]).at_offset(1000)); // a hole before it, as compaction leaves it
/// orders.write(SeedBatch::of(["broken"]).corrupt());
/// assert_eq!(orders.log_end_offset(), 1002);
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is written until it is given to `Partition::write`"]
pub struct SeedBatch {
    records: Vec<SeedRecord>,
    codec: Codec,
    producer: Option<(i64, i16, i32)>,
    transaction: Option<Ends>,
    base_offset: Option<i64>,
    is_corrupt: bool,
}

/// One record of a [`SeedBatch`].
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is written until it is given to `Partition::write`"]
pub struct SeedRecord {
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<(String, Option<Bytes>)>,
    timestamp: Option<Timestamp>,
}

/// How a batch is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// snappy, in the framing of Java.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// zstd.
    Zstd,
}

/// How the transaction of a batch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    NotYet,
    Commit,
    Abort,
}

impl SeedRecord {
    /// A record with this value.
    pub fn value(value: impl Into<Bytes>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    /// A record with this key and no value.
    pub fn tombstone(key: impl Into<Bytes>) -> Self {
        Self { key: Some(key.into()), ..Self::default() }
    }

    /// With this key.
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// With one more header.
    pub fn header(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push((key.into(), Some(value.into())));
        self
    }

    /// With one more header, which may have no value.
    #[cfg(feature = "control")]
    pub(crate) fn maybe_header(mut self, key: String, value: Option<Bytes>) -> Self {
        self.headers.push((key, value));
        self
    }

    /// With this value.
    #[cfg(feature = "control")]
    pub(crate) fn with_value(mut self, value: Bytes) -> Self {
        self.value = Some(value);
        self
    }

    /// With this timestamp. Default: the broker's present.
    pub fn at(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }
}

impl From<&'static str> for SeedRecord {
    fn from(value: &'static str) -> Self {
        Self::value(value)
    }
}

impl From<String> for SeedRecord {
    fn from(value: String) -> Self {
        Self::value(value)
    }
}

impl SeedBatch {
    /// A batch of these records, of no producer, not compressed, at the end of the log.
    pub fn of<R: Into<SeedRecord>>(records: impl IntoIterator<Item = R>) -> Self {
        let records = records.into_iter().map(Into::into).collect();
        Self { records, codec: Codec::None, producer: None, transaction: None, base_offset: None, is_corrupt: false }
    }

    /// Compressed like this, whatever the topic says.
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// Of an idempotent producer. Nobody checks that the sequence follows on the last one.
    pub fn from_producer(mut self, producer_id: i64, producer_epoch: i16, base_sequence: i32) -> Self {
        self.producer = Some((producer_id, producer_epoch, base_sequence));
        self
    }

    /// Part of a transaction of this producer that stays open: consumers with `read_committed` stop before it.
    pub fn open(self, producer_id: i64, producer_epoch: i16) -> Self {
        self.within(producer_id, producer_epoch, Ends::NotYet)
    }

    /// The end of a transaction of this producer, with the marker that commits it.
    pub fn committed(self, producer_id: i64, producer_epoch: i16) -> Self {
        self.within(producer_id, producer_epoch, Ends::Commit)
    }

    /// The end of a transaction of this producer, with the marker that aborts it.
    pub fn aborted(self, producer_id: i64, producer_epoch: i16) -> Self {
        self.within(producer_id, producer_epoch, Ends::Abort)
    }

    fn within(mut self, producer_id: i64, producer_epoch: i16, ends: Ends) -> Self {
        let sequence = self.producer.map_or(0, |(.., sequence)| sequence);
        self.producer = Some((producer_id, producer_epoch, sequence));
        self.transaction = Some(ends);
        self
    }

    /// At this offset instead of the end of the log; what lies between is a hole.
    pub fn at_offset(mut self, base_offset: i64) -> Self {
        self.base_offset = Some(base_offset);
        self
    }

    /// With a CRC that does not fit: what a broken disk serves.
    pub fn corrupt(mut self) -> Self {
        self.is_corrupt = true;
        self
    }

    fn build(&self, now: Timestamp) -> Result<Batch, String> {
        if self.records.is_empty() {
            return Err("a batch has at least one record".into());
        }
        let mut builder = BatchBuilder::new();
        if let Some((producer_id, producer_epoch, base_sequence)) = self.producer {
            (builder.producer_id, builder.producer_epoch) = (producer_id, producer_epoch);
            builder.base_sequence = base_sequence;
        }
        builder.is_transactional = self.transaction.is_some();
        for record in &self.records {
            let headers: Vec<_> =
                record.headers.iter().map(|(key, value)| (key.as_bytes(), value.as_deref())).collect();
            builder.push(NewRecord {
                timestamp: record.timestamp.unwrap_or(now).as_millis(),
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &headers,
            });
        }
        let codec = match self.codec {
            Codec::None => CompressionType::Uncompressed,
            // Kafka's default levels (CompressionType.java).
            Codec::Gzip => CompressionType::Gzip { level: -1 },
            Codec::Snappy => CompressionType::Snappy,
            Codec::Lz4 => CompressionType::Lz4 { level: 9 },
            Codec::Zstd => CompressionType::Zstd { level: 3 },
        };
        let batch = builder.build(codec).map_err(|why| format!("the batch cannot be built: {why:?}"))?;
        Ok(if self.is_corrupt { batch.corrupted() } else { batch })
    }
}

impl Partition {
    /// Writes a batch into the log without a client, whoever leads the partition. Returns the offset of its first record;
    /// consumers that wait get it at once. See [`SeedBatch`].
    ///
    /// # Panics
    ///
    /// If there is no such partition, the batch is empty, its offset is taken, or its producer was fenced.
    pub fn write(&self, batch: SeedBatch) -> i64 {
        self.try_write(&batch).unwrap_or_else(|why| panic!("{}-{}: {why}", self.topic, self.number))
    }

    /// As [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// In a sentence, what would be a panic there.
    pub(crate) fn try_write(&self, batch: &SeedBatch) -> Result<i64, String> {
        let ends = match batch.transaction {
            None | Some(Ends::NotYet) => None,
            Some(Ends::Commit) => Some(true),
            Some(Ends::Abort) => Some(false),
        };
        let engine = &self.asker.engine;
        let seed = Seed { batch: batch.build(engine.now())?, base_offset: batch.base_offset, ends };
        engine.seed(&self.topic, PartitionId(self.number), seed)
    }
}
