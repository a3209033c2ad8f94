//! The rules of a member, without a broker and without a clock: time is a number that the test passes in.

use super::*;
use crate::codes::ErrorCode;

const INTERVAL: Duration = Duration::from_secs(5);

struct World {
    member: ConsumerMember,
    start: Instant,
}

fn topic(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// Partitions of topic 1.
fn of(numbers: &[i32]) -> Partitions {
    numbers.iter().map(|number| (topic(1), *number)).collect()
}

fn named(numbers: &[i32]) -> Vec<TopicPartition> {
    numbers.iter().map(|number| TopicPartition::new("t1", *number)).collect()
}

fn error(code: ErrorCode) -> Error {
    Error::server("ConsumerGroupHeartbeat", code.number())
}

impl World {
    fn new(change: impl FnOnce(&mut Rules)) -> Self {
        let mut rules = Rules {
            is_static: false,
            patience: Duration::from_secs(45),
            backoff: Backoff { initial: Duration::from_millis(100), maximum: Duration::from_secs(1) },
            may_fall_back: false,
        };
        change(&mut rules);
        let start = Instant::now();
        let mut member = ConsumerMember::new(rules, Uuid::from_u128(7), start);
        member.names = (1..=2).map(|number| (topic(number), format!("t{number}").into())).collect();
        Self { member, start }
    }

    /// A member at epoch 1 that has acknowledged these partitions.
    fn with(numbers: &[i32]) -> Self {
        let mut world = Self::new(|_| {});
        world.beat(0);
        world.heard(0, 1, Some(of(numbers)));
        if !numbers.is_empty() {
            assert!(matches!(world.step(0), Some(Step::Adopt(added)) if added == named(numbers)));
        }
        assert_eq!(world.beat(0).owned, Some(of(numbers)));
        world.heard(0, 1, None);
        assert!(world.step(0).is_none());
        world
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    fn step(&mut self, seconds: u64) -> Option<Step> {
        let now = self.at(seconds);
        self.member.step(now)
    }

    fn beat(&mut self, seconds: u64) -> Beat {
        match self.step(seconds) {
            Some(Step::Beat(beat)) => beat,
            other => panic!("{other:?}"),
        }
    }

    fn heard(&mut self, seconds: u64, member_epoch: i32, assignment: Option<Partitions>) {
        let heard = Heard { member_epoch, heartbeat_interval: INTERVAL, assignment };
        let (life, now) = (self.member.life, self.at(seconds));
        assert!(self.member.on_heartbeat(life, Ok(heard), now).is_none());
    }

    fn refused(&mut self, seconds: u64, code: ErrorCode) -> Option<Step> {
        let (life, now) = (self.member.life, self.at(seconds));
        self.member.on_heartbeat(life, Err(Failure::of(error(code))), now)
    }

    fn released(&mut self, seconds: u64) -> (Vec<TopicPartition>, bool) {
        match self.step(seconds) {
            Some(Step::Release { partitions, lost }) => (partitions, lost),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_first_heartbeat_says_everything_and_the_next_nothing() {
    // HeartbeatState.buildRequestData.
    let mut world = World::new(|_| {});
    let first = world.beat(0);
    assert_eq!((first.member_epoch, first.is_full, first.owned), (0, true, Some(of(&[]))));
    assert!(world.step(100).is_none(), "it is under way");
    world.heard(100, 1, None);
    assert!(world.step(104).is_none());
    assert_eq!(world.member.next_deadline(), Some(world.at(105)));
    let second = world.beat(105);
    assert_eq!((second.member_epoch, second.is_full, second.owned), (1, false, None));
}

#[test]
fn what_goes_is_given_back_before_it_is_acknowledged() {
    // KIP-848, reconciliation: revoke, acknowledge, and only then take up.
    let mut world = World::with(&[0, 1]);
    world.beat(5);
    world.heard(5, 2, Some(of(&[1, 2])));
    assert_eq!(world.released(5), (named(&[0]), false));
    assert!(world.step(5).is_none(), "nothing is acknowledged while the program is at it");
    let meanwhile = world.beat(10);
    assert_eq!((meanwhile.member_epoch, meanwhile.owned), (2, None));
    world.heard(10, 2, None);
    assert!(world.member.on_released().is_none());
    assert!(matches!(world.step(10), Some(Step::Adopt(added)) if added == named(&[2])));
    assert_eq!(world.beat(10).owned, Some(of(&[1, 2])), "at once");
}

#[test]
fn a_lost_answer_makes_the_next_heartbeat_say_everything() {
    let mut world = World::with(&[0, 1]);
    world.beat(5);
    world.heard(5, 2, Some(of(&[1])));
    world.released(5);
    world.beat(10);
    world.refused(10, ErrorCode::CoordinatorLoadInProgress);
    assert!(world.step(10).is_none(), "it waits");
    let again = world.beat(12);
    assert!(again.is_full);
    assert_eq!(again.owned, Some(of(&[0, 1])), "what is being given back is still ours");
}

#[test]
fn a_member_that_is_put_out_loses_everything_and_joins_again() {
    for code in [ErrorCode::FencedMemberEpoch, ErrorCode::UnknownMemberId] {
        let mut world = World::with(&[0, 1]);
        let before = world.member.identity().0.to_owned();
        world.beat(5);
        world.refused(5, code);
        // Who is known is let in at once under its id; who is not might be taken for the one that it was.
        assert_eq!(world.member.identity().0 == before, code == ErrorCode::FencedMemberEpoch);
        assert!(!world.member.is_member());
        assert!(!world.member.may_read(&named(&[0])[0]));
        assert_eq!(world.released(5), (named(&[0, 1]), true));
        assert!(world.step(5).is_none(), "the program is told first");
        assert!(world.member.on_released().is_none());
        let join = world.beat(5);
        assert_eq!((join.member_epoch, join.is_full, join.owned), (0, true, Some(of(&[]))), "without waiting");
    }
}

#[test]
fn being_put_out_while_giving_back_loses_the_rest() {
    let mut world = World::with(&[0, 1]);
    world.beat(5);
    world.heard(5, 2, Some(of(&[1])));
    assert_eq!(world.released(5), (named(&[0]), false));
    world.beat(10);
    world.refused(10, ErrorCode::FencedMemberEpoch);
    assert!(world.step(10).is_none(), "one thing at a time");
    assert!(world.member.on_released().is_none());
    assert_eq!(world.released(10), (named(&[1]), true));
    world.member.on_released();
    assert_eq!(world.beat(10).member_epoch, 0);
}

#[test]
fn an_answer_of_an_earlier_life_means_nothing() {
    let mut world = World::with(&[0]);
    world.beat(5);
    let life = world.member.life;
    assert!(matches!(world.member.on_poll_expired(), Some(Step::Depart { member_epoch: -1 })));
    world.member.on_polled();
    assert_eq!(world.released(5), (named(&[0]), true));
    world.member.on_released();
    assert_eq!(world.beat(5).member_epoch, 0);
    let late = Heard { member_epoch: 7, heartbeat_interval: INTERVAL, assignment: Some(of(&[0])) };
    let now = world.at(5);
    world.member.on_heartbeat(life, Ok(late), now);
    assert!(!world.member.is_member() && world.step(5).is_none());
}

#[test]
fn a_program_that_stops_asking_is_no_member_until_it_asks_again() {
    let mut world = World::with(&[0]);
    assert!(world.member.on_poll_expired().is_some());
    assert!(world.step(50).is_none() && world.member.next_deadline().is_none());
    assert!(world.member.on_poll_expired().is_none(), "once");
}

#[test]
fn a_topic_without_a_name_is_asked_for_and_the_others_do_not_wait() {
    // Client trap 106: the server's assignment is trusted.
    let mut world = World::with(&[]);
    world.beat(5);
    world.heard(5, 2, Some(Partitions::from([(topic(1), 0), (topic(9), 0)])));
    assert!(matches!(world.step(5), Some(Step::Resolve(ids)) if ids == [topic(9)].into()));
    assert!(matches!(world.step(5), Some(Step::Adopt(added)) if added == named(&[0])));
    assert_eq!(world.beat(5).owned, Some(of(&[0])), "only what it has");
    world.heard(5, 2, None);
    let now = world.at(5);
    world.member.on_names(BTreeMap::new(), now);
    assert!(world.step(5).is_none());
    assert!(matches!(world.step(6), Some(Step::Resolve(_))), "again, after a moment");
    let now = world.at(6);
    world.member.on_names([(topic(9), "t9".into())].into(), now);
    assert!(matches!(world.step(6), Some(Step::Adopt(added)) if added == [TopicPartition::new("t9", 0)]));
}

#[test]
fn a_topic_that_was_created_anew_is_given_back_and_taken_up() {
    // KIP-516: the same name, and another topic.
    let mut world = World::with(&[0]);
    world.member.names.insert(topic(2), "t1".into());
    world.beat(5);
    world.heard(5, 2, Some(Partitions::from([(topic(2), 0)])));
    assert_eq!(world.released(5), (named(&[0]), false));
    world.member.on_released();
    assert!(matches!(world.step(5), Some(Step::Adopt(added)) if added == named(&[0])));
}

#[test]
fn closing_gives_back_and_leaves() {
    for (is_static, epoch) in [(false, -1), (true, -2)] {
        let mut world = World::with(&[0]);
        world.member.rules.is_static = is_static;
        world.member.close();
        assert_eq!(world.released(1), (named(&[0]), false));
        assert!(matches!(world.member.on_released(), Some(Step::Depart { member_epoch }) if member_epoch == epoch));
        assert!(matches!(world.member.on_left(), Some(Step::End(None))));
    }
}

#[test]
fn a_member_that_joins_leaves_as_well_when_it_is_closed() {
    // Client trap 96: the answer may be on its way.
    let mut world = World::new(|_| {});
    world.beat(0);
    world.member.close();
    assert!(matches!(world.step(0), Some(Step::Depart { member_epoch: -1 })));
    let mut world = World::new(|_| {});
    world.member.close();
    assert!(matches!(world.step(0), Some(Step::End(None))), "nobody knows it");
}

#[test]
fn a_predecessor_is_waited_for_and_not_for_ever() {
    let mut world = World::new(|rules| rules.is_static = true);
    world.beat(0);
    assert!(world.refused(0, ErrorCode::UnreleasedInstanceId).is_none());
    assert!(world.step(0).is_none());
    assert_eq!(world.beat(2).member_epoch, 0);
    world.refused(50, ErrorCode::UnreleasedInstanceId);
    let ended = world.step(50);
    assert!(matches!(ended, Some(Step::End(Some(error))) if error.code() == Some(ErrorCode::UnreleasedInstanceId)));
}

#[test]
fn only_the_first_heartbeat_may_make_it_a_classic_member() {
    // Client trap 107.
    for code in [ErrorCode::UnsupportedVersion, ErrorCode::GroupIdNotFound] {
        let mut world = World::new(|rules| rules.may_fall_back = true);
        world.beat(0);
        assert!(matches!(world.refused(0, code), Some(Step::FallBack)));
        let mut world = World::with(&[]);
        world.member.rules.may_fall_back = true;
        world.beat(5);
        assert!(world.refused(5, code).is_none());
        assert!(matches!(world.step(5), Some(Step::End(Some(_)))));
    }
}

#[test]
fn what_waiting_does_not_cure_ends_the_member_and_loses_what_it_has() {
    for code in [ErrorCode::UnsupportedAssignor, ErrorCode::FencedInstanceId, ErrorCode::InvalidRegularExpression] {
        let mut world = World::with(&[0]);
        world.beat(5);
        world.refused(5, code);
        assert_eq!(world.released(5), (named(&[0]), true));
        let ended = world.member.on_released();
        assert!(matches!(ended, Some(Step::End(Some(error))) if error.code() == Some(code)));
    }
}
