//! What a test does to a cluster by one call, without a request: each holds when it returns.

use crate::broker::MockBroker;
use crate::cluster::CoordinatorType;
use crate::types::{NodeId, PartitionId};

/// Operations: what an administrator or time would do, now.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use mockbroker::MockBroker;
///
/// let broker = MockBroker::builder().nodes(3).topic("orders", 1).start().await;
/// broker.move_leader("orders", 0, 2); // clients are told NOT_LEADER_OR_FOLLOWER by the node that led
/// broker.move_group_coordinator("billing", 1); // and NOT_COORDINATOR
/// assert_eq!(broker.delete_records("orders", 0, None), 0); // there were none
/// broker.roll_segments("orders");
/// broker.expire_offsets();
/// # }
/// ```
impl MockBroker {
    /// Lets `node` lead a partition, with the next leader epoch. A node without a replica of it takes the place of the leader
    /// among the replicas.
    ///
    /// # Panics
    ///
    /// If there is no such partition, or the node is not there, is down or not in sync.
    pub fn move_leader(&self, topic: &str, partition: i32, node: impl Into<NodeId>) {
        done(self.engine().lead(topic, PartitionId(partition), node.into()));
    }

    /// Lets `node` coordinate a group, which it reads from the log; and with it every group of the same partition of
    /// `__consumer_offsets`. What was not written, as a join that goes on, is lost.
    ///
    /// # Panics
    ///
    /// If the node is not there, is down or not in sync.
    pub fn move_group_coordinator(&self, group_id: &str, node: impl Into<NodeId>) {
        done(self.engine().coordinate(CoordinatorType::Group, group_id, node.into()));
    }

    /// Lets `node` coordinate a transactional id, which it reads from the log; and with it every id of the same partition of
    /// `__transaction_state`.
    ///
    /// # Panics
    ///
    /// If the node is not there, is down or not in sync.
    pub fn move_transaction_coordinator(&self, transactional_id: &str, node: impl Into<NodeId>) {
        done(self.engine().coordinate(CoordinatorType::Transaction, transactional_id, node.into()));
    }

    /// Deletes the records of a partition before `before_offset`, or all that consumers see, as DeleteRecords and retention do.
    /// Returns where the log starts now.
    ///
    /// # Panics
    ///
    /// If there is no such partition, or the offset is beyond its high watermark.
    pub fn delete_records(&self, topic: &str, partition: i32, before_offset: Option<i64>) -> i64 {
        done(self.engine().delete_records(topic, PartitionId(partition), before_offset))
    }

    /// Begins a new segment in every partition of a topic, as `segment.ms` does in time. What is in a closed segment can be
    /// compacted and deleted by retention.
    ///
    /// # Panics
    ///
    /// If there is no such topic.
    pub fn roll_segments(&self, topic: &str) {
        done(self.engine().roll_segments(topic));
    }

    /// Compacts a topic, however little is dirty: of each key the last record is kept. As in Kafka the last segment, and what
    /// is younger than `min.compaction.lag.ms`, is left alone; see [`MockBroker::roll_segments`].
    ///
    /// Takes as long as there is data.
    ///
    /// # Panics
    ///
    /// If there is no such topic, or its `cleanup.policy` has no `compact`.
    pub fn compact(&self, topic: &str) {
        done(self.engine().compact(topic));
    }

    /// Lets committed offsets expire, as `offsets.retention.minutes` does in time: those of groups without members, and of
    /// topics that no member of their group is subscribed to.
    pub fn expire_offsets(&self) {
        self.engine().expire_all_offsets();
    }
}

fn done<T>(outcome: Result<T, String>) -> T {
    outcome.unwrap_or_else(|why| panic!("{why}"))
}
