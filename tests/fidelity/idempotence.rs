//! Producers that number their batches: what is a duplicate, what is out of order, what an epoch does.

use system_tests::batch::Batch;
use system_tests::raw::patiently;
use system_tests::{Raw, api, value};

use crate::ask::{self, Topic, call, now_ms, producer_id, start, topic, versions, write};
use crate::code;

#[tokio::test]
async fn every_version_gives_a_producer_id_of_its_own() {
    // Spec G.3 for no transactional id; whatever id and epoch the producer has is not looked at.
    let (_broker, mut connection) = start().await;
    let mut known = vec![producer_id(&mut connection).await];
    for version in versions(&mut connection, api::INIT_PRODUCER_ID).await {
        for (id, epoch) in [(-1, -1), (known[0], 3)] {
            let body =
                value!({ transactional_id: null, transaction_timeout_ms: 0, producer_id: id, producer_epoch: epoch });
            let answer = call(&mut connection, api::INIT_PRODUCER_ID, version, body).await;
            assert_eq!((answer["error_code"].int(), answer["producer_epoch"].int()), (0, 0), "v{version}");
            let given = answer["producer_id"].int();
            assert!(given >= 0 && !known.contains(&given), "{given} was given before: {known:?}");
            known.push(given);
        }
    }
}

#[tokio::test]
async fn an_empty_transactional_id_and_half_a_producer_are_invalid() {
    // Spec G.3; KafkaApis.handleInitProducerIdRequest, TransactionCoordinator.handleInitProducerId.
    let (_broker, mut connection) = start().await;
    for body in [
        value!({ transactional_id: "", transaction_timeout_ms: 60_000 }),
        value!({ transactional_id: null, transaction_timeout_ms: 60_000, producer_id: 5, producer_epoch: -1 }),
        value!({ transactional_id: null, transaction_timeout_ms: 60_000, producer_id: -1, producer_epoch: 5 }),
    ] {
        let answer = call(&mut connection, api::INIT_PRODUCER_ID, 5, body).await;
        assert_eq!(answer["error_code"], code::INVALID_REQUEST);
        assert_eq!((answer["producer_id"].int(), answer["producer_epoch"].int()), (-1, -1));
    }
}

#[tokio::test]
async fn a_retried_batch_is_answered_with_its_first_offset() {
    // Spec C.5 rule 1; UnifiedLog.analyzeAndValidateProducerState.
    let mut producer = Producer::start().await;
    assert_eq!(producer.write(0, 2).await, Ok(0));
    assert_eq!(producer.write(2, 3).await, Ok(2));
    for _ in 0..2 {
        assert_eq!(producer.write(0, 2).await, Ok(0));
        assert_eq!(producer.write(2, 3).await, Ok(2));
    }
    assert_eq!(producer.log_end_offset().await, 5);
}

#[tokio::test]
async fn a_sequence_that_is_not_the_next_one_is_out_of_order() {
    // Spec C.5 rule 3: a gap, a step back, and a part of a batch that was written are all the same.
    let mut producer = Producer::start().await;
    assert_eq!(producer.write(0, 3).await, Ok(0));
    for (sequence, count) in [(4, 1), (2, 1), (0, 2), (1, 2), (0, 4), (2, 2), (i32::MAX, 1)] {
        assert_eq!(producer.write(sequence, count).await, Err(code::OUT_OF_ORDER_SEQUENCE_NUMBER), "{sequence}");
    }
    assert_eq!(producer.write(3, 1).await, Ok(3));
}

#[tokio::test]
async fn five_batches_are_remembered() {
    // Spec C.5: ProducerStateEntry.NUM_BATCHES_TO_RETAIN. The sixth is no duplicate any more, but out of order.
    let mut producer = Producer::start().await;
    for sequence in 0..6 {
        assert_eq!(producer.write(sequence, 1).await, Ok(sequence.into()));
    }
    assert_eq!(producer.write(0, 1).await, Err(code::OUT_OF_ORDER_SEQUENCE_NUMBER));
    for sequence in (1..6).rev() {
        assert_eq!(producer.write(sequence, 1).await, Ok(sequence.into()), "in any order");
    }
    assert_eq!(producer.write(6, 1).await, Ok(6));
    assert_eq!(producer.write(1, 1).await, Err(code::OUT_OF_ORDER_SEQUENCE_NUMBER));
    assert_eq!(producer.log_end_offset().await, 7);
}

