//! Every event in every state of a group of either kind, as a table to be read beside the specification (E and F): what is
//! answered, and the state after. The moves that it makes are held to the table of legal ones.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::kit::*;
use super::mixed_kit::classic;
use crate::group::consumer::ConsumerGroupState;
use crate::group::consumer::tests::kit::{beat, join};
use crate::group::*;
use crate::types::Ticket;

/// A group in some state, and who is in it: of a classic one the leader and a follower at generation 1, of a consumer group
/// the first member.
struct Scene {
    kit: Kit,
    leader: StrBytes,
    follower: StrBytes,
    /// An id that was told to somebody who has not come back with it.
    pending: StrBytes,
    /// Of the consumer group's first member.
    epoch: i32,
}

const STATES: [&str; 10] = [
    "no group",
    "Empty",
    "PreparingRebalance, the first",
    "PreparingRebalance",
    "CompletingRebalance",
    "Stable",
    "consumer Empty",
    "consumer Assigning",
    "consumer Reconciling",
    "consumer Stable",
];

impl Scene {
    fn reach(state: &str) -> Self {
        let kit = Kit::with_topic(|_| ());
        let mut scene = Self { kit, leader: text("A"), follower: text("B"), pending: text("C"), epoch: 1 };
        match state {
            "no group" => {}
            _ if state.starts_with("consumer") => scene.reach_consumer(state),
            _ => scene.reach_classic(state),
        }
        scene
    }

    fn reach_classic(&mut self, state: &str) {
        let kit = &mut self.kit;
        let two = [classic(&["t"], &[]), classic(&["t"], &[])];
        if state == "PreparingRebalance, the first" {
            self.leader = kit.join_with_new_id(two[0].clone()).0;
            self.follower = kit.join_with_new_id(two[1].clone()).0;
        } else {
            [self.leader, self.follower] = match state {
                "CompletingRebalance" => kit.completing(&two).try_into().expect("two"),
                _ => kit.classic_pair(),
            };
        }
        match state {
            "Empty" => drop(kit.leave(&[(&self.leader, None), (&self.follower, None)])),
            "PreparingRebalance" => drop(kit.join_with_new_id(two[0].clone())),
            _ => {}
        }
        let told = kit.join(two[0].clone());
        self.pending = kit.joined(told).member_id;
    }

    fn reach_consumer(&mut self, state: &str) {
        self.epoch = self.kit.beats(join("A", &["t"])).0;
        match state {
            "consumer Empty" => drop(self.kit.beats(beat("A", -1))),
            // The target is computed once a second at most.
            "consumer Assigning" => drop(self.kit.beats(join("B", &["t"]))),
            "consumer Reconciling" => {
                self.kit.advance(1000);
                self.kit.beats(join("B", &["t"]));
            }
            _ => {}
        }
    }

    /// The state as users see it, with its kind.
    fn state(&mut self) -> String {
        match self.kit.group_type() {
            None => "no group".to_owned(),
            Some(GroupType::Classic) => self.kit.state().name().to_owned(),
            Some(GroupType::Consumer) => format!("consumer {}", self.kit.consumer_state().name()),
        }
    }

    /// What came of a question.
    fn asked(&mut self, event: impl FnOnce(Ticket) -> Event) -> String {
        let ticket = self.kit.ask(event);
        if self.kit.waits(ticket) { "waits".to_owned() } else { told(self.kit.answer(ticket)) }
    }

    fn joins(&mut self, member_id: &StrBytes, change: impl FnOnce(&mut Join)) -> String {
        let mut request = Join { member_id: member_id.clone(), ..classic(&["t"], &[]) };
        change(&mut request);
        self.asked(|ticket| Event::Join(ticket, request))
    }

    fn syncs(&mut self, member_id: &StrBytes, generation_id: i32, assigned: &[&StrBytes]) -> String {
        let assignments = assigned.iter().map(|member| ((*member).clone(), vec![1_u8].into())).collect();
        let request = Sync { assignments, protocol_type: None, protocol_name: None, ..sync(member_id, generation_id) };
        self.asked(|ticket| Event::Sync(ticket, request))
    }

    fn beats(&mut self, member_id: &StrBytes, generation_id: i32) -> String {
        let member = identity(member_id, generation_id);
        self.asked(|ticket| Event::Heartbeat(ticket, member))
    }

    fn leaves(&mut self, member_ids: &[&StrBytes]) -> String {
        let members = member_ids.iter().map(|id| ((*id).clone(), None)).collect();
        self.asked(|ticket| Event::Leave(ticket, Leave { group_id: GROUP.into(), members }))
    }

