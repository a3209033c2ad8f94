//! The fetch session with one broker (KIP-227): what the broker was told already is not said again.
//!
//! Pure. The broker keeps the partitions of the last requests, so a request names only those that are new or want something
//! else, and those that are not wanted any more; an answer names only those of which there is news. Both sides count the
//! requests; when they disagree, or a request is lost, the next one is a full one and begins a new session.
//!
//! Source: `FetchSessionHandler`, `FetchMetadata`.

use std::{collections::HashMap, sync::Arc};

use uuid::Uuid;

use crate::codes::ErrorCode;

/// A partition as the broker is told of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) topic: Arc<str>,
    /// Nil if the broker goes by names.
    pub(crate) topic_id: Uuid,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) current_leader_epoch: i32,
    pub(crate) last_fetched_epoch: i32,
}

impl Asked {
    fn key(&self) -> (Arc<str>, i32) {
        (Arc::clone(&self.topic), self.partition)
    }
}

/// What a request says of the session.
#[derive(Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) session_id: i32,
    pub(crate) session_epoch: i32,
    /// Which of the wanted partitions are named, by their places.
    pub(crate) named: Vec<usize>,
    pub(crate) forgotten: Vec<Asked>,
}

impl Plan {
    /// Whether the broker is to forget what it had.
    pub(crate) fn is_full(&self) -> bool {
        self.session_epoch <= FetchSession::INITIAL
    }
}

/// The session as this side sees it.
#[derive(Debug, Default)]
pub(crate) struct FetchSession {
    session_id: i32,
    /// Of the next request.
    epoch: i32,
    /// What the broker has, and the round in which it was wanted last.
    held: HashMap<(Arc<str>, i32), (Asked, u64)>,
    /// Whether topics go by their ids, which is so for all of a session.
    by_id: bool,
    round: u64,
}

impl FetchSession {
    /// `FetchMetadata.INITIAL_EPOCH`: begin a session, and end the one that is named.
    const INITIAL: i32 = 0;
    /// `FetchMetadata.FINAL_EPOCH`: end the session.
    pub(crate) const FINAL: i32 = -1;

    /// Says how to ask for exactly these partitions. A topic that was created anew ends the session: only from v13 on could the
    /// old one be told from the new one.
    pub(crate) fn plan(&mut self, by_id: bool, wanted: &[Asked]) -> Plan {
        let was_by_id = std::mem::replace(&mut self.by_id, by_id);
        let is_other =
            |asked: &Asked| self.held.get(&asked.key()).is_some_and(|(held, _)| held.topic_id != asked.topic_id);
        if was_by_id != by_id || wanted.iter().any(is_other) {
            self.on_lost();
        }
        if self.epoch == Self::INITIAL {
            self.held.clear();
        }
        self.round += 1;
        let (mut named, mut forgotten) = (Vec::new(), Vec::new());
        for (place, asked) in wanted.iter().enumerate() {
            match self.held.get_mut(&asked.key()) {
                Some((held, round)) if held == asked => *round = self.round,
                _ => {
                    named.push(place);
                    self.held.insert(asked.key(), (asked.clone(), self.round));
                }
            }
        }
        if self.held.len() > wanted.len() {
            let round = self.round;
            self.held.retain(|_, (held, wanted)| {
                let is_wanted = *wanted == round;
                if !is_wanted {
                    forgotten.push(held.clone());
                }
                is_wanted
            });
            // In an order that does not depend on the map's: the same program asks the same.
            forgotten.sort_unstable_by(|one, other| (&one.topic, one.partition).cmp(&(&other.topic, other.partition)));
        }
        Plan { session_id: self.session_id, session_epoch: self.epoch, named, forgotten }
    }

    /// A request was answered without an error: `session_id` is what the answer says, 0 for none.
    pub(crate) fn on_answer(&mut self, session_id: i32) {
        if session_id == 0 {
            // The broker has no room for the session, or has closed it.
            *self = Self { round: self.round, by_id: self.by_id, ..Self::default() };
            return;
        }
        self.session_id = session_id;
        self.epoch = if self.epoch == i32::MAX { 1 } else { self.epoch + 1 };
    }

    /// A request was refused as a whole.
    pub(crate) fn on_refused(&mut self, code: ErrorCode) {
        self.on_lost();
        if code == ErrorCode::FetchSessionIdNotFound {
            self.session_id = 0;
        }
    }

    /// Whether the broker has seen a request is not known.
    pub(crate) fn on_lost(&mut self) {
        self.epoch = Self::INITIAL;
        self.held.clear();
    }

