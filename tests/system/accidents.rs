//! The accidents of the broker's kit: to a program as it is usually written, which loses or doubles a record, and to our loop as
//! it is and as it overlaps (`ExactlyOnce::overlap`), which do not. On the mock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_kafka::{
    Consumer, ConsumerBatch, ExactlyOnceError, IsolationLevel, Kafka, OffsetReset, Producer, TransactionSender,
    TransactionalProducer,
};
use mockbroker::{ApiKey, MockBroker};
use system_tests::api::FIND_COORDINATOR;
use system_tests::line::{Fate, Lines};
use system_tests::value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::stage::{LIMIT, Stage, client, mock, number, within};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

const TOTAL: i32 = 12;
/// Whether our loop overlaps.
const BOTH: [bool; 2] = [false, true];
/// So long the group waits for a member that is frozen.
const ZOMBIE_SESSION: Duration = Duration::from_millis(300);

/// A stage on a mock, with the input written.
async fn stage() -> (Arc<Stage>, MockBroker) {
    let broker = mock(2).nodes(2).start().await;
    let stage = Stage::shaped(broker.clone()).await;
    stage.feed(0..TOTAL).await;
    (Arc::new(stage), broker)
}

/// Another client of the same broker: another process, as it were.
async fn process(stage: &Stage, client_id: &str, patience: Duration) -> Kafka {
    let builder = client(&stage.broker, &Lines::new(|_, _| Fate::Passes)).client_id(client_id).api_timeout(patience);
    builder.connect().await.expect("the broker answers")
}

async fn member(stage: &Stage, kafka: &Kafka, session: Duration) -> Consumer {
    let builder = kafka.consumer(stage.group.as_str()).topics([Arc::clone(&stage.input)]);
    let builder = builder.auto_offset_reset(OffsetReset::Earliest).isolation(IsolationLevel::ReadCommitted);
    let builder = builder.auto_commit_interval(None).heartbeat_interval(Duration::from_millis(20));
    builder.session_timeout(session).build().await.expect("valid settings")
}

async fn next(consumer: &Consumer) -> ConsumerBatch {
    within("a batch comes", consumer.next_batch()).await.expect("no error").expect("open")
}

/// The effect of a batch, without a transaction.
async fn effect(stage: &Stage, producer: &Producer, batch: &ConsumerBatch) {
    let records = batch.records().map(|record| stage.result(number(record.value())));
    for outcome in producer.send_all(records.collect::<Vec<_>>()).await {
        outcome.expect("acknowledged");
    }
}

/// A batch is worth something to a naive program until it has seen all of the input.
async fn naively_to_the_end(stage: &Stage, kafka: &Kafka) {
    let (consumer, producer) =
        (member(stage, kafka, LIMIT).await, kafka.producer().build().await.expect("valid settings"));
    let end = [i64::from(TOTAL / 2); 2];
    while stage.offsets().await != end {
        let batch = next(&consumer).await;
        effect(stage, &producer, &batch).await;
        consumer.commit(&batch).await.expect("committed");
    }
    consumer.close(LIMIT).await.expect("closed");
}

fn is_exactly_once(numbers: &[i32]) -> bool {
    numbers == (0..TOTAL).collect::<Vec<_>>()
}

#[derive(Debug, PartialEq, Eq)]
enum Harm {
    Doubled,
    Lost,
}

fn assert_harmed(numbers: &[i32], harm: Harm) {
    let mut counts: BTreeMap<i32, u32> = (0..TOTAL).map(|n| (n, 0)).collect();
    numbers.iter().for_each(|n| *counts.entry(*n).or_default() += 1);
    let harmed = match harm {
        Harm::Doubled => counts.values().any(|count| *count > 1),
        Harm::Lost => counts.values().any(|count| *count == 0),
    };
    assert!(harmed, "{harm:?}: {counts:?}");
}

type Hook = Arc<dyn Fn() -> futures_box::Boxed + Send + Sync>;

mod futures_box {
    pub(super) type Boxed = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;
}

fn nothing() -> Hook {
    Arc::new(|| Box::pin(async {}))
}

struct Looped {
    stop: Arc<Notify>,
    ended: JoinHandle<Result<(), ExactlyOnceError>>,
}

