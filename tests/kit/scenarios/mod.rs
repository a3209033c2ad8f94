//! The programs that a real Kafka and the mock both run: each API at every version, the usual path and the refusals.
//!
//! One module for each family of APIs. A program makes what it needs with names of its own and is cleaned up after, so
//! that each finds the same cluster. What every API has in common is in `common`; what three nodes answer otherwise than
//! one is in `nodes`, `admin_of_nodes`, `groups_of_nodes` and `transactions_of_nodes`.

mod admin_of_nodes;
mod cluster;
mod committed;
mod common;
mod configs;
mod consumers;
mod controllers;
mod fetch;
mod group_admin;
mod group_configs;
mod groups;
mod groups_of_nodes;
mod heartbeats;
mod leaders;
mod leaders_of_nodes;
mod log_dirs;
mod members;
mod mixed;
mod nodes;
mod offsets;
mod orders;
mod produce;
mod producers;
mod quotas;
mod security;
mod topics;
mod transactions;
mod transactions_of_nodes;

use std::ops::RangeInclusive;

use crate::api;
use crate::judge::Scenario;
use crate::judge::run::message;

/// All of them, in the order in which they run.
pub fn all() -> impl Iterator<Item = &'static Scenario> {
    ONE_NODE.iter().chain(THREE_NODES)
}

macro_rules! scenarios {
    ($name:ident $nodes:literal $($api:ident $rule:literal: $($module:ident :: $program:ident)*;)*) => {
        static $name: &[Scenario] = &[$($(Scenario {
            name: concat!(stringify!($module), ".", stringify!($program)),
            api_key: api::$api,
            rule: $rule,
            nodes: $nodes,
            program: |run| Box::pin($module::$program(run)),
        },)*)*];
    };
}

