//! What a test does to the nodes of a cluster, and to the replicas on them.

use std::sync::Arc;
use std::time::Duration;

use crate::broker::Alive;
use crate::cluster::HeldBack;
use crate::net::{Condition, Listener};
use crate::types::{NodeId, PartitionId, TopicId};

/// One node of a cluster, to be crashed and brought back. From [`MockBroker::node`](crate::MockBroker::node).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use mockbroker::MockBroker;
///
/// let broker = MockBroker::builder().nodes(3).topic("orders", 12).start().await;
/// broker.node(1).crash(); // its connections break, others lead what it led
/// assert!(!broker.node(1).is_up());
/// broker.node(1).restart(); // on the same port, with all it had written
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a node is unharmed until something is done to it"]
pub struct Node {
    alive: Arc<Alive>,
    id: NodeId,
}

impl Node {
    pub(crate) fn new(alive: &Arc<Alive>, id: NodeId) -> Self {
        let ids: Vec<_> = alive.listeners.iter().map(|(node, _)| *node).collect();
        assert!(ids.contains(&id), "there is no node {id}; the nodes are {ids:?}");
        Self { alive: Arc::clone(alive), id }
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Whether it is up, that is, has not been crashed or is restarted.
    pub fn is_up(&self) -> bool {
        self.alive.engine.read(|state| state.cluster.is_running(self.id))
    }

    /// Kills the node, as `kill -9` does. Nothing happens if it is down.
    ///
    /// - Its connections end at once, without the answers that are due, and new ones are refused.
    /// - What it led is led by another replica that is in sync, with the next leader epoch; by nobody, where there is none,
    ///   unless the topic allows unclean elections (`unclean.leader.election.enable`). No replica on it is in sync.
    /// - The groups and transactions that it coordinated are taken up from their logs by the next coordinator, and what
    ///   was not written is lost. If it led the controllers, another node does.
    /// - What is in its logs stays.
    ///
    /// Unlike in Kafka the others notice at once, not after `broker.session.timeout.ms`, and the controllers never lose their
    /// majority.
    pub fn crash(&self) {
        self.listener().refuse();
        self.alive.registry.close_node(self.id);
        self.alive.engine.crash(self.id);
    }

    /// Starts the node again after [`Node::crash`], on the same port. Nothing happens if it is up.
    ///
    /// It has what its logs hold: records, groups, committed offsets, transactions, the sequences of producers; no fetch
    /// session, nobody who waits. It leads what nobody leads, if it may, and is in sync again. Other leaders stay.
    ///
    /// # Panics
    ///
    /// If its port cannot be listened on any longer.
    pub fn restart(&self) {
        self.try_restart().unwrap_or_else(|why| panic!("{why}"));
    }

    /// As [`restart`](Self::restart).
    ///
    /// # Errors
    ///
    /// In a sentence, what would be a panic there.
    pub(crate) fn try_restart(&self) -> Result<(), String> {
        if self.is_up() {
            return Ok(());
        }
        self.alive.engine.restart(self.id);
        self.listener().reopen().map_err(|error| format!("node {} did not restart: {error}", self.id))
    }

    /// Cuts the node off from the other nodes and from the controllers, until the guard is dropped. Clients still reach it.
    ///
    /// Its replicas fetch nothing, and nobody fetches from those of them that lead. After `broker.session.timeout.ms` (9 s, on
    /// the broker's clock), or when a partition that it leads is moved, the controllers take it for dead and others lead. It does
    /// not know, and goes on:
    ///
    /// - acks=1 is written and acknowledged, and consumers of it see nothing of that; acks=all times out, unless it is all that
    ///   is in sync. It tells of itself as the leader.
    /// - A coordinator on it writes nothing: COORDINATOR_NOT_AVAILABLE after `offsets.commit.timeout.ms` (5 s), and for
    ///   transactions after their timeout. Heartbeats are answered.
    /// - What is for the controllers gets REQUEST_TIMED_OUT after a minute; what they do meanwhile it does not hear of.
    ///
    /// When it is heard of again, it follows: what only it had is lost, but for partitions that nobody else could lead. Those
    /// who wait there are told then. A crash of the node ends the isolation, too. Nothing happens if the node is down.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use std::time::Duration;
    /// use mockbroker::{Clock, MockBroker};
    ///
    /// let broker = MockBroker::builder().nodes(3).clock(Clock::manual()).config("default.replication.factor", "3");
    /// let broker = broker.topic("orders", 3).start().await;
    /// let alone = broker.node(1).isolate();
    /// broker.advance(Duration::from_secs(9)).await; // others lead, and node 1 does not know
    /// // ... what it acknowledges to acks=1 now ...
    /// alone.heal(); // ... is lost
    /// # }
    /// ```
    pub fn isolate(&self) -> Isolated {
        self.alive.engine.isolate(self.id);
        Isolated { node: self.clone() }
    }

    /// The replica of a partition that is on this node.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use mockbroker::MockBroker;
    ///
    /// let broker = MockBroker::builder().nodes(3).config("default.replication.factor", "3").topic("orders", 1);
    /// let broker = broker.config("min.insync.replicas", "2").start().await;
    /// let stopped = broker.node(1).replica("orders", 0).stop(); // acks=all waits for it until it is out of sync
    /// drop(stopped); // it has caught up
    /// let behind = broker.node(2).replica("orders", 0).lag(10); // by ten records at least
    /// # drop(behind);
    /// # }
    /// ```
    pub fn replica(&self, topic: impl Into<String>, partition: i32) -> Replica {
        Replica { node: self.clone(), topic: topic.into(), partition: PartitionId(partition) }
    }

    /// Cuts the node off from its clients, until the guard is dropped: nothing that either sends arrives, and connections stay
    /// open. What was sent arrives then. To the other nodes it is as it was. New connections open, and carry nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use std::time::Duration;
    /// use mockbroker::MockBroker;
    ///
    /// let broker = MockBroker::builder().nodes(3).topic("orders", 12).start().await;
    /// let cut = broker.node(1).partition(); // requests of clients time out
    /// let slow = broker.node(2).latency(Duration::from_millis(30)); // an answer takes 60 ms
    /// let narrow = broker.node(2).bandwidth(100_000); // bytes in a second
    /// cut.heal();
    /// # drop((slow, narrow));
    /// # }
    /// ```
    pub fn partition(&self) -> LineGuard {
        self.line(Condition::Cut)
    }

    /// Everything between the node and its clients takes `length` longer in each direction, on the broker's clock, until the
    /// guard is dropped. Of several latencies the sum counts.
    pub fn latency(&self, length: Duration) -> LineGuard {
        self.line(Condition::Latency(length))
    }

    /// All clients together send the node no more than `bytes_per_second`, and get no more from it, until the guard is dropped.
    /// Of several the narrowest counts.
    pub fn bandwidth(&self, bytes_per_second: u64) -> LineGuard {
        self.line(Condition::BytesPerSecond(bytes_per_second))
    }

    fn line(&self, condition: Condition) -> LineGuard {
        LineGuard { condition: self.listener().line().begin(condition), node: self.clone() }
    }

    fn listener(&self) -> &Listener {
        let found = self.alive.listeners.iter().find(|(node, _)| *node == self.id);
        &found.expect("checked when this was made").1
    }
}

/// A node that is cut off from the others. Dropping it lets the node be heard of again.
#[derive(Debug)]
#[must_use = "dropping it lets the node be heard of again"]
pub struct Isolated {
    node: Node,
}

impl Isolated {
    /// As dropping it.
    pub fn heal(self) {}
}

impl Drop for Isolated {
    fn drop(&mut self) {
        self.node.alive.engine.reconnect(self.node.id);
    }
}

/// Something is wrong with the line between a node and its clients. Dropping it puts that right.
#[derive(Debug)]
#[must_use = "dropping it puts the line right"]
pub struct LineGuard {
    node: Node,
    condition: u64,
}

impl LineGuard {
    /// As dropping it.
    pub fn heal(self) {}
}

impl Drop for LineGuard {
    fn drop(&mut self) {
        self.node.listener().line().end(self.condition);
    }
}

/// A replica of a partition, to be held back. From [`Node::replica`].
///
/// What holds for a follower: it lacks what it does not fetch. While it is in sync the high watermark waits for it, and with
/// it acks=all and every consumer; it is in sync until it has lacked something for longer than `replica.lag.time.max.ms`
/// (30 s, on the broker's clock, looked at twice in that time). With fewer replicas in sync than `min.insync.replicas`,
/// acks=all is refused with NOT_ENOUGH_REPLICAS and the high watermark stands still. Should it be elected, what it lacks is
/// cut off the log.
///
/// Nothing of this holds while the replica leads.
#[derive(Clone, Debug)]
#[must_use = "a replica has everything until it is held back"]
pub struct Replica {
    node: Node,
    topic: String,
    partition: PartitionId,
}

impl Replica {
    /// The replica fetches nothing from here on, until the guard is dropped.
    ///
    /// # Panics
    ///
    /// If the node has no replica of the partition.
    pub fn stop(&self) -> HeldReplica {
        self.hold(HeldBack::Stopped)
    }

