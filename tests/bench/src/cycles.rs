//! Figure `cycles`: start, topic, produce, consume, drop, over TCP, a thousand times in one process.
//!
//! The floor is the same conversation with a server that answers the same bytes and does nothing.

use std::time::{Duration, Instant};

use mockbroker::MockBroker;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Effort;
use crate::allocator::heap_bytes;
use crate::machine;
use crate::raw;
use crate::report::{Row, Verdict};
use crate::statistics::{median, quantile};

const CYCLES: usize = 1_000;
const BAR_SECONDS: f64 = 0.5;
/// What the heap may grow by between the hundredth cycle and the thousandth.
const BAR_GROWTH_BYTES: f64 = 65_536.0;
const TOPIC: &str = "cycle";

/// What the process holds.
#[derive(Clone, Copy, Debug)]
struct Holdings {
    threads: u64,
    descriptors: usize,
    heap_bytes: isize,
    resident_kib: u64,
}

impl Holdings {
    fn now() -> Self {
        Self {
            threads: machine::status("self", "Threads"),
            descriptors: machine::descriptors().expect("/proc is there"),
            heap_bytes: heap_bytes(),
            resident_kib: machine::status("self", "VmRSS"),
        }
    }

    fn json(self) -> Value {
        json!({
            "threads": self.threads, "descriptors": self.descriptors, "heap_bytes": self.heap_bytes,
            "resident_kib": self.resident_kib,
        })
    }
}

/// The requests of a cycle, encoded once.
struct Requests {
    create: raw::Frame,
    produce: raw::Frame,
    fetch: raw::Frame,
}

/// The first thousand decides about growth; rounds of a thousand after it about time.
pub fn run(effort: Effort) -> Vec<Row> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(effort))
}

async fn measure(effort: Effort) -> Vec<Row> {
    let requests = Requests {
        create: raw::create_topic(TOPIC, 1),
        produce: raw::produce(TOPIC, 0, &raw::batch(1, 100)),
        fetch: raw::fetch(TOPIC, 0, 0),
    };
    let mut answer = Vec::with_capacity(1024);
    for _ in 0..CYCLES / 10 {
        cycle(&requests, &mut answer).await;
    }
    settle().await;
    let early = Holdings::now();
    for _ in CYCLES / 10..CYCLES {
        cycle(&requests, &mut answer).await;
    }
    settle().await;
    let late = Holdings::now();

    let (mut ours, mut bare, mut each, mut cpu) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..effort.pick(5, 20) {
        let (begin, cpu_before) = (Instant::now(), machine::cpu_time(std::process::id()));
        for _ in 0..CYCLES {
            let begin = Instant::now();
            cycle(&requests, &mut answer).await;
            each.push(begin.elapsed().as_secs_f64() * 1e6);
        }
        ours.push(begin.elapsed().as_secs_f64());
        cpu.push((machine::cpu_time(std::process::id()) - cpu_before).as_secs_f64());
        let begin = Instant::now();
        for _ in 0..CYCLES {
            floor(&requests, &mut answer).await;
        }
        bare.push(begin.elapsed().as_secs_f64());
    }
    let starts = starts().await;
    rows(early, late, &ours, &bare, &cpu, &each, starts)
}

fn rows(
    early: Holdings,
    late: Holdings,
    ours: &[f64],
    bare: &[f64],
    cpu: &[f64],
    each: &[f64],
    starts: Duration,
) -> Vec<Row> {
    let (seconds, floor) = (median(ours), median(bare));
    let growth = (late.heap_bytes - early.heap_bytes) as f64;
    let resident = late.resident_kib.cast_signed() - early.resident_kib.cast_signed();
    let held = |name: &str, early: f64, late: f64| {
        Row::info("cycles", format!("{name} after 100 and after 1,000"), format!("{early} -> {late}"))
            .judged("no growth", Verdict::at_most(late, early))
    };
    vec![
        Row::info("cycles", "1,000 x start, topic, produce, consume, drop", format!("{seconds:.3} s"))
            .against(format!("{floor:.3} s (a server that only answers)"), format!("{:.2}", seconds / floor))
            .judged(format!("<= {BAR_SECONDS} s"), Verdict::at_most(seconds, BAR_SECONDS))
            .detail(json!({ "seconds": ours, "floor_seconds": bare, "cpu_seconds": cpu })),
        Row::info("cycles", "the same, CPU", format!("{:.3} s", median(cpu))),
        Row::info("cycles", "one cycle, p50 and p99", format!("{:.0} us", median(each)))
            .against(format!("{:.0} us", quantile(each, 0.99)), ""),
        Row::info("cycles", "MockBroker::start() and drop, p50", format!("{:.1} us", starts.as_secs_f64() * 1e6)),
        held("threads", early.threads as f64, late.threads as f64),
        held("file descriptors", early.descriptors as f64, late.descriptors as f64),
        Row::info("cycles", "heap growth from 100 to 1,000", format!("{growth:.0} B"))
            .judged("<= 64 KiB", Verdict::at_most(growth, BAR_GROWTH_BYTES))
            .detail(json!({ "after_100": early.json(), "after_1000": late.json() })),
        Row::info("cycles", "resident memory growth from 100 to 1,000", format!("{resident} KiB")),
    ]
}

async fn cycle(requests: &Requests, answer: &mut Vec<u8>) {
    let broker = MockBroker::start().await;
    let mut stream = TcpStream::connect(broker.bootstrap_servers()).await.expect("the broker accepts");
    stream.set_nodelay(true).expect("a TCP socket");
    converse(&mut stream, requests, answer).await;
    raw::expect_fetched(TOPIC, answer);
}

async fn converse(stream: &mut TcpStream, requests: &Requests, answer: &mut Vec<u8>) {
    raw::exchange(stream, &requests.create, answer).await.expect("CreateTopics is answered");
    raw::expect_created(TOPIC, answer);
    raw::exchange(stream, &requests.produce, answer).await.expect("Produce is answered");
    raw::expect_produced(TOPIC, answer);
    raw::exchange(stream, &requests.fetch, answer).await.expect("Fetch is answered");
    assert!(raw::expect_fetched(TOPIC, answer) > 0, "the record is read back");
}

/// The same with a server that knows nothing: an accept loop in a task, and for every frame the same bytes.
async fn floor(requests: &Requests, answer: &mut Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a TCP socket");
        let mut request = Vec::with_capacity(1024);
        // Error code 0 wherever a client looks, and one byte of records.
        let mut reply = vec![0; 204];
        reply[3] = 200;
        reply[4 + 4 + 4 + 4 + 2 + TOPIC.len() + 4 + 4 + 2 + 8 + 8 + 4 + 3] = 1;
        while stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
            request.clear();
            stream.write_all(&reply).await.expect("the client reads");
        }
    });
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.set_nodelay(true).expect("a TCP socket");
    converse(&mut stream, requests, answer).await;
    server.abort();
}

/// The median of start and drop alone.
async fn starts() -> Duration {
    let mut lengths = Vec::with_capacity(CYCLES);
    for _ in 0..CYCLES {
        let begin = Instant::now();
        drop(MockBroker::start().await);
        lengths.push(begin.elapsed().as_secs_f64());
        tokio::task::yield_now().await;
    }
    Duration::from_secs_f64(median(&lengths))
}

/// Lets the runtime end what was dropped.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
