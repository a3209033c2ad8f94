//! OffsetCommit, OffsetFetch, OffsetDelete: what groups have committed.

use crate::judge::{Run, Topic};
use crate::scenarios::members::{self, Member};
use crate::{Value, api, value};

/// Index, offset, leader epoch and metadata.
type Partition<'a> = (i32, i64, i32, Option<&'a str>);

/// An OffsetCommit with the fields of every version.
fn commit(member: &Member, topics: &[(&str, &[Partition<'_>])]) -> Value {
    let topics: Vec<_> = topics.iter().map(|(name, partitions)| committed(name, partitions)).collect();
    value!({
        group_id: &member.group_id, generation_id_or_member_epoch: member.generation_id, member_id: &member.member_id,
        group_instance_id: member.group_instance_id.as_deref(), retention_time_ms: -1, topics: topics,
    })
}

fn committed(name: &str, partitions: &[Partition<'_>]) -> Value {
    let partition = |(index, offset, epoch, metadata): &Partition<'_>| {
        value!({
            partition_index: *index, committed_offset: *offset, committed_leader_epoch: *epoch,
            committed_metadata: *metadata,
        })
    };
    let partitions: Vec<_> = partitions.iter().map(partition).collect();
    value!({ name: name, partitions: partitions })
}

/// An OffsetFetch of one group, in the form that the version has. `None` asks for all.
fn fetch(group: &str, topics: Option<&[(&str, &[i32])]>, require_stable: bool) -> Value {
    let topic = |(name, indexes): &(&str, &[i32])| {
        let indexes: Vec<_> = indexes.iter().map(|index| Value::from(*index)).collect();
        value!({ name: *name, partition_indexes: indexes })
    };
    let topics = topics.map_or(Value::Null, |topics| Value::Array(topics.iter().map(topic).collect()));
    value!({
        group_id: group, topics: topics.clone(), require_stable: require_stable,
        groups: [{ group_id: group, member_epoch: -1, topics: topics }],
    })
}

/// A commit that has to be taken and is not compared.
async fn write(run: &mut Run, member: &Member, topic: &Topic, partitions: &[Partition<'_>]) {
    let answer = run.ask(api::OFFSET_COMMIT, 9, commit(member, &[(&topic.name, partitions)])).await;
    let codes: Vec<_> = answer["topics"][0]["partitions"].array().iter().map(|it| it["error_code"].int()).collect();
    assert!(codes.iter().all(|code| *code == 0), "{answer:?}");
}

pub(super) async fn commits(run: &mut Run) {
    let topic = run.topic("a", 3, &[]).await;
    let group = members::group(run, "a").await;
    let simple = Member::new(&group);
    let some: &[_] = &[(0, 1, -1, Some("")), (1, 2, 0, Some("metadata")), (2, 0, 5, None)];
    run.step("of nobody", commit(&simple, &[(&topic.name, some)])).await;
    run.step("lower", commit(&simple, &[(&topic.name, &[(0, 0, -1, None)])])).await;
    for offset in [-1, -2, i64::MAX, i64::MIN] {
        run.step(&format!("offset {offset}"), commit(&simple, &[(&topic.name, &[(0, offset, -1, None)])])).await;
    }
    run.step("a partition twice", commit(&simple, &[(&topic.name, &[(0, 3, -1, None), (0, 4, -1, None)])])).await;
    let longest = "m".repeat(4096);
    let emoji = "\u{1F600}".repeat(2048);
    let metadata: &[_] = &[(0, 1, -1, Some(longest.as_str())), (1, 1, -1, Some(emoji.as_str()))];
    run.step("metadata as long as may be", commit(&simple, &[(&topic.name, metadata)])).await;
    if run.version <= 4 {
        for retention in [-2, 0, 1, i64::MAX] {
            let body = members::with(&commit(&simple, &[(&topic.name, some)]), "retention_time_ms", retention.into());
            run.step(&format!("retention {retention}"), body).await;
        }
    }
    let named = Member { member_id: "m".to_owned(), ..simple.clone() };
    run.step("of a member that nobody knows, to an empty group", commit(&named, &[(&topic.name, some)])).await;
    let member = members::stable(run, &group).await;
    run.step("of a member", commit(&member, &[(&topic.name, some)])).await;
    run.step("no topics", commit(&member, &[])).await;
    let body = fetch(&group, None, false);
    let found = run.ask(api::OFFSET_FETCH, 8, body).await;
    assert_eq!(found["groups"][0]["topics"].array().len(), 1, "{found:?}");
    let nobody = Member::new("");
    run.step("of the group without a name", commit(&nobody, &[(&topic.name, some)])).await;
    members::delete(run, "", &[]).await;
    members::delete(run, &group, &[&member]).await;
}

/// What commits and their ends leave in the log of the coordinator.
pub(super) async fn records(run: &mut Run) {
    let (topic, gone) = (run.topic("a", 2, &[]).await, run.topic("b", 1, &[]).await);
    let group = members::group(run, "a").await;
    let log = members::CoordinatorLog::begin(run, &group).await;
    let simple = Member::new(&group);
    let all: &[(&str, &[Partition<'_>])] = &[
        (&topic.name, &[(0, 1, 3, Some("metadata")), (1, 2, -1, None)]),
        (&gone.name, &[(0, i64::MIN, -1, Some("\u{1F600}"))]),
    ];
    run.step("three partitions", commit(&simple, all)).await;
    if run.version <= 4 {
        let body = members::with(&commit(&simple, all), "retention_time_ms", 1_000_i64.into());
        run.step("with a retention of their own", body).await;
    }
    let member = members::stable(run, &group).await;
    run.step("of a member", commit(&member, all)).await;
    members::leave(run, &member).await;
    let partition = value!({ partition_index: 0 });
    let delete = value!({ group_id: &group, topics: [{ name: &topic.name, partitions: [partition] }] });
    run.ask(api::OFFSET_DELETE, 0, delete).await;
    run.ask(api::DELETE_TOPICS, 6, value!({ topics: [{ name: &gone.name }], timeout_ms: 10_000 })).await;
    // The offsets of a topic that is gone are deleted a moment later.
    let is_gone = |answer: &Value| answer["groups"][0]["topics"].array().len() == 1;
    run.until(api::OFFSET_FETCH, 8, fetch(&group, None, true), is_gone).await;
    members::delete(run, &group, &[]).await;
    log.step(run, "what is in the log").await;
}

pub(super) async fn commit_refusals(run: &mut Run) {
    let topic = run.topic("a", 1, &[]).await;
    let group = members::group(run, "a").await;
    let nowhere = run.name("nowhere");
    let simple = Member::new(&group);
    let one: &[_] = &[(0, 1, -1, None)];
    run.step("an unknown topic", commit(&simple, &[(&nowhere, one)])).await;
    run.step("an unknown topic without partitions", commit(&simple, &[(&nowhere, &[])])).await;
    run.step("a topic without partitions", commit(&simple, &[(&topic.name, &[])])).await;
    let partitions: &[_] = &[(7, 1, -1, None), (0, 1, -1, None), (-1, 1, -1, None)];
    run.step("unknown partitions", commit(&simple, &[(&topic.name, partitions), (&nowhere, one)])).await;
    let too_long = "m".repeat(4097);
    let partitions: &[_] = &[(0, 1, -1, Some(too_long.as_str()))];
    run.step("metadata that is too long", commit(&simple, &[(&topic.name, partitions)])).await;
    let other = Member { group_id: run.name("other"), generation_id: 1, member_id: "m".to_owned(), ..simple.clone() };
    run.step("a generation of a group that is not known", commit(&other, &[(&topic.name, one)])).await;
    let early = Member { generation_id: 0, ..other.clone() };
    run.step("generation 0 of a group that is not known", commit(&early, &[(&topic.name, one)])).await;
    run.step(
        "a generation of a group that is empty",
        commit(&Member { generation_id: 1, ..simple.clone() }, &[(&topic.name, one)]),
    )
    .await;
    let mut member = Member::new(&group);
    members::join(run, &mut member).await;
    run.step("before the assignment", commit(&member, &[(&topic.name, one)])).await;
    members::sync(run, &member, &[]).await;
    run.step("of nobody", commit(&simple, &[(&topic.name, one)])).await;
    for generation_id in [0, 2, -1] {
        let stale = Member { generation_id, ..member.clone() };
        run.step(&format!("generation {generation_id}"), commit(&stale, &[(&topic.name, one)])).await;
    }
    let stranger = Member { member_id: "stranger".to_owned(), ..member.clone() };
    run.step("a member that is not known", commit(&stranger, &[(&topic.name, one)])).await;
    if run.version >= 7 {
        let stray = Member { group_instance_id: Some(run.name("i")), ..member.clone() };
        run.step("an instance that is not known", commit(&stray, &[(&topic.name, one)])).await;
    }
    members::delete(run, &group, &[&member]).await;
}

pub(super) async fn fetches(run: &mut Run) {
    let (topic, other) = (run.topic("a", 3, &[]).await, run.topic("b", 1, &[]).await);
    let group = members::group(run, "a").await;
    let nowhere = run.name("nowhere");
    let simple = Member::new(&group);
    run.step("of a group that is not known", fetch(&group, Some(&[(&topic.name, &[0, 1])]), false)).await;
    write(run, &simple, &topic, &[(0, 7, 3, Some("metadata")), (2, 0, -1, None)]).await;
    write(run, &simple, &other, &[(0, -5, -1, Some("x"))]).await;
    run.step("some", fetch(&group, Some(&[(&topic.name, &[0, 1, 2]), (&other.name, &[0])]), false)).await;
    run.step("stable ones", fetch(&group, Some(&[(&topic.name, &[0, 1, 2])]), true)).await;
    run.step("of what is not there", fetch(&group, Some(&[(&nowhere, &[0]), (&topic.name, &[9, -1])]), false)).await;
    run.step("one twice", fetch(&group, Some(&[(&topic.name, &[0, 0]), (&topic.name, &[0])]), false)).await;
    run.step("no topics", fetch(&group, Some(&[]), false)).await;
    run.step("a topic without partitions", fetch(&group, Some(&[(&topic.name, &[])]), false)).await;
    run.step("the group without a name", fetch("", Some(&[(&topic.name, &[0])]), false)).await;
    if run.version >= 2 {
        run.step("all", fetch(&group, None, false)).await;
        run.step("all stable ones", fetch(&group, None, true)).await;
        run.step("all of a group that is not known", fetch(&nowhere, None, false)).await;
    }
    if run.version >= 8 {
        many(run, &group, &topic).await;
    }
    members::delete(run, &group, &[]).await;
}

async fn many(run: &mut Run, group: &str, topic: &Topic) {
    let of = |group: &str, member_id: Option<&str>, member_epoch: i32| {
        let topics = [value!({ name: &topic.name, partition_indexes: [0, 1] })];
        value!({ group_id: group, member_id: member_id, member_epoch: member_epoch, topics: topics.to_vec() })
    };
    let nowhere = run.name("nowhere");
    let groups = vec![of(group, None, -1), of(&nowhere, None, -1), of("", None, -1), of(group, None, -1)];
    run.step("of four groups", value!({ groups: groups })).await;
    run.step("of no group", value!({ groups: [] })).await;
    if run.version >= 9 {
        for (member_id, member_epoch) in [("m", 0), ("m", 5), ("m", -1), ("", 0)] {
            let label = format!("as member {member_id:?} at epoch {member_epoch}");
            run.step(&label, value!({ groups: [of(group, Some(member_id), member_epoch)] })).await;
        }
    }
}

pub(super) async fn deletes(run: &mut Run) {
    let topic = run.topic("a", 3, &[]).await;
    let group = members::group(run, "a").await;
    let nowhere = run.name("nowhere");
    let delete = |group: &str, topics: &[(&str, &[i32])]| {
        let topic = |(name, indexes): &(&str, &[i32])| {
            let partitions: Vec<_> = indexes.iter().map(|index| value!({ partition_index: *index })).collect();
            value!({ name: *name, partitions: partitions })
        };
        let topics: Vec<_> = topics.iter().map(topic).collect();
        value!({ group_id: group, topics: topics })
    };
    run.step("no group id", delete("", &[(&topic.name, &[0])])).await;
    run.step("a group that is not known", delete(&group, &[(&topic.name, &[0])])).await;
    let simple = Member::new(&group);
    write(run, &simple, &topic, &[(0, 1, -1, None), (1, 2, -1, None)]).await;
    run.step("one that is there and one that is not", delete(&group, &[(&topic.name, &[0, 2])])).await;
    run.step("once more", delete(&group, &[(&topic.name, &[0])])).await;
    run.step("of what is not there", delete(&group, &[(&nowhere, &[0]), (&topic.name, &[9, 1, -1])])).await;
    run.step("no topics", delete(&group, &[])).await;
    run.step("a topic without partitions", delete(&group, &[(&topic.name, &[])])).await;
    let member = members::stable(run, &group).await;
    run.step("of a group with members", delete(&group, &[(&topic.name, &[0])])).await;
    members::leave(run, &member).await;
    write(run, &simple, &topic, &[(0, 1, -1, None)]).await;
    // Version 0 of a consumer's subscription: this topic, no user data.
    let mut subscription = vec![0, 0, 0, 0, 0, 1];
    subscription.extend(u16::try_from(topic.name.len()).expect("a name is short").to_be_bytes());
    subscription.extend(topic.name.as_bytes());
    subscription.extend([0, 0, 0, 0]);
    let protocols = vec![("range", subscription.into())];
    let mut consumer = Member { protocol_type: "consumer", protocols, ..Member::new(&group) };
    members::join(run, &mut consumer).await;
    members::sync(run, &consumer, &[]).await;
    run.step("of a topic that the group reads", delete(&group, &[(&topic.name, &[0])])).await;
    members::delete(run, &group, &[&consumer]).await;
}
