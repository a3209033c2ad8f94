//! Figure `transactions`: transactions of one record, one after the other, over one raw connection; and what a thousand open
//! ones cost that nobody goes on with.
//!
//! The three brokers take turns, each a process: `mockbroker`, librdkafka's mock cluster, and a real Kafka. The second
//! generation of the protocol, which librdkafka's mock does not speak, is measured with the broker in this process.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use mockbroker::MockBroker;
use serde_json::json;

use crate::Effort;
use crate::processes::{Broker, Programs};
use crate::raw::{self, exchange_blocking, frame, int16, int16_at, int32, int64, string};
use crate::report::{Row, Verdict};
use crate::statistics::{Estimate, median};

const TOPIC: &str = "bench";
const OPEN: usize = 1_000;
const KAFKA_BAR: f64 = 5.0;
const LIBRDKAFKA_BAR: f64 = 1.5;
/// What one producer does in one process with transaction version 2, on the machine that the bar was seen on.
const V2_BAR: f64 = 8_000.0;
/// Of one processor, beside a thousand open transactions.
const IDLE_BAR: f64 = 0.01;

const ADD_PARTITIONS_TO_TXN: i16 = 24;
const END_TXN: i16 = 26;
const FIND_COORDINATOR: i16 = 10;
const INIT_PRODUCER_ID: i16 = 22;
const PRODUCE: i16 = 0;
const CONCURRENT_TRANSACTIONS: i16 = 51;

/// The promises.
pub fn run(programs: &Programs, effort: Effort) -> Vec<Row> {
    let mut rows = against_others(programs, effort);
    rows.push(second_generation(effort));
    rows.push(idle(programs, effort));
    rows
}

fn against_others(programs: &Programs, effort: Effort) -> Vec<Row> {
    let (rounds, length) = effort.pick((7, Duration::from_millis(500)), (15, Duration::from_secs(2)));
    let brokers = [programs.mockbroker(1, &[]), programs.librdkafka_mock(1), programs.kafka()];
    // The others have the topic from the start; librdkafka's mock closes the connection at a CreateTopics.
    let mut kafka = TcpStream::connect(&brokers[2].bootstrap).expect("Kafka accepts");
    let created = exchange_blocking(&mut kafka, &raw::create_topic(TOPIC, 1)).expect("Kafka answers");
    raw::expect_created(TOPIC, &created);
    let mut sessions: Vec<Session> = brokers.iter().map(|it| Session::begin(&it.bootstrap, "mover")).collect();
    // A warm peer is a fair one: Kafka's first seconds are those of its compiler.
    for session in &mut sessions {
        session.per_second(length * 4, Session::transact);
    }
    let ways: [Way; 2] = [
        ("AddPartitionsToTxn, Produce, EndTxn over one connection", Session::transact),
        ("the same three sent at once, answers awaited together", Session::transact_pipelined),
    ];
    let mut rates: [[Vec<Rates>; 3]; 2] = Default::default();
    for round in 0..rounds {
        for ((_, transact), rates) in ways.iter().zip(&mut rates) {
            for turn in 0..sessions.len() {
                let which = (round + turn) % sessions.len();
                let before = brokers[which].cpu_time();
                let mut seen = sessions[which].per_second(length, transact);
                seen.cpu_us = (brokers[which].cpu_time() - before).as_secs_f64() * 1e6 / seen.count;
                rates[which].push(seen);
            }
        }
    }
    let seconds = length.as_secs_f64();
    ways.iter().zip(&rates).flat_map(|((what, _), rates)| compared(what, rates, seconds)).collect()
}

/// How a transaction is asked for: what that is, and the one who does it.
type Way = (&'static str, fn(&mut Session));

/// The rows of one way to ask, of which the first is what was promised.
fn compared(what: &str, [ours, librdkafka, kafka]: &[Vec<Rates>; 3], seconds: f64) -> Vec<Row> {
    let against = |peer: &[Rates], name: &str, what: String, unit: &str, of: fn(&Rates) -> f64| {
        let ratios: Vec<f64> = ours.iter().zip(peer).map(|(ours, peer)| of(ours) / of(peer)).collect();
        let (ours, peer): (Vec<f64>, Vec<f64>) = (ours.iter().map(of).collect(), peer.iter().map(of).collect());
        let ratio = Estimate::of(&ratios);
        let row = Row::info("transactions", what, format!("{:.0} {unit}", median(&ours)))
            .against(
                format!("{:.0} {unit} ({name})", median(&peer)),
                format!("{:.2} ({:.2}-{:.2})", ratio.median, ratio.low, ratio.high),
            )
            .detail(json!({ "mockbroker": ours, "peer": peer, "rounds": ours.len(), "seconds": seconds }));
        (row, ratio.median)
    };
    let judged = |peer: &[Rates], name: &str, bar: f64| {
        let (row, ratio) = against(peer, name, what.to_owned(), "/s", |rates| rates.transactions);
        row.judged(format!(">= {bar}"), Verdict::at_least(ratio, bar))
    };
    let peer = "librdkafka mock";
    vec![
        judged(kafka, "Kafka", KAFKA_BAR),
        judged(librdkafka, peer, LIBRDKAFKA_BAR),
        against(librdkafka, peer, format!("{what}: requests answered"), "/s", |rates| rates.requests).0,
        against(librdkafka, peer, format!("{what}: CPU of the broker"), "us", |rates| rates.cpu_us).0,
    ]
}

fn second_generation(effort: Effort) -> Row {
    let length = effort.pick(Duration::from_secs(2), Duration::from_secs(10));
    let (address, bootstrap) = std::sync::mpsc::sync_channel(1);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let broker = MockBroker::builder().topic(TOPIC, 1).start().await;
            address.send(broker.bootstrap_servers().to_owned()).expect("somebody wants it");
            let _whenever = stopped.await;
        });
    });
    let mut session = Session::begin(&bootstrap.recv().expect("the broker starts"), "mover");
    let rate = session.per_second(length, Session::transact_at_once).transactions;
    drop(stop);
    server.join().expect("the broker ends in peace");
    Row::info("transactions", "Produce v12, EndTxn v5, broker and producer in this process", format!("{rate:.0} /s"))
        .judged(format!("about {V2_BAR:.0} /s"), Verdict::at_least(rate, V2_BAR))
}

