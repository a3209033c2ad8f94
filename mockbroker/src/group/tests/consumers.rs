//! Consumer groups in the coordinator: their configs, their topics, their deadlines, and what they cost.

use kafka_protocol::error::ResponseError::*;

use super::kit::*;
use crate::cluster::tests::cluster;
use crate::cluster::{BrokerConfig, NewTopic};
use crate::group::consumer::tests::kit::{beat, join, join_regex};
use crate::group::consumer::{ConsumerGroupState, Partitions};
use crate::group::*;
use crate::ids::IdSource;
use crate::time::Timestamp;
use crate::types::Ticket;

#[test]
fn a_member_of_version_0_may_be_given_an_id() {
    let mut kit = Kit::with_topic(|_| ());
    let request =
        ConsumerGroupHeartbeat { group_id: GROUP.into(), requires_member_id: false, heartbeat: join("", &["t"]) };
    let ticket = kit.ask(|ticket| Event::ConsumerGroupHeartbeat(ticket, request));
    let Response::ConsumerGroupHeartbeat(Ok(answer)) = kit.answer(ticket).clone() else { panic!("it may join") };
    assert_eq!(answer.member_id.len(), 22);
    assert_eq!(kit.beat_error(join("", &["t"])), InvalidRequest);
    assert_eq!(kit.beats(beat(&answer.member_id, 2)), (2, None));
}

#[test]
fn a_group_has_configs_of_its_own_within_the_bounds_of_the_broker() {
    // GroupConfig.evaluate: what was set under other bounds is capped.
    let mut kit = Kit::with_topic(|_| ());
    let interval = |kit: &mut Kit| kit.beat(join("A", &["t"])).unwrap().heartbeat_interval_ms;
    assert_eq!(interval(&mut kit), 5000);
    for (value, effective) in [("7000", 7000), ("100", 5000), ("90000", 15_000)] {
        kit.set_group_config("consumer.heartbeat.interval.ms", value);
        assert_eq!(interval(&mut kit), effective);
    }
    kit.set_group_config("consumer.session.timeout.ms", "50000");
    kit.beats(beat("A", 2));
    kit.advance(49_999);
    assert_eq!(kit.described().members.len(), 1);
    kit.advance(1);
    assert_eq!(kit.consumer_state(), ConsumerGroupState::Empty);
    kit.set_group_config("consumer.assignment.interval.ms", "0");
    kit.beats(join("A", &["t"]));
    assert_eq!(kit.beats(join("B", &["t"])).0, 5, "no second need pass between two targets");
}

#[test]
fn topics_that_come_and_grow_are_noticed_with_the_next_heartbeat() {
    let mut kit = Kit::with_topic(|_| ());
    assert_eq!(kit.beats(join("A", &["t", "u"])), (2, Some(kit.of_t(&[0, 1, 2, 3]))));
    kit.advance(1000);
    let u = kit.create_topic("u", 1);
    let (epoch, assigned) = kit.beats(beat("A", 2));
    assert_eq!((epoch, assigned.unwrap().contains_key(&u)), (3, true));
    kit.advance(1000);
    kit.create_topic("v", 1);
    assert_eq!(kit.beats(beat("A", 3)), (3, None), "nobody reads v");
}

#[test]
fn a_pattern_is_looked_up_after_the_heartbeat_and_internal_topics_match_it_too() {
    let mut kit = Kit::with_topic(|_| ());
    kit.create_topic("__consumer_offsets", 1);
    assert_eq!(kit.beats(join_regex("A", ".*")), (1, Some(Partitions::new())));
    kit.expire();
    let (epoch, assigned) = kit.beats(beat("A", 1));
    assert_eq!((epoch, assigned.unwrap().len()), (2, 2));
    assert!(kit.coordinator.check_offset_fetch(GROUP, Some("A"), 2).is_ok());
    assert_eq!(kit.delete_offsets("t"), Ok(vec![Some(GroupSubscribedToTopic)]));
}

