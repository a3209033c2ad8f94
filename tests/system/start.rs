//! From a subscription to its first record.

use std::time::Duration;

use async_kafka::{Backoff, Kafka, OffsetReset, Record};
use mockbroker::MockBroker;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn no_backoff_stands_between_a_subscription_and_its_first_record() {
    // On a new broker and with its defaults. A client that had to come back for a coordinator, or for metadata that it has
    // just got, would come back in an hour.
    let broker = MockBroker::builder().topic("orders", 2).start().await;
    let connect = async || {
        let kafka = Kafka::builder(broker.bootstrap_servers()).retry_backoff(Backoff { initial: HOUR, maximum: HOUR });
        kafka.connect().await.expect("the broker answers")
    };
    let producer = connect().await.producer().build().await.expect("valid settings");
    producer.send(Record::to("orders").value("x")).await.expect("acknowledged");
    let builder = connect().await.consumer("billing").topics(["orders"]).auto_offset_reset(OffsetReset::Earliest);
    let consumer = builder.build().await.expect("valid settings");
    let record = timeout(LIMIT, consumer.recv()).await.expect("in time").expect("it reads").expect("it goes on");
    assert_eq!(record.value(), Some(&b"x"[..]));
}
