//! The rules of the queues, without a clock: time is a number that the test passes in.

use super::*;
use crate::cluster::metadata::Topic;

use crate::error::Error;
use std::time::Duration;

const LINGER: Duration = Duration::from_millis(5);
const TIMEOUT: Duration = Duration::from_secs(120);

struct World {
    batcher: Batcher,
    start: Instant,
    memory: Arc<Semaphore>,
}

impl World {
    fn new(limits: Limits) -> Self {
        let memory = Arc::new(Semaphore::new(0));
        let batcher = Batcher::new(limits, Arc::clone(&memory), fastrand::Rng::with_seed(7));
        Self { batcher, start: Instant::now(), memory }
    }

    fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    fn topic(&mut self) -> TopicIndex {
        let known = Topic::on("t", &[1; 16], self.start);
        self.batcher.topic(&"t".into(), 0, || Some(known.into())).expect("it is known").0
    }

    fn push(&mut self, partition: usize, size: usize, millis: u64) -> (Delivery, bool) {
        let value = vec![0; size];
        let record = RecordParts { timestamp: 0, key: None, value: Some(&value), headers: &[] };
        let (bound, now) = (record.upper_bound(), self.at(millis));
        let topic = self.topic();
        self.batcher.push(topic, partition, record, bound, || now)
    }

    fn ready(&mut self, millis: u64) -> Vec<i32> {
        self.batcher.poll(self.at(millis));
        self.batcher.ready().map(|(_, _, partition, _)| partition).collect()
    }

    fn take(&mut self, partition: i32) -> Batch {
        let id = self.batcher.ready().find(|(_, _, of, _)| *of == partition).expect("the partition is ready").0;
        self.batcher.take(id, 1).expect("a ready lane has a batch")
    }
}

