//! The broker configs that this broker acts on, typed. One list: key, field, type, default.
//!
//! Built from the default by applying what was set, so a cluster without settings costs nothing to build.

use super::tables::broker_key;

macro_rules! broker_config {
    ($($key:literal $field:ident: $type:ty = $default:literal;)*) => {
        /// The settings of one node with every default filled in, in Kafka's units. Field names are Kafka's keys.
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) struct BrokerConfig {
            $(pub(crate) $field: $type,)*
        }

        impl Default for BrokerConfig {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl BrokerConfig {
            /// Sets the field of `key`, if there is one. Values were validated when they were given; one that does not
            /// parse changes nothing.
            pub(super) fn set(&mut self, key: &str, value: &str) {
                match key {
                    $($key => {
                        let value = broker_key(key).and_then(|known| known.canonical(value).ok());
                        if let Some(value) = value.and_then(|value| value.parse().ok()) {
                            self.$field = value;
                        }
                    })*
                    _ => {}
                }
            }

            #[cfg(test)]
            fn keys_and_values(&self) -> Vec<(&'static str, String)> {
                vec![$(($key, self.$field.to_string()),)*]
            }
        }
    };
}

broker_config! {
    "socket.request.max.bytes" socket_request_max_bytes: usize = 104_857_600;
    "connections.max.idle.ms" connections_max_idle_ms: u64 = 600_000;
    "fetch.max.bytes" fetch_max_bytes: usize = 57_671_680;
    "max.incremental.fetch.session.cache.slots" max_incremental_fetch_session_cache_slots: usize = 1000;
    "max.request.partition.size.limit" max_request_partition_size_limit: usize = 2000;
    "auto.create.topics.enable" auto_create_topics_enable: bool = true;
    "delete.topic.enable" delete_topic_enable: bool = true;
    "num.partitions" num_partitions: i32 = 1;
    "default.replication.factor" default_replication_factor: i32 = 1;
    "min.insync.replicas" min_insync_replicas: i32 = 1;
    "unclean.leader.election.enable" unclean_leader_election_enable: bool = false;
    "log.retention.check.interval.ms" log_retention_check_interval_ms: i64 = 300_000;
    "log.initial.task.delay.ms" log_initial_task_delay_ms: i64 = 30_000;
    "log.cleaner.enable" log_cleaner_enable: bool = true;
    "log.cleaner.backoff.ms" log_cleaner_backoff_ms: i64 = 15_000;
    "producer.id.expiration.ms" producer_id_expiration_ms: i64 = 86_400_000;
    "producer.id.expiration.check.interval.ms" producer_id_expiration_check_interval_ms: i64 = 600_000;
    "offsets.topic.num.partitions" offsets_topic_num_partitions: i32 = 50;
    "offsets.topic.replication.factor" offsets_topic_replication_factor: i16 = 3;
    "offsets.topic.segment.bytes" offsets_topic_segment_bytes: i32 = 104_857_600;
    "offsets.topic.compression.codec" offsets_topic_compression_codec: i32 = 0;
    "offsets.retention.minutes" offsets_retention_minutes: i32 = 10_080;
    "offsets.retention.check.interval.ms" offsets_retention_check_interval_ms: i64 = 600_000;
    "offsets.commit.timeout.ms" offsets_commit_timeout_ms: i64 = 5000;
    "offset.metadata.max.bytes" offset_metadata_max_bytes: i32 = 4096;
    "transaction.state.log.num.partitions" transaction_state_log_num_partitions: i32 = 50;
    "transaction.state.log.replication.factor" transaction_state_log_replication_factor: i16 = 3;
    "transaction.state.log.segment.bytes" transaction_state_log_segment_bytes: i32 = 104_857_600;
    "transaction.state.log.min.isr" transaction_state_log_min_isr: i32 = 2;
    "transaction.max.timeout.ms" transaction_max_timeout_ms: i64 = 900_000;
    "transaction.abort.timed.out.transaction.cleanup.interval.ms" transaction_abort_timed_out_transaction_cleanup_interval_ms: i64 = 10_000;
    "transaction.remove.expired.transaction.cleanup.interval.ms" transaction_remove_expired_transaction_cleanup_interval_ms: i64 = 3_600_000;
    "transaction.partition.verification.enable" transaction_partition_verification_enable: bool = true;
    "transactional.id.expiration.ms" transactional_id_expiration_ms: i64 = 604_800_000;
    "share.coordinator.state.topic.num.partitions" share_coordinator_state_topic_num_partitions: i32 = 50;
    "share.coordinator.state.topic.replication.factor" share_coordinator_state_topic_replication_factor: i16 = 3;
    "share.coordinator.state.topic.segment.bytes" share_coordinator_state_topic_segment_bytes: i32 = 104_857_600;
    "share.coordinator.state.topic.min.isr" share_coordinator_state_topic_min_isr: i16 = 2;
    "group.min.session.timeout.ms" group_min_session_timeout_ms: i64 = 6000;
    "group.max.session.timeout.ms" group_max_session_timeout_ms: i64 = 1_800_000;
    "group.initial.rebalance.delay.ms" group_initial_rebalance_delay_ms: i64 = 3000;
    "group.max.size" group_max_size: i32 = 2_147_483_647;
    "group.consumer.session.timeout.ms" group_consumer_session_timeout_ms: i64 = 45_000;
    "group.consumer.min.session.timeout.ms" group_consumer_min_session_timeout_ms: i64 = 45_000;
    "group.consumer.max.session.timeout.ms" group_consumer_max_session_timeout_ms: i64 = 60_000;
    "group.consumer.heartbeat.interval.ms" group_consumer_heartbeat_interval_ms: i64 = 5000;
    "group.consumer.min.heartbeat.interval.ms" group_consumer_min_heartbeat_interval_ms: i64 = 5000;
    "group.consumer.max.heartbeat.interval.ms" group_consumer_max_heartbeat_interval_ms: i64 = 15_000;
    "group.consumer.assignment.interval.ms" group_consumer_assignment_interval_ms: i64 = 1000;
    "group.consumer.min.assignment.interval.ms" group_consumer_min_assignment_interval_ms: i64 = 0;
    "group.consumer.max.assignment.interval.ms" group_consumer_max_assignment_interval_ms: i64 = 15_000;
    "group.consumer.regex.refresh.interval.ms" group_consumer_regex_refresh_interval_ms: i64 = 600_000;
    "group.consumer.max.size" group_consumer_max_size: i32 = 2_147_483_647;
    "sasl.server.max.receive.size" sasl_server_max_receive_size: i32 = 524_288;
    "connections.max.reauth.ms" connections_max_reauth_ms: i64 = 0;
    "replica.lag.time.max.ms" replica_lag_time_max_ms: i64 = 30_000;
    "broker.session.timeout.ms" broker_session_timeout_ms: i64 = 9000;
    "telemetry.max.bytes" telemetry_max_bytes: usize = 1_048_576;
    "quota.window.num" quota_window_num: i32 = 11;
    "quota.window.size.seconds" quota_window_size_seconds: i32 = 1;
}

