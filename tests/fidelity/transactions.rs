//! Transactions: what the coordinator answers, what is written, and what readers see of it, in both generations of the
//! protocol. The version of a request decides which is spoken, whatever the broker's own level (KIP-890).

use bytes::{Buf, Bytes};
use system_tests::batch::Batch;
use system_tests::world::unique;
use system_tests::{Value, api, value};

use crate::ask::{self, Topic, append, batches, call, delete_records, start, topic, versions, with};
use crate::code;
use crate::transactional::*;

#[tokio::test]
async fn what_is_committed_is_read_once_its_marker_is_written() {
    // Spec G.5, G.8, D.5.
    for generation in [V1, V2] {
        let (_broker, mut connection) = start().await;
        let topic = topic(&mut connection, 1, &[]).await;
        let producer = producer(&mut connection).await;
        append(&mut connection, &topic, 0, &Batch::of(["before"])).await;
        assert_eq!(send(&mut connection, generation, &producer, (&topic, 0), 0, &["a", "b"]).await, 1);
        append(&mut connection, &topic, 0, &Batch::of(["after"])).await;
        let open = read_committed(&mut connection, &topic, 0).await;
        assert_eq!((open["high_watermark"].int(), open["last_stable_offset"].int()), (4, 1));
        assert_eq!(
            Batch::decode_all(open["records"].bytes().clone()).len(),
            1,
            "the open transaction hides all after it"
        );
        assert!(aborted(&open).is_empty());
        end(&mut connection, generation, &producer, true).await;
        let committed = read_committed(&mut connection, &topic, 0).await;
        assert_eq!((committed["high_watermark"].int(), committed["last_stable_offset"].int()), (5, 5));
        assert!(aborted(&committed).is_empty());
        let uncommitted = ask::read(&mut connection, &topic, 0, 0).await;
        assert_eq!(committed["records"], uncommitted["records"]);
        assert!(uncommitted["aborted_transactions"].is_null());
        assert_eq!(uncommitted["last_stable_offset"], 5);
    }
}

#[tokio::test]
async fn a_marker_says_how_and_by_whom_a_transaction_ended() {
    // Spec G.8: key and value of the control record; with version 2 the epoch is the next one.
    for (generation, committed) in [(V1, true), (V1, false), (V2, true), (V2, false)] {
        let (_broker, mut connection) = start().await;
        let topic = one_segment(&mut connection, 1).await;
        let producer = producer(&mut connection).await;
        send(&mut connection, generation, &producer, (&topic, 0), 0, &["a"]).await;
        let before = ask::now_ms();
        end(&mut connection, generation, &producer, committed).await;
        let all = batches(&mut connection, &topic, 0, 0).await;
        let marker = &all[1];
        let epoch = producer.epoch + i64::from(!generation.adds);
        assert_eq!((marker.base_offset, marker.attributes, marker.record_count), (1, 0x30, 1));
        assert_eq!(
            (marker.producer_id, i64::from(marker.producer_epoch), marker.base_sequence),
            (producer.id, epoch, -1)
        );
        assert!((before - 1000..=ask::now_ms() + 1000).contains(&marker.base_timestamp));
        assert_eq!(marker.base_timestamp, marker.max_timestamp);
        let record = &marker.records()[0];
        assert_eq!(record.key.as_deref(), Some(&[0, 0, 0, u8::from(committed)][..]));
        assert_eq!(record.value.as_deref(), Some(&[0, 0, 0, 0, 0, 0][..]), "version 0, coordinator epoch 0");
    }
}

#[tokio::test]
async fn what_is_aborted_is_served_with_a_list_of_whose_it_is() {
    // Spec D.5: in the order in which the transactions were aborted; all that reach into the range that was read.
    for generation in [V1, V2] {
        let (_broker, mut connection) = start().await;
        let topic = one_segment(&mut connection, 1).await;
        let mut producers = Vec::new();
        for _ in 0..3 {
            producers.push(producer(&mut connection).await);
        }
        for producer in &producers {
            send(&mut connection, generation, producer, (&topic, 0), 0, &["a"]).await;
        }
        for (which, committed) in [(1, false), (2, true), (0, false)] {
            end(&mut connection, generation, &producers[which], committed).await;
        }
        let read = read_committed(&mut connection, &topic, 0).await;
        assert_eq!(aborted(&read), [(producers[1].id, 1), (producers[0].id, 0)]);
        assert_eq!(Batch::decode_all(read["records"].bytes().clone()).len(), 6, "they are all there");
        assert_eq!(aborted(&read_committed(&mut connection, &topic, 4).await), [(producers[0].id, 0)]);
        assert!(aborted(&read_committed(&mut connection, &topic, 6).await).is_empty());
        // Once its marker is deleted, an aborted transaction is not told of.
        delete_records(&mut connection, &topic, 0, 5).await;
        assert_eq!(aborted(&read_committed(&mut connection, &topic, 5).await), [(producers[0].id, 0)]);
    }
}

