//! The cluster as a whole: its nodes, and the features that its nodes agreed on.

use std::{collections::BTreeMap, sync::Arc};

use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, DescribeClusterRequest, DescribeClusterResponse, MetadataRequest,
    MetadataResponse, UpdateFeaturesRequest, UpdateFeaturesResponse, update_features_request::FeatureUpdateKey,
};

use super::{Admin, Results, ask::Place, name, outcome, text};
use crate::{
    error::{Error, Result},
    wire::versions::Api,
};

/// What is known of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterDescription {
    /// Its id.
    pub cluster_id: Option<Arc<str>>,
    /// The node to send what only the controller does: in a KRaft cluster any node, since they pass it on.
    pub controller: Option<i32>,
    /// Its nodes, by id.
    pub nodes: BTreeMap<i32, NodeDescription>,
}

/// A node of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeDescription {
    /// The host that clients connect to.
    pub host: Arc<str>,
    /// The port that clients connect to.
    pub port: i32,
    /// Its rack, if it has one.
    pub rack: Option<Arc<str>>,
    /// Whether it is up but keeps out of the cluster (KIP-1073; Kafka 4.1). Fenced nodes are told by brokers that know the word.
    pub is_fenced: bool,
}

/// The features of a cluster (KIP-584; Kafka 2.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Features {
    /// The levels that are in force, by feature. Level 0 is left out.
    pub finalized: BTreeMap<Arc<str>, i16>,
    /// Counts the changes of `finalized`, where that is known.
    pub finalized_epoch: Option<i64>,
    /// The lowest and the highest level that the node which was asked has, by feature.
    pub supported: BTreeMap<Arc<str>, (i16, i16)>,
}

/// A change of a feature's level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureChange {
    /// The new level; 0 turns the feature off.
    pub level: i16,
    /// Which way it may go.
    pub upgrade: FeatureUpgrade,
}

/// Which way the level of a feature may go (`FeatureUpdate.UpgradeType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureUpgrade {
    /// Up.
    Upgrade,
    /// Down, if nothing is lost by it.
    SafeDowngrade,
    /// Down, whatever is lost.
    UnsafeDowngrade,
}

