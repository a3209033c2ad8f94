//! A member of a classic group with a connection of its own, for the tests of groups.

use bytes::Bytes;
use mockbroker::MockBroker;
use system_tests::raw::Sent;
use system_tests::world::{Broker, unique};
use system_tests::{Raw, Value, api, value};

use super::ask::{call, send, until};
use super::code::{MEMBER_ID_REQUIRED, NONE};

/// What a member is, and the connection that it speaks on.
pub(crate) struct Member {
    pub(crate) connection: Raw,
    pub(crate) group: String,
    pub(crate) id: String,
    pub(crate) instance: Option<String>,
    pub(crate) generation: i32,
    pub(crate) protocol_type: &'static str,
    pub(crate) protocols: Vec<(&'static str, Bytes)>,
    pub(crate) session_timeout_ms: i32,
    pub(crate) rebalance_timeout_ms: i32,
}

/// A broker on which nobody waits for a first rebalance, and a new group whose coordinator is there.
pub(crate) async fn start() -> (Broker, String) {
    let broker = match Broker::real() {
        Some(real) => real,
        None => {
            let mock = MockBroker::builder().config("group.initial.rebalance.delay.ms", "0");
            Broker::mock(mock.start().await)
        }
    };
    start_on(broker).await
}

/// A new group of this broker whose coordinator is there.
pub(crate) async fn start_on(broker: Broker) -> (Broker, String) {
    let group = unique("group");
    let mut connection = broker.connect().await;
    let found = |answer: &Value| answer["error_code"] == NONE;
    until(&mut connection, (api::FIND_COORDINATOR, 3), value!({ key: &group, key_type: 0 }), found).await;
    let loaded = |answer: &Value| answer["groups"][0]["error_code"] == NONE;
    until(&mut connection, (api::DESCRIBE_GROUPS, 5), value!({ groups: [&*group] }), loaded).await;
    (broker, group)
}

/// The description of a group.
pub(crate) async fn describe(connection: &mut Raw, group: &str) -> Value {
    call(connection, api::DESCRIBE_GROUPS, 5, value!({ groups: [group] })).await["groups"][0].clone()
}

/// Waits until a group is in a state.
pub(crate) async fn wait_for_state(connection: &mut Raw, group: &str, state: &str) -> Value {
    let body = value!({ groups: [group] });
    let is_there = |answer: &Value| answer["groups"][0]["group_state"] == state;
    until(connection, (api::DESCRIBE_GROUPS, 5), body, is_there).await["groups"][0].clone()
}

/// The error code of an answer, or of a part of one.
fn code(answer: &Value) -> i16 {
    answer["error_code"].int().try_into().expect("a code has 16 bits")
}

impl Member {
    pub(crate) async fn new(broker: &Broker, group: &str) -> Self {
        Self {
            connection: broker.connect().await,
            group: group.to_owned(),
            id: String::new(),
            instance: None,
            generation: -1,
            protocol_type: "test",
            protocols: vec![("range", Bytes::new())],
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 30_000,
        }
    }

    pub(crate) fn join(&self) -> Value {
        let protocols = self.protocols.iter();
        let protocols: Vec<_> =
            protocols.map(|(name, metadata)| value!({ name: *name, metadata: metadata.clone() })).collect();
        value!({
            group_id: &self.group, session_timeout_ms: self.session_timeout_ms,
            rebalance_timeout_ms: self.rebalance_timeout_ms, member_id: &self.id,
            group_instance_id: self.instance.as_deref(), protocol_type: self.protocol_type, protocols: protocols,
        })
    }

    /// Sends a JoinGroup, with the id that it is told first if it has none.
    pub(crate) async fn begin_to_join(&mut self) -> Sent {
        if self.id.is_empty() && self.instance.is_none() {
            let join = self.join();
            let told = call(&mut self.connection, api::JOIN_GROUP, 9, join).await;
            assert_eq!(told["error_code"], MEMBER_ID_REQUIRED, "{told:?}");
            self.id = told["member_id"].str().to_owned();
        }
        let join = self.join();
        send(&mut self.connection, api::JOIN_GROUP, 9, join).await
    }