#[tokio::test]
async fn a_producer_nobody_knows_may_start_anywhere() {
    // Spec C.5: no state for it on this partition.
    for first in [0, 1, 500, i32::MAX] {
        let mut producer = Producer::start().await;
        assert_eq!(producer.write(first, 1).await, Ok(0));
        assert_eq!(producer.write(7, 1).await, Err(code::OUT_OF_ORDER_SEQUENCE_NUMBER));
    }
}

#[tokio::test]
async fn after_the_last_sequence_comes_zero() {
    // Spec C.5; DefaultRecordBatch.incrementSequence.
    let mut producer = Producer::start().await;
    assert_eq!(producer.write(i32::MAX, 1).await, Ok(0));
    assert_eq!(producer.write(1, 1).await, Err(code::OUT_OF_ORDER_SEQUENCE_NUMBER));
    assert_eq!(producer.write(0, 1).await, Ok(1));
    assert_eq!(producer.write(1, 1).await, Ok(2));
    assert_eq!(producer.write(i32::MAX, 1).await, Ok(0), "and the last one is remembered");
}

#[tokio::test]
async fn a_batch_may_span_the_end_of_the_sequences() {
    // Spec C.5: from 2^31 - 2 over four records to 1.
    let mut producer = Producer::start().await;
    assert_eq!(producer.write(i32::MAX - 1, 4).await, Ok(0));
    assert_eq!(producer.write(i32::MAX - 1, 4).await, Ok(0), "a duplicate");
    assert_eq!(producer.write(1, 1).await, Err(code::OUT_OF_ORDER_SEQUENCE_NUMBER));
    assert_eq!(producer.write(2, 1).await, Ok(4));
}

#[tokio::test]
async fn a_new_epoch_starts_at_zero_and_fences_the_old_one() {
    // Spec C.5 rules 2 and 3; Produce says INVALID_PRODUCER_EPOCH, never PRODUCER_FENCED (KIP-588).
    let mut producer = Producer::start().await;
    assert_eq!(producer.write(0, 1).await, Ok(0));
    producer.epoch = 2;
    assert_eq!(producer.write(1, 1).await, Err(code::OUT_OF_ORDER_SEQUENCE_NUMBER));
    assert_eq!(producer.write(0, 1).await, Ok(1));
    assert_eq!(producer.write(0, 1).await, Ok(1), "a duplicate in the new epoch");
    assert_eq!(producer.write(1, 1).await, Ok(2));
    for old in [0, 1] {
        producer.epoch = old;
        for sequence in [0, 1, 2] {
            assert_eq!(producer.write(sequence, 1).await, Err(code::INVALID_PRODUCER_EPOCH), "epoch {old}");
        }
    }
    producer.epoch = 2;
    assert_eq!(producer.write(2, 1).await, Ok(3));
}

#[tokio::test]
async fn partitions_and_producers_count_for_themselves() {
    // Spec C.5: the state is per partition and producer id.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 2, &[]).await;
    let ids = [producer_id(&mut connection).await, producer_id(&mut connection).await];
    for id in ids {
        for partition in 0..2 {
            for sequence in 0..3 {
                let batch = Batch::of(["a"]).from_producer(id, 0, sequence);
                ask::append(&mut connection, &topic, partition, &batch).await;
            }
        }
    }
    for partition in 0..2 {
        assert_eq!(ask::list_offsets(&mut connection, &topic, partition, -1).await["offset"], 6);
    }
}

#[tokio::test]
async fn a_refused_batch_does_not_move_the_sequence() {
    // Spec C.5: state changes with the append and not before.
    let mut producer = Producer::start().await;
    assert_eq!(producer.write(0, 1).await, Ok(0));
    let corrupt = Batch { crc: Some(1), ..producer.batch(1, 1) };
    assert_eq!(producer.write_batch(&corrupt).await, Err(code::CORRUPT_MESSAGE));
    let miscounted = Batch { record_count: 3, ..producer.batch(1, 1) };
    assert_eq!(producer.write_batch(&miscounted).await, Err(code::INVALID_RECORD));
    assert_eq!(producer.write(2, 1).await, Err(code::OUT_OF_ORDER_SEQUENCE_NUMBER));
    assert_eq!(producer.write(1, 1).await, Ok(1));
}

