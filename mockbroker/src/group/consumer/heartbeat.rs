//! ConsumerGroupHeartbeat: a member joins, says what it owns, learns what it may own.
//!
//! Everything that can be refused is refused before anything changes. The numbers are those of
//! `GroupMetadataManager.consumerGroupHeartbeat`, 4.3.1; so are the texts.

use kafka_protocol::error::ResponseError;

use super::member::{Admitted, MemberChange, StaticEntry};
use super::reconcile::contains;
use super::record::{ConsumerRecord, CurrentMemberAssignmentValue, MemberMetadataValue, MemberState, Partitions};
use super::regex;
use super::state::{LEAVE_GROUP_MEMBER_EPOCH, LEAVE_GROUP_STATIC_MEMBER_EPOCH, Member};
use super::timers::Timer;
use super::{Assignor, ConsumerConfig, ConsumerGroup, Ctx, Downgrade};
use crate::cluster::Refusal;

/// What a member says. `None`, and -1 for the timeout, is *as before*.
#[derive(Clone, Debug)]
pub(crate) struct Heartbeat {
    /// The caller gives an id to a member that joins without one, which version 0 lets it.
    pub(crate) member_id: String,
    /// 0 joins, -1 leaves, -2 leaves for a while.
    pub(crate) member_epoch: i32,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) subscribed_topic_names: Option<Vec<String>>,
    pub(crate) subscribed_topic_regex: Option<String>,
    pub(crate) server_assignor: Option<String>,
    /// The partitions that it owns.
    pub(crate) topic_partitions: Option<Partitions>,
    pub(crate) client_id: String,
    /// As Java prints an address: `/127.0.0.1`.
    pub(crate) client_host: String,
}

/// What a member learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeartbeatAnswer {
    pub(crate) member_id: String,
    pub(crate) member_epoch: i32,
    /// Zero in the answer to one that leaves.
    pub(crate) heartbeat_interval_ms: i32,
    /// The partitions that it may own now; `None` if they are the same as before.
    pub(crate) assignment: Option<Partitions>,
}

impl Heartbeat {
    /// What is wrong whatever the group is (`GroupCoordinatorService.throwIfConsumerGroupHeartbeatRequestIsInvalid`). To be
    /// asked before the member has been given an id.
    ///
    /// # Errors
    /// INVALID_REQUEST, UNSUPPORTED_ASSIGNOR.
    pub(crate) fn check(
        &self,
        group_id: &str,
        requires_member_id: bool,
        config: &ConsumerConfig,
    ) -> Result<(), Refusal> {
        let invalid = |text: &str| Err(Refusal::new(ResponseError::InvalidRequest, text));
        let needs_id = requires_member_id || self.member_epoch > 0 || self.member_epoch == LEAVE_GROUP_MEMBER_EPOCH;
        let is_empty = |text: &Option<String>| text.as_deref() == Some("");
        if needs_id && self.member_id.is_empty() {
            return invalid("MemberId can't be empty.");
        }
        if group_id.is_empty() {
            return invalid("GroupId can't be empty.");
        }
        if is_empty(&self.instance_id) {
            return invalid("InstanceId can't be empty.");
        }
        if is_empty(&self.rack_id) {
            return invalid("RackId can't be empty.");
        }
        if self.member_epoch == 0 {
            if self.rebalance_timeout_ms == -1 {
                return invalid("RebalanceTimeoutMs must be provided in first request.");
            }
            if !self.topic_partitions.as_ref().is_some_and(Partitions::is_empty) {
                return invalid("TopicPartitions must be empty when (re-)joining.");
            }
            if self.subscribed_topic_names.is_none() && self.subscribed_topic_regex.is_none() {
                return invalid(
                    "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
                );
            }
        } else if self.member_epoch == LEAVE_GROUP_STATIC_MEMBER_EPOCH {
            if self.instance_id.is_none() {
                return invalid("InstanceId can't be null.");
            }
        } else if self.member_epoch < LEAVE_GROUP_STATIC_MEMBER_EPOCH {
            return invalid("MemberEpoch is invalid.");
        }
        self.check_assignor(config)
    }

