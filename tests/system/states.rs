//! What a test can ask of groups, topics and transactions, and wait for.

use std::time::Duration;

use async_kafka::{Kafka, OffsetReset, Record};
use mockbroker::{Clock, Codec, MarkerKind, MockBroker, SeedBatch, SeedRecord, Timestamp};
use system_tests::api::{
    ADD_PARTITIONS_TO_TXN, CREATE_TOPICS, END_TXN, FETCH, FIND_COORDINATOR, INIT_PRODUCER_ID, PRODUCE,
};
use system_tests::batch::Batch;
use system_tests::raw::{Raw, patiently};
use system_tests::value;

async fn broker() -> MockBroker {
    MockBroker::builder().config("group.initial.rebalance.delay.ms", "0").topic("orders", 2).start().await
}

#[tokio::test]
async fn a_group_is_waited_for_until_it_is_stable_has_committed_and_is_empty() {
    let broker = broker().await;
    let kafka = Kafka::builder(broker.bootstrap_servers()).client_id("app").connect().await.expect("it answers");
    let producer = kafka.producer().build().await.expect("valid settings");
    for outcome in producer.send_all((0..2).map(|n| Record::to("orders").partition(n).value("v"))).await {
        outcome.expect("acknowledged");
    }
    assert_eq!(broker.group("billing").state(), None);
    let group = kafka
        .consumer("billing")
        .topics(["orders"])
        .auto_commit_interval(None)
        .auto_offset_reset(OffsetReset::Earliest);
    let consumer = group.build().await.expect("valid settings");
    let reading = async {
        for _ in 0..2 {
            let record = consumer.recv().await.expect("no error").expect("a record");
            if record.partition() == 1 {
                consumer.commit_record(&record).await.expect("committed");
            }
        }
        consumer
    };
    let (state, consumer) = tokio::join!(async { broker.group("billing").wait_stable(1).await }, reading);
    assert_eq!((state.group_type, state.epoch, &*state.members[0].client_id), ("classic", 1, "app"));
    assert_eq!(state.members[0].assignment, [("orders".to_owned(), vec![0, 1])]);
    let state = broker.group("billing").wait_committed("orders", 1, 1).await;
    assert_eq!((state.offset("orders", 1), state.offset("orders", 0)), (Some(1), None));
    let member_id = state.members[0].member_id.clone();
    let group = broker.group("billing");
    tokio::join!(group.wait_without(&member_id), async {
        consumer.close(Duration::from_secs(5)).await.expect("closed")
    });
    assert_eq!(group.wait_state("Empty").await.members, []);
    tokio::join!(group.wait_deleted(), async { broker.expire_offsets() });
    assert_eq!(group.state(), None);
    drop((consumer, producer, kafka));
    broker.wait_connections(0).await;
}

#[tokio::test]
async fn a_member_that_is_silent_is_gone_when_the_clock_has_moved() {
    let broker = MockBroker::builder()
        .clock(Clock::manual())
        .config("group.initial.rebalance.delay.ms", "0")
        .topic("orders", 1)
        .start()
        .await;
    let kafka = Kafka::builder(broker.bootstrap_servers()).connect().await.expect("it answers");
    // Its heartbeats are an hour apart, so that it is silent for as long as the broker knows.
    let builder = kafka.consumer("billing").topics(["orders"]).heartbeat_interval(Duration::from_secs(10));
    let consumer = builder.build().await.expect("valid settings");
    let polling = tokio::spawn(async move { consumer.recv().await.map(drop) });
    let group = broker.group("billing");
    let member_id = group.wait_stable(1).await.members[0].member_id.clone();
    let gone = tokio::spawn({
        let (group, member_id) = (group.clone(), member_id.clone());
        async move { group.wait_without(&member_id).await }
    });
    broker.advance(Duration::from_secs(45));
    patiently("the member to be gone", gone).await.expect("no panic");
    polling.abort();
}

