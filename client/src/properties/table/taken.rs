//! The properties that set something, by what they set.

use std::sync::Arc;

use super::{
    super::{
        Settings,
        values::{flag, iso_duration, millis, millis_or, number, word},
    },
    Rule::{Adapt, Only, Take},
    Table,
};
use crate::{
    config::{Acks, Assignor, Compression, GroupProtocol, IsolationLevel, OffsetReset},
    producer::partitioner::{
        Crc32, Crc32Consistent, Fnv1a, Fnv1aConsistent, Murmur2, Murmur2Consistent, Partitioner, RoundRobin,
    },
};

/// Reads a value by a function and sets a field to it.
macro_rules! set {
    ($($field:ident).+, $read:expr) => {
        Take(|to, value| {
            let read: fn(&str) -> Result<_, String> = $read;
            to.$($field).+ = read(value)?;
            Ok(())
        })
    };
}

pub(super) const CLIENT: Table = &[
    ("bootstrap.servers", Take(bootstrap)),
    ("metadata.broker.list", Take(bootstrap)),
    ("client.id", set!(client.client_id, |value| Ok(value.to_owned()))),
    (
        "request.timeout.ms",
        Adapt(request_timeout, "of every request, as in Java; in librdkafka it is the broker's own for acks"),
    ),
    ("socket.timeout.ms", Take(request_timeout)),
    ("default.api.timeout.ms", set!(client.api_timeout, millis)),
    ("socket.connection.setup.timeout.ms", set!(client.connection_setup_timeout, millis)),
    ("connections.max.idle.ms", set!(client.connections_max_idle, |value| millis_or(&["-1", "0"], value))),
    ("retry.backoff.ms", set!(client.retry_backoff.initial, millis)),
    ("retry.backoff.max.ms", set!(client.retry_backoff.maximum, millis)),
    ("reconnect.backoff.ms", set!(client.reconnect_backoff.initial, millis)),
    ("reconnect.backoff.max.ms", set!(client.reconnect_backoff.maximum, millis)),
    ("metadata.max.age.ms", Take(metadata_max_age)),
    ("metadata.recovery.strategy", Take(recovery)),
    ("metadata.recovery.rebootstrap.trigger.ms", set!(rebootstrap_trigger, millis)),
    ("topic.metadata.refresh.interval.ms", Take(metadata_max_age)),
    ("receive.message.max.bytes", set!(client.max_frame_bytes, |value| number(value, 4096..=i32::MAX as usize))),
    ("client.dns.lookup", Only(&["use_all_dns_ips"], "all addresses of a name are always tried; leave it out")),
];

pub(super) const SECURITY: Table = &[
    ("security.protocol", Take(|to, value| to.security.protocol(value))),
    ("sasl.mechanism", Take(|to, value| to.security.mechanism(value))),
    ("sasl.mechanisms", Take(|to, value| to.security.mechanism(value))),
    ("sasl.jaas.config", Take(|to, value| to.security.jaas(value))),
    ("sasl.username", set!(security.user, |value| Ok(Some(value.to_owned())))),
    ("sasl.password", set!(security.password, |value| Ok(Some(value.to_owned())))),
    ("ssl.truststore.certificates", Take(|to, value| to.security.ca.text(value))),
    ("ssl.ca.pem", Take(|to, value| to.security.ca.text(value))),
    ("ssl.truststore.location", set!(security.truststore, |value| Ok(Some(value.to_owned())))),
    ("ssl.truststore.type", set!(security.truststore_type, |value| Ok(Some(value.to_owned())))),
    ("ssl.ca.location", Take(|to, value| to.security.ca.file(value))),
    ("ssl.keystore.certificate.chain", Take(|to, value| to.security.chain.text(value))),
    ("ssl.certificate.pem", Take(|to, value| to.security.chain.text(value))),
    ("ssl.certificate.location", Take(|to, value| to.security.chain.file(value))),
    ("ssl.keystore.key", Take(|to, value| to.security.key.text(value))),
    ("ssl.key.pem", Take(|to, value| to.security.key.text(value))),
    ("ssl.key.location", Take(|to, value| to.security.key.file(value))),
    ("ssl.keystore.location", set!(security.keystore, |value| Ok(Some(value.to_owned())))),
    ("ssl.keystore.type", set!(security.keystore_type, |value| Ok(Some(value.to_owned())))),
];

