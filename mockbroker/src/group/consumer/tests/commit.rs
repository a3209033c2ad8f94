//! F.8: who may commit, and for which partitions.

use kafka_protocol::error::ResponseError::{
    self, StaleMemberEpoch, UnknownMemberId, UnknownServerError, UnsupportedVersion,
};

use super::kit::{World, beat, join};
use crate::group::consumer::{CommitScope, CommitterEpoch, OffsetCommitter};
use crate::types::PartitionId;

const V9: CommitterEpoch = CommitterEpoch::OffsetCommit { knows_member_epochs: true };

fn commit<'a>(
    world: &'a World,
    member_id: &str,
    member_epoch: i32,
    kind: CommitterEpoch,
) -> Result<CommitScope<'a>, ResponseError> {
    let committer = OffsetCommitter { member_id, group_instance_id: None, member_epoch, kind };
    world.group.admit_commit(committer).map_err(|refusal| refusal.error)
}

#[test]
fn anyone_commits_to_a_group_without_members() {
    let mut world = World::new();
    assert_eq!(commit(&world, "", -1, V9), Ok(CommitScope::All));
    world.ok(join("A", &["t"]));
    assert_eq!(commit(&world, "", -1, V9), Err(UnknownMemberId));
}

#[test]
fn a_member_commits_at_its_epoch() {
    let world = World::pair();
    assert_eq!(commit(&world, "A", 3, V9), Ok(CommitScope::All));
    assert_eq!(commit(&world, "A", 4, V9), Err(StaleMemberEpoch));
    assert_eq!(commit(&world, "Z", 3, V9), Err(UnknownMemberId));
    assert_eq!(
        commit(&world, "A", 3, CommitterEpoch::OffsetCommit { knows_member_epochs: false }),
        Err(UnsupportedVersion)
    );
}

#[test]
fn a_member_that_is_behind_commits_for_what_it_has_had_since() {
    // KIP-1251: A has had 0 and 1 since epoch 2, B 2 and 3 since epoch 3.
    let world = World::pair();
    let t = world.t();
    let check = |member_id: &str, epoch, partition| {
        let scope = commit(&world, member_id, epoch, V9).unwrap();
        scope.check("t", t, PartitionId(partition)).map_err(|refusal| (refusal.error, refusal.message.unwrap()))
    };
    assert_eq!(check("A", 2, 0), Ok(()));
    let text = "Received member epoch 1 is older than assignment epoch 2 for partition t-0.";
    assert_eq!(check("A", 1, 0), Err((StaleMemberEpoch, text.to_owned())));
    let text = "Partition t-2 is not assigned or pending revocation for member.";
    assert_eq!(check("A", 2, 2), Err((StaleMemberEpoch, text.to_owned())));
    assert_eq!(check("B", 2, 2).unwrap_err().0, StaleMemberEpoch);
}

#[test]
fn what_is_to_be_given_up_may_still_be_committed() {
    let mut world = World::new();
    world.ok(join("A", &["t"]));
    world.advance(1000);
    world.ok(join("B", &["t"]));
    world.ok(beat("A", 2));
    world.advance(1000);
    world.ok(join("C", &["t"]));
    let scope = commit(&world, "A", 2, V9).unwrap();
    assert_eq!(scope.check("t", world.t(), PartitionId(3)), Ok(()));
}

#[test]
fn a_producer_that_names_no_member_commits() {
    let world = World::pair();
    assert_eq!(commit(&world, "", -1, CommitterEpoch::TxnOffsetCommit), Ok(CommitScope::All));
    assert_eq!(commit(&world, "A", 4, CommitterEpoch::TxnOffsetCommit), Err(StaleMemberEpoch));
}

#[test]
fn a_fetch_of_offsets_needs_the_epoch_itself() {
    let world = World::pair();
    let fetch = |member_id, epoch| world.group.admit_fetch(member_id, epoch).map_err(|refusal| refusal.error);
    assert_eq!(fetch(None, -1), Ok(()));
    assert_eq!(fetch(Some("A"), 3), Ok(()));
    assert_eq!(fetch(Some("A"), 2), Err(StaleMemberEpoch));
    assert_eq!(fetch(Some("A"), 4), Err(StaleMemberEpoch));
    assert_eq!(fetch(Some("Z"), 3), Err(UnknownMemberId));
    assert_eq!(fetch(None, 0), Err(UnknownServerError));
}
