//! DescribeGroups and ListGroups.

use super::kit::*;
use crate::group::*;

#[test]
fn a_stable_group_shows_what_its_members_have() {
    // Source: ClassicGroupMember.describe. Seen on 4.3.1.
    let mut kit = Kit::new();
    let members = kit.stable(&[static_consumer("i")]);
    let group = kit.coordinator.describe_classic(GROUP).unwrap();
    assert_eq!(
        (group.state, &*group.protocol_type, &*group.protocol_data),
        (ClassicState::Stable, "consumer", "range")
    );
    let member = DescribedMember {
        member_id: members[0].clone(),
        group_instance_id: Some("i".into()),
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        metadata: subscription(&["t"]),
        assignment: vec![1_u8].into(),
    };
    assert_eq!(group.members, [member]);
}

#[test]
fn a_group_that_is_not_stable_shows_who_is_in_it_and_what_they_had() {
    // Source: ClassicGroupMember.describeNoMetadata. Seen on 4.3.1.
    let mut kit = Kit::new();
    kit.stable(&[consumer()]);
    kit.join_with_new_id(consumer());
    let group = kit.coordinator.describe_classic(GROUP).unwrap();
    assert_eq!((group.state.name(), &*group.protocol_data, group.members.len()), ("PreparingRebalance", "", 2));
    assert!(group.members.iter().all(|member| member.metadata.is_empty()));
    let mut assignments: Vec<_> = group.members.iter().map(|member| &member.assignment[..]).collect();
    assignments.sort_unstable();
    assert_eq!(assignments, [&[][..], &[1]]);
}

#[test]
fn a_group_that_does_not_exist_is_said_to_be_unknown() {
    // Source: GroupMetadataManager.describeGroups. Seen on 4.3.1.
    let kit = Kit::new();
    assert_eq!(kit.coordinator.describe_classic("nix"), None);
    assert_eq!(kit.coordinator.why_not_described("nix"), "Group nix not found.");
}

#[test]
fn groups_are_listed_with_their_states_and_kinds() {
    // Source: ClassicGroup.asListedGroup.
    let mut kit = Kit::new();
    kit.commit(offset_commit(MemberIdentity { group_id: "simple".into(), ..nobody() }, "t", 1));
    kit.stable(&[consumer()]);
    let listed: Vec<_> = kit.coordinator.list().collect();
    let shown: Vec<_> = listed
        .iter()
        .map(|group| (&*group.group_id, &*group.protocol_type, group.state, group.group_type.name()))
        .collect();
    assert_eq!(shown, [("g", "consumer", "Stable", "classic"), ("simple", "", "Empty", "classic")]);
}
