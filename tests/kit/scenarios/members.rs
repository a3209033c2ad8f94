//! Members of classic groups, for programs that are about something else: what they ask is not compared.

use bytes::Bytes;

use crate::consumer_protocol;
pub(super) use crate::consumer_protocol::assignment;
use crate::judge::Run;
use crate::judge::run::{body_of, fitting};
use crate::raw::Sent;
use crate::{Raw, Value, api, value};

const JOIN: i16 = 9;
const SYNC: i16 = 5;
const HEARTBEAT: i16 = 4;

const CONSUMER_OFFSETS: &str = "__consumer_offsets";

/// A member, as its client sees it.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) group_id: String,
    pub(super) member_id: String,
    pub(super) group_instance_id: Option<String>,
    pub(super) generation_id: i32,
    pub(super) session_timeout_ms: i32,
    pub(super) protocol_type: &'static str,
    pub(super) protocols: Vec<(&'static str, Bytes)>,
}

impl Member {
    /// A member that has not joined.
    pub(super) fn new(group_id: &str) -> Self {
        Self {
            group_id: group_id.to_owned(),
            member_id: String::new(),
            group_instance_id: None,
            generation_id: -1,
            session_timeout_ms: 30_000,
            protocol_type: "judged",
            protocols: vec![("range", "r".into()), ("sticky", "s".into())],
        }
    }

    /// A JoinGroup with the fields of every version.
    pub(super) fn join(&self) -> Value {
        let protocols = self.protocols.iter();
        let protocols: Vec<_> =
            protocols.map(|(name, metadata)| value!({ name: *name, metadata: metadata.clone() })).collect();
        value!({
            group_id: &self.group_id, session_timeout_ms: self.session_timeout_ms, rebalance_timeout_ms: 60_000,
            member_id: &self.member_id, group_instance_id: self.group_instance_id.as_deref(),
            protocol_type: self.protocol_type, protocols: protocols, reason: "judged",
        })
    }

    /// A SyncGroup with the fields of every version.
    pub(super) fn sync(&self, assignments: &[(&Self, &[u8])]) -> Value {
        let assignment = |(to, bytes): &(&Self, &[u8])| value!({ member_id: &to.member_id, assignment: *bytes });
        let assignments: Vec<_> = assignments.iter().map(assignment).collect();
        value!({
            group_id: &self.group_id, generation_id: self.generation_id, member_id: &self.member_id,
            group_instance_id: self.group_instance_id.as_deref(), protocol_type: self.protocol_type,
            protocol_name: self.protocols[0].0, assignments: assignments,
        })
    }

    /// A Heartbeat with the fields of every version.
    pub(super) fn heartbeat(&self) -> Value {
        value!({
            group_id: &self.group_id, generation_id: self.generation_id, member_id: &self.member_id,
            group_instance_id: self.group_instance_id.as_deref(),
        })
    }

    /// Takes what it is told.
    pub(super) fn joined(&mut self, answer: &Value) {
        self.member_id = answer["member_id"].str().to_owned();
        self.generation_id = answer["generation_id"].int().try_into().expect("a generation has 32 bits");
    }

    /// Joins on a connection of its own, where the answer comes later.
    pub(super) async fn begin_to_join(&mut self, connection: &mut Raw) -> Sent {
        if self.member_id.is_empty() && self.group_instance_id.is_none() {
            let told = connection.call(api::JOIN_GROUP, JOIN, fitting(api::JOIN_GROUP, JOIN, self.join())).await;
            assert_eq!(told["error_code"], 79, "{told:?}");
            self.member_id = told["member_id"].str().to_owned();
        }
        connection.send(api::JOIN_GROUP, JOIN, fitting(api::JOIN_GROUP, JOIN, self.join())).await
    }

    /// Asks for its assignment on a connection of its own, where the answer comes later.
    pub(super) async fn begin_to_sync(&self, connection: &mut Raw) -> Sent {
        connection.send(api::SYNC_GROUP, SYNC, fitting(api::SYNC_GROUP, SYNC, self.sync(&[]))).await
    }
}