#[tokio::test]
async fn a_topic_is_waited_for_and_its_records_are_read() {
    let broker = broker().await;
    let new = broker.topic("new");
    assert_eq!((new.id(), new.partition_count()), (None, 0));
    let address = broker.bootstrap_servers().to_owned();
    tokio::join!(new.wait_created(), async {
        let wanted = value!({ name: "new", num_partitions: 3, replication_factor: 1 });
        let body = value!({ topics: [wanted], timeout_ms: 1000 });
        Raw::connect(&address).await.call(CREATE_TOPICS, 7, body).await;
    });
    assert_eq!(new.partition_count(), 3);
    let partition = new.partition(2);
    let kafka = Kafka::builder(broker.bootstrap_servers()).connect().await.expect("it answers");
    let producer = kafka.producer().build().await.expect("valid settings");
    let record = Record::to("new").partition(2).key("k").value("v").header("h", "1").header("h", "2");
    let waits = async { (partition.wait_log_end(1).await, partition.wait_high_watermark(1).await) };
    let ((state, replicated), sent) = tokio::join!(waits, producer.send_all([record]));
    assert_eq!(replicated.high_watermark, 1);
    assert!(sent.into_iter().all(|outcome| outcome.is_ok()));
    assert_eq!((state.log_end_offset, state.high_watermark, state.leader), (1, 1, Some(broker.node_ids()[0])));
    let records = partition.records();
    assert_eq!((records[0].offset, records[0].key_str(), records[0].value_str()), (0, Some("k"), Some("v")));
    assert_eq!(records[0].headers.iter().map(|header| &*header.key).collect::<Vec<_>>(), ["h", "h"]);
    assert_eq!((records[0].sequence(), records[0].batch.producer_epoch), (0, 0));
    assert!(records[0].batch.crc_matches && records[0].marker.is_none());
}

#[tokio::test]
async fn a_transaction_is_followed_to_its_marker() {
    let broker = broker().await;
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    let init = value!({ transactional_id: "t", transaction_timeout_ms: 60_000, producer_id: -1, producer_epoch: -1 });
    // The coordinator's own topic is created by the question who it is.
    connection.call(FIND_COORDINATOR, 4, value!({ key_type: 1, coordinator_keys: ["t"] })).await;
    broker.topic("__transaction_state").wait_created().await;
    let who = connection.call(INIT_PRODUCER_ID, 4, init).await;
    assert_eq!(who["error_code"], 0, "{who:?}");
    let (id, epoch) = (who["producer_id"].int(), who["producer_epoch"].int());
    let transaction = broker.transaction("t");
    assert_eq!(transaction.wait_state("Empty").await.partitions, []);
    let add = value!({ v3_and_below_transactional_id: "t", v3_and_below_producer_id: id,
        v3_and_below_producer_epoch: epoch, v3_and_below_topics: [{ name: "orders", partitions: [1] }] });
    connection.call(ADD_PARTITIONS_TO_TXN, 3, add).await;
    let state = transaction.wait_state("Ongoing").await;
    assert_eq!((state.producer_id, state.partitions), (id, vec![("orders".to_owned(), 1)]));
    let epoch = i16::try_from(epoch).expect("an epoch");
    let records = Batch::of(["v"]).from_producer(id, epoch, 0).transactional().encode();
    let body = value!({ transactional_id: "t", acks: -1, timeout_ms: 1000,
        topic_data: [{ name: "orders", partition_data: [{ index: 1, records: records }] }] });
    connection.call(PRODUCE, 9, body).await;
    let partition = broker.topic("orders").partition(1);
    let open = partition.state().expect("it exists");
    assert_eq!((open.last_stable_offset, open.high_watermark), (0, 1));
    let end = value!({ transactional_id: "t", producer_id: id, producer_epoch: epoch, committed: false });
    tokio::join!(connection.call(END_TXN, 3, end), transaction.wait_state("CompleteAbort"));
    let records = partition.records();
    assert_eq!(records.iter().map(|record| record.marker).collect::<Vec<_>>(), [None, Some(MarkerKind::Abort)]);
    assert!(records[1].batch.is_control && records[0].batch.is_transactional);
    assert_eq!(partition.wait_for("all of it stable", |it| it.last_stable_offset == 2).await.log_end_offset, 2);
}

#[test]
fn blocking_code_waits_for_states_too() {
    let builder = MockBroker::builder().topic("orders", 1).patience(Duration::from_secs(5));
    let broker = mockbroker::blocking::MockBroker::from_builder(builder).expect("valid settings");
    let address = broker.bootstrap_servers().to_owned();
    let client = std::thread::spawn(move || std::net::TcpStream::connect(address).expect("it listens"));
    broker.wait(broker.handle().wait_connections(1));
    drop(client.join().expect("no panic"));
    broker.wait(broker.handle().wait_connections(0));
    assert!(broker.journal().is_empty(), "{}", broker.report());
}

