//! ConsumerGroupHeartbeat and ConsumerGroupDescribe: consumer groups (KIP-848).

use crate::judge::Run;
use crate::scenarios::consumers::{self, Consumer};
use crate::scenarios::members::{self, Member};
use crate::{Value, api, value};

fn with(value: &Value, name: &'static str, field: impl Into<Value>) -> Value {
    members::with(value, name, field.into())
}

fn none() -> Value {
    Value::Array(Vec::new())
}

fn names(names: &[&str]) -> Value {
    Value::Array(names.iter().map(|name| Value::from(*name)).collect())
}

pub(super) async fn usual(run: &mut Run) {
    let topic = run.topic("t", 4, &[]).await;
    let group = consumers::group(run, "a").await;
    let mut first = Consumer::new(&group, &run.name("m1"), &[&topic.name]);
    first.heard(&run.step("the first member", first.join()).await);
    run.step("nothing new", first.beat()).await;
    run.step("what it owns", first.owning()).await;
    let full = with(&with(&first.join(), "member_epoch", first.member_epoch), "topic_partitions", first.owned.clone());
    run.step("everything again", full).await;
    run.step("it joins again", first.join()).await;

    let mut second = Consumer::new(&group, &run.name("m2"), &[&topic.name]);
    second.heard(&run.step("a second member", second.join()).await);
    first.heard(&run.step("the first must give up", first.beat()).await);
    run.step("the second waits", second.beat()).await;
    run.step("the first says nothing", first.beat()).await;
    first.heard(&run.step("the first has given up", first.owning()).await);
    second.heard(&run.step("the second may have it", second.beat()).await);
    run.step("the previous epoch, a lost answer", first.at(first.member_epoch - 1).owning()).await;
    run.step("no topic", with(&second.beat(), "subscribed_topic_names", none())).await;
    run.step("a topic that is not there", with(&second.beat(), "subscribed_topic_names", names(&["nowhere"]))).await;
    second.heard(&run.step("and nothing is owned", with(&second.owning(), "topic_partitions", none())).await);
    let gone = second.at(-1);
    run.step("the second leaves", gone.beat()).await;
    run.step("and again", gone.beat()).await;
    first.heard(&run.step("the first has all again", first.owning()).await);
    let more = value!({ topics: [{ name: &topic.name, count: 6, assignments: Value::Null }], timeout_ms: 10_000 });
    run.ask(api::CREATE_PARTITIONS, 3, more).await;
    let grown = first.owning();
    let before = i64::from(first.member_epoch);
    let told = run.until(api::CONSUMER_GROUP_HEARTBEAT, 0, grown, |answer| answer["member_epoch"].int() > before).await;
    first.heard(&told);
    run.step("after the topic has grown", with(&first.join(), "topic_partitions", none())).await;
    consumers::delete(run, &group, &[&first]).await;
}

pub(super) async fn refusals(run: &mut Run) {
    let topic = run.topic("t", 2, &[]).await;
    let group = consumers::group(run, "a").await;
    let stranger = Consumer::new(&group, &run.name("m"), &[&topic.name]);
    for epoch in [1, -1, -2, -3] {
        run.step(&format!("epoch {epoch} of a group that is not known"), stranger.at(epoch).beat()).await;
    }
    let (join, empty) = (stranger.join(), "");
    run.step("no group id", with(&join, "group_id", empty)).await;
    run.step("an instance without a name", with(&join, "instance_id", empty)).await;
    run.step("a rack without a name", with(&join, "rack_id", empty)).await;
    run.step("no rebalance timeout", with(&join, "rebalance_timeout_ms", -1)).await;
    run.step("no owned partitions", with(&join, "topic_partitions", Value::Null)).await;
    let owned = value!({ topic_id: topic.id, partitions: [0] });
    run.step("owned partitions", with(&join, "topic_partitions", Value::Array(vec![owned]))).await;
    run.step("no subscription", with(&join, "subscribed_topic_names", Value::Null)).await;
    run.step("an assignor that is not known", with(&join, "server_assignor", "mine")).await;
    run.step("an assignor without a name", with(&join, "server_assignor", empty)).await;
    run.step("an instance that leaves for a while without a name", stranger.at(-2).beat()).await;
    run.step("an epoch without an id", with(&stranger.at(1).beat(), "member_id", empty)).await;
    if run.version >= 1 {
        run.step("no id", with(&join, "member_id", empty)).await;
        run.step("no pattern", with(&join, "subscribed_topic_regex", "(")).await;
    }
    let mut member = stranger.clone();
    consumers::join(run, &mut member).await;
    for epoch in [member.member_epoch + 1, member.member_epoch - 1] {
        run.step(&format!("epoch {epoch}"), member.at(epoch).owning()).await;
    }
    run.step("a member that is not known", Consumer { member_id: run.name("x"), ..member.clone() }.beat()).await;
    run.step("an instance that is not known", with(&member.beat(), "instance_id", "i")).await;
    consumers::delete(run, &group, &[&member]).await;
    run.step("of a group that was deleted", member.beat()).await;
    classic_refusals(run, &topic.name).await;
}

