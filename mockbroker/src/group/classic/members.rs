//! The members of a classic group, and what is counted of them so that no join looks at all the others.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;

use crate::group::event::{Join, Protocol};
use crate::group::record::MemberMetadata;
use crate::types::Ticket;

/// A member of a classic group (`ClassicGroupMember`).
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(super) member_id: StrBytes,
    pub(super) group_instance_id: Option<StrBytes>,
    pub(super) client_id: StrBytes,
    pub(super) client_host: StrBytes,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    /// In the member's order.
    pub(super) protocols: Vec<Protocol>,
    pub(super) assignment: Bytes,
    /// Has not been through a rebalance yet. Such a member is not alive by waiting for one.
    pub(super) is_new: bool,
    /// The JoinGroup that waits. [`Members`] counts it.
    pub(super) join: Option<Ticket>,
    /// The SyncGroup that waits.
    pub(super) sync: Option<Ticket>,
}

impl Member {
    /// A member that joins for the first time.
    pub(super) fn new(member_id: StrBytes, request: &Join) -> Self {
        Self {
            member_id,
            group_instance_id: request.group_instance_id.clone(),
            client_id: request.client_id.clone(),
            client_host: request.client_host.clone(),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: request.protocols.clone(),
            assignment: Bytes::new(),
            is_new: true,
            join: None,
            sync: None,
        }
    }

    /// A member as a record has it: of its protocols only the one that was chosen.
    pub(super) fn from_record(record: &MemberMetadata, protocol: &StrBytes) -> Self {
        let rebalance_timeout_ms = match record.rebalance_timeout_ms {
            -1 => record.session_timeout_ms,
            said => said,
        };
        Self {
            member_id: record.member_id.clone(),
            group_instance_id: record.group_instance_id.clone(),
            client_id: record.client_id.clone(),
            client_host: record.client_host.clone(),
            rebalance_timeout_ms,
            session_timeout_ms: record.session_timeout_ms,
            protocols: vec![Protocol { name: protocol.clone(), metadata: record.subscription.clone() }],
            assignment: record.assignment.clone(),
            is_new: false,
            join: None,
            sync: None,
        }
    }

    /// Whether a JoinGroup of this member waits.
    pub(super) fn awaits_join(&self) -> bool {
        self.join.is_some()
    }

    /// Whether the broker has to hear nothing of this member, because it is the member that waits for the broker.
    pub(super) fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.join.is_some() || self.sync.is_some())
    }

    /// What the member said of `protocol`; `None` if it does not offer it.
    pub(super) fn offers(&self, protocol: &str) -> Option<Bytes> {
        let offered = self.protocols.iter().find(|offered| offered.name == *protocol);
        offered.map(|offered| offered.metadata.clone())
    }

    /// What the member said of `protocol`.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        self.offers(protocol).unwrap_or_default()
    }

    /// The member as it is persisted.
    pub(super) fn to_record(&self, protocol: &str, assignment: Bytes) -> MemberMetadata {
        MemberMetadata {
            member_id: self.member_id.clone(),
            group_instance_id: self.group_instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            subscription: self.metadata(protocol),
            assignment,
        }
    }

    /// The names of what the member offers, each once.
    fn protocol_names(&self) -> impl Iterator<Item = &StrBytes> {
        let before = |index: usize, name: &StrBytes| self.protocols[..index].iter().any(|other| other.name == *name);
        self.protocols.iter().enumerate().filter(move |(index, it)| !before(*index, &it.name)).map(|(_, it)| &it.name)
    }
}

/// The members of a group by their ids.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members {
    by_id: BTreeMap<StrBytes, Member>,
    /// Member id by instance id (KIP-345).
    by_instance: BTreeMap<StrBytes, StrBytes>,
    /// How many members offer each protocol.
    supported: BTreeMap<StrBytes, usize>,
    awaiting_join: usize,
}

impl Members {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn by_id(&self, member_id: &str) -> Option<&Member> {
        self.by_id.get(member_id.as_bytes())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.by_id.values()
    }

    /// The member id of a static member.
    pub(super) fn by_instance(&self, group_instance_id: &str) -> Option<&StrBytes> {
        self.by_instance.get(group_instance_id.as_bytes())
    }

    /// How many wait for the answer to their JoinGroup.
    pub(super) fn awaiting_join(&self) -> usize {
        self.awaiting_join
    }

