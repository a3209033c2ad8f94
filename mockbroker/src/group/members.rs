//! What members ask, whichever protocol they and their group speak: JoinGroup, SyncGroup, Heartbeat, LeaveGroup,
//! ConsumerGroupHeartbeat. Here is decided which kind of group answers; how it answers is the group's.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::catalog::consumer_config;
use super::classic::Turn;
use super::consumer::{ConsumerGroup, ConsumerRecord, Ctx as ConsumerCtx, Downgrade, HeartbeatAnswer};
use super::deadlines::Timer;
use super::event::{ConsumerGroupHeartbeat, Effect, Join, Joined, Leave, Left, MemberIdentity, Response, Sync, Synced};
use super::record::{GroupMetadataValue, Record};
use super::{Ctx, GroupCoordinator};
use crate::cluster::{BrokerConfig, Cluster, Refusal};
use crate::types::Ticket;

/// The classic protocol.
impl GroupCoordinator {
    /// JoinGroup.
    pub(super) fn join(&mut self, ctx: &mut Ctx<'_>, ticket: Ticket, request: &Join, out: &mut Vec<Effect>) {
        let group_id = &request.group_id;
        if let Err(error) = request.check(ctx.config) {
            return answer_join(ticket, Joined::refused(error, request.member_id.clone()), out);
        }
        if self.consumer.get(group_id).is_some_and(|group| !group.is_empty()) {
            let new_member_id = ctx.ids.member_id();
            let joined = self.with_consumer(ctx, group_id, out, |group, ctx, records| {
                match group.classic_join(ctx, request, new_member_id, records) {
                    Ok((joined, downgrade)) => (joined, downgrade),
                    Err(error) => (Joined::refused(error, StrBytes::new()), None),
                }
            });
            let joined = joined.unwrap_or_else(|| Joined::refused(ResponseError::UnknownServerError, StrBytes::new()));
            return answer_join(ticket, joined, out);
        }
        if !request.member_id.is_empty() && !self.classic.contains_key(group_id) {
            return answer_join(
                ticket,
                Joined::refused(ResponseError::UnknownMemberId, request.member_id.clone()),
                out,
            );
        }
        self.delete_empty_consumer_group(group_id, out);
        if !self.classic.contains_key(group_id) {
            // Whatever becomes of the join, the group is there from now on, and empty.
            self.found(group_id, ctx.now);
            let value =
                GroupMetadataValue { current_state_timestamp: ctx.now.as_millis(), ..GroupMetadataValue::default() };
            self.persist(Record::GroupMetadata(group_id.clone(), Some(value)), out);
        }
        if let Some(mut turn) = self.classic_turn(ctx, group_id, out) {
            turn.join(ticket, request);
        }
    }

    /// SyncGroup.
    pub(super) fn sync(&mut self, ctx: &mut Ctx<'_>, ticket: Ticket, request: &Sync, out: &mut Vec<Effect>) {
        let group_id = &request.member.group_id;
        let refuse = |error: ResponseError| Effect::Answer(ticket, Response::Sync(Err(error)));
        if group_id.is_empty() {
            return out.push(refuse(ResponseError::InvalidGroupId));
        }
        if let Some(synced) = self.sync_in_consumer_group(ctx, request, out) {
            return out.push(Effect::Answer(ticket, Response::Sync(synced)));
        }
        match self.classic_turn(ctx, group_id, out).filter(|turn| !turn.group.is_empty()) {
            Some(mut turn) => turn.sync(ticket, request),
            None => out.push(refuse(ResponseError::UnknownMemberId)),
        }
    }

    fn sync_in_consumer_group(
        &mut self,
        ctx: &mut Ctx<'_>,
        request: &Sync,
        out: &mut Vec<Effect>,
    ) -> Option<Result<Synced, ResponseError>> {
        self.with_consumer(ctx, &request.member.group_id, out, |group, ctx, _| {
            let is_empty = group.is_empty();
            let synced = if is_empty { Err(ResponseError::UnknownMemberId) } else { group.classic_sync(ctx, request) };
            (synced, None)
        })
    }

    /// Heartbeat.
    pub(super) fn heartbeat(
        &mut self,
        ctx: &mut Ctx<'_>,
        member: &MemberIdentity,
        out: &mut Vec<Effect>,
    ) -> Result<(), ResponseError> {
        if member.group_id.is_empty() {
            return Err(ResponseError::InvalidGroupId);
        }
        let in_consumer_group = self
            .with_consumer(ctx, &member.group_id, out, |group, ctx, _| (group.classic_heartbeat(ctx, member), None));
        if let Some(result) = in_consumer_group {
            return result;
        }
        let turn = self.classic_turn(ctx, &member.group_id, out);
        turn.ok_or(ResponseError::UnknownMemberId)?.heartbeat(member)
    }

    /// LeaveGroup.
    pub(super) fn leave(
        &mut self,
        ctx: &mut Ctx<'_>,
        request: &Leave,
        out: &mut Vec<Effect>,
    ) -> Result<Vec<Left>, ResponseError> {
        if request.group_id.is_empty() {
            return Err(ResponseError::InvalidGroupId);
        }
        let in_consumer_group = self.with_consumer(ctx, &request.group_id, out, |group, ctx, records| {
            group.classic_leave(ctx, &request.members, records)
        });
        if let Some(left) = in_consumer_group {
            return Ok(left);
        }
        let unknown = |(member_id, group_instance_id): &(StrBytes, Option<StrBytes>)| Left {
            member_id: member_id.clone(),
            group_instance_id: group_instance_id.clone(),
            error: Some(ResponseError::UnknownMemberId),
        };
        match self.classic_turn(ctx, &request.group_id, out) {
            Some(mut turn) => Ok(turn.leave(&request.members)),
            None => Ok(request.members.iter().map(unknown).collect()),
        }
    }