#[tokio::test]
async fn offsets_are_listed_up_to_the_last_stable_one() {
    // Spec D.7.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let producer = producer(&mut connection).await;
    append(&mut connection, &topic, 0, &Batch::of(["a"])).await;
    send(&mut connection, V2, &producer, (&topic, 0), 0, &["b"]).await;
    for (timestamp, uncommitted, committed) in [(-1, 2, 1), (-2, 0, 0), (-3, 0, 0), (0, 0, 0)] {
        for (level, offset) in [(0, uncommitted), (1, committed)] {
            let body = with(&ask::offset_at(&topic, 0, timestamp), "isolation_level", level);
            let answer = call(&mut connection, api::LIST_OFFSETS, 10, body).await;
            assert_eq!(answer["topics"][0]["partitions"][0]["offset"], offset, "{timestamp} at level {level}");
        }
    }
}

#[tokio::test]
async fn a_partition_joins_before_it_is_written_or_in_passing() {
    // Spec C.6: what clients of each version are told.
    let (broker, mut connection) = start().await;
    let topic = topic(&mut connection, 3, &[]).await;
    let producer = producer(&mut connection).await;
    let code = |refused: &Value| refused["error_code"].int();
    for (version, error_code) in [(3, 48), (8, 48), (10, 48), (11, 120)] {
        let ask = async || write(&mut connection, version, &producer, (&topic, 0), 0, &["a"]).await;
        let refused = not_added(&broker, error_code, code, ask).await;
        assert_eq!((code(&refused), refused["base_offset"].int()), (error_code, -1), "v{version}");
        if version >= 8 {
            let message = &refused["error_message"];
            assert_eq!(message.is_null(), version == 11, "{message:?}");
            assert_eq!(refused["log_start_offset"], -1);
        }
    }
    assert_eq!(describe(&mut connection, &producer.transactional_id).await["transaction_state"], "Empty");
    for (version, sequence) in [(12, 0), (13, 1)] {
        let written = write(&mut connection, version, &producer, (&topic, 1), sequence, &["a"]).await;
        assert_eq!(written["error_code"], code::NONE, "v{version}");
    }
    let described = describe(&mut connection, &producer.transactional_id).await;
    assert_eq!(described["transaction_state"], "Ongoing");
    assert_eq!(described["topics"][0]["partitions"], value!([1]));
}

#[tokio::test]
async fn an_old_epoch_is_fenced() {
    // Spec C.5, G.4, G.5: 47 in Produce, 90 of the coordinator, 47 to clients that do not know 90.
    for generation in [V1, V2] {
        let (_broker, mut connection) = start().await;
        let topic = topic(&mut connection, 1, &[]).await;
        let old = producer(&mut connection).await;
        send(&mut connection, generation, &old, (&topic, 0), 0, &["a"]).await;
        let first = call(&mut connection, api::INIT_PRODUCER_ID, 5, init_body(&old.transactional_id, None)).await;
        assert_eq!(first["error_code"], code::CONCURRENT_TRANSACTIONS, "the open transaction is aborted first");
        assert_eq!((first["producer_id"].int(), first["producer_epoch"].int()), (-1, -1));
        let new = init(&mut connection, &old.transactional_id, None).await;
        assert_eq!((new["producer_id"].int(), new["producer_epoch"].int()), (old.id, old.epoch + 2));
        let refused = write(&mut connection, generation.produce, &old, (&topic, 0), 1, &["b"]).await;
        assert_eq!(refused["error_code"], code::INVALID_PRODUCER_EPOCH);
        assert_eq!(add(&mut connection, &old, &topic, &[0]).await, [90]);
        for (version, error_code) in [(0, 47), (1, 47), (2, 90), (4, 90), (5, 90)] {
            assert_eq!(end_at(&mut connection, version, &old, true).await["error_code"], error_code, "v{version}");
        }
        for (version, error_code) in [(3, 47), (4, 90), (5, 90)] {
            let body = init_body(&old.transactional_id, Some((old.id, old.epoch)));
            let answer = call(&mut connection, api::INIT_PRODUCER_ID, version, body).await;
            assert_eq!(answer["error_code"], error_code, "v{version}");
        }
        let read = read_committed(&mut connection, &topic, 0).await;
        assert_eq!(aborted(&read), [(old.id, 0)]);
    }
}

