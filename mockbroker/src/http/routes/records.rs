//! Records of a partition: reading them decoded, and writing them without a client.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Arc, Hub, Knows};
use crate::ask::{Codec, SeedBatch, SeedRecord};
use crate::http::extract::{Asked, At, Body, OfPartition};
use crate::http::model::{base64, bytes, text};
use crate::http::problem::{Outcome, Problem, Refusals};
use crate::http::wait::apart;
use crate::inspect::{self, MarkerKind};
use crate::time::Timestamp;

/// How many records an answer has unless more are asked for.
const RECORDS: usize = 1000;
/// What an answer has at most.
const MOST_RECORDS: usize = 100_000;
/// Beyond this nobody can count on.
const MOST_OFFSET: i64 = i64::MAX / 2;

pub(super) fn router() -> OpenApiRouter<Arc<Hub>> {
    OpenApiRouter::new().routes(routes!(read, write))
}

/// Which records.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// From this offset on. Default: from the first.
    #[serde(default)]
    from_offset: i64,
    /// At most so many, up to 100000. Default: 1000.
    limit: Option<usize>,
}

/// A record in a log, or the marker that ended a transaction.
#[derive(Serialize, ToSchema)]
struct Record {
    /// Its offset.
    offset: i64,
    /// Its timestamp, in milliseconds since 1970.
    timestamp_ms: i64,
    /// Its key as text; null if it has none or it is not UTF-8.
    key: Option<String>,
    /// Its key in base64; null if it has none.
    key_base64: Option<String>,
    /// Its value as text; null if it has none or it is not UTF-8.
    value: Option<String>,
    /// Its value in base64; null if it has none.
    value_base64: Option<String>,
    /// Its headers in their order, with duplicates.
    headers: Vec<Header>,
    /// The sequence number; -1 of a producer that has no id.
    sequence: i32,
    /// What it is, if it is no record of a producer but a transaction's marker.
    marker: Option<Marker>,
    /// The batch that it is in.
    batch: BatchHeader,
}

/// A header of a record.
#[derive(Serialize, ToSchema)]
struct Header {
    /// Its name.
    key: String,
    /// Its value as text; null if it has none or it is not UTF-8.
    value: Option<String>,
    /// Its value in base64; null if it has none.
    value_base64: Option<String>,
}

/// How a transaction ended.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Marker {
    /// Its records count.
    Commit,
    /// They do not.
    Abort,
}

/// What the header of a batch says.
#[derive(Serialize, ToSchema)]
struct BatchHeader {
    /// The offset of its first record.
    base_offset: i64,
    /// The offset of its last record.
    last_offset: i64,
    /// The epoch of the leader that appended it.
    leader_epoch: i32,
    /// The producer id; -1 of a producer that has none.
    producer_id: i64,
    /// The producer epoch; -1 for none.
    producer_epoch: i16,
    /// The sequence number of its first record; -1 for none.
    base_sequence: i32,
    /// Whether it is part of a transaction.
    is_transactional: bool,
    /// Whether it is a control batch.
    is_control: bool,
    /// How it is compressed: `none`, `gzip`, `snappy`, `lz4`, `zstd`.
    compression: &'static str,
    /// What it weighs, compressed, with its header.
    size_bytes: usize,
    /// Whether its CRC is that of its bytes.
    crc_matches: bool,
}

/// A batch to be written.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewBatch {
    /// Its records, one at least.
    records: Vec<NewRecord>,
    /// How it is compressed, whatever the topic says. Default: not at all.
    #[serde(default)]
    codec: CodecName,
    /// The idempotent producer that it is of. Default: none.
    producer: Option<NewProducer>,
    /// Where its first record is; what lies between is a hole. Default: at the end of the log.
    #[schema(minimum = 0)]
    base_offset: Option<i64>,
    /// With a CRC that does not fit: what a broken disk serves. Default: false.
    #[serde(default)]
    corrupt: bool,
}

/// A record to be written.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRecord {
    /// Its key as text. Without this and `key_base64` it has none.
    key: Option<String>,
    /// Its key in base64.
    key_base64: Option<String>,
    /// Its value as text. Without this and `value_base64` it has none.
    value: Option<String>,
    /// Its value in base64.
    value_base64: Option<String>,
    /// Its headers.
    #[serde(default)]
    headers: Vec<NewHeader>,
    /// In milliseconds since 1970. Default: the broker's present.
    #[schema(minimum = 0)]
    timestamp_ms: Option<i64>,
}

/// A header to be written.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewHeader {
    /// Its name.
    key: String,
    /// Its value as text.
    value: Option<String>,
    /// Its value in base64.
    value_base64: Option<String>,
}

/// How a batch is compressed.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum CodecName {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// The producer of a batch. Nobody checks that the sequence follows on the last one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewProducer {
    /// Its id.
    #[schema(minimum = 0)]
    producer_id: i64,
    /// Its epoch.
    #[schema(minimum = 0)]
    producer_epoch: i16,
    /// The sequence of the first record. Default: 0.
    #[serde(default)]
    base_sequence: i32,
    /// What becomes of the transaction that the batch is part of. Default: it is part of none.
    transaction: Option<Ends>,
}

/// What becomes of a transaction.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Ends {
    /// It stays open: consumers of committed records stop before it.
    Open,
    /// It ends with the batch, with a marker that commits it.
    Committed,
    /// It ends with the batch, with a marker that aborts it.
    Aborted,
}

/// Where a batch was written.
#[derive(Serialize, ToSchema)]
struct Written {
    /// The offset of its first record.
    base_offset: i64,
    /// Where the log ends now.
    log_end_offset: i64,
}

