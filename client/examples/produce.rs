//! Sends ten records and prints where they went: `cargo run --example produce`. Needs nothing: it starts a mock broker of its
//! own, unless `KAFKA_BOOTSTRAP=host:port` names a Kafka.

use std::time::Duration;

use async_kafka::{Compression, Kafka, Record, Result};
use mockbroker::MockBroker;

#[tokio::main]
async fn main() -> Result<()> {
    let mock = MockBroker::start().await;
    let bootstrap = std::env::var("KAFKA_BOOTSTRAP").unwrap_or_else(|_| mock.bootstrap_servers().to_owned());

    let kafka = Kafka::builder(bootstrap).client_id("example").connect().await?;
    let producer = kafka.producer().compression(Compression::Lz4).build().await?;

    // `send` fixes the order and returns; the deliveries complete when the broker has acknowledged.
    let mut deliveries = Vec::new();
    for number in 0..10 {
        let record = Record::to("greetings").key(format!("key-{number}")).value(format!("greeting {number}"));
        deliveries.push(producer.send(record).await?);
    }
    for delivery in deliveries {
        let stored = delivery.await?;
        println!("{}-{} offset {}", stored.topic, stored.partition, stored.offset.unwrap_or(-1));
    }

    let report = producer.close(Duration::from_secs(10)).await?;
    println!("{report:?}");
    Ok(())
}
