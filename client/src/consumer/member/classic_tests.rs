//! The rules of a member, without a broker and without a clock: time is a number that the test passes in.

use super::*;
use crate::{codes::ErrorCode, consumer::assignor::protocol::encode_assignment};

const HEARTBEAT: Duration = Duration::from_secs(3);

struct World {
    member: Classic,
    start: Instant,
}

impl World {
    fn new(assignors: &[Assignor]) -> Self {
        Self::of(Rules {
            assignors: assignors.to_vec(),
            is_static: false,
            heartbeat_interval: HEARTBEAT,
            backoff: Backoff { initial: Duration::from_millis(100), maximum: Duration::from_secs(1) },
            rack_id: None,
        })
    }

    fn of(rules: Rules) -> Self {
        let start = Instant::now();
        Self { member: Classic::new(rules, BTreeSet::from(["t".into()]), start), start }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    fn step(&mut self, seconds: u64) -> Option<Step> {
        let now = self.at(seconds);
        self.member.step(now)
    }

    /// A member that has the partitions, in generation 1.
    fn with(assignors: &[Assignor], partitions: &[i32]) -> Self {
        let mut world = Self::new(assignors);
        assert!(matches!(world.step(0), Some(Step::Join { .. })));
        let adopted = world.joined(1, partitions);
        assert!(matches!(adopted, Some(Step::Adopt(added)) if added == of(partitions)));
        world
    }

    /// JoinGroup and SyncGroup are answered: a follower in a generation, with these partitions.
    fn joined(&mut self, generation_id: i32, partitions: &[i32]) -> Option<Step> {
        let answer = self.answer(generation_id);
        let now = self.start;
        let step = self.member.on_join(Ok(answer), now);
        assert!(matches!(step, Some(Step::Sync { assignments }) if assignments.is_empty()));
        self.member.on_sync(Ok(&encode_assignment(&of(partitions))), now)
    }

    fn answer(&self, generation_id: i32) -> Joined {
        let protocol_name = self.member.rules.assignors[0].name().to_owned();
        Joined { generation_id, member_id: "m".to_owned(), protocol_name, ..Joined::default() }
    }

    fn rebalance(&mut self) {
        let now = self.start;
        self.member.on_heartbeat(self.member.generation_id, Err(Failure::Rebalance), now);
    }
}

fn of(partitions: &[i32]) -> Vec<TopicPartition> {
    partitions.iter().map(|partition| TopicPartition::new("t", *partition)).collect()
}

fn released(step: Option<Step>) -> (Vec<TopicPartition>, bool) {
    match step {
        Some(Step::Release { partitions, lost }) => (partitions, lost),
        other => panic!("{other:?}"),
    }
}

/// What a member says that it has when it joins.
fn claims(step: Option<Step>) -> Vec<TopicPartition> {
    match step {
        Some(Step::Join { protocols, .. }) => protocols[0].1.owned.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_member_joins_twice_the_second_time_with_the_id_that_it_got() {
    // KIP-394.
    let mut world = World::new(&[Assignor::Range]);
    assert!(matches!(world.step(0), Some(Step::Join { member_id, .. }) if member_id.is_empty()));
    let now = world.start;
    world.member.on_join(Err(Failure::MemberIdRequired("m".to_owned())), now);
    assert!(matches!(world.step(0), Some(Step::Join { member_id, .. }) if member_id == "m"), "at once");
}

#[test]
fn an_eager_member_gives_everything_back_before_it_joins_again() {
    let mut world = World::with(&[Assignor::Range], &[0, 1]);
    world.rebalance();
    assert_eq!(released(world.step(0)), (of(&[0, 1]), false));
    assert_eq!(claims(world.member.on_released()), of(&[]));
    assert!(matches!(world.joined(2, &[1]), Some(Step::Adopt(added)) if added == of(&[1])));
}

#[test]
fn where_nobody_leads_a_member_joins_again_when_its_coordinator_may_be_another() {
    let missed = || Failure::Later(Error::Timeout { what: "a heartbeat", limit: HEARTBEAT });
    for nobody_leads in [true, false] {
        let mut world = World::new(&[Assignor::Range]);
        world.step(0);
        let (now, answer) = (world.start, Joined { nobody_leads, ..world.answer(1) });
        world.member.on_join(Ok(answer), now);
        world.member.on_sync(Ok(&encode_assignment(&of(&[]))), now);
        world.member.on_heartbeat(1, Ok(()), now);
        assert!(world.step(0).is_none(), "all is well");
        world.member.on_heartbeat(1, Err(missed()), now);
        assert!(world.step(0).is_none(), "nobody to ask");
        world.member.on_heartbeat(1, Ok(()), now);
        assert_eq!(matches!(world.step(0), Some(Step::Join { .. })), nobody_leads);
    }
}

#[test]
fn a_cooperative_member_keeps_what_it_has_while_it_joins() {
    // KIP-429.
    let mut world = World::with(&[Assignor::CooperativeSticky], &[0, 1]);
    world.rebalance();
    assert_eq!(claims(world.step(0)), of(&[0, 1]));
    assert!(matches!(world.joined(2, &[0, 1]), Some(Step::Adopt(added)) if added.is_empty()));
    assert!(world.step(0).is_none());
}

#[test]
fn a_cooperative_member_gives_back_what_it_loses_then_takes_what_it_gets_then_joins_again() {
    // ConsumerCoordinator.onJoinComplete: revoked first, and somebody must be given it in another rebalance.
    let mut world = World::with(&[Assignor::CooperativeSticky], &[0, 1, 2]);
    world.rebalance();
    world.step(0);
    assert_eq!(released(world.joined(2, &[0, 3])), (of(&[1, 2]), false));
    assert!(world.step(0).is_none(), "nothing before they are given back");
    assert!(matches!(world.member.on_released(), Some(Step::Adopt(added)) if added == of(&[3])));
    assert_eq!(claims(world.step(0)), of(&[0, 3]));
}

#[test]
fn with_an_eager_assignor_among_them_the_member_is_eager() {
    // ConsumerCoordinator: the group may choose the eager one.
    let mut world = World::with(&[Assignor::Range, Assignor::CooperativeSticky], &[0]);
    world.rebalance();
    assert_eq!(released(world.step(0)).0, of(&[0]));
}

#[test]
fn what_a_member_has_in_a_group_that_does_not_know_it_is_lost() {
    for (failure, kept_id) in [(Failure::UnknownMember, ""), (Failure::IllegalGeneration, "m")] {
        let mut world = World::with(&[Assignor::CooperativeSticky], &[0, 1]);
        let now = world.start;
        world.member.on_heartbeat(1, Err(failure), now);
        assert!(!world.member.may_read(&of(&[0])[0]));
        assert_eq!(released(world.step(0)), (of(&[0, 1]), true));
        assert!(matches!(world.member.on_released(), Some(Step::Join { member_id, .. }) if member_id == kept_id));
    }
}

#[test]
fn the_answer_to_a_heartbeat_of_an_earlier_generation_means_nothing() {
    let mut world = World::with(&[Assignor::CooperativeSticky], &[0]);
    world.rebalance();
    world.step(0);
    world.joined(2, &[0]);
    let now = world.start;
    world.member.on_heartbeat(1, Err(Failure::UnknownMember), now);
    assert!(world.step(0).is_none() && world.member.may_read(&of(&[0])[0]));
}

#[test]
fn heartbeats_go_on_while_partitions_are_given_back() {
    let mut world = World::with(&[Assignor::Range], &[0]);
    assert!(world.step(2).is_none());
    assert_eq!(world.member.next_deadline(), Some(world.at(3)));
    assert!(matches!(world.step(3), Some(Step::Heartbeat)));
    assert!(world.step(3).is_none(), "one at a time");
    world.rebalance();
    released(world.step(3));
    assert!(matches!(world.step(6), Some(Step::Heartbeat)));
    world.rebalance();
    assert!(world.step(6).is_none(), "it is on its way already");
}

#[test]
fn a_heartbeat_that_failed_is_sent_again_after_the_backoff() {
    let mut world = World::with(&[Assignor::Range], &[0]);
    world.step(3);
    let now = world.at(3);
    let error = Error::server("Heartbeat", ErrorCode::CoordinatorNotAvailable.number());
    world.member.on_heartbeat(1, Err(Failure::of(error)), now);
    let next = world.member.next_deadline().unwrap();
    assert!(next > now && next < world.at(4), "{:?}", next - now);
    assert!(world.member.may_read(&of(&[0])[0]), "a broker that is away takes nothing away");
}

#[test]
fn the_leader_assigns_and_a_leader_that_came_back_does_not() {
    // KIP-814.
    for skip_assignment in [false, true] {
        let mut world = World::new(&[Assignor::RoundRobin]);
        world.step(0);
        let answer = Joined { is_leader: true, skip_assignment, members: vec![Member::default()], ..world.answer(1) };
        let now = world.start;
        let step = world.member.on_join(Ok(answer), now);
        match skip_assignment {
            false => assert!(
                matches!(step, Some(Step::Assign { assignor: Assignor::RoundRobin, members }) if members.len() == 1)
            ),
            true => assert!(matches!(step, Some(Step::Sync { assignments }) if assignments.is_empty())),
        }
    }
}

#[test]
fn a_rebalance_that_overtakes_the_assignment_is_joined_after_the_backoff() {
    let mut world = World::new(&[Assignor::Range]);
    world.step(0);
    let (now, answer) = (world.start, world.answer(1));
    world.member.on_join(Ok(answer), now);
    world.member.on_sync(Err(Failure::Rebalance), now);
    assert!(world.step(0).is_none());
    assert!(matches!(world.step(1), Some(Step::Join { member_id, .. }) if member_id == "m"));
}

#[test]
fn closing_gives_everything_back_and_leaves() {
    let mut world = World::with(&[Assignor::CooperativeSticky], &[0]);
    world.member.close();
    assert_eq!(released(world.step(0)), (of(&[0]), false));
    assert!(matches!(world.member.on_released(), Some(Step::Leave { member_id }) if member_id == "m"));
    assert!(matches!(world.member.on_left(), Some(Step::End(None))));
    assert!(world.step(9).is_none());
}

#[test]
fn closing_does_not_wait_for_the_others_to_join() {
    let mut world = World::with(&[Assignor::Range], &[0]);
    world.rebalance();
    released(world.step(0));
    world.member.on_released();
    world.member.close();
    assert!(matches!(world.step(0), Some(Step::Leave { .. })));
    let (now, answer) = (world.start, world.answer(2));
    assert!(world.member.on_join(Ok(answer), now).is_none(), "the late answer changes nothing");
}

#[test]
fn a_static_member_does_not_leave() {
    // KIP-345.
    let mut world = World::with(&[Assignor::Range], &[0]);
    world.member.rules.is_static = true;
    world.member.close();
    released(world.step(0));
    assert!(matches!(world.member.on_released(), Some(Step::End(None))));
}

#[test]
fn a_program_that_stops_asking_leaves_and_joins_anew_when_it_asks() {
    // KIP-62; Java's heartbeat thread leaves with "consumer poll timeout has expired".
    let mut world = World::with(&[Assignor::Range], &[0]);
    assert!(matches!(world.member.on_poll_expired(), Some(Step::Leave { member_id }) if member_id == "m"));
    assert!(world.member.on_left().is_none() && world.step(100).is_none());
    assert!(!world.member.may_read(&of(&[0])[0]));
    world.member.on_polled();
    assert_eq!(released(world.step(100)), (of(&[0]), true));
    assert!(matches!(world.member.on_released(), Some(Step::Join { member_id, .. }) if member_id.is_empty()));
}

#[test]
fn an_error_that_waiting_does_not_cure_ends_the_member() {
    let mut world = World::with(&[Assignor::Range], &[0]);
    let now = world.start;
    let error = Error::server("Heartbeat", ErrorCode::FencedInstanceId.number());
    world.member.on_heartbeat(1, Err(Failure::of(error)), now);
    assert_eq!(released(world.step(0)), (of(&[0]), true));
    let end = world.member.on_released();
    assert!(matches!(end, Some(Step::End(Some(error))) if error.code() == Some(ErrorCode::FencedInstanceId)));
}
