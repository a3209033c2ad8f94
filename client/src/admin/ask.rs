//! Which node is asked for which resource, and when again.
//!
//! The part of Java's `AdminApiDriver` and its lookup strategies, without the task: a call is a loop of rounds. In each the
//! resources that are still open are sorted by the node that answers for them, and every such node gets one request.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::future::join_all;
use tokio::time::Instant;

use super::{Admin, Results};
use crate::{
    cluster::Coordinated,
    codes::ErrorCode,
    error::{Error, Result},
    record::TopicPartition,
    retry::Retry,
    wire::versions::Api,
};

/// Who answers for a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Any node.
    Any,
    /// The node that the metadata names as controller.
    Controller,
    /// This node.
    Node(i32),
    /// The leader of the partition.
    Leader(TopicPartition),
    /// The coordinator.
    Coordinator(Coordinated),
}

impl Place {
    pub(super) fn group(group: &Arc<str>) -> Self {
        Self::Coordinator(Coordinated::Group(Arc::clone(group)))
    }

    pub(super) fn transaction(transactional_id: &Arc<str>) -> Self {
        Self::Coordinator(Coordinated::Transaction(Arc::clone(transactional_id)))
    }

    /// Whether another attempt may end better.
    ///
    /// A topic that is not there is final, as in Java's client, but where a leader is looked for: whoever has just created
    /// the topic may ask a node that has not heard of it (`PartitionLeaderStrategy`).
    fn retries(&self, error: &Error) -> bool {
        let unknown = matches!(error.code(), Some(ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId));
        error.is_retriable() && (!unknown || matches!(self, Self::Leader(_)))
    }
}

/// What the next round must learn first.
#[derive(Debug, Default)]
struct Doubts {
    /// Topics whose leaders are not known, or not those that were asked.
    topics: BTreeSet<Arc<str>>,
    /// Where nodes are and who is the controller.
    nodes: bool,
}

impl Admin {
    /// Asks for every resource until each has its result. `make` says a request for some of them, `read` reads its answer.
    pub(super) async fn each<K, V, A>(
        &self,
        keys: impl IntoIterator<Item = K>,
        place: impl Fn(&K) -> Place,
        make: impl Fn(i16, &[K]) -> A,
        read: impl Fn(&[K], A::Response) -> Vec<(K, Result<V>)>,
    ) -> Results<K, V>
    where
        K: Ord + Clone,
        A: Api,
    {
        let deadline = Instant::now() + self.timeout;
        let mut retry = Retry::until(deadline, self.cluster.config().retry_backoff);
        let mut open: BTreeMap<K, Option<Error>> = keys.into_iter().map(|key| (key, None)).collect();
        let mut results = Results::new();
        let mut doubts = Doubts::default();
        while !open.is_empty() {
            let (requests, failed) = self.sorted(open.keys(), &place, &mut doubts).await;
            let answers = requests.into_iter().map(|(node_id, keys)| {
                let (make, read) = (&make, &read);
                async move {
                    let answer = self.ask(node_id, deadline, |version| make(version, &keys)).await;
                    let answers = match answer {
                        Ok(answer) => read(&keys, answer),
                        Err(error) => super::all(&keys, &error),
                    };
                    complete::<K, V, A>(keys, answers)
                }
            });
            let answers = join_all(answers).await.into_iter().flatten();
            for (key, result) in failed.into_iter().chain(answers) {
                match result {
                    Err(error) if place(&key).retries(&error) => {
                        self.doubt(place(&key), &error, &mut doubts);
                        open.insert(key, Some(error));
                    }
                    result => {
                        open.remove(&key);
                        results.insert(key, result);
                    }
                }
            }
            if !open.is_empty() && !retry.pause().await {
                let late = Error::Timeout { what: "an administrative call", limit: self.timeout };
                results.extend(open.into_iter().map(|(key, error)| (key, Err(error.unwrap_or_else(|| late.clone())))));
                break;
            }
        }
        results
    }

    /// [`Admin::each`] for what is no resource among others.
    pub(super) async fn one<V, A: Api>(
        &self,
        place: Place,
        make: impl Fn(i16) -> A,
        read: impl Fn(A::Response) -> Result<V>,
    ) -> Result<V> {
        let place = |(): &()| place.clone();
        let mut results =
            self.each([()], place, |version, _| make(version), |_, answer| vec![((), read(answer))]).await;
        results.remove(&()).expect("every key has a result")
    }

    /// Asks every node that the cluster has now. [`Place::Node`] by node.
    pub(super) async fn every_node<V, A: Api>(
        &self,
        make: impl Fn(i16) -> A,
        read: impl Fn(A::Response) -> Result<V>,
    ) -> Results<i32, V> {
        // Metadata that is a little old would miss a node, and with it what only that node has.
        if let Err(error) = self.refreshed([]).await {
            tracing::debug!(%error, "asking the nodes that were known before");
        }
        let nodes: Vec<i32> = self.cluster.metadata().nodes().keys().copied().collect();
        self.each(
            nodes,
            |node_id| Place::Node(*node_id),
            |version, _| make(version),
            |node, answer| vec![(node[0], read(answer))],
        )
        .await
    }

