//! One connection: read, handle, write, in that order, one request at a time as Kafka does.
//!
//! Requests that have already arrived are handled before their answers are written together; nothing waits in here while
//! a request is parked but the detection that the peer has gone.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::ProduceRequest;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::receive::{End, Frame, Receiver};
use super::recycler::Recycler;
use super::registry::Registration;
use crate::engine::quiet::Due;
use crate::engine::steering::{self, Afterwards, Finish, Until};
use crate::engine::{Engine, Origin, Outcome};
use crate::error::Close;
use crate::handlers::editing::corrupt_answer;
use crate::handlers::table::{self, Incoming, Request, Response};
use crate::types::NodeId;
use crate::wire::outgoing::Outgoing;
use crate::wire::request::RequestHeader;

/// Answers are gathered up to this many bytes while further requests are at hand.
const WRITE_AT_BYTES: usize = 256 * 1024;

/// A batch that is less than this part of its request is kept as a copy: it would pin the memory of the whole.
const PINS_AT_MOST: usize = 4;

/// One connection and all it needs.
#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    engine: Arc<Engine>,
    origin: Origin,
    registration: Registration,
    receiver: Receiver,
    outgoing: Outgoing,
    /// The number in the journal of the request that waits.
    waiting: Option<u64>,
    /// How it ended by itself.
    end: Option<End>,
    /// What is written fell due by the clock, or by what another has done.
    due: Option<Due>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(
        stream: S,
        node: NodeId,
        client: SocketAddr,
        engine: Arc<Engine>,
        registration: Registration,
        recycler: Arc<Recycler>,
    ) -> Self {
        let max_frame_bytes = engine.read(|state| state.cluster.settings().socket_request_max_bytes);
        let origin = Origin { node, connection: registration.id, client_address: client.ip() };
        engine.connection_opened(registration.id, node, client);
        let receiver = Receiver::new(max_frame_bytes, recycler);
        Self {
            stream,
            engine,
            origin,
            registration,
            receiver,
            outgoing: Outgoing::default(),
            waiting: None,
            end: None,
            due: None,
        }
    }

    /// Serves the connection until it ends.
    pub(super) async fn run(mut self) {
        self.end = Some(self.serve().await);
    }

    async fn serve(&mut self) -> End {
        loop {
            if let Err(end) = self.one_request().await {
                return end;
            }
        }
    }

    async fn one_request(&mut self) -> Result<(), End> {
        let frame = match self.receiver.buffered() {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                self.write_out().await?;
                self.receiver.next(&mut self.stream).await?
            }
            Err(close) => return self.close(close).await,
        };
        let handled = self.take(&frame);
        // What waits pins no memory but what it needs.
        drop(frame);
        match handled {
            Ok(None) if self.waiting.is_some() => self.engine.record_no_answer(self.waiting.take()),
            Ok(None) => {}
            Ok(Some((header, outcome))) => {
                self.write_out().await?;
                self.answer_later(&header, outcome).await?;
            }
            Err(close) => return self.close(close).await,
        }
        if self.outgoing.len() >= WRITE_AT_BYTES {
            self.write_out().await?;
        }
        Ok(())
    }

    /// Handles one request, and tells the journal.
    fn take(&mut self, frame: &Frame) -> Result<Option<(RequestHeader, Outcome)>, Close> {
        let (now, mark) = (self.engine.now(), self.outgoing.mark());
        self.registration.active(now);
        let handled = self.handle(frame);
        let answer = self.outgoing.frame_since(mark);
        self.waiting = self.engine.record(self.origin.connection, now, &frame.bytes, answer);
        handled
    }

    /// Handles one request; what is answered at once is in `outgoing`, what has to wait is returned.
    fn handle(&mut self, frame: &Frame) -> Result<Option<(RequestHeader, Outcome)>, Close> {
        let (header, mut request) = match table::decode(&frame.bytes)? {
            Incoming::Request(header, request) => (header, request),
            Incoming::UnknownApiVersions(header) => {
                table::encode_unknown_api_versions(&header, &mut self.outgoing)?;
                return Ok(None);
            }
        };
        if let Request::Produce(request) = &mut request {
            make_fit_to_keep(request, if frame.owns_memory { frame.bytes.len() } else { usize::MAX });
        }
        tracing::trace!(connection = self.origin.connection.0, ?header, "request");
        match self.engine.submit(self.origin, &header, request) {
            Outcome::Answer(response) => table::encode(&header, &response, &mut self.outgoing)?,
            Outcome::Nothing => {}
            Outcome::Close(close) => return Err(close),
            later => return Ok(Some((header, later))),
        }
        Ok(None)
    }

    /// Answers a request that has to wait, when it has waited.
    async fn answer_later(&mut self, header: &RequestHeader, outcome: Outcome) -> Result<(), End> {
        let (response, finish) = self.conclude(header, outcome).await?;
        let mark = self.outgoing.mark();
        if let Some(response) = response {
            table::encode(header, &response, &mut self.outgoing)?;
        }
        if let Some(Finish::Throttle(length)) = finish {
            table::say_throttled(header, length, mark, &mut self.outgoing);
        }
        if let Some(Finish::Partial(bytes)) = finish {
            self.outgoing.cut_frame(mark, bytes);
            let close = Close::because(format!("a fault sends only {bytes} bytes of the answer"));
            return self.close(close).await;
        }
        match self.outgoing.frame_since(mark) {
            Some(answer) => self.engine.record_answer(self.waiting.take(), answer),
            None => self.engine.record_no_answer(self.waiting.take()),
        }
        if let Some(Finish::Throttle(length)) = finish {
            self.write_out().await?;
            // KIP-219: the channel is muted; that its peer goes away is not noticed meanwhile.
            self.due = Some(self.engine.sleep_until(self.engine.now() + length).await);
        }
        Ok(())
    }

    /// Waits for whatever a request has to wait for; its answer, if it has one.
    async fn conclude(
        &mut self,
        header: &RequestHeader,
        outcome: Outcome,
    ) -> Result<(Option<Response>, Option<Finish>), End> {
        let (mut outcome, mut afterwards) = (outcome, None);
        let mut answer = loop {
            outcome = match outcome {
                Outcome::Answer(response) => break Some(response),
                Outcome::Nothing => break None,
                Outcome::Close(close) => return Err(End::Ours(close)),
                Outcome::Late(outcome, length) => {
                    let engine = Arc::clone(&self.engine);
                    self.due = self.unless_gone(engine.hold(&Until::Time(engine.now() + length))).await?;
                    *outcome
                }
                Outcome::Silent => self.unless_gone(std::future::pending()).await?,
                Outcome::Parked(mut pending) => {
                    let answer = self.unless_gone(pending.answer()).await?;
                    let (answer, due) = answer.ok_or_else(|| End::Ours(Close::because("the broker is shut down")))?;
                    self.due = Some(due);
                    break Some(answer);
                }
                Outcome::Held(held) => {
                    let engine = Arc::clone(&self.engine);
                    self.due = self.unless_gone(engine.hold(&held.until)).await?;
                    engine.resume(self.origin, header, *held)
                }
                Outcome::Steered(outcome, then) => {
                    afterwards = Some(*then);
                    *outcome
                }
            };
        };
        let engine = Arc::clone(&self.engine);
        let until = match afterwards {
            None => return Ok((answer, None)),
            Some(Afterwards::Replace(other)) => return Ok((Some(other), None)),
            Some(Afterwards::Edit(edit)) => {
                let edited = answer.map(|answer| steering::edited(answer, &edit)).transpose()?;
                return Ok((edited, None));
            }
            Some(Afterwards::CorruptRecords) => {
                answer.iter_mut().for_each(corrupt_answer);
                return Ok((answer, None));
            }
            Some(Afterwards::Partial(bytes)) => return Ok((answer, Some(Finish::Partial(bytes)))),
            Some(Afterwards::Throttle(length)) => return Ok((answer, Some(Finish::Throttle(length)))),
            Some(Afterwards::Close(close)) => return Err(End::Ours(close)),
            Some(Afterwards::Silence) => return self.unless_gone(std::future::pending()).await,
            Some(Afterwards::Delay(length)) => Until::Time(engine.now() + length),
            Some(Afterwards::Wait(until)) => until,
        };
        self.due = self.unless_gone(engine.hold(&until)).await?;
        Ok((answer, None))
    }

    /// Waits for `what`, or for the peer to go away.
    async fn unless_gone<T>(&mut self, what: impl Future<Output = T>) -> Result<T, End> {
        // What fell due has come to wait for something else.
        self.due = None;
        let mut what = std::pin::pin!(what);
        loop {
            tokio::select! {
                biased;
                done = &mut what => return Ok(done),
                more = self.receiver.more(&mut self.stream), if self.receiver.has_room() => more?,
            }
        }
    }

    async fn write_out(&mut self) -> Result<(), End> {
        let mut due = self.due.take();
        let mut write = std::pin::pin!(self.stream.write_all_buf(&mut self.outgoing));
        let written = poll_fn(|context| {
            let written = write.as_mut().poll(context);
            // A client that does not read is not waited for.
            due = None;
            written
        });
        written.await.map_err(End::Broken)
    }

    /// Writes the answers to the requests before the one that ends the connection.
    async fn close(&mut self, close: Close) -> Result<(), End> {
        self.write_out().await?;
        Err(End::Ours(close))
    }
}

