//! A connection to one broker: many requests in flight, answers matched to them, and a reason when it ends.
//!
//! [`Connection`] is the handle; [`task`] is the one task that owns the stream. A connection is only handed out after
//! ApiVersions (KIP-35) and the login, so every handle knows what its broker speaks. Requests go out in the order in which
//! [`Connection::submit`] was called, which is a plain function for that reason.

#[cfg(feature = "sasl")]
mod sasl;
#[cfg(feature = "sasl")]
mod scram;
mod session;
pub(crate) mod task;
#[cfg(feature = "tls")]
mod tls;
pub(crate) mod transport;

use std::{
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use kafka_protocol::{
    messages::{ApiVersionsRequest, ApiVersionsResponse},
    protocol::StrBytes,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};

use self::{
    task::{Command, Expect, Task},
    transport::{Address, Transport},
};
use crate::{
    codes::ErrorCode,
    config::ClientConfig,
    error::{CloseReason, Error, Result, Written},
    metrics::Recorder,
    wire::{
        message::{EncodedRequest, decode_response},
        versions::{Api, BrokerVersions},
    },
};

/// A request that failed, and whether the broker may have seen it.
#[derive(Clone, Debug)]
pub(crate) struct CallError {
    pub(crate) error: Error,
    pub(crate) written: Written,
}

impl CallError {
    pub(crate) fn not_written(error: Error) -> Self {
        Self { error, written: Written::NotWritten }
    }
}

impl From<CallError> for Error {
    fn from(failed: CallError) -> Self {
        failed.error
    }
}

/// A handle to a connection. The connection ends when its last handle is gone and what is in flight is answered.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    line: Line,
    versions: Arc<BrokerVersions>,
    config: Arc<ClientConfig>,
    target: Address,
    recorder: Arc<Recorder>,
}

/// The way to the task, which exists before the versions are known.
#[derive(Clone, Debug)]
struct Line {
    address: Arc<str>,
    commands: mpsc::UnboundedSender<Command>,
    ended: Arc<OnceLock<CloseReason>>,
}

impl Connection {
    /// Dials, starts the connection's task, agrees on versions and logs in, all within `connection_setup_timeout`.
    ///
    /// Dropping the future closes what was opened.
    pub(crate) async fn open(
        target: Address,
        transport: &Transport,
        config: &Arc<ClientConfig>,
        recorder: &Arc<Recorder>,
    ) -> Result<Self> {
        let limit = config.connection_setup_timeout;
        let address: Arc<str> = target.to_string().into();
        let opened = timeout(limit, async {
            let mut ask = ApiVersionsRequest::MAX;
            let (line, versions) = loop {
                let stream = transport.dial(&target).await?;
                let line = Line::start(stream, Arc::clone(&address), config, Arc::clone(recorder));
                match negotiate(&line, config, ask).await {
                    Ok(versions) => break (line, versions),
                    // Not every broker refuses a version that it does not know: some close (Azure Event Hubs). v0 is what all know.
                    Err(Error::Disconnected { reason: CloseReason::ByBroker, .. }) if ask > 0 => ask = 0,
                    Err(error) => return Err(transport.explain(&target, error)),
                }
            };
            let (config, recorder) = (Arc::clone(config), Arc::clone(recorder));
            let connection = Self { line, versions: Arc::new(versions), config, target: target.clone(), recorder };
            #[cfg(feature = "sasl")]
            connection.log_in().await?;
            Ok(connection)
        });
        opened.await.unwrap_or(Err(Error::Timeout { what: "connecting to a broker", limit }))
    }

    /// Logs in, if the program said as whom, and tells the task when that has to be done again.
    #[cfg(feature = "sasl")]
    async fn log_in(&self) -> Result<()> {
        let Some(sasl) = self.config.sasl.clone() else { return Ok(()) };
        let (versions, limit) = (Arc::clone(&self.versions), self.config.connection_setup_timeout);
        let client_id: Arc<str> = self.config.client_id.as_str().into();
        let log_in: session::LogIn = Arc::new(move |line| {
            let (sasl, versions, client_id) = (sasl.clone(), Arc::clone(&versions), Arc::clone(&client_id));
            Box::pin(sasl::log_in(line, sasl, versions, client_id, limit))
        });
        if let Some(lifetime) = log_in(self.line.clone()).await? {
            let _ = self.line.commands.send(Command::Session(session::Session::new(log_in, lifetime)));
        }
        Ok(())
    }