#[tokio::test]
async fn records_are_written_without_a_client_and_read_by_any() {
    let broker = broker().await;
    let orders = broker.topic("orders").partition(0);
    let old = SeedRecord::value("old").key("k").header("h", "1").at(Timestamp::from_millis(1000));
    assert_eq!(orders.write(SeedBatch::of(["a", "b"])), 0);
    assert_eq!(orders.write(SeedBatch::of([old]).codec(Codec::Zstd)), 2);
    assert_eq!(orders.write(SeedBatch::of(["was"]).committed(7, 0)), 3);
    assert_eq!(orders.write(SeedBatch::of(["was not"]).aborted(7, 0).codec(Codec::Lz4)), 5);
    assert_eq!(orders.write(SeedBatch::of(["numbered"]).from_producer(8, 3, 40)), 7);
    assert_eq!(orders.write(SeedBatch::of(["far"]).at_offset(1000)), 1000);
    assert_eq!(orders.write(SeedBatch::of(["open"]).open(9, 1)), 1001);
    let state = orders.state().expect("it exists");
    assert_eq!((state.last_stable_offset, state.high_watermark, state.log_end_offset), (1001, 1002, 1002));
    let records = orders.records();
    assert_eq!((records[2].timestamp, records[2].batch.compression), (Timestamp::from_millis(1000), "zstd"));
    assert_eq!((records[7].sequence(), records[7].batch.producer_epoch), (40, 3));
    let values = |records: &[mockbroker::LogRecord]| {
        let data = records.iter().filter(|record| record.marker.is_none());
        data.map(|record| record.value_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(values(&records), ["a", "b", "old", "was", "was not", "numbered", "far", "open"]);
    // What a consumer makes of it: nothing of what was aborted, nothing from what is open on.
    let kafka = Kafka::builder(broker.bootstrap_servers()).connect().await.expect("it answers");
    let consumer = kafka.assigned_consumer().isolation(async_kafka::IsolationLevel::ReadCommitted);
    let consumer = consumer.assign("orders", 0, async_kafka::Offset::Earliest).build().await.expect("assigned");
    let mut read = Vec::new();
    while read.len() < 6 {
        let record = consumer.recv().await.expect("no error").expect("open");
        read.push((record.offset(), String::from_utf8_lossy(record.value().expect("a value")).into_owned()));
    }
    let expected = [(0, "a"), (1, "b"), (2, "old"), (3, "was"), (7, "numbered"), (1000, "far")];
    assert_eq!(read, expected.map(|(offset, value)| (offset, value.to_owned())));
}

#[tokio::test]
async fn a_batch_that_is_corrupt_in_the_log_is_served_as_it_is_and_wakes_who_waits() {
    let broker = broker().await;
    let orders = broker.topic("orders").partition(1);
    let body = value!({ max_wait_ms: 60_000, min_bytes: 1, max_bytes: 1_000_000,
        topics: [{ topic: "orders", partitions: [{ partition: 1, fetch_offset: 0, partition_max_bytes: 1_000_000 }] }] });
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    let sent = connection.send(FETCH, 12, body).await;
    broker.journal().fetch().waiting().wait_for(1).await;
    orders.write(SeedBatch::of(["broken"]).corrupt());
    let answer = connection.receive(sent).await;
    let records = answer["responses"][0]["partitions"][0]["records"].bytes().clone();
    assert_ne!(u32::from_be_bytes(*records[17..].first_chunk().expect("a batch")), crc32c::crc32c(&records[21..]));
    orders.write(SeedBatch::of(["whole"]));
    let found = orders.records();
    assert_eq!(found.last().and_then(|record| record.value_str()), Some("whole"));
    assert!(found[0].offset == 1 || !found[0].batch.crc_matches);
}

#[tokio::test]
#[should_panic(expected = "orders-0: offset 1 is taken: the log ends at 2")]
async fn an_offset_that_is_taken_is_not_written_again() {
    let broker = broker().await;
    let orders = broker.topic("orders").partition(0);
    orders.write(SeedBatch::of(["a", "b"]));
    orders.write(SeedBatch::of(["c"]).at_offset(1));
}
