//! The two kinds of member as one, for the driver.

use std::{collections::BTreeSet, sync::Arc};

use tokio::time::Instant;

use super::{
    Failure, Step,
    classic::{Classic, NO_GENERATION},
    consumer::ConsumerMember,
    requests::Identity,
};
use crate::{config::Assignor, consumer::group::Membership, record::TopicPartition};

/// A member of a group.
#[derive(Debug)]
pub(crate) enum Machine {
    Classic(Box<Classic>),
    Consumer(Box<ConsumerMember>),
}

/// The same question to whichever it is.
macro_rules! either {
    ($machine:expr, $member:ident => $answer:expr) => {
        match $machine {
            Machine::Classic($member) => $answer,
            Machine::Consumer($member) => $answer,
        }
    };
}

impl Machine {
    pub(crate) fn step(&mut self, now: Instant) -> Option<Step> {
        either!(self, member => member.step(now))
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        either!(self, member => member.next_deadline())
    }

    pub(crate) fn identity(&self) -> Identity {
        let (member_id, generation_id) = either!(self, member => member.identity());
        Identity { member_id: member_id.to_owned(), generation_id }
    }

    /// The member as commits see it.
    pub(crate) fn membership(&self) -> Membership {
        let identity = self.identity();
        match self {
            Self::Classic(member) => Membership {
                is_member: identity.generation_id != NO_GENERATION,
                is_joining: member.is_joining(),
                has_epoch: false,
                identity,
            },
            Self::Consumer(member) => {
                Membership { is_member: member.is_member(), is_joining: false, has_epoch: true, identity }
            }
        }
    }

    pub(crate) fn may_read(&self, partition: &TopicPartition) -> bool {
        either!(self, member => member.may_read(partition))
    }

    pub(crate) fn is_stable(&self) -> bool {
        either!(self, member => member.is_stable())
    }

    pub(crate) fn is_leader(&self) -> bool {
        matches!(self, Self::Classic(member) if member.is_leader())
    }

    /// Whether a pattern is ours to match, and not the broker's.
    pub(crate) fn matches_names(&self) -> bool {
        matches!(self, Self::Classic(_))
    }

    pub(crate) fn assignor(&self) -> Option<Assignor> {
        match self {
            Self::Classic(member) => member.assignor(),
            Self::Consumer(_) => None,
        }
    }

    pub(crate) fn on_released(&mut self) -> Option<Step> {
        either!(self, member => member.on_released())
    }

    pub(crate) fn on_left(&mut self) -> Option<Step> {
        either!(self, member => member.on_left())
    }

    pub(crate) fn on_poll_expired(&mut self) -> Option<Step> {
        either!(self, member => member.on_poll_expired())
    }

    pub(crate) fn on_polled(&mut self) {
        either!(self, member => member.on_polled());
    }

    pub(crate) fn close(&mut self) {
        either!(self, member => member.close());
    }

    pub(crate) fn hasten(&mut self, now: Instant) {
        either!(self, member => member.hasten(now));
    }

    /// The topics of a pattern are these now, or the leader found other partitions than it assigned.
    pub(crate) fn rejoin(&mut self, topics: Option<&BTreeSet<Arc<str>>>) {
        if let Self::Classic(member) = self {
            match topics {
                Some(topics) => member.subscribe(topics),
                None => member.request_rejoin(),
            }
        }
    }

    /// Does something to a classic member; one that is none any more is not concerned.
    pub(crate) fn classic<T>(&mut self, act: impl FnOnce(&mut Classic) -> Option<T>) -> Option<T> {
        match self {
            Self::Classic(member) => act(member),
            Self::Consumer(_) => None,
        }
    }

    /// As [`Machine::classic`], for the other kind.
    pub(crate) fn consumer<T>(&mut self, act: impl FnOnce(&mut ConsumerMember) -> Option<T>) -> Option<T> {
        match self {
            Self::Consumer(member) => act(member),
            Self::Classic(_) => None,
        }
    }
}

impl Failure {
    /// Whether the coordinator is another broker, as far as this says.
    pub(crate) fn moves_coordinator(&self) -> bool {
        use crate::codes::ErrorCode::{CoordinatorNotAvailable, NotCoordinator};
        matches!(self, Self::Later(error) if matches!(error.code(), Some(NotCoordinator | CoordinatorNotAvailable)))
    }
}
