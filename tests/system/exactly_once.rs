//! The loop from topics to topics: every record of the input has one result in the output, whatever goes wrong in the middle. On
//! the mock in both generations, or on a real Kafka with `KAFKA_BOOTSTRAP`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_kafka::{
    Assignor, Consumer, ConsumerBatch, ErrorCode, ExactlyOnceError, IsolationLevel, OnError, TransactionSender,
    TransactionalProducer,
};
use mockbroker::{ApiKey, Fault, on};
use system_tests::api::{CREATE_TOPICS, END_TXN};
use system_tests::line::{Fate, Lines};
use system_tests::value;
use system_tests::world::unique;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::stage::{LIMIT, Stage, every_fourth_is_lost, generations, number, within};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Ended = JoinHandle<Result<(), ExactlyOnceError>>;

/// Sends a result for every record of a batch.
async fn work(stage: &Stage, batch: &ConsumerBatch, transaction: &TransactionSender) -> Result<(), BoxError> {
    for record in batch.records() {
        transaction.send(stage.result(number(record.value()))).await?;
    }
    Ok(())
}

/// Runs the loop until it is told to stop.
fn run(stage: &Arc<Stage>, consumer: Consumer, producer: TransactionalProducer) -> (Arc<Notify>, Ended) {
    run_as(stage, consumer, producer, false)
}

/// The same as it is, or as it overlaps.
fn run_as(
    stage: &Arc<Stage>,
    consumer: Consumer,
    producer: TransactionalProducer,
    overlaps: bool,
) -> (Arc<Notify>, Ended) {
    let (stage, stop) = (Arc::clone(stage), Arc::new(Notify::new()));
    let stopped = Arc::clone(&stop);
    let ended = tokio::spawn(async move {
        let each = |batch: ConsumerBatch, transaction: TransactionSender| {
            let stage = Arc::clone(&stage);
            async move { work(&stage, &batch, &transaction).await }
        };
        let looped = stage.kafka.exactly_once(consumer, producer).transaction_records(8).overlap(overlaps);
        looped.until(async move { stopped.notified().await }).for_each_batch(each).await
    });
    (stop, ended)
}

