//! Every name of Java's clients and of librdkafka, by the lists that they print of themselves.

use super::*;

/// Whose, name, type or range, default.
fn configs() -> impl Iterator<Item = [&'static str; 4]> {
    let lines = include_str!("../../../fixtures/kafka/client_configs.txt").lines();
    lines.filter(|line| !line.starts_with('#')).map(|line| {
        let mut cells = line.split('\t');
        std::array::from_fn(|_| cells.next().unwrap_or_default())
    })
}

/// The page of all names, `client/PROPERTIES.md`, as it should be.
fn page() -> String {
    let mut page = "# Properties of Java's clients and of librdkafka\n\nWhat `Kafka::from_properties` makes of every name that \
                    Kafka 4.3's Java clients or librdkafka 2.12 have. Made from the table that the code goes by, with `just \
                    tables`.\n"
        .to_owned();
    let mut section = |title: &str, rows: Vec<String>| {
        page.push_str(&format!("\n## {title}\n\n{}\n", rows.join("\n")));
    };
    let taken = |rule: &Rule| matches!(rule, Rule::Take(_));
    section("Taken", table::all().filter(|(_, rule)| taken(rule)).map(|(name, _)| format!("- `{name}`")).collect());
    let rows = |line: fn(&str, &Rule) -> Option<String>| {
        table::all().filter_map(|(name, rule)| line(name, rule)).collect::<Vec<_>>()
    };
    section(
        "Taken, with a difference",
        rows(|name, rule| match rule {
            Rule::Adapt(_, how) => Some(format!("- `{name}`: {how}")),
            _ => None,
        }),
    );
    section(
        "Refused, but for values that change nothing",
        rows(|name, rule| match rule {
            Rule::Only([""], why) => Some(format!("- `{name}`: {why}")),
            Rule::Only(harmless, why) => Some(format!("- `{name}` (may be `{}`): {why}", harmless.join("` or `"))),
            _ => None,
        }),
    );
    section(
        "Without effect",
        rows(|name, rule| match rule {
            Rule::Ignore(why) => Some(format!("- `{name}`: {why}")),
            _ => None,
        }),
    );
    page
}

#[test]
fn the_page_of_names_is_that_of_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/PROPERTIES.md");
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(path, page()).unwrap();
    }
    assert!(std::fs::read_to_string(path).unwrap() == page(), "PROPERTIES.md is not that of the table: `just tables`");
}

