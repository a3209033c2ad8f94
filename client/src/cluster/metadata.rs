//! The snapshot of topics, leaders and brokers that everybody reads.
//!
//! Answers are merged, not copied: a broker that is behind must not take back what another one already said. A partition
//! keeps the leader with the higher epoch (KIP-320); a topic with a new id is a new topic (KIP-516).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI32, AtomicU64, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use kafka_protocol::messages::{
    MetadataResponse,
    metadata_response::{MetadataResponsePartition, MetadataResponseTopic},
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{codes::ErrorCode, conn::transport::Address};

/// What is known of a topic. Partitions are numbered by their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    /// Nil when the broker is older than topic ids.
    pub(crate) topic_id: Uuid,
    pub(crate) partitions: Vec<Leader>,
    /// The nodes with a replica of each partition, be they there or not.
    pub(crate) replicas: Vec<Box<[i32]>>,
    pub(crate) refreshed_at: Instant,
}

#[cfg(test)]
impl Topic {
    /// A topic with a partition on each of these nodes.
    pub(crate) fn on(name: &str, nodes: &[i32], now: Instant) -> Self {
        let leader = |node_id: &i32| Leader { node_id: Some(*node_id), leader_epoch: 0 };
        let (partitions, replicas) = (nodes.iter().map(leader).collect(), Vec::new());
        Self { name: name.into(), topic_id: Uuid::nil(), partitions, replicas, refreshed_at: now }
    }
}

/// The racks of the replicas of each partition of a topic, by the partition's number. Replicas that are away or behind count
/// as well: they will be back.
pub(crate) type PartitionRacks = Vec<BTreeSet<Arc<str>>>;

/// Who leads a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    /// `None` while there is none.
    pub(crate) node_id: Option<i32>,
    /// -1 when the broker does not say (before v7, and brokers that are not Kafka).
    pub(crate) leader_epoch: i32,
}

impl Leader {
    const UNKNOWN: Self = Self { node_id: None, leader_epoch: -1 };

    /// The later of two statements. Brokers that never give an epoch must not freeze the first leader for ever.
    fn merge(self, newer: Self) -> Self {
        if newer.leader_epoch >= 0 && newer.leader_epoch < self.leader_epoch { self } else { newer }
    }
}

#[derive(Debug)]
pub(crate) struct Metadata {
    topics: DashMap<Arc<str>, Arc<Topic>>,
    /// Grows after each change of `topics`.
    edition: AtomicU64,
    /// Why a topic that was asked for is not in `topics`.
    problems: DashMap<Arc<str>, ErrorCode>,
    nodes: RwLock<Arc<BTreeMap<i32, Address>>>,
    /// `broker.rack` of the nodes that have one. A node that is away keeps it.
    racks: DashMap<i32, Arc<str>>,
    /// The node that was named last; `NOBODY` before the first answer, and while there is none.
    controller: AtomicI32,
}

/// No node has this id.
const NOBODY: i32 = -1;

impl Default for Metadata {
    fn default() -> Self {
        Self {
            topics: DashMap::default(),
            edition: AtomicU64::default(),
            problems: DashMap::default(),
            nodes: RwLock::default(),
            racks: DashMap::default(),
            controller: AtomicI32::new(NOBODY),
        }
    }
}

impl Metadata {
    /// The node to send what only the controller does. Brokers of a KRaft cluster name any of themselves and pass such
    /// requests on (KIP-590).
    pub(crate) fn controller(&self) -> Option<i32> {
        Some(self.controller.load(Ordering::Relaxed)).filter(|node_id| *node_id != NOBODY)
    }

    /// Another one after each change of what is known of topics: whoever keeps a [`Topic`] looks it up again then.
    pub(crate) fn edition(&self) -> u64 {
        self.edition.load(Ordering::Acquire)
    }

    fn next_edition(&self) {
        self.edition.fetch_add(1, Ordering::Release);
    }