    fn check_assignor(&self, config: &ConsumerConfig) -> Result<(), Refusal> {
        let Some(name) = &self.server_assignor else { return Ok(()) };
        if config.assignors.iter().any(|assignor| assignor.name() == name) {
            return Ok(());
        }
        let supported: Vec<_> = config.assignors.iter().copied().map(Assignor::name).collect();
        let supported = supported.join(", ");
        let text = format!("ServerAssignor {name} is not supported. Supported assignors: {supported}.");
        Err(Refusal::new(ResponseError::UnsupportedAssignor, text))
    }

    /// What the member said of itself, with what it says now.
    fn update(&self, metadata: &MemberMetadataValue) -> MemberMetadataValue {
        let mut updated = metadata.clone();
        let assign = |field: &mut Option<String>, value: &Option<String>| {
            if value.is_some() {
                field.clone_from(value);
            }
        };
        assign(&mut updated.instance_id, &self.instance_id);
        assign(&mut updated.rack_id, &self.rack_id);
        assign(&mut updated.server_assignor, &self.server_assignor);
        assign(&mut updated.subscribed_topic_regex, &self.subscribed_topic_regex);
        if self.rebalance_timeout_ms != -1 {
            updated.rebalance_timeout_ms = self.rebalance_timeout_ms;
        }
        if let Some(names) = &self.subscribed_topic_names {
            updated.subscribed_topic_names = names.iter().cloned().collect();
        }
        updated.client_id.clone_from(&self.client_id);
        updated.client_host.clone_from(&self.client_host);
        updated.classic_member_metadata = None;
        updated
    }

    /// Whether it says all that a member that joins says: it wants to be told its assignment.
    fn is_full(&self) -> bool {
        self.rebalance_timeout_ms != -1
            && (self.subscribed_topic_names.is_some() || self.subscribed_topic_regex.is_some())
            && self.topic_partitions.is_some()
    }
}

impl ConsumerGroup {
    /// Handles a heartbeat that passed [`Heartbeat::check`]. With a [`Downgrade`] the member has not been removed yet.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND, GROUP_MAX_SIZE_REACHED, UNKNOWN_MEMBER_ID, FENCED_MEMBER_EPOCH, UNRELEASED_INSTANCE_ID,
    /// FENCED_INSTANCE_ID, INVALID_REGULAR_EXPRESSION; then nothing has changed.
    pub(crate) fn heartbeat(
        &mut self,
        ctx: &Ctx<'_>,
        request: &Heartbeat,
        out: &mut Vec<ConsumerRecord>,
    ) -> Result<(HeartbeatAnswer, Option<Downgrade>), Refusal> {
        if request.member_epoch < 0 {
            return self.leave(ctx, request, out);
        }
        let Admitted { member, is_new, replaced } = self.admit(ctx, request)?;
        let member_id = &request.member_id;
        if let Some(replaced) = replaced {
            self.replace(&replaced, member_id, &member, out);
        }
        // 1. Create or update the member; bump the group epoch if it, or a topic, has changed.
        let updated = request.update(&member.metadata);
        let change = MemberChange { member_id, before: &member, updated, is_new };
        let subscription_changed = self.update_member(ctx, change, out);
        // 2. Compute the target assignment if it is older than the group epoch.
        self.update_target(ctx, is_new.then_some(member_id), out);
        // 3. Bring the member nearer to its target.
        self.reconcile(ctx, member_id, subscription_changed, request.topic_partitions.as_ref(), out);

        let current = &self.member_of(member_id).assignment;
        let is_changed = current.assigned_partitions != member.assignment.assigned_partitions;
        let (member_epoch, assigned) = (current.member_epoch, partitions_of(current));
        let tells_assignment = request.member_epoch == 0 || request.is_full() || is_changed;
        let session_ends = ctx.now.plus_millis(ctx.config.session_timeout_ms.into());
        self.timers.arm(member_id, Timer::Session, session_ends, member_epoch);
        let answer = HeartbeatAnswer {
            member_id: member_id.clone(),
            member_epoch,
            heartbeat_interval_ms: ctx.config.heartbeat_interval_ms,
            assignment: tells_assignment.then_some(assigned),
        };
        Ok((answer, None))
    }

