//! How a connection begins: any async function from an address to a stream.
//!
//! TCP is the default; proxies and the in-memory streams of tests are other such functions. TLS comes on top of any of them.

use std::{fmt, future::Future, io, sync::Arc};

use futures::future::BoxFuture;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
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
