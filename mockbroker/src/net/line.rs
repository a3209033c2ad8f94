//! The line between a node and its clients, and what a test does to it: it is slow, narrow, or carries nothing.
//!
//! Without such a condition every call goes straight to the stream. With one, what arrives is kept until it is due, in both
//! directions, and so is what was under way when the last condition ended. Time is the broker's.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::engine::Engine;
use crate::time::Timestamp;

/// What is read from a stream at once.
const PIECE_BYTES: usize = 16 * 1024;
/// What may be under way in one direction before its sender has to wait.
const UNDER_WAY_BYTES: usize = 1024 * 1024;

/// A condition of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Nothing passes.
    Cut,
    /// Everything takes this much longer, in each direction.
    Latency(Duration),
    /// No more passes in a second, in each direction and of all connections together.
    BytesPerSecond(u64),
}

/// The conditions of the line to one node.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    is_steered: AtomicBool,
    present: Mutex<Present>,
}

#[derive(Debug, Default)]
struct Present {
    conditions: Vec<(u64, Condition)>,
    next_id: u64,
    /// When the line is free again, in each direction.
    free: [Timestamp; 2],
    /// Connections that wait for something to change.
    waiting: Vec<Waker>,
}

#[derive(Clone, Copy)]
enum Direction {
    In = 0,
    Out = 1,
}

impl Conditions {
    /// Adds a condition; its number ends it.
    pub(crate) fn begin(&self, condition: Condition) -> u64 {
        let mut present = self.lock();
        let id = present.next_id;
        present.next_id += 1;
        present.conditions.push((id, condition));
        self.is_steered.store(true, Ordering::Release);
        present.wake();
        id
    }

    /// Ends a condition.
    pub(crate) fn end(&self, id: u64) {
        let mut present = self.lock();
        present.conditions.retain(|(of, _)| *of != id);
        self.is_steered.store(!present.conditions.is_empty(), Ordering::Release);
        present.wake();
    }

    fn is_steered(&self) -> bool {
        self.is_steered.load(Ordering::Acquire)
    }

    fn is_cut(&self) -> bool {
        self.is_steered() && self.lock().conditions.iter().any(|(_, condition)| *condition == Condition::Cut)
    }

    /// When what starts now has arrived.
    fn arrival(&self, direction: Direction, size_bytes: usize, now: Timestamp) -> Timestamp {
        let mut present = self.lock();
        let narrowest = present.conditions.iter().filter_map(|(_, condition)| match condition {
            Condition::BytesPerSecond(rate) => Some(*rate),
            _ => None,
        });
        let mut at = now;
        if let Some(rate) = narrowest.min() {
            let millis = (size_bytes as u64).saturating_mul(1000).div_ceil(rate.max(1));
            let free = &mut present.free[direction as usize];
            *free = (*free).max(now) + Duration::from_millis(millis);
            at = *free;
        }
        present.conditions.iter().fold(at, |at, (_, condition)| match condition {
            Condition::Latency(length) => at + *length,
            _ => at,
        })
    }

