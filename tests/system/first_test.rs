//! The test that the README shows, word for word.

#[tokio::test]
async fn what_is_sent_is_read() -> async_kafka::Result<()> {
    let broker = mockbroker::MockBroker::builder().topic("orders", 1).start().await;
    let kafka = async_kafka::Kafka::builder(broker.bootstrap_servers()).connect().await?;
    let producer = kafka.producer().build().await?;
    producer.send(async_kafka::Record::to("orders").key("k").value("v")).await?.await?;
    let consumer = kafka.assigned_consumer().assign("orders", 0, async_kafka::Offset::Earliest).build().await?;
    let record = consumer.recv().await?.expect("the consumer is open");
    assert_eq!(record.value(), Some(&b"v"[..]));
    Ok(())
}

#[test]
fn the_readme_shows_this_test() {
    let source = include_str!("first_test.rs");
    let shown = &source[source.find("#[tokio::test]").expect("it is there")..];
    let shown = &shown[..shown.find("\n}\n").expect("it ends") + 3];
    assert!(include_str!("../../README.md").contains(shown), "put this test into README.md:\n{shown}");
}
