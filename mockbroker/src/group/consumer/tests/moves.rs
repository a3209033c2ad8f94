//! Every move of a member between its states, as a table (`CurrentAssignmentBuilder`).

use std::collections::{BTreeMap, BTreeSet};

use super::kit::of;
use crate::group::consumer::reconcile::Reconciliation;
use crate::group::consumer::{CurrentMemberAssignmentValue, MemberState, Partitions};
use crate::types::{PartitionId, TopicId};

/// The member is at epoch 2. It has partition 0, and in UNREVOKED_PARTITIONS it has to give partition 1 up.
fn current(state: MemberState, topic: TopicId) -> CurrentMemberAssignmentValue {
    let partitions = |numbers: &[i32]| -> BTreeMap<TopicId, BTreeMap<PartitionId, i32>> {
        match numbers {
            [] => BTreeMap::new(),
            _ => [(topic, numbers.iter().map(|number| (PartitionId(*number), 2)).collect())].into(),
        }
    };
    let revoking = state == MemberState::UnrevokedPartitions;
    CurrentMemberAssignmentValue {
        member_epoch: 2,
        previous_member_epoch: 1,
        state,
        assigned_partitions: partitions(&[0]),
        partitions_pending_revocation: partitions(if revoking { &[1] } else { &[] }),
    }
}

#[test]
fn the_moves_of_a_member_change_only_on_purpose() {
    let topic = TopicId(uuid::Uuid::from_u128(1));
    let states = [
        ("STABLE", MemberState::Stable),
        ("UNREVOKED_PARTITIONS", MemberState::UnrevokedPartitions),
        ("UNRELEASED_PARTITIONS", MemberState::UnreleasedPartitions),
        ("UNKNOWN", MemberState::Unknown),
    ];
    let targets: [(&str, i32, &[i32]); 4] = [
        ("the same target", 2, &[0]),
        ("a newer target with more", 3, &[0, 2]),
        ("a newer target with less", 3, &[]),
        ("a newer target with others", 3, &[2]),
    ];
    let owneds: [(&str, Option<&[i32]>); 3] =
        [("says nothing", None), ("owns all", Some(&[0, 1])), ("owns nothing", Some(&[]))];
    let mut lines = Vec::new();
    for (name, state) in states {
        for (target_name, target_epoch, target) in targets {
            for (owned_name, owned) in owneds {
                for (taken_name, taken) in [("free", false), ("taken", true)] {
                    let owned: Option<Partitions> = owned.map(|owned| of(topic, owned));
                    let next = Reconciliation {
                        current: &current(state, topic),
                        target_epoch,
                        target: &of(topic, target),
                        subscribed: &BTreeSet::from([topic]),
                        subscription_changed: false,
                        owned: owned.as_ref(),
                        is_taken: &|_, partition| taken && partition == PartitionId(2),
                    }
                    .next();
                    let to = states.iter().find(|(_, state)| *state == next.state).unwrap().0;
                    lines.push(format!(
                        "{name:<21} {target_name:<26} {owned_name:<12} {taken_name:<5} -> {to:<21} epoch {}, has {:?}, gives up {:?}",
                        next.member_epoch,
                        numbers(&next.assigned_partitions),
                        numbers(&next.partitions_pending_revocation),
                    ));
                }
            }
        }
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/snapshots");
    insta::with_settings!({ snapshot_path => folder, omit_expression => true }, {
        insta::assert_snapshot!(lines.join("\n"));
    });
}

fn numbers(partitions: &BTreeMap<TopicId, BTreeMap<PartitionId, i32>>) -> Vec<i32> {
    partitions.values().flat_map(BTreeMap::keys).map(|partition| partition.0).collect()
}