/// Groups of the classic protocol that a consumer would join.
async fn classic_refusals(run: &mut Run, topic: &str) {
    let group = consumers::group(run, "classic").await;
    let classic = members::stable(run, &group).await;
    let member = Consumer::new(&group, &run.name("m"), &[topic]);
    run.step("a classic group of another type", member.join()).await;
    run.step("an epoch in a classic group", member.at(1).beat()).await;
    run.step("leaving a classic group", member.at(-1).beat()).await;
    members::leave(run, &classic).await;
    run.step("an empty classic group", member.join()).await;
    consumers::delete(run, &group, &[&member]).await;
}

pub(super) async fn statics(run: &mut Run) {
    let topic = run.topic("t", 3, &[]).await;
    let group = consumers::group(run, "a").await;
    let instance = Some("i".to_owned());
    let mut first =
        Consumer { instance_id: instance.clone(), ..Consumer::new(&group, &run.name("m1"), &[&topic.name]) };
    first.heard(&run.step("a static member", first.join()).await);
    run.step("it is there already", first.join()).await;
    let mut second = Consumer { member_id: run.name("m2"), ..first.clone() };
    run.step("another one of its name", second.join()).await;
    run.step("another one at its epoch", second.beat()).await;
    run.step("another one leaves", second.at(-1).beat()).await;
    run.step("it leaves for a while", first.at(-2).beat()).await;
    run.step("a heartbeat meanwhile", first.beat()).await;
    second.heard(&run.step("it is back under another id", second.join()).await);
    run.step("the old id", first.beat()).await;
    run.step("the old id leaves", first.at(-2).beat()).await;
    run.step("the new id", second.owning()).await;
    let mut third = Consumer { member_id: run.name("m3"), instance_id: Some("j".into()), ..second.clone() };
    third.heard(&run.step("a second static member", third.join()).await);
    consumers::settle(run, &mut [&mut second, &mut third]).await;
    run.step("the second leaves for a while", third.at(-2).beat()).await;
    let mut back = Consumer { topics: Vec::new(), owned: none(), ..third.clone() };
    back.heard(&run.step("it is back with its id and without topics", back.join()).await);
    run.step("it leaves for good", back.at(-1).beat()).await;
    consumers::delete(run, &group, &[&second]).await;
}

/// What is no pattern, one of each kind that RE2/J and the mock's crate have in common.
const MALFORMED: &[&str] =
    &["(a", "a)", "[b-a]", "[a", "(?=a)", "*", "a{2,1}", "\\", r"\y", r"\1", "(?P<n", "(?z)", r"\pX"];

pub(super) async fn patterns(run: &mut Run) {
    let topic = run.topic("t", 2, &[]).await;
    let group = consumers::group(run, "a").await;
    let mut member = Consumer::new(&group, &run.name("m"), &[&topic.name]);
    let by_name = member.join();
    if run.version < 1 {
        let told = run.step("before there were patterns", with(&by_name, "member_id", "")).await;
        member.member_id = told["member_id"].str().to_owned();
        return consumers::delete(run, &group, &[&member]).await;
    }
    let pattern = format!("{}.*", run.name("t"));
    for pattern in MALFORMED {
        let asked = with(&with(&by_name, "subscribed_topic_names", Value::Null), "subscribed_topic_regex", *pattern);
        run.step(&format!("the pattern {pattern}"), asked).await;
    }
    let by_pattern = with(&with(&by_name, "subscribed_topic_names", Value::Null), "subscribed_topic_regex", &*pattern);
    member.heard(&run.step("a pattern", by_pattern).await);
    let resolved = run
        .until(api::CONSUMER_GROUP_HEARTBEAT, 1, member.beat(), |answer| {
            answer["error_code"] != 0 || !answer["assignment"].is_null()
        })
        .await;
    member.heard(&resolved);
    run.step("nothing new", member.beat()).await;
    run.step("names besides", with(&member.owning(), "subscribed_topic_names", names(&[&topic.name]))).await;
    run.step("the empty pattern", with(&member.owning(), "subscribed_topic_regex", "")).await;
    consumers::delete(run, &group, &[&member]).await;
}

