//! Test: the refusals of the handlers of topics, configs and cluster encode at every version, and the error is in every
//! place that the version has for it.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::testing::topic_name;
use super::*;
use crate::types::TopicName;

/// Each API with a request that names two things (where it names any), at a version.
macro_rules! refusals {
    ($($module:ident $response:ident $count:literal $request:expr;)*) => {
        #[test]
        fn every_refusal_encodes_at_every_version_with_the_error_in_every_place() {
            $(
                for version in $module::API.min..=$module::API.max {
                    let request = ($request)(version);
                    let refused = $module::refuse(&request, ResponseError::UnknownServerError);
                    let mut bytes = bytes::BytesMut::new();
                    refused.encode(&mut bytes, version).unwrap_or_else(|error| panic!("{} v{version}: {error}", stringify!($module)));
                    let read = $response::decode(&mut bytes.freeze(), version).unwrap();
                    let found = format!("{read:?}").matches("error_code: -1").count();
                    // An error at the top and one for each thing, or fewer where a version has no place at the top.
                    assert!((1..=$count).contains(&found), "{} v{version}: {found} errors", stringify!($module));
                    assert!(found + 1 >= $count, "{} v{version}: {found} errors", stringify!($module));
                }
            )*
        }
    };
}

refusals! {
    metadata MetadataResponse 3 |_| {
        let topic = |name| metadata_request::MetadataRequestTopic::default().with_name(Some(name));
        MetadataRequest::default().with_topics(Some(two(topic)))
    };
    find_coordinator FindCoordinatorResponse 2 |version: i16| match version {
        ..4 => FindCoordinatorRequest::default().with_key(StrBytes::from_static_str("a")),
        _ => FindCoordinatorRequest::default().with_coordinator_keys(two(|name| name.0)),
    };
    create_topics CreateTopicsResponse 2 |_| {
        CreateTopicsRequest::default().with_topics(two(|name| create_topics_request::CreatableTopic::default().with_name(name)))
    };
    delete_topics DeleteTopicsResponse 2 |version: i16| match version {
        ..6 => DeleteTopicsRequest::default().with_topic_names(two(|name| name)),
        _ => {
            let topic = |name| delete_topics_request::DeleteTopicState::default().with_name(Some(name));
            DeleteTopicsRequest::default().with_topics(two(topic))
        }
    };
    delete_records DeleteRecordsResponse 2 |_| {
        let partition = delete_records_request::DeleteRecordsPartition::default;
        let topic = |name| {
            delete_records_request::DeleteRecordsTopic::default().with_name(name).with_partitions(vec![partition()])
        };
        DeleteRecordsRequest::default().with_topics(two(topic))
    };
    describe_configs DescribeConfigsResponse 2 |_| {
        let resource = |name: TopicName| {
            describe_configs_request::DescribeConfigsResource::default().with_resource_name(name.0)
        };
        DescribeConfigsRequest::default().with_resources(two(resource))
    };
    alter_configs AlterConfigsResponse 2 |_| {
        let resource = |name: TopicName| alter_configs_request::AlterConfigsResource::default().with_resource_name(name.0);
        AlterConfigsRequest::default().with_resources(two(resource))
    };
    create_partitions CreatePartitionsResponse 2 |_| {
        let topic = |name| create_partitions_request::CreatePartitionsTopic::default().with_name(name);
        CreatePartitionsRequest::default().with_topics(two(topic))
    };
    incremental_alter_configs IncrementalAlterConfigsResponse 2 |_| {
        let resource = |name: TopicName| {
            incremental_alter_configs_request::AlterConfigsResource::default().with_resource_name(name.0)
        };
        IncrementalAlterConfigsRequest::default().with_resources(two(resource))
    };
    describe_cluster DescribeClusterResponse 1 |_| DescribeClusterRequest::default();
    list_config_resources ListConfigResourcesResponse 1 |_| ListConfigResourcesRequest::default();
    describe_topic_partitions DescribeTopicPartitionsResponse 2 |_| {
        let topic = |name| describe_topic_partitions_request::TopicRequest::default().with_name(name);
        DescribeTopicPartitionsRequest::default().with_topics(two(topic))
    };
    describe_acls DescribeAclsResponse 1 |_| DescribeAclsRequest::default();
    create_acls CreateAclsResponse 2 |_| CreateAclsRequest::default().with_creations(two(|_| Default::default()));
    delete_acls DeleteAclsResponse 2 |_| DeleteAclsRequest::default().with_filters(two(|_| Default::default()));
    alter_replica_log_dirs AlterReplicaLogDirsResponse 2 |_| {
        let topic = |name| {
            alter_replica_log_dirs_request::AlterReplicaLogDirTopic::default().with_name(name).with_partitions(vec![0])
        };
        let dir = alter_replica_log_dirs_request::AlterReplicaLogDir::default().with_topics(two(topic));
        AlterReplicaLogDirsRequest::default().with_dirs(vec![dir])
    };
    alter_partition_reassignments AlterPartitionReassignmentsResponse 3 |_| {
        let partition = alter_partition_reassignments_request::ReassignablePartition::default;
        let topic = |name| {
            alter_partition_reassignments_request::ReassignableTopic::default()
                .with_name(name)
                .with_partitions(vec![partition()])
        };
        AlterPartitionReassignmentsRequest::default().with_topics(two(topic))
    };
    list_partition_reassignments ListPartitionReassignmentsResponse 1 |_| ListPartitionReassignmentsRequest::default();
    describe_client_quotas DescribeClientQuotasResponse 1 |_| DescribeClientQuotasRequest::default();
    alter_client_quotas AlterClientQuotasResponse 2 |_| {
        AlterClientQuotasRequest::default().with_entries(two(|_| Default::default()))
    };
    describe_user_scram_credentials DescribeUserScramCredentialsResponse 1 |_| {
        DescribeUserScramCredentialsRequest::default()
    };
    alter_user_scram_credentials AlterUserScramCredentialsResponse 2 |_| {
        let deletion = |name: TopicName| {
            alter_user_scram_credentials_request::ScramCredentialDeletion::default().with_name(name.0)
        };
        AlterUserScramCredentialsRequest::default().with_deletions(two(deletion))
    };
    describe_quorum DescribeQuorumResponse 1 |_| DescribeQuorumRequest::default();
    update_features UpdateFeaturesResponse 1 |_| UpdateFeaturesRequest::default();
    describe_producers DescribeProducersResponse 2 |_| {
        let topic = |name| {
            describe_producers_request::TopicRequest::default().with_name(name).with_partition_indexes(vec![0])
        };
        DescribeProducersRequest::default().with_topics(two(topic))
    };
    get_telemetry_subscriptions GetTelemetrySubscriptionsResponse 1 |_| GetTelemetrySubscriptionsRequest::default();
    push_telemetry PushTelemetryResponse 1 |_| PushTelemetryRequest::default();
}

fn two<T>(make: impl Fn(TopicName) -> T) -> Vec<T> {
    ["a", "b"].map(|name| make(topic_name(name))).into()
}
