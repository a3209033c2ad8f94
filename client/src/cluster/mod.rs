//! The cluster as the client sees it: which topics there are, who leads them, and how to reach a broker.
//!
//! Producers, consumers and the admin client share one [`Cluster`] and know nothing of each other. It has no task of its
//! own: whoever needs fresh metadata fetches it, and the others who need it wait for that one fetch.

mod coordinators;
mod lookup;
pub(crate) mod metadata;
pub(crate) mod pool;
mod refresh;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

pub(crate) use self::coordinators::Coordinated;
use self::{
    coordinators::Coordinators,
    metadata::{Metadata, Topic},
    pool::{LaneId, Node, Pool},
    refresh::Refresher,
};
/// What a lane holds and how a call on it ends: users of the cluster know connections by these names.
pub(crate) use crate::conn::{CallError, Connection, task::Expect};
use crate::{
    config::ClientConfig,
    conn::transport::{Address, Transport},
    error::{Error, Result},
    metrics::Recorder,
    retry::Retry,
    wire::versions::Api,
};

/// A shared view of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Arc<ClientConfig>,
    bootstrap: Vec<Address>,
    pool: Arc<Pool>,
    metadata: Metadata,
    refresher: Refresher,
    coordinators: Coordinators,
    next_lane: AtomicU32,
    recorder: Arc<Recorder>,
}

/// Connections of one user of the cluster: a broker handles one request of a connection at a time, so a producer must not
/// stand behind a consumer's long poll. Dropping the lane closes its connections once they are quiet.
#[derive(Debug)]
pub(crate) struct Lane {
    id: LaneId,
    pool: Arc<Pool>,
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.pool.close_lane(self.id);
    }
}

impl Cluster {
    /// The lane of metadata and other short requests, which everybody shares.
    const CONTROL: LaneId = LaneId(0);

    pub(crate) fn new(bootstrap: Vec<Address>, transport: Transport, config: Arc<ClientConfig>) -> Self {
        let recorder = Arc::new(Recorder::default());
        let pool = Arc::new(Pool::new(transport, Arc::clone(&config), Arc::clone(&recorder)));
        let next_lane = AtomicU32::new(Self::CONTROL.0 + 1);
        let (metadata, refresher) = (Metadata::default(), Refresher::default());
        let coordinators = Coordinators::default();
        let inner = Inner { config, bootstrap, pool, metadata, refresher, coordinators, next_lane, recorder };
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn config(&self) -> &Arc<ClientConfig> {
        &self.inner.config
    }

    /// Where everybody counts and tells what happens.
    pub(crate) fn recorder(&self) -> &Arc<Recorder> {
        &self.inner.recorder
    }

    pub(crate) fn metadata(&self) -> &Metadata {
        &self.inner.metadata
    }

    /// A lane that nobody else uses.
    pub(crate) fn lane(&self) -> Lane {
        let id = LaneId(self.inner.next_lane.fetch_add(1, Ordering::Relaxed));
        Lane { id, pool: Arc::clone(&self.inner.pool) }
    }

    /// The open connection to a node in a lane, if there is one at the node's present address.
    pub(crate) fn live(&self, lane: &Lane, node_id: i32) -> Option<Connection> {
        let address = self.inner.metadata.address(node_id)?;
        self.inner.pool.live(lane.id, Node::Id(node_id), &address)
    }

    /// The connection to a node in a lane, dialled if need be. Dropping the future gives the dialling up.
    pub(crate) async fn connect(&self, lane: &Lane, node_id: i32) -> Result<Connection> {
        self.connect_lane(lane.id, node_id).await
    }

    async fn connect_lane(&self, lane: LaneId, node_id: i32) -> Result<Connection> {
        let Some(address) = self.inner.metadata.address(node_id) else {
            return Err(Error::Connect {
                address: format!("node {node_id}").into(),
                source: Arc::new(std::io::Error::other("the metadata does not name this node")),
            });
        };
        self.inner.pool.connection(lane, Node::Id(node_id), &address).await
    }

    /// [`Cluster::connect`] as a future that borrows nothing.
    pub(crate) fn dial(&self, lane: &Lane, node_id: i32) -> impl Future<Output = Result<Connection>> + Send + 'static {
        let (cluster, id) = (self.clone(), lane.id);
        async move { cluster.connect_lane(id, node_id).await }
    }

