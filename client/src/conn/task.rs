//! The task of one connection: it alone reads, writes, and knows what is in flight.
//!
//! Brokers answer in the order of the requests (`SocketServer` reads the next request when the last is answered), so what
//! is in flight is a queue, and an answer that is not for its front ends the connection. A request that times out ends the
//! connection as well, as in Java's `NetworkClient.handleTimedOutRequests`: whatever stands behind it would come later still.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Buf;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::{mpsc, oneshot},
    time::{Instant, Sleep, sleep_until},
};

use super::{
    Answer, CallError,
    session::{self, Progress, Session},
    transport::Stream,
};
use crate::{
    config::ClientConfig,
    error::{CloseReason, Error, Written},
    wire::{
        frame::{FrameReader, Outgoing},
        message::EncodedRequest,
    },
};

/// What handles tell the task.
#[derive(Debug)]
pub(crate) enum Command {
    /// Send this.
    Request { request: EncodedRequest, expect: Expect, limit: Duration, answer: oneshot::Sender<Answer> },
    /// Send nothing for so long (KIP-219).
    Mute(Duration),
    /// The login is good for a time, and has to be made again before that is over.
    #[cfg_attr(not(feature = "sasl"), expect(dead_code, reason = "there are no logins"))]
    Session(Session),
}

/// Whether a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// It is.
    Answer,
    /// It is not (Produce with acks=0): it is done when it is written.
    Nothing,
}

#[derive(Debug)]
struct InFlight {
    correlation_id: i32,
    /// Where the request begins and ends in all the bytes of the connection.
    start: u64,
    end: u64,
    deadline: Instant,
    limit: Duration,
    answer: oneshot::Sender<Answer>,
}

pub(crate) struct Task {
    reading: ReadHalf<Box<dyn Stream>>,
    writing: WriteHalf<Box<dyn Stream>>,
    reader: FrameReader,
    outgoing: Outgoing,
    commands: mpsc::UnboundedReceiver<Command>,
    /// Requests that will be answered, oldest first.
    in_flight: VecDeque<InFlight>,
    /// Requests that are done when they are written, oldest first.
    unanswered: VecDeque<InFlight>,
    /// All bytes that were put into `outgoing` so far.
    queued_bytes: u64,
    next_correlation_id: i32,
    muted_until: Option<Instant>,
    session: Option<Session>,
    /// The request that found the session to be over, while the login is made again.
    held: Option<Command>,
    last_used: Instant,
    /// No handle is left: finish what is in flight, then end.
    draining: bool,
    /// How many requests were answered: the first of them is ApiVersions, which any listener answers.
    answered: u64,
    address: Arc<str>,
    config: Arc<ClientConfig>,
    ended: Arc<OnceLock<CloseReason>>,
}

impl Task {
    /// How many frames are gathered before they are written.
    const GATHER: usize = 32;

    pub(crate) fn new(
        stream: Box<dyn Stream>,
        address: Arc<str>,
        commands: mpsc::UnboundedReceiver<Command>,
        config: Arc<ClientConfig>,
        ended: Arc<OnceLock<CloseReason>>,
    ) -> Self {
        let (reading, writing) = tokio::io::split(stream);
        Self {
            reading,
            writing,
            reader: FrameReader::new(config.max_frame_bytes),
            outgoing: Outgoing::default(),
            commands,
            in_flight: VecDeque::new(),
            unanswered: VecDeque::new(),
            queued_bytes: 0,
            next_correlation_id: 0,
            muted_until: None,
            session: None,
            held: None,
            last_used: Instant::now(),
            draining: false,
            answered: 0,
            address,
            config,
            ended,
        }
    }

    pub(crate) async fn run(mut self) {
        let reason = self.serve().await;
        tracing::debug!(address = %self.address, %reason, "connection closed");
        self.close(&reason);
    }

