//! DescribeConfigs: what a topic and a node are configured to, where it comes from, and which resources there are.

use system_tests::{Raw, Value, api, value};

use crate::ask::{call, start, topic, versions, with};
use crate::code;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// What is said of a request that Kafka has no words of its own for (Errors.java).
const MALFORMED: &str = "This most likely occurs because of a request being malformed by the client library or the \
                         message was sent to an incompatible broker. See the broker logs for more details.";

/// Every topic config with its type (1 boolean, 2 string, 3 int, 5 long, 6 double, 7 list) and default: LogConfig.java.
const TOPIC_CONFIGS: [(&str, i8, &str); 33] = [
    ("cleanup.policy", 7, "delete"),
    ("compression.gzip.level", 3, "-1"),
    ("compression.lz4.level", 3, "9"),
    ("compression.type", 2, "producer"),
    ("compression.zstd.level", 3, "3"),
    ("delete.retention.ms", 5, "86400000"),
    ("file.delete.delay.ms", 5, "60000"),
    ("flush.messages", 5, "9223372036854775807"),
    ("flush.ms", 5, "9223372036854775807"),
    ("follower.replication.throttled.replicas", 7, ""),
    ("index.interval.bytes", 3, "4096"),
    ("leader.replication.throttled.replicas", 7, ""),
    ("local.retention.bytes", 5, "-2"),
    ("local.retention.ms", 5, "-2"),
    ("max.compaction.lag.ms", 5, "9223372036854775807"),
    ("max.message.bytes", 3, "1048588"),
    ("message.timestamp.after.max.ms", 5, "3600000"),
    ("message.timestamp.before.max.ms", 5, "9223372036854775807"),
    ("message.timestamp.type", 2, "CreateTime"),
    ("min.cleanable.dirty.ratio", 6, "0.5"),
    ("min.compaction.lag.ms", 5, "0"),
    ("min.insync.replicas", 3, "1"),
    ("preallocate", 1, "false"),
    ("remote.log.copy.disable", 1, "false"),
    ("remote.log.delete.on.disable", 1, "false"),
    ("remote.storage.enable", 1, "false"),
    ("retention.bytes", 5, "-1"),
    ("retention.ms", 5, "-1"), // as every topic of these tests has it
    ("segment.bytes", 3, "1073741824"),
    ("segment.index.bytes", 3, "10485760"),
    ("segment.jitter.ms", 5, "0"),
    ("segment.ms", 5, "604800000"),
    ("unclean.leader.election.enable", 1, "false"),
];

#[tokio::test]
async fn every_version_describes_a_topic() {
    // Spec B.11, B.14; DescribeConfigsResponse.json: types and documentation from v3.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for version in versions(&mut connection, api::DESCRIBE_CONFIGS).await {
        for keys in [Value::Null, value!([])] {
            let body = value!({ resources: [with(&resource(TOPIC, &topic.name), "configuration_keys", keys)] });
            let answer = call(&mut connection, api::DESCRIBE_CONFIGS, version, body).await;
            let described = &answer["results"][0];
            assert_eq!((described["error_code"].int(), described["error_message"].str()), (0, ""), "v{version}");
            assert_eq!(described["resource_type"], TOPIC);
            assert_eq!(described["resource_name"], topic.name.as_str());
            assert_eq!(described["configs"].array().len(), TOPIC_CONFIGS.len());
            for (name, kind, value) in TOPIC_CONFIGS {
                let config = described["configs"].find("name", name);
                assert_eq!(config["value"], value, "{name}");
                assert_eq!((&config["read_only"], &config["is_sensitive"]), (&false.into(), &false.into()));
                assert_eq!(config["synonyms"].array().len(), 0, "nobody asked");
                if version >= 3 {
                    assert_eq!(config["config_type"], kind, "{name}");
                    assert!(config["documentation"].is_null());
                }
            }
        }
    }
}

#[tokio::test]
async fn a_config_says_where_it_comes_from_and_what_it_would_be_otherwise() {
    // Spec B.11: sources are 1 topic and 5 default; the chain goes from the topic's own to the broker's default.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[("max.message.bytes", "777")]).await;
    let keys = ["max.message.bytes", "retention.ms", "cleanup.policy", "compression.type"];
    let described = describe_keys(&mut connection, TOPIC, &topic.name, &keys).await;
    let of = |name: &str| described["configs"].find("name", name).clone();
    assert_eq!(described["configs"].array().len(), 4);

    assert_eq!(of("max.message.bytes")["config_source"], 1);
    let chain = value!([
        { name: "max.message.bytes", value: "777", source: 1 },
        { name: "message.max.bytes", value: "1048588", source: 5 }
    ]);
    assert_eq!(of("max.message.bytes")["synonyms"], chain);
    // log.retention.ms has no default of its own, so nothing stands behind the topic's.
    assert_eq!(of("retention.ms")["synonyms"], value!([{ name: "retention.ms", value: "-1", source: 1 }]));
    assert_eq!(of("cleanup.policy")["config_source"], 5);
    assert_eq!(of("cleanup.policy")["synonyms"], value!([{ name: "log.cleanup.policy", value: "delete", source: 5 }]));
    assert_eq!(
        of("compression.type")["synonyms"],
        value!([{ name: "compression.type", value: "producer", source: 5 }])
    );
}

#[tokio::test]
async fn a_name_that_is_no_config_is_left_out() {
    // Spec B.11.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let described = describe_keys(&mut connection, TOPIC, &topic.name, &["no.such", "segment.ms", ""]).await;
    assert_eq!(described["error_code"], code::NONE);
    assert_eq!(described["configs"].array().len(), 1);
    assert_eq!(described["configs"][0]["name"], "segment.ms");
}