    /// The open resources by the node to ask, `None` for any; and those for which there is none now.
    async fn sorted<'a, K: Ord + Clone + 'a, V>(
        &self,
        open: impl Iterator<Item = &'a K>,
        place: &impl Fn(&K) -> Place,
        doubts: &mut Doubts,
    ) -> (BTreeMap<Option<i32>, Vec<K>>, Vec<(K, Result<V>)>) {
        let open: Vec<(&K, Place)> = open.map(|key| (key, place(key))).collect();
        let metadata = self.cluster.metadata();
        for (_, place) in &open {
            match place {
                Place::Leader(of) if metadata.leader(&of.topic, of.partition).is_none() => {
                    doubts.topics.insert(Arc::clone(&of.topic));
                }
                Place::Controller if metadata.controller().is_none() => doubts.nodes = true,
                Place::Node(node_id) if metadata.address(*node_id).is_none() => doubts.nodes = true,
                _ => {}
            }
        }
        let Doubts { topics, nodes } = std::mem::take(doubts);
        let refreshed = match topics.is_empty() && !nodes {
            true => Ok(()),
            false => self.refreshed(topics).await,
        };
        let found = join_all(open.iter().map(|(_, place)| self.node(place))).await;
        let (mut requests, mut failed) = (BTreeMap::<_, Vec<K>>::new(), Vec::new());
        for ((key, _), node_id) in open.into_iter().zip(found) {
            match (node_id, &refreshed) {
                (Ok(node_id), _) => requests.entry(node_id).or_default().push(key.clone()),
                // The reason why nothing is known comes first.
                (Err(_), Err(error)) => failed.push((key.clone(), Err(error.clone()))),
                (Err(error), Ok(())) => failed.push((key.clone(), Err(error))),
            }
        }
        (requests, failed)
    }

    async fn refreshed(&self, topics: impl IntoIterator<Item = Arc<str>>) -> Result<()> {
        self.cluster.refresh(topics.into_iter().map(|topic| (topic, false))).await
    }

    async fn node(&self, place: &Place) -> Result<Option<i32>> {
        let metadata = self.cluster.metadata();
        match place {
            Place::Any => Ok(None),
            // A cluster without a controller answers so whoever is asked.
            Place::Controller => Ok(metadata.controller()),
            Place::Node(node_id) => Ok(Some(*node_id)),
            Place::Coordinator(of) => self.cluster.coordinator(of).await.map(Some),
            Place::Leader(of) => match metadata.leader(&of.topic, of.partition) {
                Some((node_id, _)) => Ok(Some(node_id)),
                None => {
                    let code = match metadata.topic(&of.topic) {
                        Some(topic) if usize::try_from(of.partition).is_ok_and(|at| at < topic.partitions.len()) => {
                            ErrorCode::LeaderNotAvailable
                        }
                        Some(_) => ErrorCode::UnknownTopicOrPartition,
                        None => metadata.problem(&of.topic).unwrap_or(ErrorCode::UnknownTopicOrPartition),
                    };
                    Err(Error::of_partition("Metadata", &of.topic, of.partition, code))
                }
            },
        }
    }

    async fn ask<A: Api>(
        &self,
        node_id: Option<i32>,
        deadline: Instant,
        make: impl Fn(i16) -> A,
    ) -> Result<A::Response> {
        let Some(node_id) = node_id else {
            return self.cluster.call_any_made(make).await;
        };
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let connection = self.cluster.connect(&self.lane, node_id).await?;
        Ok(connection.call_made(make, self.cluster.config().request_timeout.min(left)).await?)
    }

    /// Unlearns what sent a request to the wrong node.
    fn doubt(&self, place: Place, error: &Error, doubts: &mut Doubts) {
        let moved = matches!(error.code(), Some(ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable));
        let lost = matches!(error, Error::Connect { .. } | Error::Disconnected { .. } | Error::Timeout { .. });
        match place {
            Place::Leader(of) if error.refreshes_metadata() || lost => {
                doubts.topics.insert(of.topic);
            }
            Place::Coordinator(of) if moved || lost => self.cluster.forget_coordinator_of(&of),
            Place::Controller | Place::Node(_) => doubts.nodes = true,
            _ => {}
        }
    }
}

/// One result for each key that was asked about: what an answer leaves out is an error, what nobody asked about is dropped.
fn complete<K: Ord + Clone, V, A: Api>(keys: Vec<K>, answers: Vec<(K, Result<V>)>) -> Vec<(K, Result<V>)> {
    let mut answers: BTreeMap<K, Result<V>> = answers.into_iter().collect();
    let missing = || Error::Malformed { api: A::NAME, version: -1, reason: "it leaves out what was asked for".into() };
    keys.into_iter()
        .map(|key| {
            let answer = answers.remove(&key).unwrap_or_else(|| Err(missing()));
            (key, answer)
        })
        .collect()
}