/// Waits until the group has committed the whole input.
async fn until_done(stage: &Stage, total: i32) {
    let half = |partition: i32| i64::from((total - partition + 1) / 2);
    let done = async {
        loop {
            // Other producers' markers take offsets as well, so what is committed may be beyond.
            let offsets = stage.offsets().await;
            if (0..).zip(&offsets).all(|(partition, offset)| *offset >= half(partition)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("everything is committed", done).await;
}

async fn stopped(stop: &Notify, ended: Ended) {
    stop.notify_one();
    within("the loop ends", ended).await.expect("no panic").expect("no error");
}

#[tokio::test]
async fn every_record_has_one_result_and_shutdown_finishes_what_is_in_hand() {
    for generation in generations() {
        let stage = Arc::new(Stage::new(*generation).await);
        stage.feed(0..100).await;
        let producer = stage.producer().build().await.expect("the id is taken over");
        let (stop, ended) = run(&stage, stage.consumer().await, producer);
        until_done(&stage, 100).await;
        stopped(&stop, ended).await;
        assert_eq!(stage.numbers().await, (0..100).collect::<Vec<_>>(), "generation {generation}");
        assert_eq!(stage.offsets().await, [50, 50]);
    }
}

#[tokio::test]
async fn a_partition_keeps_its_order() {
    let stage = Arc::new(Stage::new(2).await);
    stage.feed(0..200).await;
    let producer = stage.producer().build().await.expect("the id is taken over");
    let (stop, ended) = run(&stage, stage.consumer().await, producer);
    until_done(&stage, 200).await;
    stopped(&stop, ended).await;
    let found: Vec<i32> = stage.committed().await.iter().map(|value| value.parse().expect("a number")).collect();
    let expected: Vec<i32> = (0..200).step_by(2).chain((1..200).step_by(2)).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn lost_requests_and_answers_change_nothing() {
    for generation in generations() {
        let lines = Lines::new(every_fourth_is_lost);
        let stage = Arc::new(Stage::on(*generation, &lines).await);
        stage.feed(0..60).await;
        let producer = stage.producer().build().await.expect("the id is taken over");
        let (stop, ended) = run(&stage, stage.consumer().await, producer);
        until_done(&stage, 60).await;
        stopped(&stop, ended).await;
        assert_eq!(stage.numbers().await, (0..60).collect::<Vec<_>>(), "generation {generation}");
        assert!(lines.seen(END_TXN).contains(&Fate::AnswerLost));
    }
}

#[tokio::test]
async fn an_error_of_the_function_aborts_what_it_sent_and_the_batch_comes_again() {
    for generation in generations() {
        let stage = Arc::new(Stage::new(*generation).await);
        stage.feed(0..30).await;
        let (consumer, producer) = (stage.consumer().await, stage.producer().build().await.expect("taken over"));
        let (calls, stop) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let (calling, stopping, inner) = (Arc::clone(&calls), Arc::clone(&stop), Arc::clone(&stage));
        let attempts = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&attempts);
        let ended = tokio::spawn(async move {
            let each = |batch: ConsumerBatch, transaction: TransactionSender| {
                let (stage, calls) = (Arc::clone(&inner), Arc::clone(&calling));
                async move {
                    work(&stage, &batch, &transaction).await?;
                    // Every third call fails when its records are on their way.
                    let fails = calls.fetch_add(1, Ordering::SeqCst) % 3 == 1;
                    if fails { Err(BoxError::from("no luck")) } else { Ok(()) }
                }
            };
            let looped = inner.kafka.exactly_once(consumer, producer).transaction_records(4);
            let looped = looped.on_error(move |failure| {
                told.lock().expect("no panic").push((failure.error.to_string(), failure.attempts));
                OnError::Retry
            });
            looped.until(async move { stopping.notified().await }).for_each_batch(each).await
        });
        until_done(&stage, 30).await;
        stopped(&stop, ended).await;
        assert_eq!(stage.numbers().await, (0..30).collect::<Vec<_>>(), "generation {generation}");
        assert!(attempts.lock().expect("no panic").iter().any(|attempt| *attempt == ("no luck".to_owned(), 1)));
    }
}

#[tokio::test]
async fn the_loop_stops_with_the_error_and_the_next_one_goes_on_there() {
    let stage = Arc::new(Stage::new(2).await);
    stage.feed(0..20).await;
    let (consumer, producer) = (stage.consumer().await, stage.producer().build().await.expect("taken over"));
    let inner = Arc::clone(&stage);
    let failing = |batch: ConsumerBatch, transaction: TransactionSender| {
        let stage = Arc::clone(&inner);
        async move {
            work(&stage, &batch, &transaction).await?;
            if batch.records().any(|record| number(record.value()) == 13) { Err(BoxError::from("13")) } else { Ok(()) }
        }
    };
    let looped = stage.kafka.exactly_once(consumer.clone(), producer.clone()).transaction_records(1);
    let error = within("it fails", looped.for_each_batch(failing)).await.expect_err("13 is bad luck");
    assert!(matches!(&error, ExactlyOnceError::Program(why) if why.to_string() == "13"), "{error}");
    consumer.close(LIMIT).await.expect("closed");
    assert!(!stage.numbers().await.contains(&13), "what the function sent before it failed does not count");
    let (stop, ended) = run(&stage, stage.consumer().await, producer);
    until_done(&stage, 20).await;
    stopped(&stop, ended).await;
    assert_eq!(stage.numbers().await, (0..20).collect::<Vec<_>>());
}

/// Works on thirty records of which those in `poison` cannot be worked on; what fails a second time is given up. The topic of the dead
/// letters, and the numbers in it, in order.
async fn with_poison(
    stage: &Arc<Stage>,
    poison: &'static [i32],
    give_up: fn(Arc<str>) -> OnError,
) -> (Arc<str>, Vec<i32>) {
    let dead = dead_letters(stage).await;
    stage.feed(0..30).await;
    let (consumer, producer) = (stage.consumer().await, stage.producer().build().await.expect("taken over"));
    let stop = Arc::new(Notify::new());
    let (stopping, inner, letters) = (Arc::clone(&stop), Arc::clone(stage), Arc::clone(&dead));
    let ended = tokio::spawn(async move {
        let each = |batch: ConsumerBatch, transaction: TransactionSender| {
            let stage = Arc::clone(&inner);
            async move {
                work(&stage, &batch, &transaction).await?;
                let poison = batch.records().map(|record| number(record.value())).find(|n| poison.contains(n));
                poison.map_or(Ok(()), |poison| Err(BoxError::from(format!("{poison} is poison"))))
            }
        };
        let looped = inner.kafka.exactly_once(consumer, producer).on_error(move |failure| match failure.attempts {
            1 => OnError::Retry,
            _ => give_up(Arc::clone(&letters)),
        });
        looped.until(async move { stopping.notified().await }).for_each_batch(each).await
    });
    until_done(stage, 30).await;
    stopped(&stop, ended).await;
    let values = stage.committed_in(&dead).await;
    let mut numbers: Vec<i32> = values.iter().map(|value| value.parse().expect("a number")).collect();
    numbers.sort_unstable();
    (dead, numbers)
}

/// A topic for dead letters.
async fn dead_letters(stage: &Stage) -> Arc<str> {
    let dead: Arc<str> = unique("dead").into();
    let wanted = value!({ name: &*dead, num_partitions: 1, replication_factor: 1 });
    let body = value!({ topics: [wanted], timeout_ms: 10_000 });
    let created = stage.broker.connect().await.call(CREATE_TOPICS, 7, body).await;
    assert_eq!(created["topics"][0]["error_code"], 0, "{created:?}");
    dead
}

#[tokio::test]
async fn a_batch_that_fails_again_goes_to_the_dead_letters_with_its_offset() {
    let stage = Arc::new(Stage::new(2).await);
    let (dead, bad) = with_poison(&stage, &[7], OnError::DeadLetter).await;
    let good = stage.numbers().await;
    assert!(bad.contains(&7) && !good.contains(&7), "{bad:?}");
    let mut all = [bad, good].concat();
    all.sort_unstable();
    assert_eq!(all, (0..30).collect::<Vec<_>>(), "every record is in one of the two topics, once");
    let consumer = stage.quiet.assigned_consumer().assign(dead, 0, async_kafka::Offset::Earliest);
    let consumer = consumer.isolation(IsolationLevel::ReadCommitted).build().await.expect("assigned");
    let letter = within("a letter", consumer.recv()).await.expect("no error").expect("open");
    let headers: BTreeMap<_, _> = letter.headers().collect();
    assert_eq!(headers["dead-letter.topic"], Some(stage.input.as_bytes()));
    assert_eq!(headers["dead-letter.error"], Some(&b"7 is poison"[..]));
}

#[tokio::test]
async fn only_the_records_that_fail_go_to_the_dead_letters() {
    // Batches of three, and some batches in a transaction, so that more than one of a partition fails in the same one.
    const POISON: &[i32] = &[3, 7, 8, 21];
    let stage = Arc::new(Stage::new(2).await);
    let (_, bad) = with_poison(&stage, POISON, OnError::DeadLetterRecords).await;
    assert_eq!(bad, POISON, "those, and each once");
    let good: Vec<i32> = (0..30).filter(|n| !POISON.contains(n)).collect();
    assert_eq!(stage.numbers().await, good, "the others have their results");
}

#[tokio::test]
async fn a_commit_that_nobody_can_tell_of_any_more_is_left_to_the_committed_offsets() {
    // The transaction times out while its commit is under way: what the coordinator answers then says nothing.
    let timeout = Duration::from_millis(300);
    for (apply, overlaps) in [(false, false), (false, true), (true, false), (true, true)] {
        let stage = Arc::new(Stage::new(1).await);
        let Some(broker) = &stage.mock else { return };
        stage.feed(0..20).await;
        let producer = stage.producer().transaction_timeout(timeout).build().await.expect("taken over");
        let fault = broker.fault(on(ApiKey::EndTxn).transactional_id(stage.id.as_str()));
        let fault = if apply { fault.after_apply(Fault::Disconnect) } else { fault.before_apply(Fault::Disconnect) };
        let lost = fault.mount();
        let (stop, ended) = run_as(&stage, stage.consumer().await, producer, overlaps);
        within("a commit is lost", lost.wait(1)).await;
        tokio::time::sleep(timeout * 3).await;
        drop(lost);
        until_done(&stage, 20).await;
        stopped(&stop, ended).await;
        assert_eq!(stage.numbers().await, (0..20).collect::<Vec<_>>(), "applied: {apply}, overlaps: {overlaps}");
    }
}

#[tokio::test]
async fn members_come_and_go_in_the_middle_of_transactions() {
    for (generation, assignor) in
        generations().iter().flat_map(|g| [(*g, Assignor::Range), (*g, Assignor::CooperativeSticky)])
    {
        let stage = Arc::new(Stage::new(generation).await);
        let member = async |index: usize| {
            let consumer = stage.member().assignors([assignor]).build().await.expect("valid settings");
            let id = format!("{}-{index}", stage.id);
            let producer = stage.kafka.transactional(id).linger(Duration::ZERO).build().await.expect("taken over");
            run_as(&stage, consumer, producer, index % 2 == 1)
        };
        let mut members = vec![member(0).await];
        for round in 0..6 {
            stage.feed(round * 20..(round + 1) * 20).await;
            if round % 2 == 0 {
                members.push(member(round as usize + 1).await);
            } else {
                let (stop, ended) = members.remove(0);
                stopped(&stop, ended).await;
            }
        }
        until_done(&stage, 120).await;
        for (stop, ended) in members {
            stopped(&stop, ended).await;
        }
        assert_eq!(stage.numbers().await, (0..120).collect::<Vec<_>>(), "generation {generation}, {assignor:?}");
    }
}

#[tokio::test]
async fn a_worker_that_is_killed_is_taken_over_from_where_it_committed() {
    for generation in generations() {
        let stage = Arc::new(Stage::new(*generation).await);
        stage.feed(0..80).await;
        for overlaps in [false, true, true, false] {
            // The same id: the next one ends what this one leaves open.
            let producer = stage.producer().build().await.expect("the id is taken over");
            let (_stop, ended) = run_as(&stage, stage.consumer().await, producer, overlaps);
            let before = stage.offsets().await;
            let moved = async { while stage.offsets().await == before {} };
            // The last ones may find nothing to do.
            let _ = tokio::time::timeout(Duration::from_millis(200), moved).await;
            ended.abort();
            let _ = ended.await;
        }
        let producer = stage.producer().build().await.expect("the id is taken over");
        let (stop, ended) = run(&stage, stage.consumer().await, producer);
        until_done(&stage, 80).await;
        stopped(&stop, ended).await;
        assert_eq!(stage.numbers().await, (0..80).collect::<Vec<_>>(), "generation {generation}");
    }
}

#[tokio::test]
async fn a_loop_whose_id_somebody_else_took_ends() {
    let stage = Arc::new(Stage::new(2).await);
    let producer = stage.producer().build().await.expect("the id is taken over");
    let (_stop, ended) = run(&stage, stage.consumer().await, producer);
    let _owner = stage.producer().build().await.expect("the id is taken over");
    stage.feed(0..4).await;
    let error = within("it ends", ended).await.expect("no panic").expect_err("it is fenced");
    let ExactlyOnceError::Kafka(error) = error else { panic!("{error}") };
    assert!(error.is_fatal() && error.code() == Some(ErrorCode::ProducerFenced), "{error}");
    assert_eq!(stage.numbers().await, [0; 0]);
}

#[tokio::test]
async fn errors_of_the_brokers_abort_and_are_tried_again() {
    // ILLEGAL_GENERATION, UNKNOWN_PRODUCER_ID, TRANSACTION_ABORTABLE, each where it can come.
    let faults = [
        (ApiKey::TxnOffsetCommit, 22),
        (ApiKey::Produce, 59),
        (ApiKey::Produce, 120),
        (ApiKey::TxnOffsetCommit, 120),
        (ApiKey::EndTxn, 120),
    ];
    for generation in generations() {
        for (api, code) in faults {
            let stage = Arc::new(Stage::new(*generation).await);
            let Some(mock) = &stage.mock else { return };
            stage.feed(0..20).await;
            let fault = mock.fault(on(api).nth(2)).before_apply(Fault::Error(code)).mount();
            let producer = stage.producer().build().await.expect("the id is taken over");
            let (stop, ended) = run(&stage, stage.consumer().await, producer);
            until_done(&stage, 20).await;
            stopped(&stop, ended).await;
            assert_eq!(fault.hits(), 1, "{api:?} {code}");
            assert_eq!(stage.numbers().await, (0..20).collect::<Vec<_>>(), "{generation} {api:?} {code}");
        }
    }
}

#[tokio::test]
async fn a_consumer_that_commits_by_itself_is_refused() {
    let stage = Stage::new(2).await;
    let producer = stage.producer().build().await.expect("the id is taken over");
    let automatic = stage.member().auto_commit_interval(Some(LIMIT)).build().await.expect("valid settings");
    let uncommitted = stage.member().isolation(IsolationLevel::ReadUncommitted).build().await.expect("valid");
    for (consumer, setting) in [(automatic, "auto_commit_interval"), (uncommitted, "isolation")] {
        let looped = stage.kafka.exactly_once(consumer, producer.clone());
        let error = looped.for_each_batch(|_, _| async { Ok::<_, BoxError>(()) }).await.expect_err("refused");
        assert!(error.to_string().contains(setting), "{error}");
    }
}