    /// The greatest rebalance timeout of all; 0 without members, and never less.
    pub(super) fn rebalance_timeout_ms(&self) -> i32 {
        self.iter().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0).max(0)
    }

    /// Whether one of `protocols` is offered by every member.
    pub(super) fn all_support_one_of(&self, protocols: &[Protocol]) -> bool {
        protocols.iter().any(|offered| self.supported.get(&offered.name).copied().unwrap_or(0) == self.len())
    }

    /// The protocol of the next generation: of those that all support, each member votes for the first in its own list.
    /// Of several with the most votes Kafka takes any; here it is the last by name. `None` without members.
    pub(super) fn select_protocol(&self) -> Option<StrBytes> {
        let is_candidate = |name: &StrBytes| self.supported.get(name) == Some(&self.len());
        let mut votes = BTreeMap::<&StrBytes, usize>::new();
        for member in self.iter() {
            if let Some(vote) = member.protocols.iter().map(|offered| &offered.name).find(|name| is_candidate(name)) {
                *votes.entry(vote).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(name, _)| name.clone())
    }
}

/// What changes the members. Counts are kept here.
impl Members {
    pub(super) fn add(&mut self, member: Member) {
        if let Some(group_instance_id) = &member.group_instance_id {
            self.by_instance.insert(group_instance_id.clone(), member.member_id.clone());
        }
        self.count(&member, true);
        let before = self.by_id.insert(member.member_id.clone(), member);
        debug_assert!(before.is_none(), "a member is added once");
    }

    pub(super) fn remove(&mut self, member_id: &str) -> Option<Member> {
        let member = self.by_id.remove(member_id.as_bytes())?;
        self.count(&member, false);
        if let Some(group_instance_id) = &member.group_instance_id {
            // It may already be that of the member that has replaced this one.
            if self.by_instance.get(group_instance_id) == Some(&member.member_id) {
                self.by_instance.remove(group_instance_id);
            }
        }
        Some(member)
    }

    /// Takes what a member says of itself when it joins again. The ticket that waited for it before comes back.
    pub(super) fn update(&mut self, member_id: &str, request: &Join, ticket: Ticket) -> Option<Ticket> {
        let mut member = self.by_id.remove(member_id.as_bytes())?;
        self.count(&member, false);
        member.protocols = request.protocols.clone();
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
        member.session_timeout_ms = request.session_timeout_ms;
        let before = member.join.replace(ticket);
        self.count(&member, true);
        self.by_id.insert(member.member_id.clone(), member);
        before
    }

    /// Lets the JoinGroup `ticket` of a member wait.
    pub(super) fn park_join(&mut self, member_id: &str, ticket: Ticket) {
        if let Some(member) = self.by_id.get_mut(member_id.as_bytes()) {
            self.awaiting_join += usize::from(member.join.is_none());
            member.join = Some(ticket);
        }
    }

    /// The JoinGroup of a member that waits. It does not any more.
    pub(super) fn take_join(&mut self, member_id: &str) -> Option<Ticket> {
        let ticket = self.by_id.get_mut(member_id.as_bytes())?.join.take();
        self.awaiting_join -= usize::from(ticket.is_some());
        ticket
    }

    /// A member, for what is not counted.
    pub(super) fn by_id_mut(&mut self, member_id: &str) -> Option<&mut Member> {
        self.by_id.get_mut(member_id.as_bytes())
    }

    /// All members, for what is not counted.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.by_id.values_mut()
    }

    /// The ids of all, to walk along while members change.
    pub(super) fn ids(&self) -> Vec<StrBytes> {
        self.by_id.keys().cloned().collect()
    }

    fn count(&mut self, member: &Member, comes: bool) {
        let change = |count: &mut usize| if comes { *count += 1 } else { *count -= 1 };
        for name in member.protocol_names() {
            let count = self.supported.entry(name.clone()).or_default();
            change(count);
            if *count == 0 {
                self.supported.remove(name);
            }
        }
        if member.join.is_some() {
            change(&mut self.awaiting_join);
        }
    }
}

impl Member {
    /// The tickets that wait for this member, which is gone.
    pub(super) fn into_tickets(self) -> (Option<Ticket>, Option<Ticket>) {
        (self.join, self.sync)
    }

    /// The member under the id that replaces its own; nothing of it waits.
    pub(super) fn renamed(&self, member_id: StrBytes) -> Self {
        Self { member_id, is_new: false, join: None, sync: None, ..self.clone() }
    }
}
