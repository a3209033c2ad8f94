//! Fetch: which bytes, which errors, and the sessions of KIP-227.

use uuid::Uuid;

use crate::batch::Batch;
use crate::judge::{Run, Topic};
use crate::{Value, value};

/// A Fetch of partitions `(index, offset)` of one topic, which does not wait.
fn body(session: (i64, i32), topic: &Topic, partitions: &[(i32, i64)]) -> Value {
    let partitions: Vec<_> = partitions.iter().map(|(index, offset)| partition(*index, *offset)).collect();
    let topics = if partitions.is_empty() { vec![] } else { vec![of(topic, partitions)] };
    request(session, topics)
}

fn request((id, epoch): (i64, i32), topics: Vec<Value>) -> Value {
    value!({
        replica_id: -1, max_wait_ms: 0, min_bytes: 1, max_bytes: 1_000_000, session_id: Value::Int(id),
        session_epoch: epoch, topics: topics,
    })
}

fn of(topic: &Topic, partitions: Vec<Value>) -> Value {
    value!({ topic: &topic.name, topic_id: topic.id, partitions: partitions })
}

fn partition(index: i32, offset: i64) -> Value {
    value!({ partition: index, fetch_offset: offset, partition_max_bytes: 1_000_000 })
}

/// The same struct with this field set.
fn with(value: &Value, name: &'static str, field: impl Into<Value>) -> Value {
    let Value::Struct(fields) = value else { panic!("{value:?} is no struct") };
    let others = fields.iter().filter(|(known, _)| *known != name).cloned();
    Value::Struct(others.chain([(name, field.into())]).collect())
}

const ALONE: (i64, i32) = (0, -1);

async fn filled(run: &mut Run) -> Topic {
    let topic = run.topic("a", 3, &[]).await;
    run.append(&topic, 0, &Batch::of(["a", "b"])).await;
    run.append(&topic, 0, &Batch::of(["c"])).await;
    run.append(&topic, 1, &Batch::of(["d"])).await;
    topic
}

