//! OffsetCommit, OffsetFetch, TxnOffsetCommit, OffsetDelete.

use kafka_protocol::error::ResponseError::{self, *};

use super::kit::*;
use crate::group::*;
use crate::types::TopicId;

#[test]
fn a_commit_is_read_back_with_all_that_was_said() {
    let mut kit = Kit::new();
    assert_eq!(kit.commit(offset_commit(nobody(), "t", 5)), [None]);
    let fetched = kit.fetched("t", RequireStable::Yes);
    assert_eq!((fetched.offset, fetched.leader_epoch, &*fetched.metadata, fetched.error), (5, 3, "m", None));
    let none = kit.fetched("u", RequireStable::Yes);
    assert_eq!((none.offset, none.leader_epoch, &*none.metadata, none.error), (-1, -1, "", None));
}

#[test]
fn a_commit_without_a_member_makes_a_simple_group() {
    // Source: OffsetMetadataManager.validateOffsetCommit. The empty name is one, too.
    let mut kit = Kit::new();
    kit.commit(offset_commit(nobody(), "t", 5));
    let group = kit.coordinator.describe_classic(GROUP).unwrap();
    assert_eq!((group.state, &*group.protocol_type), (ClassicState::Empty, ""));
    let unnamed = MemberIdentity { group_id: "".into(), ..nobody() };
    assert_eq!(kit.commit(offset_commit(unnamed, "t", 5)), [None]);
    kit.restart();
    assert_eq!(kit.offset("t"), 5);
}

#[test]
fn who_may_not_commit_is_told_why() {
    // Source: OffsetMetadataManager.validateOffsetCommit, ClassicGroup.validateOffsetCommit.
    let mut kit = Kit::new();
    let refused = |kit: &mut Kit, member: MemberIdentity| kit.commit(offset_commit(member, "t", 5))[0];
    assert_eq!(refused(&mut kit, identity(&text("me"), 1)), Some(GroupIdNotFound), "v9");
    let old = OffsetCommit { knows_group_id_not_found: false, ..offset_commit(identity(&text("me"), 1), "t", 5) };
    assert_eq!(kit.commit(old), [Some(IllegalGeneration)], "before v9");
    assert_eq!(kit.state(), ClassicState::Dead);
    let members = kit.stable(&[static_consumer("i")]);
    let as_instance = |member_id: &str, instance: &str| MemberIdentity {
        group_instance_id: Some(text(instance)),
        ..identity(&text(member_id), 1)
    };
    let instance_only = MemberIdentity { group_instance_id: Some("i".into()), ..nobody() };
    for (member, error) in [
        (nobody(), UnknownMemberId),
        (identity(&text("me"), 1), UnknownMemberId),
        (identity(&text("me"), -1), UnknownMemberId),
        (identity(&text(""), 1), UnknownMemberId),
        (identity(&members[0], 0), IllegalGeneration),
        (identity(&members[0], -1), IllegalGeneration),
        (as_instance("me", "i"), FencedInstanceId),
        (instance_only, FencedInstanceId),
        (as_instance(&members[0], "j"), UnknownMemberId),
    ] {
        assert_eq!(refused(&mut kit, member.clone()), Some(error), "{member:?}");
    }
    assert_eq!(refused(&mut kit, as_instance(&members[0], "i")), None);
}

#[test]
fn a_commit_from_outside_is_taken_by_an_empty_group_whoever_it_names() {
    // Source: ClassicGroup.validateOffsetCommit.
    let mut kit = Kit::new();
    kit.join(consumer());
    assert_eq!(kit.commit(offset_commit(identity(&text("me"), -1), "t", 5)), [None]);
    assert_eq!(kit.commit(offset_commit(identity(&text("me"), 0), "t", 5)), [Some(UnknownMemberId)]);
}

#[test]
fn a_member_commits_until_the_next_generation_begins_and_then_not_before_its_assignment() {
    // Source: ClassicGroup.validateOffsetCommit: allowed in PreparingRebalance, refused in CompletingRebalance.
    let mut kit = Kit::new();
    let members = kit.stable(&[consumer()]);
    let (_, _) = kit.join_with_new_id(consumer());
    assert_eq!(kit.commit(offset_commit(identity(&members[0], 1), "t", 5)), [None]);
    kit.join(rejoining(&members[0]));
    assert_eq!(kit.commit(offset_commit(identity(&members[0], 1), "t", 6)), [Some(IllegalGeneration)]);
    assert_eq!(kit.commit(offset_commit(identity(&members[0], 2), "t", 6)), [Some(RebalanceInProgress)]);
    assert_eq!(kit.offset("t"), 5);
}

