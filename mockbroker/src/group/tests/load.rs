//! Restarts, and groups that move to another node.

use kafka_protocol::error::ResponseError::*;

use super::kit::*;
use crate::cluster::BrokerConfig;
use crate::cluster::tests::cluster;
use crate::group::*;
use crate::ids::IdSource;
use crate::time::Timestamp;
use crate::types::Ticket;

#[test]
fn a_stable_group_goes_on_after_a_restart() {
    // Source: GroupMetadataManager.replay, onLoaded.
    let mut kit = Kit::new();
    let members = kit.stable(&[consumer(), static_consumer("i")]);
    kit.advance(9000);
    kit.restart();
    kit.advance(9999);
    assert_eq!(kit.heartbeat(identity(&members[0], 1)), Ok(()), "a whole session from the restart on");
    kit.advance(1);
    assert_eq!(kit.heartbeat(identity(&members[1], 1)), Err(UnknownMemberId), "who is silent is lost");
}

#[test]
fn a_generation_that_nobody_was_assigned_in_is_forgotten_by_a_restart() {
    // Source: GroupMetadataManager.replay: what is persisted is the last generation that was assigned.
    let mut kit = Kit::new();
    let members = kit.stable(&[consumer()]);
    let (second, _) = kit.join_with_new_id(consumer());
    kit.join(rejoining(&members[0]));
    assert_eq!(kit.state(), ClassicState::CompletingRebalance);
    kit.restart();
    assert_eq!(kit.state(), ClassicState::Stable);
    assert_eq!(kit.heartbeat(identity(&members[0], 1)), Ok(()));
    assert_eq!(kit.heartbeat(identity(&second, 2)), Err(UnknownMemberId));
}

#[test]
fn who_waits_when_the_coordinator_moves_is_sent_elsewhere() {
    // Source: GroupMetadataManager.onUnloaded.
    let mut kit = Kit::new();
    let (member, join) = kit.join_with_new_id(consumer());
    kit.restart();
    assert_eq!((kit.joined(join).error, kit.joined(join).member_id), (Some(NotCoordinator), member));
    let members = kit.completing(&[consumer(), consumer()]);
    let sync = kit.sync(sync(&members[1], 1));
    kit.restart();
    assert_eq!(kit.synced(sync), Err(NotCoordinator));
}

#[test]
fn a_group_that_is_found_too_large_has_to_join_again() {
    // Source: GroupMetadataManager.onLoaded, group.max.size.
    let mut kit = Kit::new();
    let members = kit.stable(&[consumer(), consumer()]);
    kit.config.group_max_size = 1;
    kit.restart();
    assert_eq!(kit.commit(offset_commit(identity(&members[1], 1), "t", 5)), [None], "it may commit");
    let first = kit.join(rejoining(&members[0]));
    assert_eq!(kit.join_error(rejoining(&members[1])), Some(GroupMaxSizeReached));
    kit.advance(60_000);
    assert_eq!(kit.joined(first).members.len(), 1);
}

#[test]
fn a_move_of_other_groups_touches_nothing() {
    let mut kit = Kit::new();
    let members = kit.stable(&[consumer()]);
    let mut out = Vec::new();
    kit.coordinator.unload(|group_id| group_id != GROUP, &mut out);
    assert_eq!(out, []);
    assert_eq!(kit.heartbeat(identity(&members[0], 1)), Ok(()));
}

#[test]
fn a_thousand_members_cost_no_more_than_they_are() {
    // No look at all others for each: 1,000,000 looks would be seen here. Without the kit, which looks at everything.
    let (config, cluster, mut ids) = (BrokerConfig::default(), cluster(1, &[]), IdSource::new(1));
    let mut coordinator = GroupCoordinator::default();
    let mut out = Vec::new();
    let mut ctx = Ctx { now: Timestamp::from_millis(0), cluster: &cluster, config: &config, ids: &mut ids };
    for number in 0..1000 {
        let request = Join { requires_known_member_id: false, rebalance_timeout_ms: 300_000, ..consumer() };
        coordinator.step(&mut ctx, Event::Join(Ticket(number), request), &mut out);
    }
    for now in [3000, 6000] {
        ctx.now = Timestamp::from_millis(now);
        coordinator.expire(&mut ctx, &mut out);
    }
    let joined: Vec<Joined> = out
        .drain(..)
        .filter_map(|effect| match effect {
            Effect::Answer(_, Response::Join(joined)) => Some(joined),
            _ => None,
        })
        .collect();
    assert_eq!(joined.len(), 1000);
    for (member, number) in joined.iter().zip(1000..) {
        coordinator.step(&mut ctx, Event::Sync(Ticket(number), sync(&member.member_id, 1)), &mut out);
    }
    let synced = out.iter().filter(|effect| matches!(effect, Effect::Answer(_, Response::Sync(Ok(_)))));
    assert_eq!(synced.count(), 1000);
}
