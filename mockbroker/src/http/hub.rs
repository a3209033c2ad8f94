//! The clusters that the control address knows, and what is mounted on each for whoever asked for it: guards, which in Rust the
//! test holds, are held here under a number.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::problem::{Kind, Outcome, Problem};
use crate::broker::MockBroker;
use crate::control::{HeldReplica, Isolated, LineGuard};
use crate::fault::{FaultGuard, Gate, HeldLoading, HeldMarkers};
use crate::snapshot::Snapshot;
use crate::types::NodeId;

/// The name of the cluster that the command line described.
const MAIN: &str = "main";
/// How many clusters there may be at once: each node takes a port and a file descriptor.
const MOST_CLUSTERS: usize = 1000;
/// How many snapshots: each keeps the records that it has.
const MOST_SNAPSHOTS: usize = 1000;

/// Where clusters are that are created on demand.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// What their nodes listen on.
    pub(crate) bind: IpAddr,
    /// The host that clients are told, if it is not that.
    pub(crate) advertised_host: Option<String>,
}

/// All clusters and snapshots.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(super) surroundings: Surroundings,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    clusters: BTreeMap<String, Arc<Cluster>>,
    snapshots: BTreeMap<u64, Taken>,
    next_name: u64,
    next_snapshot: u64,
}

/// A snapshot, and of which cluster.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) of: String,
    pub(super) snapshot: Snapshot,
}

/// A cluster, and what is mounted on it.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) name: String,
    pub(super) broker: MockBroker,
    mounted: Mutex<Mounts>,
    /// Becomes true when it is dropped; those that wait for something of it give up.
    pub(super) is_gone: watch::Sender<bool>,
}

/// What is mounted, by number. Dropping it undoes all of it.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    next_id: u64,
    pub(super) faults: BTreeMap<u64, MountedFault>,
    pub(super) gates: BTreeMap<u64, MountedGate>,
    pub(super) conditions: BTreeMap<u64, MountedCondition>,
    pub(super) markers: Option<Arc<HeldMarkers>>,
    pub(super) loading: Option<Arc<HeldLoading>>,
}

/// A fault, and whether it has to fire before it is taken away.
#[derive(Debug)]
pub(super) struct MountedFault {
    pub(super) guard: FaultGuard,
    pub(super) must_fire: bool,
}

/// A gate.
#[derive(Debug)]
pub(super) struct MountedGate {
    pub(super) gate: Gate,
    pub(super) every: bool,
}

/// What is wrong with a node or a replica, as it was asked for.
#[derive(Debug)]
pub(super) struct MountedCondition {
    pub(super) node: NodeId,
    pub(super) asked: super::routes::conditions::Condition,
    _guard: ConditionGuard,
}

/// What ends a condition when it is dropped.
#[derive(Debug)]
#[expect(dead_code, reason = "held to be dropped")]
pub(super) enum ConditionGuard {
    Line(LineGuard),
    Isolated(Isolated),
    Replica(HeldReplica),
}

impl Hub {
    /// Knows `main` and no other.
    pub(crate) fn new(main: MockBroker, surroundings: Surroundings) -> Arc<Self> {
        let mut kept = Kept::default();
        kept.clusters.insert(MAIN.to_owned(), Cluster::new(MAIN.to_owned(), main));
        Arc::new(Self { surroundings, kept: Mutex::new(kept) })
    }

    /// The cluster of this name.
    pub(super) fn cluster(&self, name: &str) -> Outcome<Arc<Cluster>> {
        let kept = self.kept();
        kept.clusters.get(name).cloned().ok_or_else(|| {
            let names: Vec<_> = kept.clusters.keys().map(String::as_str).collect();
            Problem::not_found(format!("there is no cluster {name:?}; there are: {}", names.join(", ")))
        })
    }

    /// All of them, by name.
    pub(super) fn clusters(&self) -> Vec<Arc<Cluster>> {
        self.kept().clusters.values().cloned().collect()
    }

    /// The name for a new cluster: the one that was asked for, or a free one.
    pub(super) fn name(&self, asked: Option<String>) -> Outcome<String> {
        let mut kept = self.kept();
        if kept.clusters.len() >= MOST_CLUSTERS {
            return Err(Problem::conflict(format!("there are {MOST_CLUSTERS} clusters: drop one first")));
        }
        match asked {
            Some(name) if kept.clusters.contains_key(&name) => Err(taken(&name)),
            Some(name) => Ok(name),
            None => loop {
                kept.next_name += 1;
                let name = format!("c{}", kept.next_name);
                if !kept.clusters.contains_key(&name) {
                    return Ok(name);
                }
            },
        }
    }

