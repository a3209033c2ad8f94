//! Frames that nobody would send, at a running broker: each is answered or ends its connection, and the broker goes on
//! in bounded memory. `HOSTILE_FRAMES` says how many.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use mockbroker::schema::{self, Message};
use mockbroker::{Clock, MockBroker};
use system_tests::api::{API_VERSIONS, FETCH, METADATA, PRODUCE};
use system_tests::batch::Batch;
use system_tests::judge::capture;
use system_tests::raw::{PATIENCE, Raw};
use system_tests::value::Value;
use system_tests::{codec, generate, scenarios, value};

use crate::number;

/// The one topic that is there; no generator hits on its name, so no frame deletes it.
const TOPIC: &str = "stands-through-it-all";

/// After so many frames a new broker takes over: what a hostile client may lawfully create is not what is measured.
const FRAMES_OF_A_LIFE: u64 = 2_000;

/// What the process may grow by, however many frames it is sent: a few full topics, the free memory that is kept for large
/// requests, and the test's own frames.
const GROWTH_KIB: u64 = 400 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_frame_harms_a_running_broker() {
    let frames = number("HOSTILE_FRAMES", 10_000);
    let seed = number("HOSTILE_SEED", 1);
    let captured = captured();
    let before = peak_memory_kib();
    let mut lives = tokio::task::JoinSet::new();
    let mut outcomes = Outcomes::default();
    for life in 0..frames.div_ceil(FRAMES_OF_A_LIFE) {
        if lives.len() == 2 {
            outcomes.add(lives.join_next().await.expect("two are there").expect("no life panics"));
        }
        lives.spawn(one_life(
            seed.wrapping_add(life),
            FRAMES_OF_A_LIFE.min(frames - life * FRAMES_OF_A_LIFE),
            Arc::clone(&captured),
        ));
    }
    while let Some(life) = lives.join_next().await {
        outcomes.add(life.expect("no life panics"));
    }
    let growth = peak_memory_kib().saturating_sub(before);
    println!("{frames} frames from seed {seed}: {outcomes:?}, {} MiB at the most", growth / 1024);
    assert_eq!(outcomes.answered + outcomes.closed, frames);
    assert!(growth < GROWTH_KIB, "the process grew by {growth} KiB");
    // A generator whose frames are all refused at the door would prove nothing.
    assert!(outcomes.answered > frames / 10, "{outcomes:?}");
}

#[derive(Debug, Default)]
struct Outcomes {
    answered: u64,
    closed: u64,
}

impl Outcomes {
    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.closed += other.closed;
    }
}

async fn one_life(seed: u64, frames: u64, captured: Arc<[Bytes]>) -> Outcomes {
    let broker = MockBroker::builder()
        .clock(Clock::manual())
        .config("connections.max.idle.ms", i64::MAX.to_string())
        .topic(TOPIC, 2)
        .start()
        .await;
    let mut control = Raw::connect(broker.bootstrap_servers()).await;
    let served = control.call(API_VERSIONS, 0, value!({})).await;
    let served: Vec<_> = served["api_keys"].array().iter().map(|api| api["api_key"].int() as i16).collect();
    let mut rng = Rng::with_seed(seed);
    let mut outcomes = Outcomes::default();
    let mut victim = Raw::connect(broker.bootstrap_servers()).await;
    for number in 0..frames {
        let frame = frame(&served, &captured, &mut rng);
        if is_answered(&broker, &mut victim, &frame, seed, number).await {
            outcomes.answered += 1;
        } else {
            outcomes.closed += 1;
            victim = Raw::connect(broker.bootstrap_servers()).await;
        }
    }
    // The others are served as if nothing had been.
    let answer = control.call(METADATA, 12, value!({ topics: [{ name: TOPIC }] })).await;
    assert_eq!(answer["topics"][0]["partitions"].array().len(), 2, "seed {seed}");
    broker.assert_healthy();
    outcomes
}

/// Whether the broker goes on with the connection after the frame; if not, it closes it. Long polls are ended by the clock.
async fn is_answered(broker: &MockBroker, connection: &mut Raw, frame: &[u8], seed: u64, number: u64) -> bool {
    connection.send_bytes(&[&(frame.len() as u32).to_be_bytes(), frame, &PROBE].concat()).await;
    let answers = async {
        // The frame has one answer or none (Produce with acks=0), the probe behind it has one.
        loop {
            match answer(broker, connection).await {
                Ok(answer) if answer.starts_with(&PROBE[8..12]) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    };
    let outcome = tokio::time::timeout(PATIENCE, answers).await;
    outcome.unwrap_or_else(|_| panic!("frame {number} of seed {seed} is neither answered nor refused: {frame:02x?}"))
}

/// ApiVersions v0 with its length, a correlation id that no generator hits, and no client id.
const PROBE: [u8; 14] = [0, 0, 0, 10, 0, API_VERSIONS as u8, 0, 0, 0x7a, 0x11, 0x5e, 0xed, 0xff, 0xff];

async fn answer(broker: &MockBroker, connection: &mut Raw) -> std::io::Result<Bytes> {
    let answer = connection.try_read_frame();
    tokio::pin!(answer);
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            () = parked(broker) => drop(broker.advance(Duration::from_millis(i32::MAX as u64))),
        }
    }
}

