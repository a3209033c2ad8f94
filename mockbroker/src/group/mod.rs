//! The group coordinator: who is in which group, and what groups have committed. A plain machine: an event comes in with the
//! time, effects come out. No clock, no randomness, no locks, no sockets.
//!
//! In reading order:
//!
//! - `event`: all that can happen to groups, and all answers; `describe`: what can be asked without changing anything
//! - `classic`: the classic protocol, where members assign; `consumer`: KIP-848, where the broker does; `kind`: which protocol
//!   a group speaks
//! - `members`: what members ask, of either kind of group; `migration`: how a group changes its kind
//! - `catalog`: what consumer groups are told of the cluster
//! - `commit`: commits, deletions, expiry; `offsets`: the offset store
//! - `hard`: what the records say; `record`: the records, in the formats of `__consumer_offsets`; `refused`: those that the
//!   log does not take
//! - `deadlines`: every timer of every group in one index
//!
//! Hard state changes by records only: a step asks for a record with [`Effect::Persist`] and applies it in the same move. A
//! fold of all records over an empty machine, then [`GroupCoordinator::load`], is what a restart is, and what a move of
//! groups to another node is.
//!
//! One coordinator holds the groups of all nodes. Which node speaks for a group, whether it is still loading, and who may
//! ask is the caller's business: COORDINATOR_NOT_AVAILABLE, COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR and
//! authorization are not here. A member does not leave because its connection ends; the answer that it waited for is
//! still given, and dropped by the caller.

mod catalog;
mod classic;
mod commit;
pub(crate) mod consumer;
mod deadlines;
mod describe;
mod event;
mod hard;
mod kind;
mod members;
mod migration;
mod offsets;
mod record;
mod refused;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use self::classic::ClassicGroup;
#[cfg(test)]
use self::classic::ClassicState;
use self::consumer::{ConsumerGroup, ConsumerRecord};
use self::deadlines::{Deadlines, Timer};
pub(crate) use self::describe::{DescribedMember, FetchedOffset, RequireStable};
pub(crate) use self::event::{
    CommitPartition, CommitTopic, ConsumerGroupHeartbeat, DeleteOffsets, Effect, Event, Join, Joined, JoinedMember,
    Leave, Left, MemberIdentity, OffsetCommit, Protocol, Response, Sync, Synced, TopicResult, TxnOffsetCommit,
};
use self::hard::HardState;
pub(crate) use self::kind::GroupType;
pub(crate) use self::offsets::TransactionResult;
pub(crate) use self::record::Record;
pub(crate) use self::refused::Refused;
use crate::cluster::{BrokerConfig, Cluster};
use crate::ids::IdSource;
use crate::time::Timestamp;

/// What a step is told of the world.
#[derive(Debug)]
pub(crate) struct Ctx<'a> {
    /// The present.
    pub(crate) now: Timestamp,
    /// The topics that exist, whose partitions the consumer protocol assigns; and the configs of groups.
    pub(crate) cluster: &'a Cluster,
    /// `group.*` and `offsets.*`.
    pub(crate) config: &'a BrokerConfig,
    /// Where member ids come from.
    pub(crate) ids: &'a mut IdSource,
}

/// All groups of the cluster. A group id is of one kind at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupCoordinator {
    hard: HardState,
    classic: BTreeMap<StrBytes, ClassicGroup>,
    /// Each with the hard state of its own.
    consumer: BTreeMap<StrBytes, ConsumerGroup>,
    deadlines: Deadlines,
}

