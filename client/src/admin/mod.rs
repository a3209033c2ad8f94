//! Administration: topics, configs, groups, transactions, partitions, quotas, features, ACLs and credentials.
//!
//! Every call is about resources and answers for each of them. `ask` sends what is asked to the node that has to answer
//! it, once for all the resources that a node answers for, and again for those whose answer says that it may come later.
//! The other files say requests and read answers; they know nothing of nodes.

mod acls;
mod ask;
mod cluster;
mod configs;
mod group_offsets;
mod groups;
mod log_dirs;
mod offsets;
mod partitions;
mod quotas;
#[cfg(feature = "sasl")]
mod scram;
mod topics;
mod transactions;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kafka_protocol::{messages::TopicName, protocol::StrBytes};

#[cfg(feature = "sasl")]
pub use self::scram::{ScramChange, ScramCredential};
pub use self::{
    acls::{Acl, AclFilter, AclOperation, AclPermission, AclResource, PatternType, ResourceType},
    cluster::{ClusterDescription, FeatureChange, FeatureUpgrade, Features, NodeDescription},
    configs::{ConfigChange, ConfigEntry, ConfigResource, ConfigSource, ConfigSynonym},
    group_offsets::GroupOffset,
    groups::{
        GroupDescription, GroupFilter, GroupMember, GroupProtocol, GroupState, GroupType, ListedGroup, MemberToRemove,
    },
    log_dirs::{LogDir, Replica},
    offsets::{ListedOffset, OffsetSpec, ProducerState},
    partitions::{Election, Reassignment},
    quotas::{Quota, QuotaEntity, QuotaMatch},
    topics::{CreatedTopic, ListedTopic, NewPartitions, NewTopic, PartitionDescription, TopicDescription},
    transactions::{
        FencedProducer, HangingTransaction, ListedTransaction, TransactionDescription, TransactionFilter,
        TransactionState,
    },
};
#[cfg(feature = "sasl")]
pub use crate::security::ScramMechanism;
use crate::{
    cluster::{Cluster, Lane},
    codes::ErrorCode,
    error::{Error, Result},
    record::TopicPartition,
};

/// One result for each resource that a call was about, by resource. Never lacks one.
pub type Results<K, V = ()> = BTreeMap<K, Result<V>>;

/// What all nodes were asked for, and who did not answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listed<T> {
    /// What the nodes that answered have.
    pub found: Vec<T>,
    /// The nodes that did not answer, or refused: what they have is missing in `found`.
    pub failed: BTreeMap<i32, Error>,
}

impl<T> Listed<T> {
    /// All there is, or the first error.
    pub fn complete(self) -> Result<Vec<T>> {
        match self.failed.into_values().next() {
            Some(error) => Err(error),
            None => Ok(self.found),
        }
    }

    fn new(answers: Results<i32, Vec<T>>) -> Self {
        let mut listed = Self { found: Vec::new(), failed: BTreeMap::new() };
        for (node_id, answer) in answers {
            match answer {
                Ok(found) => listed.found.extend(found),
                Err(error) => drop(listed.failed.insert(node_id, error)),
            }
        }
        listed
    }
}

/// Administers a cluster. Clones share everything.
///
/// Requests go where Kafka answers them: to the controller, the leader of a partition, the coordinator of a group or of a
/// transactional id, to each node, or to any. What fails in a way that may pass (a connection, a leader that moves, a
/// coordinator that is loading) is asked again, with `retry.backoff.ms` between, for
/// [`timeout`](Self::timeout) at most. After a lost answer the second request may be refused because the first one did its
/// work: `TOPIC_ALREADY_EXISTS` can mean that this call created the topic. Java's client is the same in this.
///
/// Dropping the future of a call gives up waiting; what was asked may still happen.
#[derive(Clone, Debug)]
pub struct Admin {
    cluster: Cluster,
    /// Own connections: creating a topic takes its time, and a broker answers a connection in order.
    lane: Arc<Lane>,
    timeout: Duration,
}

impl Admin {
    pub(crate) fn new(cluster: Cluster) -> Self {
        let (lane, timeout) = (Arc::new(cluster.lane()), cluster.config().api_timeout);
        Self { cluster, lane, timeout }
    }

    /// The same with another time for each call, all its attempts together. Default
    /// [`api_timeout`](crate::ClientConfig::api_timeout) (`default.api.timeout.ms`, 60 s).
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// What requests with a `timeout_ms` say: how long the broker may take before it answers that it took too long. Short of
    /// the time after which the connection would be given up.
    fn timeout_ms(&self) -> i32 {
        let limit = self.timeout.min(self.cluster.config().request_timeout);
        i32::try_from(limit.as_millis()).unwrap_or(i32::MAX)
    }
}

/// What a code and the words beside it say.
fn outcome(api: &'static str, code: i16, message: Option<&StrBytes>) -> Result<()> {
    match ErrorCode::from_number(code) {
        ErrorCode::None => Ok(()),
        code => {
            let message = message.map(|message| message.as_str().into());
            Err(Error::Server { api, topic: None, partition: None, code, message })
        }
    }
}

/// [`outcome`] for a partition.
fn partition_outcome(api: &'static str, of: &TopicPartition, code: i16, message: Option<&StrBytes>) -> Result<()> {
    outcome(api, code, message).map_err(|error| match error {
        Error::Server { code, message, .. } => {
            Error::Server { api, topic: Some(Arc::clone(&of.topic)), partition: Some(of.partition), code, message }
        }
        other => other,
    })
}

fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

/// A copy: a slice of the answer would keep all of it in memory.
fn name(text: &StrBytes) -> Arc<str> {
    text.as_str().into()
}

fn topic_name(topic: &str) -> TopicName {
    text(topic).into()
}

/// Partitions by topic, as requests name them.
fn by_topic<'a, T: 'a>(
    partitions: impl IntoIterator<Item = (&'a TopicPartition, T)>,
) -> impl Iterator<Item = (TopicName, Vec<T>)> {
    let mut topics: BTreeMap<&str, Vec<T>> = BTreeMap::new();
    for (at, what) in partitions {
        topics.entry(&at.topic).or_default().push(what);
    }
    topics.into_iter().map(|(topic, partitions)| (topic_name(topic), partitions)).collect::<Vec<_>>().into_iter()
}

/// Every resource with the same error, unless there is none.
fn all<K: Clone, V>(keys: &[K], error: &Error) -> Vec<(K, Result<V>)> {
    keys.iter().map(|key| (key.clone(), Err(error.clone()))).collect()
}