    /// Sends a request to a node and waits for the answer. Dropping the future: see [`Connection::call`].
    pub(crate) async fn call<A: Api>(&self, lane: &Lane, node_id: i32, request: &A) -> Result<A::Response, CallError> {
        let connection = self.connect(lane, node_id).await.map_err(CallError::not_written)?;
        connection.call(request).await
    }

    /// Sends a request to whichever broker can be reached: one that is connected, one that the metadata names, and in the
    /// end the bootstrap addresses again (KIP-899). Only for requests that may safely be sent twice.
    pub(crate) async fn call_any<A: Api + Clone>(&self, request: &A) -> Result<A::Response> {
        self.call_any_made(|_| request.clone()).await
    }

    /// [`Cluster::call_any`] for a request that is said differently at some versions.
    pub(crate) async fn call_any_made<A: Api>(&self, make: impl Fn(i16) -> A) -> Result<A::Response> {
        let mut last = None;
        for (node, address) in self.candidates() {
            let attempt = async {
                let connection = self.inner.pool.connection(Self::CONTROL, node, &address).await?;
                let limit = self.config().request_timeout;
                Ok::<_, Error>(connection.call_made(&make, limit).await?)
            };
            match attempt.await {
                Ok(response) => return Ok(response),
                Err(error) => {
                    tracing::debug!(%address, %error, api = A::NAME, "broker passed over");
                    // What time does not heal tells more than that another broker is away.
                    if last.as_ref().is_none_or(Error::is_retriable) {
                        last = Some(error);
                    }
                }
            }
        }
        Err(last.expect("the builder refuses an empty list of bootstrap addresses"))
    }

    /// Every way into the cluster, the ones that need the least waiting first.
    fn candidates(&self) -> Vec<(Node, Address)> {
        let mut nodes: Vec<_> =
            self.inner.metadata.nodes().iter().map(|(id, address)| (Node::Id(*id), address.clone())).collect();
        fastrand::shuffle(&mut nodes);
        let mut bootstrap: Vec<_> = self
            .inner
            .bootstrap
            .iter()
            .enumerate()
            .map(|(index, address)| (Node::Bootstrap(index), address.clone()))
            .collect();
        fastrand::shuffle(&mut bootstrap);
        if nodes.is_empty() || self.inner.config.rebootstrap_after.is_some() {
            nodes.extend(bootstrap);
        }
        nodes.sort_by_cached_key(|(node, address)| self.inner.pool.wait(Self::CONTROL, *node, address));
        nodes
    }

    /// Forgets where brokers are, so that the bootstrap addresses are dialled next, under names that are resolved anew.
    fn rebootstrap(&self) {
        self.inner.metadata.forget_nodes();
        self.inner.pool.close_lane(Self::CONTROL);
    }

    /// What is known of a topic, fetched if need be until the deadline.
    ///
    /// Waits for a topic that does not exist, because `create` makes brokers create it a moment after they were asked, and
    /// because a topic that was just created is not known to every broker. Dropping the future is safe.
    pub(crate) async fn topic(&self, name: &Arc<str>, create: bool, limit: Duration) -> Result<Arc<Topic>> {
        if let Some(topic) = self.inner.metadata.topic(name) {
            return Ok(topic);
        }
        let mut retry = Retry::until(Instant::now() + limit, self.inner.config.retry_backoff);
        loop {
            let refreshed = self.refresh([(Arc::clone(name), create)]).await;
            if let Some(topic) = self.inner.metadata.topic(name) {
                return Ok(topic);
            }
            let error = match (refreshed, self.inner.metadata.problem(name)) {
                (Err(error), _) => error,
                (Ok(()), Some(code)) => {
                    let (topic, message) = (Some(Arc::clone(name)), None);
                    Error::Server { api: "Metadata", topic, partition: None, code, message }
                }
                (Ok(()), None) => Error::Timeout { what: "waiting for a topic's metadata", limit },
            };
            if !error.is_retriable() || !retry.pause().await {
                return Err(error);
            }
        }
    }

    /// Fetches the metadata of topics, together with whatever others ask for meanwhile, and not sooner than a backoff after
    /// the last time. Dropping the future is safe: somebody else who waits takes over.
    pub(crate) async fn refresh(&self, topics: impl IntoIterator<Item = (Arc<str>, bool)>) -> Result<()> {
        self.inner.refresher.refresh(self, topics).await
    }
}

#[cfg(test)]
mod tests;