pub(super) const PRODUCER: Table = &[
    ("acks", Take(acks)),
    ("request.required.acks", Take(acks)),
    ("linger.ms", Take(linger)),
    ("queue.buffering.max.ms", Take(linger)),
    ("batch.size", set!(producer.batch_size, |value| number(value, 0..=i32::MAX as usize))),
    ("batch.num.messages", set!(producer.batch_records, |value| number(value, 1..=1_000_000))),
    ("buffer.memory", set!(producer.buffer_memory, |value| number(value, 1..=u32::MAX as usize))),
    (
        "queue.buffering.max.kbytes",
        Adapt(
            |to, value| {
                to.producer.buffer_memory = number(value, 1..=u32::MAX as usize >> 10)? << 10;
                Ok(())
            },
            "bounds the producer's records until they are acknowledged, over all topics",
        ),
    ),
    ("max.block.ms", set!(producer.max_block, millis)),
    ("delivery.timeout.ms", Take(delivery_timeout)),
    ("message.timeout.ms", Take(delivery_timeout)),
    ("retries", Take(retries)),
    ("message.send.max.retries", Take(retries)),
    ("max.in.flight.requests.per.connection", Take(max_in_flight)),
    ("max.in.flight", Take(max_in_flight)),
    ("enable.idempotence", set!(producer.idempotence, |value| flag(value).map(Some))),
    ("max.request.size", Take(max_request_size)),
    ("message.max.bytes", Take(max_request_size)),
    ("compression.type", Take(compression)),
    ("compression.codec", Take(compression)),
    ("compression.gzip.level", Take(|to, value| level(to, "compression.gzip.level", Compression::Gzip, value))),
    ("compression.zstd.level", Take(|to, value| level(to, "compression.zstd.level", Compression::Zstd, value))),
    (
        "compression.level",
        Take(|to, value| {
            let level = number(value, -1..=12)?;
            to.producer.compression_level = (level >= 0).then_some(level);
            Ok(())
        }),
    ),
    ("transaction.timeout.ms", set!(transaction_timeout, millis)),
    (
        "transactional.id",
        Adapt(
            |to, value| {
                to.transactional_id = named(value);
                Ok(())
            },
            "a transactional producer is begun by it: Kafka::transactional",
        ),
    ),
    ("partitioner", Take(partitioner)),
    ("partitioner.class", Take(partitioner_class)),
    ("partitioner.ignore.keys", set!(ignore_keys, flag)),
    ("partitioner.adaptive.partitioning.enable", set!(producer.adaptive_partitioning, flag)),
    ("partitioner.availability.timeout.ms", set!(producer.availability_timeout, millis)),
    ("metadata.max.idle.ms", set!(producer.metadata_max_idle, millis)),
];