    /// The replica stays at least this many records behind the end of the log from here on, until the guard is dropped:
    /// whole batches are fetched.
    ///
    /// # Panics
    ///
    /// If the node has no replica of the partition.
    pub fn lag(&self, records: u32) -> HeldReplica {
        self.hold(HeldBack::Behind(i64::from(records)))
    }

    fn hold(&self, held: HeldBack) -> HeldReplica {
        self.try_hold(held).unwrap_or_else(|why| panic!("{why}"))
    }

    /// As [`stop`](Self::stop) and [`lag`](Self::lag).
    ///
    /// # Errors
    ///
    /// In a sentence, what would be a panic there.
    pub(crate) fn try_hold(&self, held: HeldBack) -> Result<HeldReplica, String> {
        let Self { node, topic, partition } = self;
        let topic_id = node.alive.engine.hold_replica(topic, *partition, node.id, held)?;
        Ok(HeldReplica { node: node.clone(), topic_id, partition: *partition })
    }
}

/// A replica that is held back. Dropping it lets the replica have everything at once, and be in sync.
#[derive(Debug)]
#[must_use = "dropping it lets the replica go"]
pub struct HeldReplica {
    node: Node,
    topic_id: TopicId,
    partition: PartitionId,
}

impl HeldReplica {
    /// As dropping it.
    pub fn resume(self) {}
}

impl Drop for HeldReplica {
    fn drop(&mut self) {
        self.node.alive.engine.release_replica(self.topic_id, self.partition, self.node.id);
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("id", &self.id).field("is_up", &self.is_up()).finish_non_exhaustive()
    }
}
