//! Records, as a 4.3.1 broker wrote them. Read with a raw Fetch of `__consumer_offsets`, 2026-11-23.

use std::fmt::Write;

use crate::group::record::*;
use crate::types::TopicId;

/// Key and value of what a broker wrote, and what it says.
fn check(key: &str, value: Option<&str>, says: Record) {
    let value = value.map(bytes);
    let read = Record::decode(&bytes(key), value.as_deref());
    assert_eq!(read, Ok(Some(says.clone())));
    assert_eq!(hex(&says.key()), key);
    assert_eq!(says.value().map(|value| hex(&value)), value.map(|value| hex(&value)));
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

const TOPIC: TopicId = TopicId(uuid::Uuid::from_u128(0x2a0a_b495_8c52_4454_b430_c72c_cf1d_cb16));

fn offset_key(group_id: &'static str, partition: i32) -> OffsetCommitKey {
    OffsetCommitKey { group_id: group_id.into(), topic: "t1".into(), partition }
}

fn offset(offset: i64, commit_timestamp: i64) -> OffsetCommitValue {
    OffsetCommitValue {
        offset,
        leader_epoch: -1,
        metadata: "".into(),
        commit_timestamp,
        expire_timestamp: None,
        topic_id: TOPIC,
    }
}

#[test]
fn offsets_are_written_as_kafka_writes_them() {
    check(
        "000100036763310002743100000000",
        Some("000400000000000000050000000001000001a205e9a10e0100102a0ab4958c524454b430c72ccf1dcb16"),
        Record::OffsetCommit(
            offset_key("gc1", 0),
            Some(OffsetCommitValue { leader_epoch: 0, ..offset(5, 0x01a2_05e9_a10e) }),
        ),
    );
    check(
        "000100036763310002743100000001",
        Some("00040000000000000006ffffffff026d000001a205e9a1730100102a0ab4958c524454b430c72ccf1dcb16"),
        Record::OffsetCommit(
            offset_key("gc1", 1),
            Some(OffsetCommitValue { metadata: "m".into(), ..offset(6, 0x01a2_05e9_a173) }),
        ),
    );
    check("000100036763310002743100000001", None, Record::OffsetCommit(offset_key("gc1", 1), None));
}

#[test]
fn an_offset_with_a_retention_of_its_own_is_written_in_an_old_format() {
    // OffsetCommit v4 with a retention of 100 s.
    let value = OffsetCommitValue {
        metadata: "x".into(),
        expire_timestamp: Some(0x01a2_05eb_282b),
        topic_id: TopicId::ZERO,
        ..offset(7, 0x01a2_05e9_a18b)
    };
    check(
        "000100036763310002743100000002",
        Some("00010000000000000007000178000001a205e9a18b000001a205eb282b"),
        Record::OffsetCommit(offset_key("gc1", 2), Some(value)),
    );
}

#[test]
fn a_transactional_offset_has_no_topic_id() {
    // TxnOffsetCommit v4.
    check(
        "0001000c7031373935333936363236620002743100000001",
        Some("00040000000000000009ffffffff01000001a205fa705500"),
        Record::OffsetCommit(
            offset_key("p1795396626b", 1),
            Some(OffsetCommitValue { topic_id: TopicId::ZERO, ..offset(9, 0x01a2_05fa_7055) }),
        ),
    );
}

#[test]
fn classic_groups_are_written_as_kafka_writes_them() {
    check(
        "00020003676331",
        Some("0003000000000000ffffffff000001a205e99f6800000000"),
        Record::GroupMetadata(
            "gc1".into(),
            Some(GroupMetadataValue { current_state_timestamp: 0x01a2_05e9_9f68, ..GroupMetadataValue::default() }),
        ),
    );
    let member_id = "raw-bc69ef7e-07be-42ec-9827-3aa497d14a77";
    let member = MemberMetadata {
        member_id: member_id.into(),
        group_instance_id: None,
        client_id: "raw".into(),
        client_host: "/127.0.0.1".into(),
        rebalance_timeout_ms: 20_000,
        session_timeout_ms: 10_000,
        subscription: super::kit::subscription(&["t1"]),
        assignment: "abc".into(),
    };
    let stable = GroupMetadataValue {
        protocol_type: "consumer".into(),
        generation: 1,
        protocol: Some("range".into()),
        leader: Some(member_id.into()),
        current_state_timestamp: 0x01a2_05e9_a0e6,
        members: vec![member],
    };
    check(
        "00020003676331",
        Some(concat!(
            "00030008636f6e73756d657200000001000572616e676500287261772d62633639656637652d303762652d343265632d393832372d",
            "336161343937643134613737000001a205e9a0e60000000100287261772d62633639656637652d303762652d343265632d39383237",
            "2d336161343937643134613737ffff0003726177000a2f3132372e302e302e3100004e20000027100000000e00000000000100027",
            "431ffffffff00000003616263",
        )),
        Record::GroupMetadata("gc1".into(), Some(stable)),
    );
    check("00020003676331", None, Record::GroupMetadata("gc1".into(), None));
}

#[test]
fn consumer_groups_are_written_as_kafka_writes_them() {
    let member = || MemberKey { group_id: "gc2".into(), member_id: "AAAAAAAAAAAAAAAAAAAAAA".into() };
    let member_key = "0003676332001641414141414141414141414141414141414141414141";
    let metadata = ConsumerGroupMemberMetadataValue {
        instance_id: Some("i1".into()),
        rack_id: Some("r".into()),
        client_id: "raw".into(),
        client_host: "/127.0.0.1".into(),
        subscribed_topic_names: vec!["t1".into()],
        subscribed_topic_regex: Some("t.*".into()),
        rebalance_timeout_ms: 30_000,
        server_assignor: Some("range".into()),
        classic_member_metadata: None,
    };
    check(
        &format!("0005{member_key}"),
        Some("00000369310272047261770b2f3132372e302e302e310203743104742e2a000075300672616e676501000100"),
        Record::ConsumerGroupMemberMetadata(member(), Some(metadata)),
    );
    let group = ConsumerGroupMetadataValue { epoch: 2, metadata_hash: 0xc953_ba79_74d4_7040_u64 as i64 };
    check(
        "00030003676332",
        Some("000000000002010008c953ba7974d47040"),
        Record::ConsumerGroupMetadata("gc2".into(), Some(group)),
    );
    let empty = ConsumerGroupMetadataValue { epoch: 4, metadata_hash: 0 };
    check("00030003676332", Some("00000000000400"), Record::ConsumerGroupMetadata("gc2".into(), Some(empty)));
    let target = TargetAssignmentMemberValue { topic_partitions: vec![(TOPIC, vec![0, 1, 2])] };
    check(
        &format!("0007{member_key}"),
        Some("0000022a0ab4958c524454b430c72ccf1dcb16040000000000000001000000020000"),
        Record::ConsumerGroupTargetAssignmentMember(member(), Some(target)),
    );
    let target = TargetAssignmentMetadataValue { assignment_epoch: 2, assignment_timestamp: 0x01a2_05e9_a401 };
    check(
        "00060003676332",
        Some("000000000002010008000001a205e9a401"),
        Record::ConsumerGroupTargetAssignmentMetadata("gc2".into(), Some(target)),
    );
    let assigned = AssignedTopic { topic_id: TOPIC, partitions: vec![0, 1, 2], assignment_epochs: Some(vec![2, 2, 2]) };
    let current = CurrentMemberAssignmentValue {
        member_epoch: 3,
        previous_member_epoch: 2,
        state: 0,
        assigned_partitions: vec![assigned],
        partitions_pending_revocation: Vec::new(),
    };
    check(
        &format!("0008{member_key}"),
        Some(concat!(
            "0000000000030000000200022a0ab4958c524454b430c72ccf1dcb160400000000000000010000000201000d04",
            "0000000200000002000000020100",
        )),
        Record::ConsumerGroupCurrentMemberAssignment(member(), Some(current)),
    );
    let resolved = RegularExpressionValue { topics: vec!["t1".into()], version: 0x2ce, timestamp: 0x01a2_05e9_a31a };
    let key = RegularExpressionKey { group_id: "gc2".into(), regular_expression: "t.*".into() };
    check(
        "001000036763320003742e2a",
        Some("00000203743100000000000002ce000001a205e9a31a00"),
        Record::ConsumerGroupRegularExpression(key, Some(resolved)),
    );
}

#[test]
fn a_type_that_is_not_known_is_skipped_and_bytes_that_say_nothing_are_refused() {
    // Source: CoordinatorLoaderImpl, UnknownRecordTypeException.
    assert_eq!(Record::decode(&[0, 99, 1, 2], None), Ok(None));
    // ConsumerGroupPartitionMetadata has a value before 4.1 only.
    let partition_metadata = [0, 4, 0, 1, b'g'];
    assert_eq!(Record::decode(&partition_metadata, Some(&[0, 0, 1, 0])), Ok(None));
    let tombstone = Record::decode(&partition_metadata, None).unwrap().unwrap();
    assert_eq!((tombstone.key(), tombstone.value()), (partition_metadata.to_vec().into(), None));
    let key = bytes("00020003676331");
    let value = bytes("0003000000000000ffffffff000001a205e99f6800000000");
    for cut in 0..key.len() {
        assert!(Record::decode(&key[..cut], None).is_err(), "{cut}");
    }
    for cut in 0..value.len() {
        assert!(Record::decode(&key, Some(&value[..cut])).is_err(), "{cut}");
    }
    let members_without_end = bytes("0003000000000000ffffffff000001a205e99f687fffffff");
    assert!(Record::decode(&key, Some(&members_without_end)).is_err());
    assert!(Record::decode(&key, Some(&[0, 5])).is_err(), "a version to come");
}

#[test]
fn older_versions_are_read() {
    // Source: GroupMetadataValue.json, OffsetCommitValue.json: v0 has neither timestamps nor instance ids.
    let key = bytes("00020003676331");
    let group = bytes("00000000000000010001720001610000000100016100016300016800002710000000010900000000");
    let Ok(Some(Record::GroupMetadata(_, Some(value)))) = Record::decode(&key, Some(&group)) else { panic!() };
    let member = &value.members[0];
    assert_eq!((value.generation, value.current_state_timestamp), (1, -1));
    assert_eq!((member.session_timeout_ms, member.rebalance_timeout_ms), (10_000, -1));
    assert_eq!(member.subscription, vec![9_u8]);
}

#[test]
fn what_null_and_empty_are_in_a_tagged_field_is_kept_apart() {
    // Source: ConsumerGroupMemberMetadataValue.json, ConsumerGroupCurrentMemberAssignmentValue.json; MessageDataGenerator.
    let key = || MemberKey { group_id: "g".into(), member_id: "m".into() };
    for (assignment_epochs, end) in
        [(None, "0100010000"), (Some(Vec::new()), "0000"), (Some(vec![4]), "010005020000000400")]
    {
        let topic = AssignedTopic { topic_id: TOPIC, partitions: vec![0], assignment_epochs };
        let value = CurrentMemberAssignmentValue {
            member_epoch: 1,
            previous_member_epoch: 0,
            state: 0,
            assigned_partitions: Vec::new(),
            partitions_pending_revocation: vec![topic],
        };
        let record = Record::ConsumerGroupCurrentMemberAssignment(key(), Some(value));
        let written = record.value().unwrap();
        assert!(hex(&written).ends_with(end), "{}", hex(&written));
        assert_eq!(Record::decode(&record.key(), Some(&written)), Ok(Some(record)));
    }
    let classic = |supported_protocols| ClassicMemberMetadata { session_timeout_ms: 9, supported_protocols };
    for metadata in [
        None,
        Some(ClassicMemberMetadata::default()),
        Some(classic(vec![("range".into(), vec![1, 2].into()), ("b".into(), Vec::new().into())])),
    ] {
        let value = ConsumerGroupMemberMetadataValue {
            instance_id: None,
            rack_id: None,
            client_id: "".into(),
            client_host: "".into(),
            subscribed_topic_names: Vec::new(),
            subscribed_topic_regex: None,
            rebalance_timeout_ms: -1,
            server_assignor: None,
            classic_member_metadata: metadata,
        };
        let record = Record::ConsumerGroupMemberMetadata(key(), Some(value));
        let written = record.value().unwrap();
        assert_eq!(Record::decode(&record.key(), Some(&written)), Ok(Some(record)));
    }
}