/// The same struct with this field set.
pub(super) fn with(value: &Value, name: &'static str, field: Value) -> Value {
    let Value::Struct(fields) = value else { panic!("{value:?} is no struct") };
    let field =
        |(known, value): &(&'static str, Value)| (*known, if *known == name { field.clone() } else { value.clone() });
    Value::Struct(fields.iter().map(field).collect())
}

/// The id of a group of this run, whose coordinator is there.
pub(super) async fn group(run: &mut Run, what: &str) -> String {
    let group = run.name(what);
    let body = value!({ key: &group, key_type: 0 });
    run.until(api::FIND_COORDINATOR, 3, body, |answer| answer["error_code"] == 0).await;
    // Who is found may not have loaded yet.
    let body = value!({ groups: [group.as_str()] });
    run.until(api::DESCRIBE_GROUPS, 5, body, |answer| answer["groups"][0]["error_code"] == 0).await;
    group
}

/// Joins a group that waits for nobody else.
///
/// # Panics
///
/// If it cannot.
pub(super) async fn join(run: &mut Run, member: &mut Member) {
    let mut answer = run.ask(api::JOIN_GROUP, JOIN, member.join()).await;
    if answer["error_code"] == 79 {
        member.joined(&answer);
        answer = run.ask(api::JOIN_GROUP, JOIN, member.join()).await;
    }
    assert_eq!(answer["error_code"], 0, "{answer:?}");
    member.joined(&answer);
}

/// Brings the assignment of a leader.
///
/// # Panics
///
/// If it is refused.
pub(super) async fn sync(run: &mut Run, leader: &Member, assignments: &[(&Member, &[u8])]) {
    let answer = run.ask(api::SYNC_GROUP, SYNC, leader.sync(assignments)).await;
    assert_eq!(answer["error_code"], 0, "{answer:?}");
}

/// A group with one member and generation 1.
pub(super) async fn stable(run: &mut Run, group: &str) -> Member {
    let mut member = Member::new(group);
    join(run, &mut member).await;
    sync(run, &member, &[(&member, b"all")]).await;
    member
}

/// The id of a member that was told one and has not come back with it.
pub(super) async fn pending(run: &mut Run, group: &str) -> String {
    let told = run.ask(api::JOIN_GROUP, JOIN, Member::new(group).join()).await;
    assert_eq!(told["error_code"], 79, "{told:?}");
    told["member_id"].str().to_owned()
}

/// Waits until a member hears that it has to join anew.
pub(super) async fn wait_until_rebalancing(run: &mut Run, member: &Member) {
    run.until(api::HEARTBEAT, HEARTBEAT, member.heartbeat(), |answer| answer["error_code"] == 27).await;
}

/// A LeaveGroup with the fields of every version; before v3 of the first member.
pub(super) fn leaving(group: &str, members: &[(&str, Option<&str>)]) -> Value {
    let first = members.first().map_or("", |(member_id, _)| member_id);
    let member = |(member_id, instance): &(&str, Option<&str>)| value!({ member_id: *member_id, group_instance_id: *instance, reason: "judged" });
    let members: Vec<_> = members.iter().map(member).collect();
    value!({ group_id: group, member_id: first, members: members })
}

/// A member leaves.
pub(super) async fn leave(run: &mut Run, member: &Member) {
    let instance = member.group_instance_id.as_deref();
    run.ask(api::LEAVE_GROUP, 5, leaving(&member.group_id, &[(&member.member_id, instance)])).await;
}

/// The log of a group's coordinator, from the place where it was begun to be read.
#[derive(Debug)]
pub(super) struct CoordinatorLog {
    partition: i32,
    offset: i64,
}

impl CoordinatorLog {
    /// What is written from now on for a group.
    pub(super) async fn begin(run: &mut Run, group: &str) -> Self {
        let body = value!({ topics: [{ name: CONSUMER_OFFSETS }] });
        let topics = run.ask(api::METADATA, 12, body).await;
        let partitions = i32::try_from(topics["topics"][0]["partitions"].array().len()).expect("there are few");
        // `String.hashCode`, as `partitionFor` has it; names here are ASCII.
        let hash = group.bytes().fold(0_i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte)));
        let partition = hash.checked_abs().unwrap_or(0) % partitions;
        let asked = value!({ partition_index: partition, timestamp: -1 });
        let body = value!({ replica_id: -1, topics: [{ name: CONSUMER_OFFSETS, partitions: [asked] }] });
        let end = run.ask(api::LIST_OFFSETS, 7, body).await;
        Self { partition, offset: end["topics"][0]["partitions"][0]["offset"].int() }
    }

    /// Compares what was written. What was asked last must be answered only when it is written.
    pub(super) async fn step(self, run: &mut Run, label: &str) {
        let partition = value!({
            partition: self.partition, current_leader_epoch: -1, fetch_offset: self.offset, last_fetched_epoch: -1,
            log_start_offset: -1, partition_max_bytes: 1_000_000,
        });
        let body = value!({
            replica_id: -1, max_wait_ms: 1_000, min_bytes: 1, max_bytes: 1_000_000, session_epoch: -1,
            topics: [{ topic: CONSUMER_OFFSETS, partitions: [partition] }],
        });
        let body = body_of(api::FETCH, 12, body);
        run.step_bytes(label, api::FETCH, 12, &body).await;
    }
}

/// Deletes a group once these have left, so that the next program finds none.
///
/// # Panics
///
/// If it has other members.
pub(super) async fn delete(run: &mut Run, group: &str, members: &[&Member]) {
    for member in members {
        leave(run, member).await;
    }
    let answer = run.ask(api::DELETE_GROUPS, 2, value!({ groups_names: [group] })).await;
    let code = answer["results"][0]["error_code"].int();
    assert!([0, 69].contains(&code), "{answer:?}");
}

/// A consumer of the classic protocol that reads `topic` and owns these partitions of it, as its client says it.
pub(super) fn consumer(group: &str, topic: &str, owned: &[i32]) -> Member {
    let protocols = vec![("range", consumer_protocol::subscription(topic, owned))];
    Member { protocol_type: "consumer", protocols, ..Member::new(group) }
}