impl Record {
    fn of(record: &inspect::LogRecord) -> Self {
        let batch = &record.batch;
        Self {
            offset: record.offset,
            timestamp_ms: record.timestamp.as_millis(),
            key: text(record.key.as_ref()),
            key_base64: base64(record.key.as_ref()),
            value: text(record.value.as_ref()),
            value_base64: base64(record.value.as_ref()),
            headers: record.headers.iter().map(Header::of).collect(),
            sequence: record.sequence(),
            marker: record.marker.map(|marker| match marker {
                MarkerKind::Commit => Marker::Commit,
                MarkerKind::Abort => Marker::Abort,
            }),
            batch: BatchHeader {
                base_offset: batch.base_offset,
                last_offset: batch.last_offset,
                leader_epoch: batch.leader_epoch,
                producer_id: batch.producer_id,
                producer_epoch: batch.producer_epoch,
                base_sequence: batch.base_sequence,
                is_transactional: batch.is_transactional,
                is_control: batch.is_control,
                compression: batch.compression,
                size_bytes: batch.size_bytes,
                crc_matches: batch.crc_matches,
            },
        }
    }
}

impl Header {
    fn of(header: &inspect::LogHeader) -> Self {
        let value = header.value.as_ref();
        Self { key: header.key.clone(), value: text(value), value_base64: base64(value) }
    }
}

impl NewRecord {
    fn record(self) -> Outcome<SeedRecord> {
        let mut record = SeedRecord::default();
        if let Some(key) = bytes("key", self.key, self.key_base64)? {
            record = record.key(key);
        }
        if let Some(value) = bytes("value", self.value, self.value_base64)? {
            record = record.with_value(value);
        }
        for header in self.headers {
            let value = bytes("headers.value", header.value, header.value_base64)?;
            record = record.maybe_header(header.key, value);
        }
        Ok(match self.timestamp_ms {
            Some(millis @ 0..=MOST_OFFSET) => record.at(Timestamp::from_millis(millis)),
            Some(millis) => return Err(Problem::bad(format!("timestamp_ms: {millis} is no time"))),
            None => record,
        })
    }
}

impl NewBatch {
    fn batch(self) -> Outcome<SeedBatch> {
        let records: Vec<_> = self.records.into_iter().map(NewRecord::record).collect::<Outcome<_>>()?;
        if records.is_empty() {
            return Err(Problem::bad("records: a batch has at least one"));
        }
        let mut batch = SeedBatch::of(records).codec(self.codec.codec());
        if let Some(producer) = self.producer {
            let NewProducer { producer_id, producer_epoch, base_sequence, transaction } = producer;
            if producer_id < 0 || producer_epoch < 0 || base_sequence < 0 {
                return Err(Problem::bad("producer: its id, epoch and sequence are 0 or more"));
            }
            batch = batch.from_producer(producer_id, producer_epoch, base_sequence);
            batch = match transaction {
                None => batch,
                Some(Ends::Open) => batch.open(producer_id, producer_epoch),
                Some(Ends::Committed) => batch.committed(producer_id, producer_epoch),
                Some(Ends::Aborted) => batch.aborted(producer_id, producer_epoch),
            };
        }
        batch = match self.base_offset {
            None => batch,
            Some(offset @ 0..=MOST_OFFSET) => batch.at_offset(offset),
            Some(offset) => return Err(Problem::bad(format!("base_offset: {offset} is no offset"))),
        };
        Ok(if self.corrupt { batch.corrupt() } else { batch })
    }
}

impl CodecName {
    fn codec(self) -> Codec {
        match self {
            Self::None => Codec::None,
            Self::Gzip => Codec::Gzip,
            Self::Snappy => Codec::Snappy,
            Self::Lz4 => Codec::Lz4,
            Self::Zstd => Codec::Zstd,
        }
    }
}

/// What the log of a partition holds, decoded: the records of every transaction, open, committed and aborted, and the markers that
/// ended them. Records of batches that do not decode are left out.
#[utoipa::path(get, path = "/clusters/{cluster}/topics/{topic}/partitions/{partition}/records", tag = "topics",
    operation_id = "read_records", params(OfPartition, Which), responses((status = 200, body = Vec<Record>), Refusals))]
async fn read(State(hub): Knows, At(at): At<OfPartition>, Asked(which): Asked<Which>) -> Outcome<Json<Vec<Record>>> {
    let partition = hub.cluster(&at.cluster)?.partition(&at.topic, at.partition)?;
    let limit = which.limit.unwrap_or(RECORDS);
    if limit > MOST_RECORDS {
        return Err(Problem::bad(format!("limit: {MOST_RECORDS} records are the most, ask again with from_offset")));
    }
    let records = apart(move || {
        let records = partition.records();
        let meant = records.iter().filter(|record| record.offset >= which.from_offset).take(limit);
        meant.map(Record::of).collect()
    });
    Ok(Json(records.await))
}

/// Writes a batch into the log without a client, whoever leads the partition. Consumers that wait get it at once.
#[utoipa::path(post, path = "/clusters/{cluster}/topics/{topic}/partitions/{partition}/records", tag = "topics",
    operation_id = "write_records", params(OfPartition), request_body = NewBatch,
    responses((status = 201, body = Written), Refusals))]
async fn write(
    State(hub): Knows,
    At(at): At<OfPartition>,
    Body(new): Body<NewBatch>,
) -> Outcome<(StatusCode, Json<Written>)> {
    let partition = hub.cluster(&at.cluster)?.partition(&at.topic, at.partition)?;
    let base_offset = partition.try_write(&new.batch()?).map_err(Problem::conflict)?;
    Ok((StatusCode::CREATED, Json(Written { base_offset, log_end_offset: partition.log_end_offset() })))
}
