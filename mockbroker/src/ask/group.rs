//! A group as a test asks for it.

use std::sync::Arc;
use std::time::Duration;

use super::Asker;
use crate::engine::Engine;
use crate::inspect::{self, GroupState};

/// A group of the broker, whether it exists or not. Made by [`MockBroker::group`](crate::MockBroker::group).
#[derive(Clone, Debug)]
pub struct Group {
    asker: Asker,
    group_id: String,
}

impl Group {
    pub(crate) fn new(engine: Arc<Engine>, group_id: String) -> Self {
        Self { asker: Asker::new(engine), group_id }
    }

    /// How long waiters wait, in real time, instead of what the broker was built with.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.asker.patience = Some(patience);
        self
    }

    /// What it is now; `None` if there is no such group.
    pub fn state(&self) -> Option<GroupState> {
        self.asker.now(|state| inspect::group(state, &self.group_id))
    }

    /// The offset that is committed of a partition, if one is.
    pub fn committed(&self, topic: &str, partition: i32) -> Option<i64> {
        self.state()?.offset(topic, partition)
    }

    /// Waits until the group is as `is_so` says. Safe to drop.
    ///
    /// # Panics
    ///
    /// As every waiter, if that takes longer than the patience: with `what` and the broker's report.
    pub async fn wait_for(&self, what: &str, is_so: impl Fn(&GroupState) -> bool) -> GroupState {
        let what = format!("group {:?}: {what}", self.group_id);
        self.asker.until(&what, |state| inspect::group(state, &self.group_id).filter(|group| is_so(group))).await
    }

    /// Waits until the group is `Stable` with so many members: all of them have been told what they are assigned, and
    /// nothing is under way. Safe to drop.
    ///
    /// # Panics
    ///
    /// If that takes longer than the patience.
    pub async fn wait_stable(&self, members: usize) -> GroupState {
        let is_so = |group: &GroupState| group.state == "Stable" && group.members.len() == members;
        self.wait_for(&format!("stable with {members} members"), is_so).await
    }

    /// Waits until the group is in the state of this name, as Kafka spells it: `Empty`, `PreparingRebalance`, ... Safe to
    /// drop.
    ///
    /// # Panics
    ///
    /// If that takes longer than the patience; if no group ever has such a state.
    pub async fn wait_state(&self, name: &str) -> GroupState {
        const NAMES: [&str; 7] =
            ["Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Assigning", "Reconciling", "Dead"];
        assert!(NAMES.contains(&name), "no group is ever {name:?}: one of {NAMES:?}");
        self.wait_for(name, |group| group.state == name).await
    }

    /// Waits until this member is no longer in the group, or the group is no more. Safe to drop.
    ///
    /// # Panics
    ///
    /// If that takes longer than the patience.
    pub async fn wait_without(&self, member_id: &str) {
        let what = format!("group {:?} without member {member_id:?}", self.group_id);
        let has_gone = |group: &GroupState| group.members.iter().all(|member| member.member_id != member_id);
        self.asker
            .until(&what, |state| inspect::group(state, &self.group_id).as_ref().is_none_or(has_gone).then_some(()))
            .await;
    }

    /// Waits until the offset that is committed of a partition is `offset` or more. Safe to drop.
    ///
    /// # Panics
    ///
    /// If that takes longer than the patience.
    pub async fn wait_committed(&self, topic: &str, partition: i32, offset: i64) -> GroupState {
        let what = format!("{topic}-{partition} committed at least at {offset}");
        self.wait_for(&what, |group| group.offset(topic, partition).is_some_and(|committed| committed >= offset)).await
    }

    /// Waits until there is no such group. Safe to drop.
    ///
    /// # Panics
    ///
    /// If that takes longer than the patience.
    pub async fn wait_deleted(&self) {
        let what = format!("group {:?} deleted", self.group_id);
        self.asker.until(&what, |state| inspect::group(state, &self.group_id).is_none().then_some(())).await;
    }
}