pub(super) async fn usual(run: &mut Run) {
    let topic = filled(run).await;
    let id = run.producer_id().await;
    run.append(&topic, 1, &Batch::of(["e"]).from_producer(id, 0, 0)).await;
    for offset in 0..=3 {
        run.step(&format!("from offset {offset}"), body(ALONE, &topic, &[(0, offset)])).await;
    }
    run.step("three partitions", body(ALONE, &topic, &[(0, 0), (1, 0), (2, 0)])).await;
    run.step("the other way round", body(ALONE, &topic, &[(2, 0), (1, 0), (0, 0)])).await;
    run.step("read_committed", with(&body(ALONE, &topic, &[(0, 0), (2, 0)]), "isolation_level", 1)).await;
    run.step("nothing", request(ALONE, vec![])).await;
    run.step("a topic without partitions", request(ALONE, vec![of(&topic, vec![])])).await;
    let other = run.topic("b", 1, &[]).await;
    run.append(&other, 0, &Batch::of(["f"])).await;
    let both = vec![of(&topic, vec![partition(1, 0)]), of(&other, vec![partition(0, 0)])];
    run.step("two topics", request(ALONE, both)).await;
    let split =
        vec![of(&topic, vec![partition(0, 0)]), of(&other, vec![partition(0, 0)]), of(&topic, vec![partition(1, 0)])];
    run.step("a topic in two pieces", request(ALONE, split)).await;
    run.step("a rack", with(&body(ALONE, &topic, &[(0, 0)]), "rack_id", "rack-1")).await;
    let stamped = run.topic("stamped", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    run.append(&stamped, 0, &Batch::of(["g"])).await;
    run.step("LogAppendTime", body(ALONE, &stamped, &[(0, 0)])).await;
}

pub(super) async fn limits(run: &mut Run) {
    let topic = filled(run).await;
    let all = body(ALONE, &topic, &[(0, 0), (1, 0)]);
    for max_bytes in [0, 1, 100, 135, 150] {
        run.step(&format!("max_bytes {max_bytes}"), with(&all, "max_bytes", max_bytes)).await;
    }
    for max_bytes in [-1, 0, 1, 100, 200] {
        let limited = |index| with(&partition(index, 0), "partition_max_bytes", max_bytes);
        let topics = vec![of(&topic, vec![limited(0), limited(1)])];
        run.step(&format!("partition_max_bytes {max_bytes}"), request(ALONE, topics)).await;
    }
    run.step("min_bytes that there are not", with(&all, "min_bytes", 1_000_000)).await;
    run.step("min_bytes -1", with(&all, "min_bytes", -1)).await;
    run.step("max_wait_ms -1", with(&with(&all, "max_wait_ms", -1), "min_bytes", 1_000_000)).await;
}

pub(super) async fn refusals(run: &mut Run) {
    let topic = filled(run).await;
    let nowhere = Topic { name: run.name("nowhere"), id: Uuid::from_u128(77) };
    let zero = Topic { name: String::new(), id: Uuid::nil() };
    let invalid = Topic { name: "a b".to_owned(), id: Uuid::from_u128(78) };
    run.step("an unknown topic", body(ALONE, &nowhere, &[(0, 0)])).await;
    run.step("no topic", body(ALONE, &zero, &[(0, 0)])).await;
    run.step("a name that cannot be", body(ALONE, &invalid, &[(0, 0)])).await;
    run.step("an unknown partition", body(ALONE, &topic, &[(3, 0)])).await;
    run.step("partition -1", body(ALONE, &topic, &[(-1, 0)])).await;
    run.step("an unknown one and a known one", body(ALONE, &topic, &[(3, 0), (0, 0)])).await;
    for offset in [4, -1, -2, i64::MAX] {
        run.step(&format!("offset {offset}"), body(ALONE, &topic, &[(0, offset)])).await;
    }
    run.step("a partition twice", body(ALONE, &topic, &[(0, 0), (0, 3)])).await;
    for epoch in [0, 1, -2] {
        let asked = with(&partition(0, 0), "current_leader_epoch", epoch);
        run.step(&format!("leader epoch {epoch}"), request(ALONE, vec![of(&topic, vec![asked])])).await;
    }
    for (epoch, offset) in [(0, 0), (0, 3), (0, 4), (1, 0), (5, 3), (-2, 0)] {
        let asked = with(&partition(0, offset), "last_fetched_epoch", epoch);
        let label = format!("last fetched epoch {epoch}, offset {offset}");
        run.step(&label, request(ALONE, vec![of(&topic, vec![asked])])).await;
    }
    for level in [2, -1] {
        let asked = with(&body(ALONE, &topic, &[(0, 0), (2, 0)]), "isolation_level", level);
        run.step(&format!("isolation level {level}"), asked).await;
    }
    run.step("the debugging replica", with(&body(ALONE, &topic, &[(0, 0)]), "replica_id", -2)).await;
    run.step("still there", body(ALONE, &topic, &[(0, 2)])).await;
}

pub(super) async fn sessions(run: &mut Run) {
    let topic = filled(run).await;
    let full = run.step("a full one", body((0, 0), &topic, &[(0, 0), (1, 0), (2, 0)])).await;
    let id = full.field("session_id").map_or(0, Value::int);
    run.step("nothing was taken", body((id, 1), &topic, &[])).await;
    run.step("two were taken", body((id, 2), &topic, &[(0, 3), (1, 1)])).await;
    run.step("nothing is new", body((id, 3), &topic, &[])).await;
    run.append(&topic, 2, &Batch::of(["e"])).await;
    run.append(&topic, 0, &Batch::of(["f"])).await;
    run.step("two are new", body((id, 4), &topic, &[])).await;
    run.step("one is an error", body((id, 5), &topic, &[(0, 4), (2, 1), (1, 99)])).await;
    run.step("the error stays", body((id, 6), &topic, &[])).await;
    run.step("the error is over", body((id, 7), &topic, &[(1, 1)])).await;
    run.step("quiet", body((id, 8), &topic, &[])).await;
    let forgotten =
        |partitions: Vec<Value>| value!([{ topic: &topic.name, topic_id: topic.id, partitions: partitions }]);
    let forget = with(&body((id, 9), &topic, &[]), "forgotten_topics_data", forgotten(vec![1.into(), 7.into()]));
    run.step("one is forgotten", forget).await;
    run.append(&topic, 1, &Batch::of(["g"])).await;
    run.step("and told no more", body((id, 10), &topic, &[])).await;
    let rest = forgotten(vec![0.into(), 2.into()]);
    run.step("all are forgotten", with(&body((id, 11), &topic, &[]), "forgotten_topics_data", rest)).await;
    run.step("the session is gone", body((id, 12), &topic, &[])).await;
}

pub(super) async fn session_refusals(run: &mut Run) {
    let topic = filled(run).await;
    let nowhere = Topic { name: run.name("nowhere"), id: Uuid::from_u128(77) };
    for (id, epoch) in [(1_234_567, 1), (0, 1), (-5, 1), (555, -2), (1_234_567, -1), (1_234_567, 0)] {
        run.step(&format!("session {id}, epoch {epoch}"), body((id, epoch), &topic, &[(0, 0)])).await;
    }
    let full = run.step("a session", body((0, 0), &topic, &[(0, 0)])).await;
    let id = full.field("session_id").map_or(0, Value::int);
    run.step("an epoch too high", body((id, 2), &topic, &[])).await;
    run.step("the right one", body((id, 1), &topic, &[])).await;
    run.step("the same again", body((id, 1), &topic, &[])).await;
    run.step("an unknown topic joins", body((id, 2), &nowhere, &[(0, 0)])).await;
    run.step("it is told again", body((id, 3), &topic, &[])).await;
    run.step("the session is renewed", body((id, 0), &topic, &[(0, 3)])).await;
    run.step("the old one is gone", body((id, 4), &topic, &[])).await;
    let full = run.step("another session", body((0, 0), &topic, &[(0, 0), (3, 0)])).await;
    let id = full.field("session_id").map_or(0, Value::int);
    run.step("it is closed", body((id, -1), &topic, &[(0, 0)])).await;
    run.step("and gone", body((id, 1), &topic, &[])).await;
    run.step("a session of nothing", request((0, 0), vec![])).await;
}
