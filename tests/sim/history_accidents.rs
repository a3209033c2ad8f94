//! What happens to a history: the accidents, drawn one after the other.
//!
//! With `HISTORY_ISOLATES=1` nodes are cut off from the others as well, which gives each seed another history.

use std::sync::Arc;
use std::time::Duration;

use mockbroker::{ApiKey, Fault, FaultGuard, Gate, HeldMarkers, Isolated, LineGuard, on, on_any};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::history_world::{BoxError, GROUP, World, life};

/// What requests get lost, and their answers.
const LOSSES: &[ApiKey] = &[
    ApiKey::Produce,
    ApiKey::Produce,
    ApiKey::EndTxn,
    ApiKey::EndTxn,
    ApiKey::TxnOffsetCommit,
    ApiKey::AddPartitionsToTxn,
    ApiKey::AddOffsetsToTxn,
    ApiKey::InitProducerId,
    ApiKey::OffsetFetch,
    ApiKey::Fetch,
    ApiKey::FindCoordinator,
    ApiKey::Metadata,
    ApiKey::JoinGroup,
    ApiKey::SyncGroup,
    ApiKey::ConsumerGroupHeartbeat,
];

/// A worker that is alive.
struct Life {
    name: String,
    stop: Arc<Notify>,
    task: JoinHandle<Result<(), BoxError>>,
}

impl Life {
    fn begin(world: &Arc<World>, slot: usize, number: u32) -> Self {
        let (name, stop) = (format!("worker-{slot}.{number}"), Arc::new(Notify::new()));
        let task = tokio::spawn(life(Arc::clone(world), slot, name.clone(), Arc::clone(&stop)));
        Self { name, stop, task }
    }
}

/// Something that goes on until it is dropped, which it is at `until`.
struct Lasting {
    until: Instant,
    _accident: Accident,
}

#[expect(dead_code, reason = "each is held, and dropped")]
enum Accident {
    Fault(FaultGuard),
    Gate(Gate),
    Markers(HeldMarkers),
    Line(LineGuard),
}

/// The cluster and the workers, in trouble.
pub(super) struct Trouble {
    world: Arc<World>,
    random: fastrand::Rng,
    slots: Vec<Option<Life>>,
    /// Workers that were frozen, and whose place another has taken.
    zombies: Vec<Life>,
    lives: u32,
    lasting: Vec<Lasting>,
    /// The node that is down, until when.
    down: Option<(i32, Instant)>,
    /// Whether nodes are cut off from the others; the one that is, until when.
    isolates: bool,
    apart: Option<(Isolated, Instant)>,
}

impl Trouble {
    pub(super) fn new(world: &Arc<World>, random: fastrand::Rng) -> Self {
        let slots = world.plan.workers.iter().map(|_| None).collect();
        let (zombies, lasting) = (Vec::new(), Vec::new());
        let world = Arc::clone(world);
        let isolates = std::env::var("HISTORY_ISOLATES").is_ok_and(|it| it == "1");
        Self { world, random, slots, zombies, lives: 0, lasting, down: None, isolates, apart: None }
    }

    fn soon(&mut self, at_most: u64) -> Instant {
        Instant::now() + Duration::from_millis(self.random.u64(..at_most))
    }

    fn begin(&mut self, slot: usize) {
        self.lives += 1;
        self.slots[slot] = Some(Life::begin(&self.world, slot, self.lives));
    }

    /// Whoever ended of itself is begun anew, as a supervisor would do it.
    pub(super) fn supervise(&mut self) {
        for slot in 0..self.slots.len() {
            if self.slots[slot].as_ref().is_some_and(|life| life.task.is_finished()) {
                self.begin(slot);
            }
        }
        if self.slots.iter().all(Option::is_none) {
            self.begin(0);
        }
    }

    /// Ends what is over by now.
    fn recover(&mut self) {
        let now = Instant::now();
        self.lasting.retain(|lasting| lasting.until > now);
        self.apart.take_if(|(_, until)| *until <= now);
        if let Some((node, until)) = self.down
            && until <= now
        {
            self.world.broker.node(node).restart();
            self.down = None;
        }
    }

    /// One accident, or none, and some time.
    pub(super) async fn step(&mut self) {
        self.recover();
        self.supervise();
        match self.random.u8(..20) {
            0..4 => self.worker(),
            4..8 => self.lose(),
            8 | 9 => self.freeze(),
            10 => self.crash(),
            11..15 => self.move_something(),
            15 => self.hold_markers(),
            16 => self.line(),
            18 if self.isolates => self.isolate(),
            17 => tokio::time::advance(Duration::from_millis(self.random.u64(..40_000))).await,
            _ => {}
        }
        let longest = *self.random.choice(&[20, 200, 2_000, 6_000]).expect("four");
        tokio::time::sleep(Duration::from_millis(self.random.u64(..longest))).await;
    }

