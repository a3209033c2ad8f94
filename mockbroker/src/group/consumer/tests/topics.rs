//! F.3: topics that change bump the group epoch with the next heartbeat of any member.

use uuid::uuid;

use super::kit::{Catalog, World, beat, join, of};
use crate::group::consumer::TopicCatalog;
use crate::group::consumer::topics::metadata_hash;

#[test]
fn new_partitions_are_given_out() {
    let mut world = World::new();
    world.ok(join("A", &["t"]));
    world.topics.grow("t", 6);
    assert_eq!(world.ok(beat("A", 2)).member_epoch, 2);
    assert_eq!(world.epochs(), (3, 2));
    world.advance(1000);
    let answer = world.ok(beat("A", 2));
    assert_eq!((answer.member_epoch, answer.assignment), (3, Some(world.of_t(&[0, 1, 2, 3, 4, 5]))));
}

#[test]
fn a_topic_that_appears_is_given_out() {
    let mut world = World::new();
    world.ok(join("A", &["t", "u"]));
    let u = world.topics.create("u", 1);
    world.advance(1000);
    let mut expected = world.of_t(&[0, 1, 2, 3]);
    expected.extend(of(u, &[0]));
    assert_eq!(world.ok(beat("A", 2)).assignment, Some(expected));
}

#[test]
fn a_topic_that_is_deleted_is_given_up() {
    let mut world = World::new();
    world.topics.create("u", 1);
    world.ok(join("A", &["t", "u"]));
    world.topics.delete("u");
    world.advance(1000);
    let keeps = world.of_t(&[0, 1, 2, 3]);
    let answer = world.ok(beat("A", 2).owning(&keeps));
    assert_eq!((answer.member_epoch, answer.assignment), (3, Some(keeps)));
}

#[test]
fn a_topic_that_nobody_is_subscribed_to_says_nothing() {
    let mut world = World::new();
    world.ok(join("A", &["t"]));
    world.topics.create("other", 3);
    let records = world.records.len();
    world.ok(beat("A", 2));
    assert_eq!((world.epochs(), world.records.len()), ((2, 2), records));
}

#[test]
fn replicas_on_other_racks_bump() {
    // KIP-1101: racks are in the hash, although no assignor looks at them.
    let mut world = World::new();
    world.ok(join("A", &["t"]));
    world.topics.place(world.t(), &["b", "a"]);
    world.ok(beat("A", 2));
    assert_eq!(world.epochs().0, 3);
    world.topics.place(world.t(), &["a", "b"]);
    world.ok(beat("A", 2));
    assert_eq!(world.epochs().0, 3, "their order says nothing");
}

#[test]
fn the_hash_is_that_of_a_real_kafka() {
    // DumpLogSegments of a 4.3.1 on the rack RACK1: the record of a group that is subscribed to `ha` and `hb`.
    let mut topics = Catalog::default();
    topics.create_as("ha", 2, uuid!("33403078-55c3-4bfa-8976-c38f5de28a22"));
    topics.create_as("hb", 1, uuid!("ef732338-9965-4630-8bb7-1169fb984aca"));
    for name in ["ha", "hb"] {
        let (id, _) = topics.topic(name).unwrap();
        topics.place(id, &["RACK1"]);
    }
    assert_eq!(metadata_hash(&topics, &["ha", "hb"].into()), 4_314_314_464_782_961_301);
}

#[test]
fn the_hash_of_no_topic_is_zero() {
    // Utils.computeGroupHash.
    let mut topics = Catalog::default();
    assert_eq!(metadata_hash(&topics, &["missing"].into()), 0);
    topics.create("a", 1);
    assert!(topics.topic("a").is_some());
    assert_ne!(metadata_hash(&topics, &["a", "missing"].into()), 0);
}
