//! ListOffsets, OffsetForLeaderEpoch, DeleteRecords and InitProducerId.

use crate::batch::{Batch, Record};
use crate::judge::Run;
use crate::{Value, value};

/// The timestamp of the kit's batches.
const SOME_DAY: i64 = 1_700_000_000_000;

fn list(topic: &str, partitions: Vec<Value>) -> Value {
    value!({ replica_id: -1, timeout_ms: 10_000, topics: [{ name: topic, partitions: partitions }] })
}

fn at(index: i32, timestamp: i64) -> Value {
    value!({ partition_index: index, timestamp: timestamp })
}

pub(super) async fn list_offsets(run: &mut Run) {
    let topic = run.topic("a", 2, &[]).await;
    let later = |timestamp_delta| Record { timestamp_delta, ..Record::default() };
    run.append(&topic, 0, &Batch::of_records([later(0), later(10), later(5)])).await;
    run.append(&topic, 0, &Batch::of_records([later(3), later(20)])).await;
    let special = -1..=0;
    for timestamp in special.chain([SOME_DAY, SOME_DAY + 1, SOME_DAY + 6, SOME_DAY + 11, SOME_DAY + 20, SOME_DAY + 21])
    {
        run.step(&format!("at {timestamp}"), list(&topic.name, vec![at(0, timestamp)])).await;
        run.step(&format!("of an empty partition at {timestamp}"), list(&topic.name, vec![at(1, timestamp)])).await;
    }
    for timestamp in [-2, -3, -4, -5, -6, -7, i64::MIN, i64::MAX] {
        run.step(&format!("at {timestamp}"), list(&topic.name, vec![at(0, timestamp), at(1, timestamp)])).await;
    }
    for level in [0, 1] {
        let partitions = vec![at(0, -1), at(1, -1)];
        let body = value!({ replica_id: -1, isolation_level: level, timeout_ms: 10_000,
            topics: [{ name: &topic.name, partitions: partitions }] });
        run.step(&format!("the end at isolation level {level}"), body).await;
    }
}

pub(super) async fn list_offsets_refusals(run: &mut Run) {
    let topic = run.topic("a", 1, &[]).await;
    let nowhere = run.name("nowhere");
    run.step("an unknown topic", list(&nowhere, vec![at(0, -1)])).await;
    run.step("a name that cannot be", list("a b", vec![at(0, -1)])).await;
    run.step("no name", list("", vec![at(0, -1)])).await;
    run.step("an unknown partition", list(&topic.name, vec![at(1, -1), at(-1, -1), at(0, -1)])).await;
    run.step("a partition twice", list(&topic.name, vec![at(0, -1), at(0, -2)])).await;
    run.step("an unknown partition twice", list(&nowhere, vec![at(5, -1), at(5, -2)])).await;
    run.step("a topic without partitions", list(&topic.name, vec![])).await;
    run.step("nothing", value!({ replica_id: -1 })).await;
    for epoch in [0, 1, -2] {
        let partition = value!({ partition_index: 0, timestamp: -1, current_leader_epoch: epoch });
        run.step(&format!("leader epoch {epoch}"), list(&topic.name, vec![partition])).await;
    }
    for level in [2, -1] {
        let body = value!({ replica_id: -1, isolation_level: level, timeout_ms: 10_000,
            topics: [{ name: &topic.name, partitions: [{ partition_index: 0, timestamp: -1 }] }] });
        run.step(&format!("isolation level {level}"), body).await;
    }
    let topics = vec![value!({ name: &topic.name, partitions: [{ partition_index: 0, timestamp: -1 }] }); 2];
    run.step("a topic twice", value!({ replica_id: -1, topics: topics, timeout_ms: 10_000 })).await;
}

