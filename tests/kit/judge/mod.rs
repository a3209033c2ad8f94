//! Kafka as the judge: the same programs of requests run against two brokers, and what they answer compared.
//!
//! - [`run`]: one program against one broker, and the transcript of it
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

use mockbroker::MockBroker;

use crate::world::Broker;

pub use compare::Difference;
pub use run::{Outcome, Run, Scenario, Step, Topic, Transcript};

/// The mock that is judged: one node with the properties that `tests/real-kafka` gives to a Kafka of one node.
pub async fn mock() -> Broker {
    let mut builder = MockBroker::builder().first_node_id(1);
    for (key, value) in [
        ("broker.rack", "rack-1"),
        ("default.replication.factor", "1"),
        ("offsets.topic.replication.factor", "1"),
        ("offsets.topic.num.partitions", "5"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.num.partitions", "5"),
        ("transaction.state.log.min.isr", "1"),
        ("share.coordinator.state.topic.replication.factor", "1"),
        ("share.coordinator.state.topic.num.partitions", "5"),
        ("share.coordinator.state.topic.min.isr", "1"),
        ("group.initial.rebalance.delay.ms", "0"),
        ("log.cleaner.dedupe.buffer.size", "2097152"),
    ] {
        builder = builder.config(key, value);
    }
    Broker::mock(builder.start().await)
}
