//! The loop when the function is called for what comes next while a transaction is being committed: what it promises is the
//! same. (`tests/sim/history.rs` has half of its workers work so.)

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_kafka::{
    Assignor, Consumer, ConsumerBatch, ExactlyOnce, ExactlyOnceError, OnError, Record, TransactionSender,
    TransactionalProducer,
};
use mockbroker::{ApiKey, Fault, Gate, MockBroker, on};
use system_tests::api::{END_TXN, LEAVE_GROUP};
use system_tests::line::{Fate, Lines};
use system_tests::value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::stage::{Stage, every_fourth_is_lost, generations, number, within};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A loop in a task of its own.
struct Running {
    stop: Arc<Notify>,
    ended: JoinHandle<Result<(), ExactlyOnceError>>,
    /// Calls of the function, those included that fail.
    calls: Arc<AtomicU32>,
}

impl Running {
    /// Runs a loop. The function is told how often it was called before.
    fn with<Fut>(
        looped: ExactlyOnce,
        each: impl Fn(u32, ConsumerBatch, TransactionSender) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let (stop, calls) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
        let (stopped, calling) = (Arc::clone(&stop), Arc::clone(&calls));
        let ended = tokio::spawn(async move {
            let each = |batch: ConsumerBatch, transaction: TransactionSender| {
                each(calling.fetch_add(1, Ordering::SeqCst), batch, transaction)
            };
            looped.until(async move { stopped.notified().await }).for_each_batch(each).await
        });
        Self { stop, ended, calls }
    }

    /// Sends a result for each record. Calls for which `fails` says so fail when they have sent everything.
    fn start(stage: &Arc<Stage>, parts: Parts, overlaps: bool, fails: fn(u32) -> bool) -> Self {
        let looped = looped(stage, parts).overlap(overlaps).on_error(|_| OnError::Retry);
        let stage = Arc::clone(stage);
        Self::with(looped, move |call, batch, transaction| {
            let stage = Arc::clone(&stage);
            async move {
                work(&stage, &batch, &transaction).await?;
                if fails(call) { Err(BoxError::from("no luck")) } else { Ok(()) }
            }
        })
    }

    async fn stop(self) {
        self.stop.notify_one();
        within("the loop ends", self.ended).await.expect("no panic").expect("no error");
    }

    /// Waits until the function was called so often.
    async fn called(&self, times: u32) {
        let called = async {
            while self.calls.load(Ordering::SeqCst) < times {
                tokio::task::yield_now().await;
            }
        };
        within("the function is called", called).await;
    }
}

type Parts = (Consumer, TransactionalProducer);

/// The loop in transactions of one batch, which is one of three records.
fn looped(stage: &Stage, (consumer, producer): Parts) -> ExactlyOnce {
    stage.kafka.exactly_once(consumer, producer).transaction_records(1)
}

async fn work(stage: &Stage, batch: &ConsumerBatch, transaction: &TransactionSender) -> Result<(), BoxError> {
    for record in batch.records() {
        transaction.send(stage.result(number(record.value()))).await?;
    }
    Ok(())
}

async fn parts(stage: &Stage) -> Parts {
    (stage.consumer().await, stage.producer().build().await.expect("the id is taken over"))
}

