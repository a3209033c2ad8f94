//! Members of both protocols that do anything at any time. What must hold, the kit checks after every step: each ticket is
//! answered once, the records alone give the same groups, a group is of one kind, no partition is two members', nothing is
//! overdue.

use super::kit::*;
use super::mixed_kit::*;
use crate::group::consumer::Heartbeat;
use crate::group::consumer::tests::kit::{beat, join, join_regex};
use crate::group::*;
use crate::ids::IdSource;
use crate::types::Ticket;

#[test]
fn whatever_members_of_both_protocols_do_records_tickets_owners_and_deadlines_agree() {
    let (mut upgrades, mut downgrades) = (0, 0);
    for seed in 0..25 {
        let mut chance = IdSource::new(seed);
        let mut crowd = Crowd::new(&mut chance);
        for _ in 0..300 {
            let before = (crowd.kit.group_type(), crowd.kit.state());
            crowd.act(&mut chance);
            match (before, crowd.kit.group_type()) {
                ((Some(GroupType::Classic), state), Some(GroupType::Consumer)) if state != ClassicState::Empty => {
                    upgrades += 1;
                }
                ((Some(GroupType::Consumer), _), Some(GroupType::Classic)) => downgrades += 1,
                _ => {}
            }
        }
    }
    assert!(upgrades > 10 && downgrades > 10, "{upgrades} upgrades with members and {downgrades} downgrades were seen");
}

/// Members of one group, who know of it what they were told.
struct Crowd {
    kit: Kit,
    classic: Vec<MemberIdentity>,
    joins: Vec<Ticket>,
    /// Those of the consumer protocol, with what they were told to own.
    consumers: Vec<Consumer>,
}

#[derive(Clone)]
struct Consumer {
    member_id: String,
    instance_id: Option<String>,
    member_epoch: i32,
    owned: consumer::Partitions,
}

impl Crowd {
    fn new(chance: &mut IdSource) -> Self {
        let mut kit = Kit::with_topic(|config| {
            config.group_max_size = 3 + i32::try_from(chance.below(4)).unwrap();
            config.group_consumer_max_size = 3 + i32::try_from(chance.below(4)).unwrap();
            config.group_initial_rebalance_delay_ms = [0, 3000][chance.below(2)];
            config.group_consumer_assignment_interval_ms = [0, 1000][chance.below(2)];
        });
        kit.set_policy(
            ["bidirectional", "bidirectional", "bidirectional", "upgrade", "downgrade", "disabled"][chance.below(6)],
        );
        Self { kit, classic: Vec::new(), joins: Vec::new(), consumers: Vec::new() }
    }

    fn act(&mut self, chance: &mut IdSource) {
        self.hear();
        match chance.below(24) {
            0 | 1 => self.consumer_joins(chance),
            2..=7 => self.consumer_beats(chance),
            8..=11 => self.classic_joins(chance),
            12..=14 => self.classic_syncs(chance),
            15..=16 => drop(self.kit.heartbeat(self.somebody(chance))),
            17 => self.leaves(chance),
            18 => drop(self.kit.commit(offset_commit(self.anybody(chance), ["t", "u"][chance.below(2)], 1))),
            19 => drop(self.kit.commit_in_transaction(txn_commit(self.anybody(chance), 1, "t", 2))),
            20 if chance.below(4) == 0 => self.kit.restart(),
            20 => drop(self.kit.delete_group(GROUP)),
            21 if self.kit.cluster.topics().len() < 4 => {
                let name = ["ta", "tb", "u"][chance.below(3)];
                if self.kit.cluster.topics().by_name(name).is_none() {
                    self.kit.create_topic(name, 3);
                }
            }
            _ => self.kit.advance([10, 500, 1000, 5000, 40_000][chance.below(5)]),
        }
    }

    /// Takes the answers that have come.
    fn hear(&mut self) {
        let kit = &self.kit;
        let (waiting, answered): (Vec<_>, Vec<_>) = self.joins.drain(..).partition(|ticket| kit.waits(*ticket));
        self.joins = waiting;
        for ticket in answered {
            let joined = kit.joined(ticket);
            if !joined.member_id.is_empty() {
                self.classic.push(identity(&joined.member_id, joined.generation_id));
            }
        }
    }

