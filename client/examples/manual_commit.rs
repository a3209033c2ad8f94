//! Commits a record when its work is done, and shows what comes again when the program fails before: `cargo run --example
//! manual_commit`. Needs nothing: it starts a mock broker of its own.

use std::time::Duration;

use async_kafka::{Kafka, OffsetReset, Record, Result};
use mockbroker::MockBroker;

#[tokio::main]
async fn main() -> Result<()> {
    let mock = MockBroker::builder().topic("orders", 1).config("group.initial.rebalance.delay.ms", "0").start().await;
    let kafka = Kafka::builder(mock.bootstrap_servers()).connect().await?;
    let producer = kafka.producer().build().await?;
    for outcome in producer.send_all((0..5).map(|n| Record::to("orders").value(format!("order {n}")))).await {
        outcome?;
    }

    let builder = || {
        let builder = kafka.consumer("billing").topics(["orders"]).auto_offset_reset(OffsetReset::Earliest);
        builder.auto_commit_interval(None) // commits are ours
    };
    let consumer = builder().build().await?;
    for _ in 0..3 {
        let record = consumer.recv().await?.expect("the consumer is open");
        println!("working on {}", String::from_utf8_lossy(record.value().unwrap_or_default()));
        if record.offset() == 2 {
            println!("failed, and nothing is committed for it");
            break;
        }
        consumer.commit_record(&record).await?; // waits for the group's answer
    }
    consumer.close(Duration::from_secs(10)).await?;

    let again = builder().build().await?;
    let record = again.recv().await?.expect("the consumer is open");
    println!("again: {}", String::from_utf8_lossy(record.value().unwrap_or_default()));
    again.close(Duration::from_secs(10)).await
}
