//! Two members of a group share four partitions; then one leaves and the other takes over: `cargo run --example
//! consume_group`. Needs nothing: it starts a mock broker of its own.

use std::time::Duration;

use async_kafka::{Consumer, Kafka, OffsetReset, Rebalance, Record, Result};
use mockbroker::MockBroker;

const LIMIT: Duration = Duration::from_secs(10);

async fn member(kafka: &Kafka, name: &'static str) -> Result<Consumer> {
    let builder = kafka.consumer("billing").topics(["orders"]).auto_offset_reset(OffsetReset::Earliest);
    let builder =
        builder.heartbeat_interval(Duration::from_millis(100)).on_rebalance(move |event: Rebalance| async move {
            let partitions: Vec<_> = event.partitions().iter().map(ToString::to_string).collect();
            println!("{name}: {:?} {}", event.kind(), partitions.join(" "));
        });
    builder.build().await
}

async fn read(name: &'static str, consumer: Consumer) -> Result<()> {
    while let Some(record) = consumer.recv().await? {
        let value = String::from_utf8_lossy(record.value().unwrap_or_default());
        println!("{name}: {}-{} offset {}: {value}", record.topic(), record.partition(), record.offset());
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let mock = MockBroker::builder().topic("orders", 4).config("group.initial.rebalance.delay.ms", "0").start().await;
    let kafka = Kafka::builder(mock.bootstrap_servers()).connect().await?;
    let producer = kafka.producer().build().await?;
    let send = async |from: i32| {
        let record = |number: i32| Record::to("orders").key(number.to_string()).value(format!("order {number}"));
        producer.send_all((from..from + 8).map(record)).await.into_iter().collect::<Result<Vec<_>>>()
    };

    let (first, second) = (member(&kafka, "first").await?, member(&kafka, "second").await?);
    let (one, other) = (tokio::spawn(read("first", first.clone())), tokio::spawn(read("second", second.clone())));
    while first.assignment().len() != 2 || second.assignment().len() != 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    send(0).await?;

    second.close(LIMIT).await?; // commits what it has read, gives its partitions back, leaves
    while first.assignment().len() != 4 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    send(8).await?;
    first.close(LIMIT).await?;
    one.await.expect("it did not panic")?;
    other.await.expect("it did not panic")
}
