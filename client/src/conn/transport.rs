//! How a connection begins: any async function from an address to a stream.
//!
//! TCP is the default; proxies and the in-memory streams of tests are other such functions. TLS comes on top of any of them.

use std::{fmt, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use futures::{
    future::BoxFuture,
    stream::{FuturesUnordered, StreamExt},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::sleep,
};

#[cfg(feature = "tls")]
use super::tls::Connector;
use crate::error::{CloseReason, Error, Result};
#[cfg(feature = "tls")]
use crate::security::Tls;

/// A stream of bytes to a broker.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// Where a broker is to be found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// A name, or an IP address without brackets.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
}

impl Address {
    /// Reads `host:port`, with `[...]` around an IPv6 address, as in `bootstrap.servers`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let problem = || Error::config("bootstrap", format!("has {text:?}, which is not host:port"));
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(problem)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if host.is_empty() || (bare.is_none() && host.contains(':')) {
            return Err(problem());
        }
        let port = port.parse().map_err(|_| problem())?;
        Ok(Self { host: bare.unwrap_or(host).into(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

/// How a TLS record of an alert begins, read as the length of a frame: type 21, version 3 (RFC 8446, section 5.1).
const TLS_ALERT: std::ops::RangeInclusive<i64> = 0x1503_0000..=0x1503_ffff;

type Dial = dyn Fn(Address) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> + Send + Sync;

/// The function that dials, and what is laid over its streams.
#[derive(Clone)]
pub(crate) struct Transport {
    dial: Arc<Dial>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<Connector>>,
}

impl Transport {
    /// TCP with `TCP_NODELAY`: frames are gathered by us, so waiting for more to send only adds latency. Names are resolved
    /// at every attempt and all their addresses are tried (KIP-302), see [`first_connected`].
    pub(crate) fn tcp() -> Self {
        Self::new(|address: Address| async move {
            let found = lookup_host((&*address.host, address.port)).await?.collect();
            let stream = first_connected(found, TcpStream::connect).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        })
    }

    pub(crate) fn new<F, Fut, S>(dial: F) -> Self
    where
        F: Fn(Address) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: Stream,
    {
        let dial: Arc<Dial> = Arc::new(move |address| {
            let stream = dial(address);
            Box::pin(async move { Ok(Box::new(stream.await?) as Box<dyn Stream>) })
        });
        Self {
            dial,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Encrypts every stream.
    #[cfg(feature = "tls")]
    pub(crate) async fn with_tls(mut self, tls: &Tls) -> Result<Self> {
        self.tls = Some(Arc::new(Connector::new(tls).await?));
        Ok(self)
    }

    fn is_encrypted(&self) -> bool {
        #[cfg(feature = "tls")]
        let encrypted = self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        let encrypted = false;
        encrypted
    }

    /// A stream that requests can be written to.
    pub(crate) async fn dial(&self, address: &Address) -> Result<Box<dyn Stream>> {
        let stream = (self.dial)(address.clone())
            .await
            .map_err(|source| Error::Connect { address: address.to_string().into(), source: Arc::new(source) })?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.connect(address, stream).await;
        }
        Ok(stream)
    }

    /// Says why a first request failed, where that is a matter of TLS.
    pub(crate) fn explain(&self, address: &Address, error: Error) -> Error {
        let Error::Disconnected { reason, .. } = &error else { return error };
        match reason {
            #[cfg(feature = "tls")]
            CloseReason::Io(source) => {
                let explained = self.tls.as_ref().and_then(|tls| tls.explain(address, source));
                explained.unwrap_or(error)
            }
            CloseReason::FrameTooLarge { announced_bytes, .. }
                if !self.is_encrypted() && TLS_ALERT.contains(announced_bytes) =>
            {
                let reason =
                    "the listener speaks TLS, and this client does not; use KafkaBuilder::tls (security.protocol)";
                Error::Tls { address: address.to_string().into(), reason: reason.into() }
            }
            _ => error,
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Transport")
    }
}

/// How long an address has before the next one is tried beside it (RFC 8305, section 8).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// The first stream that comes about. The addresses are begun in their order, the next one when one fails or takes its time:
/// one that answers nothing must not take the whole time that there is to connect.
async fn first_connected<S, Fut>(addresses: Vec<SocketAddr>, connect: impl Fn(SocketAddr) -> Fut) -> io::Result<S>
where
    Fut: Future<Output = io::Result<S>>,
{
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let (mut waiting, mut attempts) = (addresses.into_iter(), FuturesUnordered::new());
    loop {
        match waiting.next() {
            Some(address) => attempts.push(connect(address)),
            None if attempts.is_empty() => return Err(failed),
            None => {}
        }
        tokio::select! {
            Some(attempt) = attempts.next() => match attempt {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            },
            () = sleep(NEXT_ADDRESS_AFTER), if waiting.len() > 0 => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(count: u8) -> Vec<SocketAddr> {
        (1..=count).map(|last| SocketAddr::from(([127, 0, 0, last], 9092))).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn trap_118_an_address_that_answers_nothing_does_not_keep_the_others_from_being_tried() {
        let begun = tokio::time::Instant::now();
        let connect = |address: SocketAddr| async move {
            match address.ip().to_string().as_str() {
                "127.0.0.1" => std::future::pending().await,
                "127.0.0.2" => Err(io::ErrorKind::ConnectionRefused.into()),
                _ => Ok(address),
            }
        };
        assert_eq!(first_connected(addresses(3), connect).await.unwrap(), addresses(3)[2]);
        assert!(begun.elapsed() < 2 * NEXT_ADDRESS_AFTER, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_address_wins_if_it_is_only_slow() {
        let connect = |address: SocketAddr| async move {
            sleep(Duration::from_millis(if address == addresses(1)[0] { 300 } else { 600 })).await;
            Ok::<_, io::Error>(address)
        };
        assert_eq!(first_connected(addresses(2), connect).await.unwrap(), addresses(1)[0]);
    }

    #[tokio::test(start_paused = true)]
    async fn when_every_address_fails_the_last_error_is_said() {
        let refused = |_| async { Err::<(), _>(io::ErrorKind::ConnectionRefused.into()) };
        assert_eq!(first_connected(addresses(2), refused).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert!(first_connected(Vec::new(), refused).await.unwrap_err().to_string().contains("no address"));
    }

    #[test]
    fn an_address_is_read_and_printed_alike() {
        for text in ["b1:9092", "127.0.0.1:1", "[::1]:65535"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(&*Address::parse("[::1]:9092").unwrap().host, "::1");
        for text in ["b1", "b1:", ":9092", "::1:9092", "b1:99999", "b1:-1", ""] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}
