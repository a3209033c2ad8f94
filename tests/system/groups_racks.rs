//! Members in racks: each gets the partitions that have a replica near, where the shares allow it (KIP-881).

use std::time::Duration;

use async_kafka::admin::NewTopic;
use async_kafka::{Assignor, Consumer, GroupProtocol, Kafka, TopicPartition};
use mockbroker::MockBroker;
use system_tests::world::until;

const TOPIC: &str = "near";

/// Two nodes, each in a rack, with the partitions of a topic by turns.
async fn two_racks() -> (MockBroker, Kafka, [i32; 2]) {
    let mock = MockBroker::builder().nodes(2).config("group.initial.rebalance.delay.ms", "0");
    let mock = mock.config("node.0.broker.rack", "left").config("node.1.broker.rack", "right").start().await;
    let kafka = Kafka::builder(mock.bootstrap_servers()).metadata_max_age(Duration::from_millis(100));
    let kafka = kafka.connect().await.expect("the mock answers");
    let nodes = [0, 1];
    let topic =
        (0..4).fold(NewTopic::new(TOPIC), |topic, partition| topic.assign(partition, [nodes[partition as usize % 2]]));
    kafka.admin().create_topics([topic]).await[TOPIC].clone().expect("it is created");
    (mock, kafka, nodes)
}

async fn member(kafka: &Kafka, assignor: Assignor, rack: &str) -> Consumer {
    let consumer = kafka.consumer(assignor.name()).topics([TOPIC]).group_protocol(GroupProtocol::Classic);
    let consumer = consumer.assignors([assignor]).client_rack(rack).heartbeat_interval(Duration::from_millis(50));
    consumer.build().await.expect("valid settings")
}

fn partitions(consumer: &Consumer) -> Vec<i32> {
    let mut partitions: Vec<i32> = consumer.assignment().iter().map(|of| of.partition).collect();
    partitions.sort_unstable();
    partitions
}

#[tokio::test]
async fn members_get_what_has_a_replica_in_their_rack_and_follow_replicas_that_move() {
    for assignor in [Assignor::Range, Assignor::Sticky, Assignor::CooperativeSticky] {
        let (_mock, kafka, nodes) = two_racks().await;
        // Whoever comes first leads, and has everything until the other comes.
        let right = member(&kafka, assignor, "right").await;
        until("the first has all", async || partitions(&right) == [0, 1, 2, 3]).await;
        let left = member(&kafka, assignor, "left").await;
        let near = async || (partitions(&left), partitions(&right)) == (vec![0, 2], vec![1, 3]);
        until("each has what is near", near).await;

        let swapped = (0..4)
            .map(|partition| (TopicPartition::new(TOPIC, partition), Some(vec![nodes[1 - partition as usize % 2]])));
        let moved = kafka.admin().alter_reassignments(swapped).await;
        moved.into_values().for_each(|result| result.expect("it moves"));
        let near = async || (partitions(&left), partitions(&right)) == (vec![1, 3], vec![0, 2]);
        until("each has what is near now", near).await;
    }
}
