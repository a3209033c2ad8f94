//! How a connection begins: any async function from an address to a stream.
//!
//! TCP is the default. TLS, SASL and the in-memory streams of tests are other such functions, or come on top of one.

use std::{fmt, future::Future, io, sync::Arc};

use futures::future::BoxFuture;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use crate::error::{Error, Result};

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

type Dial = dyn Fn(Address) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> + Send + Sync;

/// The function that dials.
#[derive(Clone)]
pub(crate) struct Transport(Arc<Dial>);

impl Transport {
    /// TCP with `TCP_NODELAY`: frames are gathered by us, so waiting for more to send only adds latency. Names are resolved
    /// at every attempt and all their addresses are tried (KIP-302).
    pub(crate) fn tcp() -> Self {
        Self::new(|address: Address| async move {
            let stream = TcpStream::connect((&*address.host, address.port)).await?;
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
        Self(Arc::new(move |address| {
            let stream = dial(address);
            Box::pin(async move { Ok(Box::new(stream.await?) as Box<dyn Stream>) })
        }))
    }

    pub(crate) async fn dial(&self, address: Address) -> io::Result<Box<dyn Stream>> {
        (self.0)(address).await
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Transport")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
