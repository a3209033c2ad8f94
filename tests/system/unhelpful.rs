//! The legal adversary over TCP: what it does is what Kafka may do, and is told. That clients stay right: `tests/sim/unhelpful.rs`.

use mockbroker::{MockBroker, SeedBatch};
use system_tests::api::{FETCH, FIND_COORDINATOR, HEARTBEAT, METADATA};
use system_tests::batch::Batch;
use system_tests::raw::Raw;
use system_tests::value;
use system_tests::value::Value;

async fn unhelpful(seed: u64) -> MockBroker {
    MockBroker::builder().nodes(3).topic("orders", 1).unhelpful(seed).start().await
}

fn fetch_all() -> Value {
    value!({ max_wait_ms: 1, min_bytes: 1, max_bytes: 1_000_000,
        topics: [{ topic: "orders", partitions: [{ partition: 0, fetch_offset: 0, partition_max_bytes: 1_000_000 }] }] })
}

#[tokio::test]
async fn a_fetch_brings_one_batch_or_all_and_never_less_than_one() {
    // Source: KIP-74.
    let broker = unhelpful(5).await;
    for value in ["a", "b", "c"] {
        broker.topic("orders").partition(0).write(SeedBatch::of([value]));
    }
    let mut connection = Raw::connect(&leader(&broker)).await;
    let mut counts = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let answer = connection.call(FETCH, 11, fetch_all()).await;
        let partition = &answer["responses"][0]["partitions"][0];
        assert_eq!(partition["error_code"], 0, "{answer:?}");
        counts.insert(Batch::decode_all(partition["records"].bytes().clone()).len());
    }
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), [1, 3]);
    let told = broker.journal().fetch().hit_by("unhelpful: one batch").last().expect("it happened").to_string();
    assert!(told.ends_with("[unhelpful: one batch]"), "{told}");
}

/// Where the leader is; nothing moves as long as there is one replica.
fn leader(broker: &MockBroker) -> String {
    let leader = broker.topic("orders").partition(0).state().expect("it is there").leader.expect("it is led");
    let place = broker.node_ids().iter().position(|node| *node == leader).expect("a node");
    broker.bootstrap_servers().split(',').nth(place).expect("as many addresses as nodes").to_owned()
}

#[tokio::test]
async fn a_coordinator_is_found_in_the_end_and_loads_before_it_answers() {
    let broker = unhelpful(1).await;
    let mut connection = Raw::connect(broker.bootstrap_servers().split(',').next().expect("one")).await;
    let mut refusals = 0;
    while connection.call(FIND_COORDINATOR, 3, value!({ key: "g", key_type: 0 })).await["error_code"] != 0 {
        refusals += 1;
        assert!(refusals < 1000, "it is never found");
    }
    // Of a group that loads nobody is told by a heartbeat (GroupCoordinatorService.heartbeat).
    let beat = value!({ group_id: "g", generation_id: 1, member_id: "m" });
    let code = connection.call(HEARTBEAT, 3, beat).await["error_code"].int();
    assert!([16, 25].contains(&code), "NOT_COORDINATOR or UNKNOWN_MEMBER_ID, not {code}");
}

#[tokio::test]
async fn a_report_says_by_which_seed_it_was_so() {
    let broker = unhelpful(42).await;
    let mut connection = Raw::connect(broker.bootstrap_servers().split(',').next().expect("one")).await;
    connection.call(METADATA, 9, value!({ topics: [{ name: "orders" }] })).await;
    let report = broker.report();
    assert!(report.contains("unhelpful by seed 42 to 1 requests: .unhelpful(42) is so again"), "{report}");
    let quiet = MockBroker::start().await;
    assert!(!quiet.report().contains("unhelpful"), "only who asks for it has it");
}
