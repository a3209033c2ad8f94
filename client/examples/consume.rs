//! Prints every record of a topic from the beginning and waits for more:
//! `KAFKA_BOOTSTRAP=host:port cargo run --example consume [topic]`.

use async_kafka::{Kafka, Offset, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let bootstrap = std::env::var("KAFKA_BOOTSTRAP").unwrap_or_else(|_| "localhost:9092".to_owned());
    let topic = std::env::args().nth(1).unwrap_or_else(|| "greetings".to_owned());

    let kafka = Kafka::builder(bootstrap).client_id("example").connect().await?;
    let mut builder = kafka.assigned_consumer();
    for partition in 0..kafka.partition_count(&topic).await? {
        builder = builder.assign(topic.as_str(), partition as i32, Offset::Earliest);
    }
    let consumer = builder.build().await?;

    while let Some(batch) = consumer.next_batch().await? {
        for record in batch.records() {
            let key = String::from_utf8_lossy(record.key().unwrap_or_default());
            let value = String::from_utf8_lossy(record.value().unwrap_or_default());
            println!("{}-{} @{}: {key} = {value}", record.topic(), record.partition(), record.offset());
        }
    }
    Ok(())
}
