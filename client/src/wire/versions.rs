//! What we speak of each API, and which version is chosen for a broker.
//!
//! The table is the list of what this client was written and tested for; the choice is the highest version that the table
//! and the broker share. It is made per connection, because brokers of a cluster may differ (KIP-35).

use std::sync::Arc;

use kafka_protocol::{
    messages::{
        AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
        AlterClientQuotasRequest, AlterClientQuotasResponse, AlterPartitionReassignmentsRequest,
        AlterPartitionReassignmentsResponse, AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse,
        ApiVersionsRequest, ApiVersionsResponse, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse,
        ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, CreateAclsRequest, CreateAclsResponse,
        CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
        DeleteAclsRequest, DeleteAclsResponse, DeleteGroupsRequest, DeleteGroupsResponse, DeleteRecordsRequest,
        DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse, DescribeAclsRequest, DescribeAclsResponse,
        DescribeClientQuotasRequest, DescribeClientQuotasResponse, DescribeClusterRequest, DescribeClusterResponse,
        DescribeConfigsRequest, DescribeConfigsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
        DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeProducersRequest, DescribeProducersResponse,
        DescribeTransactionsRequest, DescribeTransactionsResponse, ElectLeadersRequest, ElectLeadersResponse,
        EndTxnRequest, EndTxnResponse, FetchRequest, FetchResponse, FindCoordinatorRequest, FindCoordinatorResponse,
        HeartbeatRequest, HeartbeatResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
        InitProducerIdRequest, InitProducerIdResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
        LeaveGroupResponse, ListConfigResourcesRequest, ListConfigResourcesResponse, ListGroupsRequest,
        ListGroupsResponse, ListOffsetsRequest, ListOffsetsResponse, ListPartitionReassignmentsRequest,
        ListPartitionReassignmentsResponse, ListTransactionsRequest, ListTransactionsResponse, MetadataRequest,
        MetadataResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
        OffsetFetchRequest, OffsetFetchResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
        ProduceRequest, ProduceResponse, SyncGroupRequest, SyncGroupResponse, TxnOffsetCommitRequest,
        TxnOffsetCommitResponse, UpdateFeaturesRequest, UpdateFeaturesResponse, WriteTxnMarkersRequest,
        WriteTxnMarkersResponse,
    },
    protocol::{Decodable, Encodable, HeaderVersion},
};

#[cfg(feature = "sasl")]
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
    SaslHandshakeResponse,
};

use crate::error::{Error, Result};

/// An API that this client speaks. (kafka-protocol's own `Request` needs its broker half.)
pub(crate) trait Api: Encodable + HeaderVersion {
    /// What it is answered with.
    type Response: Decodable + HeaderVersion;
    /// Kafka's number of the API.
    const KEY: i16;
    /// Kafka's name of the API.
    const NAME: &'static str;
    /// The lowest version that we send.
    const MIN: i16;
    /// The highest version that we send.
    const MAX: i16;

    /// How long the broker asks us to stay quiet on this connection, in milliseconds (KIP-219).
    fn throttle_time_ms(response: &Self::Response) -> i32;
}

