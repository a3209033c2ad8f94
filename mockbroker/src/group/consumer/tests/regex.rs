//! F.10: subscription by pattern.

use kafka_protocol::error::ResponseError;

use super::kit::{World, beat, join, join_regex, of};
use crate::group::consumer::ConsumerGroupState;

#[test]
fn a_pattern_is_resolved_after_the_join() {
    // Step by step as on a real 4.3.1: epoch 1 and nothing, then the bump, then the partitions.
    let mut world = World::new();
    let answer = world.ok(join_regex("A", "t.*"));
    assert_eq!((answer.member_epoch, answer.assignment), (1, Some(world.of_t(&[]))));
    assert_eq!(world.group.next_deadline(), Some(world.now));
    world.expire();
    assert_eq!((world.epochs(), world.state()), ((2, 1), ConsumerGroupState::Assigning));
    let answer = world.ok(beat("A", 1));
    assert_eq!((answer.member_epoch, answer.assignment), (2, Some(world.of_t(&[0, 1, 2, 3]))));
    assert_eq!(world.state(), ConsumerGroupState::Stable);
}

#[test]
fn a_pattern_that_is_none_is_refused_and_leaves_no_group() {
    // Seen on a real 4.3.1. What is wrong is said in other words.
    let mut world = World::new();
    for pattern in ["[", "a)(b", "(?=a)", r"(a)\1"] {
        let refusal = world.send(join_regex("A", pattern)).unwrap_err();
        assert_eq!(refusal.error, ResponseError::InvalidRegularExpression);
        let text = refusal.message.unwrap();
        assert!(
            text.starts_with(&format!("SubscribedTopicRegex `{pattern}` is not a valid regular expression: ")),
            "{text}"
        );
    }
    assert_eq!(world.state(), ConsumerGroupState::Dead);
}

#[test]
fn a_pattern_matches_whole_names() {
    let mut world = World::new();
    world.topics.create("tt", 1);
    world.ok(join_regex("A", "t|nothing"));
    world.expire();
    assert_eq!(world.ok(beat("A", 1)).assignment, Some(world.of_t(&[0, 1, 2, 3])));
}

#[test]
fn names_and_pattern_are_one_subscription() {
    let mut world = World::new();
    let u = world.topics.create("u", 1);
    world.ok(join("A", &["t"]).matching("u"));
    world.expire();
    world.advance(1000);
    let mut expected = world.of_t(&[0, 1, 2, 3]);
    expected.extend(of(u, &[0]));
    assert_eq!(world.ok(beat("A", 2)).assignment, Some(expected));
}

#[test]
fn a_pattern_that_is_known_bumps_at_once() {
    // REGEX_UPDATED_AND_RESOLVED.
    let mut world = World::new();
    world.ok(join_regex("A", "t"));
    world.expire();
    assert_eq!(world.epochs().0, 2);
    world.ok(join_regex("B", "t"));
    assert_eq!(world.epochs().0, 3);
}

#[test]
fn a_pattern_without_subscribers_is_forgotten() {
    let mut world = World::new();
    world.ok(join_regex("A", "t"));
    world.expire();
    world.ok(join_regex("B", "t"));
    let resolved = |world: &World| world.group.hard_state().resolved_regexes().len();
    world.ok(beat("A", 1).matching(""));
    assert_eq!(resolved(&world), 1, "B is subscribed to it");
    world.ok(beat("B", -1));
    assert_eq!(resolved(&world), 0);
}

#[test]
fn a_new_topic_is_looked_for_but_not_within_ten_seconds() {
    // REGEX_BATCH_REFRESH_MIN_INTERVAL_MS.
    let mut world = World::new();
    world.ok(join_regex("A", "t.*"));
    world.expire();
    world.ok(beat("A", 1));
    world.topics.create("tt", 1);
    world.advance(10_000);
    world.ok(beat("A", 2));
    world.advance(0);
    assert_eq!(world.epochs().0, 2);
    world.advance(1);
    world.ok(beat("A", 2));
    world.advance(0);
    assert_eq!(world.epochs().0, 3);
}

#[test]
fn a_pattern_that_stands_for_the_same_topics_does_not_bump() {
    // F.10: looked up every ten minutes all the same.
    let mut world = World::new();
    world.ok(join_regex("A", "t"));
    world.expire();
    world.ok(beat("A", 1));
    for _ in 0..20 {
        world.advance(30_001);
        world.ok(beat("A", 2));
        world.advance(0);
    }
    let at = |world: &World| world.group.hard_state().resolved_regexes()["t"].timestamp;
    assert_eq!(at(&world), world.now.as_millis(), "600 020 ms after the first");
    assert_eq!(world.epochs().0, 2);
}
