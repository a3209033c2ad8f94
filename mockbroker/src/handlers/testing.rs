//! What the tests of handlers share: a state, and a call that also encodes the answer.

use std::net::{IpAddr, Ipv4Addr};

use kafka_protocol::protocol::{Encodable, StrBytes};

use super::{Answer, Ctx, Effect};
use crate::cluster::{Cluster, NewTopic, Node};
use crate::ids::IdSource;
use crate::state::State;
use crate::time::Timestamp;
use crate::types::{NodeId, TopicId, TopicName};

/// A cluster without sockets. The nodes are numbered from 1; node 1 gets the requests.
pub(super) struct Rig {
    pub(super) state: State,
    effects: Vec<Effect>,
}

impl Rig {
    pub(super) fn new(nodes: u16, properties: &[(&str, &str)]) -> Self {
        let node = |id: u16| Node::new(NodeId(i32::from(id)), "localhost".to_owned(), 9091 + id);
        let properties = properties.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let mut ids = IdSource::new(1);
        let cluster = Cluster::new((1..=nodes).map(node).collect(), &properties, &mut ids).unwrap();
        Self { state: State::new(cluster, ids), effects: Vec::new() }
    }

    /// Creates a topic with the replication factor of the cluster.
    pub(super) fn topic(&mut self, name: &str, partitions: i32) -> TopicId {
        let new = NewTopic { num_partitions: partitions, ..NewTopic::named(name) };
        let planned = self.state.cluster.plan_topic(&new, &mut self.state.ids).unwrap();
        self.state.create_topic(planned)
    }

    /// Creates a topic whose partitions have these replicas, the leader first.
    pub(super) fn topic_on(&mut self, name: &str, replicas: &[&[i32]]) -> TopicId {
        let assignments = (0..).zip(replicas).map(|(id, nodes)| (id, nodes.to_vec())).collect();
        let planned =
            self.state.cluster.plan_topic(&NewTopic { assignments, ..NewTopic::named(name) }, &mut self.state.ids);
        self.state.create_topic(planned.unwrap())
    }

    /// Whether the handler closes the connection.
    pub(super) fn closes<Request, Response>(
        &mut self,
        version: i16,
        handle: fn(&mut State, &mut Ctx<'_>, Request) -> Answer<Response>,
        request: Request,
    ) -> bool {
        matches!(handle(&mut self.state, &mut ctx(version, &mut self.effects), request), Answer::Close(_))
    }

    /// The answer of a handler that answers at once. It must encode at the version of the request.
    pub(super) fn call<Request, Response: Encodable>(
        &mut self,
        version: i16,
        handle: fn(&mut State, &mut Ctx<'_>, Request) -> Answer<Response>,
        request: Request,
    ) -> Response {
        let mut ctx = ctx(version, &mut self.effects);
        let Answer::Now(response) = handle(&mut self.state, &mut ctx, request) else { panic!("not answered at once") };
        encodes(&response, version);
        response
    }

    /// What the handlers asked for since the last time.
    pub(super) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }
}

fn ctx(version: i16, effects: &mut Vec<Effect>) -> Ctx<'_> {
    Ctx {
        now: Timestamp::from_millis(1_700_000_000_000),
        node: NodeId(1),
        version,
        client_id: "test",
        client_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        effects,
    }
}

/// The codec refuses a field that a version lacks.
pub(super) fn encodes(response: &impl Encodable, version: i16) {
    response.encode(&mut bytes::BytesMut::new(), version).unwrap_or_else(|error| panic!("v{version}: {error}"));
}

pub(super) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}
