//! Sends ten records and prints where they went: `KAFKA_BOOTSTRAP=host:port cargo run --example produce [topic]`.

use std::time::Duration;

use async_kafka::{Compression, Kafka, Record, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let bootstrap = std::env::var("KAFKA_BOOTSTRAP").unwrap_or_else(|_| "localhost:9092".to_owned());
    let topic = std::env::args().nth(1).unwrap_or_else(|| "greetings".to_owned());

    let kafka = Kafka::builder(bootstrap).client_id("example").connect().await?;
    let producer = kafka.producer().compression(Compression::Lz4).build().await?;

    // `send` fixes the order and returns; the deliveries complete when the broker has acknowledged.
    let mut deliveries = Vec::new();
    for number in 0..10 {
        let record = Record::to(topic.as_str()).key(format!("key-{number}")).value(format!("greeting {number}"));
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