#[tokio::test]
async fn an_epoch_is_bumped_and_a_retry_of_that_is_known() {
    // Spec G.3; KIP-360.
    let (_broker, mut connection) = start().await;
    let first = producer(&mut connection).await;
    let id = first.transactional_id.clone();
    let mut told = Vec::new();
    for expected in [Some(0), Some(0), Some(1), Some(0), None, Some(2)] {
        let answer = init(&mut connection, &id, expected.map(|epoch| (first.id, epoch))).await;
        told.push((answer["error_code"].int(), answer["producer_epoch"].int()));
    }
    assert_eq!(told, [(0, 1), (0, 1), (0, 2), (90, -1), (0, 3), (90, -1)]);
    let other = init(&mut connection, &id, Some((first.id + 1_000_000, 3))).await;
    assert_eq!(other["error_code"], 90);
}

#[tokio::test]
async fn a_transaction_that_has_ended_can_be_ended_again_in_the_same_way() {
    // Spec G.5: for each generation what commit and abort are told after a commit and after an abort.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for committed in [true, false] {
        let old = producer(&mut connection).await;
        send(&mut connection, V1, &old, (&topic, 0), 0, &["a"]).await;
        end(&mut connection, V1, &old, committed).await;
        for again in [true, false] {
            let expected = if again == committed { 0 } else { 48 };
            assert_eq!(end_at(&mut connection, 4, &old, again).await["error_code"], expected);
        }
        let old = producer(&mut connection).await;
        send(&mut connection, V2, &old, (&topic, 0), 0, &["a"]).await;
        let new = end(&mut connection, V2, &old, committed).await;
        assert_eq!((new.id, new.epoch), (old.id, old.epoch + 1));
        for again in [true, false] {
            let answer = end_at(&mut connection, 5, &old, again).await;
            let told = (answer["error_code"].int(), answer["producer_id"].int(), answer["producer_epoch"].int());
            assert_eq!(told, if again == committed { (0, new.id, new.epoch) } else { (48, -1, -1) });
        }
        assert_eq!(end_at(&mut connection, 5, &new, true).await["error_code"], 48);
        let empty = end(&mut connection, V2, &new, false).await;
        assert_eq!(empty.epoch, new.epoch + 1, "an empty transaction can be aborted");
    }
}

#[tokio::test]
async fn nothing_can_be_ended_that_has_not_begun() {
    // Spec G.5.
    let (_broker, mut connection) = start().await;
    let producer = producer(&mut connection).await;
    for version in 0..=4 {
        for committed in [true, false] {
            assert_eq!(end_at(&mut connection, version, &producer, committed).await["error_code"], 48);
        }
    }
    assert_eq!(end_at(&mut connection, 5, &producer, true).await["error_code"], 48);
}

#[tokio::test]
async fn who_is_not_known_is_told_so() {
    // Spec G.2, G.4, G.5.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let known = producer(&mut connection).await;
    let nobody = Producer { transactional_id: unique("nobody"), ..known.clone() };
    let other = Producer { id: known.id + 1_000_000, ..known.clone() };
    let ahead = Producer { epoch: known.epoch + 1, ..known.clone() };
    let unnamed = Producer { transactional_id: String::new(), ..known.clone() };
    for (producer, error_code) in [(&nobody, 49), (&other, 49), (&ahead, 90), (&unnamed, 42)] {
        assert_eq!(add(&mut connection, producer, &topic, &[0]).await, [error_code], "{producer:?}");
        for version in [4, 5] {
            let answer = end_at(&mut connection, version, producer, true).await;
            assert_eq!(answer["error_code"], error_code, "v{version} {producer:?}");
        }
    }
    for (producer, error_code) in [(&nobody, 49), (&other, 49), (&ahead, 47)] {
        let refused = write(&mut connection, 13, producer, (&topic, 0), 0, &["a"]).await;
        assert_eq!(refused["error_code"], error_code, "{producer:?}");
    }
    assert_eq!(describe(&mut connection, &nobody.transactional_id).await["error_code"], 105);
    assert_eq!(describe(&mut connection, "").await["error_code"], 42);
    assert_eq!(init(&mut connection, "", None).await["error_code"], 42);
    for timeout in [0, -1, 900_001] {
        let body = with(&init_body(&known.transactional_id, None), "transaction_timeout_ms", timeout);
        assert_eq!(call(&mut connection, api::INIT_PRODUCER_ID, 5, body).await["error_code"], 50, "{timeout} ms");
    }
}

