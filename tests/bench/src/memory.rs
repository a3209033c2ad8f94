//! Figure `memory`: the heap of a broker in this process, by the counting allocator: what a test pays.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use mockbroker::MockBroker;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::allocator::heap_bytes;
use crate::raw;
use crate::report::{Row, Verdict};

const BAR_IDLE: f64 = 64.0 * 1024.0;
const BAR_CONNECTION: f64 = 6.0 * 1024.0;
const BAR_RECORDS: f64 = 115e6;
const CONNECTIONS: usize = 1_000;
const RECORDS: i32 = 1_000_000;

/// A broker on a runtime with one worker; the client blocks in this thread, so that its memory is not counted.
pub fn run() -> Vec<Row> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    // What the first broker of a process initialises once is not what a broker costs.
    drop(runtime.block_on(MockBroker::start()));
    let mut rows = vec![idle(&runtime)];
    rows.push(connections(&runtime));
    for per_batch in [1_000, 9_000, 100] {
        rows.push(records(&runtime, per_batch));
    }
    rows
}

fn idle(runtime: &Runtime) -> Row {
    let before = settled();
    let broker = runtime.block_on(MockBroker::start());
    let bytes = (settled() - before) as f64;
    drop(broker);
    let left = settled() - before;
    Row::info("memory", "an idle broker, heap", format!("{:.1} KiB", bytes / 1024.0))
        .judged("<= 64 KiB", Verdict::at_most(bytes, BAR_IDLE))
        .detail(json!({ "bytes": bytes, "left_after_drop": left }))
}

fn connections(runtime: &Runtime) -> Row {
    let broker = runtime.block_on(MockBroker::start());
    let mut clients = Vec::with_capacity(CONNECTIONS);
    let before = settled();
    for _ in 0..CONNECTIONS {
        let mut client = TcpStream::connect(broker.bootstrap_servers()).expect("the broker accepts");
        raw::exchange_blocking(&mut client, &raw::api_versions()).expect("the broker answers");
        clients.push(client);
    }
    let bytes = (settled() - before) as f64 / CONNECTIONS as f64;
    Row::info("memory", "an idle connection that asked ApiVersions, heap", format!("{:.2} KiB", bytes / 1024.0))
        .judged("<= 6 KiB", Verdict::at_most(bytes, BAR_CONNECTION))
        .detail(json!({ "bytes": bytes, "connections": CONNECTIONS }))
}

fn records(runtime: &Runtime, per_batch: i32) -> Row {
    let broker = runtime.block_on(MockBroker::builder().topic("bench", 1).start());
    let batch = raw::batch(per_batch, 100);
    let request = raw::produce("bench", 0, &batch);
    let mut client = TcpStream::connect(broker.bootstrap_servers()).expect("the broker accepts");
    let before = settled();
    let batches = (RECORDS + per_batch - 1) / per_batch;
    for _ in 0..batches {
        let answer = raw::exchange_blocking(&mut client, &request).expect("the broker answers");
        raw::expect_produced("bench", &answer);
    }
    let count = f64::from(batches * per_batch);
    let bytes = (settled() - before) as f64 / count * f64::from(RECORDS);
    let on_the_wire = batch.len() as f64 * f64::from(batches) / count * f64::from(RECORDS);
    let what = format!("1 M records of 100 B in batches of {per_batch}, heap");
    Row::info("memory", what, format!("{:.1} MB", bytes / 1e6))
        .against(format!("{:.1} MB (on the wire)", on_the_wire / 1e6), format!("{:.3}", bytes / on_the_wire))
        .judged("<= 115 MB", Verdict::at_most(bytes, BAR_RECORDS))
        .detail(json!({ "bytes": bytes, "bytes_on_the_wire": on_the_wire }))
}

/// The heap once it has not moved for 20 ms: the runtime's worker is another thread.
fn settled() -> isize {
    let mut bytes = heap_bytes();
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_millis(20) {
        std::thread::sleep(Duration::from_millis(1));
        let now = heap_bytes();
        if now != bytes {
            (bytes, since) = (now, Instant::now());
        }
    }
    bytes
}
