//! `bench`: measures the figures, prints one table, writes `target/bench/FIGURE.json`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use mockbroker_bench::allocator::Counting;
use mockbroker_bench::processes::{Programs, repository};
use mockbroker_bench::report::{self, Row, Verdict};
use mockbroker_bench::{
    Effort, client, consume, cycles, exactly_once, exec, groups, machine, memory, produce, transactions,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The figures that the workspace promises, as ratios to a peer in one run.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    /// Figures to measure; all of them by default.
    figures: Vec<Figure>,
    /// Take about ten minutes instead of two.
    #[arg(long)]
    full: bool,
    /// A `mockbroker` that was built before, instead of building this tree's.
    #[arg(long, value_name = "PROGRAM")]
    mockbroker: Option<PathBuf>,
    /// Measure `client` on a real Kafka as well.
    #[arg(long)]
    kafka: bool,
    /// Exit with 1 if a promise is not kept.
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Figure {
    Cycles,
    Exec,
    Produce,
    Consume,
    Memory,
    Groups,
    Transactions,
    Client,
    ExactlyOnce,
}

const ORDER: [Figure; 9] = [
    Figure::Cycles,
    Figure::Exec,
    Figure::Produce,
    Figure::Consume,
    Figure::Memory,
    Figure::Groups,
    Figure::Transactions,
    Figure::Client,
    Figure::ExactlyOnce,
];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let effort = if arguments.full { Effort::Full } else { Effort::Quick };
    let programs = arguments.mockbroker.map_or_else(Programs::build, Programs::with);
    let begin = Instant::now();
    let before = machine::describe();
    let mut rows: Vec<Row> = Vec::new();
    for figure in ORDER {
        if !arguments.figures.is_empty() && !arguments.figures.contains(&figure) {
            continue;
        }
        let measured = match figure {
            Figure::Cycles => cycles::run(effort),
            Figure::Exec => exec::run(&programs, effort),
            Figure::Produce => produce::run(&programs, effort),
            Figure::Consume => consume::run(&programs, effort),
            Figure::Memory => memory::run(),
            Figure::Groups => groups::run(&programs, effort),
            Figure::Transactions => transactions::run(&programs, effort),
            Figure::Client => client::run(&programs, effort, arguments.kafka),
            Figure::ExactlyOnce => exactly_once::run(&programs, effort),
        };
        eprint!("{}", report::table(&measured));
        rows.extend(measured);
    }
    let context = serde_json::json!({
        "machine": before,
        "load_average_at_the_end": machine::describe()["load_average"],
        "full": arguments.full,
        "seconds": begin.elapsed().as_secs(),
        "peer": "librdkafka's mock cluster (bundled by rdkafka-sys), a process",
        "checks": "mockbroker: CRC of every batch and its records' framing; librdkafka mock: none; consumer: check.crcs=false (default)",
        "load": "acks=all, linger 5 ms, no compression, no idempotence, pseudo-random payload, librdkafka's other defaults",
    });
    let directory = repository().join("target/bench");
    report::write_json(&directory, &rows, &context).expect("target/bench is writable");
    println!("{}", context["machine"]);
    println!("load: {}\nchecks: {}\n", context["load"], context["checks"]);
    print!("{}", report::table(&rows));
    let missed = rows.iter().filter(|row| row.verdict == Verdict::Miss).count();
    println!("\n{missed} missed; {} s; written to {}", begin.elapsed().as_secs(), directory.display());
    if arguments.strict && missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