#[tokio::test]
async fn partitions_are_added_all_or_none() {
    // Spec G.4.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 2, &[]).await;
    let producer = producer(&mut connection).await;
    for version in versions(&mut connection, api::ADD_PARTITIONS_TO_TXN).await.take_while(|version| *version < 4) {
        let body = add_body(&producer, &topic.name, &[0, 7]);
        let answer = call(&mut connection, api::ADD_PARTITIONS_TO_TXN, version, body).await;
        let results = &answer["results_by_topic_v3_and_below"][0]["results_by_partition"];
        let code = |partition: i32| results.find("partition_index", partition)["partition_error_code"].int();
        assert_eq!((code(0), code(7)), (55, 3), "v{version}");
    }
    assert_eq!(describe(&mut connection, &producer.transactional_id).await["transaction_state"], "Empty");
    assert_eq!(add(&mut connection, &producer, &topic, &[0, 1]).await, [0, 0]);
    assert_eq!(add(&mut connection, &producer, &topic, &[0]).await, [0]);
    let internal = Topic { name: "__transaction_state".to_owned(), ..topic };
    assert_eq!(add(&mut connection, &producer, &internal, &[0]).await, [29]);
}

#[tokio::test]
async fn a_transaction_is_described_and_listed() {
    // Spec G.9.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 2, &[]).await;
    let producer = producer(&mut connection).await;
    let id = producer.transactional_id.clone();
    let empty = describe(&mut connection, &id).await;
    assert_eq!((empty["error_code"].int(), empty["transaction_state"].str()), (0, "Empty"));
    assert_eq!((empty["transaction_timeout_ms"].int(), empty["transaction_start_time_ms"].int()), (60_000, -1));
    assert_eq!((empty["producer_id"].int(), empty["producer_epoch"].int()), (producer.id, producer.epoch));
    send(&mut connection, V1, &producer, (&topic, 1), 0, &["a"]).await;
    let ongoing = describe(&mut connection, &id).await;
    assert_eq!(ongoing["topics"], value!([{ topic: &topic.name, partitions: [1] }]));
    assert!((ask::now_ms() - 20_000..=ask::now_ms()).contains(&ongoing["transaction_start_time_ms"].int()));
    let filters = [
        (value!({}), true),
        (value!({ state_filters: ["Ongoing"] }), true),
        (value!({ state_filters: ["Empty"] }), false),
        (value!({ state_filters: ["nonsense"] }), false),
        (value!({ producer_id_filters: [producer.id] }), true),
        (value!({ producer_id_filters: [producer.id + 1_000_000] }), false),
        (value!({ duration_filter: 1_000_000 }), false),
        (value!({ duration_filter: 0 }), true),
        (value!({ transactional_id_pattern: &id }), true),
        (value!({ transactional_id_pattern: "ransactional.*" }), false),
        (value!({ transactional_id_pattern: "trans.*" }), true),
    ];
    for (filter, is_listed) in filters {
        let body = [
            ("duration_filter", Value::from(-1_i64)),
            ("state_filters", Value::Array(Vec::new())),
            ("producer_id_filters", Value::Array(Vec::new())),
        ]
        .into_iter()
        .fold(
            filter.clone(),
            |body, (name, value)| if body.field(name).is_some() { body } else { with(&body, name, value) },
        );
        let answer = call(&mut connection, api::LIST_TRANSACTIONS, 2, body).await;
        assert_eq!(answer["error_code"], code::NONE);
        let listed: Vec<_> =
            answer["transaction_states"].array().iter().filter(|it| it["transactional_id"] == &*id).collect();
        assert_eq!(listed.len(), usize::from(is_listed), "{filter:?}");
        for listed in listed {
            assert_eq!((listed["producer_id"].int(), listed["transaction_state"].str()), (producer.id, "Ongoing"));
        }
        let unknown = answer["unknown_state_filters"].array().len();
        assert_eq!(unknown, usize::from(filter == value!({ state_filters: ["nonsense"] })));
    }
    let body =
        value!({ duration_filter: -1, transactional_id_pattern: "(", state_filters: [], producer_id_filters: [] });
    assert_eq!(call(&mut connection, api::LIST_TRANSACTIONS, 2, body).await["error_code"], 128);
}