fn limits() -> Limits {
    Limits {
        batch_size: 1000,
        batch_records: usize::MAX,
        linger: LINGER,
        delivery_timeout: TIMEOUT,
        in_flight_per_partition: 1,
        compression: Compression::None,
        idempotence: false,
        transactional: false,
        adaptive: false,
        availability_timeout: Duration::ZERO,
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
    world.batcher.written(&first);
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
    world.batcher.written(&first);
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
fn a_batch_is_full_when_it_has_its_records() {
    let mut world = World::new(Limits { batch_records: 3, ..limits() });
    (0..7).for_each(|_| drop(world.push(0, 10, 0)));
    world.ready(0);
    let first = world.take(0);
    world.batcher.written(&first);
    let second = world.take(0);
    assert_eq!((first.record_count, second.record_count), (3, 3));
    world.batcher.written(&second);
    assert!(world.ready(4).is_empty(), "the seventh lingers");
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
    let (lane, order, builder) = world.batcher.next_to_compress().unwrap();
    assert!(world.batcher.next_to_compress().is_none());
    assert!(world.batcher.expire(world.at(500_000)).is_empty(), "what is being compressed is not taken away");
    world.batcher.compressed(lane, order, builder.close(Compression::Lz4).unwrap());
    assert_eq!(world.ready(5), [0]);
    assert!(matches!(world.take(0).content, Content::Closed(_)));
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
    assert_eq!(world.memory.available_permits(), 125 + 225);
}

#[test]
fn records_without_a_key_stay_together_and_then_move_on() {
    // KIP-794: a partition keeps its records until it has batch.size of them.
    let mut world = World::new(limits());
    let topic = world.topic();
    let mut partitions = Vec::new();
    for _ in 0..200 {
        let partition = world.batcher.sticky_partition(topic, 100, Instant::now);
        world.push(partition, 79, 0);
        partitions.push(partition);
    }
    let switches = partitions.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!((10..=22).contains(&switches), "{switches}: {partitions:?}");
}

#[test]
fn what_lingers_can_go_along_with_what_is_due_unless_its_partition_is_busy() {
    // Java RecordAccumulator.drainBatchesForOneNode: a request for a broker takes what there is for it.
    let mut world = World::new(limits());
    world.push(0, 10, 0);
    world.push(1, 10, 3);
    assert_eq!(world.ready(5), [0]);
    let lingering: Vec<_> = world.batcher.lingering().map(|(id, _, partition)| (id, partition)).collect();
    assert_eq!(lingering.len(), 1);
    assert_eq!(lingering[0].1, 1);
    assert!(world.batcher.hasten(lingering[0].0));
    assert_eq!(world.ready(5), [0, 1]);
    let in_flight = world.take(1);
    world.push(1, 10, 5);
    assert!(!world.batcher.hasten(in_flight.lane), "one batch is in flight already");
    assert_eq!(world.batcher.lingering().count(), 1, "it lingers on");
}

mod idempotence {
    //! KIP-98 and KIP-360: what was sent goes out again as it was, in order; a gap starts the sequences over.

    use super::*;

    fn unknown() -> World {
        let mut world = World::new(Limits { idempotence: true, in_flight_per_partition: 5, ..limits() });
        world.batcher.identify(7);
        world
    }

    /// The broker has a batch of one record of the producer.
    fn world() -> World {
        let mut world = unknown();
        let first = in_flight(&mut world, 1).remove(0);
        world.batcher.written(&first);
        world
    }

    /// Pushes batches of one record each, and takes as many as may be in flight.
    fn in_flight(world: &mut World, count: usize) -> Vec<Batch> {
        (0..count).for_each(|_| drop(world.push(0, 990, 0)));
        world.ready(0);
        (0..count).map(|_| world.take(0)).collect()
    }

    fn fields(batch: &Batch) -> (i16, i32) {
        let fields = batch.stamp.expect("a batch that was taken is stamped").fields();
        (fields.producer_epoch, fields.base_sequence)
    }

    fn back(world: &mut World, batch: Batch) {
        world.batcher.put_back(batch, world.at(0), world.at(0));
    }

    #[test]
    fn nothing_is_sent_before_there_is_a_producer_id() {
        let mut world = World::new(Limits { idempotence: true, ..limits() });
        assert!(!world.batcher.wants_producer_id(), "nobody asks for an id that nobody needs");
        world.push(0, 990, 0);
        assert!(world.batcher.wants_producer_id() && world.ready(10).is_empty());
        assert_eq!(world.batcher.next_deadline(), Some(world.at(120_000)), "the time of the record runs all the same");
        world.batcher.identify(7);
        assert_eq!(world.ready(10), [0]);
        assert_eq!(fields(&world.take(0)), (0, 0));
    }

    #[test]
    fn five_batches_of_a_partition_are_in_flight_with_sequences_in_order() {
        let mut world = world();
        (0..6).for_each(|_| drop(world.push(0, 990, 0)));
        world.ready(0);
        let sequences: Vec<_> = (0..5).map(|_| fields(&world.take(0)).1).collect();
        assert_eq!(sequences, [1, 2, 3, 4, 5]);
        assert!(world.ready(0).is_empty());
    }

    #[test]
    fn the_first_batch_goes_alone_until_it_is_known_to_be_written() {
        // ProducerAppendInfo.checkSequence: a broker takes any first sequence of a producer that it does not know.
        let mut world = unknown();
        (0..3).for_each(|_| drop(world.push(0, 990, 0)));
        world.ready(0);
        let first = world.take(0);
        assert!(world.ready(0).is_empty(), "the second one would be taken for the first if that is lost");
        back(&mut world, first);
        world.ready(0);
        let first = world.take(0);
        assert!(fields(&first) == (0, 0) && world.ready(0).is_empty());
        world.batcher.written(&first);
        world.ready(0);
        assert_eq!([fields(&world.take(0)), fields(&world.take(0))], [(0, 1), (0, 2)]);
    }

    #[test]
    fn after_a_failure_batches_go_out_one_by_one_as_they_were() {
        let mut world = world();
        let mut batches = in_flight(&mut world, 4);
        let sent: Vec<_> = batches.iter_mut().map(Batch::bytes).collect();
        let first = batches.remove(0);
        world.batcher.written(&first);
        let second = batches.remove(0);
        back(&mut world, second);
        assert!(world.ready(0).is_empty(), "the others are still in flight");
        for batch in batches {
            assert!(!world.batcher.out_of_sequence(&batch), "an older one waits, so this proves no gap");
            back(&mut world, batch);
        }
        for expected in &sent[1..] {
            assert_eq!(world.ready(0), [0]);
            let mut batch = world.take(0);
            assert_eq!(batch.bytes(), expected);
            assert!(world.ready(0).is_empty(), "nothing overtakes it");
            world.batcher.written(&batch);
        }
        assert_eq!(fields(&in_flight(&mut world, 1)[0]), (0, 5), "and new ones follow");
    }

    #[test]
    fn a_gap_starts_over_with_the_next_epoch_when_nothing_is_in_flight() {
        let mut world = world();
        let mut batches = in_flight(&mut world, 3);
        let bytes = batches[0].bytes();
        let second = batches.remove(1);
        let third = batches.remove(1);
        let first = batches.remove(0);
        assert!(world.batcher.out_of_sequence(&first), "nothing is older: what it should follow is lost");
        back(&mut world, first);
        assert!(world.ready(0).is_empty());
        for batch in [second, third] {
            world.batcher.out_of_sequence(&batch);
            back(&mut world, batch);
        }
        world.ready(0);
        let mut again = world.take(0);
        let rewritten = again.bytes();
        assert!(fields(&again) == (1, 0) && world.ready(0).is_empty(), "the broker may have forgotten the producer");
        world.batcher.written(&again);
        world.ready(0);
        assert_eq!([fields(&world.take(0)), fields(&world.take(0))], [(1, 1), (1, 2)]);
        assert_eq!(rewritten[61..], bytes[61..], "the records are the same");
        let parsed = crate::batch::cursor::Batches::new(rewritten).next_batch().unwrap().unwrap();
        parsed.open(true, 10_000).expect("the checksum fits the new epoch");
    }

    #[test]
    fn after_a_batch_is_given_up_a_batch_whose_answer_was_lost_decides() {
        // Stamped anew, it would be written twice.
        let mut world = world();
        let mut batches = in_flight(&mut world, 2);
        let mut second = batches.pop().unwrap();
        second.maybe_written = true;
        back(&mut world, second);
        let first = batches.pop().unwrap();
        world.batcher.given_up(&first);
        world.push(0, 990, 0);
        world.ready(0);
        let second = world.take(0);
        assert_eq!(fields(&second), (0, 2), "it goes out as it was");
        assert!(world.ready(0).is_empty(), "and nothing new with it");
        world.batcher.written(&second);
        world.ready(0);
        assert_eq!(fields(&world.take(0)), (0, 3), "the first one is in the log after all");
    }

    #[test]
    fn after_a_batch_is_given_up_and_nothing_is_in_doubt_the_next_one_starts_over() {
        let mut world = world();
        let mut batches = in_flight(&mut world, 2);
        let first = batches.remove(0);
        world.batcher.given_up(&first);
        world.push(0, 990, 0);
        assert!(world.ready(0).is_empty());
        let second = batches.remove(0);
        assert!(world.batcher.out_of_sequence(&second), "the first one is settled, so this is the oldest");
        back(&mut world, second);
        world.ready(0);
        let second = world.take(0);
        assert_eq!(fields(&second), (1, 0));
        world.batcher.written(&second);
        world.ready(0);
        assert_eq!(fields(&world.take(0)), (1, 1));
    }

    #[test]
    fn a_batch_is_not_expired_before_an_older_one_that_is_in_flight() {
        let mut world = world();
        let mut batches = in_flight(&mut world, 2);
        let second = batches.pop().unwrap();
        back(&mut world, second);
        assert!(world.batcher.expire(world.at(200_000)).is_empty());
        assert_eq!(world.batcher.next_deadline(), None, "and nothing wakes the sender for it in vain");
        let first = batches.pop().unwrap();
        world.batcher.written(&first);
        assert_eq!(world.batcher.expire(world.at(200_000)).len(), 1);
    }

    #[test]
    fn a_batch_that_is_too_large_becomes_two_with_its_sequences() {
        // KIP-126.
        let mut world = world();
        (0..5).for_each(|_| drop(world.push(0, 150, 0)));
        world.ready(10);
        let mut whole = world.take(0);
        whole.bytes();
        drop(world.push(0, 990, 0));
        world.batcher.split(whole).expect("it has two records");
        world.ready(10);
        let mut first = world.take(0);
        assert_eq!((first.record_count, fields(&first)), (2, (0, 1)));
        first.bytes();
        assert!(world.ready(10).is_empty());
        world.batcher.split(first).expect("two are one and one");
        let mut counts = Vec::new();
        for _ in 0..4 {
            world.ready(10);
            let batch = world.take(0);
            counts.push((batch.record_count, fields(&batch).1));
            world.batcher.written(&batch);
        }
        assert_eq!(counts, [(1, 1), (1, 2), (3, 3), (1, 6)]);
        assert!(world.batcher.is_empty());
    }

    #[test]
    fn batches_in_flight_together_take_one_route() {
        let mut world = world();
        let batches = in_flight(&mut world, 2);
        world.push(0, 990, 0);
        world.batcher.poll(world.at(0));
        assert_eq!(world.batcher.ready().next().unwrap().3, Some(1));
        batches.iter().for_each(|batch| world.batcher.written(batch));
        assert_eq!(world.batcher.ready().next().unwrap().3, None);
    }

    #[test]
    fn when_the_epochs_are_used_up_another_producer_id_is_asked_for() {
        let mut world = unknown();
        for epoch in 0..=i16::MAX {
            let batch = in_flight(&mut world, 1).remove(0);
            assert_eq!(fields(&batch), (epoch, 0));
            world.batcher.given_up(&batch);
        }
        world.push(0, 990, 0);
        assert!(world.ready(0).is_empty() && world.batcher.wants_producer_id());
        world.batcher.identify(8);
        world.ready(0);
        let fields = world.take(0).stamp.unwrap().fields();
        assert_eq!((fields.producer_id, fields.producer_epoch, fields.base_sequence), (8, 0, 0));
    }
}
