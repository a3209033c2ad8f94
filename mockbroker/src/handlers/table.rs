//! The closed table of APIs, in key order, and what is generated from it: decoding, dispatch, refusal, encoding.

use std::time::Duration;

use bytes::{BufMut, Bytes};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable};

use super::*;
use crate::error::Close;
use crate::state::State;
use crate::wire::outgoing::{FrameStart, Outgoing};
use crate::wire::request::RequestHeader;
use crate::wire::{guard, schema, value};

/// The number of the API whose unknown versions are answered.
pub(crate) const API_VERSIONS: i16 = 18;

/// One API as ApiVersions tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Kafka's number of the API.
    pub(crate) key: i16,
    /// Kafka's name of the API.
    pub(crate) name: &'static str,
    /// The lowest version.
    pub(crate) min: i16,
    /// The highest version.
    pub(crate) max: i16,
}

macro_rules! table {
    ($($key:literal $name:ident $module:ident $request:ty => $response:ty;)*) => {
        /// A decoded request.
        #[derive(Debug)]
        pub(crate) enum Request { $(
            #[doc = concat!("Key ", $key, ".")]
            $name($request),
        )* }

        /// An answer before it is encoded.
        #[derive(Debug)]
        pub(crate) enum Response { $(
            #[doc = concat!("Key ", $key, ".")]
            $name($response),
        )* }

        static TABLE: &[Entry] = &[$(
            Entry { key: $key, name: stringify!($name), min: $module::API.min, max: $module::API.max },
        )*];

        fn decode_body(header: &RequestHeader, body: &mut Bytes) -> CodecResult<Request> {
            match header.api_key {
                $($key => <$request>::decode(body, header.api_version).map(Request::$name).map_err(|error| error.to_string()),)*
                _ => Err(format!("api key {} is not served", header.api_key)),
            }
        }

        /// Runs the handler of the request.
        pub(crate) fn handle(state: &mut State, ctx: &mut Ctx<'_>, request: Request) -> Answer<Response> {
            match request {
                $(Request::$name(request) => $module::handle(state, ctx, request).map(Response::$name),)*
            }
        }

        /// The well-formed answer to `request` that says `error` wherever the API has room for it.
        pub(crate) fn refuse(request: &Request, error: ResponseError) -> Response {
            match request {
                $(Request::$name(request) => Response::$name($module::refuse(request, error).into()),)*
            }
        }

        /// Has `edit` change the answer of whichever type it is.
        pub(crate) fn edit(response: &mut Response, edit: &mut dyn FnMut(&mut dyn std::any::Any)) {
            match response {
                $(Response::$name(response) => super::editing::Editable::edit(response, edit),)*
            }
        }

        fn encode_body(response: &Response, version: i16, out: &mut Outgoing) -> CodecResult<()> {
            match response {
                $(Response::$name(response) => response.put_body(version, out),)*
            }
        }

        #[cfg(test)]
        pub(crate) mod defaults {
            use super::*;

            /// The request of every API as the codec's default has it.
            pub(crate) fn requests() -> Vec<(Entry, Request)> {
                TABLE.iter().copied().zip([$(Request::$name(<$request>::default()),)*]).collect()
            }
        }
    };
}

