//! Figure `exactly-once`: what exactly once costs. The loop from topic to topic, in transactions of 1,000 records, against this
//! client's plain idempotent producer, and against librdkafka's transactional producer, which reads nothing.
//!
//! The plain producer has two rates. One writes 1,000 records and waits for them before it writes the next, as whoever commits in
//! between must: it has the batches of the promise, and the loop is judged by it. The other never waits: up to 100,000 records are
//! on their way, and five batches at once, which no transactions of 1,000 records can be.
//!
//! The loop overlaps its commits with what comes next, as it does by default; in turn it does not (`ExactlyOnce::overlap`).
//!
//! All of it on one mockbroker, in batches of 1,000 records of 100 bytes: `batch.size` is librdkafka's default of 1,000,000. In
//! Java's 16 KiB such a transaction is seven batches, which is told as well. CPU time is the client's own. Client and broker have
//! a processor each ([`Programs::apart`]): a transaction is three round trips, and what these take is otherwise up to where the
//! scheduler puts the two.

use crate::Effort;
use crate::load::{OUTPUT, TRANSACTION_RECORDS};
use crate::pairs::{Measured, Pairs, measure_client, take};
use crate::processes::{Client, Programs};
use crate::report::{Row, Verdict};

const SIZE: &str = "100";
/// What holds 1,000 records, and what holds 148.
const WHOLE: &str = "batch.size=1000000";
const PARTS: &str = "batch.size=16384";
const RATE_BAR: f64 = 0.8;
const CPU_BAR: f64 = 1.0;

/// The promises.
pub fn run(programs: &Programs, effort: Effort) -> Vec<Row> {
    let programs = &programs.apart();
    // What is read stays, what is written goes.
    let broker = programs.mockbroker(1, &["log.retention.bytes=67108864", "log.segment.bytes=16777216"]);
    let count = effort.pick("100000", "200000");
    let batch = format!("batch.num.messages={TRANSACTION_RECORDS}");
    let drive = |client: Client, what: &str, topic: &str, properties: &[&str]| {
        let mut arguments = vec![what, "--topic", topic, "--size", SIZE, "--count", count, "--property", &batch];
        arguments.extend(properties.iter().flat_map(|property| ["--property", property]));
        measure_client(programs, client, &broker, &arguments)
    };
    // librdkafka's asking makes the topics.
    for topic in ["bench", "plain", OUTPUT] {
        drive(Client::Librdkafka, "produce", topic, &["enable.idempotence=true"]);
    }
    let plain = || drive(Client::Ours, "produce", "plain", &["enable.idempotence=true", WHOLE]);
    let awaited_in = |size| drive(Client::Ours, "batches", "plain", &["enable.idempotence=true", size]);
    let looped_in = |size| drive(Client::Ours, "loop", "bench", &[size]);
    let (awaited, looped) = (|| awaited_in(WHOLE), || looped_in(WHOLE));
    let in_turn = || drive(Client::Ours, "loop-in-turn", "bench", &[WHOLE]);
    let theirs = || drive(Client::Librdkafka, "transact", "plain", &[WHOLE]);
    drop((theirs(), looped(), in_turn(), plain(), awaited()));

    let rate = |run: &Measured| run.records_per_second;
    let work = |run: &Measured| run.work_per_record;
    // Many short runs: what others take of the machine comes in moments.
    let wanted = effort.pick(20, 60);
    let to_awaited = take(wanted, 8, looped, awaited);
    // Theirs takes ten seconds.
    let to_theirs = take(effort.pick(4, 12), 2, looped, theirs);
    let (to_plain, in_turn) = (take(wanted, 2, looped, plain), take(wanted, 2, in_turn, awaited));
    let in_parts = take(wanted, 2, || looped_in(PARTS), || awaited_in(PARTS));
    let against = |what: &str, pairs: &Pairs, plain: &str| {
        let (ours, other) = (pairs.first(rate) / 1e3, pairs.second(rate) / 1e3);
        let row = Row::info("exactly-once", what, format!("{ours:.0} k/s"));
        row.against(format!("{other:.0} k/s (our idempotent producer, {plain})"), pairs.ratio(rate).to_string())
            .detail(pairs.json())
    };
    let (cpu, their_rates) = (to_theirs.ratio(work), to_theirs.ratio(rate));
    vec![
        against("the loop, records", &to_awaited, "batches of 1,000 awaited")
            .judged(format!(">= {RATE_BAR}"), Verdict::at_least(to_awaited.ratio(rate).median, RATE_BAR)),
        against("the loop, records", &to_plain, "never waiting"),
        against("the loop in turn, records", &in_turn, "batches of 1,000 awaited"),
        against("the loop in batches of 16 KiB, records", &in_parts, "1,000 awaited, in such batches"),
        Row::info("exactly-once", "the loop, CPU of a record", format!("{:.0} ns", to_theirs.first(work)))
            .against(format!("{:.0} ns (librdkafka's transactions)", to_theirs.second(work)), cpu.to_string())
            .judged(format!("<= {CPU_BAR}"), Verdict::at_most(cpu.median, CPU_BAR))
            .detail(to_theirs.json()),
        Row::info("exactly-once", "the loop, records", format!("{:.0} k/s", to_theirs.first(rate) / 1e3)).against(
            format!("{:.0} k/s (librdkafka's transactions)", to_theirs.second(rate) / 1e3),
            their_rates.to_string(),
        ),
        Row::info("exactly-once", "how it was measured", to_awaited.describe()),
    ]
}