    /// The turn of a classic group, if it exists.
    pub(super) fn classic_turn<'a, 'c>(
        &'a mut self,
        ctx: &'a mut Ctx<'c>,
        group_id: &'a StrBytes,
        out: &'a mut Vec<Effect>,
    ) -> Option<Turn<'a, 'c>> {
        let group = self.classic.get_mut(group_id)?;
        Some(Turn { group_id, group, hard: &mut self.hard, deadlines: &mut self.deadlines, ctx, out })
    }
}

/// The consumer protocol.
impl GroupCoordinator {
    /// ConsumerGroupHeartbeat.
    ///
    /// # Errors
    /// Why it is refused, in Kafka's words.
    pub(super) fn consumer_group_heartbeat(
        &mut self,
        ctx: &mut Ctx<'_>,
        mut request: ConsumerGroupHeartbeat,
        out: &mut Vec<Effect>,
    ) -> Result<HeartbeatAnswer, Refusal> {
        let group_id = request.group_id.clone();
        request.check(ctx.cluster, ctx.config)?;
        let config = consumer_config(ctx.cluster, ctx.config, &group_id);
        let joins = request.heartbeat.member_epoch == 0;
        if joins && request.heartbeat.member_id.is_empty() {
            request.heartbeat.member_id = ctx.ids.member_id();
        }
        let heartbeat = &request.heartbeat;
        if self.consumer.contains_key(&group_id) {
            let answer = self.with_consumer(ctx, &group_id, out, |group, ctx, records| {
                match group.heartbeat(ctx, heartbeat, records) {
                    Ok((answer, downgrade)) => (Ok(answer), downgrade),
                    Err(refusal) => (Err(refusal), None),
                }
            });
            return answer.unwrap_or_else(|| Err(Refusal::code(ResponseError::UnknownServerError)));
        }
        let mut records = Vec::new();
        let mut group = if joins {
            self.new_consumer_group(ctx, &group_id, &config, &mut records, out)?
        } else if self.classic.contains_key(&group_id) {
            let text = format!("Group {group_id} is not a consumer group.");
            return Err(Refusal::new(ResponseError::GroupIdNotFound, text));
        } else {
            ConsumerGroup::new(&*group_id)
        };
        // A refusal leaves everything as it was.
        let consumer_ctx = ConsumerCtx { now: ctx.now, topics: ctx.cluster, config: &config };
        let (answer, _) = group.heartbeat(&consumer_ctx, heartbeat, &mut records)?;
        if self.classic.contains_key(&group_id) {
            self.persist(Record::GroupMetadata(group_id.clone(), None), out);
            self.remove_classic(&group_id);
        }
        write(&records, out);
        self.consumer.insert(group_id.clone(), group);
        self.rearm_consumer(&group_id);
        Ok(answer)
    }

    /// Lets a consumer group act, if there is one with this id, and does what follows: its records are written, it becomes a
    /// classic group if it must, its next deadline goes into the index.
    pub(super) fn with_consumer<R>(
        &mut self,
        ctx: &mut Ctx<'_>,
        group_id: &StrBytes,
        out: &mut Vec<Effect>,
        act: impl FnOnce(&mut ConsumerGroup, &ConsumerCtx<'_>, &mut Vec<ConsumerRecord>) -> (R, Option<Downgrade>),
    ) -> Option<R> {
        let group = self.consumer.get_mut(group_id)?;
        let config = consumer_config(ctx.cluster, ctx.config, group_id);
        let consumer_ctx = ConsumerCtx { now: ctx.now, topics: ctx.cluster, config: &config };
        let mut records = Vec::new();
        let (result, downgrade) = act(group, &consumer_ctx, &mut records);
        write(&records, out);
        self.downgrade(ctx, group_id, downgrade, out);
        self.rearm_consumer(group_id);
        Some(result)
    }

    /// Puts the first deadline of a consumer group into the index.
    pub(super) fn rearm_consumer(&mut self, group_id: &StrBytes) {
        let timer = Timer::Consumer { group_id: group_id.clone() };
        match self.consumer.get(group_id).and_then(ConsumerGroup::next_deadline) {
            Some(instant) => self.deadlines.arm(timer, instant),
            None => self.deadlines.disarm(&timer),
        }
    }
}

impl ConsumerGroupHeartbeat {
    /// What is wrong with it whatever the group: what Kafka looks at before it asks who coordinates the group.
    ///
    /// # Errors
    /// INVALID_REQUEST, UNSUPPORTED_ASSIGNOR.
    pub(crate) fn check(&self, cluster: &Cluster, config: &BrokerConfig) -> Result<(), Refusal> {
        let config = consumer_config(cluster, config, &self.group_id);
        self.heartbeat.check(&self.group_id, self.requires_member_id, &config)
    }
}

/// Asks for records to be written that a consumer group has applied.
pub(super) fn write(records: &[ConsumerRecord], out: &mut Vec<Effect>) {
    out.extend(records.iter().map(|record| Effect::Persist(record.to_record())));
}

fn answer_join(ticket: Ticket, joined: Joined, out: &mut Vec<Effect>) {
    out.push(Effect::Answer(ticket, Response::Join(joined)));
}