#[tokio::test]
async fn documentation_comes_to_those_who_ask() {
    // KIP-569.
    let (broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let asked = value!([with(&resource(TOPIC, &topic.name), "configuration_keys", value!(["retention.bytes"]))]);
    let body = value!({ resources: asked, include_documentation: true });
    let answer = call(&mut connection, api::DESCRIBE_CONFIGS, 4, body).await;
    let config = &answer["results"][0]["configs"][0];
    assert_eq!(config["name"], "retention.bytes");
    // The mock has the field and not Kafka's books.
    if broker.is_real() {
        assert!(config["documentation"].str().starts_with("This configuration controls the maximum size"));
    }
}

#[tokio::test]
async fn a_refused_resource_says_why_and_has_no_configs() {
    // Spec B.11; ConfigHelper.handleDescribeConfigsRequest.
    let (_broker, mut connection) = start().await;
    let node = node_id(&mut connection).await;
    let other = node + 1_000;
    let other_broker = format!("Unexpected broker id, expected {node} or empty string, but received {other}");
    let characters = "'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'";
    for (kind, name, error_code, message) in [
        (TOPIC, "fidelity-nowhere", code::UNKNOWN_TOPIC_OR_PARTITION, ""),
        (TOPIC, "a b", code::INVALID_TOPIC_EXCEPTION, &*format!("Topic name is invalid: {characters}")),
        (TOPIC, "", code::INVALID_TOPIC_EXCEPTION, "Topic name is invalid: the empty string is not allowed"),
        (BROKER, &other.to_string(), code::INVALID_REQUEST, &other_broker),
        (BROKER, "x", code::INVALID_REQUEST, "Broker id must be an integer, but it is: x"),
        (0, "x", code::INVALID_REQUEST, MALFORMED),
        (1, "x", code::INVALID_REQUEST, MALFORMED),
        (99, "x", code::INVALID_REQUEST, MALFORMED),
    ] {
        let refused = describe(&mut connection, vec![resource(kind, name)]).await[0].clone();
        assert_eq!((refused["error_code"].int(), refused["error_message"].str()), (error_code.into(), message));
        assert_eq!((refused["resource_type"].int(), refused["resource_name"].str()), (kind.into(), name));
        assert_eq!(refused["configs"].array().len(), 0);
    }
}

#[tokio::test]
async fn each_resource_has_an_answer_of_its_own_in_the_order_of_the_request() {
    // Spec B.11; a resource asked for twice is told twice.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let there = resource(TOPIC, &topic.name);
    let asked = vec![there.clone(), resource(TOPIC, "fidelity-nowhere"), there];
    let answer = describe(&mut connection, asked).await;
    let codes: Vec<_> = answer.array().iter().map(|result| result["error_code"].int()).collect();
    assert_eq!(codes, [0, code::UNKNOWN_TOPIC_OR_PARTITION.into(), 0]);
    assert_eq!(describe(&mut connection, vec![]).await.array().len(), 0);
}

#[tokio::test]
async fn a_node_tells_its_own_configs() {
    // Spec B.11: read-only unless it can change while the node runs; a password is never told.
    let (_broker, mut connection) = start().await;
    let node = node_id(&mut connection).await;
    let keys = ["node.id", "num.partitions", "message.max.bytes", "compression.type", "ssl.keystore.password"];
    let described = describe_keys(&mut connection, BROKER, &node.to_string(), &keys).await;
    assert_eq!(described["error_code"], code::NONE);
    let of = |name: &str| described["configs"].find("name", name).clone();
    assert_eq!((&of("node.id")["value"], of("node.id")["config_source"].int()), (&node.to_string().into(), 4));
    assert_eq!(of("node.id")["read_only"], true);
    assert_eq!((of("num.partitions")["value"].str(), &of("num.partitions")["read_only"]), ("1", &true.into()));
    assert_eq!((of("message.max.bytes")["value"].str(), of("message.max.bytes")["config_type"].int()), ("1048588", 3));
    assert_eq!(of("message.max.bytes")["read_only"], false);
    let password = of("ssl.keystore.password");
    assert!(password["value"].is_null());
    assert_eq!((&password["is_sensitive"], password["config_type"].int()), (&true.into(), 9));
}

#[tokio::test]
async fn the_node_without_a_name_stands_for_the_defaults_of_all() {
    // Spec B.11: only what was set for the whole cluster.
    let (_broker, mut connection) = start().await;
    let described = describe(&mut connection, vec![resource(BROKER, "")]).await[0].clone();
    assert_eq!(described["error_code"], code::NONE);
    assert!(described["configs"].array().iter().all(|config| config["config_source"] == 3), "{described:?}");
}

fn resource(kind: i8, name: &str) -> Value {
    value!({ resource_type: kind, resource_name: name, configuration_keys: null })
}

async fn describe(connection: &mut Raw, resources: Vec<Value>) -> Value {
    call(connection, api::DESCRIBE_CONFIGS, 4, value!({ resources: resources })).await["results"].clone()
}

async fn describe_keys(connection: &mut Raw, kind: i8, name: &str, keys: &[&str]) -> Value {
    let keys: Vec<_> = keys.iter().copied().map(Value::from).collect();
    let resources = value!([with(&resource(kind, name), "configuration_keys", keys)]);
    let body = value!({ resources: resources, include_synonyms: true });
    call(connection, api::DESCRIBE_CONFIGS, 4, body).await["results"][0].clone()
}

async fn node_id(connection: &mut Raw) -> i64 {
    connection.call(api::DESCRIBE_CLUSTER, 0, value!({})).await["brokers"][0]["broker_id"].int()
}
