//! The APIs of classic groups, asked about consumer groups (KIP-848), some of whose members speak the classic protocol.

use crate::judge::Run;
use crate::scenarios::consumers::{self, Consumer};
use crate::scenarios::members::{self, Member};
use crate::{Value, value};

/// A consumer group with one member that has all four partitions of a topic.
async fn one(run: &mut Run) -> (String, String, Consumer) {
    let topic = run.topic("t", 4, &[]).await.name;
    let group = consumers::group(run, "a").await;
    let mut member = Consumer::new(&group, &run.name("m"), &[&topic]);
    consumers::join(run, &mut member).await;
    (group, topic, member)
}

/// The same with a member of the classic protocol, settled: each has two partitions.
async fn two(run: &mut Run) -> (String, String, Consumer, Member) {
    let (group, topic, mut member) = one(run).await;
    // With an id of its own: the order of ids decides who gets which partition.
    let mut classic = Member { member_id: run.name("c"), ..members::consumer(&group, &topic, &[]) };
    members::join(run, &mut classic).await;
    consumers::settle(run, &mut [&mut member]).await;
    members::join(run, &mut classic).await;
    members::sync(run, &classic, &[]).await;
    (group, topic, member, classic)
}

pub(super) async fn join(run: &mut Run) {
    let (group, topic, mut member) = one(run).await;
    let mut classic = members::consumer(&group, &topic, &[]);
    let answer = run.step("a member of the classic protocol", classic.join()).await;
    classic.member_id = answer["member_id"].str().to_owned();
    if run.version >= 4 {
        run.step("with the id that it was told", classic.join()).await;
    }
    run.step("again", classic.join()).await;
    consumers::settle(run, &mut [&mut member]).await;
    run.step("when there is something for it", classic.join()).await;
    let with_topics = Member { protocols: members::consumer(&group, "nowhere", &[2, 3]).protocols, ..classic.clone() };
    run.step("with another subscription", with_topics.join()).await;
    run.step("another protocol type", Member { protocol_type: "other", ..classic.clone() }.join()).await;
    let other = vec![("other", members::consumer(&group, &topic, &[]).protocols[0].1.clone())];
    run.step("no protocol that all have", Member { protocols: other, ..classic.clone() }.join()).await;
    run.step("no protocols", Member { protocols: Vec::new(), ..classic.clone() }.join()).await;
    let malformed = Member { protocols: vec![("range", "".into())], ..classic.clone() };
    run.step("metadata that cannot be read", malformed.join()).await;
    run.step("a session timeout that is too short", Member { session_timeout_ms: 1, ..classic.clone() }.join()).await;
    if run.version >= 5 {
        let stray = Member { group_instance_id: Some("i".to_owned()), ..classic.clone() };
        run.step("an instance that is not known", stray.join()).await;
        join_static(run, &group, &topic).await;
    }
    consumers::leave(run, &member).await;
    members::delete(run, &group, &[&classic]).await;
}

/// A static member of the consumer protocol that comes back in the classic one.
async fn join_static(run: &mut Run, group: &str, topic: &str) {
    let mut first = Consumer { instance_id: Some("s".to_owned()), ..Consumer::new(group, &run.name("s"), &[topic]) };
    consumers::join(run, &mut first).await;
    let mut back = Member { group_instance_id: Some("s".to_owned()), ..members::consumer(group, topic, &[]) };
    run.step("an instance of another id", Member { member_id: run.name("x"), ..back.clone() }.join()).await;
    back.joined(&run.step("a static member in the other protocol", back.join()).await);
    members::leave(run, &back).await;
}

