//! A classic group that becomes a consumer group, or was one.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::members::Member;
use super::state::{CONSUMER, ClassicGroup, ClassicState};
use crate::group::consumer::{Downgrade, MigratingMember, Upgrade, UpgradingMember};
use crate::group::event::{Effect, Joined, Response};
use crate::group::record::Assignment;
use crate::time::Timestamp;

impl ClassicGroup {
    /// How many members there are.
    pub(in crate::group) fn members_len(&self) -> usize {
        self.members.len()
    }

    /// What the group is as a consumer group.
    pub(in crate::group) fn upgrade(&self) -> Upgrade {
        let protocol = self.protocol_name.as_deref();
        let upgrading = |member: &Member| UpgradingMember {
            member: member.migrating(),
            subscription: protocol.and_then(|protocol| member.offers(protocol)),
            assignment: member.assignment.clone(),
        };
        Upgrade { generation_id: self.generation_id, members: self.members.iter().map(upgrading).collect() }
    }

    /// The group that a consumer group becomes. Everyone has what it was to have.
    pub(in crate::group) fn of_consumers(downgrade: &Downgrade, now: Timestamp) -> Self {
        let mut group = Self::new(now);
        group.state = ClassicState::Stable;
        group.generation_id = downgrade.generation_id;
        for (member, _) in &downgrade.members {
            group.add(Member::of_consumer(member), &CONSUMER.into());
        }
        group.choose_protocol();
        for (member, assigned) in &downgrade.members {
            let Some(member) = group.members.by_id_mut(&member.member_id) else { continue };
            let subscription = member.metadata(group.protocol_name.as_deref().unwrap_or_default());
            // A subscription without a version, which only a member can have that offers several protocols and put nothing into
            // this one: Kafka does not let such a group go.
            let assignment = Assignment::encode(assigned, &subscription);
            let assignment = assignment.or_else(|_| Assignment::encode(assigned, &[0, 0]));
            member.assignment = assignment.unwrap_or_else(|_| Bytes::new());
        }
        group
    }

    /// Answers all that waits with `error`. The members stay.
    pub(in crate::group) fn interrupt(&mut self, error: ResponseError, out: &mut Vec<Effect>) {
        for member_id in self.members.ids() {
            if let Some(ticket) = self.members.take_join(&member_id) {
                out.push(Effect::Answer(ticket, Response::Join(Joined::refused(error, member_id.clone()))));
            }
            let sync = self.members.by_id_mut(&member_id).and_then(|member| member.sync.take());
            if let Some(ticket) = sync {
                out.push(Effect::Answer(ticket, Response::Sync(Err(error))));
            }
        }
    }
}

impl Member {
    /// A member of a consumer group that speaks the classic protocol.
    fn of_consumer(member: &MigratingMember) -> Self {
        Self {
            member_id: member.member_id.clone(),
            group_instance_id: member.group_instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            protocols: member.protocols.clone(),
            assignment: Bytes::new(),
            is_new: false,
            join: None,
            sync: None,
        }
    }

    fn migrating(&self) -> MigratingMember {
        MigratingMember {
            member_id: self.member_id.clone(),
            group_instance_id: self.group_instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            protocols: self.protocols.clone(),
        }
    }
}