scenarios! {
    ONE_NODE 1
    API_VERSIONS "A.4": cluster::api_versions common::api_versions;
    PRODUCE "C.1 to C.8": produce::usual produce::request_refusals produce::batch_refusals produce::record_refusals
        produce::idempotence common::produce;
    FETCH "D.1 to D.6": fetch::usual fetch::limits fetch::refusals fetch::sessions fetch::session_refusals common::fetch orders::fetch;
    LIST_OFFSETS "D.7": offsets::list_offsets offsets::list_offsets_refusals common::list_offsets;
    OFFSET_FOR_LEADER_EPOCH "D.8": offsets::leader_epoch common::offset_for_leader_epoch orders::leader_epoch;
    DELETE_RECORDS "B.7": offsets::delete_records common::delete_records;
    METADATA "B.1, B.2": cluster::metadata cluster::metadata_refusals common::metadata orders::metadata;
    CREATE_TOPICS "B.4": topics::create topics::create_refusals topics::create_assignments topics::create_configs
        common::create_topics;
    CREATE_PARTITIONS "B.5": topics::partitions topics::partitions_refusals common::create_partitions orders::create_partitions;
    DELETE_TOPICS "B.6": topics::delete topics::delete_refusals common::delete_topics;
    DESCRIBE_TOPIC_PARTITIONS "B.8": topics::describe_partitions common::describe_topic_partitions;
    DESCRIBE_CONFIGS "B.11, B.14": configs::describe configs::describe_refusals common::describe_configs orders::describe_configs;
    ALTER_CONFIGS "B.12": configs::alter configs::alter_refusals common::alter_configs orders::alter;
    INCREMENTAL_ALTER_CONFIGS "B.12": configs::incremental configs::incremental_refusals group_configs::groups configs::too_long
        common::incremental_alter_configs orders::incremental;
    LIST_CONFIG_RESOURCES "B.13": configs::list common::list_config_resources orders::list_config_resources;
    DESCRIBE_CLUSTER "B.10": cluster::describe common::describe_cluster;
    INIT_PRODUCER_ID "G.3": offsets::producer_ids common::init_producer_id;
    // How requests are read: before there is a coordinator of transactions.
    ADD_PARTITIONS_TO_TXN "G.4": common::add_partitions_to_txn;
    ADD_OFFSETS_TO_TXN "G.4": common::add_offsets_to_txn;
    END_TXN "G.5": common::end_txn;
    WRITE_TXN_MARKERS "G.8": common::write_txn_markers;
    TXN_OFFSET_COMMIT "G.6": common::txn_offset_commit;
    DESCRIBE_TRANSACTIONS "G.9": common::describe_transactions;
    LIST_TRANSACTIONS "G.9": common::list_transactions;
    FIND_COORDINATOR "B.9": cluster::coordinators cluster::coordinator_refusals common::find_coordinator;
    JOIN_GROUP "E.4, E.5, E.9": groups::join groups::join_refusals groups::join_static groups::records mixed::join mixed::downgrade common::join_group;
    SYNC_GROUP "E.6": groups::sync groups::sync_refusals mixed::sync common::sync_group;
    HEARTBEAT "E.7": groups::heartbeat mixed::heartbeat common::heartbeat;
    LEAVE_GROUP "E.8": groups::leave mixed::leave common::leave_group;
    OFFSET_COMMIT "E.10": committed::commits committed::commit_refusals committed::records mixed::commits common::offset_commit;
    OFFSET_FETCH "E.11": committed::fetches mixed::fetches common::offset_fetch;
    DESCRIBE_GROUPS "E.13": group_admin::describes mixed::described common::describe_groups;
    LIST_GROUPS "E.13": group_admin::lists mixed::listed common::list_groups;
    DELETE_GROUPS "E.13": group_admin::deletes mixed::deleted common::delete_groups;
    OFFSET_DELETE "E.13": committed::deletes common::offset_delete;
    ELECT_LEADERS "I.6": leaders::elect_usual leaders::elect_refusals common::elect_leaders;
    ALTER_PARTITION_REASSIGNMENTS "I.6": leaders::reassign_usual leaders::reassign_refusals
        common::alter_partition_reassignments;
    LIST_PARTITION_REASSIGNMENTS "I.6": leaders::list common::list_partition_reassignments;
    DESCRIBE_LOG_DIRS "I.6": log_dirs::describe common::describe_log_dirs;
    ALTER_REPLICA_LOG_DIRS "I.6": log_dirs::moves common::alter_replica_log_dirs;
    DESCRIBE_PRODUCERS "G.9": producers::describe common::describe_producers;
    DESCRIBE_QUORUM "I.8": controllers::quorum common::describe_quorum;
    UPDATE_FEATURES "I.7": controllers::features common::update_features;
    DESCRIBE_CLIENT_QUOTAS "I.3": quotas::describe quotas::describe_refusals common::describe_client_quotas;
    ALTER_CLIENT_QUOTAS "I.3": quotas::alter quotas::alter_refusals common::alter_client_quotas;
    DESCRIBE_ACLS "I.2": security::describe_acls common::describe_acls;
    CREATE_ACLS "I.2": security::create_acls common::create_acls;
    DELETE_ACLS "I.2": security::delete_acls common::delete_acls;
    DESCRIBE_USER_SCRAM_CREDENTIALS "I.4": security::describe_scram common::describe_user_scram_credentials;
    ALTER_USER_SCRAM_CREDENTIALS "I.4": security::alter_scram common::alter_user_scram_credentials;
    GET_TELEMETRY_SUBSCRIPTIONS "I.9": controllers::subscriptions common::get_telemetry_subscriptions;
    PUSH_TELEMETRY "I.9": controllers::push common::push_telemetry;
    CONSUMER_GROUP_HEARTBEAT "F.1 to F.10": heartbeats::usual heartbeats::refusals heartbeats::statics heartbeats::patterns
        heartbeats::upgrade heartbeats::records common::consumer_group_heartbeat;
    CONSUMER_GROUP_DESCRIBE "F.11": heartbeats::describes common::consumer_group_describe;
    // Last: they make the coordinator's topic, which others are not to see.
    INIT_PRODUCER_ID "G.3": transactions::init;
    ADD_PARTITIONS_TO_TXN "G.4": transactions::adds;
    ADD_OFFSETS_TO_TXN "G.4": transactions::add_offsets;
    END_TXN "G.5": transactions::ends;
    WRITE_TXN_MARKERS "G.8": transactions::markers;
    TXN_OFFSET_COMMIT "G.6": transactions::offset_commits;
    DESCRIBE_TRANSACTIONS "G.9": transactions::describes;
    LIST_TRANSACTIONS "G.9": transactions::lists;
    PRODUCE "C.6": transactions::produces;
    FETCH "D.5": transactions::reads;
    LIST_OFFSETS "D.7": transactions::stable_offsets;
}

