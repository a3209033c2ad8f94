//! Numbers that a producer writes and a group of two reads: what the runs of a seed are judged by.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_kafka::{Kafka, OffsetReset, Record, Timestamp};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// Of the topic `t`.
pub(super) const PARTITIONS: i32 = 4;
/// 2026, for broker and records.
pub(super) const START_MS: i64 = 1_800_000_000_000;

/// The record of a number.
pub(super) fn numbered(number: i32) -> Record {
    let record = Record::to("t").partition(number % PARTITIONS).value(number.to_string());
    record.timestamp(Timestamp::from(START_MS + i64::from(number)))
}

/// Two members of a group, which read until this is dropped.
pub(super) struct Group {
    /// The numbers of each partition, with their offsets.
    read: Arc<Mutex<BTreeMap<i32, BTreeMap<i64, i32>>>>,
    members: Vec<JoinHandle<()>>,
}

impl Group {
    pub(super) async fn begin(kafka: &Kafka) -> Self {
        let mut group = Self { read: Arc::default(), members: Vec::new() };
        for _ in 0..2 {
            let consumer = kafka.consumer("g").topics(["t"]).auto_offset_reset(OffsetReset::Earliest);
            let (consumer, read) = (consumer.build().await.expect("valid settings"), Arc::clone(&group.read));
            group.members.push(tokio::spawn(async move {
                while let Ok(Some(record)) = consumer.recv().await {
                    let number = String::from_utf8(record.value().expect("a value").to_vec()).expect("text");
                    let number = number.parse().expect("a number");
                    let before =
                        read.lock().await.entry(record.partition()).or_default().insert(record.offset(), number);
                    assert!(before.is_none_or(|before| before == number), "two records at one offset");
                }
            }));
        }
        group
    }

    /// Waits until so many are read.
    pub(super) async fn reads(&self, count: i32) {
        while self.read.lock().await.values().map(BTreeMap::len).sum::<usize>() < count as usize {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// None of the numbers up to `count` is lost, doubled or out of order.
    pub(super) async fn assert_in_order(&self, count: i32, seed: u64) {
        for (partition, numbers) in &*self.read.lock().await {
            let wrote: Vec<_> = (0..count).filter(|number| number % PARTITIONS == *partition).collect();
            assert_eq!(numbers.values().copied().collect::<Vec<_>>(), wrote, "seed {seed}, partition {partition}");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.members.iter().for_each(JoinHandle::abort);
    }
}
