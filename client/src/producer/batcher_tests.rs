//! The rules of the queues, without a clock: time is a number that the test passes in.

use super::*;

const LINGER: Duration = Duration::from_millis(5);
const TIMEOUT: Duration = Duration::from_secs(120);

struct World {
    batcher: Batcher,
    topic: Arc<str>,
    start: Instant,
    memory: Arc<Semaphore>,
}

impl World {
    fn new(limits: Limits) -> Self {
        let memory = Arc::new(Semaphore::new(0));
        let batcher = Batcher::new(limits, Arc::clone(&memory), fastrand::Rng::with_seed(7));
        Self { batcher, topic: "t".into(), start: Instant::now(), memory }
    }

    fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    fn push(&mut self, partition: usize, size: usize, millis: u64) -> (Delivery, bool) {
        let value = vec![0; size];
        let record = RecordParts { timestamp: 0, key: None, value: Some(&value), headers: &[] };
        self.batcher.push(&Arc::clone(&self.topic), partition, record, size, self.at(millis))
    }

    fn ready(&mut self, millis: u64) -> Vec<i32> {
        self.batcher.poll(self.at(millis));
        self.batcher.ready().map(|(_, _, partition)| partition).collect()
    }

    fn take(&mut self, partition: i32) -> Batch {
        let id = self.batcher.ready().find(|(_, _, of)| *of == partition).expect("the partition is ready").0;
        self.batcher.take(id).expect("a ready lane has a batch")
    }
}

fn limits() -> Limits {
    Limits {
        batch_size: 1000,
        linger: LINGER,
        delivery_timeout: TIMEOUT,
        in_flight_per_partition: 1,
        compression: Compression::None,
    }
}

fn records(batch: &Batch) -> u32 {
    let Content::Records(builder) = &batch.content else { panic!("{:?}", batch.content) };
    builder.record_count()
}

#[test]
fn a_batch_is_due_after_its_linger_and_not_before() {
    let mut world = World::new(limits());
    world.push(0, 10, 0);
    world.push(0, 10, 3);
    assert_eq!(world.batcher.next_deadline(), Some(world.at(5)));
    assert!(world.ready(4).is_empty());
    assert_eq!(world.ready(5), [0]);
    assert_eq!(records(&world.take(0)), 2);
}

#[test]
fn a_full_batch_does_not_linger() {
    let mut world = World::new(limits());
    assert!(world.push(0, 400, 0).1, "a new batch is news to the sender");
    assert!(!world.push(0, 100, 0).1, "another record in it is none");
    assert!(world.push(0, 600, 0).1);
    assert_eq!(world.ready(0), [0]);
    assert_eq!(records(&world.take(0)), 2);
}

#[test]
fn a_record_bigger_than_a_batch_gets_its_own() {
    // ProducerConfig BATCH_SIZE_DOC: a bigger record is sent alone.
    let mut world = World::new(limits());
    world.push(0, 10, 0);
    world.push(0, 5000, 0);
    world.ready(0);
    let first = world.take(0);
    assert_eq!(records(&first), 1);
    world.batcher.settled(first.lane, first.number);
    assert_eq!(records(&world.take(0)), 1);
}

#[test]
fn a_busy_partition_keeps_its_open_batch_open() {
    // A linger of zero must still make batches while a request is in flight.
    let mut world = World::new(Limits { linger: Duration::ZERO, ..limits() });
    world.push(0, 10, 0);
    assert_eq!(world.ready(0), [0]);
    let first = world.take(0);
    for _ in 0..5 {
        world.push(0, 10, 1);
    }
    assert!(world.ready(1).is_empty());
    world.batcher.settled(first.lane, first.number);
    assert_eq!(world.ready(1), [0]);
    assert_eq!(records(&world.take(0)), 5);
}

#[test]
fn a_retried_batch_goes_before_everything_behind_it() {
    let mut world = World::new(limits());
    world.push(0, 900, 0);
    world.push(0, 900, 0);
    world.ready(0);
    let first = world.take(0);
    let number = first.number;
    world.batcher.put_back(first, world.at(100), world.at(1));
    assert!(world.ready(99).is_empty(), "the partition is silent while it backs off");
    assert_eq!(world.ready(100), [0]);
    assert_eq!(world.take(0).number, number);
}