    fn somebody(&self, chance: &mut IdSource) -> MemberIdentity {
        match self.classic.len().min(5) {
            0 => nobody(),
            recent => self.classic[self.classic.len() - 1 - chance.below(recent)].clone(),
        }
    }

    fn anybody(&self, chance: &mut IdSource) -> MemberIdentity {
        match self.a_consumer(chance) {
            Some(consumer) if chance.below(2) == 0 => identity(&text(&consumer.member_id), consumer.member_epoch),
            _ => self.somebody(chance),
        }
    }

    fn a_consumer(&self, chance: &mut IdSource) -> Option<Consumer> {
        let recent = self.consumers.len().min(4);
        (recent > 0).then(|| self.consumers[self.consumers.len() - 1 - chance.below(recent)].clone())
    }

    fn consumer_joins(&mut self, chance: &mut IdSource) {
        let member_id = format!("c{}", chance.below(6));
        let request = match chance.below(4) {
            0 => join_regex(&member_id, "t.*"),
            1 => join(&member_id, &["t", "ta"]),
            _ => join(&member_id, &["t"]),
        };
        let instance_id = (chance.below(4) == 0).then(|| ["i1", "i2"][chance.below(2)].to_owned());
        self.send(Heartbeat { instance_id: instance_id.clone(), rebalance_timeout_ms: 5000, ..request }, instance_id);
    }

    fn consumer_beats(&mut self, chance: &mut IdSource) {
        let Some(consumer) = self.a_consumer(chance) else { return };
        let request = beat(&consumer.member_id, consumer.member_epoch);
        let request = match chance.below(8) {
            0 => Heartbeat { member_epoch: [-1, -2][chance.below(2)], ..request },
            1 => request.subscribed(&["t", "tb"]),
            2 => request,
            3 => request.owning(&consumer::Partitions::new()),
            _ => request.owning(&consumer.owned),
        };
        let instance_id = consumer.instance_id;
        self.send(Heartbeat { instance_id: instance_id.clone(), ..request }, instance_id);
    }

    fn send(&mut self, request: Heartbeat, instance_id: Option<String>) {
        let owned = self.consumers.iter().rev().find(|consumer| consumer.member_id == request.member_id);
        let owned = owned.filter(|_| request.member_epoch > 0).map(|known| known.owned.clone()).unwrap_or_default();
        if let Ok(answer) = self.kit.beat(request) {
            let (member_id, member_epoch) = (answer.member_id, answer.member_epoch);
            let owned = answer.assignment.unwrap_or(owned);
            self.consumers.push(Consumer { member_id, instance_id, member_epoch, owned });
        }
    }

    fn classic_joins(&mut self, chance: &mut IdSource) {
        let member = if chance.below(3) == 0 { nobody() } else { self.somebody(chance) };
        let owned: &[i32] = [&[][..], &[0, 1], &[2]][chance.below(3)];
        let group_instance_id = match chance.below(5) {
            0 if member.member_id.is_empty() => Some(text(["i1", "i2"][chance.below(2)])),
            _ => None,
        };
        let ticket = self.kit.join(Join {
            member_id: member.member_id,
            group_instance_id,
            requires_known_member_id: chance.below(3) > 0,
            rebalance_timeout_ms: [2000, 60_000][chance.below(2)],
            ..classic(["t", "ta"][chance.below(2)].split(' ').collect::<Vec<_>>().as_slice(), owned)
        });
        self.joins.push(ticket);
    }

    fn classic_syncs(&mut self, chance: &mut IdSource) {
        let member = self.somebody(chance);
        let mine = assignment(&[("t", [&[0][..], &[1, 2]][chance.below(2)])], None);
        let assignments = vec![(member.member_id.clone(), mine)];
        self.kit.sync(Sync { member, protocol_type: None, protocol_name: None, assignments });
    }

    fn leaves(&mut self, chance: &mut IdSource) {
        let member = self.anybody(chance);
        match chance.below(3) {
            0 => self.kit.leave(&[("", Some(["i1", "i2"][chance.below(2)]))]),
            _ => self.kit.leave(&[(&member.member_id, None)]),
        };
    }
}