    /// Whether requests can still be sent.
    pub(crate) fn is_open(&self) -> bool {
        !self.line.commands.is_closed()
    }

    /// Whether two handles are of one connection.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.line.ended, &other.line.ended)
    }

    /// The address that was dialled.
    pub(crate) fn target(&self) -> &Address {
        &self.target
    }

    /// The highest version of an API that the broker and we speak, at most `cap`.
    pub(crate) fn version<A: Api>(&self, cap: i16) -> Result<i16> {
        self.versions.choose::<A>(&self.line.address, cap)
    }

    /// The level at which the cluster has finalised a feature; 0 if it has not.
    pub(crate) fn finalized_level(&self, feature: &str) -> i16 {
        self.versions.finalized_level(feature)
    }

    /// The name that requests on this connection carry.
    pub(crate) fn client_id(&self) -> &str {
        &self.config.client_id
    }

    /// Sends a request and waits for its answer, with the client's request timeout.
    ///
    /// Dropping the future takes the request back if no byte of it was sent; otherwise its answer is read and discarded.
    pub(crate) async fn call<A: Api>(&self, request: &A) -> Result<A::Response, CallError> {
        self.call_capped(request, i16::MAX, self.config.request_timeout).await
    }

    /// [`Connection::call`] with a highest version and a time limit of its own.
    pub(crate) async fn call_capped<A: Api>(
        &self,
        request: &A,
        cap: i16,
        limit: Duration,
    ) -> Result<A::Response, CallError> {
        let version = self.version::<A>(cap).map_err(CallError::not_written)?;
        let encoded = EncodedRequest::new(request, version, &self.config.client_id).map_err(CallError::not_written)?;
        self.submit::<A>(encoded, version, Expect::Answer, limit)
            .await
            .map(|answer| answer.expect("a request that expects an answer is completed by one"))
    }

    /// [`Connection::call`] for a request that is said differently at some versions, with a time limit of its own.
    pub(crate) async fn call_made<A: Api>(
        &self,
        make: impl FnOnce(i16) -> A,
        limit: Duration,
    ) -> Result<A::Response, CallError> {
        let version = self.version::<A>(i16::MAX).map_err(CallError::not_written)?;
        self.call_capped(&make(version), version, limit).await
    }

    /// Puts a request in line. What was submitted first is written first.
    pub(crate) fn submit<A: Api>(
        &self,
        request: EncodedRequest,
        version: i16,
        expect: Expect,
        limit: Duration,
    ) -> Pending<A> {
        self.recorder.sent((A::KEY, A::NAME), request.len());
        Pending {
            answer: self.line.submit(request, expect, limit),
            line: self.line.clone(),
            version,
            measured: Some((Instant::now(), Arc::clone(&self.recorder))),
            api: PhantomData,
        }
    }
}

impl Line {
    fn start(
        stream: Box<dyn transport::Stream>,
        address: Arc<str>,
        config: &Arc<ClientConfig>,
        recorder: Arc<Recorder>,
    ) -> Self {
        let (commands, receiver) = mpsc::unbounded_channel();
        let ended = Arc::new(OnceLock::new());
        let task = Task::new(stream, Arc::clone(&address), receiver, Arc::clone(config), Arc::clone(&ended));
        recorder.connection_opened(&address);
        let (peer, why) = (Arc::clone(&address), Arc::clone(&ended));
        tokio::spawn(async move {
            task.run().await;
            recorder.connection_closed(&peer, why.get().cloned().unwrap_or(CloseReason::ByClient));
        });
        Self { address, commands, ended }
    }

    fn submit(&self, request: EncodedRequest, expect: Expect, limit: Duration) -> oneshot::Receiver<Answer> {
        let (sender, answer) = oneshot::channel();
        // When the task is gone the command comes back and its sender is dropped, which `Pending` reads as closed.
        let _ = self.commands.send(Command::Request { request, expect, limit, answer: sender });
        answer
    }

    /// Sends a request at a version and waits for its answer. For those by which a connection begins.
    #[cfg(feature = "sasl")]
    async fn call<A: Api>(
        &self,
        request: &A,
        version: i16,
        client_id: &str,
        limit: Duration,
    ) -> Result<A::Response, CallError> {
        let encoded = EncodedRequest::new(request, version, client_id).map_err(CallError::not_written)?;
        let answer = self.submit(encoded, Expect::Answer, limit);
        let pending = Pending::<A> { answer, line: self.clone(), version, measured: None, api: PhantomData };
        pending.await.map(|answer| answer.expect("a request that expects an answer is completed by one"))
    }