    async fn serve(&mut self) -> CloseReason {
        let mut timer = Box::pin(sleep_until(self.next_deadline()));
        loop {
            if self.draining && self.in_flight.is_empty() && self.held.is_none() && !self.outgoing.has_remaining() {
                return CloseReason::ByClient;
            }
            let takes_commands = self.takes_commands();
            // In an order of its own, so that the same run does the same. Nothing starves: the timer is set anew when it has
            // fired, answers end when no request is written, a request is written before another one is taken.
            let event = tokio::select! {
                biased;
                () = &mut timer => Event::Deadline,
                read = self.reading.read_buf(&mut self.reader.buffer) => Event::Read(read),
                written = self.writing.write_all_buf(&mut self.outgoing), if self.outgoing.has_remaining() => {
                    Event::Written(written)
                }
                command = self.commands.recv(), if takes_commands => Event::Command(command),
                progress = Session::progress(&mut self.session) => Event::Login(progress),
            };
            if let Err(reason) = self.on_event(event, &mut timer) {
                return reason;
            }
        }
    }

    fn on_event(&mut self, event: Event, timer: &mut Pin<Box<Sleep>>) -> Result<(), CloseReason> {
        match event {
            Event::Read(Ok(0)) => return Err(self.closed_by_broker()),
            Event::Read(Ok(_)) => self.on_bytes()?,
            Event::Read(Err(error)) | Event::Written(Err(error)) => return Err(CloseReason::Io(Arc::new(error))),
            Event::Written(Ok(())) => self.on_written(),
            Event::Command(None) => self.draining = true,
            Event::Command(Some(command)) => self.on_commands(command),
            Event::Login(progress) => self.on_login(progress)?,
            Event::Deadline => {
                self.on_deadline(Instant::now())?;
                timer.as_mut().reset(self.next_deadline());
                return Ok(());
            }
        }
        // A deadline that moved away is found when the timer fires; only an earlier one needs the timer now.
        if matches!(self.newest_deadline(), Some(newest) if newest < timer.deadline()) {
            timer.as_mut().reset(self.next_deadline());
        }
        Ok(())
    }

    fn takes_commands(&self) -> bool {
        !self.draining
            && self.held.is_none()
            && self.muted_until.is_none()
            && self.in_flight.len() < self.config.max_in_flight
            && self.unanswered.len() < self.config.max_in_flight
    }

    /// A broker has no other way to say that it wants a login than to close the connection at the first request.
    fn closed_by_broker(&self) -> CloseReason {
        if self.answered == 1 && !self.in_flight.is_empty() { CloseReason::Unanswered } else { CloseReason::ByBroker }
    }

    fn on_login(&mut self, progress: Progress) -> Result<(), CloseReason> {
        match progress {
            Progress::Send(Command::Request { request, expect, limit, answer }) => {
                self.send(request, expect, limit, answer);
            }
            // A login sends requests only; a throttle is for what comes after it.
            Progress::Send(Command::Mute(time)) => self.muted_until = Some(Instant::now() + time),
            Progress::Send(Command::Session(_)) => {}
            Progress::Over(Err(error)) => return Err(session::ended(error)),
            Progress::Over(Ok(lifetime)) => {
                tracing::debug!(address = %self.address, ?lifetime, "logged in again");
                match (&mut self.session, lifetime) {
                    (Some(session), Some(lifetime)) => session.renew(lifetime),
                    _ => self.session = None,
                }
                if let Some(command) = self.held.take() {
                    self.on_commands(command);
                }
            }
        }
        Ok(())
    }

    /// Takes one command and whatever else is ready, so that their frames leave in one write.
    fn on_commands(&mut self, first: Command) {
        if let Some(session) = self.session.as_mut().filter(|session| session.is_due()) {
            session.begin(&self.address, &self.ended);
            self.held = Some(first);
            return;
        }
        let mut next = Some(first);
        for _ in 0..Self::GATHER {
            match next {
                Some(Command::Request { request, expect, limit, answer }) => self.send(request, expect, limit, answer),
                Some(Command::Mute(time)) => self.muted_until = Some(Instant::now() + time),
                Some(Command::Session(session)) => self.session = Some(session),
                None => return,
            }
            if !self.takes_commands() {
                return;
            }
            next = self.commands.try_recv().ok();
        }
        match next {
            Some(Command::Request { request, expect, limit, answer }) => self.send(request, expect, limit, answer),
            Some(Command::Mute(time)) => self.muted_until = Some(Instant::now() + time),
            Some(Command::Session(session)) => self.session = Some(session),
            None => {}
        }
    }

