//! One file per API: wire types in, wire types out. The table is closed and in key order; the ApiVersions answer is
//! computed from it, so the broker cannot advertise what it does not serve.

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod alter_client_quotas;
mod alter_configs;
mod alter_partition_reassignments;
mod alter_replica_log_dirs;
mod alter_user_scram_credentials;
mod answers;
mod api_versions;
mod config_changes;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_acls;
mod create_partitions;
mod create_topics;
mod delete_acls;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_acls;
mod describe_client_quotas;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod describe_transactions;
mod describe_user_scram_credentials;
pub(crate) mod editing;
mod elect_leaders;
mod end_txn;
pub(crate) mod fetch;
mod find_coordinator;
mod get_telemetry_subscriptions;
pub(crate) mod groups;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod partition_read;
mod partitions;
pub(crate) mod produce;
mod push_telemetry;
#[cfg(test)]
mod refusals;
pub(crate) mod subject;
mod sync_group;
pub(crate) mod table;
#[cfg(test)]
mod testing;
mod transactions;
mod txn_offset_commit;
mod update_features;
mod write_txn_markers;

use std::net::IpAddr;

use kafka_protocol::error::ResponseError;

use crate::error::Close;
use crate::group;
use crate::state::Outcome;
use crate::time::Timestamp;
use crate::types::{NodeId, PartitionId, Ticket, TopicId};

/// What a handler knows besides the state and the request.
#[derive(Debug)]
pub(crate) struct Ctx<'a> {
    /// The time of the request on the broker's clock.
    pub(crate) now: Timestamp,
    /// The node that got the request.
    pub(crate) node: NodeId,
    /// The version of the request, which is that of the answer.
    pub(crate) version: i16,
    /// The client id in the request's header; null is "".
    pub(crate) client_id: &'a str,
    /// Where the request came from.
    pub(crate) client_address: IpAddr,
    /// What is to be done once the request is answered, in this order.
    pub(crate) effects: &'a mut Vec<Effect>,
}

impl Ctx<'_> {
    /// Has the engine do what follows from a step of the group coordinator.
    pub(crate) fn follow(&mut self, outcome: Outcome<group::Response>) {
        self.effects.extend(follow(outcome));
    }
}

/// What is to be done once a step of the group coordinator is in the log.
pub(crate) fn follow(outcome: Outcome<group::Response>) -> impl Iterator<Item = Effect> {
    let Outcome { answers, moved } = outcome;
    let moved = moved.into_iter().map(|(topic_id, partition)| Effect::PartitionMoved(topic_id, partition));
    moved.chain(answers.into_iter().map(|(ticket, answer)| Effect::AnswerMember(ticket, answer)))
}

/// What the engine does after a handler has run, outside of the handler's own answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    /// Data or offsets of the partition moved: held fetches look again.
    PartitionMoved(TopicId, PartitionId),
    /// Creates the topic a moment *after* the answer (auto-creation, internal topics), as Kafka's controller does.
    CreateTopic(String),
    /// Answers a request of a group's member that waits.
    AnswerMember(Ticket, group::Response),
    /// Another node leads the partition, or the same one anew: held fetches look again, and what the partition coordinates is
    /// taken up from the log.
    LeaderMoved(TopicId, PartitionId),
}

/// What a handler says.
#[derive(Debug)]
pub(crate) enum Answer<R> {
    /// The answer, at once.
    Now(R),
    /// The answer comes when something happens; the ticket is for it.
    Later(Ticket),
    /// There is no answer to this request (Produce with acks=0).
    Never,
    /// The connection ends.
    Close(Close),
}

impl<R> Answer<R> {
    /// The same, with the answer made into another type.
    pub(crate) fn map<S>(self, make: impl FnOnce(R) -> S) -> Answer<S> {
        match self {
            Self::Now(response) => Answer::Now(make(response)),
            Self::Later(ticket) => Answer::Later(ticket),
            Self::Never => Answer::Never,
            Self::Close(close) => Answer::Close(close),
        }
    }
}

/// Which versions of an API this broker serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Api {
    /// The lowest version that is served.
    pub(crate) min: i16,
    /// The highest version that is served.
    pub(crate) max: i16,
}

impl Api {
    /// An API served from version `min` to `max`. Both are checked against what the codec knows when this is compiled.
    pub(crate) const fn new<R: kafka_protocol::protocol::Message>(min: i16, max: i16) -> Self {
        assert!(min <= max && min >= R::VERSIONS.min && max <= R::VERSIONS.max, "the codec lacks a version");
        Self { min, max }
    }
}

/// The code of an outcome as the wire has it: 0 for none.
pub(crate) fn code(outcome: Option<ResponseError>) -> i16 {
    outcome.map_or(0, |error| error.code())
}