    /// What is known of a topic that exists and has partitions.
    pub(crate) fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.get(name).map(|topic| Arc::clone(topic.value()))
    }

    /// What topics are called, as far as they are known.
    pub(crate) fn names(&self, ids: &BTreeSet<Uuid>) -> BTreeMap<Uuid, Arc<str>> {
        let known = self.topics.iter().filter(|topic| ids.contains(&topic.topic_id));
        known.map(|topic| (topic.topic_id, Arc::clone(&topic.name))).collect()
    }

    /// The code that the last answer about a topic carried.
    pub(crate) fn problem(&self, name: &str) -> Option<ErrorCode> {
        self.problems.get(name).map(|code| *code)
    }

    /// Whether a topic is known, without a problem, from an answer that is younger than this.
    pub(crate) fn is_young(&self, name: &str, age: Duration) -> bool {
        self.problem(name).is_none() && self.topic(name).is_some_and(|topic| topic.refreshed_at.elapsed() < age)
    }

    /// The leader of a partition, if it is known and its address is.
    pub(crate) fn leader(&self, topic: &str, partition: i32) -> Option<(i32, i32)> {
        let topic = self.topics.get(topic)?;
        let leader = topic.partitions.get(usize::try_from(partition).ok()?)?;
        let node_id = leader.node_id?;
        let is_known = self.nodes.read().unwrap_or_else(PoisonError::into_inner).contains_key(&node_id);
        is_known.then_some((node_id, leader.leader_epoch))
    }

    /// Every broker with its address.
    pub(crate) fn nodes(&self) -> Arc<BTreeMap<i32, Address>> {
        Arc::clone(&self.nodes.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where a broker is.
    pub(crate) fn address(&self, node_id: i32) -> Option<Address> {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner).get(&node_id).cloned()
    }

    /// Takes in an answer to a request for `asked`.
    pub(crate) fn merge(&self, response: &MetadataResponse, asked: &[&Arc<str>], now: Instant) {
        let nodes: BTreeMap<_, _> = response
            .brokers
            .iter()
            .filter_map(|broker| address(&broker.host, broker.port).map(|address| (broker.node_id.0, address)))
            .collect();
        if !nodes.is_empty() {
            *self.nodes.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(nodes);
        }
        for broker in &response.brokers {
            match broker.rack.as_ref() {
                Some(rack) => drop(self.racks.insert(broker.node_id.0, rack.as_str().into())),
                None => drop(self.racks.remove(&broker.node_id.0)),
            }
        }
        self.controller.store(response.controller_id.0, Ordering::Relaxed);
        for topic in &response.topics {
            let Some(name) = topic.name.as_ref().map(|name| name.as_str()) else { continue };
            // Our own copy of the name: one that points into the answer would keep all of it in memory.
            let name =
                asked.iter().find(|asked| &****asked == name).map_or_else(|| name.into(), |asked| Arc::clone(asked));
            self.merge_topic(name, topic, now);
        }
        self.next_edition();
    }

    fn merge_topic(&self, name: Arc<str>, answer: &MetadataResponseTopic, now: Instant) {
        let code = ErrorCode::from_number(answer.error_code);
        if code == ErrorCode::UnknownTopicOrPartition || code == ErrorCode::UnknownTopicId {
            self.topics.remove(&name);
        }
        // A topic without partitions is not there yet, whatever its code says.
        if answer.partitions.is_empty() {
            let code = if code == ErrorCode::None { ErrorCode::LeaderNotAvailable } else { code };
            self.problems.insert(name, code);
            return;
        }
        self.problems.remove(&name);
        let mut partitions = leaders(&answer.partitions);
        if let Some(known) = self.topic(&name)
            && (known.topic_id == answer.topic_id || known.topic_id.is_nil() || answer.topic_id.is_nil())
        {
            let missing = known.partitions.get(partitions.len()..).unwrap_or_default();
            partitions.extend_from_slice(missing);
            for (leader, known) in partitions.iter_mut().zip(&known.partitions) {
                *leader = known.merge(*leader);
            }
        }
        let (topic_id, replicas) = (answer.topic_id, replicas(&answer.partitions));
        let topic = Topic { name: Arc::clone(&name), topic_id, partitions, replicas, refreshed_at: now };
        self.topics.insert(name, Arc::new(topic));
    }

    /// Where the replicas of a topic are, if any is in a rack.
    pub(crate) fn racks(&self, topic: &Topic) -> Option<PartitionRacks> {
        let rack = |node_id: &i32| self.racks.get(node_id).map(|rack| Arc::clone(&rack));
        let replicas = topic.replicas.iter();
        let racks: PartitionRacks = replicas.map(|nodes| nodes.iter().filter_map(rack).collect()).collect();
        racks.iter().any(|racks| !racks.is_empty()).then_some(racks)
    }

    /// Forgets where the brokers are. What is known of topics stays: epochs and ids still tell old from new.
    pub(crate) fn forget_nodes(&self) {
        *self.nodes.write().unwrap_or_else(PoisonError::into_inner) = Arc::default();
    }

    /// Takes in where a broker is, from an answer that is not about topics.
    pub(crate) fn locate(&self, node_id: i32, at: Address) {
        let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        if nodes.get(&node_id) != Some(&at) {
            Arc::make_mut(&mut nodes).insert(node_id, at);
        }
    }

    /// Takes in the leader that a broker named while it refused a request, if that is news (KIP-951).
    pub(crate) fn hint(&self, topic: &str, partition: i32, leader: (i32, i32), endpoint: Option<Address>) {
        let (node_id, leader_epoch) = leader;
        if let Some(address) = endpoint {
            let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
            Arc::make_mut(&mut nodes).insert(node_id, address);
        }
        let Some(mut entry) = self.topics.get_mut(topic) else { return };
        let Ok(index) = usize::try_from(partition) else { return };
        let topic = Arc::make_mut(&mut entry);
        if let Some(known) = topic.partitions.get_mut(index)
            && node_id >= 0
            && leader_epoch > known.leader_epoch
        {
            *known = Leader { node_id: Some(node_id), leader_epoch };
            drop(entry);
            self.next_edition();
        }
    }
}

