//! `dispatch-cost`: a load for callgrind (`tests/cost/run`). One connection asks the same thing over TCP, one request at a time; the
//! broker has a thread of its own, so that what it takes can be told from what the client takes.
//!
//! - `dispatch-cost API REQUESTS JOURNAL`: `heartbeat`, `metadata`, `produce` or `fetch`; how often; `kept` or `none`.
//! - `dispatch-cost snapshot TIMES`: how long it takes to start a cluster that is warm: a hundred topics, 10,000 records, by the
//!   clock of the machine.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;

use mockbroker::{MockBroker, SeedBatch, schema};
use system_tests::api::{FETCH, HEARTBEAT, METADATA, PRODUCE};
use system_tests::batch::Batch;
use system_tests::codec;
use system_tests::raw::header;
use system_tests::value;
use system_tests::value::Value;

const TOPIC: &str = "orders";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("dispatch-cost API REQUESTS JOURNAL");
    let (api, requests) = (next(), next());
    let requests: usize = requests.parse().expect("a number of requests");
    if api == "snapshot" {
        return snapshots(requests);
    }
    let journal = next();
    let frame = frame_of(&api);
    let (tell, told) = mpsc::channel();
    let (end, ended) = tokio::sync::oneshot::channel();
    let broker = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let broker = MockBroker::builder().journal(journal == "kept").topic(TOPIC, 1).start().await;
            broker.topic(TOPIC).partition(0).write(SeedBatch::of(["a record"]));
            tell.send(broker.bootstrap_servers().to_owned()).expect("the client waits");
            ended.await.expect("the client says when it ends");
        });
    });
    let address = told.recv().expect("the broker says where it is");
    ask(&address, &frame, requests);
    end.send(()).expect("the broker waits");
    broker.join().expect("it ended well");
}

/// Prints what a start of a warm cluster takes, in sockets and in memory: the median.
fn snapshots(times: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for (name, builder) in [("TCP", MockBroker::builder()), ("memory", MockBroker::builder().in_memory())] {
            let broker = (0..100).fold(builder, |builder, number| builder.topic(format!("t{number}"), 4)).start().await;
            for number in 0..100 {
                let values = (0..100).map(|value| format!("a record of no great length, {value}"));
                broker.topic(format!("t{number}")).partition(number % 4).write(SeedBatch::of(values));
            }
            let mut took = Vec::with_capacity(times);
            for _ in 0..times {
                #[expect(clippy::disallowed_methods, reason = "what is measured is the real time")]
                let began = std::time::Instant::now();
                let fork = broker.snapshot().start().await;
                took.push(began.elapsed());
                drop(fork);
                // Lets the runtime end what was dropped.
                tokio::task::yield_now().await;
            }
            took.sort_unstable();
            println!(
                "snapshot and start, {name}: {:?}, 99 of 100 within {:?}",
                took[times / 2],
                took[times * 99 / 100]
            );
        }
    });
}

fn ask(address: &str, frame: &[u8], requests: usize) {
    let mut stream = TcpStream::connect(address).expect("the broker listens");
    stream.set_nodelay(true).expect("a TCP socket");
    let mut answer = vec![0; 64 * 1024];
    for _ in 0..requests {
        stream.write_all(frame).expect("the broker reads");
        stream.read_exact(&mut answer[..4]).expect("the broker answers");
        let length = u32::from_be_bytes(answer[..4].try_into().expect("four bytes")) as usize;
        stream.read_exact(&mut answer[..length]).expect("the broker answers");
    }
}

/// The frame with its length.
fn frame_of(api: &str) -> Vec<u8> {
    let (api_key, version, body) = request(api);
    let message = schema::request(api_key).expect("a request of Kafka's");
    let mut frame = header(message, version, 7, Some("cost"));
    frame.extend(codec::encode(message, version, &body));
    let length = u32::try_from(frame.len()).expect("a small frame");
    [&length.to_be_bytes()[..], &frame].concat()
}

/// What clients ask most.
fn request(api: &str) -> (i16, i16, Value) {
    match api {
        "heartbeat" => (HEARTBEAT, 4, value!({ group_id: "billing", generation_id: 3, member_id: "member-1" })),
        "metadata" => (METADATA, 9, value!({ topics: [{ name: TOPIC }], allow_auto_topic_creation: false })),
        "produce" => {
            let records = Batch::of(["a record of no great length"]).encode();
            let topic = value!({ name: TOPIC, partition_data: [{ index: 0, records: records }] });
            (PRODUCE, 9, value!({ acks: -1, timeout_ms: 5000, topic_data: [topic] }))
        }
        "fetch" => {
            let partition = value!({ partition: 0, fetch_offset: 0, partition_max_bytes: 65_536 });
            let topic = value!({ topic: TOPIC, partitions: [partition] });
            (FETCH, 11, value!({ replica_id: -1, max_wait_ms: 100, min_bytes: 1, max_bytes: 65_536, topics: [topic] }))
        }
        other => panic!("no load {other:?}: heartbeat, metadata, produce, fetch"),
    }
}