#[tokio::test]
async fn one_request_is_of_one_producer() {
    // Spec C.1: the whole request fails.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 2, &[]).await;
    let (one, other) = (producer(&mut connection).await, producer(&mut connection).await);
    let batch = |producer: &Producer| Batch::of(["a"]).from_producer(producer.id, 0, 0).transactional().encode();
    let partitions = value!([{ index: 0, records: batch(&one) }, { index: 1, records: batch(&other) }]);
    let topics = value!([{ name: &topic.name, topic_id: topic.id, partition_data: partitions }]);
    let body = value!({ transactional_id: &one.transactional_id, acks: -1, timeout_ms: 10_000, topic_data: topics });
    let answer = call(&mut connection, api::PRODUCE, 13, body).await;
    for partition in answer["responses"][0]["partition_responses"].array() {
        assert_eq!(partition["error_code"], 49);
    }
}

#[tokio::test]
async fn a_record_of_no_transaction_does_not_come_between() {
    // Spec C.3: 48 while the producer has a transaction open.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let producer = producer(&mut connection).await;
    send(&mut connection, V2, &producer, (&topic, 0), 0, &["a"]).await;
    let plain = Batch::of(["b"]).from_producer(producer.id, 0, 1);
    let refused = ask::write(&mut connection, &topic, 0, &plain).await;
    assert_eq!((refused["error_code"].int(), refused["log_start_offset"].int()), (48, 0));
    end(&mut connection, V2, &producer, true).await;
    let late = write(&mut connection, 13, &producer, (&topic, 0), 1, &["c"]).await;
    assert_eq!(late["error_code"], code::INVALID_PRODUCER_EPOCH, "a late batch of the transaction before");
}

#[tokio::test]
async fn a_refused_batch_leaves_its_partition_in_the_transaction() {
    // Kafka asks the coordinator before it looks at the records.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[("cleanup.policy", "compact")]).await;
    let producer = producer(&mut connection).await;
    let refused = write(&mut connection, 13, &producer, (&topic, 0), 0, &["no key"]).await;
    assert_eq!(refused["error_code"], code::INVALID_RECORD);
    assert_eq!(describe(&mut connection, &producer.transactional_id).await["transaction_state"], "Ongoing");
    end(&mut connection, V2, &producer, false).await;
    let all = batches(&mut connection, &topic, 0, 0).await;
    assert_eq!((all.len(), all[0].attributes), (1, 0x30), "a marker without a transaction");
    assert!(aborted(&read_committed(&mut connection, &topic, 0).await).is_empty());
}

#[tokio::test]
async fn a_tool_can_end_what_hangs() {
    // KIP-664: WriteTxnMarkers as TransactionsCommand sends it.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let producer = producer(&mut connection).await;
    let bumped = init(&mut connection, &producer.transactional_id, None).await;
    let producer = Producer { epoch: bumped["producer_epoch"].int(), ..producer };
    send(&mut connection, V1, &producer, (&topic, 0), 0, &["a"]).await;
    let body = |epoch: i64, partition: i32| {
        let topics = value!([{ name: &topic.name, partition_indexes: [partition] }]);
        value!({ markers: [{
            producer_id: producer.id, producer_epoch: epoch, transaction_result: false, topics: topics,
            coordinator_epoch: 0,
        }] })
    };
    let mut codes = Vec::new();
    for (epoch, partition) in [(producer.epoch - 1, 0), (producer.epoch, 5), (producer.epoch, 0), (producer.epoch, 0)] {
        let answer = call(&mut connection, api::WRITE_TXN_MARKERS, 1, body(epoch, partition)).await;
        assert_eq!(answer["markers"][0]["producer_id"], producer.id);
        codes.push(answer["markers"][0]["topics"][0]["partitions"][0]["error_code"].int());
    }
    assert_eq!(codes, [47, 3, 0, 0]);
    assert_eq!(aborted(&read_committed(&mut connection, &topic, 0).await), [(producer.id, 0)]);
    assert_eq!(describe(&mut connection, &producer.transactional_id).await["transaction_state"], "Ongoing");
}

