//! What a producer does about brokers that take nothing and topics that nobody uses.

use std::time::Duration;

use async_kafka::{Kafka, Producer, Record};
use mockbroker::{MockBroker, NodeId};

use super::{line, simulate};

/// Two nodes, each of which leads one partition of `t`.
async fn two_nodes() -> (MockBroker, Kafka, [NodeId; 2]) {
    let broker = MockBroker::builder().nodes(2).in_memory().topic("t", 2).topic("seldom", 1).start().await;
    let nodes: [NodeId; 2] = broker.node_ids().try_into().expect("two nodes");
    for (partition, node) in (0..).zip(nodes) {
        broker.move_leader("t", partition, node);
    }
    let kafka = line::Record::default().client(&broker).metadata_max_age(Duration::from_secs(5)).connect().await;
    (broker, kafka.expect("the mock answers"), nodes)
}

/// Every record is a batch of its own, so that each goes where the producer chooses for it alone.
async fn one_by_one(kafka: &Kafka, availability_timeout: Duration) -> Producer {
    let producer = kafka.producer().batch_records(1).batch_size(1).linger(Duration::ZERO);
    producer.availability_timeout(availability_timeout).build().await.expect("valid settings")
}

/// Of so many records, how many are not acknowledged within a tenth of a second.
async fn strays(producer: &Producer, records: usize) -> usize {
    let mut strays = 0;
    for _ in 0..records {
        let delivery = producer.send(Record::to("t").value("x")).await.expect("room");
        let answer = tokio::time::timeout(Duration::from_millis(100), delivery).await;
        strays += usize::from(answer.map(|delivered| delivered.expect("acknowledged")).is_err());
    }
    strays
}

/// How many of a hundred records go to a broker that has taken nothing for two seconds, and how many when it is back.
async fn strays_while_a_line_is_cut(availability_timeout: Duration) -> (usize, usize) {
    let (broker, kafka, nodes) = two_nodes().await;
    let producer = one_by_one(&kafka, availability_timeout).await;
    assert_eq!(strays(&producer, 20).await, 0, "both nodes are well");
    let cut = broker.node(nodes[1]).partition();
    // Some of these wait for the node that is cut off: more than may be in flight.
    let before = strays(&producer, 30).await;
    assert!(before > 0, "the broker is not known to be away yet");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let meanwhile = strays(&producer, 100).await;
    cut.heal();
    producer.flush().await.expect("everything is settled");
    (meanwhile, strays(&producer, 100).await)
}

#[test]
fn a_broker_that_takes_nothing_for_the_availability_timeout_gets_no_more_records() {
    let (meanwhile, after) = simulate(3, strays_while_a_line_is_cut(Duration::from_secs(1)));
    assert_eq!((meanwhile, after), (0, 0));
}

#[test]
fn without_an_availability_timeout_a_broker_that_takes_nothing_gets_records_as_its_queue_allows() {
    let (meanwhile, after) = simulate(3, strays_while_a_line_is_cut(Duration::ZERO));
    assert!(meanwhile > 0, "its longer queue makes it unlikely, not impossible");
    assert_eq!(after, 0);
}

#[test]
fn a_broker_that_was_left_out_gets_records_again() {
    simulate(5, async {
        let (broker, kafka, nodes) = two_nodes().await;
        let producer = one_by_one(&kafka, Duration::from_secs(1)).await;
        let cut = broker.node(nodes[1]).partition();
        strays(&producer, 30).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        cut.heal();
        producer.flush().await.expect("everything is settled");
        let mark = broker.journal().mark();
        assert_eq!(strays(&producer, 100).await, 0);
        for node in nodes {
            let count = broker.journal().produce().node(node).since(mark).count();
            assert!(count > 20, "node {node} had {count} of a hundred requests");
        }
    });
}

#[test]
fn a_topic_that_nobody_sends_to_is_looked_up_no_more_until_somebody_does() {
    simulate(1, async {
        let (broker, kafka, _) = two_nodes().await;
        let producer =
            kafka.producer().metadata_max_idle(Duration::from_secs(10)).build().await.expect("valid settings");
        let send = async |topic: &str| {
            producer.send(Record::to(topic).value("x")).await.expect("room").await.expect("acknowledged");
        };
        let asked = |mark: u64| {
            let of = |topic| broker.journal().metadata().topic(topic).since(mark).count();
            (of("t"), of("seldom"))
        };
        let often = async |secs: u64| {
            for _ in 0..secs {
                send("t").await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        send("seldom").await;
        let mark = broker.journal().mark();
        often(9).await;
        let (of_t, of_seldom) = asked(mark);
        assert!(of_t > 0 && of_seldom > 0, "both are in use: {of_t}, {of_seldom}");
        often(8).await;
        let mark = broker.journal().mark();
        often(60).await;
        let (of_t, of_seldom) = asked(mark);
        assert!(of_t >= 10, "every five seconds, not {of_t} times in a minute");
        assert_eq!(of_seldom, 0, "nobody has sent to it for ten seconds");
        let mark = broker.journal().mark();
        send("seldom").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(asked(mark).1, 1, "it is in use again");
        let mark = broker.journal().mark();
        often(6).await;
        assert_eq!(asked(mark).1, 1, "as often as the other");
    });
}