fn read_all(properties: &[(&str, &str)]) -> Result<Read> {
    read(properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn shown(properties: &[(&str, &str)]) -> String {
    let settings = read_all(properties).unwrap().settings;
    let Settings { client, producer, partitioner, transaction_timeout, consumer, group, .. } = settings;
    format!("{client:?} {producer:?} {partitioner:?} {transaction_timeout:?} {consumer:?} {group:?}")
}

#[test]
fn every_name_has_its_rule_and_no_rule_is_for_a_name_that_nobody_has() {
    let names: Vec<_> = configs().map(|[_, name, ..]| name).collect();
    assert!(names.len() > 400, "{}", names.len());
    let without: Vec<_> = names.iter().filter(|name| rule(name).is_none()).collect();
    assert!(without.is_empty(), "what becomes of {without:?}?");
    let idle = table::all().map(|(known, _)| *known).filter(|known| match known.strip_suffix('*') {
        Some(prefix) => !names.iter().any(|name| name.starts_with(prefix)),
        None => !names.contains(known),
    });
    assert_eq!(idle.collect::<Vec<_>>(), [""; 0], "nobody has such a property");
}

#[test]
fn javas_defaults_are_ours() {
    // Where ours is another on purpose, its field says why.
    const OTHER: &[&str] = &["client.id", "enable.idempotence"];
    let ours = shown(&[]);
    let mut compared = 0;
    for [whose, name, _, default] in configs() {
        let of_java = ["java-producer", "java-consumer"].contains(&whose);
        if !of_java || default.starts_with('<') || OTHER.contains(&name) || name == "bootstrap.servers" {
            continue;
        }
        assert_eq!(shown(&[(name, default)]), ours, "{name}={default}");
        compared += 1;
    }
    assert!(compared > 130, "{compared}");
    assert_ne!(shown(&[("linger.ms", "6")]), ours, "the comparison sees a difference");
}

#[test]
fn librdkafkas_defaults_are_taken() {
    for [whose, name, _, default] in configs() {
        if whose.starts_with("librdkafka") && !default.is_empty() {
            read_all(&[(name, default)]).map(drop).unwrap_or_else(|error| panic!("{name}={default}: {error}"));
        }
    }
}

#[test]
fn values_that_cannot_be_meant_are_refused_with_what_to_do() {
    for (name, value, advice) in [
        ("linger.ms", "5ms", "milliseconds"),
        ("linger.ms", "-1", "milliseconds"),
        ("acks", "2", "one of all, -1, 1, 0"),
        ("enable.idempotence", "yes", "true or false"),
        ("batch.size", "16k", "a number from 0"),
        ("compression.type", "brotli", "none, gzip, snappy, lz4, zstd"),
        ("auto.offset.reset", "newest", "earliest"),
        ("auto.offset.reset", "by_duration:1 day", "by_duration:P1DT2H"),
        ("isolation.level", "serializable", "read_committed"),
        ("partition.assignment.strategy", "range,com.example.Mine", "cooperative-sticky"),
        ("partitioner.class", "com.example.Mine", "ProducerBuilder::partitioner"),
        ("security.protocol", "TLS", "SASL_SSL"),
        ("ssl.endpoint.identification.algorithm", "", "Tls::server_name"),
        ("enable.ssl.certificate.verification", "false", "always verified"),
        ("ssl.cipher.suites", "TLS_AES_128_GCM_SHA256", "Tls::rustls"),
        ("ssl.key.password", "secret", "openssl pkey"),
        ("enable.auto.offset.store", "false", "commit_record"),
        ("offset.store.method", "file", "kept by the brokers"),
        ("bootstrap.servers", " , ", "host:port"),
        ("client.dns.lookup", "resolve_canonical_bootstrap_servers_only", "leave it out"),
    ] {
        let error = read_all(&[(name, value)]).unwrap_err();
        assert!(matches!(&error, Error::Config { setting, .. } if *setting == name), "{error:?}");
        assert!(error.to_string().contains(advice), "{error}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    for properties in [
        &[("enable.idempotence", "true"), ("acks", "1")][..],
        &[("delivery.timeout.ms", "1000")],
        &[("fetch.max.wait.ms", "30000")],
        &[("security.protocol", "SASL_SSL")],
        &[("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "PLAIN")],
        &[("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "PLAIN"), ("sasl.username", "app")],
        &[("security.protocol", "SSL"), ("ssl.truststore.location", "/nowhere/store.jks")],
        &[("security.protocol", "SSL"), ("ssl.ca.location", "/nowhere/ca.pem")],
        &[("security.protocol", "SSL"), ("ssl.key.pem", "-----BEGIN PRIVATE KEY-----")],
    ] {
        read_all(properties).map(|read| panic!("{properties:?}: {read:?}")).unwrap_err();
    }
}

#[test]
fn what_is_ignored_different_or_unknown_is_said() {
    let read = read_all(&[
        ("max.poll.records", "100"),
        ("key.serializer", "StringSerializer"),
        ("queued.max.messages.kbytes", "1024"),
        ("lingr.ms", "5"),
        ("what.is.this", "1"),
    ]);
    let read = read.unwrap();
    let find = |name: &str| read.notes.iter().find(|note| note.name == name).unwrap();
    assert_eq!(find("max.poll.records").kind, PropertyNoteKind::Ignored);
    assert!(find("key.serializer").text.contains("bytes"));
    assert_eq!(find("queued.max.messages.kbytes").kind, PropertyNoteKind::Different);
    assert_eq!(read.settings.consumer.prefetch_bytes, 1 << 20);
    assert_eq!(
        find("lingr.ms").to_string(),
        "lingr.ms (unknown): neither Java's clients nor librdkafka have it; is it linger.ms?"
    );
    assert!(!find("what.is.this").text.contains("is it"));
    // The one name that only librdkafka has tells where the rest comes from.
    assert_eq!(find("partitioner").kind, PropertyNoteKind::Default);
    assert!(find("partitioner").text.contains("CRC-32"));
    let of_java = read_all(&[("linger.ms", "5"), ("acks", "all")]).unwrap();
    assert_eq!(of_java.notes, []);
}

#[test]
fn both_dialects_say_the_same() {
    let java = [
        ("max.request.size", "2000000"),
        ("fetch.max.wait.ms", "100"),
        ("compression.type", "zstd"),
        ("compression.zstd.level", "7"),
        ("enable.auto.commit", "false"),
        ("partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"),
        ("auto.offset.reset", "earliest"),
        ("delivery.timeout.ms", "60000"),
    ];
    let librdkafka = [
        ("message.max.bytes", "2000000"),
        ("fetch.wait.max.ms", "100"),
        ("compression.codec", "zstd"),
        ("compression.level", "7"),
        ("auto.commit.enable", "false"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("auto.offset.reset", "smallest"),
        ("message.timeout.ms", "60000"),
    ];
    assert_eq!(shown(&java), shown(&librdkafka));
    assert!(shown(&java).contains("compression_level: Some(7)"));
}

#[test]
#[cfg(all(feature = "tls", feature = "sasl"))]
fn tls_and_login_are_taken_in_both_dialects() {
    let tls = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/tls/");
    let (ca, chain, key) = (format!("{tls}ca.pem"), format!("{tls}client.pem"), format!("{tls}client.key"));
    let jaas = "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"app\" password=\"secret\";";
    let java = [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.jaas.config", jaas),
        ("ssl.truststore.type", "PEM"),
        ("ssl.truststore.location", &*ca),
        ("ssl.keystore.type", "PEM"),
        ("ssl.keystore.certificate.chain", &*std::fs::read_to_string(&chain).unwrap().replace('\n', " ")),
        ("ssl.keystore.key", &*std::fs::read_to_string(&key).unwrap()),
    ];
    let librdkafka = [
        ("security.protocol", "sasl_ssl"),
        ("sasl.mechanisms", "SCRAM-SHA-512"),
        ("sasl.username", "app"),
        ("sasl.password", "secret"),
        ("ssl.ca.location", &*ca),
        ("ssl.certificate.location", &*chain),
        ("ssl.key.location", &*key),
    ];
    for properties in [&java[..], &librdkafka[..]] {
        let shown = shown(properties);
        assert!(shown.contains("roots: \"pem\", client_certificate: true"), "{shown}");
        assert!(shown.contains("mechanism: \"SCRAM-SHA-512\", user: Some(\"app\")"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }
    // Without an encrypted protocol they have no effect, which is said.
    let read = read_all(&librdkafka[1..]).unwrap();
    assert!(read.settings.client.tls.is_none() && read.settings.client.sasl.is_none());
    assert_eq!(read.notes.iter().filter(|note| note.name == "security.protocol").count(), 2);
}

#[test]
#[cfg(feature = "sasl")]
fn a_token_comes_from_a_function_and_not_from_properties() {
    let read = read_all(&[("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "OAUTHBEARER")]).unwrap();
    assert!(read.needs_token);
    assert!(read.notes[0].text.contains("Sasl::oauthbearer"));
}
