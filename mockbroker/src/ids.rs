//! The seeded source of ids: the only randomness in the crate. Same seed, same ids in the same order.

use uuid::Uuid;

use crate::types::TopicId;

/// Gives out ids. Not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct IdSource {
    seed: u64,
    random: fastrand::Rng,
}

impl IdSource {
    /// A source that repeats itself for the same `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, random: fastrand::Rng::with_seed(seed) }
    }

    /// What it was made of.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
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

    /// The id of a new member, as Kafka writes those that it makes for consumer groups (`Uuid.randomUuid().toString()`).
    pub(crate) fn member_id(&mut self) -> String {
        base64_url(self.topic_id().0.as_bytes())
    }

    /// A number in `0..bound`; `bound` is not zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.random.usize(..bound)
    }

    /// A positive session id.
    pub(crate) fn positive_i32(&mut self) -> i32 {
        self.random.i32(1..=i32::MAX)
    }

    /// A number from 0 up to 1, which is not reached.
    pub(crate) fn unit(&mut self) -> f64 {
        self.random.f64()
    }

    /// Puts `items` in random order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        self.random.shuffle(items);
    }
}

/// 16 bytes as 22 characters of URL-safe base64 without padding, as `org.apache.kafka.common.Uuid` writes ids.
pub(crate) fn base64_url(bytes: &[u8; 16]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // 128 bits and 4 zeros make 22 digits of 6 bits; the first has the highest bits.
    let number = u128::from_be_bytes(*bytes);
    let digit = |index: u32| match 122_u32.checked_sub(6 * index) {
        Some(shift) => number >> shift,
        None => number << 4,
    };
    (0..22).map(|index| char::from(ALPHABET[usize::try_from(digit(index) & 63).unwrap_or(0)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_ids() {
        let ids = |seed| {
            let mut source = IdSource::new(seed);
            (source.topic_id(), source.positive_i32())
        };
        assert_eq!(ids(7), ids(7));
        assert_ne!(ids(7).0, ids(8).0);
    }

    #[test]
    fn an_id_is_base64_of_16_bytes() {
        // Source: org.apache.kafka.common.Uuid.toString; the first are the bytes of a real cluster's id.
        let bytes = [0x32, 0x45, 0x37, 0x38, 0x45, 0x41, 0x35, 0x37, 0x30, 0x35, 0x32, 0x44, 0x34, 0x33, 0x36, 0x42];
        assert_eq!(base64_url(&bytes), "MkU3OEVBNTcwNTJENDM2Qg");
        assert_eq!(base64_url(&[0xFF; 16]), "_____________________w");
    }
}
