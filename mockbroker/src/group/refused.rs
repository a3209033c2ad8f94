//! Records that the log did not take: what they said is taken back, and who was to be told of it is told why.
//!
//! A step applies its records before they are written. Hard state is one value for each key of a record, so what to go back to
//! is what the log has of that key. Soft state stays as it is, as in Kafka, but where a classic group has to follow: Kafka's
//! changes those in place, and has its own way back from each of the three records that it writes for them.
//!
//! Source: `CoordinatorRuntime.CoordinatorContext.failCurrentBatch`, the `appendFuture`s of `GroupMetadataManager`.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::classic::ClassicGroup;
use super::event::{Effect, Response};
use super::record::Record;
use super::{Ctx, GroupCoordinator};
use crate::cluster::Refusal;
use crate::types::Ticket;

/// A record that the log did not take.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// The producer in whose transaction it was to be.
    pub(crate) producer_id: Option<i64>,
    /// The record.
    pub(crate) record: Record,
    /// What the log has of its key: a value, or the tombstone that there is none.
    pub(crate) written: Record,
}

impl GroupCoordinator {
    /// Takes back what `refused` said, which were the records of one step in their order. Those of `answers` that tell of it
    /// tell of `error` instead.
    pub(crate) fn take_back(
        &mut self,
        ctx: &mut Ctx<'_>,
        refused: &[Refused],
        error: ResponseError,
        answers: &mut [(Ticket, Response)],
        out: &mut Vec<Effect>,
    ) {
        // The last first: what made a group goes last.
        for Refused { producer_id, record, written } in refused.iter().rev() {
            match (record, written) {
                (Record::OffsetCommit(key, _), Record::OffsetCommit(_, value)) => {
                    self.hard.take_back_offset(*producer_id, key, value.as_ref());
                    self.forget_if_unfounded(&key.group_id);
                }
                (Record::GroupMetadata(group_id, value), _) => {
                    let was_new = value.as_ref().is_some_and(|it| it.generation == 0 && it.members.is_empty());
                    let was_converted = refused.iter().any(|it| is_of_consumer_group(&it.record, group_id));
                    if value.is_some() && (was_new || was_converted) {
                        self.take_back_new(group_id, written, error, out);
                    } else {
                        let was_deleted = value.is_none() && !was_converted;
                        self.take_back_classic(ctx, group_id, &as_it_was(written, was_deleted), answers, out);
                    }
                }
                _ => {
                    self.apply(written);
                    self.rearm_consumer(record.group_id());
                }
            }
        }
        let is_refused = |group_id: &str| refused.iter().any(|refused| **refused.record.group_id() == *group_id);
        for (_, answer) in answers {
            answer.fail(error, is_refused);
        }
    }

    /// The classic group came to be with the record.
    fn take_back_new(&mut self, group_id: &StrBytes, written: &Record, error: ResponseError, out: &mut Vec<Effect>) {
        self.hard.apply(written);
        if let Some(mut group) = self.remove_classic(group_id) {
            group.dissolve(error, out);
        }
    }

    fn take_back_classic(
        &mut self,
        ctx: &mut Ctx<'_>,
        group_id: &StrBytes,
        written: &Record,
        answers: &[(Ticket, Response)],
        out: &mut Vec<Effect>,
    ) {
        self.hard.apply(written);
        let is_there = self.classic.contains_key(group_id);
        let tells = |is_it: fn(&Response) -> bool| answers.iter().any(|(_, answer)| is_it(answer));
        if is_there && tells(|answer| matches!(answer, Response::Sync(Ok(_)))) {
            if let Some(mut turn) = self.classic_turn(ctx, group_id, out) {
                turn.on_assignment_refused();
            }
        } else if let Record::GroupMetadata(_, Some(before)) = written
            && (!is_there || tells(|answer| matches!(answer, Response::Join(joined) if joined.error.is_none())))
        {
            // Deleted, upgraded, or with another id of a static member.
            self.remove_classic(group_id);
            self.consumer.remove(group_id);
            self.classic.insert(group_id.clone(), ClassicGroup::from_record(before));
            if let Some(mut turn) = self.classic_turn(ctx, group_id, out) {
                turn.on_loaded();
            }
        }
        // A group that became empty stays so: whoever reads the log finds members whose sessions end.
    }

    /// Forgets a group that was there for its offsets only, and has none.
    fn forget_if_unfounded(&mut self, group_id: &StrBytes) {
        let is_simple = self.classic.get(group_id).is_some_and(|group| group.is_simple() && group.is_empty());
        let is_written = self.hard.has_classic_group(group_id);
        if is_simple && !is_written && self.hard.offsets().partitions_of_group(group_id).is_empty() {
            self.remove_classic(group_id);
        }
    }
}

/// What the log has of a classic group, as its coordinator had it. One that was deleted had nobody in it, though the record
/// that says so may have been refused, too.
fn as_it_was(written: &Record, was_deleted: bool) -> Record {
    let mut written = written.clone();
    if let Record::GroupMetadata(_, Some(value)) = &mut written
        && was_deleted
    {
        value.members.clear();
        value.leader = None;
        value.protocol = None;
    }
    written
}

fn is_of_consumer_group(record: &Record, group_id: &StrBytes) -> bool {
    let is_classic = matches!(record, Record::OffsetCommit(..) | Record::GroupMetadata(..));
    !is_classic && record.group_id() == group_id
}

impl Response {
    /// Makes it the refusal that it would have been, had it been known that the records of the groups that `is_refused` says
    /// cannot be written. What is refused already has nothing to do with them.
    fn fail(&mut self, error: ResponseError, is_refused: impl Fn(&str) -> bool) {
        match self {
            Self::Join(joined) => {
                if joined.error.is_none() {
                    *joined = super::Joined::refused(error, StrBytes::new());
                }
            }
            Self::Sync(synced) => {
                if synced.is_ok() {
                    *synced = Err(error);
                }
            }
            Self::Heartbeat(_) => {}
            Self::Leave(left) => *left = Err(error),
            Self::ConsumerGroupHeartbeat(answer) => *answer = Err(Refusal::code(error)),
            Self::OffsetCommit(topics) | Self::DeleteOffsets(Ok(topics)) => {
                for (_, outcome) in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                    *outcome = Some(error);
                }
            }
            Self::DeleteOffsets(Err(_)) => {}
            Self::DeleteGroups(groups) => {
                for (_, outcome) in groups.iter_mut().filter(|(group_id, _)| is_refused(group_id)) {
                    *outcome = Some(error);
                }
            }
        }
    }
}