pub(crate) fn address(host: &str, port: i32) -> Option<Address> {
    Some(Address { host: host.into(), port: u16::try_from(port).ok()? })
}

/// The partitions by number. A number outside of the count is a broker's mistake and is left out.
fn leaders(answers: &[MetadataResponsePartition]) -> Vec<Leader> {
    let mut leaders = vec![Leader::UNKNOWN; answers.len()];
    for answer in answers {
        if let Some(leader) = usize::try_from(answer.partition_index).ok().and_then(|index| leaders.get_mut(index)) {
            let node_id = Some(answer.leader_id.0).filter(|id| *id >= 0);
            *leader = Leader { node_id, leader_epoch: answer.leader_epoch };
        }
    }
    leaders
}

/// The replicas by partition, as [`leaders`].
fn replicas(answers: &[MetadataResponsePartition]) -> Vec<Box<[i32]>> {
    let mut replicas = vec![Box::default(); answers.len()];
    for answer in answers {
        if let Some(nodes) = usize::try_from(answer.partition_index).ok().and_then(|index| replicas.get_mut(index)) {
            *nodes = answer.replica_nodes.iter().map(|node_id| node_id.0).collect();
        }
    }
    replicas
}

#[cfg(test)]
mod tests {
    use kafka_protocol::{messages::metadata_response::MetadataResponseBroker, protocol::StrBytes};

    use super::*;

    /// An answer about topic `t` with (partition, leader, epoch) each.
    fn answer(topic_id: u128, partitions: &[(i32, i32, i32)]) -> MetadataResponse {
        let partitions = partitions.iter().map(|(index, leader, epoch)| {
            MetadataResponsePartition::default()
                .with_partition_index(*index)
                .with_leader_id((*leader).into())
                .with_leader_epoch(*epoch)
        });
        let topic = MetadataResponseTopic::default()
            .with_name(Some(StrBytes::from_static_str("t").into()))
            .with_topic_id(Uuid::from_u128(topic_id))
            .with_partitions(partitions.collect());
        let brokers = [1, 2].map(|id| {
            MetadataResponseBroker::default()
                .with_node_id(id.into())
                .with_host(StrBytes::from_static_str("b"))
                .with_port(id)
        });
        MetadataResponse::default().with_brokers(brokers.to_vec()).with_topics(vec![topic])
    }

    fn merged(answers: &[MetadataResponse]) -> Metadata {
        let metadata = Metadata::default();
        for answer in answers {
            metadata.merge(answer, &[&"t".into()], Instant::now());
        }
        metadata
    }

    #[test]
    fn a_broker_that_is_behind_does_not_take_a_leader_back() {
        // KIP-320: the leader epoch orders what brokers say.
        let metadata = merged(&[answer(1, &[(0, 2, 5), (1, 1, 5)]), answer(1, &[(0, 1, 4)])]);
        assert_eq!(metadata.leader("t", 0), Some((2, 5)));
        assert_eq!(metadata.leader("t", 1), Some((1, 5)), "a partition that an old view lacks stays");
    }

    #[test]
    fn a_topic_that_was_created_again_starts_afresh() {
        // KIP-516: epochs begin at 0 again, the id tells.
        let metadata = merged(&[answer(1, &[(0, 2, 5), (1, 1, 5)]), answer(2, &[(0, 1, 0)])]);
        assert_eq!((metadata.leader("t", 0), metadata.leader("t", 1)), (Some((1, 0)), None));
    }

    #[test]
    fn brokers_without_epochs_can_still_move_a_leader() {
        let metadata = merged(&[answer(1, &[(0, 2, -1)]), answer(1, &[(0, 1, -1)])]);
        assert_eq!(metadata.leader("t", 0), Some((1, -1)));
    }

    #[test]
    fn a_hint_counts_only_when_its_epoch_is_newer() {
        // KIP-951; a hint must not delete other brokers.
        let metadata = merged(&[answer(1, &[(0, 2, 5)])]);
        metadata.hint("t", 0, (1, 5), None);
        assert_eq!(metadata.leader("t", 0), Some((2, 5)));
        metadata.hint("t", 0, (7, 6), address("new", 9092));
        assert_eq!(metadata.leader("t", 0), Some((7, 6)));
        assert_eq!(metadata.nodes().len(), 3);
    }

    #[test]
    fn partition_numbers_from_a_strange_broker_cannot_cost_memory() {
        let metadata = merged(&[answer(1, &[(i32::MAX, 1, 0), (-1, 1, 0)])]);
        assert_eq!(metadata.topic("t").unwrap().partitions, [Leader::UNKNOWN, Leader::UNKNOWN]);
    }

    #[test]
    fn an_unknown_topic_is_forgotten_and_the_code_kept() {
        let mut gone = answer(1, &[]);
        gone.topics[0].error_code = 3;
        let metadata = merged(&[answer(1, &[(0, 1, 0)]), gone]);
        assert!(metadata.topic("t").is_none());
        assert_eq!(metadata.problem("t"), Some(ErrorCode::UnknownTopicOrPartition));
    }
}
