//! What clients are asked to tell of themselves, and what is answered when they do (KIP-714). What they tell goes nowhere: as
//! on a Kafka without a receiver of telemetry.
//!
//! A client is known by its instance id, to each node by itself. Not modelled: `match` of a subscription looks at the client
//! id and the instance id only, and takes them literally; a client is not forgotten when its connection ends.
//! Source: `ClientMetricsManager`, `ClientMetricsInstance`.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use uuid::Uuid;

use super::Cluster;
use super::configs::{Properties, Resource};
use crate::time::Timestamp;
use crate::types::NodeId;

/// `ClientMetricsConfigs.INTERVAL_MS_DEFAULT`.
const DEFAULT_INTERVAL_MS: i32 = 300_000;
/// `ClientMetricsManager.CACHE_MAX_SIZE`: as many clients are remembered at a time.
const MOST_CLIENTS: usize = 16_384;
/// `ClientMetricsManager.DEFAULT_CACHE_EXPIRY_MS`.
const LEAST_EXPIRY_MS: i64 = 60_000;
/// The highest id of a compression type (`CompressionType`).
const LAST_COMPRESSION_TYPE: i8 = 4;
/// After these a client may ask at once.
const ASK_AGAIN: [ResponseError; 2] = [ResponseError::UnknownSubscriptionId, ResponseError::UnsupportedCompressionType];
/// Ids that no client may have (`Uuid.RESERVED`).
const RESERVED: [Uuid; 2] = [Uuid::nil(), Uuid::from_u128(1)];

/// What a client is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) subscription_id: i32,
    pub(crate) push_interval_ms: i32,
    pub(crate) metrics: Vec<String>,
}

/// A push, without what is in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Push {
    pub(crate) subscription_id: i32,
    pub(crate) terminating: bool,
    pub(crate) compression_type: i8,
    pub(crate) size_bytes: usize,
}

/// A client that has asked or pushed.
#[derive(Clone, Debug)]
struct Instance {
    subscription: Subscription,
    /// Of the subscriptions that this was computed from.
    configs: Vec<Properties>,
    last_get: Option<Timestamp>,
    last_push: Option<Timestamp>,
    terminating: bool,
    /// What became of the last push.
    last_error: Option<ResponseError>,
    expires: Timestamp,
}

/// The clients that the nodes know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Telemetry {
    instances: BTreeMap<(NodeId, Uuid), Instance>,
    /// The same, the one to be forgotten first in front.
    by_expiry: BTreeSet<(Timestamp, (NodeId, Uuid))>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client<'a> {
    pub(crate) node: NodeId,
    pub(crate) instance_id: Uuid,
    pub(crate) client_id: &'a str,
}

impl Telemetry {
    /// What the client is asked for.
    ///
    /// # Errors
    /// THROTTLING_QUOTA_EXCEEDED before its push interval is over, unless the subscriptions have changed or the last push
    /// showed that the client knows them wrongly.
    pub(crate) fn subscribe(
        &mut self,
        cluster: &Cluster,
        client: Client<'_>,
        now: Timestamp,
    ) -> Result<Subscription, ResponseError> {
        let instance = self.instance(cluster, client, now);
        let last = instance.last_get.max(instance.last_push);
        if instance.is_interval_over(last, now) {
            instance.last_get = Some(now);
        } else if !instance.last_error.is_some_and(|error| ASK_AGAIN.contains(&error)) {
            return Err(ResponseError::ThrottlingQuotaExceeded);
        }
        instance.last_error = None;
        Ok(instance.subscription.clone())
    }

    /// Whether a push is right.
    ///
    /// # Errors
    /// In this order: INVALID_REQUEST, THROTTLING_QUOTA_EXCEEDED, UNKNOWN_SUBSCRIPTION_ID, UNSUPPORTED_COMPRESSION_TYPE,
    /// TELEMETRY_TOO_LARGE.
    pub(crate) fn push(
        &mut self,
        cluster: &Cluster,
        client: Client<'_>,
        push: Push,
        now: Timestamp,
    ) -> Result<(), ResponseError> {
        if RESERVED.contains(&client.instance_id) {
            return Err(ResponseError::InvalidRequest);
        }
        let most_bytes = cluster.settings_of(client.node).telemetry_max_bytes;
        let instance = self.instance(cluster, client, now);
        let outcome = instance.check(push, most_bytes, now);
        instance.terminating = push.terminating;
        instance.last_error = outcome.err();
        outcome
    }