#[test]
fn several_in_flight_come_back_in_order() {
    let mut world = World::new(Limits { in_flight_per_partition: 2, ..limits() });
    (0..3).for_each(|_| drop(world.push(0, 900, 0)));
    world.ready(0);
    let (first, second) = (world.take(0), world.take(0));
    assert!(world.ready(0).is_empty());
    let numbers = [first.number, second.number];
    world.batcher.put_back(second, world.at(0), world.at(0));
    world.batcher.put_back(first, world.at(0), world.at(0));
    assert_eq!([world.take(0).number, world.take(0).number], numbers);
}

#[test]
fn time_is_up_in_the_order_of_the_partition() {
    // delivery.timeout.ms: never expire a batch before the one ahead of it.
    let mut world = World::new(limits());
    world.push(0, 900, 0);
    world.push(0, 900, 1);
    world.push(0, 900, 60_000);
    world.ready(60_005);
    let expired = world.batcher.expire(world.at(120_001));
    let numbers: Vec<_> = expired.iter().map(|batch| batch.number).collect();
    assert_eq!(numbers, [0, 1]);
    assert_eq!(world.batcher.next_deadline(), Some(world.at(180_000)));
}

#[test]
fn what_is_in_flight_is_not_expired() {
    let mut world = World::new(limits());
    world.push(0, 10, 0);
    world.ready(5);
    let _in_flight = world.take(0);
    assert!(world.batcher.expire(world.at(200_000)).is_empty());
}

#[test]
fn a_flush_covers_what_was_pushed_before_it() {
    let mut world = World::new(limits());
    world.push(0, 10, 0);
    world.push(1, 10, 0);
    assert_eq!(world.batcher.flush().len(), 2);
    world.push(0, 10, 0);
    assert_eq!(world.ready(0), [0, 1]);
    assert_eq!(records(&world.take(0)), 1, "a later record is in a later batch");
}

#[test]
fn the_oldest_batch_is_offered_first() {
    let mut world = World::new(limits());
    for (partition, millis) in [(2, 2), (0, 0), (1, 1)] {
        world.push(partition, 10, millis);
    }
    assert_eq!(world.ready(100), [0, 1, 2]);
}

#[test]
fn compression_begins_when_the_partition_can_take_the_batch() {
    let mut world = World::new(Limits { compression: Compression::Lz4, ..limits() });
    world.push(0, 10, 0);
    assert!(world.ready(5).is_empty());
    let (lane, number, builder) = world.batcher.next_to_compress().unwrap();
    assert!(world.batcher.next_to_compress().is_none());
    assert!(world.batcher.expire(world.at(500_000)).is_empty(), "what is being compressed is not taken away");
    world.batcher.compressed(lane, number, builder.close(Compression::Lz4).unwrap());
    assert_eq!(world.ready(5), [0]);
    assert!(matches!(world.take(0).content, Content::Bytes(_)));
}

#[test]
fn memory_comes_back_when_a_batch_is_settled() {
    let mut world = World::new(limits());
    world.push(0, 100, 0);
    world.push(0, 200, 0);
    world.ready(5);
    let batch = world.take(0);
    assert_eq!(world.memory.available_permits(), 0);
    batch.ticket.fail(crate::Written::NotWritten, Error::Closed { what: "test" });
    assert_eq!(world.memory.available_permits(), 300);
}

#[test]
fn records_without_a_key_stay_together_and_then_move_on() {
    // KIP-794: a partition keeps its records until it has batch.size of them.
    let mut world = World::new(limits());
    let leader = crate::cluster::metadata::Leader { node_id: Some(1), leader_epoch: 0 };
    let topic = Topic {
        name: Arc::clone(&world.topic),
        topic_id: uuid::Uuid::nil(),
        partitions: vec![leader; 16],
        refreshed_at: world.start,
    };
    let mut partitions = Vec::new();
    for _ in 0..200 {
        let partition = world.batcher.sticky_partition(&topic, 100);
        world.push(partition, 79, 0);
        partitions.push(partition);
    }
    let switches = partitions.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!((10..=22).contains(&switches), "{switches}: {partitions:?}");
}
