//! Records of `__consumer_offsets` as values, by tables that are Kafka's `coordinator-common` and `group-coordinator` message
//! files, and not a line of the broker's own code.

use bytes::{Buf, Bytes};
use mockbroker::schema::{Direction, Field, FieldDefault, Kind, Message, Versions};

use crate::batch::{Batch, Record};
use crate::{Value, codec, value};

/// Above any version.
const LAST: i16 = 99;

const fn field(name: &'static str, kind: Kind, min: i16, max: i16) -> Field {
    Field {
        name,
        kind,
        versions: Versions::new(min, max),
        nullable: Versions::NONE,
        tagged: Versions::NONE,
        tag: 0,
        rigid: false,
        default: FieldDefault::Zero,
    }
}

const fn nullable(field: Field, min: i16) -> Field {
    Field { nullable: Versions::new(min, LAST), ..field }
}

const fn tagged(field: Field, min: i16) -> Field {
    Field { tagged: Versions::new(min, LAST), ..field }
}

const fn message(name: &'static str, flexible: i16, last: i16, fields: &'static [Field]) -> Message {
    Message {
        api_key: -1,
        name,
        direction: Direction::Header,
        versions: Versions::new(0, last),
        flexible: Versions::new(flexible, LAST),
        latest_version_unstable: false,
        fields,
    }
}

static MEMBER: [Field; 8] = [
    field("member_id", Kind::String, 0, LAST),
    nullable(field("group_instance_id", Kind::String, 3, LAST), 3),
    field("client_id", Kind::String, 0, LAST),
    field("client_host", Kind::String, 0, LAST),
    field("rebalance_timeout", Kind::Int32, 1, LAST),
    field("session_timeout", Kind::Int32, 0, LAST),
    field("subscription", Kind::Bytes, 0, LAST),
    field("assignment", Kind::Bytes, 0, LAST),
];

/// By the number in front of a key: the key, and the value.
static TYPES: [(i16, Message, Message); 2] = [
    (
        1,
        message("OffsetCommitKey", LAST, 0, {
            static TABLE: [Field; 3] = [
                field("group", Kind::String, 0, LAST),
                field("topic", Kind::String, 0, LAST),
                field("partition", Kind::Int32, 0, LAST),
            ];
            &TABLE
        }),
        message("OffsetCommitValue", 4, 4, {
            static TABLE: [Field; 6] = [
                field("offset", Kind::Int64, 0, LAST),
                field("leader_epoch", Kind::Int32, 3, LAST),
                field("metadata", Kind::String, 0, LAST),
                field("commit_timestamp", Kind::Int64, 0, LAST),
                field("expire_timestamp", Kind::Int64, 1, 1),
                tagged(field("topic_id", Kind::Uuid, 4, LAST), 4),
            ];
            &TABLE
        }),
    ),
    (
        2,
        message("GroupMetadataKey", LAST, 0, {
            static TABLE: [Field; 1] = [field("group", Kind::String, 0, LAST)];
            &TABLE
        }),
        message("GroupMetadataValue", 4, 4, {
            static TABLE: [Field; 6] = [
                field("protocol_type", Kind::String, 0, LAST),
                field("generation", Kind::Int32, 0, LAST),
                nullable(field("protocol", Kind::String, 0, LAST), 0),
                nullable(field("leader", Kind::String, 0, LAST), 0),
                field("current_state_timestamp", Kind::Int64, 2, LAST),
                field("members", Kind::Array { element: &Kind::Struct(&MEMBER), least: 16 }, 0, LAST),
            ];
            &TABLE
        }),
    ),
];

/// The records of a batch that a coordinator wrote; `None` if it wrote none of them.
#[must_use]
pub fn decode(batch: &Batch) -> Option<Vec<Value>> {
    let is_plain = batch.attributes & 0b111 == 0 && batch.record_count > 0;
    if !is_plain {
        return None;
    }
    batch.records().iter().map(|record| one(batch, record)).collect()
}

fn one(batch: &Batch, record: &Record) -> Option<Value> {
    let (number, key) = numbered(record.key.as_ref()?)?;
    let (_, key_type, value_type) = TYPES.iter().find(|(known, ..)| *known == number)?;
    let key = codec::decode(key_type, 0, &key).ok()?;
    let (version, value) = match &record.value {
        None => (Value::Null, Value::Null),
        Some(value) => {
            let (version, value) = numbered(value)?;
            (version.into(), codec::decode(value_type, version, &value).ok()?)
        }
    };
    Some(value!({
        attributes: batch.attributes, producer_epoch: batch.producer_epoch, base_sequence: batch.base_sequence,
        timestamp_delta: record.timestamp_delta, headers: record.headers.len() as i64,
        record: key_type.name.trim_end_matches("Key"), key: key, version: version, value: value,
    }))
}

fn numbered(bytes: &Bytes) -> Option<(i16, Bytes)> {
    let mut rest = bytes.clone();
    let number = (rest.len() >= 2).then(|| rest.get_i16())?;
    Some((number, rest))
}
