//! Which broker coordinates a group or a transactional id, asked once and asked again when it turns out to be another one.

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;
use kafka_protocol::{messages::FindCoordinatorRequest, protocol::StrBytes};

use super::{CallError, Cluster, Connection, Lane, metadata::address};
use crate::{
    codes::ErrorCode,
    error::{Error, Result},
    wire::versions::Api,
};

/// The first version that asks for many keys at once (KIP-699).
const BATCHED: i16 = 4;

/// What has a coordinator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Coordinated {
    /// A group, by its id.
    Group(Arc<str>),
    /// A transactional id.
    Transaction(Arc<str>),
}

impl Coordinated {
    /// `FindCoordinatorRequest.CoordinatorType`.
    fn key_type(&self) -> i8 {
        match self {
            Self::Group(_) => 0,
            Self::Transaction(_) => 1,
        }
    }

    fn key(&self) -> &Arc<str> {
        match self {
            Self::Group(key) | Self::Transaction(key) => key,
        }
    }
}

/// What is known of coordinators.
#[derive(Debug, Default)]
pub(crate) struct Coordinators {
    found: DashMap<Coordinated, i32>,
}

impl Cluster {
    /// The broker that coordinates something. One that was found before is believed until it is forgotten. Dropping the
    /// future is safe.
    pub(crate) async fn coordinator(&self, of: &Coordinated) -> Result<i32> {
        let coordinators = &self.inner.coordinators;
        if let Some(node_id) = coordinators.found.get(of).map(|node_id| *node_id) {
            return Ok(node_id);
        }
        let answer = self.call_any_made(|version| request(of, version)).await?;
        // Up to v3 the one coordinator stands by itself.
        let (code, message, node_id, at) = match answer.coordinators.first() {
            Some(found) => (found.error_code, &found.error_message, found.node_id.0, address(&found.host, found.port)),
            None => (answer.error_code, &answer.error_message, answer.node_id.0, address(&answer.host, answer.port)),
        };
        match at {
            Some(at) if code == 0 && node_id >= 0 => {
                self.metadata().locate(node_id, at);
                coordinators.found.insert(of.clone(), node_id);
                Ok(node_id)
            }
            _ => Err(Error::Server {
                api: FindCoordinatorRequest::NAME,
                topic: None,
                partition: None,
                code: match ErrorCode::from_number(code) {
                    ErrorCode::None => ErrorCode::CoordinatorNotAvailable,
                    code => code,
                },
                message: message.as_ref().map(|message| message.as_str().into()),
            }),
        }
    }

    /// The coordinator that was found is not it, or does not answer.
    pub(crate) fn forget_coordinator_of(&self, of: &Coordinated) {
        self.inner.coordinators.found.remove(of);
    }

    /// [`Cluster::forget_coordinator_of`] a group.
    pub(crate) fn forget_coordinator(&self, group: &str) {
        self.forget_coordinator_of(&Coordinated::Group(group.into()));
    }

    /// Sends a request to the coordinator of a group. Dropping the future: see
    /// [`Connection::call`](crate::cluster::Connection::call).
    pub(crate) async fn call_coordinator<A: Api>(
        &self,
        lane: &Lane,
        group: &Arc<str>,
        make: impl FnOnce(i16) -> A,
        limit: Duration,
    ) -> Result<A::Response> {
        Ok(self.call_coordinator_of(&Coordinated::Group(Arc::clone(group)), lane, make, i16::MAX, limit).await?)
    }

    /// Sends a request to a coordinator, in a version of at most `cap`.
    pub(crate) async fn call_coordinator_of<A: Api>(
        &self,
        of: &Coordinated,
        lane: &Lane,
        make: impl FnOnce(i16) -> A,
        cap: i16,
        limit: Duration,
    ) -> Result<A::Response, CallError> {
        let answer = match self.connect_coordinator(of, lane).await {
            Ok(connection) => match connection.version::<A>(cap) {
                Ok(version) => connection.call_capped(&make(version), version, limit).await,
                Err(error) => Err(CallError::not_written(error)),
            },
            Err(error) => Err(CallError::not_written(error)),
        };
        if let Err(failed) = &answer
            && matches!(failed.error, Error::Connect { .. } | Error::Disconnected { .. } | Error::Timeout { .. })
        {
            self.forget_coordinator_of(of);
        }
        answer
    }

    /// The connection to a coordinator, found and dialled if need be. Dropping the future is safe.
    pub(crate) async fn connect_coordinator(&self, of: &Coordinated, lane: &Lane) -> Result<Connection> {
        let node_id = self.coordinator(of).await?;
        self.connect(lane, node_id).await
    }
}

fn request(of: &Coordinated, version: i16) -> FindCoordinatorRequest {
    let request = FindCoordinatorRequest::default().with_key_type(of.key_type());
    let key = StrBytes::from_string(of.key().to_string());
    match version {
        BATCHED.. => request.with_coordinator_keys(vec![key]),
        _ => request.with_key(key),
    }
}