impl GroupCoordinator {
    /// Reacts to one event.
    pub(crate) fn step(&mut self, ctx: &mut Ctx<'_>, event: Event, out: &mut Vec<Effect>) {
        match event {
            Event::Join(ticket, request) => self.join(ctx, ticket, &request, out),
            Event::Sync(ticket, request) => self.sync(ctx, ticket, &request, out),
            Event::Heartbeat(ticket, member) => {
                let answer = self.heartbeat(ctx, &member, out);
                out.push(Effect::Answer(ticket, Response::Heartbeat(answer)));
            }
            Event::Leave(ticket, request) => {
                let answer = self.leave(ctx, &request, out);
                out.push(Effect::Answer(ticket, Response::Leave(answer)));
            }
            Event::ConsumerGroupHeartbeat(ticket, request) => {
                let answer = self.consumer_group_heartbeat(ctx, request, out);
                out.push(Effect::Answer(ticket, Response::ConsumerGroupHeartbeat(answer)));
            }
            Event::OffsetCommit(ticket, request) => {
                let answer = self.commit(ctx, &request, out);
                out.push(Effect::Answer(ticket, Response::OffsetCommit(answer)));
            }
            Event::TxnOffsetCommit(ticket, request) => {
                let answer = self.commit_in_transaction(ctx, &request, out);
                out.push(Effect::Answer(ticket, Response::OffsetCommit(answer)));
            }
            Event::DeleteOffsets(ticket, request) => {
                let answer = self.delete_offsets(&request, out);
                out.push(Effect::Answer(ticket, Response::DeleteOffsets(answer)));
            }
            Event::DeleteGroups(ticket, group_ids) => {
                let mut delete = |group_id: StrBytes| {
                    let error = self.delete_group(&group_id, out).err();
                    (group_id, error)
                };
                let answer = group_ids.into_iter().map(&mut delete).collect();
                out.push(Effect::Answer(ticket, Response::DeleteGroups(answer)));
            }
            Event::TopicDeleted(topic) => self.delete_offsets_of_topic(&topic, out),
        }
    }