    /// The session to be closed, if there is one.
    pub(crate) fn open_id(&self) -> Option<i32> {
        Some(self.session_id).filter(|id| *id != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(partition: i32, offset: i64) -> Asked {
        Asked {
            topic: "t".into(),
            topic_id: Uuid::from_u128(1),
            partition,
            offset,
            current_leader_epoch: 0,
            last_fetched_epoch: -1,
        }
    }

    /// Places that are named, and partitions that are forgotten.
    fn said(plan: &Plan) -> (Vec<usize>, Vec<i32>) {
        let forgotten: Vec<_> = plan.forgotten.iter().map(|asked| asked.partition).collect();
        (plan.named.clone(), forgotten)
    }

    #[test]
    fn only_what_is_new_or_other_is_named() {
        // FetchSessionHandlerTest.testIncrementals.
        let mut session = FetchSession::default();
        let plan = session.plan(true, &[asked(0, 5), asked(1, 7)]);
        assert_eq!((plan.session_id, plan.session_epoch, said(&plan)), (0, 0, (vec![0, 1], vec![])));
        assert!(plan.is_full());
        session.on_answer(123);
        let plan = session.plan(true, &[asked(0, 10), asked(1, 7), asked(2, 0)]);
        assert_eq!((plan.session_id, plan.session_epoch, said(&plan)), (123, 1, (vec![0, 2], vec![])));
        assert!(!plan.is_full());
        session.on_answer(123);
        let plan = session.plan(true, &[asked(2, 0)]);
        assert_eq!((plan.session_epoch, said(&plan)), (2, (vec![], vec![0, 1])));
        session.on_answer(123);
        let plan = session.plan(true, &[asked(0, 10), asked(2, 0)]);
        assert_eq!(said(&plan), (vec![0], vec![]), "what was forgotten is new again");
    }

    #[test]
    fn a_lost_request_begins_anew_and_ends_the_old_session() {
        // FetchMetadata.nextCloseExistingAttemptNew.
        let mut session = FetchSession::default();
        session.plan(true, &[asked(0, 5)]);
        session.on_answer(123);
        for code in [None, Some(ErrorCode::InvalidFetchSessionEpoch), Some(ErrorCode::FetchSessionTopicIdError)] {
            match code {
                Some(code) => session.on_refused(code),
                None => session.on_lost(),
            }
            let plan = session.plan(true, &[asked(0, 5)]);
            assert_eq!((plan.session_id, plan.session_epoch, said(&plan)), (123, 0, (vec![0], vec![])));
            session.on_answer(123);
        }
        session.on_refused(ErrorCode::FetchSessionIdNotFound);
        let plan = session.plan(true, &[asked(0, 5)]);
        assert_eq!((plan.session_id, plan.session_epoch), (0, 0), "there is nothing to end");
    }

    #[test]
    fn without_a_session_every_request_is_full() {
        // The cache of the broker is full, or it is older than sessions.
        let mut session = FetchSession::default();
        for _ in 0..2 {
            let plan = session.plan(true, &[asked(0, 5)]);
            assert_eq!((plan.session_id, plan.session_epoch, said(&plan)), (0, 0, (vec![0], vec![])));
            session.on_answer(0);
        }
        assert_eq!(session.open_id(), None);
    }

    #[test]
    fn a_topic_that_was_created_anew_ends_the_session() {
        let mut session = FetchSession::default();
        session.plan(true, &[asked(0, 5)]);
        session.on_answer(123);
        let plan = session.plan(true, &[Asked { topic_id: Uuid::from_u128(2), ..asked(0, 0) }]);
        assert_eq!((plan.session_id, plan.session_epoch, said(&plan)), (123, 0, (vec![0], vec![])));
    }

    #[test]
    fn a_session_has_topics_by_id_or_by_name() {
        // FETCH_SESSION_TOPIC_ID_ERROR is what mixing them is answered with.
        let mut session = FetchSession::default();
        session.plan(true, &[asked(0, 5)]);
        session.on_answer(123);
        let nameless = Asked { topic_id: Uuid::nil(), ..asked(1, 0) };
        assert!(session.plan(false, &[nameless]).is_full());
    }

    #[test]
    fn the_epoch_wraps_to_one() {
        // FetchMetadata.nextEpoch: 0 would begin a session.
        let mut session = FetchSession { session_id: 7, epoch: i32::MAX, by_id: true, ..FetchSession::default() };
        session.on_answer(7);
        assert_eq!(session.plan(true, &[]).session_epoch, 1);
    }
}
