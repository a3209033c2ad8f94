//! A line to the broker that keeps what passes on it, with the time.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use async_kafka::{Address, Kafka, KafkaBuilder};
use mockbroker::{Connector, MemoryStream, MockBroker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// What has passed on all connections, in its order.
#[derive(Clone, Default)]
pub(super) struct Record(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    began: Option<Instant>,
    connections: u32,
    passed: Vec<Passed>,
}

/// Bytes that passed at a time.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) millis: u128,
    pub(super) connection: u32,
    pub(super) what: What,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum What {
    Dialled(String),
    Refused,
    Sent(Vec<u8>),
    Received(Vec<u8>),
    Ended,
}

impl Record {
    /// A client of `broker` whose connections are kept in the record.
    pub(super) fn client(&self, broker: &MockBroker) -> KafkaBuilder {
        let (record, connector) = (self.clone(), broker.connector());
        Kafka::builder(broker.bootstrap_servers()).dial(move |address| record.clone().dial(connector.clone(), address))
    }

    async fn dial(self, connector: Connector, address: Address) -> io::Result<Line> {
        let connection = {
            let mut kept = self.0.lock().expect("not poisoned");
            kept.connections += 1;
            kept.connections
        };
        self.keep(connection, What::Dialled(address.to_string()));
        match connector.connect(&address.host, address.port).await {
            Ok(stream) => Ok(Line { stream, record: self, connection }),
            Err(error) => {
                self.keep(connection, What::Refused);
                Err(error)
            }
        }
    }

    /// All of it.
    pub(super) fn passed(&self) -> Vec<Passed> {
        self.0.lock().expect("not poisoned").passed.clone()
    }

    fn keep(&self, connection: u32, what: What) {
        let mut kept = self.0.lock().expect("not poisoned");
        let now = Instant::now();
        let began = *kept.began.get_or_insert(now);
        kept.passed.push(Passed { millis: (now - began).as_millis(), connection, what });
    }
}

impl std::fmt::Display for Passed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ms, connection {}: ", self.millis, self.connection)?;
        match &self.what {
            What::Dialled(address) => write!(f, "dialled {address}"),
            What::Refused => f.write_str("refused"),
            What::Sent(bytes) => write!(f, "sent {}", bytes.escape_ascii()),
            What::Received(bytes) => write!(f, "received {}", bytes.escape_ascii()),
            What::Ended => f.write_str("ended"),
        }
    }
}

/// A connection that is kept in a record.
pub(super) struct Line {
    stream: MemoryStream,
    record: Record,
    connection: u32,
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buf);
        if read.is_ready() {
            let bytes = &buf.filled()[before..];
            let what = if bytes.is_empty() { What::Ended } else { What::Received(bytes.to_vec()) };
            self.record.keep(self.connection, what);
        }
        read
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = &written {
            self.record.keep(self.connection, What::Sent(bytes[..*count].to_vec()));
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
