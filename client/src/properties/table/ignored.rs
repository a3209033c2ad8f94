//! The properties that set nothing: why that does no harm, or which of their values would and are refused.

use super::{
    Rule::{Ignore, Only},
    Table,
};

const NO_METRICS: &str = "there is no such reporter here";
const NO_KERBEROS: &str = "there is no Kerberos here";
const TOKENS: &str = "tokens come from the function that is given to Sasl::oauthbearer";
const OF_JAVA: &str = "it belongs to Java's TLS; rustls has no such choice";
const OF_OPENSSL: &str = "it belongs to OpenSSL";
const CLASSES: &str = "classes of Java and libraries of C cannot run here";
const CALLBACKS: &str = "functions of C cannot be called here; results and errors come back from the calls that ask";
const LOGGING: &str = "events go to tracing, whose subscriber chooses";
const OBSOLETE: &str = "librdkafka does not use it any more either";
const SYSTEM: &str = "the system's own is taken; a socket of your own comes by KafkaBuilder::dial";
const BYTES: &str = "records are bytes here; the program makes them and reads them";
const SHARE: &str = "there are no share consumers here";
const MANUAL_STORE: &str =
    "offsets are not stored by hand here; use enable.auto.commit=false and Consumer::commit_record";
const VERIFIED: &str = "brokers are always verified; Tls::server_name takes another name, Tls::ca_pem another CA, and Tls::rustls \
                        a configuration of your own where it is written out";
const SUITES: &str = "to ignore it would weaken what was asked for; say it in a configuration of Tls::rustls";

