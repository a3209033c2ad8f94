//! Kafka as the judge: the same programs of requests run against two brokers, and what they answer compared.
//!
//! - [`run`]: one program against one broker; [`transcript`]: what it asked and was answered
//! - [`normal`]: the declared list of what may differ between any two brokers, a reason each
//! - [`compare`]: transcripts to differences, differences to a report
//! - [`explained`]: the differences that are meant, a reason each
//! - [`capture`]: transcripts as files in `fixtures/wire`
//!
//! The programs are in [`crate::scenarios`]. Nothing here knows a rule of Kafka.

pub mod capture;
pub mod compare;
pub mod explained;
pub mod normal;
pub mod run;
pub mod transcript;

use mockbroker::MockBroker;

use crate::world::Broker;

pub use compare::Difference;
pub use run::{Run, Scenario, Topic};
pub use transcript::{Outcome, Step, Transcript};

/// The mock that is judged: one node with the properties that `tests/real-kafka` gives to a Kafka of one node.
pub async fn mock() -> Broker {
    mock_of(1).await
}

/// The mock that is judged, with the properties that `tests/real-kafka` gives to a Kafka of so many nodes.
pub async fn mock_of(nodes: usize) -> Broker {
    let count = u16::try_from(nodes).expect("few nodes");
    let mut builder = MockBroker::builder().nodes(count).first_node_id(1);
    let replicas = nodes.min(3).to_string();
    for (key, value) in [
        ("default.replication.factor", replicas.as_str()),
        ("offsets.topic.replication.factor", &replicas),
        ("offsets.topic.num.partitions", "5"),
        ("transaction.state.log.replication.factor", &replicas),
        ("transaction.state.log.num.partitions", "5"),
        ("transaction.state.log.min.isr", "1"),
        ("share.coordinator.state.topic.replication.factor", &replicas),
        ("share.coordinator.state.topic.num.partitions", "5"),
        ("share.coordinator.state.topic.min.isr", "1"),
        ("group.initial.rebalance.delay.ms", "0"),
        ("log.cleaner.dedupe.buffer.size", "2097152"),
        // Where a Kafka is and what its listeners are called, which the mock only tells again.
        ("controller.quorum.voters", "1@127.0.0.1:9093"),
        ("inter.broker.listener.name", "EXTERNAL"),
        ("listener.security.protocol.map", "EXTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT"),
        ("log.dirs", "/tmp/kafka"),
    ] {
        builder = builder.config(key, value);
    }
    for node in 1..=nodes {
        builder = builder.config(format!("node.{node}.broker.rack"), format!("rack-{node}"));
    }
    Broker::mock(builder.start().await)
}
