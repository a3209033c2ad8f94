//! Figure `exec`: from the start of the program to its first answer, as a test harness in another language sees it.

use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Effort;
use crate::processes::{Programs, ready};
use crate::raw;
use crate::report::{Row, Verdict};
use crate::statistics::{median, quantile};

const BAR_MS: f64 = 5.0;

/// Starts `mockbroker serve --port 0` again and again; the floor is `/bin/true`, start to end.
pub fn run(programs: &Programs, effort: Effort) -> Vec<Row> {
    let times = effort.pick(50, 200);
    let served: Vec<f64> = (0..times).map(|_| milliseconds(first_answer(programs))).collect();
    let floor: Vec<f64> = (0..times).map(|_| milliseconds(nothing())).collect();
    let (ours, bare) = (median(&served), median(&floor));
    vec![
        Row::info("exec", "mockbroker serve to the first ApiVersions answer", format!("{ours:.2} ms"))
            .against(format!("{bare:.2} ms (/bin/true)"), format!("{:.1}", ours / bare))
            .judged(format!("<= {BAR_MS} ms"), Verdict::at_most(ours, BAR_MS))
            .detail(json!({ "p90_ms": quantile(&served, 0.9), "runs_ms": served, "true_ms": floor })),
    ]
}

fn first_answer(programs: &Programs) -> Duration {
    let mut command = Command::new(&programs.mockbroker);
    command.args(["serve", "--port", "0"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let begin = Instant::now();
    let mut child = command.spawn().expect("mockbroker starts");
    let address = ready(&mut child).expect("mockbroker says READY");
    let mut stream = TcpStream::connect(address).expect("mockbroker accepts");
    let answer = raw::exchange_blocking(&mut stream, &raw::api_versions()).expect("mockbroker answers");
    let length = begin.elapsed();
    assert!(answer.len() > 10, "the answer names APIs");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    length
}

fn nothing() -> Duration {
    let begin = Instant::now();
    Command::new("/bin/true").status().expect("/bin/true runs");
    begin.elapsed()
}

fn milliseconds(length: Duration) -> f64 {
    length.as_secs_f64() * 1e3
}
