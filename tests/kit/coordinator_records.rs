//! Records of `__consumer_offsets` as values, by tables that are Kafka's `coordinator-common` and `group-coordinator` message
//! files, and not a line of the broker's own code.

use bytes::{Buf, Bytes};
use mockbroker::schema::{Direction, Field, Kind, Message, Versions, field};

use crate::batch::{Batch, Record};
use crate::{Value, codec, value};

/// Above any version.
const LAST: i16 = 99;

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

static TARGET: [Field; 2] = [
    field("topic_id", Kind::Uuid, 0, LAST),
    field("partitions", Kind::Array { element: &Kind::Int32, least: 4 }, 0, LAST),
];

static ASSIGNED: [Field; 3] = [
    field("topic_id", Kind::Uuid, 0, LAST),
    field("partitions", Kind::Array { element: &Kind::Int32, least: 4 }, 0, LAST),
    tagged(nullable(field("assignment_epochs", Kind::Array { element: &Kind::Int32, least: 4 }, 0, LAST), 0), 0),
];

static GROUP_KEY: [Field; 1] = [field("group_id", Kind::String, 0, LAST)];

static MEMBER_KEY: [Field; 2] = [field("group_id", Kind::String, 0, LAST), field("member_id", Kind::String, 0, LAST)];

/// By the number in front of a key: the key, and the value.
static TYPES: [(i16, Message, Message); 9] = [
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
    (
        3,
        message("ConsumerGroupMetadataKey", LAST, 0, &GROUP_KEY),
        message("ConsumerGroupMetadataValue", 0, 0, {
            static TABLE: [Field; 2] =
                [field("epoch", Kind::Int32, 0, LAST), tagged(field("metadata_hash", Kind::Int64, 0, LAST), 0)];
            &TABLE
        }),
    ),
    (
        4,
        message("ConsumerGroupPartitionMetadataKey", LAST, 0, &GROUP_KEY),
        message("ConsumerGroupPartitionMetadataValue", 0, 0, &[]),
    ),
    (
        5,
        message("ConsumerGroupMemberMetadataKey", LAST, 0, &MEMBER_KEY),
        message("ConsumerGroupMemberMetadataValue", 0, 0, {
            // Besides, `ClassicMemberMetadata` as tag 0, which is kept as bytes: a struct that is null is one zero byte
            // there, and nowhere else.
            static TABLE: [Field; 8] = [
                nullable(field("instance_id", Kind::String, 0, LAST), 0),
                nullable(field("rack_id", Kind::String, 0, LAST), 0),
                field("client_id", Kind::String, 0, LAST),
                field("client_host", Kind::String, 0, LAST),
                field("subscribed_topic_names", Kind::Array { element: &Kind::String, least: 1 }, 0, LAST),
                nullable(field("subscribed_topic_regex", Kind::String, 0, LAST), 0),
                field("rebalance_timeout_ms", Kind::Int32, 0, LAST),
                nullable(field("server_assignor", Kind::String, 0, LAST), 0),
            ];
            &TABLE
        }),
    ),
    (
        6,
        message("ConsumerGroupTargetAssignmentMetadataKey", LAST, 0, &GROUP_KEY),
        message("ConsumerGroupTargetAssignmentMetadataValue", 0, 0, {
            static TABLE: [Field; 2] = [
                field("assignment_epoch", Kind::Int32, 0, LAST),
                tagged(field("assignment_timestamp", Kind::Int64, 0, LAST), 0),
            ];
            &TABLE
        }),
    ),
    (
        7,
        message("ConsumerGroupTargetAssignmentMemberKey", LAST, 0, &MEMBER_KEY),
        message("ConsumerGroupTargetAssignmentMemberValue", 0, 0, {
            static TABLE: [Field; 1] =
                [field("topic_partitions", Kind::Array { element: &Kind::Struct(&TARGET), least: 17 }, 0, LAST)];
            &TABLE
        }),
    ),
    (
        8,
        message("ConsumerGroupCurrentMemberAssignmentKey", LAST, 0, &MEMBER_KEY),
        message("ConsumerGroupCurrentMemberAssignmentValue", 0, 0, {
            static TABLE: [Field; 5] = [
                field("member_epoch", Kind::Int32, 0, LAST),
                field("previous_member_epoch", Kind::Int32, 0, LAST),
                field("state", Kind::Int8, 0, LAST),
                field("assigned_partitions", Kind::Array { element: &Kind::Struct(&ASSIGNED), least: 17 }, 0, LAST),
                field(
                    "partitions_pending_revocation",
                    Kind::Array { element: &Kind::Struct(&ASSIGNED), least: 17 },
                    0,
                    LAST,
                ),
            ];
            &TABLE
        }),
    ),
    (
        16,
        message("ConsumerGroupRegularExpressionKey", LAST, 0, {
            static TABLE: [Field; 2] =
                [field("group_id", Kind::String, 0, LAST), field("regular_expression", Kind::String, 0, LAST)];
            &TABLE
        }),
        message("ConsumerGroupRegularExpressionValue", 0, 0, {
            static TABLE: [Field; 3] = [
                field("topics", Kind::Array { element: &Kind::String, least: 1 }, 0, LAST),
                field("version", Kind::Int64, 0, LAST),
                field("timestamp", Kind::Int64, 0, LAST),
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
