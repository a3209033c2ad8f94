//! The seeded source of ids: the only randomness in the crate. Same seed, same ids in the same order.

use uuid::Uuid;

use crate::types::TopicId;

/// Gives out ids. Not for secrets.
#[derive(Debug)]
pub(crate) struct IdSource {
    random: fastrand::Rng,
    next_producer_id: i64,
}

impl IdSource {
    /// A source that repeats itself for the same `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), next_producer_id: 0 }
    }

    /// A random (version 4) UUID.
    pub(crate) fn uuid(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.random.u128(..).to_be_bytes()).into_uuid()
    }

    /// A new topic id. Kafka never gives out one whose text begins with a dash (`Uuid.randomUuid`), because tools take
    /// that for an option: the first six bits are not 62.
    pub(crate) fn topic_id(&mut self) -> TopicId {
        loop {
            let id = self.uuid();
            if id.as_bytes()[0] >> 2 != 62 {
                return TopicId(id);
            }
        }
    }

    /// A new producer id. Unique within the cluster, ascending, as Kafka's blocks of ids make them.
    pub(crate) fn producer_id(&mut self) -> i64 {
        let id = self.next_producer_id;
        self.next_producer_id += 1;
        id
    }

    /// A number in `0..bound`; `bound` is not zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.random.usize(..bound)
    }

    /// A positive session id.
    pub(crate) fn positive_i32(&mut self) -> i32 {
        self.random.i32(1..=i32::MAX)
    }

    /// Puts `items` in random order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        self.random.shuffle(items);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_ids() {
        let ids = |seed| {
            let mut source = IdSource::new(seed);
            (source.topic_id(), source.positive_i32(), source.producer_id(), source.producer_id())
        };
        assert_eq!(ids(7), ids(7));
        assert_ne!(ids(7).0, ids(8).0);
        assert_eq!((ids(7).2, ids(7).3), (0, 1));
    }
}
