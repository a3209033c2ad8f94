//! Makes a topic, fills it and looks at it from all sides: `cargo run --example admin`. Needs nothing: it starts a mock broker
//! of its own, unless `KAFKA_BOOTSTRAP=host:port` names a Kafka, from which it takes away again what it has made.

use std::{sync::Arc, time::Duration};

use async_kafka::{
    Backoff, IsolationLevel, Kafka, Record, Result, TopicPartition,
    admin::{ConfigChange, ConfigResource, GroupFilter, GroupOffset, NewPartitions, NewTopic, OffsetSpec},
};
use mockbroker::MockBroker;

#[tokio::main]
async fn main() -> Result<()> {
    let mock = MockBroker::start().await;
    let bootstrap = std::env::var("KAFKA_BOOTSTRAP").unwrap_or_else(|_| mock.bootstrap_servers().to_owned());
    let backoff = Backoff { initial: Duration::from_millis(50), maximum: Duration::from_secs(1) };
    let kafka = Kafka::builder(bootstrap).retry_backoff(backoff).connect().await?;
    let admin = kafka.admin().timeout(Duration::from_secs(20));

    let cluster = admin.describe_cluster().await?;
    let nodes: Vec<_> = cluster.nodes.keys().map(ToString::to_string).collect();
    println!("cluster {} has the nodes {}", said(cluster.cluster_id), nodes.join(", "));

    // One result for each resource: the second name is refused, the first one does not mind.
    let topic: Arc<str> = format!("orders-{}", std::process::id()).into();
    let wanted =
        [NewTopic::new(Arc::clone(&topic)).partitions(2).config("retention.ms", "86400000"), NewTopic::new("a/b")];
    for (name, result) in admin.create_topics(wanted).await {
        match result {
            Ok(created) => println!("created {name} with {} partitions", said(created.partitions)),
            Err(error) => println!("{error}"),
        }
    }
    admin.create_partitions([NewPartitions::total(Arc::clone(&topic), 3)]).await[&topic].clone()?;
    let of_topic = ConfigResource::Topic(Arc::clone(&topic));
    let changes = vec![ConfigChange::set("retention.ms", "3600000"), ConfigChange::append("cleanup.policy", "compact")];
    admin.alter_configs([(of_topic.clone(), changes)]).await[&of_topic].clone()?;
    for (key, entry) in admin.describe_configs([of_topic.clone()]).await[&of_topic].clone()? {
        if !entry.is_default() {
            println!("  {key} = {} ({:?})", said(entry.value.as_deref()), entry.source);
        }
    }

    let producer = kafka.producer().build().await?;
    let records = (0..30).map(|n| Record::to(Arc::clone(&topic)).key(format!("customer-{n}")).value("two coffees"));
    for stored in producer.send_all(records).await {
        stored?;
    }
    let partitions = (0..3).map(|partition| TopicPartition::new(Arc::clone(&topic), partition));
    let latest = partitions.clone().map(|of| (of, OffsetSpec::Latest));
    for (of, listed) in admin.list_offsets(latest, IsolationLevel::ReadUncommitted).await {
        println!("{of} ends at {}", said(listed?.offset));
    }

    // A group that begins where the program says, before any of its members is there.
    let group = format!("billing-{}", std::process::id());
    let offsets = partitions.map(|of| (of, GroupOffset::new(1).metadata("without the first")));
    for (of, result) in admin.alter_group_offsets(group.as_str(), offsets).await {
        println!("{of} of {group}: {}", if result.is_ok() { "set" } else { "refused" });
    }
    for listed in admin.list_groups(&GroupFilter::all()).await.complete()? {
        println!("group {} is {}", listed.group_id, listed.state);
    }

    admin.delete_groups([group.as_str()]).await[group.as_str()].clone()?;
    admin.delete_topics([&*topic]).await[&topic].clone()
}

/// What a broker said; older ones leave some things out.
fn said(what: Option<impl std::fmt::Display>) -> String {
    what.map_or_else(|| "(not told)".to_owned(), |what| what.to_string())
}