    /// The earliest instant at which [`GroupCoordinator::expire`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.next()
    }

    /// Does what is due at `ctx.now`: sessions end, join phases end, offsets expire.
    pub(crate) fn expire(&mut self, ctx: &mut Ctx<'_>, out: &mut Vec<Effect>) {
        while let Some(timer) = self.deadlines.take_due(ctx.now) {
            match timer {
                Timer::ClassicSession { group_id, member_id } => {
                    if let Some(mut turn) = self.classic_turn(ctx, &group_id, out) {
                        turn.on_session_deadline(&member_id);
                    }
                }
                Timer::ClassicJoin { group_id } => {
                    if let Some(mut turn) = self.classic_turn(ctx, &group_id, out) {
                        turn.on_join_deadline();
                    }
                }
                Timer::ClassicSync { group_id } => {
                    if let Some(mut turn) = self.classic_turn(ctx, &group_id, out) {
                        turn.on_sync_deadline();
                    }
                }
                Timer::Consumer { group_id } => {
                    self.with_consumer(ctx, &group_id, out, |group, ctx, records| ((), group.expire(ctx, records)));
                }
                Timer::OffsetExpiry => self.expire_offsets(ctx, out),
            }
        }
    }

    /// Applies one record that no transaction wrote. The only way hard state changes; recovery calls it, too, for each
    /// record in the order of the log, and then [`GroupCoordinator::load`].
    pub(crate) fn apply(&mut self, record: &Record) {
        self.hard.apply(record);
        match record {
            Record::GroupMetadata(group_id, Some(value)) => {
                self.consumer.remove(group_id);
                self.classic.insert(group_id.clone(), ClassicGroup::from_record(value));
            }
            Record::GroupMetadata(group_id, None) => {
                self.classic.remove(group_id);
            }
            Record::OffsetCommit(key, Some(value)) => {
                self.found(&key.group_id, Timestamp::from_millis(value.commit_timestamp));
            }
            Record::OffsetCommit(_, None) => {}
            _ => {
                if let Some(record) = ConsumerRecord::of_record(record) {
                    self.apply_consumer(&record);
                }
            }
        }
    }

    fn apply_consumer(&mut self, record: &ConsumerRecord) {
        let group_id = StrBytes::from_string(record.group_id().to_owned());
        if !self.consumer.contains_key(&group_id) {
            // A simple group came to be because its offsets were read first. Any other has a tombstone before this.
            let is_taken = self.classic.get(&group_id).is_some_and(|classic| !classic.is_simple());
            if record.is_tombstone() || is_taken {
                return;
            }
            self.classic.remove(&group_id);
        }
        let group = self.consumer.entry(group_id.clone()).or_insert_with(|| ConsumerGroup::new(&*group_id));
        group.apply(record);
        if matches!(record, ConsumerRecord::GroupMetadata { value: None, .. }) {
            self.consumer.remove(&group_id);
        }
    }

    /// Applies one record that the transaction of `producer_id` wrote. It counts when the transaction is committed.
    pub(crate) fn apply_pending(&mut self, producer_id: i64, record: &Record) {
        self.hard.apply_pending(producer_id, record);
        if let Record::OffsetCommit(key, Some(value)) = record {
            self.found(&key.group_id, Timestamp::from_millis(value.commit_timestamp));
        }
    }

    /// Applies a marker: the transaction of `producer_id` has ended for the groups that `is_here` says, which are those of
    /// the partition that the marker was written to.
    pub(crate) fn end_transaction(
        &mut self,
        producer_id: i64,
        result: TransactionResult,
        is_here: impl Fn(&str) -> bool,
    ) {
        self.hard.end_transaction(producer_id, result, is_here);
    }

    /// Takes up the groups that `is_loaded` says, whose records have been applied: their members have a session's time to
    /// be heard of. Called once with every group before the first event, too.
    pub(crate) fn load(&mut self, ctx: &mut Ctx<'_>, is_loaded: impl Fn(&str) -> bool, out: &mut Vec<Effect>) {
        let check_interval_ms = ctx.config.offsets_retention_check_interval_ms;
        self.deadlines.arm_once(Timer::OffsetExpiry, ctx.now.plus_millis(check_interval_ms.max(1)));
        let loaded: Vec<StrBytes> = self.classic.keys().filter(|group_id| is_loaded(group_id)).cloned().collect();
        for group_id in loaded {
            if let Some(mut turn) = self.classic_turn(ctx, &group_id, out) {
                turn.on_loaded();
            }
        }
        let loaded: Vec<StrBytes> = self.consumer.keys().filter(|group_id| is_loaded(group_id)).cloned().collect();
        for group_id in loaded {
            self.with_consumer(ctx, &group_id, out, |group, ctx, _| (group.loaded(ctx), None));
        }
    }

    /// Gives up the groups that `is_lost` says: another node coordinates them now. What waits is answered NOT_COORDINATOR.
    /// Their records come back with [`GroupCoordinator::apply`].
    pub(crate) fn unload(&mut self, is_lost: impl Fn(&str) -> bool, out: &mut Vec<Effect>) {
        let lost: Vec<StrBytes> = self.classic.keys().filter(|group_id| is_lost(group_id)).cloned().collect();
        for group_id in lost {
            if let Some(mut group) = self.remove_classic(&group_id) {
                group.dissolve(ResponseError::NotCoordinator, out);
            }
        }
        let lost: Vec<StrBytes> = self.consumer.keys().filter(|group_id| is_lost(group_id)).cloned().collect();
        for group_id in lost {
            self.consumer.remove(&group_id);
            self.rearm_consumer(&group_id);
        }
        self.hard.forget(is_lost);
    }

    /// Makes sure that there is a group: a simple one, if it is new.
    fn found(&mut self, group_id: &StrBytes, now: Timestamp) {
        if !self.consumer.contains_key(group_id) {
            self.classic.entry(group_id.clone()).or_insert_with(|| ClassicGroup::new(now));
        }
    }

    /// Takes a group out, and its timers with it.
    fn remove_classic(&mut self, group_id: &StrBytes) -> Option<ClassicGroup> {
        let group = self.classic.remove(group_id)?;
        for member_id in group.session_ids() {
            self.deadlines.disarm(&Timer::ClassicSession { group_id: group_id.clone(), member_id });
        }
        self.deadlines.disarm(&Timer::ClassicJoin { group_id: group_id.clone() });
        self.deadlines.disarm(&Timer::ClassicSync { group_id: group_id.clone() });
        Some(group)
    }

    fn persist(&mut self, record: Record, out: &mut Vec<Effect>) {
        self.hard.apply(&record);
        out.push(Effect::Persist(record));
    }
}