pub(super) async fn upgrade(run: &mut Run) {
    let topic = run.topic("t", 4, &[]).await;
    let group = consumers::group(run, "a").await;
    let mut classic = members::consumer(&group, &topic.name, &[]);
    members::join(run, &mut classic).await;
    members::sync(run, &classic, &[(&classic, &members::assignment(&topic.name, &[0, 1, 2, 3])[..])]).await;
    let mut member = Consumer::new(&group, &run.name("m"), &[&topic.name]);
    member.heard(&run.step("a consumer in a classic group", member.join()).await);
    run.step("nothing is free", member.beat()).await;
    for owned in [&[0, 1, 2, 3][..], &[0, 1]] {
        classic.protocols = members::consumer(&group, &topic.name, owned).protocols;
        members::join(run, &mut classic).await;
    }
    member.heard(&run.step("it may have its part", member.beat()).await);
    run.step("the consumer leaves", member.at(-1).beat()).await;
    run.step("it is no consumer group any more", member.beat()).await;
    member.heard(&run.step("it is back, and the group upgraded again", member.join()).await);
    members::leave(run, &classic).await;
    run.step("the classic member leaves", member.owning()).await;
    consumers::delete(run, &group, &[&member]).await;
}

/// What the life of a consumer group leaves in the log of its coordinator, with a member of the classic protocol in it.
pub(super) async fn records(run: &mut Run) {
    let topic = run.topic("t", 4, &[]).await;
    let group = consumers::group(run, "a").await;
    let log = members::CoordinatorLog::begin(run, &group).await;
    let mut first = Consumer {
        instance_id: Some("i".to_owned()),
        rack_id: Some("r".to_owned()),
        server_assignor: Some("uniform"),
        ..Consumer::new(&group, &run.name("m1"), &[&topic.name])
    };
    first.heard(&run.step("a static member", first.join()).await);
    let mut classic = Member { member_id: run.name("c"), ..members::consumer(&group, &topic.name, &[]) };
    members::join(run, &mut classic).await;
    consumers::settle(run, &mut [&mut first]).await;
    members::join(run, &mut classic).await;
    members::leave(run, &classic).await;
    run.step("it leaves for a while", first.at(-2).beat()).await;
    let mut second = Consumer { member_id: run.name("m2"), ..first.clone() };
    second.heard(&run.step("it is back", second.join()).await);
    members::join(run, &mut classic).await;
    run.step("the consumer leaves", second.at(-1).beat()).await;
    let mut third = Consumer::new(&group, &run.name("m3"), &[&topic.name]);
    third.heard(&run.step("another one upgrades the group", third.join()).await);
    members::leave(run, &classic).await;
    consumers::delete(run, &group, &[&third]).await;
    log.step(run, "what is in the log").await;
}

fn describe(groups: &[&str], operations: bool) -> Value {
    let groups: Vec<_> = groups.iter().map(|group| Value::from(*group)).collect();
    value!({ group_ids: groups, include_authorized_operations: operations })
}

pub(super) async fn describes(run: &mut Run) {
    let topic = run.topic("t", 4, &[]).await;
    let group = consumers::group(run, "a").await;
    run.step("a group that is not known", describe(&[&group], true)).await;
    run.step("a group without a name", describe(&[""], false)).await;
    run.step("none", describe(&[], false)).await;
    let classic = consumers::group(run, "classic").await;
    let old = members::stable(run, &classic).await;
    run.step("a classic group", describe(&[&classic], false)).await;
    members::leave(run, &old).await;
    let mut first = Consumer {
        instance_id: Some("i".into()),
        rack_id: Some("r".into()),
        server_assignor: Some("range"),
        ..Consumer::new(&group, &run.name("m1"), &[&topic.name])
    };
    consumers::join(run, &mut first).await;
    run.step("a stable one", describe(&[&group], false)).await;
    let mut second = Consumer::new(&group, &run.name("m2"), &[&topic.name]);
    consumers::join(run, &mut second).await;
    run.step("with a member that waits", describe(&[&group], true)).await;
    let beat = first.beat();
    consumers::say(run, &mut first, beat).await;
    run.step("with a member that must give up", describe(&[&group, &group], false)).await;
    consumers::settle(run, &mut [&mut first, &mut second]).await;
    run.step("settled", describe(&[&group], false)).await;
    // With an id of its own: the order of ids decides who gets which partition.
    let mut third = Member { member_id: run.name("c"), ..members::consumer(&group, &topic.name, &[]) };
    members::join(run, &mut third).await;
    run.step("with a member of the classic protocol", describe(&[&group], false)).await;
    members::leave(run, &third).await;
    consumers::leave(run, &first).await;
    run.step("after one has left", describe(&[&group], false)).await;
    consumers::leave(run, &second).await;
    run.step("an empty one", describe(&[&group], false)).await;
    consumers::delete(run, &classic, &[]).await;
    consumers::delete(run, &group, &[]).await;
    run.step("one that was deleted", describe(&[&group], false)).await;
}