pub(super) async fn downgrade(run: &mut Run) {
    let (group, topic, member) = one(run).await;
    consumers::leave(run, &member).await;
    let mut classic = members::consumer(&group, &topic, &[]);
    let answer = run.step("an empty consumer group", classic.join()).await;
    classic.member_id = answer["member_id"].str().to_owned();
    members::leave(run, &classic).await;
    if run.version >= 5 {
        let instance = Some("i".to_owned());
        let group = consumers::group(run, "static").await;
        let mut first = Consumer { instance_id: instance.clone(), ..Consumer::new(&group, &run.name("s"), &[&topic]) };
        consumers::join(run, &mut first).await;
        let mut back = Member { group_instance_id: instance, ..members::consumer(&group, &topic, &[]) };
        back.joined(&run.step("the last of its protocol comes back in the other", back.join()).await);
        run.step("it joins again", back.join()).await;
        members::delete(run, &group, &[&back]).await;
    }
    members::delete(run, &group, &[&classic]).await;
}

pub(super) async fn sync(run: &mut Run) {
    let (group, topic, mut member, classic) = two(run).await;
    run.step("its part", classic.sync(&[])).await;
    run.step("a member of the consumer protocol", of(&classic, &member).sync(&[])).await;
    for generation_id in [0, classic.generation_id + 1] {
        let label = format!("generation {generation_id}");
        run.step(&label, Member { generation_id, ..classic.clone() }.sync(&[])).await;
    }
    run.step("a member that is not known", Member { member_id: "x".to_owned(), ..classic.clone() }.sync(&[])).await;
    run.step("another protocol type", Member { protocol_type: "other", ..classic.clone() }.sync(&[])).await;
    run.step("another protocol", Member { protocols: vec![("other", "".into())], ..classic.clone() }.sync(&[])).await;
    let mut third = Consumer::new(&group, &run.name("m3"), &[&topic]);
    consumers::join(run, &mut third).await;
    run.step("after a newer target", classic.sync(&[])).await;
    for gone in [&member, &third] {
        consumers::leave(run, gone).await;
    }
    member.member_epoch = -1;
    members::delete(run, &group, &[&classic]).await;
    run.step("of a group that was deleted", classic.sync(&[])).await;
}

pub(super) async fn heartbeat(run: &mut Run) {
    let (group, topic, member, classic) = two(run).await;
    run.step("a stable group", classic.heartbeat()).await;
    run.step("a member of the consumer protocol", of(&classic, &member).heartbeat()).await;
    for generation_id in [0, classic.generation_id + 1] {
        let label = format!("generation {generation_id}");
        run.step(&label, Member { generation_id, ..classic.clone() }.heartbeat()).await;
    }
    run.step("a member that is not known", Member { member_id: "x".to_owned(), ..classic.clone() }.heartbeat()).await;
    if run.version >= 3 {
        let stray = Member { group_instance_id: Some("i".to_owned()), ..classic.clone() };
        run.step("an instance that is not known", stray.heartbeat()).await;
    }
    let mut third = Consumer::new(&group, &run.name("m3"), &[&topic]);
    consumers::join(run, &mut third).await;
    run.step("after a newer target", classic.heartbeat()).await;
    for gone in [&member, &third] {
        consumers::leave(run, gone).await;
    }
    run.step("in the classic group that is left", classic.heartbeat()).await;
    members::delete(run, &group, &[&classic]).await;
}

pub(super) async fn leave(run: &mut Run) {
    let (group, topic, member, classic) = two(run).await;
    run.step("a member that is not known", members::leaving(&group, &[("x", None)])).await;
    run.step("a member of the classic protocol", members::leaving(&group, &[(&classic.member_id, None)])).await;
    run.step("and again", members::leaving(&group, &[(&classic.member_id, None)])).await;
    if run.version >= 3 {
        let instance = Some("i".to_owned());
        let mut third = Consumer { instance_id: instance, ..Consumer::new(&group, &run.name("m3"), &[&topic]) };
        consumers::join(run, &mut third).await;
        run.step("an instance under another id", members::leaving(&group, &[("x", Some("i"))])).await;
        run.step("an instance that is not known", members::leaving(&group, &[("", Some("j"))])).await;
        let all = [("", Some("i")), (&*member.member_id, None), ("", None)];
        run.step("members of the consumer protocol", members::leaving(&group, &all)).await;
    } else {
        run.step("a member of the consumer protocol", members::leaving(&group, &[(&member.member_id, None)])).await;
    }
    run.step("an empty group", members::leaving(&group, &[(&member.member_id, None)])).await;
    members::delete(run, &group, &[]).await;
}

