//! A line between client and broker that breaks where a test wants: before a request reaches the broker, or after the broker
//! has answered it. It works with the mock and with a real Kafka, because it is the client that dials by it.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is forwarded, and so is its answer.
    Passes,
    /// The connection ends before the broker sees it.
    RequestLost,
    /// The broker handles it, and the connection ends in place of the answer.
    AnswerLost,
}

/// Decides about a request by its API key and the number of requests of that API before it, over all connections.
type Plan = dyn Fn(i16, usize) -> Fate + Send + Sync;

/// Lines that share a plan.
#[derive(Clone)]
pub struct Lines {
    plan: Arc<Plan>,
    /// Every request that came by: its API key, what became of it, and its length.
    seen: Arc<Mutex<Vec<(i16, Fate, usize)>>>,
}

impl Lines {
    /// Lines on which `plan` decides what is lost.
    pub fn new(plan: impl Fn(i16, usize) -> Fate + Send + Sync + 'static) -> Self {
        Self { plan: Arc::new(plan), seen: Arc::default() }
    }

    /// What became of the requests of an API, in the order in which they came by.
    #[must_use]
    pub fn seen(&self, api_key: i16) -> Vec<Fate> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|(key, ..)| *key == api_key).map(|(_, fate, _)| *fate).collect()
    }

    /// How long the requests of an API were, in the order in which they came by.
    #[must_use]
    pub fn lengths(&self, api_key: i16) -> Vec<usize> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|(key, ..)| *key == api_key).map(|(_, _, length)| *length).collect()
    }

    /// Connects to a broker.
    pub async fn dial(self, host: String, port: u16) -> io::Result<DuplexStream> {
        let broker = TcpStream::connect((host, port)).await?;
        broker.set_nodelay(true)?;
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        tokio::spawn(async move {
            // Either side may end the connection at any time; the end is all there is to tell.
            let _ = self.carry(theirs, broker).await;
        });
        Ok(ours)
    }

    fn decide(&self, api_key: i16, length: usize) -> Fate {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.iter().filter(|(key, ..)| *key == api_key).count();
        let fate = (self.plan)(api_key, before);
        seen.push((api_key, fate, length));
        fate
    }

    async fn carry(self, mut client: DuplexStream, mut broker: TcpStream) -> io::Result<()> {
        let (mut requests, mut answers) = (BytesMut::new(), BytesMut::new());
        let mut fates = VecDeque::new();
        loop {
            tokio::select! {
                read = client.read_buf(&mut requests) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    while let Some(frame) = frame(&mut requests) {
                        let fate = self.decide(i16::from_be_bytes([frame[4], frame[5]]), frame.len());
                        if fate == Fate::RequestLost {
                            return Ok(());
                        }
                        fates.push_back(fate);
                        broker.write_all(&frame).await?;
                    }
                }
                read = broker.read_buf(&mut answers) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    while let Some(frame) = frame(&mut answers) {
                        if fates.pop_front() == Some(Fate::AnswerLost) {
                            return Ok(());
                        }
                        client.write_all(&frame).await?;
                    }
                }
            }
        }
    }
}

/// Takes a whole frame, its length included, off the front.
fn frame(bytes: &mut BytesMut) -> Option<BytesMut> {
    let length = bytes.first_chunk::<4>().map(|length| (&length[..]).get_i32())?;
    let whole = 4 + usize::try_from(length).ok()?;
    (bytes.len() >= whole).then(|| bytes.split_to(whole))
}
