//! The target assignment: when it is computed, by which assignor, and the records that say what changed.

use std::collections::BTreeMap;

use super::assignor::{GroupSpec, MemberSpec};
use super::record::{ConsumerRecord, Partitions, TargetAssignmentMemberValue, TargetAssignmentMetadataValue};
use super::topics::topic_ids;
use super::{Assignor, ConsumerConfig, ConsumerGroup, Ctx};

impl ConsumerGroup {
    /// Computes the target for the group epoch, if it is older and the last computation is long enough ago
    /// (`maybeUpdateTargetAssignment`; KIP-1263). Until then members go on towards the old one.
    pub(super) fn update_target(&mut self, ctx: &Ctx<'_>, newest: Option<&str>, out: &mut Vec<ConsumerRecord>) {
        let is_old = self.hard.group_epoch() > self.hard.assignment_epoch();
        if !is_old || !self.may_compute_target(ctx) {
            return;
        }
        let mut target = self.preferred_assignor(ctx.config).assign(&self.spec(ctx, newest));
        for member_id in self.hard.members().keys().cloned().collect::<Vec<_>>() {
            let topic_partitions = target.remove(&member_id).unwrap_or_default();
            if self.hard.target(&member_id) != Some(&topic_partitions) {
                let value = Some(TargetAssignmentMemberValue { topic_partitions });
                let group_id = self.group_id.clone();
                self.persist(ConsumerRecord::TargetAssignmentMember { group_id, member_id, value }, out);
            }
        }
        let value = Some(TargetAssignmentMetadataValue {
            assignment_epoch: self.hard.group_epoch(),
            assignment_timestamp: ctx.now.as_millis(),
        });
        self.persist(ConsumerRecord::TargetAssignmentMetadata { group_id: self.group_id.clone(), value }, out);
    }

    /// `canComputeNextTargetAssignment`.
    fn may_compute_target(&self, ctx: &Ctx<'_>) -> bool {
        let (last, interval_ms) = (self.hard.assignment_timestamp(), ctx.config.assignment_interval_ms);
        last == 0 || interval_ms == 0 || ctx.now.as_millis() >= last.saturating_add(interval_ms.into())
    }

    /// The assignor that most members ask for, or else the first that is configured. Which of several is not specified.
    pub(super) fn preferred_assignor(&self, config: &ConsumerConfig) -> Assignor {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for name in self.hard.members().values().filter_map(|member| member.metadata.server_assignor.as_deref()) {
            *votes.entry(name).or_default() += 1;
        }
        let preferred = votes.into_iter().max_by_key(|(_, count)| *count);
        let preferred = preferred.and_then(|(name, _)| Assignor::by_name(name));
        preferred.or_else(|| config.assignors.first().copied()).unwrap_or(Assignor::Uniform)
    }

    fn spec<'a>(&'a self, ctx: &Ctx<'_>, newest: Option<&'a str>) -> GroupSpec<'a> {
        let names = self.hard.subscribed_names();
        let is_homogeneous = self.hard.is_homogeneous();
        let mut spec = GroupSpec { newest, subscribed_names: names.len(), is_homogeneous, ..GroupSpec::default() };
        for name in names {
            if let Some((topic_id, partitions)) = ctx.topics.topic(name) {
                spec.partition_counts.insert(topic_id, partitions);
            }
        }
        for (member_id, member) in self.hard.members() {
            let subscribed = topic_ids(ctx.topics, self.hard.names_of(member));
            let instance_id = member.metadata.instance_id.as_deref();
            let assigned: Option<&Partitions> = self.hard.target(member_id);
            spec.members.insert(member_id, MemberSpec { instance_id, subscribed, assigned });
        }
        spec
    }
}