#[test]
fn metadata_that_is_too_large_fails_its_partition_only() {
    // Source: offset.metadata.max.bytes, which counts UTF-16 units (String.length).
    let mut kit = Kit::with(|config| config.offset_metadata_max_bytes = 4);
    let mut request = offset_commit(nobody(), "t", 5);
    let with = |partition: i32, metadata: Option<&str>| CommitPartition {
        partition,
        offset: 5,
        leader_epoch: -1,
        metadata: metadata.map(text),
    };
    let too_many_units = "\u{1F600}\u{1F600}x";
    request.topics[0].partitions =
        vec![with(0, Some("12345")), with(1, Some("ÄÖÜß")), with(2, None), with(3, Some(too_many_units))];
    assert_eq!(kit.commit(request), [Some(OffsetMetadataTooLarge), None, None, Some(OffsetMetadataTooLarge)]);
    let all = kit.coordinator.fetch_all_offsets(GROUP, RequireStable::No);
    assert_eq!(all[0].1.iter().map(|(partition, _)| *partition).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn an_offset_of_another_topic_of_that_name_does_not_count() {
    // Source: OffsetFetch v10 (KIP-848); OffsetMetadataManager.fetchOffsets.
    let mut kit = Kit::new();
    kit.commit(offset_commit(nobody(), "t", 5));
    let fetch = |id: u128| {
        let topic_id = Some(TopicId(uuid::Uuid::from_u128(id)));
        kit.coordinator.fetch_offset(GROUP, "t", topic_id, 0, RequireStable::No).offset
    };
    assert_eq!((fetch(7), fetch(8)), (5, -1));
}

#[test]
fn a_transactional_offset_counts_when_the_transaction_is_committed() {
    // Source: OffsetMetadataManager.replayEndTransactionMarker; KIP-447 for UNSTABLE_OFFSET_COMMIT.
    for (result, offset) in [(TransactionResult::Committed, 9), (TransactionResult::Aborted, 5)] {
        let mut kit = Kit::new();
        kit.commit(offset_commit(nobody(), "t", 5));
        assert_eq!(kit.commit_in_transaction(txn_commit(nobody(), 1, "t", 8)), [None]);
        assert_eq!(kit.commit_in_transaction(txn_commit(nobody(), 1, "t", 9)), [None]);
        assert_eq!(kit.offset("t"), 5);
        let unstable = kit.fetched("t", RequireStable::Yes);
        assert_eq!((unstable.error, unstable.offset), (Some(UnstableOffsetCommit), -1));
        kit.end_transaction(2, TransactionResult::Committed);
        assert_eq!(kit.offset("t"), 5, "of another producer");
        kit.end_transaction(1, result);
        let fetched = kit.fetched("t", RequireStable::Yes);
        assert_eq!((fetched.error, fetched.offset), (None, offset));
    }
}

#[test]
fn a_commit_that_is_later_in_the_log_outlives_the_end_of_a_transaction() {
    // Source: OffsetMetadataManager.replayEndTransactionMarker: by the offset of the record.
    let mut kit = Kit::new();
    kit.commit_in_transaction(txn_commit(nobody(), 1, "t", 9));
    kit.commit(offset_commit(nobody(), "t", 5));
    kit.end_transaction(1, TransactionResult::Committed);
    assert_eq!(kit.offset("t"), 5);
}

#[test]
fn who_may_not_commit_in_a_transaction_is_told_why() {
    // Source: OffsetMetadataManager.validateTransactionalOffsetCommit, ClassicGroup.validateOffsetCommit.
    let mut kit = Kit::new();
    let refused = |kit: &mut Kit, member| kit.commit_in_transaction(txn_commit(member, 1, "t", 5))[0];
    assert_eq!(refused(&mut kit, MemberIdentity { group_id: "".into(), ..nobody() }), Some(InvalidGroupId));
    assert_eq!(refused(&mut kit, identity(&text("me"), 1)), Some(IllegalGeneration), "no group");
    let members = kit.completing(&[consumer()]);
    assert_eq!(refused(&mut kit, identity(&members[0], 1)), None, "unlike OffsetCommit");
    kit.assign(&members, 1);
    assert_eq!(refused(&mut kit, nobody()), None, "who says nothing of itself may, though there are members");
    assert_eq!(refused(&mut kit, identity(&members[0], 2)), Some(IllegalGeneration));
    assert_eq!(refused(&mut kit, identity(&text("me"), 1)), Some(UnknownMemberId));
}

#[test]
fn a_marker_counts_for_the_groups_of_its_partition() {
    // Source: WriteTxnMarkers has one marker in each partition of __consumer_offsets.
    let mut offsets = Kit::new();
    offsets.commit_in_transaction(txn_commit(nobody(), 1, "t", 9));
    let coordinator = &mut offsets.coordinator;
    coordinator.end_transaction(1, TransactionResult::Committed, |group_id| group_id != GROUP);
    assert_eq!(offsets.offset("t"), -1);
}

#[test]
fn an_offset_is_deleted_unless_a_member_reads_the_topic() {
    // Source: KIP-496; OffsetMetadataManager.deleteOffsets.
    let mut kit = Kit::new();
    assert_eq!(kit.delete_offsets("t"), Err(GroupIdNotFound));
    let members = kit.stable(&[consumer()]);
    for topic in ["t", "u"] {
        kit.commit(offset_commit(identity(&members[0], 1), topic, 5));
    }
    assert_eq!(kit.delete_offsets("t"), Ok(vec![Some(GroupSubscribedToTopic)]));
    assert_eq!(kit.delete_offsets("u"), Ok(vec![None]));
    assert_eq!(kit.delete_offsets("absent"), Ok(vec![None]));
    assert_eq!((kit.offset("t"), kit.offset("u")), (5, -1));
    kit.leave(&[(&members[0], None)]);
    assert_eq!(kit.delete_offsets("t"), Ok(vec![None]));
    assert_eq!(kit.offset("t"), -1);
    let unnamed = kit.ask(|ticket| Event::DeleteOffsets(ticket, DeleteOffsets::default()));
    assert_eq!(*kit.answer(unnamed), Response::DeleteOffsets(Err(InvalidGroupId)));
}

#[test]
fn offsets_of_members_that_are_no_consumers_cannot_be_deleted() {
    // Source: ClassicGroup.validateOffsetDelete.
    let mut kit = Kit::new();
    let (_, _) = kit.join_with_new_id(Join { protocol_type: "connect".into(), ..consumer() });
    assert_eq!(kit.delete_offsets("t"), Err(NonEmptyGroup));
}

#[test]
fn consumers_whose_subscription_cannot_be_read_read_every_topic() {
    // Source: ClassicGroup.isSubscribedToTopic.
    let mut kit = Kit::new();
    let odd = Protocol { name: "range".into(), metadata: vec![0, 0, 0].into() };
    kit.stable(&[Join { protocols: vec![odd], ..consumer() }]);
    assert_eq!(kit.delete_offsets("t"), Ok(vec![Some(GroupSubscribedToTopic)]));
}

#[test]
fn a_deleted_offset_is_pending_no_more() {
    // Source: OffsetMetadataManager.replay of a tombstone; seen on 4.3.1.
    let mut kit = Kit::new();
    kit.commit_in_transaction(txn_commit(nobody(), 1, "t", 9));
    assert_eq!(kit.delete_offsets("t"), Ok(vec![None]));
    assert_eq!(kit.fetched("t", RequireStable::Yes).error, None);
    kit.end_transaction(1, TransactionResult::Committed);
    assert_eq!(kit.offset("t"), -1);
}

#[test]
fn a_deleted_topic_takes_its_offsets_along() {
    // Source: OffsetMetadataManager.onPartitionsDeleted.
    let mut kit = Kit::new();
    kit.commit(offset_commit(nobody(), "t", 5));
    kit.commit(offset_commit(nobody(), "u", 6));
    kit.commit_in_transaction(txn_commit(nobody(), 1, "t", 9));
    kit.run(|coordinator, ctx, out| coordinator.step(ctx, Event::TopicDeleted("t".into()), out));
    kit.end_transaction(1, TransactionResult::Committed);
    assert_eq!((kit.offset("t"), kit.offset("u")), (-1, 6));
}

#[test]
fn a_group_is_deleted_with_its_offsets_when_nobody_is_in_it() {
    // Source: GroupCoordinatorShard.deleteGroups, ClassicGroup.validateDeleteGroup.
    let mut kit = Kit::new();
    let error: Option<ResponseError> = kit.delete_group(GROUP);
    assert_eq!(error, Some(GroupIdNotFound));
    let members = kit.stable(&[consumer()]);
    kit.commit(offset_commit(identity(&members[0], 1), "t", 5));
    kit.commit_in_transaction(txn_commit(nobody(), 1, "u", 9));
    assert_eq!(kit.delete_group(GROUP), Some(NonEmptyGroup));
    kit.leave(&[(&members[0], None)]);
    kit.join(consumer());
    assert_eq!(kit.delete_group(GROUP), None, "an id that was given out is nobody");
    assert_eq!((kit.state(), kit.offset("t")), (ClassicState::Dead, -1));
    kit.advance(20_000);
    kit.restart();
    assert_eq!(kit.state(), ClassicState::Dead);
}