fn idle(programs: &Programs, effort: Effort) -> Row {
    let length = effort.pick(Duration::from_secs(3), Duration::from_secs(30));
    let broker = programs.mockbroker(1, &[]);
    let used = |broker: &Broker| {
        let before = broker.cpu_time();
        std::thread::sleep(length);
        (broker.cpu_time() - before).as_secs_f64() / length.as_secs_f64()
    };
    let mut connection = Session::begin(&broker.bootstrap, "first");
    let without = used(&broker);
    for number in 0..OPEN {
        connection.change(&format!("open-{number}"));
        connection.add();
    }
    let with = used(&broker);
    Row::info("transactions", format!("CPU beside {OPEN} open transactions, idle"), format!("{:.3} %", with * 100.0))
        .against(format!("{:.3} % (none open)", without * 100.0), String::new())
        .judged(format!("<= {} %", IDLE_BAR * 100.0), Verdict::at_most(with, IDLE_BAR))
}

/// What one broker does in a second. A transaction takes three requests, and one more whenever the markers of the one before
/// are not written yet: Kafka and mockbroker then say CONCURRENT_TRANSACTIONS, librdkafka's mock knows no such moment.
#[derive(Clone, Copy)]
struct Rates {
    transactions: f64,
    requests: f64,
    /// How many there were.
    count: f64,
    /// CPU of the broker for one, in microseconds.
    cpu_us: f64,
}

/// A producer with a transactional id, and its connection.
struct Session {
    stream: TcpStream,
    transactional_id: String,
    producer_id: i64,
    producer_epoch: i16,
    sequence: i32,
    batch: Vec<u8>,
    /// Requests that were answered.
    asked: u32,
}

impl Session {
    fn begin(bootstrap: &str, transactional_id: &str) -> Self {
        let stream = TcpStream::connect(bootstrap).expect("the broker accepts");
        stream.set_nodelay(true).expect("a TCP socket");
        let batch = raw::batch(1, 100);
        let mut session = Self {
            stream,
            transactional_id: String::new(),
            producer_id: -1,
            producer_epoch: -1,
            sequence: 0,
            batch,
            asked: 0,
        };
        session.change(transactional_id);
        session
    }

    fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        self.asked += 1;
        exchange_blocking(&mut self.stream, request).expect("the broker answers")
    }

    /// Goes on as the producer of another id.
    fn change(&mut self, transactional_id: &str) {
        self.transactional_id = transactional_id.to_owned();
        let coordinator = frame(FIND_COORDINATOR, 1, |out| {
            string(out, transactional_id);
            out.push(1);
        });
        // correlation id, throttle time, error code
        while int16_at(&self.ask(&coordinator), 8) != 0 {
            std::thread::sleep(Duration::from_millis(20));
        }
        let init = frame(INIT_PRODUCER_ID, 1, |out| {
            string(out, transactional_id);
            int32(out, 600_000);
        });
        loop {
            let answer = self.ask(&init);
            if int16_at(&answer, 8) == 0 {
                self.producer_id = i64::from_be_bytes(answer[10..18].try_into().expect("eight bytes"));
                self.producer_epoch = int16_at(&answer, 18);
                self.sequence = 0;
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn add(&mut self) {
        let request = self.add_partitions();
        while !is_added(&self.ask(&request)) {}
    }

    fn add_partitions(&self) -> raw::Frame {
        frame(ADD_PARTITIONS_TO_TXN, 1, |out| {
            string(out, &self.transactional_id);
            int64(out, self.producer_id);
            int16(out, self.producer_epoch);
            int32(out, 1);
            string(out, TOPIC);
            int32(out, 1);
            int32(out, 0);
        })
    }

    /// The next batch of the producer.
    fn seal(&mut self) {
        self.batch[21..23].copy_from_slice(&0x10_i16.to_be_bytes());
        self.batch[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        self.batch[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        self.batch[53..57].copy_from_slice(&self.sequence.to_be_bytes());
        let checksum = crc32c::crc32c(&self.batch[21..]);
        self.batch[17..21].copy_from_slice(&checksum.to_be_bytes());
        self.sequence += 1;
    }

    /// Produce of the next batch.
    fn produce(&mut self) -> raw::Frame {
        self.seal();
        frame(PRODUCE, 8, |out| {
            string(out, &self.transactional_id);
            int16(out, -1);
            int32(out, 10_000);
            int32(out, 1);
            string(out, TOPIC);
            int32(out, 1);
            int32(out, 0);
            raw::bytes(out, &self.batch);
        })
    }

    fn commit(&self) -> raw::Frame {
        frame(END_TXN, 1, |out| {
            string(out, &self.transactional_id);
            int64(out, self.producer_id);
            int16(out, self.producer_epoch);
            out.push(1);
        })
    }

    fn transact(&mut self) {
        self.add();
        let request = self.produce();
        raw::expect_produced(TOPIC, &self.ask(&request));
        let request = self.commit();
        expect_ended(&self.ask(&request));
    }

    /// The same with the three requests sent at once, which leaves one turn of the processes to a transaction.
    fn transact_pipelined(&mut self) {
        loop {
            let requests = [self.add_partitions(), self.produce(), self.commit()].concat();
            self.asked += 3;
            self.stream.write_all(&requests).expect("the broker reads");
            let [added, produced, ended] =
                [(); 3].map(|()| raw::receive_blocking(&mut self.stream).expect("the broker answers"));
            if is_added(&added) {
                raw::expect_produced(TOPIC, &produced);
                expect_ended(&ended);
                return;
            }
            // The other two are refused with it.
            self.sequence -= 1;
        }
    }

    fn per_second(&mut self, length: Duration, transact: impl Fn(&mut Self)) -> Rates {
        self.asked = 0;
        let (begin, mut count) = (Instant::now(), 0.0);
        while begin.elapsed() < length {
            transact(self);
            count += 1.0;
        }
        let seconds = begin.elapsed().as_secs_f64();
        Rates { transactions: count / seconds, requests: f64::from(self.asked) / seconds, count, cpu_us: 0.0 }
    }

    /// The same in the second generation of the protocol (KIP-890).
    fn transact_at_once(&mut self) {
        self.seal();
        let request = flexible(PRODUCE, 12, |out| {
            compact(out, self.transactional_id.as_bytes());
            int16(out, -1);
            int32(out, 10_000);
            out.push(2);
            compact(out, TOPIC.as_bytes());
            out.push(2);
            int32(out, 0);
            compact(out, &self.batch);
            out.extend_from_slice(&[0, 0, 0]);
        });
        loop {
            // correlation id, tags, array length, name, array length, partition, error code
            match int16_at(&self.ask(&request), 4 + 1 + 1 + 1 + TOPIC.len() + 1 + 4) {
                0 => break,
                CONCURRENT_TRANSACTIONS => {}
                code => panic!("Produce is answered with {code}"),
            }
        }
        let request = flexible(END_TXN, 5, |out| {
            compact(out, self.transactional_id.as_bytes());
            int64(out, self.producer_id);
            int16(out, self.producer_epoch);
            out.extend_from_slice(&[1, 0]);
        });
        let answer = self.ask(&request);
        // correlation id, tags, throttle time, error code, producer id, epoch
        assert_eq!(int16_at(&answer, 9), 0, "EndTxn is answered with an error");
        self.producer_id = i64::from_be_bytes(answer[11..19].try_into().expect("eight bytes"));
        self.producer_epoch = int16_at(&answer, 19);
        self.sequence = 0;
    }
}

/// Whether AddPartitionsToTxn has added; not yet while the markers of the transaction before are being written.
fn is_added(answer: &[u8]) -> bool {
    // correlation id, throttle time, array length, name, array length, partition, error code
    match int16_at(answer, 4 + 4 + 4 + 2 + TOPIC.len() + 4 + 4) {
        0 => true,
        CONCURRENT_TRANSACTIONS => false,
        code => panic!("AddPartitionsToTxn is answered with {code}"),
    }
}

fn expect_ended(answer: &[u8]) {
    assert_eq!(int16_at(answer, 8), 0, "EndTxn is answered with an error");
}

/// A frame of a flexible version: its header ends with tags, of which there are none.
fn flexible(key: i16, version: i16, body: impl FnOnce(&mut Vec<u8>)) -> raw::Frame {
    frame(key, version, |out| {
        out.push(0);
        body(out);
    })
}

/// Bytes with their length as an unsigned varint, one more than there are.
fn compact(out: &mut Vec<u8>, value: &[u8]) {
    let mut rest = value.len() + 1;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
    out.extend_from_slice(value);
}