/// Our loop. `first` runs inside of the first call of the function.
fn looped(
    stage: &Arc<Stage>,
    kafka: &Kafka,
    consumer: Consumer,
    producer: TransactionalProducer,
    overlaps: bool,
    first: Hook,
) -> Looped {
    let (stage, stop, kafka) = (Arc::clone(stage), Arc::new(Notify::new()), kafka.clone());
    let (stopped, is_first) = (Arc::clone(&stop), Arc::new(AtomicBool::new(true)));
    let ended = tokio::spawn(async move {
        let each = |batch: ConsumerBatch, transaction: TransactionSender| {
            let (stage, first, is_first) = (Arc::clone(&stage), Arc::clone(&first), Arc::clone(&is_first));
            async move {
                if is_first.swap(false, Ordering::SeqCst) {
                    first().await;
                }
                for record in batch.records() {
                    transaction.send(stage.result(number(record.value()))).await?;
                }
                Ok::<_, BoxError>(())
            }
        };
        let looped = kafka.exactly_once(consumer, producer).transaction_records(4).overlap(overlaps);
        looped.until(async move { stopped.notified().await }).for_each_batch(each).await
    });
    Looped { stop, ended }
}

impl Looped {
    /// Waits until everything is committed, and ends the loop.
    async fn finish(self, stage: &Stage) {
        let done = async { while stage.offsets().await != [i64::from(TOTAL / 2); 2] {} };
        within("everything is committed", done).await;
        self.stop.notify_one();
        within("the loop ends", self.ended).await.expect("no panic").expect("no error");
    }
}

async fn our_loop(stage: &Arc<Stage>, overlaps: bool) -> Looped {
    let producer = stage.producer().build().await.expect("the id is taken over");
    looped(stage, &stage.kafka, stage.consumer().await, producer, overlaps, nothing())
}

#[tokio::test]
async fn answers_of_end_txn_are_lost() {
    // Naive: a commit that fails is taken for no commit, and done again.
    let (stage, broker) = stage().await;
    let hasty = stage.producer().producer(|producer| producer.max_block(Duration::from_secs(2))).build().await;
    let (hasty, consumer) = (hasty.expect("the id is taken over"), stage.consumer().await);
    let mut lost = Some(broker.accidents().lose_commit_answers(&stage.id));
    let end = [i64::from(TOTAL / 2); 2];
    while stage.offsets().await != end {
        let batch = next(&consumer).await;
        loop {
            let transaction = hasty.begin().await.expect("it begins");
            for record in batch.records() {
                transaction.send(stage.result(number(record.value()))).await.expect("taken");
            }
            transaction.send_offsets(&batch, &consumer.group_metadata()).await.expect("taken");
            if transaction.commit().await.is_ok() {
                break;
            }
            lost = None;
        }
    }
    assert!(lost.is_none());
    assert_harmed(&stage.numbers().await, Harm::Doubled);

    for overlaps in BOTH {
        let (stage, broker) = self::stage().await;
        let lost = broker.accidents().lose_commit_answers(&stage.id);
        let ours = our_loop(&stage, overlaps).await;
        within("the answer is lost again", lost.wait(3)).await;
        drop(lost);
        ours.finish(&stage).await;
        assert!(is_exactly_once(&stage.numbers().await));
    }
}

#[tokio::test]
async fn the_answer_of_produce_is_lost() {
    // Naive: a producer that sends again what it has no answer for.
    let (stage, broker) = stage().await;
    let producer = stage.kafka.producer().idempotence(false).build().await.expect("valid settings");
    let consumer = stage.consumer().await;
    let _lost = broker.accidents().lose_produce_answer(&stage.output);
    let batch = next(&consumer).await;
    effect(&stage, &producer, &batch).await;
    assert_harmed(&stage.numbers().await, Harm::Doubled);

    for overlaps in BOTH {
        let (stage, broker) = self::stage().await;
        let _lost = broker.accidents().lose_produce_answer(&stage.output);
        our_loop(&stage, overlaps).await.finish(&stage).await;
        assert!(is_exactly_once(&stage.numbers().await));
    }
}

#[tokio::test]
async fn the_answer_to_the_offsets_is_lost() {
    // Naive: offsets first, so that nothing is done twice; when that fails, somebody else starts over.
    let (stage, broker) = stage().await;
    let kafka = process(&stage, "hasty", Duration::from_millis(100)).await;
    let consumer = member(&stage, &kafka, LIMIT).await;
    let batch = next(&consumer).await;
    let lost = broker.accidents().lose_offset_commit_answers(&stage.group);
    consumer.commit(&batch).await.expect_err("no answer comes");
    drop(lost);
    consumer.close(LIMIT).await.expect("closed");
    naively_to_the_end(&stage, &stage.kafka).await;
    assert_harmed(&stage.numbers().await, Harm::Lost);

    for overlaps in BOTH {
        let (stage, broker) = self::stage().await;
        let _lost = broker.accidents().lose_transaction_offsets_answer(&stage.group);
        our_loop(&stage, overlaps).await.finish(&stage).await;
        assert!(is_exactly_once(&stage.numbers().await));
    }
}