/// Waits until the group has committed so much of each partition.
async fn until_committed(stage: &Stage, offset: i64) {
    let done = async {
        while stage.offsets().await.iter().any(|committed| *committed < offset) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("everything is committed", done).await;
}

fn never(_: u32) -> bool {
    false
}

#[tokio::test]
async fn the_function_goes_on_while_a_commit_is_on_its_way_and_nothing_of_it_is_sent() {
    for (generation, overlaps) in
        generations().iter().flat_map(|generation| [(*generation, true), (*generation, false)])
    {
        let stage = Arc::new(Stage::new(generation).await);
        let Some(mock) = &stage.mock else { return };
        stage.feed(0..12).await;
        let commit = mock.pause_next(on(ApiKey::EndTxn)).before_apply();
        let running = Running::start(&stage, parts(&stage).await, overlaps, never);
        within("it is committed", commit.entered()).await;
        if overlaps {
            running.called(2).await;
        }
        // A request that went out would be there before the answer to one that is asked after it.
        stage.broker.connect().await;
        assert_eq!(running.calls.load(Ordering::SeqCst), if overlaps { 2 } else { 1 });
        let ends = [0, 1].map(|partition| mock.topic(&*stage.output).partition(partition).log_end_offset());
        assert_eq!(ends.iter().sum::<i64>(), 3, "the records of one transaction are there");
        commit.release();
        until_committed(&stage, 6).await;
        running.stop().await;
        assert_eq!(stage.numbers().await, (0..12).collect::<Vec<_>>(), "generation {generation}");
    }
}

#[tokio::test]
async fn lost_requests_and_answers_and_a_function_that_fails_change_nothing() {
    for generation in generations() {
        let lines = Lines::new(every_fourth_is_lost);
        let stage = Arc::new(Stage::on(*generation, &lines).await);
        stage.feed(0..90).await;
        let running = Running::start(&stage, parts(&stage).await, true, |call| call % 5 == 3);
        until_committed(&stage, 45).await;
        running.stop().await;
        assert_eq!(stage.numbers().await, (0..90).collect::<Vec<_>>(), "generation {generation}");
        assert!(lines.seen(END_TXN).contains(&Fate::AnswerLost));
    }
}

#[tokio::test]
async fn a_commit_that_is_refused_takes_what_was_worked_at_meanwhile_along() {
    // UNKNOWN_PRODUCER_ID, TRANSACTION_ABORTABLE, ILLEGAL_GENERATION: nothing of the transaction counts.
    let faults = [
        (ApiKey::Produce, 59),
        (ApiKey::Produce, 120),
        (ApiKey::TxnOffsetCommit, 22),
        (ApiKey::TxnOffsetCommit, 120),
        (ApiKey::EndTxn, 120),
    ];
    for (generation, (api, code)) in
        generations().iter().flat_map(|generation| faults.map(|fault| (*generation, fault)))
    {
        let stage = Arc::new(Stage::new(generation).await);
        let Some(mock) = &stage.mock else { return };
        stage.feed(0..30).await;
        let fault = mock.fault(on(api).nth(3)).before_apply(Fault::Error(code)).mount();
        let running = Running::start(&stage, parts(&stage).await, true, never);
        until_committed(&stage, 15).await;
        running.stop().await;
        assert_eq!(fault.hits(), 1, "{api:?} {code}");
        assert_eq!(stage.numbers().await, (0..30).collect::<Vec<_>>(), "{generation} {api:?} {code}");
        let found: Vec<i32> = stage.committed().await.iter().map(|value| value.parse().expect("a number")).collect();
        let expected: Vec<i32> = (0..30).step_by(2).chain((1..30).step_by(2)).collect();
        assert_eq!(found, expected, "{generation} {api:?} {code}: in their order");
    }
}

#[tokio::test]
async fn a_partition_that_has_to_go_goes_though_there_is_always_more_to_read() {
    let stage = Arc::new(Stage::new(2).await);
    let member = async |index: usize| {
        let consumer = stage.member().assignors([Assignor::CooperativeSticky]).build().await.expect("valid settings");
        let id = format!("{}-{index}", stage.id);
        let producer = stage.kafka.transactional(id).linger(Duration::ZERO).build().await.expect("taken over");
        (consumer, producer)
    };
    let on_stage = Arc::clone(&stage);
    let feeder = tokio::spawn(async move {
        for round in 0.. {
            on_stage.feed(round * 60..(round + 1) * 60).await;
        }
    });
    let first = Running::start(&stage, member(0).await, true, never);
    first.called(10).await;
    let (consumer, producer) = member(1).await;
    let (second, given) = (consumer.clone(), consumer);
    let other = Running::start(&stage, (second, producer), true, never);
    let assigned = async {
        while given.assignment().is_empty() {
            tokio::task::yield_now().await
        }
    };
    within("the second member has a partition", assigned).await;
    other.called(1).await;
    feeder.abort();
    first.stop().await;
    other.stop().await;
    assert_as_committed(&stage).await;
}

/// The results of each partition are those of the records before its committed offset, in their order.
async fn assert_as_committed(stage: &Stage) {
    let found: Vec<i32> = stage.committed().await.iter().map(|value| value.parse().expect("a number")).collect();
    let before = |(partition, offset): (i32, i64)| (0..offset as i32).map(move |n| 2 * n + partition);
    let expected: Vec<i32> = (0..).zip(stage.offsets().await).flat_map(before).collect();
    assert_eq!(found, expected);
}

/// A loop whose first commit waits for its release, and whose function was called for the next transaction.
async fn halfway(stage: &Arc<Stage>, mock: &MockBroker, parts: Parts) -> (Gate, Running) {
    stage.feed(0..12).await;
    let commit = mock.pause_next(on(ApiKey::EndTxn)).before_apply();
    let running = Running::start(stage, parts, true, never);
    within("it is committed", commit.entered()).await;
    running.called(2).await;
    (commit, running)
}

/// Moves the rest of the input.
async fn heir(stage: &Arc<Stage>, parts: Parts) {
    let heir = Running::start(stage, parts, true, never);
    until_committed(stage, 6).await;
    heir.stop().await;
    assert_eq!(stage.numbers().await, (0..12).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_shutdown_finishes_the_commit_and_what_was_worked_at_meanwhile() {
    let stage = Arc::new(Stage::new(2).await);
    let Some(mock) = &stage.mock else { return };
    let (commit, running) = halfway(&stage, mock, parts(&stage).await).await;
    let calls = Arc::clone(&running.calls);
    running.stop.notify_one();
    commit.release();
    running.stop().await;
    assert_eq!((calls.load(Ordering::SeqCst), stage.offsets().await.iter().map(|n| (*n).max(0)).sum()), (2, 6));
    heir(&stage, parts(&stage).await).await;
}

#[tokio::test]
async fn a_loop_that_is_fenced_while_it_goes_on_ends_and_neither_transaction_counts() {
    for generation in generations() {
        let stage = Arc::new(Stage::new(*generation).await);
        let Some(mock) = &stage.mock else { return };
        let (commit, running) = halfway(&stage, mock, parts(&stage).await).await;
        let owner = within("it is taken over", stage.producer().build()).await.expect("the id is taken over");
        commit.release();
        let error = within("it ends", running.ended).await.expect("no panic").expect_err("it is fenced");
        assert!(matches!(&error, ExactlyOnceError::Kafka(error) if error.is_fatal()), "{error}");
        assert_eq!(stage.numbers().await, [0; 0], "generation {generation}");
        heir(&stage, (stage.consumer().await, owner)).await;
    }
}

#[tokio::test]
async fn a_loop_that_is_dropped_leaves_its_commit_to_the_producer_and_nothing_of_what_came_next() {
    for generation in generations() {
        let stage = Arc::new(Stage::new(*generation).await);
        let Some(mock) = &stage.mock else { return };
        let (consumer, producer) = parts(&stage).await;
        let (commit, running) = halfway(&stage, mock, (consumer, producer.clone())).await;
        running.ended.abort();
        within("it is dropped", running.ended).await.expect_err("it is aborted");
        commit.release();
        let transaction =
            within("the producer goes on", producer.begin()).await.expect("the commit is brought to its end");
        transaction.send(stage.result(12)).await.expect("taken");
        within("it is committed", transaction.commit()).await.expect("committed");
        let found = stage.numbers().await;
        assert!(found.len() == 4 && found.contains(&12), "generation {generation}: {found:?}");
        let other = Running::start(&stage, (stage.consumer().await, producer), true, never);
        until_committed(&stage, 6).await;
        other.stop().await;
        assert_eq!(stage.numbers().await, (0..13).collect::<Vec<_>>(), "generation {generation}");
    }
}

/// Puts the member out of its group, as somebody who leaves in its name does, and waits until it has joined again and has read
/// its only partition anew: `bytes` and more.
async fn put_out(stage: &Stage, consumer: &Consumer, bytes: u64) {
    let member_id = consumer.group_metadata().member_id;
    let leave = value!({ group_id: &stage.group, members: [{ member_id: &member_id }] });
    let answer = stage.broker.connect().await.call(LEAVE_GROUP, 4, leave).await;
    assert_eq!(answer["error_code"], 0, "{answer:?}");
    // UNKNOWN_MEMBER_ID is the answer to its next heartbeat.
    let is_back = || consumer.group_metadata().member_id != member_id && !consumer.assignment().is_empty();
    let fetched = || stage.kafka.metrics().requests.get("Fetch").cloned().unwrap_or_default();
    let before = fetched().incoming_byte_total;
    let read_anew = async {
        while !is_back() || fetched().incoming_byte_total < before + bytes {
            tokio::task::yield_now().await;
        }
        // The fetcher asks again when it has put away what it was answered.
        let answered = fetched().response_total;
        while fetched().request_total == answered {
            tokio::task::yield_now().await;
        }
    };
    within("the partition is back", read_anew).await;
}

#[tokio::test]
async fn a_partition_that_went_and_came_back_in_the_middle_loses_nothing() {
    // The function is called with records that were read twice: under the assignment that is over, whose offsets are refused, and
    // under the present one, as the next transaction. It is the latter to which the loop has to go back.
    const BYTES: usize = 4000;
    for generation in generations() {
        let stage = Arc::new(Stage::new(*generation).await);
        let producer = stage.quiet.producer().batch_records(3).build().await.expect("valid settings");
        let record = |n: i32| {
            let record = Record::to(Arc::clone(&stage.input)).partition(0).value(n.to_string());
            record.header("padding", vec![0; BYTES])
        };
        for outcome in producer.send_all((0..12).map(record)).await {
            outcome.expect("acknowledged");
        }
        let (consumer, producer) = parts(&stage).await;
        let (member, inner) = (consumer.clone(), Arc::clone(&stage));
        let firsts = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&firsts);
        let looped = looped(&stage, (consumer, producer)).overlap(true);
        let running = Running::with(looped, move |call, batch, transaction| {
            let (stage, member, firsts) = (Arc::clone(&inner), member.clone(), Arc::clone(&firsts));
            async move {
                firsts.lock().expect("no panic").push(batch.records().next().map(|record| record.offset()));
                work(&stage, &batch, &transaction).await?;
                if call == 0 {
                    put_out(&stage, &member, 12 * BYTES as u64).await;
                }
                Ok(())
            }
        });
        let done = async { while stage.offsets().await[0] < 12 {} };
        within("everything is committed", done).await;
        running.stop().await;
        assert_eq!(stage.numbers().await, (0..12).collect::<Vec<_>>(), "generation {generation}");
        let heard = heard.lock().expect("no panic");
        assert_eq!(heard[..3], [Some(0); 3], "read, read anew, and gone back to: {heard:?}");
    }
}

/// What a function waits for while the commit of the transaction before its own is on its way.
#[derive(Clone, Copy, Debug)]
enum For {
    /// Its records are acknowledged.
    Deliveries,
    /// There is room for another record.
    Room,
}

#[tokio::test]
async fn a_function_that_waits_is_let_go_whether_the_commit_succeeds_or_not() {
    for (waits, refused) in [(For::Deliveries, true), (For::Deliveries, false), (For::Room, true), (For::Room, false)] {
        let stage = Arc::new(Stage::new(2).await);
        let Some(mock) = &stage.mock else { return };
        stage.feed(0..12).await;
        let fault = mock.fault(on(ApiKey::EndTxn).nth(1)).before_apply(Fault::Error(120));
        let fault = refused.then(|| fault.mount());
        // Two records of a batch, but not three.
        let producer = stage.producer().producer(|producer| producer.buffer_memory(10_000)).build().await;
        let parts = (stage.consumer().await, producer.expect("the id is taken over"));
        let (inner, failed) = (Arc::clone(&stage), Arc::new(AtomicU32::new(0)));
        let failing = Arc::clone(&failed);
        let running = Running::with(looped(&stage, parts).overlap(true), move |_, batch, transaction| {
            let (stage, failed) = (Arc::clone(&inner), Arc::clone(&failing));
            async move {
                let worked = wait_for(waits, &stage, &batch, &transaction).await;
                failed.fetch_add(u32::from(worked.is_err()), Ordering::SeqCst);
                worked
            }
        });
        until_committed(&stage, 6).await;
        running.stop().await;
        assert_eq!(stage.numbers().await, (0..12).collect::<Vec<_>>(), "{waits:?}, {refused}");
        assert_eq!(fault.map_or(0, |fault| fault.hits()), u64::from(refused));
        assert_eq!(failed.load(Ordering::SeqCst), u32::from(refused), "{waits:?}: the second call is in vain");
    }
}

async fn wait_for(
    what: For,
    stage: &Stage,
    batch: &ConsumerBatch,
    transaction: &TransactionSender,
) -> Result<(), BoxError> {
    for record in batch.records() {
        let result = stage.result(number(record.value()));
        match what {
            For::Deliveries => drop(transaction.send(result).await?.await?),
            For::Room => drop(transaction.send(result.header("padding", vec![0; 4000])).await?),
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_function_that_fails_meanwhile_stops_the_loop_when_the_commit_is_done() {
    let stage = Arc::new(Stage::new(2).await);
    stage.feed(0..12).await;
    let inner = Arc::clone(&stage);
    let running = Running::with(looped(&stage, parts(&stage).await).overlap(true), move |call, batch, transaction| {
        let stage = Arc::clone(&inner);
        async move {
            work(&stage, &batch, &transaction).await?;
            if call == 1 { Err(BoxError::from("no luck")) } else { Ok(()) }
        }
    });
    let error = within("it ends", running.ended).await.expect("no panic").expect_err("it fails");
    assert!(matches!(&error, ExactlyOnceError::Program(why) if why.to_string() == "no luck"), "{error}");
    assert_eq!(stage.numbers().await.len(), 3, "the first transaction counts");
    heir(&stage, parts(&stage).await).await;
}

#[tokio::test]
async fn what_fails_again_goes_to_the_dead_letters_once() {
    let stage = Arc::new(Stage::new(2).await);
    stage.feed(0..12).await;
    // Here they are among the results, so that each record is found once.
    let (inner, dead) = (Arc::clone(&stage), Arc::clone(&stage.output));
    let looped = looped(&stage, parts(&stage).await).overlap(true).on_error(move |failure| match failure.attempts {
        1 => OnError::Retry,
        _ => OnError::DeadLetterRecords(Arc::clone(&dead)),
    });
    let running = Running::with(looped, move |_, batch, transaction| {
        let stage = Arc::clone(&inner);
        async move {
            work(&stage, &batch, &transaction).await?;
            let poison = batch.records().any(|record| number(record.value()) % 7 == 3);
            if poison { Err(BoxError::from("poison")) } else { Ok(()) }
        }
    });
    until_committed(&stage, 6).await;
    running.stop().await;
    assert_eq!(stage.numbers().await, (0..12).collect::<Vec<_>>());
}
