//! Fetching metadata once for everybody who wants it.
//!
//! There is no task: those who want metadata queue for a turn, and who gets the turn asks for the topics of all who wait.
//! The others find their wish fulfilled when their turn comes. A caller that goes away leaves the turn to the next.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kafka_protocol::{
    messages::{MetadataRequest, MetadataResponse, metadata_request::MetadataRequestTopic},
    protocol::StrBytes,
};
use tokio::time::{Instant, sleep_until};

use super::Cluster;
use crate::{
    codes::ErrorCode,
    error::{Error, Result},
    wire::versions::Api,
};

#[derive(Debug, Default)]
pub(crate) struct Refresher {
    wanted: Mutex<Wanted>,
    turn: tokio::sync::Mutex<Done>,
}

/// What is to be asked, and when what was last asked.
#[derive(Debug, Default)]
struct Wanted {
    /// Topic, and whether asking may create it.
    topics: BTreeMap<Arc<str>, bool>,
    /// The number of the last wish.
    last_wish: u64,
    asked_at: HashMap<Arc<str>, Instant>,
}

/// The last wish that was fulfilled, and how that went.
#[derive(Debug, Default)]
struct Done {
    wish: u64,
    failed: Option<Error>,
    /// Since when nobody answers.
    failing_since: Option<Instant>,
}

impl Refresher {
    pub(crate) async fn refresh(
        &self,
        cluster: &Cluster,
        topics: impl IntoIterator<Item = (Arc<str>, bool)>,
    ) -> Result<()> {
        let wish = self.wish(topics);
        let mut done = self.turn.lock().await;
        if done.wish >= wish {
            return done.failed.clone().map_or(Ok(()), Err);
        }
        let not_before = self.wanted().not_before(cluster.config().retry_backoff.initial);
        if let Some(instant) = not_before {
            sleep_until(instant).await;
        }
        let (topics, last_wish) = self.wanted().take();
        let mut failed = None;
        for create in [false, true] {
            let names: Vec<_> = topics.iter().filter(|(_, may)| **may == create).map(|(name, _)| name).collect();
            // Without any topic the request is for the brokers alone.
            if names.is_empty() && (create || !topics.is_empty()) {
                continue;
            }
            match ask(cluster, &request(&names, create)).await {
                Ok(response) => cluster.metadata().merge(&response, &names, Instant::now()),
                Err(error) => failed = Some(error),
            }
        }
        let failing_since = failed.as_ref().map(|_| done.failing_since.unwrap_or_else(Instant::now));
        *done = Done { wish: last_wish, failed: failed.clone(), failing_since };
        if let (Some(since), Some(limit)) = (failing_since, cluster.config().rebootstrap_after)
            && since.elapsed() >= limit
        {
            tracing::info!("no broker has answered for {limit:?}: beginning again at the bootstrap addresses");
            cluster.rebootstrap();
            done.failing_since = None;
        }
        failed.map_or(Ok(()), Err)
    }

    fn wish(&self, topics: impl IntoIterator<Item = (Arc<str>, bool)>) -> u64 {
        let mut wanted = self.wanted();
        for (name, create) in topics {
            *wanted.topics.entry(name).or_default() |= create;
        }
        wanted.last_wish += 1;
        wanted.last_wish
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wanted {
    /// A topic is not asked for again before a backoff is over, however many want it.
    fn not_before(&self, backoff: std::time::Duration) -> Option<Instant> {
        self.topics.keys().filter_map(|name| self.asked_at.get(name)).max().map(|asked| *asked + backoff)
    }

    fn take(&mut self) -> (BTreeMap<Arc<str>, bool>, u64) {
        let topics = std::mem::take(&mut self.topics);
        let now = Instant::now();
        self.asked_at.extend(topics.keys().map(|name| (Arc::clone(name), now)));
        (topics, self.last_wish)
    }
}

/// Asks for metadata; once more at the bootstrap addresses if a broker says so (KIP-1102).
async fn ask(cluster: &Cluster, request: &MetadataRequest) -> Result<MetadataResponse> {
    let rebootstrap = ErrorCode::RebootstrapRequired.number();
    let response = cluster.call_any(request).await?;
    if response.error_code != rebootstrap || cluster.config().rebootstrap_after.is_none() {
        return Ok(response);
    }
    tracing::info!("a broker asks to begin again at the bootstrap addresses");
    cluster.rebootstrap();
    let response = cluster.call_any(request).await?;
    if response.error_code == rebootstrap {
        Err(Error::server(MetadataRequest::NAME, rebootstrap))
    } else {
        Ok(response)
    }
}

fn request(names: &[&Arc<str>], create: bool) -> MetadataRequest {
    let topics = names
        .iter()
        .map(|name| MetadataRequestTopic::default().with_name(Some(StrBytes::from_string(name.to_string()).into())))
        .collect();
    MetadataRequest::default().with_topics(Some(topics)).with_allow_auto_topic_creation(create)
}