    fn commits(&mut self, member: MemberIdentity) -> String {
        self.asked(|ticket| Event::OffsetCommit(ticket, offset_commit(member, "t", 1)))
    }

    fn consumes(&mut self, heartbeat: consumer::Heartbeat) -> String {
        let request = ConsumerGroupHeartbeat { group_id: GROUP.into(), requires_member_id: true, heartbeat };
        self.asked(|ticket| Event::ConsumerGroupHeartbeat(ticket, request))
    }

    fn passes(&mut self, millis: i64) -> String {
        self.kit.advance(millis);
        "".to_owned()
    }
}

/// An answer in few words.
fn told(answer: &Response) -> String {
    let code = |error: &Option<ResponseError>| error.map_or("ok".to_owned(), |error| format!("{error:?}"));
    match answer {
        Response::Join(joined) if joined.error.is_some() => code(&joined.error),
        Response::Join(joined) => {
            let leads = if joined.leader == joined.member_id { ", leads" } else { "" };
            format!("generation {}{leads}", joined.generation_id)
        }
        Response::Sync(synced) => code(&synced.as_ref().err().copied()),
        Response::Heartbeat(answer) => code(&answer.err()),
        Response::Leave(Ok(left)) => left.iter().map(|it| code(&it.error)).collect::<Vec<_>>().join(", "),
        Response::Leave(Err(error)) => code(&Some(*error)),
        Response::OffsetCommit(topics) => code(&topics[0].partitions[0].1),
        Response::DeleteOffsets(Ok(topics)) => code(&topics[0].partitions[0].1),
        Response::DeleteOffsets(Err(error)) => code(&Some(*error)),
        Response::DeleteGroups(results) => code(&results[0].1),
        Response::ConsumerGroupHeartbeat(Ok(heard)) => {
            let assigned = heard.assignment.as_ref().map(|it| it.values().map(BTreeSet::len).sum::<usize>());
            format!(
                "epoch {}{}",
                heard.member_epoch,
                assigned.map_or(String::new(), |count| format!(", {count} partitions"))
            )
        }
        Response::ConsumerGroupHeartbeat(Err(refusal)) => code(&Some(refusal.error)),
    }
}

type Act = fn(&mut Scene) -> String;

#[rustfmt::skip]
const EVENTS: [(&str, Act); 40] = [
    ("join, somebody new", |it| it.joins(&StrBytes::new(), |_| ())),
    ("join, of an old version", |it| it.joins(&StrBytes::new(), |join| join.requires_known_member_id = false)),
    ("join, static", |it| it.joins(&StrBytes::new(), |join| join.group_instance_id = Some("i".into()))),
    ("join, with a told id", |it| it.joins(&it.pending.clone(), |_| ())),
    ("join, the leader", |it| it.joins(&it.leader.clone(), |_| ())),
    ("join, the follower", |it| it.joins(&it.follower.clone(), |_| ())),
    ("join, the follower, other topics", |it| {
        it.joins(&it.follower.clone(), |join| join.protocols = classic(&["u"], &[]).protocols)
    }),
    ("join, an unknown id", |it| it.joins(&text("x"), |_| ())),
    ("join, another type", |it| it.joins(&StrBytes::new(), |join| join.protocol_type = "connect".into())),
    ("sync, the leader", |it| it.syncs(&it.leader.clone(), 1, &[&it.leader.clone(), &it.follower.clone()])),
    ("sync, the follower", |it| it.syncs(&it.follower.clone(), 1, &[])),
    ("sync, another generation", |it| it.syncs(&it.leader.clone(), 2, &[])),
    ("sync, an unknown id", |it| it.syncs(&text("x"), 1, &[])),
    ("heartbeat, the leader", |it| it.beats(&it.leader.clone(), 1)),
    ("heartbeat, another generation", |it| it.beats(&it.leader.clone(), 2)),
    ("heartbeat, an unknown id", |it| it.beats(&text("x"), 1)),
    ("leave, the leader", |it| it.leaves(&[&it.leader.clone()])),
    ("leave, both", |it| it.leaves(&[&it.leader.clone(), &it.follower.clone()])),
    ("leave, an unknown id", |it| it.leaves(&[&text("x")])),
    ("leave, all, and the time to join ends", |it| {
        let left = it.leaves(&[&it.leader.clone(), &it.follower.clone(), &it.pending.clone()]);
        it.passes(60_000);
        left
    }),
    ("commit, the leader", |it| it.commits(identity(&it.leader.clone(), 1))),
    ("commit, another generation", |it| it.commits(identity(&it.leader.clone(), 2))),
    ("commit, an unknown id", |it| it.commits(identity(&text("x"), 1))),
    ("commit, nobody", |it| it.commits(nobody())),
    ("commit in a transaction, nobody", |it| {
        it.asked(|ticket| Event::TxnOffsetCommit(ticket, txn_commit(nobody(), 1, "t", 1)))
    }),
    ("delete an offset", |it| {
        let request = DeleteOffsets { group_id: GROUP.into(), topics: vec![(text("t"), vec![0])] };
        it.asked(|ticket| Event::DeleteOffsets(ticket, request))
    }),
    ("delete the group", |it| it.asked(|ticket| Event::DeleteGroups(ticket, vec![GROUP.into()]))),
    ("consume, join", |it| it.consumes(join("N", &["t"]))),
    ("consume, the first member", |it| it.consumes(beat("A", it.epoch))),
    ("consume, it owns nothing", |it| it.consumes(beat("A", it.epoch).owning(&it.kit.of_t(&[])))),
    ("consume, an epoch ahead", |it| it.consumes(beat("A", it.epoch + 5))),
    ("consume, an unknown id", |it| it.consumes(beat("x", 1))),
    ("consume, it leaves", |it| it.consumes(beat("A", -1))),
    ("consume, a second later", |it| {
        it.passes(1000);
        it.consumes(beat("A", it.epoch))
    }),
    ("consume, after the topic grew", |it| {
        it.passes(1000);
        it.kit.create_topic("u", 1);
        it.consumes(beat("A", it.epoch).subscribed(&["t", "u"]))
    }),
    ("the initial delay passes", |it| it.passes(6000)),
    ("a classic session passes", |it| it.passes(10_000)),
    ("the time to join passes", |it| it.passes(60_000)),
    ("the coordinator moves", |it| {
        it.kit.restart();
        String::new()
    }),
    ("the topic is deleted", |it| {
        it.kit.run(|groups, ctx, out| groups.step(ctx, Event::TopicDeleted("t".into()), out));
        String::new()
    }),
];

