//! Random workers and random accidents, judged by the history that is left: every record of the input has one committed result,
//! and each partition's results are in its order. Lost requests and answers, workers that are killed and come back with their
//! transactional id, members that come and go, leaders and coordinators that move. On the mock, or on a real Kafka, where
//! nothing is moved. `HISTORY_SEED` begins elsewhere, `HISTORY_SEEDS` takes more of them (`just history`).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_kafka::{ConsumerBatch, ExactlyOnceError, OnError, TransactionSender};
use mockbroker::MockBroker;
use system_tests::api::{API_VERSIONS, FIND_COORDINATOR};
use system_tests::line::{Fate, Lines};
use system_tests::value;
use tokio::task::JoinHandle;

use crate::stage::{Stage, mock, number};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

const TOTAL: i32 = 60;
const WORKERS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

fn number_of(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// A worker that goes on until it is killed, or somebody takes its id.
fn worker(stage: &Arc<Stage>, index: usize, overlaps: bool) -> JoinHandle<()> {
    let stage = Arc::clone(stage);
    tokio::spawn(async move {
        loop {
            // Why a life ended is of no interest: another one begins, as a supervisor would have it.
            let _ = one_life(&stage, index, overlaps).await;
        }
    })
}

async fn one_life(stage: &Arc<Stage>, index: usize, overlaps: bool) -> Result<(), ExactlyOnceError> {
    let session = Duration::from_secs(6);
    let consumer = stage.member().session_timeout(session).build().await?;
    let id = format!("{}-{index}", stage.id);
    // What a killed worker leaves open holds the others up until its id is taken over, or for so long.
    let producer = stage.kafka.transactional(id).linger(Duration::ZERO).transaction_timeout(Duration::from_secs(1));
    let producer = producer.build().await?;
    let inner = Arc::clone(stage);
    let each = move |batch: ConsumerBatch, transaction: TransactionSender| {
        let stage = Arc::clone(&inner);
        async move {
            for record in batch.records() {
                transaction.send(stage.result(number(record.value()))).await?;
            }
            Ok::<_, BoxError>(())
        }
    };
    let looped = stage.kafka.exactly_once(consumer, producer).transaction_records(6).overlap(overlaps);
    looped.on_error(|_| OnError::Retry).for_each_batch(each).await
}

/// A stage whose lines break now and then, and its mock.
async fn set(random: &mut fastrand::Rng, seed: u64) -> (Arc<Stage>, MockBroker) {
    let generation = if random.bool() { 2 } else { 1 };
    let chance = Mutex::new(random.fork());
    let odds = random.u32(30..200);
    let lines = Lines::new(move |api, _| match chance.lock().expect("no panic").u32(..odds) {
        0 if api != API_VERSIONS => Fate::RequestLost,
        1 if api != API_VERSIONS => Fate::AnswerLost,
        _ => Fate::Passes,
    });
    let broker = mock(generation).nodes(2).seed(seed).start().await;
    let stage = match system_tests::world::Broker::real() {
        Some(_) => Stage::on(generation, &lines).await,
        None => Stage::shaped_on(broker.clone(), &lines).await,
    };
    let stage = Arc::new(stage);
    // There are coordinators to be moved once somebody asked for them.
    stage.quiet.transactional(format!("{}-0", stage.id)).build().await.expect("the id is taken over");
    let body = value!({ key: &stage.group, key_type: 0 });
    while stage.broker.connect().await.call(FIND_COORDINATOR, 3, body.clone()).await["error_code"] != 0 {}
    (stage, broker)
}

async fn history(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (stage, broker) = set(&mut random, seed).await;
    let mut workers: Vec<Option<JoinHandle<()>>> = (0..WORKERS).map(|_| None).collect();
    workers[0] = Some(worker(&stage, 0, random.bool()));
    let (mut fed, deadline) = (0, tokio::time::Instant::now() + PATIENCE);
    let end = [i64::from(TOTAL / 2); 2];
    loop {
        assert!(tokio::time::Instant::now() < deadline, "seed {seed}: not everything was committed in {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(random.u64(1..40))).await;
        let calm = fed == TOTAL && random.u8(..4) > 0;
        match random.u8(..6) {
            _ if calm => {}
            0 if fed < TOTAL => {
                let next = (fed + random.i32(2..14)).min(TOTAL);
                stage.feed(fed..next).await;
                fed = next;
            }
            1 => {
                // Killed in the middle of whatever it does; the next life has the same transactional id.
                let index = random.usize(..WORKERS);
                if let Some(killed) = workers[index].take() {
                    killed.abort();
                }
            }
            2 | 3 => {
                let index = random.usize(..WORKERS);
                if workers[index].is_none() {
                    workers[index] = Some(worker(&stage, index, random.bool()));
                }
            }
            4 if stage.mock.is_some() => {
                let node = *random.choice(&broker.node_ids()).expect("there are two");
                match random.u8(..3) {
                    0 => broker.move_group_coordinator(&stage.group, node),
                    1 => broker.move_transaction_coordinator(&format!("{}-0", stage.id), node),
                    _ => broker.move_leader(&stage.output, random.i32(0..2), node),
                }
            }
            _ => {}
        }
        if workers.iter().all(Option::is_none) {
            workers[0] = Some(worker(&stage, 0, random.bool()));
        }
        let done = tokio::time::timeout(Duration::from_secs(2), stage.offsets()).await;
        if fed == TOTAL && done.is_ok_and(|offsets| offsets == end) {
            break;
        }
    }
    workers.into_iter().flatten().for_each(|worker| worker.abort());
    // What a killed worker left open is ended by the next owner of its id.
    for index in 0..WORKERS {
        let id = format!("{}-{index}", stage.id);
        stage.quiet.transactional(id).build().await.expect("the id is taken over");
    }
    let found: Vec<i32> = stage.committed().await.iter().map(|value| value.parse().expect("a number")).collect();
    let expected: Vec<i32> = (0..TOTAL).step_by(2).chain((1..TOTAL).step_by(2)).collect();
    assert_eq!(found, expected, "seed {seed}: each once, and in the order of its partition");
}

#[tokio::test]
async fn every_history_is_exactly_once() {
    let (first, count) = (number_of("HISTORY_SEED", 890), number_of("HISTORY_SEEDS", 1));
    for seed in first..first + count {
        history(seed).await;
    }
}