    /// A worker comes, leaves, or is killed.
    fn worker(&mut self) {
        let slot = self.random.usize(..self.slots.len());
        match self.slots[slot].take() {
            None => self.begin(slot),
            Some(life) if self.random.bool() => life.task.abort(),
            Some(life) => {
                life.stop.notify_one();
                self.zombies.push(life);
            }
        }
    }

    fn lose(&mut self) {
        let api = *self.random.choice(LOSSES).expect("some");
        let scope = on(api).probability([0.2, 0.5, 1.0][self.random.usize(..3)]).times(self.random.u64(1..4));
        let fault = match self.random.u8(..4) {
            0 => Fault::Silence,
            1 => Fault::Delay(Duration::from_millis(self.random.u64(..12_000))),
            _ => Fault::Disconnect,
        };
        let fault_builder = self.world.broker.fault(scope);
        let mount =
            if self.random.bool() { fault_builder.before_apply(fault) } else { fault_builder.after_apply(fault) };
        let until = self.soon(15_000);
        self.lasting.push(Lasting { until, _accident: Accident::Fault(mount.maybe().mount()) });
    }

    /// A worker is not heard of for a while, and wakes. Another one may have taken its place and its transactional id.
    fn freeze(&mut self) {
        let slot = self.random.usize(..self.slots.len());
        let Some(life) = &self.slots[slot] else { return };
        let gate = self.world.broker.pause_next(on_any().client_id(life.name.as_str())).every();
        let gate = if self.random.u8(..3) > 0 { gate.before_apply() } else { gate.after_apply() };
        let until = self.soon(12_000);
        self.lasting.push(Lasting { until, _accident: Accident::Gate(gate) });
        if self.random.u8(..3) > 0 {
            self.zombies.extend(self.slots[slot].take());
            self.begin(slot);
        }
    }

    /// One of three: the others go on without it, and it without them.
    fn isolate(&mut self) {
        if self.down.is_none() && self.apart.is_none() {
            let node = self.random.i32(0..3);
            self.apart = Some((self.world.broker.node(node).isolate(), self.soon(40_000)));
        }
    }

    fn crash(&mut self) {
        if self.down.is_none() && self.apart.is_none() {
            let node = self.random.i32(0..3);
            self.world.broker.node(node).crash();
            self.down = Some((node, self.soon(10_000)));
        }
    }

    fn move_something(&mut self) {
        if self.down.is_some() || self.apart.is_some() {
            return;
        }
        let (broker, plan, node) = (&self.world.broker, &self.world.plan, self.random.i32(0..3));
        match self.random.u8(..3) {
            0 => broker.move_group_coordinator(GROUP, node),
            1 => {
                let slot = self.random.usize(..plan.workers.len());
                broker.move_transaction_coordinator(&format!("worker-{slot}"), node);
            }
            _ => {
                let topics = if self.random.bool() { &plan.inputs } else { &plan.outputs };
                let (topic, partition) = self.random.choice(World::places(topics)).expect("some");
                broker.move_leader(&topic, partition, node);
            }
        }
    }

    fn hold_markers(&mut self) {
        if !self.lasting.iter().any(|lasting| matches!(lasting._accident, Accident::Markers(_))) {
            let markers = self.world.broker.hold_markers();
            let until = self.soon(8_000);
            self.lasting.push(Lasting { until, _accident: Accident::Markers(markers) });
        }
    }

    fn line(&mut self) {
        let node = self.world.broker.node(self.random.i32(0..3));
        let line = match self.random.bool() {
            true => node.partition(),
            false => node.latency(Duration::from_millis(self.random.u64(1..300))),
        };
        let until = self.soon(12_000);
        self.lasting.push(Lasting { until, _accident: Accident::Line(line) });
    }

    /// All accidents are over.
    pub(super) fn end(&mut self) {
        self.lasting.clear();
        self.apart = None;
        if let Some((node, _)) = self.down.take() {
            self.world.broker.node(node).restart();
        }
        self.supervise();
    }

    /// Nobody works any more.
    pub(super) fn stop(&mut self) {
        let lives = self.slots.iter_mut().filter_map(Option::take).chain(self.zombies.drain(..));
        lives.for_each(|life| life.task.abort());
    }
}
