//! A transaction that is decided while the leader of a partition is cut off from the other nodes.

use std::time::Duration;

use async_kafka::Record as NewRecord;
use mockbroker::{MarkerKind, MockBroker};

use super::line::Record;
use super::simulate;

/// The history checker's seed 57: the marker was written there and lost with the leader, for a transaction that was complete.
#[test]
fn a_marker_waits_for_a_leader_that_the_others_hear_of() {
    simulate(57, async {
        let broker = MockBroker::builder().nodes(3).in_memory().config("default.replication.factor", "3");
        let broker = broker.config("min.insync.replicas", "2").topic("t", 1).start().await;
        let kafka = Record::default().client(&broker).connect().await.expect("the mock answers");
        let producer = kafka.transactional("id").build().await.expect("the id is taken over");
        let partition = broker.topic("t").partition(0);
        let leader = partition.state().and_then(|state| state.leader).expect("somebody leads");
        let other = broker.node_ids().into_iter().find(|node| *node != leader).expect("three nodes");
        broker.move_transaction_coordinator("id", other);
        let transaction = producer.begin().await.expect("it begins");
        let sent = transaction.send(NewRecord::to("t").value("v")).await.expect("taken");
        sent.await.expect("written");

        let isolated = broker.node(leader).isolate();
        transaction.commit().await.expect("the coordinator is not cut off");
        // As long as nobody takes the leader for dead.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let markers = || partition.records().iter().filter_map(|record| record.marker).collect::<Vec<_>>();
        let stable = || partition.state().expect("it is there").last_stable_offset;
        assert_eq!((markers(), stable()), (vec![], 0));
        isolated.heal();
        partition.wait_log_end(2).await;
        assert_eq!((markers(), stable()), (vec![MarkerKind::Commit], 2));
    });
}