    /// Waits for the answer to its JoinGroup.
    pub(crate) async fn joined(&mut self, sent: Sent) -> Value {
        let answer = self.connection.receive(sent).await;
        if answer["error_code"] == NONE {
            self.id = answer["member_id"].str().to_owned();
            self.generation = answer["generation_id"].int().try_into().expect("a generation has 32 bits");
        }
        answer
    }

    /// Joins, and is answered.
    pub(crate) async fn joins(&mut self) -> Value {
        let sent = self.begin_to_join().await;
        self.joined(sent).await
    }

    /// Sends a SyncGroup that gives `assignments` by member id.
    pub(crate) async fn begin_to_sync(&mut self, assignments: &[(&str, &str)]) -> Sent {
        let assignments = assignments.iter().map(|(id, text)| (*id, Bytes::copy_from_slice(text.as_bytes())));
        self.begin_to_sync_bytes(&assignments.collect::<Vec<_>>()).await
    }

    /// The same with bytes that are no text.
    pub(crate) async fn begin_to_sync_bytes(&mut self, assignments: &[(&str, Bytes)]) -> Sent {
        let assignment = |(id, bytes): &(&str, Bytes)| value!({ member_id: *id, assignment: bytes.clone() });
        let body = value!({
            group_id: &self.group, generation_id: self.generation, member_id: &self.id,
            group_instance_id: self.instance.as_deref(),
            assignments: assignments.iter().map(assignment).collect::<Vec<_>>(),
        });
        send(&mut self.connection, api::SYNC_GROUP, 4, body).await
    }

    /// Syncs: the code and the assignment.
    pub(crate) async fn syncs(&mut self, assignments: &[(&str, &str)]) -> (i16, Bytes) {
        let sent = self.begin_to_sync(assignments).await;
        let answer = self.connection.receive(sent).await;
        (code(&answer), answer["assignment"].bytes().clone())
    }

    /// The code of a Heartbeat.
    pub(crate) async fn heartbeat(&mut self) -> i16 {
        let body = value!({
            group_id: &self.group, generation_id: self.generation, member_id: &self.id,
            group_instance_id: self.instance.as_deref(),
        });
        code(&call(&mut self.connection, api::HEARTBEAT, 4, body).await)
    }

    /// Waits until it is told to join anew.
    pub(crate) async fn hears_of_a_rebalance(&mut self) {
        let body = value!({ group_id: &self.group, generation_id: self.generation, member_id: &self.id });
        until(&mut self.connection, (api::HEARTBEAT, 4), body, |answer| answer["error_code"] == 27).await;
    }

    /// The code of an OffsetCommit of one partition.
    pub(crate) async fn commits(&mut self, topic: &str, offset: i64) -> i16 {
        let partition = value!({ partition_index: 0, committed_offset: offset, committed_metadata: null });
        let body = value!({
            group_id: &self.group, generation_id_or_member_epoch: self.generation, member_id: &self.id,
            topics: [{ name: topic, partitions: [partition] }],
        });
        let answer = call(&mut self.connection, api::OFFSET_COMMIT, 9, body).await;
        code(&answer["topics"][0]["partitions"][0])
    }

    /// What is committed of one partition.
    pub(crate) async fn committed(&mut self, topic: &str) -> i64 {
        let topics = value!([{ name: topic, partition_indexes: [0] }]);
        let body = value!({ groups: [{ group_id: &self.group, member_epoch: -1, topics: topics }] });
        let answer = call(&mut self.connection, api::OFFSET_FETCH, 8, body).await;
        answer["groups"][0]["topics"][0]["partitions"][0]["committed_offset"].int()
    }

    /// Leaves: the code.
    pub(crate) async fn leaves(&mut self) -> i16 {
        let member = value!({ member_id: &self.id, group_instance_id: self.instance.as_deref() });
        let body = value!({ group_id: &self.group, members: [member] });
        code(&call(&mut self.connection, api::LEAVE_GROUP, 5, body).await["members"][0])
    }
}
