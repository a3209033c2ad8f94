//! What every API has in common: empty requests, bytes too few and too many, null where there is none, unknown versions.

use crate::codec::{Form, encode_marked};
use crate::judge::Run;
use crate::judge::run::{body_of, fitting, message};
use crate::scenarios::versions;
use crate::{Value, api, value};

macro_rules! programs {
    ($($name:ident $body:expr;)*) => {$(
        /// The API's own body, well-formed and then not.
        pub(super) async fn $name(run: &mut Run) {
            let body: fn(&mut Run) -> Value = $body;
            let body = body(run);
            bodies(run, body).await;
        }
    )*};
}

// Names in these bodies are of topics that do not exist: what is asked here is how a request is read.
programs! {
    api_versions |_| value!({ client_software_name: "judge", client_software_version: "1" });
    produce |run| value!({ acks: 1, timeout_ms: 1_000, topic_data: [
        { name: run.name("none"), partition_data: [{ index: 0, records: [0_u8; 0].as_slice() }] },
    ] });
    fetch |run| value!({ session_epoch: -1, topics: [
        { topic: run.name("none"), partitions: [{ partition: 0, partition_max_bytes: 1 }] },
    ] });
    list_offsets |run| value!({ replica_id: -1, topics: [{ name: run.name("none"), partitions: [{ timestamp: -1 }] }] });
    offset_for_leader_epoch |run| value!({ topics: [{ topic: run.name("none"), partitions: [{ leader_epoch: 0 }] }] });
    delete_records |run| value!({ timeout_ms: 1_000, topics: [
        { name: run.name("none"), partitions: [{ partition_index: 0, offset: 0 }] },
    ] });
    metadata |_| value!({ topics: [{ name: "." }], allow_auto_topic_creation: false });
    create_topics |run| value!({ timeout_ms: 10_000, validate_only: true, topics: [
        { name: run.name("a"), num_partitions: 1, replication_factor: 1, configs: [{ name: "retention.ms", value: "1" }] },
    ] });
    create_partitions |run| value!({ timeout_ms: 10_000, topics: [{ name: run.name("none"), count: 2 }] });
    delete_topics |run| value!({
        timeout_ms: 10_000, topics: [{ name: run.name("none") }], topic_names: [Value::from(run.name("none"))],
    });
    describe_topic_partitions |run| value!({ topics: [{ name: run.name("none") }], response_partition_limit: 1 });
    describe_configs |run| value!({ resources: [
        { resource_type: 2, resource_name: run.name("none"), configuration_keys: ["retention.ms"] },
    ] });
    alter_configs |run| value!({ validate_only: true, resources: [
        { resource_type: 2, resource_name: run.name("none"), configs: [{ name: "retention.ms", value: "1" }] },
    ] });
    incremental_alter_configs |run| value!({ validate_only: true, resources: [
        { resource_type: 2, resource_name: run.name("none"), configs: [{ name: "retention.ms", value: "1" }] },
    ] });
    list_config_resources |_| value!({ resource_types: [2] });
    describe_cluster |_| value!({ endpoint_type: 1 });
    init_producer_id |_| value!({ transactional_id: null, transaction_timeout_ms: 1_000, producer_id: -1, producer_epoch: -1 });
    offset_commit |run| value!({
        group_id: run.name("none"), generation_id_or_member_epoch: -1, member_id: "m", group_instance_id: "i",
        topics: [{ name: run.name("none"), partitions: [{ partition_index: 0, committed_metadata: "x" }] }],
    });
    offset_fetch |run| value!({
        group_id: run.name("none"), topics: [{ name: run.name("none"), partition_indexes: [0] }],
        groups: [{ group_id: run.name("none"), member_id: "m", topics: [{ name: "t", partition_indexes: [0] }] }],
    });
    join_group |run| value!({
        group_id: run.name("none"), session_timeout_ms: 1, member_id: "m", group_instance_id: "i", protocol_type: "t",
        protocols: [{ name: "p", metadata: [1_u8].as_slice() }], reason: "r",
    });
    heartbeat |run| value!({ group_id: run.name("none"), member_id: "m", group_instance_id: "i" });
    leave_group |run| value!({
        group_id: run.name("none"), member_id: "m", members: [{ member_id: "m", group_instance_id: "i", reason: "r" }],
    });
    sync_group |run| value!({
        group_id: run.name("none"), member_id: "m", group_instance_id: "i", protocol_type: "t", protocol_name: "p",
        assignments: [{ member_id: "m", assignment: [1_u8].as_slice() }],
    });
    describe_groups |run| value!({ groups: [run.name("none")], include_authorized_operations: true });
    list_groups |_| value!({ states_filter: ["none"], types_filter: ["none"] });
    delete_groups |run| value!({ groups_names: [run.name("none")] });
    offset_delete |run| value!({
        group_id: run.name("none"), topics: [{ name: run.name("none"), partitions: [{ partition_index: 0 }] }],
    });
    consumer_group_heartbeat |run| value!({
        group_id: run.name("none"), member_id: "m", instance_id: "i", rack_id: "r", subscribed_topic_names: ["t"],
        subscribed_topic_regex: "t", server_assignor: "range",
        topic_partitions: [{ topic_id: uuid::Uuid::from_u128(7), partitions: [0] }],
    });
    consumer_group_describe |run| value!({ group_ids: [run.name("none")], include_authorized_operations: true });
    add_partitions_to_txn |run| value!({
        v3_and_below_transactional_id: run.name("none"), v3_and_below_topics: [{ name: run.name("none"), partitions: [0] }],
        transactions: [{ transactional_id: run.name("none"), topics: [{ name: run.name("none"), partitions: [0] }] }],
    });
    add_offsets_to_txn |run| value!({ transactional_id: run.name("none"), group_id: run.name("none") });
    end_txn |run| value!({ transactional_id: run.name("none"), committed: true });
    write_txn_markers |run| value!({ markers: [
        { producer_id: 7, topics: [{ name: run.name("none"), partition_indexes: [0] }] },
    ] });
    txn_offset_commit |run| value!({
        transactional_id: run.name("none"), group_id: run.name("none"), generation_id: -1, member_id: "m",
        group_instance_id: "i",
        topics: [{ name: run.name("none"), partitions: [{ partition_index: 0, committed_metadata: "x" }] }],
    });
    describe_transactions |run| value!({ transactional_ids: [run.name("none")] });
    list_transactions |_| value!({
        state_filters: ["none"], producer_id_filters: [7], duration_filter: 1, transactional_id_pattern: "none",
    });
    find_coordinator |_| value!({ key: "a", key_type: 7, coordinator_keys: ["a"] });
    elect_leaders |run| value!({ timeout_ms: 10_000, topic_partitions: [{ topic: run.name("none"), partitions: [0] }] });
    alter_partition_reassignments |run| value!({ timeout_ms: 10_000, topics: [
        { name: run.name("none"), partitions: [{ partition_index: 0, replicas: [1] }] },
    ] });
    list_partition_reassignments |run| value!({ timeout_ms: 10_000, topics: [
        { name: run.name("none"), partition_indexes: [0] },
    ] });
    describe_log_dirs |run| value!({ topics: [{ topic: run.name("none"), partitions: [0] }] });
    alter_replica_log_dirs |run| value!({ dirs: [
        { path: "/nowhere", topics: [{ name: run.name("none"), partitions: [0] }] },
    ] });
    describe_producers |run| value!({ topics: [{ name: run.name("none"), partition_indexes: [0] }] });
    describe_quorum |_| value!({ topics: [{ topic_name: "t", partitions: [{ partition_index: 0 }] }] });
    update_features |_| value!({ timeout_ms: 10_000, feature_updates: [{ feature: "nonsense", max_version_level: 1 }] });
    describe_client_quotas |_| value!({ components: [{ entity_type: "nonsense", match_type: 0, match: "x" }] });
    alter_client_quotas |_| value!({ validate_only: true, entries: [
        { entity: [{ entity_type: "nonsense", entity_name: "x" }], ops: [{ key: "k", value: 1.0 }] },
    ] });
    describe_acls |_| value!({
        resource_type_filter: 2, resource_name_filter: "t", principal_filter: "User:a", host_filter: "*", operation: 3,
        permission_type: 3,
    });
    create_acls |_| value!({ creations: [
        { resource_type: 2, resource_name: "t", principal: "User:a", host: "*", operation: 3, permission_type: 3 },
    ] });
    delete_acls |_| value!({ filters: [
        { resource_type_filter: 2, resource_name_filter: "t", principal_filter: "User:a", host_filter: "*", operation: 3,
          permission_type: 3 },
    ] });
    describe_user_scram_credentials |run| value!({ users: [{ name: run.name("none") }] });
    alter_user_scram_credentials |run| value!({ deletions: [{ name: run.name("none"), mechanism: 1 }], upsertions: [
        { name: "", mechanism: 1, iterations: 4096, salt: b"salt", salted_password: b"password" },
    ] });
    get_telemetry_subscriptions |_| value!({ client_instance_id: uuid::Uuid::nil() });
    push_telemetry |_| value!({ client_instance_id: uuid::Uuid::nil(), metrics: b"x" });
}