impl BrokerConfig {
    /// Gives the internal topics no more replicas, and asks for no more of them in sync, than there are nodes.
    pub(super) fn fit_internal_topics(&mut self, nodes: usize) {
        let nodes = i16::try_from(nodes.max(1)).unwrap_or(i16::MAX);
        for factor in [
            &mut self.offsets_topic_replication_factor,
            &mut self.transaction_state_log_replication_factor,
            &mut self.share_coordinator_state_topic_replication_factor,
            &mut self.share_coordinator_state_topic_min_isr,
        ] {
            *factor = nodes.min(*factor);
        }
        self.transaction_state_log_min_isr = self.transaction_state_log_min_isr.min(i32::from(nodes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_a_key_of_kafka_with_the_default_of_kafka() {
        for (key, default) in BrokerConfig::default().keys_and_values() {
            assert_eq!(broker_key(key).and_then(|key| key.default), Some(default.as_str()), "{key}");
        }
    }

    #[test]
    fn a_setting_is_taken_as_kafka_reads_it() {
        let mut config = BrokerConfig::default();
        config.set("auto.create.topics.enable", " FALSE ");
        config.set("num.partitions", "+3");
        config.set("fetch.max.bytes", "1");
        assert!(!config.auto_create_topics_enable);
        assert_eq!(config.num_partitions, 3);
        assert_eq!(config.fetch_max_bytes, 57_671_680, "below the least value, so it stays");
    }
}