pub(super) async fn commits(run: &mut Run) {
    let (group, topic, member, classic) = two(run).await;
    let commit = |member_id: &str, epoch: i32, partitions: &[i32]| {
        let partitions: Vec<_> = partitions
            .iter()
            .map(|index| value!({ partition_index: *index, committed_offset: 5, committed_leader_epoch: -1 }))
            .collect();
        value!({
            group_id: &group, generation_id_or_member_epoch: epoch, member_id: member_id, retention_time_ms: -1,
            topics: [{ name: &topic, partitions: partitions }],
        })
    };
    for (what, member_id, epoch) in [
        ("the consumer protocol", &member.member_id, member.member_epoch),
        ("the classic protocol", &classic.member_id, classic.generation_id),
    ] {
        run.step(&format!("{what}, its epoch"), commit(member_id, epoch, &[0, 3])).await;
        run.step(&format!("{what}, a newer epoch"), commit(member_id, epoch + 1, &[0])).await;
        run.step(&format!("{what}, the epoch before"), commit(member_id, epoch - 1, &[0])).await;
        run.step(&format!("{what}, the epoch before, the last partition"), commit(member_id, epoch - 1, &[3])).await;
        run.step(&format!("{what}, epoch 0"), commit(member_id, 0, &[0, 1, 2, 3])).await;
        run.step(&format!("{what}, no epoch"), commit(member_id, -1, &[0])).await;
    }
    run.step("a member that is not known", commit("x", 1, &[0])).await;
    run.step("nobody", commit("", -1, &[0])).await;
    consumers::leave(run, &member).await;
    members::leave(run, &classic).await;
    members::delete(run, &group, &[]).await;
}

pub(super) async fn fetches(run: &mut Run) {
    let (group, topic, member, classic) = two(run).await;
    let fetch = |member_id: Option<&str>, epoch: i32| {
        let topics = value!([{ name: &topic, partition_indexes: [0] }]);
        let topics: Value = topics;
        value!({
            group_id: &group, topics: topics.clone(),
            groups: [{ group_id: &group, member_id: member_id, member_epoch: epoch, topics: topics }],
        })
    };
    run.step("nobody", fetch(None, -1)).await;
    if run.version >= 9 {
        for (what, member_id, epoch) in [
            ("the consumer protocol", &member.member_id, member.member_epoch),
            ("the classic protocol", &classic.member_id, classic.generation_id),
        ] {
            for epoch in [epoch, epoch + 1, epoch - 1, -1] {
                run.step(&format!("{what}, epoch {epoch}"), fetch(Some(member_id), epoch)).await;
            }
        }
        run.step("a member that is not known", fetch(Some("x"), 1)).await;
        run.step("an epoch without a member", fetch(None, 1)).await;
    }
    consumers::leave(run, &member).await;
    members::leave(run, &classic).await;
    members::delete(run, &group, &[]).await;
}

pub(super) async fn described(run: &mut Run) {
    administered(run, |group| value!({ groups: [group] })).await;
}

pub(super) async fn listed(run: &mut Run) {
    administered(run, |_| value!({})).await;
}

pub(super) async fn deleted(run: &mut Run) {
    administered(run, |group| value!({ groups_names: [group] })).await;
}

async fn administered(run: &mut Run, ask: impl Fn(&str) -> Value) {
    let (group, _, member, classic) = two(run).await;
    run.step("with members", ask(&group)).await;
    members::leave(run, &classic).await;
    run.step("with a member of the consumer protocol", ask(&group)).await;
    consumers::leave(run, &member).await;
    run.step("without members", ask(&group)).await;
    members::delete(run, &group, &[]).await;
}

/// A member of the consumer protocol as one of the classic would say it is.
fn of(classic: &Member, member: &Consumer) -> Member {
    Member { member_id: member.member_id.clone(), generation_id: member.member_epoch, ..classic.clone() }
}
