//! What becomes of a member when it is heard of, whichever protocol it speaks: it is found or created, it takes the place of
//! another one, what it says of itself is written, and it is brought nearer to its target.

use kafka_protocol::error::ResponseError;

use super::reconcile::Reconciliation;
use super::record::{
    ConsumerRecord, GroupMetadataValue, MemberMetadataValue, MemberState, Partitions, TargetAssignmentMemberValue,
};
use super::regex::{self, RegexUpdate};
use super::state::{LEAVE_GROUP_STATIC_MEMBER_EPOCH, Member};
use super::timers::Timer;
use super::topics::{metadata_hash, topic_ids};
use super::{ConsumerGroup, Ctx};
use crate::cluster::Refusal;

/// Who sent a request that is not refused.
pub(super) struct Admitted {
    pub(super) member: Member,
    pub(super) is_new: bool,
    /// The id of the static member whose place it takes.
    pub(super) replaced: Option<String>,
}

/// On what terms a static member comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StaticEntry {
    /// It joins. The instance must be new, or its last holder have left.
    Released,
    /// It joins, and takes the instance from whoever has it: in the classic protocol nobody says that it leaves for a while.
    Forced,
    /// It is the holder.
    Known,
}

/// What a member says of itself, against what it said before.
pub(super) struct MemberChange<'a> {
    pub(super) member_id: &'a str,
    pub(super) before: &'a Member,
    pub(super) updated: MemberMetadataValue,
    pub(super) is_new: bool,
}

impl ConsumerGroup {
    /// `getOrMaybeSubscribeStaticConsumerGroupMember`, before the epochs are compared.
    pub(super) fn admit_static(
        &self,
        member_id: &str,
        instance_id: &str,
        entry: StaticEntry,
    ) -> Result<Admitted, Refusal> {
        if entry == StaticEntry::Known {
            let member = self.check_instance(instance_id, member_id)?.clone();
            return Ok(Admitted { member, is_new: false, replaced: None });
        }
        let Some(holder_id) = self.hard.static_member_id(instance_id) else {
            let known = self.hard.member(member_id).cloned();
            let is_new = known.is_none();
            return Ok(Admitted { member: known.unwrap_or_else(Member::unknown), is_new, replaced: None });
        };
        let holder = self.member_of(holder_id);
        let has_left = holder.assignment.member_epoch == LEAVE_GROUP_STATIC_MEMBER_EPOCH;
        if entry == StaticEntry::Released && !has_left && !holder.uses_classic_protocol() {
            let text = format!(
                "Static member {member_id} with instance id {instance_id} cannot join the group because the instance id is \
                 owned by {holder_id} member."
            );
            return Err(Refusal::new(ResponseError::UnreleasedInstanceId, text));
        }
        let mut member = holder.clone();
        member.assignment.member_epoch = 0;
        member.assignment.previous_member_epoch = 0;
        Ok(Admitted { member, is_new: false, replaced: Some(holder_id.to_owned()) })
    }

    /// Writes the member and what follows from it. Whether its subscription is another.
    pub(super) fn update_member(
        &mut self,
        ctx: &Ctx<'_>,
        change: MemberChange<'_>,
        out: &mut Vec<ConsumerRecord>,
    ) -> bool {
        let MemberChange { member_id, before, updated, is_new } = change;
        let names_changed = updated.subscribed_topic_names != before.metadata.subscribed_topic_names;
        let pattern = updated.subscribed_topic_regex.as_deref().filter(|pattern| !pattern.is_empty());
        let plan = regex::plan(ctx, &self.hard, before.regex(), pattern);
        let subscription_changed = names_changed || plan.update != RegexUpdate::NotUpdated;
        // A pattern that is not resolved yet does not bump: the target would have to be computed twice.
        let bump = match updated.classic_member_metadata {
            Some(_) => subscription_changed,
            None => names_changed || plan.update == RegexUpdate::UpdatedAndResolved,
        };
        if is_new || updated != before.metadata {
            let (group_id, member_id) = (self.group_id.clone(), member_id.to_owned());
            self.persist(ConsumerRecord::MemberMetadata { group_id, member_id, value: Some(updated) }, out);
        }
        if let Some(regular_expression) = plan.forgotten {
            let group_id = self.group_id.clone();
            self.persist(ConsumerRecord::RegularExpression { group_id, regular_expression, value: None }, out);
        }
        if plan.refresh {
            self.regex_refresh.get_or_insert(ctx.now);
        }
        if bump || self.seen_topics != Some(ctx.topics.version()) {
            self.update_metadata(ctx, bump, out);
        }
        subscription_changed
    }