pub(super) const IGNORED: Table = &[
    // What would make a connection less safe is refused.
    ("ssl.endpoint.identification.algorithm", Only(&["https"], VERIFIED)),
    ("enable.ssl.certificate.verification", Only(&["true"], VERIFIED)),
    ("ssl.cipher.suites", Only(&[""], SUITES)),
    ("ssl.curves.list", Only(&[""], SUITES)),
    ("ssl.sigalgs.list", Only(&[""], SUITES)),
    ("ssl.crl.location", Only(&[""], SUITES)),
    (
        "ssl.enabled.protocols",
        Only(&["TLSv1.2,TLSv1.3", "TLSv1.3,TLSv1.2"], "rustls speaks TLS 1.2 and 1.3; for one of them use Tls::rustls"),
    ),
    (
        "ssl.protocol",
        Only(&["TLSv1.3", "TLSv1.2", "TLS"], "rustls speaks TLS 1.2 and 1.3; for one of them use Tls::rustls"),
    ),
    (
        "ssl.key.password",
        Only(&[""], "the key has to be there decrypted: `openssl pkey -in KEY -out PLAIN`, then leave this out"),
    ),
    ("ssl.engine.factory.class", Only(&[""], SUITES)),
    ("ssl.truststore.password", Ignore("a truststore in PEM has none")),
    ("ssl.keystore.password", Ignore("a keystore in PEM has none")),
    ("ssl.keymanager.algorithm", Ignore(OF_JAVA)),
    ("ssl.trustmanager.algorithm", Ignore(OF_JAVA)),
    ("ssl.provider", Ignore(OF_JAVA)),
    ("ssl.secure.random.implementation", Ignore(OF_JAVA)),
    ("security.providers", Ignore(OF_JAVA)),
    ("ssl.ca.certificate.stores", Ignore("the system's roots are taken where no CA is named")),
    ("ssl.providers", Ignore(OF_OPENSSL)),
    ("ssl.engine.*", Ignore(OF_OPENSSL)),
    ("ssl_engine_callback_data", Ignore(OF_OPENSSL)),
    ("ssl_key", Ignore(CALLBACKS)),
    ("ssl_certificate", Ignore(CALLBACKS)),
    ("ssl_ca", Ignore(CALLBACKS)),
    ("ssl.certificate.verify_cb", Only(&[""], SUITES)),
    ("sasl.kerberos.*", Ignore(NO_KERBEROS)),
    ("sasl.login.*", Ignore("a login is made by the connection itself, and again before its session ends")),
    ("sasl.client.callback.handler.class", Ignore(TOKENS)),
    ("sasl.oauthbearer.*", Ignore(TOKENS)),
    ("https.ca.*", Ignore(TOKENS)),
    ("enable.sasl.oauthbearer.unsecure.jwt", Ignore(TOKENS)),
    ("oauthbearer_token_refresh_cb", Ignore(TOKENS)),
    // What a program would rely on is refused.
    ("config.providers", Only(&[""], "values are taken as they are; resolve them before")),
    ("bootstrap.controllers", Only(&[""], "only brokers are spoken to; use bootstrap.servers")),
    ("enable.auto.offset.store", Only(&["true"], MANUAL_STORE)),
    (
        "offset.store.method",
        Only(&["broker"], "offsets are kept by the brokers; for a store of your own seek to what it says"),
    ),
    ("transaction.two.phase.commit.enable", Only(&["false"], "there is no two-phase commit here")),
    ("api.version.request", Only(&["true"], "versions are always asked for")),
    ("queuing.strategy", Only(&["fifo"], "records are sent in their order")),
    ("enable.gapless.guarantee", Only(&["false"], "a lost batch fails by itself; stop sending when one does")),
    ("topic.blacklist", Only(&[""], "subscribe to what is wanted instead")),
    // The rest does no harm.
    (
        "socket.connection.setup.timeout.max.ms",
        Ignore("an attempt has socket.connection.setup.timeout.ms, however many failed"),
    ),
    ("send.buffer.bytes", Ignore(SYSTEM)),
    ("receive.buffer.bytes", Ignore(SYSTEM)),
    ("socket.send.buffer.bytes", Ignore(SYSTEM)),
    ("socket.receive.buffer.bytes", Ignore(SYSTEM)),
    ("socket.keepalive.enable", Ignore(SYSTEM)),
    ("socket.nagle.disable", Ignore("TCP_NODELAY is always set")),
    ("socket.max.fails", Ignore("a connection that fails once is closed, and its requests are tried again")),
    ("socket.blocking.max.ms", Ignore(OBSOLETE)),
    ("broker.address.ttl", Ignore("names are resolved at every attempt")),
    ("broker.address.family", Ignore("all addresses of a name are tried")),
    ("reconnect.backoff.jitter.ms", Ignore("waits have a jitter of a fifth")),
    ("topic.metadata.refresh.fast.interval.ms", Ignore("a lost leader is asked for after retry.backoff.ms")),
    ("topic.metadata.refresh.fast.cnt", Ignore(OBSOLETE)),
    ("topic.metadata.refresh.sparse", Ignore("only topics in use are asked for")),
    (
        "topic.metadata.propagation.max.ms",
        Ignore("max.block.ms and default.api.timeout.ms say how long a new topic is waited for"),
    ),
    ("api.version.*", Ignore("versions are asked for within socket.connection.setup.timeout.ms")),
    ("broker.version.fallback", Ignore("versions are always asked for")),
    ("message.copy.max.bytes", Ignore("records are copied into their batch once")),
    ("queue.buffering.max.messages", Ignore("the bound is in bytes: buffer.memory")),
    ("queue.buffering.backpressure.threshold", Ignore("batches wait for room in flight")),
    ("sticky.partitioning.linger.ms", Ignore("a partition is filled up to batch.size, as in Java (KIP-794)")),
    ("compression.lz4.level", Ignore("LZ4 has one level here")),
    ("delivery.report.only.error", Ignore("a Delivery that nobody awaits costs nothing")),
    ("produce.offset.report", Ignore("every acknowledgement has its offset")),
    ("key.serializer", Ignore(BYTES)),
    ("value.serializer", Ignore(BYTES)),
    ("key.deserializer", Ignore(BYTES)),
    ("value.deserializer", Ignore(BYTES)),
    ("max.poll.records", Ignore("batches are given out as they were written; Consumer::recv gives out single records")),
    ("exclude.internal.topics", Ignore("only topics that are named are read")),
    ("group.protocol.type", Ignore("it is `consumer`")),
    ("coordinator.query.interval.ms", Ignore("a coordinator is asked for when it is not the one any more")),
    ("queued.min.messages", Ignore("the bound is in bytes, queued.max.messages.kbytes")),
    ("fetch.queue.backoff.ms", Ignore("fetching goes on as soon as there is room")),
    ("fetch.error.backoff.ms", Ignore("a failed fetch is tried again after retry.backoff.ms")),
    ("enable.partition.eof", Ignore("the end of a partition is no event")),
    ("offset.store.*", Ignore("offsets are kept by the brokers")),
    ("auto.commit.*", Ignore("see auto.commit.interval.ms")),
    ("share.*", Ignore(SHARE)),
    ("internal.*", Ignore("it is for that client's own tests")),
    ("metric.reporters", Ignore(NO_METRICS)),
    ("metrics.*", Ignore(NO_METRICS)),
    ("enable.metrics.push", Ignore("nothing is pushed (KIP-714)")),
    ("statistics.interval.ms", Ignore(NO_METRICS)),
    ("interceptor.classes", Ignore(CLASSES)),
    ("interceptors", Ignore(CLASSES)),
    ("plugin.library.paths", Ignore(CLASSES)),
    ("builtin.features", Ignore("the crate's features choose what is built")),
    ("enabled_events", Ignore(CALLBACKS)),
    ("error_cb", Ignore(CALLBACKS)),
    ("throttle_cb", Ignore(CALLBACKS)),
    ("stats_cb", Ignore(CALLBACKS)),
    ("log_cb", Ignore(CALLBACKS)),
    ("background_event_cb", Ignore(CALLBACKS)),
    ("socket_cb", Ignore(CALLBACKS)),
    ("connect_cb", Ignore(CALLBACKS)),
    ("closesocket_cb", Ignore(CALLBACKS)),
    ("open_cb", Ignore(CALLBACKS)),
    ("resolve_cb", Ignore(CALLBACKS)),
    ("consume_cb", Ignore(CALLBACKS)),
    ("rebalance_cb", Ignore("use ConsumerBuilder::on_rebalance")),
    ("offset_commit_cb", Ignore(CALLBACKS)),
    ("dr_cb", Ignore("use Delivery::on_completion")),
    ("dr_msg_cb", Ignore("use Delivery::on_completion")),
    ("partitioner_cb", Ignore("use ProducerBuilder::partitioner")),
    ("msg_order_cmp", Ignore(CALLBACKS)),
    ("opaque", Ignore(CALLBACKS)),
    ("default_topic_conf", Ignore("what it held is set by its own names")),
    ("consume.callback.max.messages", Ignore(CALLBACKS)),
    ("debug", Ignore(LOGGING)),
    ("log_level", Ignore(LOGGING)),
    ("log.*", Ignore(LOGGING)),
    ("enable.random.seed", Ignore("randomness is seeded by the system")),
];
