//! Records that are taken for the next transaction while the last one is being committed.

use super::{Batch, Batcher, LaneId};

impl Batcher {
    /// Everything that is pushed from here on waits until [`Batcher::begin_transaction`]. Nothing is open.
    pub(crate) fn bar(&mut self) {
        self.barrier = Some(self.next_number);
    }

    /// Gives up what was pushed behind the barrier, and takes that away.
    pub(crate) fn drain_barred(&mut self) -> Vec<Batch> {
        let Some(barrier) = self.barrier.take() else { return Vec::new() };
        let mut drained = Vec::new();
        for index in 0..self.lanes.len() {
            let id = LaneId(index as u32);
            if self.lanes[index].open.as_ref().is_some_and(|open| open.number >= barrier) {
                self.seal(id);
            }
            let sealed = &mut self.lanes[index].sealed;
            let first = sealed.partition_point(|batch| batch.number < barrier);
            drained.extend(sealed.drain(first..));
            self.index(id);
        }
        for batch in &drained {
            self.settled(batch.number);
        }
        drained
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::{sync::Semaphore, time::Instant};

    use super::Batcher;
    use crate::{
        batch::{Compression, builder::RecordParts},
        cluster::metadata::Topic,
        error::Error,
        producer::{delivery::Delivery, lane::Limits, sequence::Identity},
    };

    fn batcher() -> (Batcher, Arc<Semaphore>) {
        let limits = Limits {
            batch_size: 1000,
            batch_records: 1,
            linger: Duration::ZERO,
            delivery_timeout: Duration::from_secs(120),
            in_flight_per_partition: 5,
            compression: Compression::None,
            idempotence: true,
            transactional: true,
            adaptive: false,
            availability_timeout: Duration::ZERO,
        };
        let memory = Arc::new(Semaphore::new(0));
        (Batcher::new(limits, Arc::clone(&memory), fastrand::Rng::with_seed(7)), memory)
    }

    fn identity(producer_epoch: i16) -> Identity {
        Identity { producer_id: 7, producer_epoch, is_transactional: true }
    }

    fn push(batcher: &mut Batcher, partition: usize) -> Delivery {
        let now = Instant::now();
        let known = Topic::on("t", &[1, 1], now);
        let topic = batcher.topic(&"t".into(), 0, || Some(known.into())).expect("it is known").0;
        let record = RecordParts { timestamp: 0, key: None, value: Some(b"x"), headers: &[] };
        batcher.push(topic, partition, record, record.upper_bound(), || now).0
    }

    /// What can be sent, each with its epoch and first sequence.
    fn sent(batcher: &mut Batcher) -> Vec<(i32, i16, i32)> {
        let mut sent = Vec::new();
        loop {
            let next = batcher.ready().map(|(id, _, partition, _)| (id, partition)).next();
            let Some((id, partition)) = next else { return sent };
            let batch = batcher.take(id, 1).expect("a ready lane has a batch");
            let fields = batch.stamp.expect("it is stamped").fields();
            sent.push((partition, fields.producer_epoch, fields.base_sequence));
            batcher.written(&batch);
        }
    }

    #[test]
    fn what_is_taken_for_the_next_transaction_goes_out_when_that_begins_with_its_epoch() {
        let (mut batcher, _) = batcher();
        batcher.begin_transaction(identity(3), false);
        let _first = push(&mut batcher, 0);
        assert_eq!(batcher.flush().len(), 1);
        batcher.bar();
        let _next = [push(&mut batcher, 0), push(&mut batcher, 1)];
        batcher.poll(Instant::now());
        assert_eq!(sent(&mut batcher), [(0, 3, 0)], "what was there before goes out, and nothing else");
        batcher.begin_transaction(identity(4), false);
        assert_eq!(sent(&mut batcher), [(0, 4, 0), (1, 4, 0)]);
    }

    #[test]
    fn what_waits_for_its_transaction_does_not_wait_for_a_broker() {
        let (mut batcher, _) = batcher();
        let waits = |batcher: &Batcher| batcher.waiting().map(|(_, partition, _)| partition).collect::<Vec<_>>();
        batcher.begin_transaction(identity(3), false);
        let _first = push(&mut batcher, 0);
        batcher.flush();
        batcher.bar();
        let _next = [push(&mut batcher, 0), push(&mut batcher, 1)];
        batcher.poll(Instant::now());
        assert_eq!(waits(&batcher), [0], "the one that is being committed");
        sent(&mut batcher);
        assert!(waits(&batcher).is_empty());
        batcher.begin_transaction(identity(4), false);
        assert_eq!(waits(&batcher), [0, 1]);
    }

    #[test]
    fn in_the_first_generation_its_partitions_are_added_when_it_begins() {
        let (mut batcher, _) = batcher();
        batcher.begin_transaction(identity(3), true);
        batcher.flush();
        batcher.bar();
        let _next = push(&mut batcher, 1);
        assert_eq!(batcher.take_unadmitted().len(), 0, "they are no part of the one that ends");
        batcher.begin_transaction(identity(3), true);
        assert_eq!(sent(&mut batcher), []);
        let added = batcher.take_unadmitted();
        assert_eq!(added.iter().map(|(_, _, partition)| *partition).collect::<Vec<_>>(), [1]);
        batcher.admit(added[0].0);
        assert_eq!(sent(&mut batcher), [(1, 3, 0)]);
    }

    #[test]
    fn what_was_taken_for_nothing_is_given_up_and_nothing_before_it() {
        let (mut batcher, memory) = batcher();
        batcher.begin_transaction(identity(3), false);
        let _first = push(&mut batcher, 0);
        batcher.flush();
        batcher.bar();
        let _next = [push(&mut batcher, 0), push(&mut batcher, 1)];
        let given_up = batcher.drain_barred();
        assert_eq!(given_up.len(), 2);
        given_up.into_iter().for_each(|batch| batch.fail(Error::TransactionAborted));
        assert!(memory.available_permits() > 0, "its room is free again");
        assert_eq!(sent(&mut batcher), [(0, 3, 0)]);
        assert!(batcher.is_empty() && !batcher.is_broken() && batcher.drain_barred().is_empty());
    }
}