    /// Raises the group epoch if it must, or if the subscribed topics are not what they were.
    pub(super) fn update_metadata(&mut self, ctx: &Ctx<'_>, bump: bool, out: &mut Vec<ConsumerRecord>) {
        self.seen_topics = Some(ctx.topics.version());
        let metadata_hash = metadata_hash(ctx.topics, &self.hard.subscribed_names());
        if bump || metadata_hash != self.hard.metadata_hash() {
            let value = GroupMetadataValue { epoch: self.hard.group_epoch() + 1, metadata_hash };
            self.persist(ConsumerRecord::GroupMetadata { group_id: self.group_id.clone(), value: Some(value) }, out);
        }
    }

    /// Puts `member`, at epoch 0, in the place of the static member with the id `replaced`. The order of the records
    /// matters to who reads them (`replaceMember`).
    pub(super) fn replace(&mut self, replaced: &str, member_id: &str, member: &Member, out: &mut Vec<ConsumerRecord>) {
        let target = self.hard.target(replaced).cloned().unwrap_or_default();
        self.timers.cancel_all(replaced);
        self.remove_member(replaced, out);
        let group_id = &self.group_id.clone();
        let ids = || (group_id.clone(), member_id.to_owned());
        let (group_id, id) = ids();
        let value = Some(member.metadata.clone());
        self.persist(ConsumerRecord::MemberMetadata { group_id, member_id: id, value }, out);
        let (group_id, id) = ids();
        let value = Some(TargetAssignmentMemberValue { topic_partitions: target });
        self.persist(ConsumerRecord::TargetAssignmentMember { group_id, member_id: id, value }, out);
        let (group_id, id) = ids();
        let value = Some(member.assignment.clone());
        self.persist(ConsumerRecord::CurrentMemberAssignment { group_id, member_id: id, value }, out);
    }

    pub(super) fn reconcile(
        &mut self,
        ctx: &Ctx<'_>,
        member_id: &str,
        subscription_changed: bool,
        owned: Option<&Partitions>,
        out: &mut Vec<ConsumerRecord>,
    ) {
        let member = self.member_of(member_id);
        let target_epoch = self.hard.assignment_epoch();
        if !subscription_changed && member.is_reconciled_to(target_epoch) {
            return;
        }
        let none = Partitions::new();
        let next = Reconciliation {
            current: &member.assignment,
            target_epoch,
            target: self.hard.target(member_id).unwrap_or(&none),
            subscribed: &topic_ids(ctx.topics, self.hard.names_of(member)),
            subscription_changed,
            owned,
            is_taken: &|topic_id, partition| self.hard.owner(topic_id, partition).is_some(),
        }
        .next();
        if next == member.assignment {
            return;
        }
        if member.uses_classic_protocol() {
            // Its time begins when it is told to join again.
        } else if next.state == MemberState::UnrevokedPartitions {
            let ends = ctx.now.plus_millis(member.metadata.rebalance_timeout_ms.into());
            self.timers.arm(member_id, Timer::Rebalance, ends, next.member_epoch);
        } else {
            self.timers.cancel(member_id, Timer::Rebalance);
        }
        let (group_id, member_id) = (self.group_id.clone(), member_id.to_owned());
        self.persist(ConsumerRecord::CurrentMemberAssignment { group_id, member_id, value: Some(next) }, out);
    }
}