async fn bodies(run: &mut Run, body: Value) {
    let (key, version) = (run.api_key, run.version);
    let whole = body_of(key, version, body.clone());
    run.step_bytes("a body", key, version, &whole).await;
    run.step_bytes("one byte more", key, version, &[&whole[..], &[0]].concat()).await;
    if let Some((_, start)) = whole.split_last() {
        run.step_bytes("one byte less", key, version, start).await;
    }
    // Produce of nothing is with acks=0, FindCoordinator of nothing creates the internal topic.
    if key != api::PRODUCE && key != api::FIND_COORDINATOR {
        run.step("the default of every field", value!({})).await;
    }
    let range = versions(key);
    if version != *range.start() && version != *range.end() {
        return;
    }
    let (_, marks) = encode_marked(message(key), version, &fitting(key, version, body));
    // All directories of a cluster have what others left in them.
    let marks = marks.into_iter().filter(|mark| key != api::DESCRIBE_LOG_DIRS || mark.at != 0);
    for mark in marks {
        let rest = &whole[mark.at + mark.width..];
        let null: &[u8] = match mark.form {
            Form::Int16 => &[0xff; 2],
            Form::Int32 => &[0xff; 4],
            Form::Varint => &[0],
        };
        if whole[mark.at..mark.at + mark.width] != *null {
            let body = [&whole[..mark.at], null, rest].concat();
            run.step_bytes(&format!("null at byte {}", mark.at), key, version, &body).await;
        }
    }
    if version == *range.start() && version > 0 {
        run.step_bytes("a version too low", key, version - 1, &whole).await;
    }
    if version == *range.end() {
        run.step_bytes("a version too high", key, version + 1, &whole).await;
    }
}