    /// Wakes whoever polls now when a condition begins or ends.
    fn register(&self, context: &Context<'_>) {
        let mut present = self.lock();
        if !present.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            present.waiting.push(context.waker().clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Present {
    fn wake(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }
}

/// What is under way in one direction, with the time at which it is there.
#[derive(Debug, Default)]
struct UnderWay {
    pieces: VecDeque<(Timestamp, Bytes)>,
    size_bytes: usize,
}

impl UnderWay {
    fn push(&mut self, due: Timestamp, piece: Bytes) {
        // What follows does not overtake.
        let due = self.pieces.back().map_or(due, |(last, _)| due.max(*last));
        self.size_bytes += piece.len();
        self.pieces.push_back((due, piece));
    }

    fn due(&mut self, now: Timestamp) -> Option<&mut Bytes> {
        self.pieces.front_mut().filter(|(due, _)| *due <= now).map(|(_, piece)| piece)
    }

    /// Takes away the first bytes of what is there.
    fn advance(&mut self, count: usize) {
        let Some((_, piece)) = self.pieces.front_mut() else { return };
        piece.advance(count);
        self.size_bytes -= count;
        if piece.is_empty() {
            self.pieces.pop_front();
        }
    }
}

/// Wakes the task when something is due.
type Alarm = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A stream behind a line.
pub(super) struct Line<S> {
    stream: S,
    conditions: Arc<Conditions>,
    engine: Arc<Engine>,
    incoming: UnderWay,
    outgoing: UnderWay,
    /// How the stream ended, once everything before is read.
    end: Option<io::Result<()>>,
    alarm: Option<(Timestamp, Alarm)>,
}

impl<S> Line<S> {
    pub(super) fn new(stream: S, conditions: Arc<Conditions>, engine: Arc<Engine>) -> Self {
        let (incoming, outgoing) = (UnderWay::default(), UnderWay::default());
        Self { stream, conditions, engine, incoming, outgoing, end: None, alarm: None }
    }

    fn is_plain(&self) -> bool {
        !self.conditions.is_steered()
            && self.incoming.pieces.is_empty()
            && self.outgoing.pieces.is_empty()
            && self.end.is_none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    /// Moves everything as far as it may go, and sees to it that the task is woken when it may go further.
    fn pump(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        self.conditions.register(context);
        loop {
            self.take_in(context);
            let is_cut = self.conditions.is_cut();
            if !is_cut {
                self.put_out(context)?;
            }
            let fronts = [&self.incoming, &self.outgoing].into_iter().filter_map(|way| way.pieces.front());
            let now = self.engine.now();
            let next = fronts.map(|(due, _)| *due).filter(|due| *due > now).min();
            let Some(next) = next.filter(|_| !is_cut) else {
                self.alarm = None;
                return Ok(());
            };
            if self.alarm.as_ref().is_none_or(|(at, _)| *at != next) {
                let engine = Arc::clone(&self.engine);
                self.alarm = Some((next, Box::pin(async move { drop(engine.sleep_until(next).await) })));
            }
            let Some((_, alarm)) = &mut self.alarm else { return Ok(()) };
            if alarm.as_mut().poll(context).is_pending() {
                return Ok(());
            }
            self.alarm = None;
        }
    }

    fn take_in(&mut self, context: &mut Context<'_>) {
        while self.end.is_none() && self.incoming.size_bytes < UNDER_WAY_BYTES {
            let mut piece = [0; PIECE_BYTES];
            let mut read = ReadBuf::new(&mut piece);
            match Pin::new(&mut self.stream).poll_read(context, &mut read) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {
                    let piece = Bytes::copy_from_slice(read.filled());
                    let due = self.conditions.arrival(Direction::In, piece.len(), self.engine.now());
                    self.incoming.push(due, piece);
                }
                Poll::Ready(ended) => self.end = Some(ended),
            }
        }
    }

    fn put_out(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let now = self.engine.now();
        while let Some(piece) = self.outgoing.due(now) {
            match Pin::new(&mut self.stream).poll_write(context, piece) {
                Poll::Pending => break,
                Poll::Ready(written) => self.outgoing.advance(written?),
            }
        }
        Ok(())
    }

    fn send(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.pump(context)?;
        if self.outgoing.size_bytes >= UNDER_WAY_BYTES {
            return Poll::Pending;
        }
        let bytes = &bytes[..bytes.len().min(PIECE_BYTES)];
        let due = self.conditions.arrival(Direction::Out, bytes.len(), self.engine.now());
        self.outgoing.push(due, Bytes::copy_from_slice(bytes));
        self.pump(context)?;
        Poll::Ready(Ok(bytes.len()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Line<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.is_plain() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(context, buf))?;
            // A condition that began while nothing came holds for what comes now.
            if !this.conditions.is_steered() || buf.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
            let piece = Bytes::copy_from_slice(&buf.filled()[before..]);
            buf.set_filled(before);
            let due = this.conditions.arrival(Direction::In, piece.len(), this.engine.now());
            this.incoming.push(due, piece);
        }
        this.pump(context)?;
        if this.conditions.is_cut() {
            return Poll::Pending;
        }
        let now = this.engine.now();
        if let Some(piece) = this.incoming.due(now) {
            let count = piece.len().min(buf.remaining());
            buf.put_slice(&piece[..count]);
            this.incoming.advance(count);
            return Poll::Ready(Ok(()));
        }
        match this.end.take() {
            Some(ended) if this.incoming.pieces.is_empty() => {
                this.end = Some(Ok(()));
                Poll::Ready(ended)
            }
            ended => {
                this.end = ended;
                Poll::Pending
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.is_plain() { Pin::new(&mut this.stream).poll_write(context, bytes) } else { this.send(context, bytes) }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.is_plain() {
            return Pin::new(&mut this.stream).poll_write_vectored(context, pieces);
        }
        let first = pieces.iter().find(|piece| !piece.is_empty());
        first.map_or(Poll::Ready(Ok(0)), |piece| this.send(context, piece))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.is_plain() {
            this.pump(context)?;
            if !this.outgoing.pieces.is_empty() {
                return Poll::Pending;
            }
        }
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S> fmt::Debug for Line<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("conditions", &self.conditions).finish_non_exhaustive()
    }
}
