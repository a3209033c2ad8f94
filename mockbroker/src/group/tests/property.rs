//! Members that do anything at any time. What must hold, the kit checks after every step.

use super::kit::*;
use crate::group::*;
use crate::ids::IdSource;
use crate::types::Ticket;

#[test]
fn whatever_members_do_records_tickets_and_deadlines_agree() {
    for seed in 0..60 {
        let mut chance = IdSource::new(seed);
        let mut crowd = Crowd::new(&mut chance);
        for _ in 0..300 {
            crowd.act(&mut chance);
        }
    }
}

/// Members of one group, who know of it what they were told.
struct Crowd {
    kit: Kit,
    members: Vec<MemberIdentity>,
    joins: Vec<Ticket>,
}

impl Crowd {
    fn new(chance: &mut IdSource) -> Self {
        let kit = Kit::with(|config| {
            config.group_max_size = 2 + i32::try_from(chance.below(6)).unwrap();
            config.group_initial_rebalance_delay_ms = [0, 3000][chance.below(2)];
            config.offsets_retention_minutes = 1;
            config.offsets_retention_check_interval_ms = 30_000;
        });
        Self { kit, members: Vec::new(), joins: Vec::new() }
    }

    fn act(&mut self, chance: &mut IdSource) {
        self.hear();
        match chance.below(13) {
            0..=2 => self.join(chance),
            3..=5 => self.sync(chance),
            6 => drop(self.kit.heartbeat(self.somebody(chance))),
            7 => {
                let member = self.somebody(chance);
                let instance = member.group_instance_id.as_deref();
                self.kit.leave(&[(if chance.below(2) == 0 { "" } else { &member.member_id }, instance)]);
            }
            8 => drop(self.kit.commit(offset_commit(self.somebody(chance), ["t", "u"][chance.below(2)], 1))),
            9 => {
                let producer_id = i64::try_from(chance.below(2)).unwrap();
                let member = self.somebody(chance);
                self.kit.commit_in_transaction(txn_commit(member, producer_id, "t", 2));
                if chance.below(2) == 0 {
                    let result = [TransactionResult::Committed, TransactionResult::Aborted][chance.below(2)];
                    self.kit.end_transaction(producer_id, result);
                }
            }
            10 => {
                drop(self.kit.delete_offsets("t"));
                self.kit.delete_group(GROUP);
            }
            _ => self.kit.advance([10, 1000, 5000, 40_000][chance.below(4)]),
        }
    }

    /// Takes the answers that have come.
    fn hear(&mut self) {
        let kit = &self.kit;
        let (waiting, answered): (Vec<_>, Vec<_>) = self.joins.drain(..).partition(|ticket| kit.waits(*ticket));
        self.joins = waiting;
        for ticket in answered {
            let joined = kit.joined(ticket);
            let instance = joined.member_id.starts_with('i').then(|| text(&joined.member_id[..2]));
            if !joined.member_id.is_empty() {
                let group_instance_id = instance;
                self.members
                    .push(MemberIdentity { group_instance_id, ..identity(&joined.member_id, joined.generation_id) });
            }
        }
    }

    fn somebody(&self, chance: &mut IdSource) -> MemberIdentity {
        // One of the latest: of the others nobody knows any more.
        let recent = self.members.len().min(6);
        match recent {
            0 => nobody(),
            _ if chance.below(20) == 0 => nobody(),
            _ => self.members[self.members.len() - 1 - chance.below(recent)].clone(),
        }
    }

    fn join(&mut self, chance: &mut IdSource) {
        let member = if chance.below(3) == 0 { nobody() } else { self.somebody(chance) };
        let instance = match chance.below(4) {
            0 if member.member_id.is_empty() => Some(text(["i1", "i2"][chance.below(2)])),
            _ => member.group_instance_id,
        };
        let offers: [&[&str]; 4] = [&["a"], &["a", "b"], &["b", "a"], &["b", "b"]];
        let request = Join {
            member_id: member.member_id,
            group_instance_id: instance,
            requires_known_member_id: chance.below(4) > 0,
            supports_skipping_assignment: chance.below(2) == 0,
            rebalance_timeout_ms: [-5, 0, 2000, 60_000][chance.below(4)],
            session_timeout_ms: [6000, 30_000][chance.below(2)],
            ..offering(offers[chance.below(4)])
        };
        let ticket = self.kit.join(request);
        self.joins.push(ticket);
    }

    fn sync(&mut self, chance: &mut IdSource) {
        let member = self.somebody(chance);
        let assignments = vec![(member.member_id.clone(), vec![1_u8].into())];
        self.kit.sync(Sync { member, protocol_type: None, protocol_name: None, assignments });
    }
}