table! {
    0 Produce produce ProduceRequest => ProduceResponse;
    1 Fetch fetch FetchRequest => fetch::FetchAnswer;
    2 ListOffsets list_offsets ListOffsetsRequest => ListOffsetsResponse;
    3 Metadata metadata MetadataRequest => MetadataResponse;
    8 OffsetCommit offset_commit OffsetCommitRequest => OffsetCommitResponse;
    9 OffsetFetch offset_fetch OffsetFetchRequest => OffsetFetchResponse;
    10 FindCoordinator find_coordinator FindCoordinatorRequest => FindCoordinatorResponse;
    11 JoinGroup join_group JoinGroupRequest => JoinGroupResponse;
    12 Heartbeat heartbeat HeartbeatRequest => HeartbeatResponse;
    13 LeaveGroup leave_group LeaveGroupRequest => LeaveGroupResponse;
    14 SyncGroup sync_group SyncGroupRequest => SyncGroupResponse;
    15 DescribeGroups describe_groups DescribeGroupsRequest => DescribeGroupsResponse;
    16 ListGroups list_groups ListGroupsRequest => ListGroupsResponse;
    18 ApiVersions api_versions ApiVersionsRequest => ApiVersionsResponse;
    19 CreateTopics create_topics CreateTopicsRequest => CreateTopicsResponse;
    20 DeleteTopics delete_topics DeleteTopicsRequest => DeleteTopicsResponse;
    21 DeleteRecords delete_records DeleteRecordsRequest => DeleteRecordsResponse;
    22 InitProducerId init_producer_id InitProducerIdRequest => InitProducerIdResponse;
    23 OffsetForLeaderEpoch offset_for_leader_epoch OffsetForLeaderEpochRequest => OffsetForLeaderEpochResponse;
    24 AddPartitionsToTxn add_partitions_to_txn AddPartitionsToTxnRequest => AddPartitionsToTxnResponse;
    25 AddOffsetsToTxn add_offsets_to_txn AddOffsetsToTxnRequest => AddOffsetsToTxnResponse;
    26 EndTxn end_txn EndTxnRequest => EndTxnResponse;
    27 WriteTxnMarkers write_txn_markers WriteTxnMarkersRequest => WriteTxnMarkersResponse;
    28 TxnOffsetCommit txn_offset_commit TxnOffsetCommitRequest => TxnOffsetCommitResponse;
    29 DescribeAcls describe_acls DescribeAclsRequest => DescribeAclsResponse;
    30 CreateAcls create_acls CreateAclsRequest => CreateAclsResponse;
    31 DeleteAcls delete_acls DeleteAclsRequest => DeleteAclsResponse;
    32 DescribeConfigs describe_configs DescribeConfigsRequest => DescribeConfigsResponse;
    33 AlterConfigs alter_configs AlterConfigsRequest => AlterConfigsResponse;
    34 AlterReplicaLogDirs alter_replica_log_dirs AlterReplicaLogDirsRequest => AlterReplicaLogDirsResponse;
    35 DescribeLogDirs describe_log_dirs DescribeLogDirsRequest => DescribeLogDirsResponse;
    37 CreatePartitions create_partitions CreatePartitionsRequest => CreatePartitionsResponse;
    42 DeleteGroups delete_groups DeleteGroupsRequest => DeleteGroupsResponse;
    43 ElectLeaders elect_leaders ElectLeadersRequest => elect_leaders::ElectLeadersAnswer;
    44 IncrementalAlterConfigs incremental_alter_configs IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse;
    45 AlterPartitionReassignments alter_partition_reassignments AlterPartitionReassignmentsRequest => AlterPartitionReassignmentsResponse;
    46 ListPartitionReassignments list_partition_reassignments ListPartitionReassignmentsRequest => ListPartitionReassignmentsResponse;
    47 OffsetDelete offset_delete OffsetDeleteRequest => OffsetDeleteResponse;
    48 DescribeClientQuotas describe_client_quotas DescribeClientQuotasRequest => DescribeClientQuotasResponse;
    49 AlterClientQuotas alter_client_quotas AlterClientQuotasRequest => AlterClientQuotasResponse;
    50 DescribeUserScramCredentials describe_user_scram_credentials DescribeUserScramCredentialsRequest => DescribeUserScramCredentialsResponse;
    51 AlterUserScramCredentials alter_user_scram_credentials AlterUserScramCredentialsRequest => AlterUserScramCredentialsResponse;
    55 DescribeQuorum describe_quorum DescribeQuorumRequest => DescribeQuorumResponse;
    57 UpdateFeatures update_features UpdateFeaturesRequest => UpdateFeaturesResponse;
    60 DescribeCluster describe_cluster DescribeClusterRequest => DescribeClusterResponse;
    61 DescribeProducers describe_producers DescribeProducersRequest => DescribeProducersResponse;
    65 DescribeTransactions describe_transactions DescribeTransactionsRequest => DescribeTransactionsResponse;
    66 ListTransactions list_transactions ListTransactionsRequest => ListTransactionsResponse;
    68 ConsumerGroupHeartbeat consumer_group_heartbeat ConsumerGroupHeartbeatRequest => ConsumerGroupHeartbeatResponse;
    69 ConsumerGroupDescribe consumer_group_describe ConsumerGroupDescribeRequest => ConsumerGroupDescribeResponse;
    71 GetTelemetrySubscriptions get_telemetry_subscriptions GetTelemetrySubscriptionsRequest => GetTelemetrySubscriptionsResponse;
    72 PushTelemetry push_telemetry PushTelemetryRequest => PushTelemetryResponse;
    74 ListConfigResources list_config_resources ListConfigResourcesRequest => ListConfigResourcesResponse;
    75 DescribeTopicPartitions describe_topic_partitions DescribeTopicPartitionsRequest => DescribeTopicPartitionsResponse;
}

