//! The transactional producer: what is committed counts, once; what is not does not; and whatever is lost on the way, the
//! program is told which of the two it is, or that it is not known. On the mock in both generations, or on a real Kafka.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_kafka::{ErrorCode, NextOffset, Outcome, Record, TopicPartition, TransactionalProducer};
use mockbroker::{ApiKey, Fault, on};
use system_tests::api::{
    ADD_OFFSETS_TO_TXN, ADD_PARTITIONS_TO_TXN, END_TXN, FIND_COORDINATOR, INIT_PRODUCER_ID, PRODUCE, TXN_OFFSET_COMMIT,
};
use system_tests::line::{Fate, Lines};

use crate::stage::{Stage, generations, within};

const CONCURRENT_TRANSACTIONS: i16 = 51;

/// Sends numbers and the offset of what they are said to be made of, and commits both.
async fn commit(stage: &Stage, producer: &TransactionalProducer, numbers: std::ops::Range<i32>) {
    let transaction = producer.begin().await.expect("it begins");
    for n in numbers.clone() {
        transaction.send(stage.result(n)).await.expect("taken");
    }
    let read = NextOffset::new(TopicPartition::new(Arc::clone(&stage.input), 0), i64::from(numbers.end));
    let group = async_kafka::GroupMetadata::without_member(stage.group.as_str());
    transaction.send_offsets(&read, &group).await.expect("offsets are taken");
    transaction.commit().await.expect("committed");
}

#[tokio::test]
async fn what_is_committed_counts_and_what_is_aborted_does_not() {
    for generation in generations() {
        let stage = Stage::new(*generation).await;
        let producer = stage.producer().build().await.expect("the id is taken over");
        commit(&stage, &producer, 0..10).await;
        let aborted = producer.begin().await.expect("it begins");
        for n in 10..20 {
            aborted.send(stage.result(n)).await.expect("taken").await.expect("written");
        }
        let read = NextOffset::new(TopicPartition::new(Arc::clone(&stage.input), 0), 99);
        let group = async_kafka::GroupMetadata::without_member(stage.group.as_str());
        aborted.send_offsets(read, &group).await.expect("taken");
        aborted.abort().await.expect("aborted");
        assert_eq!(producer.resolve().await.expect("known"), Some(Outcome::Aborted));
        commit(&stage, &producer, 20..30).await;
        assert_eq!(producer.resolve().await.expect("known"), Some(Outcome::Committed));
        assert_eq!(stage.numbers().await, (0..10).chain(20..30).collect::<Vec<_>>(), "generation {generation}");
        assert_eq!(stage.offsets().await[0], 30);
    }
}

#[tokio::test]
async fn empty_transactions_need_no_broker() {
    let stage = Stage::new(2).await;
    let producer = stage.producer().build().await.expect("the id is taken over");
    producer.begin().await.expect("it begins").commit().await.expect("there is nothing to commit");
    producer.begin().await.expect("it begins").abort().await.expect("there is nothing to abort");
    commit(&stage, &producer, 0..3).await;
    assert_eq!(stage.numbers().await, [0, 1, 2]);
}