    fn closed(&self) -> Error {
        let reason = self.ended.get().cloned().unwrap_or(CloseReason::ByClient);
        Error::Disconnected { address: Arc::clone(&self.address), reason }
    }
}

/// What the task says to a request: the answer's bytes after the correlation id, or `None` when none was expected.
type Answer = Result<Option<Bytes>, CallError>;

/// A request that is in line or in flight. Resolves to the decoded answer, or `None` for a request without one.
#[derive(Debug)]
pub(crate) struct Pending<A> {
    answer: oneshot::Receiver<Answer>,
    line: Line,
    version: i16,
    /// When it was submitted and where to count it, unless it is part of a login.
    measured: Option<(Instant, Arc<Recorder>)>,
    /// Names the API without holding one, so that the future is `Send` and `Unpin` whatever the API is.
    api: PhantomData<fn() -> A>,
}

impl<A: Api> Pending<A> {
    fn answered(&self, bytes: usize) {
        if let Some((submitted_at, recorder)) = &self.measured {
            recorder.answered((A::KEY, A::NAME), bytes, submitted_at.elapsed());
        }
    }

    fn failed(&self, error: &Error) {
        if let Some((_, recorder)) = &self.measured {
            recorder.failed((A::KEY, A::NAME), &self.line.address, error);
        }
    }
}

impl<A: Api> Future for Pending<A> {
    type Output = Result<Option<A::Response>, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answered = ready!(Pin::new(&mut self.answer).poll(context));
        let Ok(answer) = answered else {
            // The command never reached the task.
            let error = self.line.closed();
            self.failed(&error);
            return Poll::Ready(Err(CallError::not_written(error)));
        };
        let body = match answer {
            Ok(Some(body)) => body,
            Ok(None) => {
                self.answered(0);
                return Poll::Ready(Ok(None));
            }
            Err(failed) => {
                self.failed(&failed.error);
                return Poll::Ready(Err(failed));
            }
        };
        let received_bytes = body.len();
        Poll::Ready(match decode_response::<A>(self.version, body) {
            Ok(response) => {
                self.answered(received_bytes);
                if let Ok(throttle @ 1..) = u64::try_from(A::throttle_time_ms(&response)) {
                    let length = Duration::from_millis(throttle);
                    if let Some((_, recorder)) = &self.measured {
                        recorder.throttled((A::KEY, A::NAME), &self.line.address, length);
                    }
                    let _ = self.line.commands.send(Command::Mute(length));
                }
                Ok(Some(response))
            }
            // The broker has seen the request; what it did is unreadable.
            Err(error) => {
                self.failed(&error);
                Err(CallError { error, written: Written::MaybeWritten })
            }
        })
    }
}

/// Asks a broker what it speaks, at a version. A broker that does not know our version of ApiVersions answers in v0 and names the ones it
/// knows (KIP-511).
async fn negotiate(line: &Line, config: &ClientConfig, first: i16) -> Result<BrokerVersions> {
    let mut version = first;
    for _ in 0..2 {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("async-kafka"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let encoded = EncodedRequest::new(&request, version, &config.client_id)?;
        let answer = line.submit(encoded, Expect::Answer, config.connection_setup_timeout).await;
        let body = answer.unwrap_or_else(|_| Err(CallError::not_written(line.closed())))?.unwrap_or_default();
        let refused = body.first_chunk::<2>() == Some(&ErrorCode::UnsupportedVersion.number().to_be_bytes());
        let response = decode_response::<ApiVersionsRequest>(if refused { 0 } else { version }, body)?;
        if !refused {
            return match response.error_code {
                0 => Ok(BrokerVersions::new(&response)),
                code => Err(Error::server(ApiVersionsRequest::NAME, code)),
            };
        }
        version = fallback(&response).choose::<ApiVersionsRequest>(&line.address, version - 1)?;
    }
    Err(Error::server(ApiVersionsRequest::NAME, ErrorCode::UnsupportedVersion.number()))
}

/// The versions in a refusal. Brokers before 2.4 send an empty list and mean v0.
fn fallback(refusal: &ApiVersionsResponse) -> BrokerVersions {
    if refusal.api_keys.is_empty() {
        let only_v0 = kafka_protocol::messages::api_versions_response::ApiVersion::default()
            .with_api_key(ApiVersionsRequest::KEY);
        return BrokerVersions::new(&ApiVersionsResponse::default().with_api_keys(vec![only_v0]));
    }
    BrokerVersions::new(refusal)
}

#[cfg(test)]
mod tests;
