//! `dispatch-cost`: a load for callgrind (`tests/cost/run`). One connection asks the same thing over TCP, one request at a time.
//!
//! Broker and client share one thread, so that every run executes the same instructions: whenever the broker has nothing to do
//! and would sleep, [`Client::turn`] reads its answer and sends the next request. callgrind leaves that function out.
//!
//! - `dispatch-cost API REQUESTS JOURNAL`: `heartbeat`, `metadata`, `produce` or `fetch`; how often; `kept` or `none`.
//! - `dispatch-cost snapshot TIMES`: how long it takes to start a cluster that is warm: a hundred topics, 10,000 records, by the
//!   clock of the machine.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use mockbroker::{Clock, MockBroker, SeedBatch, schema};
use system_tests::api::{FETCH, HEARTBEAT, METADATA, PRODUCE};
use system_tests::batch::Batch;
use system_tests::codec;
use system_tests::raw::header;
use system_tests::value;
use system_tests::value::Value;
use tokio::sync::oneshot;

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
    let client: Arc<Mutex<Option<Client>>> = Arc::default();
    let turn = {
        let client = Arc::clone(&client);
        move || client.lock().expect("one thread").as_mut().into_iter().for_each(Client::turn)
    };
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().on_thread_park(turn).build().expect("a runtime");
    runtime.block_on(async {
        // By the machine's clock a request costs now more, now less: to subtract nanoseconds is to borrow or not to borrow.
        let builder = MockBroker::builder().journal(journal == "kept").clock(Clock::manual()).seed(1);
        let broker = builder.topic(TOPIC, 1).start().await;
        broker.topic(TOPIC).partition(0).write(SeedBatch::of(["a record"]));
        let (end, ended) = oneshot::channel();
        *client.lock().expect("one thread") =
            Some(Client::connect(broker.bootstrap_servers(), frame_of(&api), requests, end));
        ended.await.expect("the client says when it ends");
    });
}

/// One that asks the same thing again and again.
struct Client {
    stream: TcpStream,
    frame: Vec<u8>,
    /// How many requests are still to be sent.
    left: usize,
    answer: Vec<u8>,
    /// How much of the answer is there; `None` if no request is on its way.
    arrived: Option<usize>,
    end: Option<oneshot::Sender<()>>,
}

impl Client {
    fn connect(address: &str, frame: Vec<u8>, requests: usize, end: oneshot::Sender<()>) -> Self {
        let stream = TcpStream::connect(address).expect("the broker listens");
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_nonblocking(true).expect("a TCP socket");
        Self { stream, frame, left: requests, answer: vec![0; 64 * 1024], arrived: None, end: Some(end) }
    }

    /// Reads what has come and, once that is a whole answer, asks again.
    #[inline(never)]
    fn turn(&mut self) {
        if let Some(arrived) = &mut self.arrived {
            match self.stream.read(&mut self.answer[*arrived..]) {
                Ok(0) => panic!("the broker closed the connection"),
                Ok(count) => *arrived += count,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
            let length = self.answer.first_chunk().map_or(0, |length| u32::from_be_bytes(*length)) as usize;
            if *arrived < 4 + length || *arrived < 4 {
                return;
            }
        }
        if self.left == 0 {
            self.end.take().into_iter().for_each(|end| end.send(()).expect("the broker waits"));
            return;
        }
        self.left -= 1;
        self.stream.write_all(&self.frame).expect("a small frame fits");
        self.arrived = Some(0);
    }
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