impl Admin {
    /// The nodes of the cluster, fenced ones as well where the broker tells them.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription> {
        /// The first version that tells of fenced brokers.
        const FENCED: i16 = 2;
        let make = |version| DescribeClusterRequest::default().with_include_fenced_brokers(version >= FENCED);
        match self.one(Place::Any, make, |answer| described(&answer)).await {
            // Before Kafka 2.8 the metadata is all there is.
            Err(Error::UnsupportedVersion { .. }) => {
                let make = |_| MetadataRequest::default().with_topics(Some(Vec::new()));
                self.one(Place::Any, make, |answer| Ok(from_metadata(&answer))).await
            }
            described => described,
        }
    }

    /// The features that are in force, and those that a node has.
    pub async fn describe_features(&self) -> Result<Features> {
        let make = |_| {
            ApiVersionsRequest::default()
                .with_client_software_name(text("async-kafka"))
                .with_client_software_version(text(env!("CARGO_PKG_VERSION")))
        };
        let read = |answer: ApiVersionsResponse| {
            outcome(ApiVersionsRequest::NAME, answer.error_code, None)?;
            let finalized = answer.finalized_features.iter();
            let supported = answer.supported_features.iter();
            Ok(Features {
                finalized: finalized.map(|of| (name(&of.name), of.max_version_level)).collect(),
                finalized_epoch: Some(answer.finalized_features_epoch).filter(|epoch| *epoch >= 0),
                supported: supported.map(|of| (name(&of.name), (of.min_version, of.max_version))).collect(),
            })
        };
        self.one(Place::Any, make, read).await
    }

    /// Changes features of the cluster, all of them or none. Errors: `FEATURE_UPDATE_FAILED`, `INVALID_UPDATE_VERSION`.
    pub async fn update_features(
        &self,
        changes: impl IntoIterator<Item = (impl Into<Arc<str>>, FeatureChange)>,
    ) -> Results<Arc<str>> {
        self.change_features(changes, UpdateFeaturesRequest::default()).await
    }

    /// Checks what [`Admin::update_features`] would do, and does not do it (Kafka 3.3).
    pub async fn validate_features(
        &self,
        changes: impl IntoIterator<Item = (impl Into<Arc<str>>, FeatureChange)>,
    ) -> Results<Arc<str>> {
        self.change_features(changes, UpdateFeaturesRequest::default().with_validate_only(true)).await
    }

    async fn change_features(
        &self,
        changes: impl IntoIterator<Item = (impl Into<Arc<str>>, FeatureChange)>,
        request: UpdateFeaturesRequest,
    ) -> Results<Arc<str>> {
        let changes: BTreeMap<Arc<str>, FeatureChange> =
            changes.into_iter().map(|(feature, change)| (feature.into(), change)).collect();
        let (request, api) = (request.with_timeout_ms(self.timeout_ms()), UpdateFeaturesRequest::NAME);
        self.each(
            changes.keys().cloned(),
            |_| Place::Controller,
            |version, features| {
                let updates = features.iter().map(|feature| update(version, feature, changes[feature]));
                request.clone().with_feature_updates(updates.collect())
            },
            |asked, answer: UpdateFeaturesResponse| {
                let result = outcome(api, answer.error_code, answer.error_message.as_ref());
                // v2 says one thing about all of them (KIP-1022); before, each has its own.
                if result.is_err() || answer.results.is_empty() {
                    return asked.iter().map(|feature| (Arc::clone(feature), result.clone())).collect();
                }
                let results = answer.results.iter();
                results.map(|of| (name(&of.feature), outcome(api, of.error_code, of.error_message.as_ref()))).collect()
            },
        )
        .await
    }
}

fn update(version: i16, feature: &str, change: FeatureChange) -> FeatureUpdateKey {
    let update = FeatureUpdateKey::default().with_feature(text(feature)).with_max_version_level(change.level);
    match (version, change.upgrade) {
        // v0 knows no kinds of downgrades.
        (0, upgrade) => update.with_allow_downgrade(upgrade != FeatureUpgrade::Upgrade),
        (_, FeatureUpgrade::Upgrade) => update.with_upgrade_type(1),
        (_, FeatureUpgrade::SafeDowngrade) => update.with_upgrade_type(2),
        (_, FeatureUpgrade::UnsafeDowngrade) => update.with_upgrade_type(3),
    }
}

fn described(answer: &DescribeClusterResponse) -> Result<ClusterDescription> {
    outcome(DescribeClusterRequest::NAME, answer.error_code, answer.error_message.as_ref())?;
    let nodes = answer.brokers.iter().map(|broker| {
        let rack = broker.rack.as_ref().map(name);
        let node = NodeDescription { host: name(&broker.host), port: broker.port, rack, is_fenced: broker.is_fenced };
        (broker.broker_id.0, node)
    });
    Ok(ClusterDescription {
        cluster_id: Some(name(&answer.cluster_id)),
        controller: Some(answer.controller_id.0).filter(|node_id| *node_id >= 0),
        nodes: nodes.collect(),
    })
}

fn from_metadata(answer: &MetadataResponse) -> ClusterDescription {
    let nodes = answer.brokers.iter().map(|broker| {
        let rack = broker.rack.as_ref().map(name);
        let node = NodeDescription { host: name(&broker.host), port: broker.port, rack, is_fenced: false };
        (broker.node_id.0, node)
    });
    ClusterDescription {
        cluster_id: answer.cluster_id.as_ref().map(name),
        controller: Some(answer.controller_id.0).filter(|node_id| *node_id >= 0),
        nodes: nodes.collect(),
    }
}
