//! From a subscription to its first record.

use std::time::Duration;

use async_kafka::{Backoff, Kafka, OffsetReset, Record};
use mockbroker::MockBroker;
use tokio::sync::mpsc;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn no_backoff_stands_between_two_subscriptions_and_their_records() {
    // On a new broker and with its defaults. A client that had to come back for a coordinator, or for metadata that it has
    // just got, would come back in an hour.
    let broker = MockBroker::builder().topic("orders", 2).start().await;
    let connect = async || {
        let kafka = Kafka::builder(broker.bootstrap_servers()).retry_backoff(Backoff { initial: HOUR, maximum: HOUR });
        kafka.connect().await.expect("the broker answers")
    };
    let (tell, mut told) = mpsc::unbounded_channel();
    for member in 0..2 {
        let builder = connect().await.consumer("billing").topics(["orders"]).auto_offset_reset(OffsetReset::Earliest);
        let consumer = builder.heartbeat_interval(Duration::from_millis(100)).build().await.expect("valid settings");
        let tell = tell.clone();
        tokio::spawn(async move {
            while let Ok(Some(record)) = consumer.recv().await {
                if tell.send((member, record.partition())).is_err() {
                    return;
                }
            }
        });
    }
    // A member that is alone for a moment reads what there is, so there is always more.
    let producer = connect().await.producer().build().await.expect("valid settings");
    let feeder = tokio::spawn(async move {
        loop {
            for partition in 0..2 {
                let record = Record::to("orders").partition(partition).value("x");
                producer.send(record).await.expect("acknowledged");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let mut waiting = vec![0, 1];
    while !waiting.is_empty() {
        let (member, _) = timeout(LIMIT, told.recv()).await.expect("both have a record in time").expect("they read");
        waiting.retain(|waits| *waits != member);
    }
    feeder.abort();
}