#[test]
fn offsets_of_topics_that_nobody_reads_expire_although_there_are_members() {
    // ConsumerGroup.offsetExpirationCondition: from the commit on.
    let mut kit = Kit::with_topic(|config| {
        config.offsets_retention_minutes = 1;
        config.offsets_retention_check_interval_ms = 10_000;
    });
    kit.beats(join("A", &["t"]));
    assert_eq!(kit.commit(offset_commit(identity(&"A".into(), 2), "t", 5)), [None]);
    assert_eq!(kit.commit(offset_commit(identity(&"A".into(), 2), "u", 5)), [None]);
    for _ in 0..7 {
        kit.advance(10_000);
        kit.beats(beat("A", 2));
    }
    assert_eq!((kit.offset("t"), kit.offset("u")), (5, -1));
    kit.beats(beat("A", -1));
    kit.advance(70_000);
    assert_eq!((kit.offset("t"), kit.group_type()), (-1, None), "an empty group without offsets is deleted");
}

#[test]
fn a_group_that_moves_to_another_node_is_found_there() {
    let mut kit = Kit::with_topic(|_| ());
    kit.beats(join("A", &["t"]));
    let before = kit.described();
    kit.restart();
    assert_eq!(kit.described(), before);
    assert_eq!(kit.beats(beat("A", 2)), (2, None));
    kit.advance(45_000);
    assert_eq!(kit.consumer_state(), ConsumerGroupState::Empty);
    kit.restart();
    assert_eq!(kit.consumer_state(), ConsumerGroupState::Empty);
    assert_eq!(kit.delete_group(GROUP), None);
    kit.restart();
    assert_eq!(kit.group_type(), None);
}

#[test]
fn groups_of_both_kinds_are_listed() {
    let mut kit = Kit::with_topic(|_| ());
    kit.beats(join("A", &["t"]));
    let other = MemberIdentity { group_id: "a simple one".into(), ..nobody() };
    kit.commit(offset_commit(other, "t", 1));
    let listed: Vec<_> = kit.coordinator.list().collect();
    let shown: Vec<_> =
        listed.iter().map(|it| (&*it.group_id, &*it.protocol_type, it.state, it.group_type.name())).collect();
    assert_eq!(shown, [("a simple one", "", "Empty", "classic"), ("g", "consumer", "Stable", "consumer")]);
    assert_eq!(kit.coordinator.why_not_described(GROUP), "Group g is not a classic group.");
    assert!(kit.coordinator.describe_classic(GROUP).is_none());
}

#[test]
fn hundreds_of_members_of_the_consumer_protocol_settle() {
    // A thousand are in `just bench`, groups. On a virtual clock, with all records as bytes. Without the kit, which looks at everything.
    let (config, mut cluster, mut ids) = (BrokerConfig::default(), cluster(1, &[]), IdSource::new(1));
    let new = NewTopic { num_partitions: 300, ..NewTopic::named("t") };
    let planned = cluster.plan_topic(&new, &mut ids).unwrap();
    cluster.add_topic(planned);
    let (mut coordinator, mut now) = (GroupCoordinator::default(), Timestamp::from_millis(0));
    let mut written = 0;
    let mut send = |now, heartbeat| {
        let request = ConsumerGroupHeartbeat { group_id: GROUP.into(), requires_member_id: true, heartbeat };
        let mut ctx = Ctx { now, cluster: &cluster, config: &config, ids: &mut ids };
        let mut out = Vec::new();
        coordinator.step(&mut ctx, Event::ConsumerGroupHeartbeat(Ticket(0), request), &mut out);
        let mut answer = None;
        for effect in out {
            match effect {
                Effect::Persist(record) => {
                    written += record.key().len() + record.value().map_or(0, |value| value.len())
                }
                Effect::Answer(_, Response::ConsumerGroupHeartbeat(Ok(accepted))) => answer = Some(accepted),
                other => panic!("{other:?}"),
            }
        }
        (answer.unwrap(), coordinator.next_deadline())
    };
    let mut members: Vec<(String, i32, Partitions)> = Vec::new();
    for number in 0..300 {
        let (answer, _) = send(now, join(&format!("member-{number:04}"), &["t"]));
        members.push((answer.member_id, answer.member_epoch, answer.assignment.unwrap()));
    }
    let mut rounds = 0;
    while members.iter().any(|(_, _, owned)| owned.values().map(|partitions| partitions.len()).sum::<usize>() != 1) {
        rounds += 1;
        now = now.plus_millis(1000);
        for (member_id, member_epoch, owned) in &mut members {
            let (answer, next) = send(now, beat(member_id, *member_epoch).owning(owned));
            assert!(next.is_some_and(|next| next > now));
            *member_epoch = answer.member_epoch;
            if let Some(assignment) = answer.assignment {
                *owned = assignment;
            }
        }
    }
    assert!(rounds <= 4 && written > 0, "{rounds} rounds of heartbeats");
}
