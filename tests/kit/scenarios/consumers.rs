//! Members of consumer groups (KIP-848), for programs of any API: what they ask is not compared.

use crate::judge::Run;
use crate::scenarios::members;
use crate::{Value, api, value};

const HEARTBEAT: i16 = 1;

/// A member, as its client sees it.
#[derive(Clone, Debug)]
pub(super) struct Consumer {
    pub(super) group_id: String,
    pub(super) member_id: String,
    pub(super) member_epoch: i32,
    pub(super) instance_id: Option<String>,
    pub(super) rack_id: Option<String>,
    pub(super) server_assignor: Option<&'static str>,
    pub(super) topics: Vec<String>,
    /// What it was told to own, as an answer says it.
    pub(super) owned: Value,
}

impl Consumer {
    /// A member that has not joined and reads `topics`.
    pub(super) fn new(group_id: &str, member_id: &str, topics: &[&str]) -> Self {
        Self {
            group_id: group_id.to_owned(),
            member_id: member_id.to_owned(),
            member_epoch: 0,
            instance_id: None,
            rack_id: None,
            server_assignor: None,
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            owned: Value::Array(Vec::new()),
        }
    }

    /// Its first heartbeat.
    pub(super) fn join(&self) -> Value {
        let topics: Vec<_> = self.topics.iter().map(|topic| Value::from(topic.as_str())).collect();
        value!({
            group_id: &self.group_id, member_id: &self.member_id, member_epoch: 0,
            instance_id: self.instance_id.as_deref(), rack_id: self.rack_id.as_deref(), rebalance_timeout_ms: 60_000,
            subscribed_topic_names: topics, subscribed_topic_regex: Value::Null,
            server_assignor: self.server_assignor, topic_partitions: Value::Array(Vec::new()),
        })
    }

    /// A heartbeat that says nothing new.
    pub(super) fn beat(&self) -> Value {
        value!({
            group_id: &self.group_id, member_id: &self.member_id, member_epoch: self.member_epoch,
            instance_id: self.instance_id.as_deref(), rack_id: Value::Null, rebalance_timeout_ms: -1,
            subscribed_topic_names: Value::Null, subscribed_topic_regex: Value::Null, server_assignor: Value::Null,
            topic_partitions: Value::Null,
        })
    }

    /// A heartbeat that says what it owns.
    pub(super) fn owning(&self) -> Value {
        members::with(&self.beat(), "topic_partitions", self.owned.clone())
    }

    /// Takes what it is told.
    pub(super) fn heard(&mut self, answer: &Value) {
        self.member_epoch = answer["member_epoch"].int().try_into().expect("an epoch has 32 bits");
        if !answer["assignment"].is_null() {
            self.owned = answer["assignment"]["topic_partitions"].clone();
        }
    }

    /// What it asks about offsets, or of a group of which it is a member, needs its id and epoch.
    pub(super) fn at(&self, member_epoch: i32) -> Self {
        Self { member_epoch, ..self.clone() }
    }
}

/// The id of a group of this run, whose coordinator is there, and whose target is computed whenever it must be.
pub(super) async fn group(run: &mut Run, what: &str) -> String {
    let group = members::group(run, what).await;
    configure(run, &group, "consumer.assignment.interval.ms", Some("0")).await;
    group
}

/// Sets or deletes a config of a group, and waits until its coordinator has it.
pub(super) async fn configure(run: &mut Run, group: &str, name: &str, value: Option<&str>) {
    let operation = i8::from(value.is_none());
    let config = value!({ name: name, config_operation: operation, value: value });
    let body = value!({ resources: [{ resource_type: 32, resource_name: group, configs: [config] }] });
    let answer = run.ask(api::INCREMENTAL_ALTER_CONFIGS, 1, body).await;
    assert_eq!(answer["responses"][0]["error_code"], 0, "{answer:?}");
    let body = value!({ resources: [{ resource_type: 32, resource_name: group, configuration_keys: [name] }] });
    // 8 is the group itself (ConfigSource.GROUP_CONFIG).
    run.until(api::DESCRIBE_CONFIGS, 4, body, |answer| {
        let source = answer["results"][0]["configs"][0]["config_source"].int();
        (source == 8) == value.is_some()
    })
    .await;
}

/// Sends a heartbeat that is not compared, and lets the member take the answer.
///
/// # Panics
///
/// If it is refused.
pub(super) async fn say(run: &mut Run, member: &mut Consumer, heartbeat: Value) {
    let answer = run.ask(api::CONSUMER_GROUP_HEARTBEAT, HEARTBEAT, heartbeat).await;
    assert_eq!(answer["error_code"], 0, "{answer:?}");
    member.heard(&answer);
}

/// A member joins.
pub(super) async fn join(run: &mut Run, member: &mut Consumer) {
    let heartbeat = member.join();
    say(run, member, heartbeat).await;
}

/// Members that say what they own until nothing changes any more.
pub(super) async fn settle(run: &mut Run, members: &mut [&mut Consumer]) {
    for _ in 0..3 {
        for member in &mut *members {
            let heartbeat = member.owning();
            say(run, member, heartbeat).await;
        }
    }
}

/// A member leaves, if it is there.
pub(super) async fn leave(run: &mut Run, member: &Consumer) {
    run.ask(api::CONSUMER_GROUP_HEARTBEAT, HEARTBEAT, member.at(-1).beat()).await;
}

/// Deletes a group and its config once these have left.
pub(super) async fn delete(run: &mut Run, group: &str, members: &[&Consumer]) {
    for member in members {
        leave(run, member).await;
    }
    configure(run, group, "consumer.assignment.interval.ms", None).await;
    members::delete(run, group, &[]).await;
}
