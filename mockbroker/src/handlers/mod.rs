//! One file per API: wire types in, wire types out. The table is closed and in key order; the ApiVersions answer is
//! computed from it, so the broker cannot advertise what it does not serve.

use kafka_protocol::error::ResponseError;

use crate::error::Close;
use crate::time::Timestamp;
use crate::types::{ConnectionId, NodeId, PartitionId, Ticket, TopicId};

/// What a handler knows besides the state and the request.
#[derive(Debug)]
pub(crate) struct Ctx<'a> {
    /// The time of the request on the broker's clock.
    pub(crate) now: Timestamp,
    /// The node that got the request.
    pub(crate) node: NodeId,
    /// The connection it came on.
    pub(crate) connection: ConnectionId,
    /// The version of the request, which is that of the answer.
    pub(crate) version: i16,
    /// The client id in the request's header; null is "".
    pub(crate) client_id: &'a str,
    /// What is to be done once the request is answered, in this order.
    pub(crate) effects: &'a mut Vec<Effect>,
}

/// What the engine does after a handler has run, outside of the handler's own answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    /// Data or offsets of the partition moved: held fetches look again.
    PartitionMoved(TopicId, PartitionId),
    /// Creates the topic a moment *after* the answer (auto-creation, internal topics), as Kafka's controller does.
    CreateTopic(String),
}

/// What a handler says.
#[derive(Debug)]
pub(crate) enum Answer<R> {
    /// The answer, at once.
    Now(R),
    /// The answer comes when something happens; the ticket is for it.
    Later(Ticket),
    /// There is no answer to this request (Produce with acks=0).
    Never,
    /// The connection ends.
    Close(Close),
}

/// Which versions of an API this broker serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Api {
    /// The lowest version that is served.
    pub(crate) min: i16,
    /// The highest version that is served.
    pub(crate) max: i16,
}

impl Api {
    /// An API served from version `min` to `max`. Both are checked against what the codec knows when this is compiled.
    pub(crate) const fn new<R: kafka_protocol::protocol::Message>(min: i16, max: i16) -> Self {
        assert!(min <= max && min >= R::VERSIONS.min && max <= R::VERSIONS.max, "the codec lacks a version");
        Self { min, max }
    }
}

/// The code of an outcome as the wire has it: 0 for none.
pub(crate) fn code(outcome: Option<ResponseError>) -> i16 {
    outcome.map_or(0, |error| error.code())
}