    /// Takes `broker` in as `name`. If the name was taken meanwhile, it is dropped.
    pub(super) fn add(&self, name: String, broker: MockBroker) -> Outcome<Arc<Cluster>> {
        let mut kept = self.kept();
        if kept.clusters.contains_key(&name) {
            return Err(taken(&name));
        }
        let cluster = Cluster::new(name.clone(), broker);
        kept.clusters.insert(name, Arc::clone(&cluster));
        Ok(cluster)
    }

    /// Ends a cluster: its ports are free and its connections closed when this returns. The faults that had to fire and never
    /// did, in a sentence each.
    pub(super) async fn drop_cluster(&self, name: &str) -> Outcome<Vec<String>> {
        let cluster = self.cluster(name)?;
        self.kept().clusters.remove(name);
        Ok(cluster.end().await)
    }

    /// Ends all clusters.
    pub(crate) async fn shutdown(&self) {
        let clusters = std::mem::take(&mut self.kept().clusters);
        for cluster in clusters.into_values() {
            cluster.end().await;
        }
    }

    /// Keeps a snapshot; its number.
    pub(super) fn keep(&self, taken: Taken) -> Outcome<u64> {
        let mut kept = self.kept();
        if kept.snapshots.len() >= MOST_SNAPSHOTS {
            return Err(Problem::conflict(format!("there are {MOST_SNAPSHOTS} snapshots: drop one first")));
        }
        kept.next_snapshot += 1;
        let id = kept.next_snapshot;
        kept.snapshots.insert(id, taken);
        Ok(id)
    }

    /// All snapshots.
    pub(super) fn snapshots(&self) -> BTreeMap<u64, Taken> {
        self.kept().snapshots.clone()
    }

    /// The snapshot of this number.
    pub(super) fn snapshot(&self, id: u64) -> Outcome<Snapshot> {
        self.kept().snapshots.get(&id).map(|taken| taken.snapshot.clone()).ok_or_else(|| no_snapshot(id))
    }

    /// Forgets a snapshot.
    pub(super) fn forget_snapshot(&self, id: u64) -> Outcome<()> {
        let forgotten = self.kept().snapshots.remove(&id);
        forgotten.map(drop).ok_or_else(|| no_snapshot(id))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics under this lock half-way through a change.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cluster {
    fn new(name: String, broker: MockBroker) -> Arc<Self> {
        Arc::new(Self { name, broker, mounted: Mutex::default(), is_gone: watch::Sender::new(false) })
    }

    /// What is mounted. Never held across an await, nor while a guard is dropped.
    pub(super) fn mounts(&self) -> MutexGuard<'_, Mounts> {
        self.mounted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node of this id.
    pub(super) fn node(&self, id: i32) -> Outcome<crate::control::Node> {
        let ids = self.broker.node_ids();
        if ids.contains(&NodeId(id)) {
            return Ok(self.broker.node(id));
        }
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        Err(Problem::not_found(format!("there is no node {id}; the nodes are {}", ids.join(", "))))
    }

    /// The topic of this name.
    pub(super) fn topic(&self, name: &str) -> Outcome<crate::ask::Topic> {
        let topic = self.broker.topic(name);
        match topic.id() {
            Some(_) => Ok(topic),
            None => Err(Problem::not_found(format!("there is no topic {name:?} in cluster {:?}", self.name))),
        }
    }

    /// The partition of this number.
    pub(super) fn partition(&self, topic: &str, number: i32) -> Outcome<crate::ask::Partition> {
        let (known, partition) = (self.topic(topic)?, self.broker.topic(topic).partition(number));
        match partition.state() {
            Some(_) => Ok(partition),
            None => {
                let count = known.partition_count();
                Err(Problem::not_found(format!(
                    "{topic} has {count} partitions, counted from 0, and none of number {number}"
                )))
            }
        }
    }

    async fn end(&self) -> Vec<String> {
        let mounts = std::mem::take(&mut *self.mounts());
        let missed = mounts.faults.values().filter_map(MountedFault::missed).collect();
        self.is_gone.send_replace(true);
        drop(mounts);
        self.broker.clone().shutdown().await;
        missed
    }
}

impl Mounts {
    /// A number for something new; ids are never used again.
    pub(super) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

impl MountedFault {
    /// In a sentence, that it had to fire and did not.
    pub(super) fn missed(&self) -> Option<String> {
        (self.must_fire && self.guard.hits() == 0).then(|| self.guard.rule().missed())
    }
}

impl MountedCondition {
    pub(super) fn new(node: NodeId, asked: super::routes::conditions::Condition, guard: ConditionGuard) -> Self {
        Self { node, asked, _guard: guard }
    }
}

/// That something had to fire and did not.
pub(super) fn never_fired(missed: &[String]) -> Problem {
    Problem::new(Kind::NeverFired, missed.join("; "))
}

fn taken(name: &str) -> Problem {
    Problem::conflict(format!("there is a cluster {name:?} already: take another name, or none"))
}

fn no_snapshot(id: u64) -> Problem {
    Problem::not_found(format!("there is no snapshot {id}"))
}