async fn parked(broker: &MockBroker) {
    while broker.parked_request_count() == 0 {
        tokio::task::yield_now().await;
    }
}

/// Every question that was asked of a real Kafka and kept (`fixtures/wire`), as frames.
fn captured() -> Arc<[Bytes]> {
    let runs = scenarios::all()
        .flat_map(|scenario| scenarios::versions(scenario.api_key).map(move |version| (scenario, version)));
    let steps = runs.filter_map(|(scenario, version)| capture::read(scenario, version)).flat_map(|run| run.steps);
    let frames: Arc<[Bytes]> = steps.map(|step| step.request).collect();
    assert!(frames.len() > 1000, "the captures are not there: just capture");
    frames
}

/// A captured frame with some bytes changed, put in, taken out or cut off.
fn mutated_capture(captured: &[Bytes], rng: &mut Rng) -> Vec<u8> {
    let mut frame = captured[rng.usize(..captured.len())].to_vec();
    for _ in 0..rng.u8(1..4) {
        frame = generate::mutated(&frame, &[], rng);
    }
    frame
}

/// One of: a captured frame made wrong, a right or broken body of a random API and version, a right one with a broken batch, noise.
fn frame(served: &[i16], captured: &[Bytes], rng: &mut Rng) -> Vec<u8> {
    if rng.u8(..4) == 0 {
        return mutated_capture(captured, rng);
    }
    let (message, version) = random_api(served, rng);
    let value = match rng.u8(..8) {
        0 => return [&[0, rng.u8(..80), 0, rng.u8(..16)], &*generate::noise(rng)].concat(),
        1 | 2 => return with_batch(rng),
        _ => generate::valid(message, version, rng),
    };
    let (body, marks) = codec::encode_marked(message, version, &value);
    let body = if rng.bool() { generate::mutated(&body, &marks, rng) } else { body };
    generate::frame(message, version, &body, rng)
}

/// Mostly an API that the broker serves, at any version that Kafka has.
fn random_api(served: &[i16], rng: &mut Rng) -> (&'static Message, i16) {
    let key = if rng.u8(..16) == 0 { rng.i16(0..93) } else { served[rng.usize(..served.len())] };
    let message = schema::request(key).unwrap_or_else(|| schema::request(METADATA).expect("it is served"));
    (message, rng.i16(message.versions.min..=message.versions.max))
}

/// A Produce or Fetch that finds its partition, so that its batch or its offset is looked at.
fn with_batch(rng: &mut Rng) -> Vec<u8> {
    let index = rng.i32(-1..3);
    let (key, version, value) = if rng.bool() {
        let records = if rng.u8(..16) == 0 { Value::Null } else { batch(rng).into() };
        let acks = rng.i16(-1..=1);
        let data = value!({ acks: acks, timeout_ms: 1000,
            topic_data: [{ name: TOPIC, partition_data: [{ index: index, records: records }] }] });
        (PRODUCE, rng.i16(3..=12), data)
    } else {
        let wanted =
            value!({ partition: index, fetch_offset: rng.i64(-1..100), partition_max_bytes: rng.i32(-1..1000) });
        let data = value!({ max_wait_ms: rng.i32(-1..100), min_bytes: rng.i32(-1..1000), max_bytes: rng.i32(..),
            topics: [{ topic: TOPIC, partitions: [wanted] }] });
        (FETCH, rng.i16(4..=12), data)
    };
    let message = schema::request(key).expect("both are there");
    let (body, marks) = codec::encode_marked(message, version, &value);
    let body = if rng.u8(..4) == 0 { generate::mutated(&body, &marks, rng) } else { body };
    generate::frame(message, version, &body, &mut Rng::with_seed(0))
}

/// A batch with something wrong in its header, its records, or its codec, mostly under a right CRC.
fn batch(rng: &mut Rng) -> Bytes {
    let mut batch = Batch::of((0..rng.u8(1..5)).map(|i| vec![i; rng.usize(..50)]));
    match rng.u8(..12) {
        0 => batch.record_count = rng.i32(..),
        1 => batch.last_offset_delta = rng.i32(..),
        2 => batch.attributes = rng.i16(..),
        3 => batch.magic = rng.i8(..),
        4 => batch.base_offset = rng.i64(..),
        5 => batch.crc = Some(rng.u32(..)),
        6 => batch.batch_length = Some(rng.i32(..)),
        7 => batch = batch.from_producer(rng.i64(-1..5), rng.i16(-1..3), rng.i32(-1..10)),
        8 => batch.base_timestamp = rng.i64(..),
        9 => {
            batch.attributes = rng.i16(1..8);
            batch.payload = generate::noise(rng).into();
        }
        10 => {
            let mut payload = batch.payload.to_vec();
            let at = rng.usize(..payload.len());
            payload[at] = rng.u8(..);
            batch.payload = payload.into();
        }
        _ => {}
    }
    batch.encode()
}

/// The most memory that this process has had.
fn peak_memory_kib() -> u64 {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return 0 };
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