#[tokio::test]
async fn a_refusal_for_the_sequence_tells_the_log_start_and_nothing_more() {
    // Spec C.8: sequence errors carry the real log start, and no words.
    let mut producer = Producer::start().await;
    producer.write(0, 1).await.unwrap();
    for epoch in [0, -1] {
        let batch = Batch { producer_epoch: epoch, ..producer.batch(5, 1) };
        let refused = write(&mut producer.connection, &producer.topic, 0, &batch).await;
        assert_ne!(refused["error_code"], code::NONE);
        assert_eq!((refused["base_offset"].int(), refused["log_append_time_ms"].int()), (-1, -1));
        assert_eq!(refused["log_start_offset"], 0);
        assert!(refused["error_message"].is_null());
    }
}

#[tokio::test]
async fn a_duplicate_has_the_time_of_the_first_one() {
    // Spec C.5 rule 1: the cached batch's timestamp, on a LogAppendTime topic.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let id = producer_id(&mut connection).await;
    let batch = Batch::of(["a"]).from_producer(id, 0, 0);
    let first = write(&mut connection, &topic, 0, &batch).await;
    let time = first["log_append_time_ms"].int();
    // Other batches, until the clock has moved on.
    let moved_on = async {
        while write(&mut connection, &topic, 0, &Batch::of(["b"])).await["log_append_time_ms"].int() == time {}
    };
    patiently("the broker's clock to move on", moved_on).await;
    let again = write(&mut connection, &topic, 0, &batch).await;
    assert_eq!((again["error_code"].int(), again["base_offset"].int()), (0, 0));
    assert_eq!(again["log_append_time_ms"], time);
}

#[tokio::test]
async fn a_producer_is_remembered_when_its_records_are_gone() {
    // Seen on 4.3.1, and UnifiedLog.maybeIncrementLogStartOffset: deleting records removes no producer's state.
    let mut producer = Producer::start().await;
    for sequence in 0..2 {
        producer.write(sequence, 1).await.unwrap();
    }
    ask::delete_records(&mut producer.connection, &producer.topic, 0, -1).await;
    assert_eq!(producer.write(1, 1).await, Ok(1), "a duplicate of what can no longer be read");
    assert_eq!(producer.write(5, 1).await, Err(code::OUT_OF_ORDER_SEQUENCE_NUMBER));
    assert_eq!(producer.write(2, 1).await, Ok(2));
}

#[tokio::test]
async fn retries_may_overtake_each_other_within_a_pipeline() {
    // Spec C.5: five in flight and all of them sent again, as a client does after a lost connection.
    let mut producer = Producer::start().await;
    let mut sent = Vec::new();
    for _ in 0..2 {
        for sequence in 0..5 {
            let records = producer.batch(sequence, 1).encode();
            let body = ask::produce(&producer.topic, 0, records);
            sent.push((sequence, ask::send(&mut producer.connection, api::PRODUCE, 13, body).await));
        }
    }
    for (sequence, sent) in sent {
        let answer = producer.connection.receive(sent).await;
        let written = &answer["responses"][0]["partition_responses"][0];
        assert_eq!((written["error_code"].int(), written["base_offset"].int()), (0, sequence.into()));
    }
    assert_eq!(producer.log_end_offset().await, 5);
}

/// One producer and one partition that nobody else writes.
struct Producer {
    _broker: system_tests::world::Broker,
    connection: Raw,
    topic: Topic,
    id: i64,
    epoch: i16,
}

impl Producer {
    async fn start() -> Self {
        let (broker, mut connection) = start().await;
        let topic = topic(&mut connection, 1, &[]).await;
        let id = producer_id(&mut connection).await;
        Self { _broker: broker, connection, topic, id, epoch: 0 }
    }

    /// A batch of today: a producer whose last one is older than a day may be forgotten at any moment.
    fn batch(&self, sequence: i32, count: usize) -> Batch {
        let now = now_ms();
        let batch = Batch { base_timestamp: now, max_timestamp: now, ..Batch::of(vec!["v"; count]) };
        batch.from_producer(self.id, self.epoch, sequence)
    }

    /// The offset of the first record, or the error.
    async fn write(&mut self, sequence: i32, count: usize) -> Result<i64, i16> {
        self.write_batch(&self.batch(sequence, count)).await
    }

    async fn write_batch(&mut self, batch: &Batch) -> Result<i64, i16> {
        let answer = write(&mut self.connection, &self.topic, 0, batch).await;
        match answer["error_code"].int() {
            0 => Ok(answer["base_offset"].int()),
            error_code => Err(error_code.try_into().expect("a code has 16 bits")),
        }
    }

    async fn log_end_offset(&mut self) -> i64 {
        ask::list_offsets(&mut self.connection, &self.topic, 0, -1).await["offset"].int()
    }
}
