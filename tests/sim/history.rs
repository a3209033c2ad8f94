//! Random histories: workers that move records from topics to topics in our loop, under accidents to them and to the cluster,
//! judged by what is in the logs in the end (`system_tests::history`). `HISTORY_SEED` begins elsewhere, `HISTORY_SEEDS` takes
//! more of them (`just history`).

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use system_tests::history::{self, Judged, Violation};
use tokio::time::Instant;

use super::history_accidents::Trouble;
use super::history_world::{GROUP, Place, World, feed, read_everything, writer_of};
use super::{number_of, simulate};

/// In the README's command; CI takes a thousand.
const SEEDS: u64 = 16;
/// How long everything may take when the accidents are over, in virtual time.
const CALM: Duration = Duration::from_secs(1800);
/// How many lines of the journal are shown; `HISTORY_TAIL` shows more.
const TAIL: u64 = 80;

/// What there is to tell of a history.
struct Ended {
    violations: Vec<String>,
    journal: String,
    /// How many records are committed in the output.
    results: usize,
}

async fn run(seed: u64) -> Ended {
    let mut random = fastrand::Rng::with_seed(seed);
    let world = World::new(seed, &mut random).await;
    let reader = tokio::spawn(read_everything(Arc::clone(&world)));
    let mut feeders: Vec<_> =
        (0..world.plan.feeders).map(|feeder| tokio::spawn(feed(Arc::clone(&world), feeder))).collect();
    let mut trouble = Trouble::new(&world, random.fork());
    for _ in 0..random.u32(10..40) {
        trouble.step().await;
    }
    trouble.end();
    let mut violations = Vec::new();
    let limit = Instant::now() + CALM;
    for feeder in &mut feeders {
        if tokio::time::timeout_at(limit, feeder).await.is_err() {
            violations.push("stuck: a feeder does not end".to_owned());
        }
    }
    while violations.is_empty() && !behind(&world).is_empty() {
        if Instant::now() > limit {
            let behind = behind(&world).into_iter();
            let told = |(place, violation)| format!("stuck: {place:?}: {violation}: {:?}", world.logged(&place));
            violations.extend(behind.map(told));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        trouble.supervise();
    }
    trouble.stop();
    // Their coordinator aborts what they left open, within 20 s and the 10 s in which it looks; the reader reads on.
    tokio::time::sleep(Duration::from_secs(60)).await;
    if violations.is_empty() {
        violations = judge(&world);
    }
    if reader.is_finished() {
        violations.push(format!("the reader ended: {:?}", reader.await));
    } else {
        reader.abort();
    }
    world.broker.assert_healthy();
    let outputs = World::places(&world.plan.outputs);
    let results = outputs.iter().map(|place| history::committed(&world.log(place)).len()).sum();
    let journal = world.journal();
    if !violations.is_empty() {
        violations.push(format!("{:?}", world.plan));
    }
    Ended { violations, journal, results }
}

/// Where the group is not through with its input, or part of that is not decided yet.
fn behind(world: &World) -> Vec<(Place, Violation)> {
    let places = World::places(&world.plan.inputs).into_iter();
    let behind = places.flat_map(|place| {
        let committed = world.broker.group(GROUP).committed(&place.0, place.1).unwrap_or(0);
        let log = world.log(&place);
        let behind = [history::settled(&log), history::offset(&log, committed)].concat();
        behind.into_iter().map(move |violation| (place.clone(), violation))
    });
    behind.collect()
}

/// All that is wrong.
fn judge(world: &World) -> Vec<String> {
    let mut said = Vec::new();
    let mut say = |place: &Place, violations: Vec<Violation>| {
        if !violations.is_empty() && place.1 >= 0 {
            said.push(format!("{place:?}: {:?}", world.logged(place)));
        }
        said.extend(violations.into_iter().map(|violation| format!("{place:?}: {violation}")));
    };
    let (inputs, outputs) = (World::places(&world.plan.inputs), World::places(&world.plan.outputs));
    let logs: BTreeMap<Place, Vec<Judged>> =
        inputs.iter().chain(&outputs).map(|place| (place.clone(), world.log(place))).collect();
    let told = world.told();
    for (place, log) in &logs {
        say(place, history::settled(log));
        say(place, history::order(&history::committed(log), writer_of));
        say(place, history::whole_read(log, told.read.get(place).map_or(&[], Vec::as_slice)));
        say(place, history::reads(log, told.worked.get(place).map_or(&[], Vec::as_slice)));
    }
    let committed =
        |places: &[Place]| -> Vec<&str> { places.iter().flat_map(|place| history::committed(&logs[place])).collect() };
    let input = committed(&inputs);
    let promised = told.promises.iter().map(|(value, promise)| (value.as_str(), *promise));
    say(&("the input".to_owned(), -1), history::promises(&input, promised));
    for (topic, _) in &world.plan.outputs {
        let places: Vec<Place> = outputs.iter().filter(|(name, _)| name == topic).cloned().collect();
        say(&(topic.clone(), -1), history::results(input.iter().copied(), committed(&places)));
    }
    said
}

/// What a seed came to, in words if it is not as it should be.
fn report(seed: u64) -> Result<usize, String> {
    let ended = catch_unwind(AssertUnwindSafe(|| simulate(seed, run(seed))));
    let replay = format!(
        "HISTORY_SEED={seed} HISTORY_SEEDS=1 cargo test --profile quick -p system-tests --test sim history -- --nocapture"
    );
    match ended {
        Ok(Ended { violations, results, .. }) if violations.is_empty() => Ok(results),
        Ok(Ended { violations, journal, .. }) => {
            let lines: Vec<_> = journal.lines().collect();
            let shown = usize::try_from(number_of("HISTORY_TAIL", TAIL)).unwrap_or(usize::MAX);
            let tail = lines[lines.len().saturating_sub(shown)..].join("\n");
            Err(format!("{tail}\n\nseed {seed} fails; again: {replay}\n  {}", violations.join("\n  ")))
        }
        Err(panicked) => {
            let text = panicked.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panicked.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("seed {seed} panics; again: {replay}\n  {}", text.unwrap_or_default()))
        }
    }
}

#[test]
fn every_history_is_exactly_once() {
    let (first, count) = (number_of("HISTORY_SEED", 0), number_of("HISTORY_SEEDS", SEEDS));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, failed, results) = (AtomicU64::new(first), Mutex::new(Vec::new()), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    // The first that fails is worth a look; the others are most likely the same.
                    if seed >= first + count || !failed.lock().expect("no panic").is_empty() {
                        return;
                    }
                    match report(seed) {
                        Ok(count) => results.fetch_add(count as u64, Ordering::Relaxed),
                        Err(why) => {
                            failed.lock().expect("no panic").push((seed, why));
                            return;
                        }
                    };
                }
            });
        }
    });
    let mut failed = failed.into_inner().expect("no panic");
    failed.sort();
    if let Some((_, why)) = failed.into_iter().next() {
        panic!("{why}");
    }
    let results = results.into_inner();
    assert!(results >= count * 2, "only {results} results in {count} histories: they show nothing");
    println!("{count} histories from seed {first} on, {results} results, each exactly once");
}