    fn admit(&self, ctx: &Ctx<'_>, request: &Heartbeat) -> Result<Admitted, Refusal> {
        let joins = request.member_epoch == 0;
        if !joins && !self.hard.is_persisted() {
            return Err(self.not_found("Consumer group"));
        }
        let member_id = &request.member_id;
        let members = self.hard.members();
        if members.len() >= ctx.config.max_size && !members.contains_key(member_id) {
            let text =
                format!("The consumer group has reached its maximum capacity of {} members.", ctx.config.max_size);
            return Err(Refusal::new(ResponseError::GroupMaxSizeReached, text));
        }
        let admitted = match &request.instance_id {
            Some(instance_id) => {
                let entry = if joins { StaticEntry::Released } else { StaticEntry::Known };
                self.admit_static(member_id, instance_id, entry)?
            }
            None => match self.hard.member(member_id) {
                Some(member) => Admitted { member: member.clone(), is_new: false, replaced: None },
                None if joins => Admitted { member: Member::unknown(), is_new: true, replaced: None },
                None => return Err(self.unknown_member(member_id)),
            },
        };
        if !joins {
            check_epoch(&admitted.member.assignment, request)?;
        }
        let updated = request.update(&admitted.member.metadata);
        let pattern = updated.subscribed_topic_regex.as_deref().filter(|pattern| !pattern.is_empty());
        match pattern {
            // One that another member is subscribed to was checked then.
            Some(pattern) if !self.hard.subscribed_regexes().contains_key(pattern) => regex::check(pattern)?,
            _ => {}
        }
        Ok(admitted)
    }
}

/// Refusals.
impl ConsumerGroup {
    pub(super) fn not_found(&self, what: &str) -> Refusal {
        Refusal::new(ResponseError::GroupIdNotFound, format!("{what} {} not found.", self.group_id))
    }

    pub(super) fn unknown_member(&self, member_id: &str) -> Refusal {
        let text = format!("Member {member_id} is not a member of group {}.", self.group_id);
        Refusal::new(ResponseError::UnknownMemberId, text)
    }

    /// The member that is `instance_id`, if it is `member_id`.
    pub(super) fn check_instance(&self, instance_id: &str, member_id: &str) -> Result<&Member, Refusal> {
        match self.hard.static_member_id(instance_id) {
            Some(holder) if holder == member_id => Ok(self.member_of(holder)),
            Some(holder) => {
                let text =
                    format!("Static member {member_id} with instance id {instance_id} was fenced by member {holder}.");
                Err(Refusal::new(ResponseError::FencedInstanceId, text))
            }
            None => {
                let text = format!("Instance id {instance_id} is unknown.");
                Err(Refusal::new(ResponseError::UnknownMemberId, text))
            }
        }
    }

    /// A member that is there.
    pub(super) fn member_of(&self, member_id: &str) -> &Member {
        self.hard.member(member_id).expect("the member was found, or has just been created")
    }
}

/// `throwIfConsumerGroupMemberEpochIsInvalid`, and the fencing of members in a state that we do not know.
fn check_epoch(current: &CurrentMemberAssignmentValue, request: &Heartbeat) -> Result<(), Refusal> {
    let fenced = |text: String| Err(Refusal::new(ResponseError::FencedMemberEpoch, text));
    let (received, known) = (request.member_epoch, current.member_epoch);
    // The answer with the new epoch may have been lost: the previous one will do, if nothing is owned that should not be.
    let is_retry = received < known
        && received == current.previous_member_epoch
        && request.topic_partitions.as_ref().is_some_and(|owned| is_subset(owned, current));
    if received != known && !is_retry {
        let what = if received > known { "greater" } else { "smaller" };
        return fenced(format!(
            "The consumer group member has a {what} member epoch ({received}) than the one known by the group coordinator \
             ({known}). The member must abandon all its partitions and rejoin."
        ));
    }
    let owns_nothing = request.topic_partitions.as_ref().is_some_and(Partitions::is_empty);
    if current.state == MemberState::Unknown && !owns_nothing {
        let text =
            "The consumer group member is in a unknown state. The member must abandon all its partitions and rejoin.";
        return fenced(text.to_owned());
    }
    Ok(())
}

fn is_subset(owned: &Partitions, current: &CurrentMemberAssignmentValue) -> bool {
    owned.iter().all(|(topic_id, partitions)| {
        current.assigned_partitions.contains_key(topic_id)
            && partitions.iter().all(|partition| contains(&current.assigned_partitions, *topic_id, *partition))
    })
}

/// What a member may own now.
fn partitions_of(current: &CurrentMemberAssignmentValue) -> Partitions {
    let topics = current.assigned_partitions.iter();
    topics.map(|(topic_id, partitions)| (*topic_id, partitions.keys().copied().collect())).collect()
}
