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

#[cfg(test)]
mod tests {
    use kafka_protocol::error::ResponseError;

    #[test]
    fn every_error_that_can_be_answered_has_the_number_and_the_name_that_kafka_gives_it() {
        // Source: fixtures/kafka/error_codes.txt, printed by Kafka 4.3.1. The codec has the names without underscores.
        let kafka = include_str!("../../fixtures/kafka/error_codes.txt");
        let rows = kafka.lines().filter(|line| !line.starts_with('#'));
        let plain = |name: &str| name.replace('_', "").to_lowercase();
        let mut codes = Vec::new();
        for row in rows {
            let cells: Vec<_> = row.split('\t').collect();
            let code: i16 = cells[0].parse().unwrap();
            let ours = ResponseError::try_from_code(code).map_or("NONE".to_owned(), |error| error.to_string());
            assert_eq!(plain(&ours), plain(cells[1]), "code {code}");
            codes.push(code);
        }
        assert_eq!(codes, Vec::from_iter(-1..=133));
        // What comes after has no name, so nothing can be answered that Kafka does not have.
        for code in 134..=i16::MAX {
            assert_eq!(ResponseError::try_from_code(code), Some(ResponseError::Unknown(code)));
        }
    }
}