#[tokio::test]
async fn a_transaction_that_is_dropped_is_aborted_at_the_next_use() {
    for generation in generations() {
        let stage = Stage::new(*generation).await;
        let producer = stage.producer().build().await.expect("the id is taken over");
        let dropped = producer.begin().await.expect("it begins");
        dropped.send(stage.result(1)).await.expect("taken").await.expect("written");
        assert!(producer.begin().await.is_err(), "one at a time");
        let late = dropped.sender();
        drop(dropped);
        assert!(late.send(stage.result(2)).await.is_err(), "nothing gets in any more");
        commit(&stage, &producer, 5..8).await;
        assert!(late.send(stage.result(3)).await.is_err(), "nor into the next");
        assert_eq!(stage.numbers().await, [5, 6, 7], "generation {generation}");
    }
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_wherever_a_request_or_an_answer_is_lost() {
    // Each API once, each on both of its ways, and everything else twice.
    let apis = [
        FIND_COORDINATOR,
        INIT_PRODUCER_ID,
        ADD_PARTITIONS_TO_TXN,
        PRODUCE,
        ADD_OFFSETS_TO_TXN,
        TXN_OFFSET_COMMIT,
        END_TXN,
    ];
    for generation in generations() {
        for (api, fate) in apis.into_iter().flat_map(|api| [(api, Fate::RequestLost), (api, Fate::AnswerLost)]) {
            let only_first = [ADD_PARTITIONS_TO_TXN, ADD_OFFSETS_TO_TXN].contains(&api);
            if only_first && *generation == 2 {
                continue;
            }
            let lines = Lines::new(move |asked, nth| if asked == api && nth % 3 == 0 { fate } else { Fate::Passes });
            let stage = Stage::on(*generation, &lines).await;
            let producer = stage.producer().build().await.expect("the id is taken over");
            for start in [0, 10, 20] {
                commit(&stage, &producer, start..start + 10).await;
            }
            let what = format!("generation {generation}, {api}: {fate:?}");
            assert!(lines.seen(api).contains(&fate), "{what}");
            assert_eq!(stage.numbers().await, (0..30).collect::<Vec<_>>(), "{what}");
            assert_eq!(stage.offsets().await[0], 30, "{what}");
        }
    }
}

#[tokio::test]
async fn whoever_takes_the_id_later_has_it() {
    for generation in generations() {
        let stage = Stage::new(*generation).await;
        let zombie = stage.producer().build().await.expect("the id is taken over");
        let open = zombie.begin().await.expect("it begins");
        open.send(stage.result(1)).await.expect("taken").await.expect("written");
        let owner = stage.producer().build().await.expect("the id is taken over");
        let error = open.commit().await.expect_err("it is fenced");
        assert!(error.is_fatal() && !error.is_outcome_unknown() && !error.requires_abort(), "{error}");
        assert_eq!(error.code(), Some(ErrorCode::ProducerFenced));
        assert!(zombie.begin().await.expect_err("it is of no further use").is_fatal());
        commit(&stage, &owner, 2..4).await;
        assert_eq!(stage.numbers().await, [2, 3], "generation {generation}");
    }
}

#[tokio::test]
async fn a_zombie_that_writes_on_is_stopped_by_its_epoch() {
    let stage = Stage::new(2).await;
    let zombie = stage.producer().build().await.expect("the id is taken over");
    let open = zombie.begin().await.expect("it begins");
    open.send(stage.result(1)).await.expect("taken").await.expect("written");
    let _owner = stage.producer().build().await.expect("the id is taken over");
    let refused = open.send(stage.result(2)).await.expect("taken").await.expect_err("its epoch is an old one");
    assert!(refused.requires_abort(), "to a batch it says that the transaction is over: {refused}");
    let error = open.abort().await.expect_err("the coordinator says why");
    assert!(error.is_fatal(), "{error}");
    assert_eq!(stage.numbers().await, [0; 0]);
}

#[tokio::test]
async fn a_record_that_fails_fails_the_commit_and_the_next_transaction_is_whole() {
    for generation in generations() {
        let stage = Stage::new(*generation).await;
        let producer = stage.producer().producer(|producer| producer.max_request_size(3 << 20)).build().await;
        let producer = producer.expect("the id is taken over");
        commit(&stage, &producer, 0..2).await;
        let transaction = producer.begin().await.expect("it begins");
        transaction.send(stage.result(2)).await.expect("taken").await.expect("written");
        // More than message.max.bytes, so the broker refuses it.
        let huge = Record::to(Arc::clone(&stage.output)).partition(0).value(vec![b'x'; 2 << 20]);
        let refused = transaction.send(huge).await.expect("taken");
        let error = transaction.commit().await.expect_err("it is not whole");
        assert!(error.requires_abort() && !error.is_fatal(), "{error}");
        assert_eq!(error.code(), Some(ErrorCode::MessageTooLarge));
        assert!(refused.await.is_err());
        commit(&stage, &producer, 3..5).await;
        assert_eq!(stage.numbers().await, [0, 1, 3, 4], "generation {generation}");
    }
}

#[tokio::test]
async fn an_outcome_is_unknown_until_the_coordinator_tells() {
    for generation in generations() {
        let silent = Arc::new(AtomicBool::new(true));
        let hears = Arc::clone(&silent);
        let lines = Lines::new(move |api, _| match api == END_TXN && hears.load(Ordering::SeqCst) {
            true => Fate::AnswerLost,
            false => Fate::Passes,
        });
        let stage = Stage::on(*generation, &lines).await;
        let short = Duration::from_millis(800);
        let producer = stage.producer().producer(|producer| producer.max_block(short)).build().await;
        let producer = producer.expect("the id is taken over");
        let transaction = producer.begin().await.expect("it begins");
        transaction.send(stage.result(1)).await.expect("taken");
        let error = transaction.commit().await.expect_err("no answer comes");
        assert!(error.is_outcome_unknown() && !error.requires_abort() && !error.is_fatal(), "{error}");
        assert!(producer.resolve().await.expect_err("nor now").is_outcome_unknown());
        silent.store(false, Ordering::SeqCst);
        assert_eq!(producer.resolve().await.expect("now it is known"), Some(Outcome::Committed));
        commit(&stage, &producer, 2..4).await;
        assert_eq!(stage.numbers().await, [1, 2, 3], "generation {generation}");
    }
}

#[tokio::test]
async fn a_commit_whose_future_is_dropped_is_brought_to_its_end() {
    let stage = Stage::new(2).await;
    let Some(mock) = &stage.mock else { return };
    let producer = stage.producer().build().await.expect("the id is taken over");
    let transaction = producer.begin().await.expect("it begins");
    transaction.send(stage.result(1)).await.expect("taken");
    let gate = mock.pause_next(on(ApiKey::EndTxn)).after_apply();
    tokio::select! {
        ended = transaction.commit() => panic!("the answer is held: {ended:?}"),
        () = gate.entered() => {}
    }
    gate.release();
    assert_eq!(within("it is known", producer.resolve()).await.expect("known"), Some(Outcome::Committed));
    commit(&stage, &producer, 2..4).await;
    assert_eq!(stage.numbers().await, [1, 2, 3]);
}

#[tokio::test]
async fn markers_that_are_being_written_are_waited_for() {
    for generation in generations() {
        let stage = Stage::new(*generation).await;
        let Some(mock) = &stage.mock else { return };
        let first = if *generation == 1 { ApiKey::AddPartitionsToTxn } else { ApiKey::Produce };
        for api in [ApiKey::InitProducerId, first, ApiKey::TxnOffsetCommit, ApiKey::EndTxn] {
            let fault = mock.fault(on(api).times(3));
            let fault = fault.before_apply(Fault::Error(CONCURRENT_TRANSACTIONS)).mount();
            let producer = stage.producer().build().await.expect("the id is taken over");
            commit(&stage, &producer, 0..4).await;
            assert_eq!(fault.hits(), 3, "{api:?} in generation {generation}");
        }
        assert_eq!(stage.numbers().await.len(), 16, "generation {generation}");
    }
}

#[tokio::test]
async fn a_transaction_that_takes_too_long_is_aborted_and_the_next_is_whole() {
    for generation in generations() {
        let stage = Stage::new(*generation).await;
        let timeout = Duration::from_millis(if stage.broker.is_real() { 1000 } else { 100 });
        let producer = stage.producer().transaction_timeout(timeout).build().await.expect("the id is taken over");
        let slow = producer.begin().await.expect("it begins");
        slow.send(stage.result(1)).await.expect("taken").await.expect("written");
        // What a reader waits for is the end of the transaction, which only the coordinator can bring about here.
        assert_eq!(stage.numbers().await, [0; 0]);
        // A real Kafka looks every ten seconds, and may be quicker than our clock.
        tokio::time::sleep(timeout).await;
        let error = slow.commit().await.expect_err("it is over");
        assert!(error.requires_abort() && !error.is_fatal() && !error.is_outcome_unknown(), "{error}");
        let next = producer.begin().await.expect("the id is taken over anew");
        next.send(stage.result(2)).await.expect("taken");
        next.commit().await.expect("committed");
        assert_eq!(stage.numbers().await, [2], "generation {generation}");
    }
}

#[tokio::test]
async fn offsets_of_a_member_that_is_out_of_the_group_are_refused() {
    for generation in generations() {
        let stage = Stage::new(*generation).await;
        stage.feed(0..4).await;
        let consumer = stage.consumer().await;
        let batch = within("a batch comes", consumer.next_batch()).await.expect("no error").expect("open");
        let before = consumer.group_metadata();
        consumer.close(crate::stage::LIMIT).await.expect("it leaves the group");
        let producer = stage.producer().build().await.expect("the id is taken over");

        let transaction = producer.begin().await.expect("it begins");
        transaction.send(stage.result(1)).await.expect("taken");
        let error = transaction.send_offsets(&batch, &before).await.expect_err("the group knows");
        assert!(error.requires_abort() && !error.is_fatal(), "{error}");
        assert!(transaction.commit().await.expect_err("only an abort").requires_abort());

        let transaction = producer.begin().await.expect("it begins");
        let error = transaction.send_offsets(&batch, &consumer.group_metadata()).await.expect_err("we know");
        assert!(error.requires_abort() && error.code().is_none(), "{error}");
        transaction.abort().await.expect("aborted");
        assert_eq!(stage.numbers().await, [0; 0]);
        assert_eq!(stage.offsets().await, [-1, -1], "generation {generation}");
    }
}