    /// The client as it is known, or as it is seen for the first time since the subscriptions changed.
    fn instance(&mut self, cluster: &Cluster, client: Client<'_>, now: Timestamp) -> &mut Instance {
        let key = (client.node, client.instance_id);
        let configs: Vec<Properties> = subscriptions(cluster, client).cloned().collect();
        let mut instance = match self.instances.remove(&key) {
            Some(known) => {
                self.by_expiry.remove(&(known.expires, key));
                let is_current = known.expires > now && known.configs == configs;
                if is_current { known } else { Instance::new(client.instance_id, configs) }
            }
            None => Instance::new(client.instance_id, configs),
        };
        while self.instances.len() >= MOST_CLIENTS
            && let Some((_, oldest)) = self.by_expiry.pop_first()
        {
            self.instances.remove(&oldest);
        }
        let interval_ms = i64::from(instance.subscription.push_interval_ms);
        instance.expires = now.plus_millis(LEAST_EXPIRY_MS.max(interval_ms.saturating_mul(3)));
        self.by_expiry.insert((instance.expires, key));
        self.instances.entry(key).or_insert(instance)
    }
}

impl Instance {
    fn new(instance_id: Uuid, configs: Vec<Properties>) -> Self {
        let subscription = Subscription::of(instance_id, &configs);
        Self {
            subscription,
            configs,
            last_get: None,
            last_push: None,
            terminating: false,
            last_error: None,
            expires: Timestamp::default(),
        }
    }

    fn is_interval_over(&self, last: Option<Timestamp>, now: Timestamp) -> bool {
        last.is_none_or(|last| last.plus_millis(i64::from(self.subscription.push_interval_ms)) <= now)
    }

    /// `ClientMetricsManager.validatePushRequest`.
    fn check(&mut self, push: Push, most_bytes: usize, now: Timestamp) -> Result<(), ResponseError> {
        if self.terminating {
            return Err(ResponseError::InvalidRequest);
        }
        // The first push after a question need not wait.
        let accepted = self.last_get > self.last_push || self.is_interval_over(self.last_push, now);
        if accepted {
            self.last_push = Some(now);
        } else if !push.terminating {
            return Err(ResponseError::ThrottlingQuotaExceeded);
        }
        if push.subscription_id != self.subscription.subscription_id {
            return Err(ResponseError::UnknownSubscriptionId);
        }
        if !(0..=LAST_COMPRESSION_TYPE).contains(&push.compression_type) {
            return Err(ResponseError::UnsupportedCompressionType);
        }
        if push.size_bytes > most_bytes {
            return Err(ResponseError::TelemetryTooLarge);
        }
        Ok(())
    }
}

impl Subscription {
    /// What several subscriptions come to: all metrics of all, at the shortest interval.
    fn of(instance_id: Uuid, configs: &[Properties]) -> Self {
        let list = |config: &Properties| -> Vec<String> {
            let metrics = config.get("metrics").map(String::as_str).unwrap_or_default();
            metrics.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
        };
        let mut metrics: BTreeSet<String> = configs.iter().flat_map(list).collect();
        if metrics.contains("*") {
            metrics = BTreeSet::from(["*".to_owned()]);
        }
        let interval =
            |config: &Properties| config.get("interval.ms").and_then(|millis| millis.trim().parse::<i32>().ok());
        let push_interval_ms = configs.iter().filter_map(interval).fold(DEFAULT_INTERVAL_MS, i32::min);
        let metrics: Vec<String> = metrics.into_iter().collect();
        // computeSubscriptionId; the order of the metrics is that of a hash set in Kafka.
        let text = format!("[{}]{push_interval_ms}", metrics.join(", "));
        let subscription_id = crc32c::crc32c(text.as_bytes()).cast_signed() ^ hash(instance_id);
        Self { subscription_id, push_interval_ms, metrics }
    }
}

/// `org.apache.kafka.common.Uuid.hashCode`.
fn hash(id: Uuid) -> i32 {
    let (most, least) = id.as_u64_pair();
    let halves = (most ^ least).to_be_bytes();
    let half = |at: usize| i32::from_be_bytes([halves[at], halves[at + 1], halves[at + 2], halves[at + 3]]);
    half(0) ^ half(4)
}

/// The configs of the subscriptions that are for `client`.
fn subscriptions<'a>(cluster: &'a Cluster, client: Client<'a>) -> impl Iterator<Item = &'a Properties> {
    let configs = cluster.configs();
    let resources = configs.resources().filter(|resource| matches!(resource, Resource::ClientMetrics(_)));
    resources.filter_map(|resource| configs.overrides(resource)).filter(move |config| is_for(config, client))
}