/// What is asked in a state, what is answered, and the state after.
fn outcomes() -> Vec<[String; 4]> {
    let mut rows = Vec::new();
    for state in STATES {
        for (event, act) in EVENTS {
            let mut scene = Scene::reach(state);
            let before = scene.state();
            assert!(state.starts_with(&before), "{before} is not {state}");
            let answer = act(&mut scene);
            rows.push([state.to_owned(), event.to_owned(), answer, scene.state()]);
        }
    }
    rows
}

#[test]
fn every_event_in_every_state_has_its_outcome() {
    let mut lines = String::new();
    for [state, event, answer, after] in outcomes() {
        let after = if state.starts_with(&after) && !state.contains("the first") { "same".to_owned() } else { after };
        writeln!(lines, "{state:<29} | {event:<37} | {answer:<27} | {after}").unwrap();
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/snapshots");
    insta::with_settings!({ snapshot_path => folder, omit_expression => true }, {
        insta::assert_snapshot!(lines);
    });
}

#[test]
fn the_table_makes_every_legal_move_and_reaches_every_state() {
    let rows = outcomes();
    let kind = |state: &str| state.split(',').next().unwrap().to_owned();
    let made: BTreeSet<_> = rows.iter().map(|[before, _, _, after]| (kind(before), after.clone())).collect();
    for to in ClassicState::ALL {
        for from in to.previous() {
            // A dead group is none at all, and none is left of it.
            let names = [from.name(), to.name()].map(|name| if name == "Dead" { "no group" } else { name }.to_owned());
            let [from, to] = names;
            // With members it dies only by moving away, and by becoming a consumer group.
            let is_made = if to == "no group" && from != "Empty" && from != "no group" {
                rows.iter().any(|[before, _, _, after]| kind(before) == from && after.starts_with("consumer"))
            } else {
                made.contains(&(from.clone(), to.clone()))
            };
            assert!(is_made, "{from} -> {to} is never made");
        }
    }
    use ConsumerGroupState::{Assigning, Empty, Reconciling, Stable};
    for state in [Empty, Assigning, Reconciling, Stable].map(|state| format!("consumer {}", state.name())) {
        let comes = |it: &&(String, String)| it.1 == state && it.0 != state;
        let goes = |it: &&(String, String)| it.0 == state && it.1 != state;
        assert!(made.iter().any(|it| comes(&it)) && made.iter().any(|it| goes(&it)), "{state}");
    }
}