    fn send(&mut self, request: EncodedRequest, expect: Expect, limit: Duration, answer: oneshot::Sender<Answer>) {
        if answer.is_closed() {
            // Nobody waits any more and no byte was written: the request never happened.
            return;
        }
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id = correlation_id.wrapping_add(1) & i32::MAX;
        let frame = request.into_frame(correlation_id);
        let start = self.queued_bytes;
        self.queued_bytes += frame.length as u64;
        self.outgoing.push(frame);
        self.last_used = Instant::now();
        let deadline = self.last_used + limit;
        let request = InFlight { correlation_id, start, end: self.queued_bytes, deadline, limit, answer };
        match expect {
            Expect::Answer => self.in_flight.push_back(request),
            Expect::Nothing => self.unanswered.push_back(request),
        }
    }

    fn on_bytes(&mut self) -> Result<(), CloseReason> {
        while let Some(mut frame) = self.reader.next_frame()? {
            let received = frame.try_get_i32().unwrap_or(-1);
            let expected = self.in_flight.front().map(|request| request.correlation_id);
            if expected != Some(received) {
                return Err(CloseReason::UnexpectedCorrelationId { expected, received });
            }
            let request = self.in_flight.pop_front().expect("its correlation id was just compared");
            // A waiter that is gone does not want its answer; the frame has been read away all the same.
            let _ = request.answer.send(Ok(Some(frame)));
            self.last_used = Instant::now();
            self.answered += 1;
        }
        Ok(())
    }

    fn on_written(&mut self) {
        let written = self.written_bytes();
        while self.unanswered.front().is_some_and(|request| request.end <= written) {
            let request = self.unanswered.pop_front().expect("there is a front");
            let _ = request.answer.send(Ok(None));
        }
    }

    fn written_bytes(&self) -> u64 {
        self.queued_bytes - self.outgoing.remaining() as u64
    }

    fn on_deadline(&mut self, now: Instant) -> Result<(), CloseReason> {
        if self.muted_until.is_some_and(|until| until <= now) {
            self.muted_until = None;
        }
        let late = self.in_flight.iter().chain(&self.unanswered).find(|request| request.deadline <= now);
        if let Some(request) = late {
            return Err(CloseReason::RequestTimedOut(request.limit));
        }
        if self.is_idle() && self.last_used + self.config.connections_max_idle <= now {
            return Err(CloseReason::Idle);
        }
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.unanswered.is_empty() && self.held.is_none()
    }

    /// The earliest instant at which `on_deadline` has something to do.
    fn next_deadline(&self) -> Instant {
        let requests = self.in_flight.iter().chain(&self.unanswered).map(|request| request.deadline);
        let idle = self.last_used + self.config.connections_max_idle;
        requests.chain(self.muted_until).min().unwrap_or(idle)
    }

    /// The deadlines that the last event can have added.
    fn newest_deadline(&self) -> Option<Instant> {
        // A gathered command adds at the back, and the shortest of those added may be any of them.
        let recent = |queue: &VecDeque<InFlight>| {
            queue.iter().rev().take(Self::GATHER + 1).map(|request| request.deadline).min()
        };
        [recent(&self.in_flight), recent(&self.unanswered), self.muted_until].into_iter().flatten().min()
    }

    /// Tells everybody who waits, and whether their request may have reached the broker.
    fn close(mut self, reason: &CloseReason) {
        let _ = self.ended.set(reason.clone());
        self.commands.close();
        let written_bytes = self.written_bytes();
        let error = Error::Disconnected { address: Arc::clone(&self.address), reason: reason.clone() };
        for request in self.in_flight.drain(..).chain(self.unanswered.drain(..)) {
            let seen = request.start < written_bytes;
            let written = if seen { Written::MaybeWritten } else { Written::NotWritten };
            let _ = request.answer.send(Err(CallError { error: error.clone(), written }));
        }
        let held = self.held.take();
        for command in held.into_iter().chain(std::iter::from_fn(|| self.commands.try_recv().ok())) {
            if let Command::Request { answer, .. } = command {
                let _ = answer.send(Err(CallError::not_written(error.clone())));
            }
        }
    }
}

enum Event {
    Read(std::io::Result<usize>),
    Written(std::io::Result<()>),
    Command(Option<Command>),
    Login(Progress),
    Deadline,
}
