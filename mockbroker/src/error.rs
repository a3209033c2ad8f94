//! Why the broker did not start, and why a connection ends without an answer.

use std::fmt;
use std::net::SocketAddr;

/// Why a broker could not be started. Each text says what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be listened on.
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A setting of the builder or a property has no meaning as given.
    Setting(String),
    /// There is no tokio runtime to run on.
    NoRuntime,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { address, source } if source.kind() == std::io::ErrorKind::AddrInUse => {
                write!(f, "{address} is in use: stop what listens there, or choose another port (0 takes a free one)")
            }
            Self::Bind { address, source } => write!(f, "cannot listen on {address}: {source}"),
            Self::Setting(text) => f.write_str(text),
            Self::NoRuntime => {
                f.write_str("no tokio runtime here: call this from async code, or use mockbroker::blocking::MockBroker")
            }
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind { source, .. } => Some(source),
            Self::Setting(_) | Self::NoRuntime => None,
        }
    }
}

/// Why a connection is closed instead of answered, as Kafka does with what it cannot answer. It is logged, never sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Close(pub(crate) String);

impl Close {
    /// Closes because of `reason`, a clause that reads well after "closed: ".
    pub(crate) fn because(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