pub(super) const CONSUMER: Table = &[
    ("group.id", set!(group_id, |value| Ok(named(value)))),
    ("group.instance.id", set!(group.group_instance_id, |value| Ok(named(value)))),
    ("partition.assignment.strategy", Take(assignors)),
    (
        "group.protocol",
        set!(group.group_protocol, |value| {
            word(value, &[("classic", GroupProtocol::Classic), ("consumer", GroupProtocol::Consumer)])
        }),
    ),
    ("group.remote.assignor", set!(group.group_remote_assignor, |value| Ok(named(value)))),
    ("client.rack", set!(consumer.client_rack, |value| Ok(named(value)))),
    ("session.timeout.ms", set!(group.session_timeout, millis)),
    ("heartbeat.interval.ms", set!(group.heartbeat_interval, millis)),
    ("max.poll.interval.ms", set!(group.max_poll_interval, millis)),
    ("enable.auto.commit", set!(enable_auto_commit, flag)),
    ("auto.commit.enable", set!(enable_auto_commit, flag)),
    ("auto.commit.interval.ms", set!(group.auto_commit_interval, |value| millis(value).map(Some))),
    ("auto.offset.reset", Take(auto_offset_reset)),
    ("isolation.level", Take(isolation)),
    ("check.crcs", set!(consumer.check_crcs, flag)),
    ("allow.auto.create.topics", set!(consumer.allow_auto_create_topics, flag)),
    ("fetch.min.bytes", set!(consumer.fetch_min_bytes, |value| number(value, 0..=i32::MAX))),
    ("fetch.max.wait.ms", Take(fetch_max_wait)),
    ("fetch.wait.max.ms", Take(fetch_max_wait)),
    ("fetch.max.bytes", set!(consumer.fetch_max_bytes, |value| number(value, 1..=i32::MAX))),
    ("max.partition.fetch.bytes", Take(max_partition_fetch_bytes)),
    ("fetch.message.max.bytes", Take(max_partition_fetch_bytes)),
    (
        "queued.max.messages.kbytes",
        Adapt(
            |to, value| {
                to.consumer.prefetch_bytes = number(value, 1..=2_097_151)? << 10;
                Ok(())
            },
            "bounds what is fetched ahead by the whole consumer, counted as it was fetched",
        ),
    ),
];

type Taken = Result<(), String>;

/// A name, where an empty one is none.
fn named(value: &str) -> Option<String> {
    Some(value.to_owned()).filter(|value| !value.is_empty())
}

fn bootstrap(to: &mut Settings, value: &str) -> Taken {
    if value.trim_matches([',', ' ']).is_empty() {
        return Err("names no broker; it has to be host:port[,host:port]".to_owned());
    }
    to.bootstrap = Some(value.to_owned());
    Ok(())
}

fn request_timeout(to: &mut Settings, value: &str) -> Taken {
    to.client.request_timeout = millis(value)?;
    Ok(())
}

fn metadata_max_age(to: &mut Settings, value: &str) -> Taken {
    to.client.metadata_max_age = millis_or(&["-1"], value)?;
    Ok(())
}

fn recovery(to: &mut Settings, value: &str) -> Taken {
    to.rebootstrap = word(value, &[("rebootstrap", true), ("none", false)])?;
    Ok(())
}

fn acks(to: &mut Settings, value: &str) -> Taken {
    to.producer.acks = word(value, &[("all", Acks::All), ("-1", Acks::All), ("1", Acks::Leader), ("0", Acks::None)])?;
    Ok(())
}

fn linger(to: &mut Settings, value: &str) -> Taken {
    to.producer.linger = millis(value)?;
    Ok(())
}

fn delivery_timeout(to: &mut Settings, value: &str) -> Taken {
    // librdkafka's 0 is "as long as it takes".
    to.producer.delivery_timeout = millis_or(&["0"], value)?;
    Ok(())
}

fn retries(to: &mut Settings, value: &str) -> Taken {
    to.producer.retries = number(value, 0..=i32::MAX.unsigned_abs())?;
    Ok(())
}

fn max_in_flight(to: &mut Settings, value: &str) -> Taken {
    to.producer.max_in_flight = number(value, 1..=i32::MAX as usize)?;
    Ok(())
}

fn max_request_size(to: &mut Settings, value: &str) -> Taken {
    to.producer.max_request_size = number(value, 1..=i32::MAX as usize / 2)?;
    Ok(())
}

fn compression(to: &mut Settings, value: &str) -> Taken {
    let codecs = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    let words = codecs.map(|codec| (codec.name(), codec));
    to.producer.compression = match value {
        "inherit" => return Ok(()),
        value => word(value, &words)?,
    };
    Ok(())
}