#[tokio::test]
async fn a_zombie_wakes() {
    // Naive: what it was about to write when it paused, it writes when it wakes.
    let (stage, broker) = stage().await;
    let kafka = process(&stage, "zombie", LIMIT).await;
    let (consumer, producer) =
        (member(&stage, &kafka, ZOMBIE_SESSION).await, kafka.producer().build().await.expect("valid settings"));
    let batch = next(&consumer).await;
    let frozen = broker.accidents().freeze("zombie");
    let (inner, writes) = (Arc::clone(&stage), producer.clone());
    let zombie = tokio::spawn(async move { effect(&inner, &writes, &batch).await });
    within("it is frozen", frozen.entered()).await;
    naively_to_the_end(&stage, &stage.kafka).await;
    frozen.release();
    within("it wakes", zombie).await.expect("no panic");
    assert_harmed(&stage.numbers().await, Harm::Doubled);

    for overlaps in BOTH {
        let (stage, broker) = self::stage().await;
        let kafka = process(&stage, "zombie", LIMIT).await;
        let producer = kafka.transactional("zombie").linger(Duration::ZERO).build().await.expect("taken over");
        let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (tells, waits) = (Arc::clone(&entered), Arc::clone(&go_on));
        let first: Hook = Arc::new(move || {
            let (tells, waits) = (Arc::clone(&tells), Arc::clone(&waits));
            Box::pin(async move {
                tells.notify_one();
                waits.notified().await;
            })
        });
        let zombie = looped(&stage, &kafka, member(&stage, &kafka, ZOMBIE_SESSION).await, producer, overlaps, first);
        within("it is at work", entered.notified()).await;
        let frozen = broker.accidents().freeze("zombie");
        go_on.notify_one();
        within("it is frozen", frozen.entered()).await;
        our_loop(&stage, overlaps).await.finish(&stage).await;
        frozen.release();
        zombie.finish(&stage).await;
        assert!(is_exactly_once(&stage.numbers().await));
    }
}

#[tokio::test]
async fn a_rebalance_comes_between_send_and_commit() {
    // Naive: the commit is refused, and whoever has the partition then does it again.
    let (stage, broker) = stage().await;
    let (consumer, producer) = (stage.consumer().await, stage.kafka.producer().build().await.expect("valid settings"));
    let batch = next(&consumer).await;
    effect(&stage, &producer, &batch).await;
    let _rebalance = broker.accidents().rebalance_before_commit(ApiKey::OffsetCommit, &stage.group);
    consumer.commit(&batch).await.expect_err("the group has gone on");
    consumer.close(LIMIT).await.expect("closed");
    naively_to_the_end(&stage, &stage.kafka).await;
    assert_harmed(&stage.numbers().await, Harm::Doubled);

    for overlaps in BOTH {
        let (stage, broker) = self::stage().await;
        let _rebalance = broker.accidents().rebalance_before_commit(ApiKey::TxnOffsetCommit, &stage.group);
        our_loop(&stage, overlaps).await.finish(&stage).await;
        assert!(is_exactly_once(&stage.numbers().await));
    }
}

/// The node that does not coordinate something now.
async fn elsewhere(stage: &Stage, broker: &MockBroker, key: &str, key_type: i8) -> i32 {
    let answer = stage.broker.connect().await.call(FIND_COORDINATOR, 3, value!({ key: key, key_type: key_type })).await;
    assert_eq!(answer["error_code"], 0, "{answer:?}");
    let now = answer["node_id"].int();
    let others = broker.node_ids().into_iter().map(|node| node.0).find(|node| i64::from(*node) != now);
    others.expect("there are two nodes")
}

#[tokio::test]
async fn the_coordinators_move_in_the_middle() {
    // Naive: a commit that is refused is the end of the program, which begins anew.
    let (stage, broker) = stage().await;
    let kafka = process(&stage, "hasty", Duration::from_millis(1)).await;
    let (consumer, producer) =
        (member(&stage, &kafka, LIMIT).await, kafka.producer().build().await.expect("valid settings"));
    let batch = next(&consumer).await;
    effect(&stage, &producer, &batch).await;
    broker.move_group_coordinator(&stage.group, elsewhere(&stage, &broker, &stage.group, 0).await);
    consumer.commit(&batch).await.expect_err("the coordinator is another one");
    consumer.close(LIMIT).await.expect("closed");
    naively_to_the_end(&stage, &stage.kafka).await;
    assert_harmed(&stage.numbers().await, Harm::Doubled);

    for overlaps in BOTH {
        let (stage, broker) = self::stage().await;
        let producer = stage.producer().build().await.expect("the id is taken over");
        let (inner, moving) = (Arc::clone(&stage), broker.clone());
        let first: Hook = Arc::new(move || {
            let (stage, broker) = (Arc::clone(&inner), moving.clone());
            Box::pin(async move {
                let (group, id) = (&stage.group, &stage.id);
                broker.move_group_coordinator(group, elsewhere(&stage, &broker, group, 0).await);
                broker.move_transaction_coordinator(id, elsewhere(&stage, &broker, id, 1).await);
            })
        });
        looped(&stage, &stage.kafka, stage.consumer().await, producer, overlaps, first).finish(&stage).await;
        assert!(is_exactly_once(&stage.numbers().await));
    }
}