fn is_for(config: &Properties, client: Client<'_>) -> bool {
    let patterns = config.get("match").map(String::as_str).unwrap_or_default();
    patterns.split(',').filter_map(|pattern| pattern.split_once('=')).all(|(selector, wanted)| match selector.trim() {
        "client_id" => wanted.trim() == client.client_id,
        "client_instance_id" => wanted.trim() == client.instance_id.to_string(),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::cluster;

    const AT: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn client(id: u128) -> Client<'static> {
        Client { node: NodeId(1), instance_id: Uuid::from_u128(id), client_id: "app" }
    }

    fn push(subscription_id: i32) -> Push {
        Push { subscription_id, terminating: false, compression_type: 0, size_bytes: 1 }
    }

    #[test]
    fn a_client_is_told_the_same_subscription_id_as_by_kafka() {
        // Seen on 4.3.1: the client with the id 1, without subscriptions.
        let told = Telemetry::default().subscribe(&cluster(1, &[]), client(1), AT).unwrap();
        assert_eq!(told, Subscription { subscription_id: -725_132_321, push_interval_ms: 300_000, metrics: vec![] });
    }

    #[test]
    fn a_client_asks_once_in_an_interval_unless_the_subscriptions_change() {
        // Source: ClientMetricsInstance.maybeUpdateGetRequestTimestamp.
        let mut cluster = cluster(1, &[]);
        let mut telemetry = Telemetry::default();
        assert!(telemetry.subscribe(&cluster, client(7), AT).is_ok());
        assert_eq!(telemetry.subscribe(&cluster, client(7), AT), Err(ResponseError::ThrottlingQuotaExceeded));
        assert!(telemetry.subscribe(&cluster, client(7), AT.plus_millis(300_000)).is_ok());
        let config = [("metrics", "org.apache.kafka.producer.,x"), ("interval.ms", "1000"), ("match", "client_id=app")];
        let config = config.map(|(key, value)| (key.to_owned(), value.to_owned()));
        cluster.set_configs(Resource::ClientMetrics("m".to_owned()), Properties::from(config));
        let told = telemetry.subscribe(&cluster, client(7), AT.plus_millis(300_001)).unwrap();
        assert_eq!((told.push_interval_ms, told.metrics.len()), (1000, 2));
        let other = Client { client_id: "other", ..client(8) };
        assert_eq!(telemetry.subscribe(&cluster, other, AT).unwrap().push_interval_ms, 300_000);
    }

    #[test]
    fn a_push_is_refused_in_the_order_of_kafka() {
        // Source: ClientMetricsManager.validatePushRequest; each line was seen on 4.3.1.
        let cluster = cluster(1, &[]);
        let mut telemetry = Telemetry::default();
        let mut send = |id: u128, push: Push| telemetry.push(&cluster, client(id), push, AT);
        assert_eq!(send(0, push(0)), Err(ResponseError::InvalidRequest));
        assert_eq!(send(1, push(0)), Err(ResponseError::InvalidRequest));
        assert_eq!(send(7, push(77)), Err(ResponseError::UnknownSubscriptionId));
        assert_eq!(send(7, push(77)), Err(ResponseError::ThrottlingQuotaExceeded));
        assert_eq!(send(7, Push { terminating: true, ..push(77) }), Err(ResponseError::UnknownSubscriptionId));
        assert_eq!(send(7, push(77)), Err(ResponseError::InvalidRequest));
    }

    #[test]
    fn a_client_that_pushed_what_is_not_wanted_may_ask_at_once() {
        // Source: ClientMetricsManager.validateGetRequest; seen on 4.3.1.
        let cluster = cluster(1, &[]);
        let mut telemetry = Telemetry::default();
        assert!(telemetry.push(&cluster, client(7), push(77), AT).is_err());
        assert!(telemetry.subscribe(&cluster, client(7), AT).is_ok());
        assert_eq!(telemetry.subscribe(&cluster, client(7), AT), Err(ResponseError::ThrottlingQuotaExceeded));
    }

    #[test]
    fn a_push_after_a_question_is_taken_if_it_can_be_read() {
        let cluster = cluster(1, &[]);
        for (change, expected) in [
            (Push { compression_type: 9, ..push(0) }, Err(ResponseError::UnsupportedCompressionType)),
            (Push { size_bytes: 1_048_577, ..push(0) }, Err(ResponseError::TelemetryTooLarge)),
            (Push { compression_type: 4, size_bytes: 1_048_576, ..push(0) }, Ok(())),
        ] {
            let mut telemetry = Telemetry::default();
            let subscription_id = telemetry.subscribe(&cluster, client(7), AT).unwrap().subscription_id;
            let now = AT.plus_millis(1);
            assert_eq!(telemetry.push(&cluster, client(7), Push { subscription_id, ..change }, now), expected);
        }
    }

    #[test]
    fn clients_that_keep_coming_do_not_grow_the_memory() {
        let cluster = cluster(1, &[]);
        let mut telemetry = Telemetry::default();
        for id in 2..=20_000 {
            assert!(telemetry.subscribe(&cluster, client(id), AT).is_ok());
        }
        assert_eq!((telemetry.instances.len(), telemetry.by_expiry.len()), (MOST_CLIENTS, MOST_CLIENTS));
    }
}
