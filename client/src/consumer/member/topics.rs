//! Which topics a member wants, and how many partitions they have.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Failure,
    driver::{Done, Driver},
};
use crate::{
    config::Assignor,
    consumer::{
        assignor::{Member, Topics},
        group::Group,
    },
};

impl Driver {
    /// While a subscribed topic does not exist, it is looked for this often.
    const MISSING_TOPIC_REFRESH: Duration = Duration::from_secs(1);

    /// Computes the assignment of all members.
    pub(super) fn assign(&mut self, assignor: Assignor, members: Vec<Member>) {
        self.group_topics = members.iter().flat_map(|member| member.subscription.topics.iter().cloned()).collect();
        let (group, topics) = (Arc::clone(&self.group), self.group_topics.clone());
        // What was asked for less than a backoff ago would be waited for, and be the same; topics that change after an
        // assignment are noticed anyway.
        let young = group.cluster.config().retry_backoff.initial;
        let is_stale = |topic: &Arc<str>| !group.cluster.metadata().is_young(topic, young);
        let asked: Vec<_> = self.asked().into_iter().filter(|(topic, _)| is_stale(topic)).collect();
        self.work.push(Box::pin(async move {
            if !asked.is_empty()
                && let Err(error) = group.cluster.refresh(asked).await
            {
                return Done::Assigned(Err(Failure::of(error)));
            }
            let topics = known(&group, &topics);
            let assignments = assignor.assign(&members, &topics);
            Done::Assigned(Ok((assignments.into_iter().collect(), topics)))
        }));
    }

    /// The topics that concern us, and whether to ask for them may create them: those that the program named.
    fn asked(&self) -> Vec<(Arc<str>, bool)> {
        let named = &self.subscription.topics;
        let create = self.group.shared.config.allow_auto_create_topics;
        let topics = named.union(&self.group_topics);
        topics.map(|topic| (Arc::clone(topic), create && named.contains(topic))).collect()
    }

    /// Looks from time to time whether there are other topics, or topics have other partitions now.
    pub(super) fn refresh(&mut self, now: Instant) {
        if self.refreshing || now < self.next_refresh {
            return;
        }
        self.refreshing = true;
        let group = Arc::clone(&self.group);
        let asked = self.asked();
        let pattern = self.subscription.pattern.clone().filter(|_| self.member.matches_names());
        self.work.push(Box::pin(async move {
            if let Err(error) = group.cluster.refresh(asked).await {
                tracing::debug!(%error, "no metadata of the subscribed topics");
            }
            let Some(pattern) = pattern else { return Done::Refreshed(None) };
            match group.cluster.matching_topics(|name| pattern.matches(name)).await {
                Ok(matching) => Done::Refreshed(Some(matching)),
                Err(error) => {
                    tracing::debug!(%error, "no list of topics");
                    Done::Refreshed(None)
                }
            }
        }));
    }

    pub(super) fn on_refreshed(&mut self, matching: Option<BTreeSet<Arc<str>>>, now: Instant) {
        self.refreshing = false;
        let wanted = &self.subscription.topics;
        if let Some(matching) = matching {
            self.topics = wanted.union(&matching).cloned().collect();
            self.is_ready = true;
            self.member.rejoin(Some(&self.topics));
        }
        let missing = wanted.iter().any(|topic| self.group.cluster.metadata().topic(topic).is_none());
        let age = self.group.cluster.config().metadata_max_age;
        let hurry = missing || !self.is_ready;
        self.next_refresh = now + if hurry { age.min(Self::MISSING_TOPIC_REFRESH) } else { age };
        if self.member.is_leader() && self.assigned_otherwise() {
            self.member.rejoin(None);
        }
    }

    /// Whether what was assigned is not what there is now. Where replicas are counts only for a member that is in a rack itself
    /// (`ConsumerCoordinator.PartitionRackInfo`).
    fn assigned_otherwise(&self) -> bool {
        let Some(assigned) = &self.assigned_topics else { return true };
        let now = known(&self.group, &self.group_topics);
        let in_rack = self.group.shared.config.client_rack.is_some();
        assigned.counts != now.counts || (in_rack && assigned.racks != now.racks)
    }
}

/// What is known of topics.
fn known(group: &Group, names: &BTreeSet<Arc<str>>) -> Topics {
    let metadata = group.cluster.metadata();
    let mut topics = Topics::default();
    for topic in names.iter().filter_map(|name| metadata.topic(name)) {
        topics.counts.insert(Arc::clone(&topic.name), topic.partitions.len() as i32);
        topics.racks.extend(metadata.racks(&topic).map(|racks| (Arc::clone(&topic.name), racks)));
    }
    topics
}