#[tokio::test]
async fn the_transaction_times_out() {
    let timeout = Duration::from_millis(400);
    // Naive: offsets beside the transaction, and nobody looks at what became of it.
    let (stage, _broker) = stage().await;
    let producer = stage.producer().transaction_timeout(timeout).build().await.expect("the id is taken over");
    let consumer = stage.consumer().await;
    let batch = next(&consumer).await;
    let transaction = producer.begin().await.expect("it begins");
    for record in batch.records() {
        transaction.send(stage.result(number(record.value()))).await.expect("taken").await.expect("written");
    }
    consumer.commit(&batch).await.expect("committed");
    // The program is slow, and the coordinator looks every 20 ms.
    tokio::time::sleep(timeout * 2).await;
    let _nobody_looks = transaction.commit().await;
    consumer.close(LIMIT).await.expect("closed");
    naively_to_the_end(&stage, &stage.kafka).await;
    assert_harmed(&stage.numbers().await, Harm::Lost);

    for overlaps in BOTH {
        let (stage, _broker) = self::stage().await;
        let producer = stage.producer().transaction_timeout(timeout).build().await.expect("the id is taken over");
        let slow: Hook = Arc::new(move || Box::pin(tokio::time::sleep(timeout * 2)));
        looped(&stage, &stage.kafka, stage.consumer().await, producer, overlaps, slow).finish(&stage).await;
        assert!(is_exactly_once(&stage.numbers().await));
    }
}

#[tokio::test]
async fn markers_are_held() {
    for overlaps in BOTH {
        upstream_aborts_and_its_markers_are_held(overlaps).await;
    }
}

async fn upstream_aborts_and_its_markers_are_held(overlaps: bool) {
    // Upstream aborts, and writes the same again; the marker of the abort is not there yet.
    let (stage, broker) = stage().await;
    let upstream = stage.kafka.transactional("upstream").linger(Duration::ZERO).build().await.expect("taken over");
    let input = |n: i32| async_kafka::Record::to(Arc::clone(&stage.input)).partition(n % 2).value(n.to_string());
    let aborted = upstream.begin().await.expect("it begins");
    for n in TOTAL..TOTAL + 4 {
        aborted.send(input(n)).await.expect("taken").await.expect("written");
    }
    let held = broker.hold_markers();
    aborted.abort().await.expect("decided");

    // Naive: whoever reads what is not committed passes on what never was.
    let consumer = stage.kafka.assigned_consumer();
    let consumer = (0..2).fold(consumer, |consumer, partition| {
        consumer.assign(Arc::clone(&stage.input), partition, async_kafka::Offset::Earliest)
    });
    let consumer = consumer.build().await.expect("assigned");
    let mut seen = Vec::new();
    while seen.len() < (TOTAL + 4) as usize {
        let record = within("a record comes", consumer.recv()).await.expect("no error").expect("open");
        seen.push(number(record.value()));
    }
    assert!(seen.iter().any(|n| *n >= TOTAL), "records that were aborted are passed on");

    let ours = our_loop(&stage, overlaps).await;
    let before = async { while stage.offsets().await != [i64::from(TOTAL / 2); 2] {} };
    let waits = tokio::time::timeout(Duration::from_millis(200), before).await.is_err();
    drop(held);
    ours.finish_at_least(&stage).await;
    let numbers = stage.numbers().await;
    assert!(is_exactly_once(&numbers), "waited: {waits}, {numbers:?}");
}

impl Looped {
    /// [`Looped::finish`] where markers in the input take offsets as well.
    async fn finish_at_least(self, stage: &Stage) {
        let end = i64::from(TOTAL / 2);
        let done = async { while stage.offsets().await.iter().any(|offset| *offset < end) {} };
        within("everything is committed", done).await;
        self.stop.notify_one();
        within("the loop ends", self.ended).await.expect("no panic").expect("no error");
    }
}
