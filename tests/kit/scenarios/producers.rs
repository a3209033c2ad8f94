//! DescribeProducers.

use crate::batch::Batch;
use crate::judge::Run;
use crate::{Value, value};

fn of(topics: &[(&str, &[i32])]) -> Value {
    let topics: Vec<_> = topics
        .iter()
        .map(|(name, indexes)| {
            let indexes: Vec<_> = indexes.iter().map(|index| Value::from(*index)).collect();
            value!({ name: *name, partition_indexes: indexes })
        })
        .collect();
    value!({ topics: topics })
}

pub(super) async fn describe(run: &mut Run) {
    let topic = run.topic("a", 2, &[]).await;
    let (name, nowhere) = (topic.name.as_str(), run.name("nowhere"));
    run.step("none yet", of(&[(name, &[0, 1])])).await;
    run.append(&topic, 0, &Batch::of(["no producer id"])).await;
    run.step("one without an id", of(&[(name, &[0])])).await;
    let id = run.producer_id().await;
    let mut batch = Batch::of(["one", "two"]);
    (batch.producer_id, batch.producer_epoch, batch.base_sequence) = (id, 3, 0);
    run.append(&topic, 0, &batch).await;
    run.step("one", of(&[(name, &[0])])).await;
    batch.base_sequence = 2;
    run.append(&topic, 0, &batch).await;
    run.step("after a second batch", of(&[(name, &[0])])).await;
    (batch.producer_epoch, batch.base_sequence) = (4, 0);
    run.append(&topic, 0, &batch).await;
    run.step("in a new epoch", of(&[(name, &[0, 1])])).await;
    let other = run.producer_id().await;
    (batch.producer_id, batch.producer_epoch) = (other, 0);
    run.append(&topic, 0, &batch).await;
    run.step("two producers", of(&[(name, &[0])])).await;
    run.step("an unknown partition", of(&[(name, &[7, 0])])).await;
    run.step("partition -1", of(&[(name, &[-1])])).await;
    run.step("an unknown topic", of(&[(&nowhere, &[0])])).await;
    run.step("a topic that cannot be", of(&[("a b", &[0, 1])])).await;
    run.step("a topic without name", of(&[("", &[0])])).await;
    run.step("a name too long", of(&[(&"x".repeat(250), &[0])])).await;
    run.step("none", of(&[])).await;
    run.step("no partitions", of(&[(name, &[])])).await;
    run.step("a partition twice", of(&[(name, &[0, 0])])).await;
}