macro_rules! apis {
    (
        $(#[$attribute:meta])* $table:ident, $throttle:expr;
        $($key:literal, $name:literal, $request:ident, $response:ident, $min:literal..=$max:literal;)*
    ) => {
        $(impl Api for $request {
            type Response = $response;
            const KEY: i16 = $key;
            const NAME: &'static str = $name;
            const MIN: i16 = $min;
            const MAX: i16 = $max;

            fn throttle_time_ms(response: &$response) -> i32 {
                let throttle: fn(&$response) -> i32 = $throttle;
                throttle(response)
            }
        })*

        $(#[$attribute])*
        #[cfg(test)]
        pub(crate) const $table: &[(i16, &str, i16, i16)] = &[$(($key, $name, $min, $max)),*];
    };
}

// Group APIs begin where they have a throttle time. OffsetCommit and OffsetFetch v10 name topics by id only, which a group
// whose topics may be deleted cannot always do.
// AddPartitionsToTxn from v4 on is for brokers; TxnOffsetCommit v3 is the first that says which member commits (KIP-447).
// Produce v3 is the first with record batches v2. Fetch v4 and ListOffsets v1 are Kafka 4's own minimum; Metadata v4 is the
// first that can say whether topics may be created (KIP-896 removed what is older).
apis! {
    /// The table by key, for the tests that hold it against Kafka's.
    SPOKEN, |response| response.throttle_time_ms;
    0, "Produce", ProduceRequest, ProduceResponse, 3..=13;
    1, "Fetch", FetchRequest, FetchResponse, 4..=17;
    2, "ListOffsets", ListOffsetsRequest, ListOffsetsResponse, 1..=10;
    3, "Metadata", MetadataRequest, MetadataResponse, 4..=13;
    8, "OffsetCommit", OffsetCommitRequest, OffsetCommitResponse, 3..=9;
    9, "OffsetFetch", OffsetFetchRequest, OffsetFetchResponse, 3..=9;
    10, "FindCoordinator", FindCoordinatorRequest, FindCoordinatorResponse, 1..=6;
    11, "JoinGroup", JoinGroupRequest, JoinGroupResponse, 2..=9;
    12, "Heartbeat", HeartbeatRequest, HeartbeatResponse, 1..=4;
    13, "LeaveGroup", LeaveGroupRequest, LeaveGroupResponse, 1..=5;
    14, "SyncGroup", SyncGroupRequest, SyncGroupResponse, 1..=5;
    15, "DescribeGroups", DescribeGroupsRequest, DescribeGroupsResponse, 0..=6;
    16, "ListGroups", ListGroupsRequest, ListGroupsResponse, 1..=5;
    18, "ApiVersions", ApiVersionsRequest, ApiVersionsResponse, 0..=4;
    19, "CreateTopics", CreateTopicsRequest, CreateTopicsResponse, 2..=7;
    20, "DeleteTopics", DeleteTopicsRequest, DeleteTopicsResponse, 1..=6;
    21, "DeleteRecords", DeleteRecordsRequest, DeleteRecordsResponse, 0..=2;
    22, "InitProducerId", InitProducerIdRequest, InitProducerIdResponse, 0..=5;
    23, "OffsetForLeaderEpoch", OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, 2..=4;
    24, "AddPartitionsToTxn", AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, 0..=3;
    25, "AddOffsetsToTxn", AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, 0..=4;
    26, "EndTxn", EndTxnRequest, EndTxnResponse, 0..=5;
    28, "TxnOffsetCommit", TxnOffsetCommitRequest, TxnOffsetCommitResponse, 3..=5;
    29, "DescribeAcls", DescribeAclsRequest, DescribeAclsResponse, 1..=3;
    30, "CreateAcls", CreateAclsRequest, CreateAclsResponse, 1..=3;
    31, "DeleteAcls", DeleteAclsRequest, DeleteAclsResponse, 1..=3;
    32, "DescribeConfigs", DescribeConfigsRequest, DescribeConfigsResponse, 1..=4;
    34, "AlterReplicaLogDirs", AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse, 1..=2;
    35, "DescribeLogDirs", DescribeLogDirsRequest, DescribeLogDirsResponse, 1..=4;
    37, "CreatePartitions", CreatePartitionsRequest, CreatePartitionsResponse, 0..=3;
    42, "DeleteGroups", DeleteGroupsRequest, DeleteGroupsResponse, 0..=2;
    43, "ElectLeaders", ElectLeadersRequest, ElectLeadersResponse, 0..=2;
    44, "IncrementalAlterConfigs", IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, 0..=1;
    45, "AlterPartitionReassignments", AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, 0..=1;
    46, "ListPartitionReassignments", ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, 0..=0;
    47, "OffsetDelete", OffsetDeleteRequest, OffsetDeleteResponse, 0..=0;
    48, "DescribeClientQuotas", DescribeClientQuotasRequest, DescribeClientQuotasResponse, 0..=1;
    49, "AlterClientQuotas", AlterClientQuotasRequest, AlterClientQuotasResponse, 0..=1;
    57, "UpdateFeatures", UpdateFeaturesRequest, UpdateFeaturesResponse, 0..=2;
    60, "DescribeCluster", DescribeClusterRequest, DescribeClusterResponse, 0..=2;
    61, "DescribeProducers", DescribeProducersRequest, DescribeProducersResponse, 0..=0;
    65, "DescribeTransactions", DescribeTransactionsRequest, DescribeTransactionsResponse, 0..=0;
    66, "ListTransactions", ListTransactionsRequest, ListTransactionsResponse, 0..=1;
    68, "ConsumerGroupHeartbeat", ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, 0..=1;
    69, "ConsumerGroupDescribe", ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, 0..=1;
    74, "ListConfigResources", ListConfigResourcesRequest, ListConfigResourcesResponse, 0..=1;
}

// It is between brokers, which do not throttle each other.
apis! {
    /// What has no throttle time.
    SPOKEN_BETWEEN_BROKERS, |_| 0;
    27, "WriteTxnMarkers", WriteTxnMarkersRequest, WriteTxnMarkersResponse, 1..=1;
}

// SaslHandshake v0 is followed by messages without a frame, which brokers from 1.0 on do not need (KIP-152).
#[cfg(feature = "sasl")]
apis! {
    /// What comes before there is anybody to throttle.
    SPOKEN_AT_LOGIN, |_| 0;
    17, "SaslHandshake", SaslHandshakeRequest, SaslHandshakeResponse, 1..=1;
    36, "SaslAuthenticate", SaslAuthenticateRequest, SaslAuthenticateResponse, 0..=2;
}

#[cfg(feature = "sasl")]
apis! {
    /// What is about logins.
    SPOKEN_OF_LOGINS, |response| response.throttle_time_ms;
    50, "DescribeUserScramCredentials", DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse, 0..=0;
    51, "AlterUserScramCredentials", AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, 0..=0;
}

/// What one broker said that it speaks.
#[derive(Clone, Debug, Default)]
pub(crate) struct BrokerVersions {
    /// (key, lowest, highest), by key.
    ranges: Vec<(i16, i16, i16)>,
    /// Features that the cluster has finalised, with their levels (KIP-584).
    features: Vec<(String, i16)>,
}

impl BrokerVersions {
    pub(crate) fn new(response: &ApiVersionsResponse) -> Self {
        let mut ranges: Vec<_> =
            response.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
        ranges.sort_unstable();
        let finalized = response.finalized_features.iter();
        let features = finalized.map(|feature| (feature.name.to_string(), feature.max_version_level)).collect();
        Self { ranges, features }
    }

    /// The level at which the cluster has finalised a feature, as far as this broker knew when it was asked; 0 if it has not.
    pub(crate) fn finalized_level(&self, feature: &str) -> i16 {
        self.features.iter().find(|(name, _)| name == feature).map_or(0, |(_, level)| *level)
    }

    fn range(&self, api_key: i16) -> Option<(i16, i16)> {
        let index = self.ranges.binary_search_by_key(&api_key, |range| range.0).ok()?;
        let (_, min, max) = self.ranges[index];
        Some((min, max))
    }

    /// The highest version of an API that both sides speak, and that is at most `cap`.
    ///
    /// A cap serves requests that cannot be said in a newer version, such as a Produce v13 without topic ids.
    pub(crate) fn choose<A: Api>(&self, address: &Arc<str>, cap: i16) -> Result<i16> {
        let (broker_min, broker_max) = self.range(A::KEY).unwrap_or((-1, -1));
        let version = broker_max.min(A::MAX).min(cap);
        if version < A::MIN || version < broker_min {
            return Err(Error::UnsupportedVersion {
                address: Arc::clone(address),
                api: A::NAME,
                broker_min,
                broker_max,
                client_min: A::MIN,
                client_max: A::MAX.min(cap),
            });
        }
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{ApiKey, api_versions_response::ApiVersion};

    use super::*;

    fn broker(api_key: i16, min: i16, max: i16) -> BrokerVersions {
        let api = ApiVersion::default().with_api_key(api_key).with_min_version(min).with_max_version(max);
        BrokerVersions::new(&ApiVersionsResponse::default().with_api_keys(vec![api]))
    }

    #[test]
    fn the_highest_common_version_is_chosen() {
        let address = "b:9092".into();
        assert_eq!(broker(0, 0, 99).choose::<ProduceRequest>(&address, i16::MAX).unwrap(), 13);
        assert_eq!(broker(0, 0, 8).choose::<ProduceRequest>(&address, i16::MAX).unwrap(), 8);
        assert_eq!(broker(0, 0, 13).choose::<ProduceRequest>(&address, 12).unwrap(), 12);
    }

    #[test]
    fn no_common_version_is_an_error_that_names_both_ranges() {
        let address = "b:9092".into();
        for versions in [broker(0, 0, 2), broker(0, 14, 20), broker(1, 4, 18)] {
            let error = versions.choose::<ProduceRequest>(&address, i16::MAX).unwrap_err();
            assert!(matches!(error, Error::UnsupportedVersion { client_min: 3, .. }), "{error}");
        }
    }

    #[test]
    fn the_codec_can_say_every_version_that_we_speak() {
        for (key, name, min, max) in [SPOKEN, SPOKEN_BETWEEN_BROKERS, SPOKEN_AT_LOGIN, SPOKEN_OF_LOGINS].concat() {
            let known = ApiKey::try_from(key).unwrap().valid_versions();
            assert!(known.min <= min && max <= known.max, "{name} v{min}-v{max}, the codec knows {known}");
        }
    }
}
