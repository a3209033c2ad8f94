//! When a group changes its protocol, and what is written then (KIP-848, spec F.9).
//!
//! ```text
//!            ConsumerGroupHeartbeat with epoch 0, if the policy lets it and all members are consumers
//!   classic ---------------------------------------------------------------------------------------> consumer
//!           <---------------------------------------------------------------------------------------
//!            the last member of the consumer protocol goes, or a classic one takes its instance id
//! ```
//!
//! An empty group changes with the first member of the other protocol, whatever the policy; its offsets stay. The tombstones
//! of the one kind are written before the records of the other.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::classic::ClassicGroup;
use super::consumer::{ConsumerConfig, ConsumerGroup, ConsumerRecord, Ctx as ConsumerCtx, Downgrade};
use super::deadlines::Timer;
use super::event::Effect;
use super::members::write;
use super::record::Record;
use super::{Ctx, GroupCoordinator};
use crate::cluster::Refusal;

impl GroupCoordinator {
    /// The consumer group that a member begins to join: a new one, or what a classic group becomes. Nothing is changed but
    /// that classic members which wait are told to join again, which Kafka does even if the new member is then refused.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND for a classic group that may not become one.
    pub(super) fn new_consumer_group(
        &mut self,
        ctx: &Ctx<'_>,
        group_id: &StrBytes,
        config: &ConsumerConfig,
        records: &mut Vec<ConsumerRecord>,
        out: &mut Vec<Effect>,
    ) -> Result<ConsumerGroup, Refusal> {
        let Some(classic) = self.classic.get_mut(group_id).filter(|classic| !classic.is_empty()) else {
            return Ok(ConsumerGroup::new(&**group_id));
        };
        check_upgrade(group_id, classic, config)?;
        classic.interrupt(ResponseError::RebalanceInProgress, out);
        let consumer_ctx = ConsumerCtx { now: ctx.now, topics: ctx.cluster, config };
        ConsumerGroup::upgraded(&consumer_ctx, group_id, &classic.upgrade(), records)
    }

    /// Turns a consumer group into a classic one, if it is to become one.
    pub(super) fn downgrade(
        &mut self,
        ctx: &mut Ctx<'_>,
        group_id: &StrBytes,
        downgrade: Option<Downgrade>,
        out: &mut Vec<Effect>,
    ) {
        let Some(downgrade) = downgrade else { return };
        self.delete_consumer_group(group_id, out);
        let classic = ClassicGroup::of_consumers(&downgrade, ctx.now);
        self.persist(Record::GroupMetadata(group_id.clone(), Some(classic.to_full_record())), out);
        self.classic.insert(group_id.clone(), classic);
        if let Some(mut turn) = self.classic_turn(ctx, group_id, out) {
            turn.on_downgraded(downgrade.rebalance);
        }
    }

    /// Makes room for a classic group, if there is a consumer group without members.
    pub(super) fn delete_empty_consumer_group(&mut self, group_id: &StrBytes, out: &mut Vec<Effect>) {
        if self.consumer.get(group_id).is_some_and(ConsumerGroup::is_empty) {
            self.delete_consumer_group(group_id, out);
        }
    }

    /// Deletes a consumer group with all its records, but not its offsets.
    pub(super) fn delete_consumer_group(&mut self, group_id: &StrBytes, out: &mut Vec<Effect>) {
        if let Some(mut group) = self.consumer.remove(group_id) {
            let mut records = Vec::new();
            group.delete(&mut records);
            write(&records, out);
        }
        self.deadlines.disarm(&Timer::Consumer { group_id: group_id.clone() });
    }
}

/// `validateOnlineUpgrade`.
fn check_upgrade(group_id: &str, classic: &ClassicGroup, config: &ConsumerConfig) -> Result<(), Refusal> {
    let why = if !config.migration_policy.allows_upgrade() {
        "online upgrade is disabled"
    } else if !classic.uses_consumer_group_protocol() {
        "the group does not use the consumer embedded protocol"
    } else if classic.members_len() > config.max_size {
        "the group size exceeds the consumer group maximum size"
    } else {
        return Ok(());
    };
    let text = format!("Cannot upgrade classic group {group_id} to consumer group because {why}.");
    Err(Refusal::new(ResponseError::GroupIdNotFound, text))
}