/// Errors of the codec as text: its own error type says no more.
type CodecResult<T> = Result<T, String>;

/// What is advertised. Produce says 0 although 0 to 2 are refused: old librdkafka takes a higher minimum for a sign that
/// the broker knows no compression (KAFKA-18659), and so does Kafka.
///
/// Kafka answers the two APIs of client telemetry always, and advertises them only where a receiver is configured
/// (`ClientMetricsManager.isTelemetryReceiverConfigured`), so that no client sends what nobody wants.
pub(crate) fn advertised() -> impl Iterator<Item = Entry> {
    let without_telemetry = TABLE.iter().filter(|entry| ![71, 72].contains(&entry.key));
    without_telemetry.map(|entry| if entry.key == 0 { Entry { min: 0, ..*entry } } else { *entry })
}

/// What a frame holds.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once, and is nearly always the large one")]
pub(crate) enum Incoming {
    /// A request for a handler.
    Request(RequestHeader, Request),
    /// ApiVersions at a version that is not known.
    UnknownApiVersions(RequestHeader),
}

/// Reads a whole frame. Nothing is decoded before the guard has walked it.
///
/// Errors: Kafka closes the connection on a request that it does not know or cannot read.
pub(crate) fn decode(frame: &Bytes) -> Result<Incoming, Close> {
    let (header, mut body) = crate::wire::request::read_header(frame, |key, version| {
        if key == API_VERSIONS {
            return Ok(version >= 3);
        }
        let served = TABLE.iter().find(|entry| entry.key == key);
        match served {
            Some(entry) if (entry.min..=entry.max).contains(&version) => {
                Ok(message_of_request(key).header_version(version) >= 2)
            }
            Some(Entry { name, min, max, .. }) => {
                Err(Close::because(format!("{name} v{version} is not served, only v{min} to v{max}")))
            }
            None => Err(Close::because(format!("api key {key} is not served (v{version} was asked for)"))),
        }
    })?;
    if header.api_key == API_VERSIONS && !(api_versions::API.min..=api_versions::API.max).contains(&header.api_version)
    {
        return Ok(Incoming::UnknownApiVersions(header));
    }
    let message = message_of_request(header.api_key);
    guard::check(message, header.api_version, &body, &guard::Limits::DEFAULT)
        .map_err(|malformed| Close::because(malformed.to_string()))?;
    let request = decode_body(&header, &mut body)
        .map_err(|error| Close::because(format!("{} v{}: {error}", message.name, header.api_version)))?;
    Ok(Incoming::Request(header, request))
}

fn message_of_request(key: i16) -> &'static schema::Message {
    schema::request(key).expect("the schema table has every API of the handler table")
}

