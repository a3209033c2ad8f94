//! Which of Kafka's two group protocols a member speaks.

use kafka_protocol::messages::ConsumerGroupHeartbeatRequest;

use crate::{
    cluster::Cluster,
    config::{GroupConfig, GroupProtocol},
    consumer::subscription::Subscription,
    error::Result,
};

/// The protocol of a member, once that is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Classic,
    Consumer {
        /// Whether a first heartbeat that the coordinator refuses makes the member a classic one.
        may_fall_back: bool,
    },
}

impl Protocol {
    /// The feature by which a cluster says that it has consumer groups (KIP-848, `GroupVersion`).
    const FEATURE: &'static str = "group.version";

    /// Goes by the rule of [`GroupProtocol`]. Only `Auto` asks a broker, until `default.api.timeout`.
    pub(crate) async fn choose(cluster: &Cluster, config: &GroupConfig, subscription: &Subscription) -> Result<Self> {
        match config.group_protocol {
            GroupProtocol::Classic => Ok(Self::Classic),
            GroupProtocol::Consumer => Ok(Self::Consumer { may_fall_back: false }),
            GroupProtocol::Auto if config.chose_assignors() => Ok(Self::Classic),
            GroupProtocol::Auto => {
                // v1 is the first with patterns.
                let least = i16::from(subscription.pattern.is_some());
                let broker = cluster.any_broker().await?;
                let speaks = broker.version::<ConsumerGroupHeartbeatRequest>(i16::MAX).is_ok_and(|v| v >= least);
                Ok(match speaks && broker.finalized_level(Self::FEATURE) >= 1 {
                    true => Self::Consumer { may_fall_back: true },
                    false => Self::Classic,
                })
            }
        }
    }
}