/// Says why it ended: here, because a connection that the broker ends is dropped wherever it is.
impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        let connection = self.origin.connection;
        let (close, why) = match self.end.take() {
            Some(End::Peer) => (None, "the client closed it".to_owned()),
            Some(End::Broken(error)) => (None, format!("it broke: {error}")),
            Some(End::Ours(close)) => {
                tracing::warn!(connection = connection.0, "closed: {close}");
                let why = format!("closed: {close}");
                (Some(close), why)
            }
            None => {
                let why = self.registration.doom().to_owned();
                (Some(Close::because(why.clone())), why)
            }
        };
        tracing::debug!(connection = connection.0, "ended: {why}");
        match close {
            Some(close) => self.engine.record_close(self.waiting, &close),
            None => self.engine.record_gone(self.waiting),
        }
        self.engine.connection_closed(connection, &why);
    }
}

/// Sees to it that what the log keeps of `request` does not pin much more memory than it is.
fn make_fit_to_keep(request: &mut ProduceRequest, memory_bytes: usize) {
    let data = request.topic_data.iter_mut().flat_map(|topic| &mut topic.partition_data);
    for records in data.filter_map(|data| data.records.as_mut()) {
        if records.len() < memory_bytes / PINS_AT_MOST {
            *records = Bytes::copy_from_slice(records);
        }
    }
}