/// Writes the frame of `response` to `header`'s request.
///
/// Errors: the codec refuses what the handler built: a bug of ours, and the connection closes.
pub(crate) fn encode(header: &RequestHeader, response: &Response, out: &mut Outgoing) -> Result<(), Close> {
    let version = header.api_version;
    let answered_by = schema::response(header.api_key).expect("every request of the schema table has a response");
    let frame = out.begin_frame();
    out.put(|tail| {
        tail.put_i32(header.correlation_id);
        if answered_by.header_version(version) >= 1 {
            tail.put_u8(0);
        }
    });
    let written = encode_body(response, version, out)
        .and_then(|()| out.end_frame(frame).map_err(|size| format!("an answer of {size} bytes does not fit a frame")));
    written.map_err(|error| {
        out.abandon_frame(frame);
        Close::because(format!("the answer to api key {} v{version} cannot be encoded: {error}", header.api_key))
    })
}

/// Has the answer that was written since `mark` say that its client is throttled, if it has a field for that.
pub(crate) fn say_throttled(header: &RequestHeader, length: Duration, mark: FrameStart, out: &mut Outgoing) {
    let answered_by = schema::response(header.api_key).expect("every request of the schema table has a response");
    let Some(mut frame) = out.take_frame(mark) else { return };
    let body = size_of::<i32>() + usize::from(answered_by.header_version(header.api_version) >= 1);
    let place =
        value::place_of(answered_by, header.api_version, &frame.clone().freeze().slice(body..), "throttle_time_ms");
    if let Some(place) = place {
        let millis = i32::try_from(length.as_millis()).unwrap_or(i32::MAX);
        frame[body + place..][..size_of::<i32>()].copy_from_slice(&millis.to_be_bytes());
    }
    let start = out.begin_frame();
    out.put(|tail| tail.extend_from_slice(&frame));
    out.end_frame(start).expect("it is as long as before");
}

/// Writes the frame that answers an unknown version of ApiVersions: at v0.
pub(crate) fn encode_unknown_api_versions(header: &RequestHeader, out: &mut Outgoing) -> Result<(), Close> {
    let header = RequestHeader { api_version: 0, ..header.clone() };
    encode(&header, &Response::ApiVersions(api_versions::unsupported_version()), out)
}

/// How an answer becomes bytes: through the codec, but for the one that carries record batches, and the one with an error that
/// not every version has.
trait PutBody {
    fn put_body(&self, version: i16, out: &mut Outgoing) -> CodecResult<()>;
}

impl<R: Encodable> PutBody for R {
    fn put_body(&self, version: i16, out: &mut Outgoing) -> CodecResult<()> {
        out.put(|tail| self.encode(tail, version)).map_err(|error| error.to_string())
    }
}

impl PutBody for elect_leaders::ElectLeadersAnswer {
    fn put_body(&self, version: i16, out: &mut Outgoing) -> CodecResult<()> {
        self.at(version).put_body(version, out)
    }
}

impl PutBody for fetch::FetchAnswer {
    fn put_body(&self, version: i16, out: &mut Outgoing) -> CodecResult<()> {
        crate::wire::fetch::encode(&self.response, &self.records, version, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_key_order_and_names_no_api_twice() {
        assert!(TABLE.windows(2).all(|pair| pair[0].key < pair[1].key));
    }

    #[test]
    fn what_is_advertised_changes_only_on_purpose() {
        let rows = advertised().map(|api| format!("{:>3} {} {}-{}", api.key, api.name, api.min, api.max));
        let table = rows.collect::<Vec<_>>().join("\n");
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/snapshots");
        insta::with_settings!({ snapshot_path => folder, omit_expression => true }, { insta::assert_snapshot!(table) });
    }

    #[test]
    fn every_refusal_encodes_at_every_version() {
        for (entry, request) in defaults::requests() {
            for version in entry.min..=entry.max {
                let header = RequestHeader {
                    api_key: entry.key,
                    api_version: version,
                    correlation_id: 1,
                    client_id: Default::default(),
                };
                let response = refuse(&request, ResponseError::UnknownServerError);
                encode(&header, &response, &mut Outgoing::default())
                    .unwrap_or_else(|close| panic!("{} v{version}: {close}", entry.name));
            }
        }
    }
}