pub(super) async fn leader_epoch(run: &mut Run) {
    let topic = run.topic("a", 2, &[]).await;
    run.append(&topic, 0, &Batch::of(["a", "b"])).await;
    let nowhere = run.name("nowhere");
    let ask = |name: &str, partitions: Vec<Value>| value!({ replica_id: -1, topics: [{ topic: name, partitions: partitions }] });
    let of = |index: i32, current: i32, epoch: i32| value!({ partition: index, current_leader_epoch: current, leader_epoch: epoch });
    for epoch in [-2, -1, 0, 1, i32::MAX] {
        let body = ask(&topic.name, vec![of(0, -1, epoch), of(1, -1, epoch)]);
        run.step(&format!("epoch {epoch}"), body).await;
    }
    for current in [0, 1, -2] {
        run.step(&format!("current epoch {current}"), ask(&topic.name, vec![of(0, current, 0)])).await;
    }
    run.step("an unknown topic", ask(&nowhere, vec![of(0, -1, 0)])).await;
    run.step("an unknown partition", ask(&topic.name, vec![of(2, -1, 0), of(-1, -1, 0), of(0, -1, 0)])).await;
    run.step("a partition twice", ask(&topic.name, vec![of(0, -1, 0), of(0, -1, 1)])).await;
    run.step("a topic without partitions", ask(&topic.name, vec![])).await;
    run.step("nothing", value!({ replica_id: -1, topics: [] })).await;
    let debugging = value!({ replica_id: -2, topics: [{ topic: &topic.name, partitions: [of(0, -1, 0)] }] });
    run.step("the debugging replica", debugging).await;
}

pub(super) async fn delete_records(run: &mut Run) {
    let topic = run.topic("a", 2, &[]).await;
    let compact = run.topic("compact", 1, &[("cleanup.policy", "compact")]).await;
    let both = run.topic("both", 1, &[("cleanup.policy", "compact,delete")]).await;
    run.append(&topic, 0, &Batch::of(["a", "b"])).await;
    run.append(&topic, 0, &Batch::of(["c"])).await;
    let delete = |name: &str, partitions: &[(i32, i64)]| {
        let partitions: Vec<_> =
            partitions.iter().map(|(index, offset)| value!({ partition_index: *index, offset: *offset })).collect();
        value!({ timeout_ms: 10_000, topics: [{ name: name, partitions: partitions }] })
    };
    run.step("below the start", delete(&topic.name, &[(0, 0)])).await;
    run.step("inside a batch", delete(&topic.name, &[(0, 1)])).await;
    run.step("the same again", delete(&topic.name, &[(0, 1)])).await;
    run.step("lower", delete(&topic.name, &[(0, 0)])).await;
    for offset in [4, -2, i64::MIN, i64::MAX] {
        run.step(&format!("offset {offset}"), delete(&topic.name, &[(0, offset)])).await;
    }
    run.step("two partitions", delete(&topic.name, &[(0, 2), (1, 0)])).await;
    run.step("the end", delete(&topic.name, &[(0, -1), (1, -1)])).await;
    run.step("an unknown partition", delete(&topic.name, &[(2, 0), (0, 3)])).await;
    run.step("an unknown topic", delete(&run.name("nowhere"), &[(0, 0)])).await;
    run.step("a name that cannot be", delete("a b", &[(0, 0)])).await;
    run.step("a partition twice", delete(&topic.name, &[(0, 3), (0, 1)])).await;
    run.step("a topic without partitions", delete(&topic.name, &[])).await;
    run.step("nothing", value!({ timeout_ms: 10_000 })).await;
    run.step("a compacted topic", delete(&compact.name, &[(0, 0)])).await;
    run.step("a topic of both policies", delete(&both.name, &[(0, 0)])).await;
}

pub(super) async fn producer_ids(run: &mut Run) {
    // The first of a broker may have to wait for its block.
    run.producer_id().await;
    let ask = |transactional_id: Option<&str>, timeout: i32, id: i64, epoch: i16| {
        value!({
            transactional_id: transactional_id, transaction_timeout_ms: timeout, producer_id: id, producer_epoch: epoch,
        })
    };
    run.step("an id", ask(None, 60_000, -1, -1)).await;
    run.step("another", ask(None, 60_000, -1, -1)).await;
    run.step("timeout 0", ask(None, 0, -1, -1)).await;
    run.step("timeout -1", ask(None, -1, -1, -1)).await;
    run.step("an id of its own", ask(None, 60_000, 77, 5)).await;
    run.step("an id without an epoch", ask(None, 60_000, 77, -1)).await;
    run.step("an epoch without an id", ask(None, 60_000, -1, 5)).await;
    run.step("an id of -2", ask(None, 60_000, -2, -2)).await;
    run.step("an empty transactional id", ask(Some(""), 60_000, -1, -1)).await;
    run.step("an id without an epoch, transactional", ask(Some("t"), 60_000, 77, -1)).await;
    run.step("timeout 0, transactional", ask(Some("t"), 0, -1, -1)).await;
    run.step("timeout too long, transactional", ask(Some("t"), 900_001, -1, -1)).await;
}
