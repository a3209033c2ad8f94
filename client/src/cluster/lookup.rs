//! Questions about the cluster that any broker can answer: what topics are called, which ones there are, what is offered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kafka_protocol::messages::{MetadataRequest, metadata_request::MetadataRequestTopic};
use tokio::time::Instant;
use uuid::Uuid;

use super::Cluster;
use crate::{conn::Connection, error::Result, retry::Retry};

impl Cluster {
    /// A connection to whichever broker can be reached, until `default.api.timeout`. Dropping the future is safe.
    pub(crate) async fn any_broker(&self) -> Result<Connection> {
        let config = self.config();
        let mut retry = Retry::until(Instant::now() + config.api_timeout, config.retry_backoff);
        loop {
            let mut last = None;
            for (node, address) in self.candidates() {
                match self.inner.pool.connection(Self::CONTROL, node, &address).await {
                    Ok(connection) => return Ok(connection),
                    Err(error) => last = Some(error),
                }
            }
            let error = last.expect("the builder refuses an empty list of bootstrap addresses");
            if !error.is_retriable() || !retry.pause().await {
                return Err(error);
            }
        }
    }

    /// What topics are called, by id; those that no broker knows are left out. Dropping the future is safe.
    pub(crate) async fn topic_names(&self, ids: &BTreeSet<Uuid>) -> Result<BTreeMap<Uuid, Arc<str>>> {
        let mut names = self.metadata().names(ids);
        let unknown: Vec<_> = ids.iter().filter(|id| !names.contains_key(id)).collect();
        if unknown.is_empty() {
            return Ok(names);
        }
        // Names are null from v12 on, the first that asks by id (KIP-516).
        let topics = unknown.iter().map(|id| MetadataRequestTopic::default().with_name(None).with_topic_id(**id));
        let request = MetadataRequest::default().with_topics(Some(topics.collect()));
        let mut answer = self.call_any(&request.with_allow_auto_topic_creation(false)).await?;
        answer.topics.retain(|topic| topic.error_code == 0);
        self.metadata().merge(&answer, &[], Instant::now());
        names.extend(self.metadata().names(ids));
        Ok(names)
    }

    /// The topics whose names match, without internal ones. Dropping the future is safe.
    pub(crate) async fn matching_topics(&self, matches: impl Fn(&str) -> bool) -> Result<BTreeSet<Arc<str>>> {
        let request = MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false);
        let mut answer = self.call_any(&request).await?;
        // The others are nobody's business, and there may be very many of them.
        answer.topics.retain(|topic| {
            let name = topic.name.as_ref().map(|name| name.as_str());
            topic.error_code == 0 && !topic.is_internal && name.is_some_and(&matches)
        });
        self.metadata().merge(&answer, &[], Instant::now());
        let names = answer.topics.iter().filter_map(|topic| topic.name.as_ref().map(|name| name.as_str().into()));
        Ok(names.collect())
    }
}
