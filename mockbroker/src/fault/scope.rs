//! Which requests a fault is for.

use std::fmt;
use std::ops::RangeBounds;

use super::Asked;
use crate::types::{ConnectionId, NodeId};
use crate::wire::api_key::ApiKey;

/// Which requests something is to happen to, and how many of them. Made by [`on`] and [`on_any`]; every method narrows it.
///
/// ```
/// use mockbroker::{ApiKey, on};
///
/// let second_write = on(ApiKey::Produce).topic("orders").partition(3).nth(2);
/// # let _ = second_write;
/// ```
#[derive(Clone, Default)]
#[must_use = "a scope does nothing by itself: give it to `MockBroker::fault` or `MockBroker::pause_next`"]
pub struct Scope {
    api: Option<ApiKey>,
    versions: Option<(i16, i16)>,
    topic: Option<String>,
    partition: Option<i32>,
    group: Option<String>,
    transactional_id: Option<String>,
    client_id: Option<String>,
    node: Option<NodeId>,
    connection: Option<ConnectionId>,
    pub(super) nth: Option<u64>,
    pub(super) times: Option<u64>,
    pub(super) probability: Option<f64>,
}

/// Every request of an API.
pub fn on(api: ApiKey) -> Scope {
    Scope { api: Some(api), ..Scope::default() }
}

/// Every request.
pub fn on_any() -> Scope {
    Scope::default()
}

impl Scope {
    /// Only at these versions of the API.
    pub fn versions(mut self, versions: impl RangeBounds<i16>) -> Self {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let first = match versions.start_bound() {
            Included(first) => *first,
            Excluded(before) => before.saturating_add(1),
            Unbounded => 0,
        };
        let last = match versions.end_bound() {
            Included(last) => *last,
            Excluded(after) => after.saturating_sub(1),
            Unbounded => i16::MAX,
        };
        self.versions = Some((first, last));
        self
    }

    /// Only requests that name this topic, whatever else they name. What happens, happens to the whole request.
    pub fn topic(mut self, name: impl Into<String>) -> Self {
        self.topic = Some(name.into());
        self
    }

    /// Only requests that name a partition of this number, of the topic if one is given.
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Only requests that name this group.
    pub fn group(mut self, group_id: impl Into<String>) -> Self {
        self.group = Some(group_id.into());
        self
    }

    /// Only requests that name this transactional id.
    pub fn transactional_id(mut self, transactional_id: impl Into<String>) -> Self {
        self.transactional_id = Some(transactional_id.into());
        self
    }

    /// Only requests of clients with this `client.id`.
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = Some(client_id.into());
        self
    }

    /// Only requests to this node.
    pub fn node(mut self, node: NodeId) -> Self {
        self.node = Some(node);
        self
    }

    /// Only requests on this connection: of an [`Entry`](crate::Entry), say.
    pub fn connection(mut self, connection: ConnectionId) -> Self {
        self.connection = Some(connection);
        self
    }

    /// From the `n`th request of this scope on, counted from 1; and once, unless [`times`](Self::times) says otherwise. A request
    /// that an earlier fault or gate has taken is not counted: what was mounted first comes first, and leaves the rest to the next.
    ///
    /// # Panics
    ///
    /// If `n` is 0: there is no zeroth request.
    pub fn nth(mut self, n: u64) -> Self {
        assert!(n > 0, "requests are counted from 1");
        self.nth = Some(n);
        self
    }

    /// At most so many times. Without it, and without [`nth`](Self::nth), to every request for as long as it is mounted.
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// To this share of the requests, drawn by the broker's seed: the same seed gives the same draws.
    ///
    /// # Panics
    ///
    /// If it is not between 0 and 1.
    pub fn probability(mut self, probability: f64) -> Self {
        assert!((0.0..=1.0).contains(&probability), "a probability is between 0 and 1, not {probability}");
        self.probability = Some(probability);
        self
    }

    /// The same of another API.
    pub(crate) fn of(mut self, api: ApiKey) -> Self {
        self.api = Some(api);
        self
    }

    /// Whether it says how many, not only which.
    pub(crate) fn counts(&self) -> bool {
        self.nth.is_some() || self.times.is_some() || self.probability.is_some()
    }

    /// Whether a request of this API can be in the scope.
    pub(crate) fn may_hold(&self, api_key: i16) -> bool {
        self.api.is_none_or(|api| api.key() == api_key)
    }

    /// Whether a request is in this scope; counts and draws are the rule's.
    pub(crate) fn holds(&self, asked: &Asked<'_>) -> bool {
        let subject = &asked.subject;
        let is_or = |wanted: &Option<String>, names: &[String]| match wanted {
            Some(wanted) => names.contains(wanted),
            None => true,
        };
        self.api.is_none_or(|api| api.key() == asked.api_key)
            && self.versions.is_none_or(|(first, last)| (first..=last).contains(&asked.version))
            && self.client_id.as_deref().is_none_or(|id| id == asked.client_id)
            && self.node.is_none_or(|node| node == asked.node)
            && self.connection.is_none_or(|connection| connection == asked.connection)
            && is_or(&self.group, &subject.groups)
            && is_or(&self.transactional_id, &subject.transactional_ids)
            && self.holds_partition(&subject.topics)
    }

    fn holds_partition(&self, topics: &[(String, Vec<i32>)]) -> bool {
        if self.topic.is_none() && self.partition.is_none() {
            return true;
        }
        let mut named = topics.iter().filter(|(name, _)| self.topic.as_ref().is_none_or(|topic| topic == name));
        named.any(|(_, partitions)| self.partition.is_none_or(|partition| partitions.contains(&partition)))
    }
}

/// What was said of it and no more: `Produce topic=orders nth=2`.
impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.api {
            Some(api) => write!(f, "{api:?}")?,
            None => f.write_str("any request")?,
        }
        if let Some((first, last)) = self.versions {
            write!(f, " v{first}..={last}")?;
        }
        let mut part = |name: &str, value: Option<String>| match value {
            Some(value) => write!(f, " {name}={value}"),
            None => Ok(()),
        };
        part("topic", self.topic.clone())?;
        part("partition", self.partition.map(|partition| partition.to_string()))?;
        part("group", self.group.clone())?;
        part("transactional_id", self.transactional_id.clone())?;
        part("client_id", self.client_id.clone())?;
        part("node", self.node.map(|node| node.to_string()))?;
        part("connection", self.connection.map(|connection| connection.0.to_string()))?;
        part("nth", self.nth.map(|nth| nth.to_string()))?;
        part("times", self.times.map(|times| times.to_string()))?;
        part("probability", self.probability.map(|probability| probability.to_string()))
    }
}