fn level(to: &mut Settings, name: &'static str, codec: Compression, value: &str) -> Taken {
    // -1 is gzip's own default (`GzipCompression.DEFAULT_LEVEL`); to zstd it is a level like others.
    if codec == Compression::Gzip && value == "-1" {
        return Ok(());
    }
    to.levels.insert(name, number(value, codec.levels())?);
    Ok(())
}

fn partitioner(to: &mut Settings, value: &str) -> Taken {
    type Make = fn() -> Arc<dyn Partitioner>;
    let make: Make = word(
        value,
        &[
            ("murmur2_random", (|| Arc::new(Murmur2)) as Make),
            ("murmur2", || Arc::new(Murmur2Consistent)),
            ("consistent_random", || Arc::new(Crc32)),
            ("consistent", || Arc::new(Crc32Consistent)),
            ("fnv1a_random", || Arc::new(Fnv1a)),
            ("fnv1a", || Arc::new(Fnv1aConsistent)),
            ("random", || Arc::new(super::super::IgnoreKeys)),
        ],
    )?;
    to.partitioner = make();
    Ok(())
}

fn partitioner_class(to: &mut Settings, value: &str) -> Taken {
    match value.rsplit('.').next().unwrap_or_default() {
        "" => {}
        "DefaultPartitioner" => to.partitioner = Arc::new(Murmur2),
        "RoundRobinPartitioner" => to.partitioner = Arc::new(RoundRobin::default()),
        "UniformStickyPartitioner" => to.ignore_keys = true,
        _ => return Err(format!("is {value:?}; a class of Java cannot run here: use ProducerBuilder::partitioner")),
    }
    Ok(())
}

fn assignors(to: &mut Settings, value: &str) -> Taken {
    let words = [
        ("range", Assignor::Range),
        ("RangeAssignor", Assignor::Range),
        ("roundrobin", Assignor::RoundRobin),
        ("RoundRobinAssignor", Assignor::RoundRobin),
        ("sticky", Assignor::Sticky),
        ("StickyAssignor", Assignor::Sticky),
        ("cooperative-sticky", Assignor::CooperativeSticky),
        ("CooperativeStickyAssignor", Assignor::CooperativeSticky),
    ];
    let names = value.split(',').map(|name| name.trim().trim_start_matches("class "));
    let short = names.map(|name| name.strip_prefix("org.apache.kafka.clients.consumer.").unwrap_or(name));
    to.group.assignors = short.map(|name| word(name, &words)).collect::<Result<_, _>>()?;
    Ok(())
}

fn auto_offset_reset(to: &mut Settings, value: &str) -> Taken {
    to.consumer.auto_offset_reset = match value.strip_prefix("by_duration:") {
        Some(duration) => OffsetReset::ByDuration(
            iso_duration(duration).ok_or_else(|| format!("is {value:?}; it has to be like by_duration:P1DT2H"))?,
        ),
        None => word(
            value,
            &[
                ("earliest", OffsetReset::Earliest),
                ("smallest", OffsetReset::Earliest),
                ("beginning", OffsetReset::Earliest),
                ("latest", OffsetReset::Latest),
                ("largest", OffsetReset::Latest),
                ("end", OffsetReset::Latest),
                ("none", OffsetReset::None),
                ("error", OffsetReset::None),
            ],
        )?,
    };
    Ok(())
}

fn isolation(to: &mut Settings, value: &str) -> Taken {
    let words =
        [("read_uncommitted", IsolationLevel::ReadUncommitted), ("read_committed", IsolationLevel::ReadCommitted)];
    to.consumer.isolation = word(value, &words)?;
    Ok(())
}

fn fetch_max_wait(to: &mut Settings, value: &str) -> Taken {
    to.consumer.fetch_max_wait = millis(value)?;
    Ok(())
}

fn max_partition_fetch_bytes(to: &mut Settings, value: &str) -> Taken {
    to.consumer.max_partition_fetch_bytes = number(value, 1..=i32::MAX)?;
    Ok(())
}