// Only where it matters which node is asked, or how many there are.
scenarios! {
    THREE_NODES 3
    API_VERSIONS "A.4": nodes::api_versions;
    PRODUCE "C.1": nodes::produce;
    FETCH "D.2": nodes::fetch;
    LIST_OFFSETS "D.7": nodes::list_offsets;
    OFFSET_FOR_LEADER_EPOCH "D.8": nodes::leader_epoch;
    DELETE_RECORDS "B.7": nodes::delete_records;
    METADATA "B.1, B.2": nodes::metadata;
    CREATE_TOPICS "B.4": admin_of_nodes::create;
    CREATE_PARTITIONS "B.5": admin_of_nodes::partitions;
    DELETE_TOPICS "B.6": admin_of_nodes::delete;
    DESCRIBE_TOPIC_PARTITIONS "B.8": admin_of_nodes::describe_partitions;
    DESCRIBE_CONFIGS "B.11, B.14": admin_of_nodes::describe_configs;
    ALTER_CONFIGS "B.12": admin_of_nodes::alter;
    INCREMENTAL_ALTER_CONFIGS "B.12": admin_of_nodes::incremental;
    LIST_CONFIG_RESOURCES "B.13": admin_of_nodes::list_config_resources;
    DESCRIBE_CLUSTER "B.10": nodes::describe;
    INIT_PRODUCER_ID "G.3": nodes::producer_ids transactions_of_nodes::init;
    FIND_COORDINATOR "B.9": nodes::coordinators;
    JOIN_GROUP "E.4": groups_of_nodes::join;
    SYNC_GROUP "E.6": groups_of_nodes::sync;
    HEARTBEAT "E.7": groups_of_nodes::heartbeat;
    LEAVE_GROUP "E.8": groups_of_nodes::leave;
    OFFSET_COMMIT "E.10": groups_of_nodes::commits;
    OFFSET_FETCH "E.11": groups_of_nodes::fetches;
    DESCRIBE_GROUPS "E.13": groups_of_nodes::describes;
    LIST_GROUPS "E.13": groups_of_nodes::lists;
    DELETE_GROUPS "E.13": groups_of_nodes::deletes;
    OFFSET_DELETE "E.13": groups_of_nodes::offset_deletes;
    ELECT_LEADERS "I.6": leaders_of_nodes::elections;
    ALTER_PARTITION_REASSIGNMENTS "I.6": leaders_of_nodes::reassignments;
    LIST_PARTITION_REASSIGNMENTS "I.6": leaders_of_nodes::list;
    DESCRIBE_LOG_DIRS "I.6": leaders_of_nodes::log_dirs;
    ALTER_REPLICA_LOG_DIRS "I.6": leaders_of_nodes::moves;
    DESCRIBE_PRODUCERS "G.9": leaders_of_nodes::producers;
    ADD_PARTITIONS_TO_TXN "G.4": transactions_of_nodes::adds;
    ADD_OFFSETS_TO_TXN "G.4": transactions_of_nodes::add_offsets;
    END_TXN "G.5": transactions_of_nodes::ends;
    TXN_OFFSET_COMMIT "G.6": transactions_of_nodes::offset_commits;
    DESCRIBE_TRANSACTIONS "G.9": transactions_of_nodes::describes;
    LIST_TRANSACTIONS "G.9": transactions_of_nodes::lists;
    CONSUMER_GROUP_HEARTBEAT "F.1 to F.10": transactions_of_nodes::beats;
    CONSUMER_GROUP_DESCRIBE "F.11": transactions_of_nodes::described_groups;
}

/// The versions of an API that are asked: all that Kafka advertises and the mock as well.
///
/// Kafka advertises Produce from 0 and serves it from 3 (KAFKA-18659); for the highest see [`BEYOND_THE_CODEC`].
#[must_use]
pub fn versions(api_key: i16) -> RangeInclusive<i16> {
    let all = message(api_key);
    let last = all.versions.max - i16::from(all.latest_version_unstable);
    all.versions.min..=if BEYOND_THE_CODEC.contains(&api_key) { last - 1 } else { last }
}

/// APIs whose highest version the codec of the mock does not have: docs/COMPATIBILITY.md.
pub const BEYOND_THE_CODEC: &[i16] =
    &[api::LIST_OFFSETS, api::OFFSET_COMMIT, api::OFFSET_FETCH, api::WRITE_TXN_MARKERS, api::DESCRIBE_LOG_DIRS];