#[tokio::test]
async fn the_coordinator_keeps_its_state_in_kafkas_records() {
    // Spec G.2; TransactionLogValue.json: each move is a record of version 1 at the level of today.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let first = producer(&mut connection).await;
    send(&mut connection, V2, &first, (&topic, 0), 0, &["a"]).await;
    end(&mut connection, V2, &first, true).await;
    let mut records = Vec::new();
    let (log, partitions) = log_of_transactions(&mut connection).await;
    for partition in 0..partitions {
        let all = batches(&mut connection, &log, partition, 0).await;
        // Each is a batch of its own, of no producer.
        assert!(all.iter().all(|batch| (batch.base_sequence, batch.producer_id, batch.attributes) == (-1, -1, 0)));
        records.extend(all.iter().flat_map(Batch::records).filter(|record| is_of(record.key.as_ref(), &first)));
    }
    let read: Vec<_> = records.iter().map(|record| Stored::read(record.value.clone().unwrap())).collect();
    let states: Vec<_> = read.iter().map(|stored| (stored.state, stored.epoch - first.epoch)).collect();
    assert_eq!(states, [(0, 0), (1, 0), (2, 1), (4, 1)], "Empty, Ongoing, PrepareCommit, CompleteCommit");
    // Null, the topic and its partition, then none.
    let partitions: Vec<_> = read.iter().map(|stored| stored.partitions).collect();
    assert_eq!(partitions, [0, 2, 2, 1]);
    // Previous producer, next producer, client version: only what is not the default is written.
    let tags: Vec<_> = read.iter().map(|stored| stored.tags.clone()).collect();
    let previous = (0, first.id);
    assert_eq!(tags, [vec![previous], vec![previous, (2, 2)], vec![previous, (2, 2)], vec![previous, (2, 2)]]);
}

/// The topic of the coordinator, and how many partitions it has.
async fn log_of_transactions(connection: &mut system_tests::Raw) -> (Topic, i32) {
    let name = "__transaction_state".to_owned();
    let body = value!({ topics: [{ name: &name }], allow_auto_topic_creation: false });
    let answer = call(connection, api::METADATA, 12, body).await;
    let topic = &answer["topics"][0];
    let partitions = topic["partitions"].array().len().try_into().expect("it has few partitions");
    (Topic { name, id: topic["topic_id"].uuid() }, partitions)
}

fn is_of(key: Option<&Bytes>, producer: &Producer) -> bool {
    key.is_some_and(|key| key.ends_with(producer.transactional_id.as_bytes()))
}

/// A value of `__transaction_state`, version 1.
struct Stored {
    epoch: i64,
    state: i8,
    /// The length of the array of topics as it is written: 0 for null, one more than there are.
    partitions: u8,
    tags: Vec<(u8, i64)>,
}

impl Stored {
    fn read(mut value: Bytes) -> Self {
        assert_eq!(value.get_i16(), 1, "the version of the record");
        value.get_i64();
        let epoch = value.get_i16().into();
        assert_eq!(value.get_i32(), 60_000);
        let state = value.get_i8();
        let partitions = value.get_u8();
        for _ in 1..partitions {
            let length = usize::from(value.get_u8()) - 1;
            value.advance(length);
            let count = usize::from(value.get_u8()) - 1;
            value.advance(4 * count + 1);
        }
        value.get_i64();
        value.get_i64();
        let tags = (0..value.get_u8()).map(|_| {
            let (tag, size) = (value.get_u8(), value.get_u8());
            (tag, if size == 8 { value.get_i64() } else { value.get_i16().into() })
        });
        let tags = tags.collect();
        assert!(value.is_empty());
        Self { epoch, state, partitions, tags }
    }
}

#[tokio::test]
async fn two_phase_commit_is_not_there() {
    // KIP-939 is unstable in 4.3: InitProducerId v6, which could keep a prepared transaction, is not served, and ends the
    // connection as any version that is not.
    let (_broker, mut connection) = start().await;
    assert_eq!(versions(&mut connection, api::INIT_PRODUCER_ID).await, 0..=5);
    let body = value!({
        transactional_id: unique("prepared"), transaction_timeout_ms: 60_000, producer_id: -1, producer_epoch: -1,
        enable2_pc: true, keep_prepared_txn: true,
    });
    let _unanswered = connection.send(api::INIT_PRODUCER_ID, 6, body).await;
    connection.closed().await;
}
