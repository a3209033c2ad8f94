//! How to test a program that uses Kafka, without Kafka: `cargo run --example testing_your_app`. The broker lives in the
//! process, and what went wrong is provoked by the line between it and the client.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use async_kafka::{Kafka, Offset, Record, Result};
use mockbroker::MockBroker;
use tokio::net::TcpStream;

/// What is to be tested: it sends a greeting and wants to know that it arrived.
async fn greet(kafka: &Kafka, name: &str) -> Result<i64> {
    let producer = kafka.producer().build().await?;
    let stored = producer.send(Record::to("greetings").value(format!("hello {name}"))).await?.await?;
    Ok(stored.offset.expect("acks=all tells the offset"))
}

#[tokio::main]
async fn main() -> Result<()> {
    let broker = MockBroker::builder().topic("greetings", 1).start().await;

    // The first two attempts to connect fail. The client dials by any function that we give it.
    let attempts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&attempts);
    let kafka = Kafka::builder(broker.bootstrap_servers()).dial(move |address| {
        let attempt = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            match attempt {
                0 | 1 => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
                _ => TcpStream::connect((&*address.host, address.port)).await,
            }
        }
    });
    let kafka = kafka.connect().await?;
    assert_eq!(greet(&kafka, "world").await?, 0);
    assert!(attempts.load(Ordering::Relaxed) > 2);

    let consumer = kafka.assigned_consumer().assign("greetings", 0, Offset::Earliest).build().await?;
    let record = consumer.recv().await?.expect("the consumer is open");
    assert_eq!(record.value(), Some(&b"hello world"[..]));
    broker.assert_healthy();
    println!("the greeting arrived after {} attempts to connect", attempts.load(Ordering::Relaxed));
    Ok(())
}
