//! The broker under test: the mock, or a real Kafka when `KAFKA_BOOTSTRAP=host:port[,host:port]` says where one is.

use std::env;

use mockbroker::MockBroker;
use uuid::Uuid;

use crate::raw::{PATIENCE, Raw};

/// A broker to test. The same test passing on the mock and on a real Kafka proves that the rule is Kafka's.
#[derive(Debug)]
pub struct Broker {
    bootstrap: Vec<String>,
    /// Alive for as long as the test; `None` if the broker is a real Kafka.
    mock: Option<MockBroker>,
}

impl Broker {
    /// The Kafka that `KAFKA_BOOTSTRAP` names, if it does.
    #[must_use]
    pub fn real() -> Option<Self> {
        let bootstrap = env::var("KAFKA_BOOTSTRAP").ok()?;
        Some(Self { bootstrap: addresses(&bootstrap), mock: None })
    }

    /// The broker for one test: the real Kafka if there is one, else a mock of its own.
    ///
    /// # Panics
    ///
    /// If the mock does not start.
    pub async fn for_test() -> Self {
        match Self::real() {
            Some(real) => real,
            None => Self::mock(MockBroker::start().await),
        }
    }

    /// A mock that the test has shaped.
    #[must_use]
    pub fn mock(mock: MockBroker) -> Self {
        Self { bootstrap: addresses(mock.bootstrap_servers()), mock: Some(mock) }
    }

    /// `host:port` of the first node.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.bootstrap[0]
    }

    /// `host:port` of every node, by id.
    #[must_use]
    pub fn nodes(&self) -> &[String] {
        &self.bootstrap
    }

    /// What a client takes as its bootstrap servers.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.bootstrap.join(",")
    }

    /// A raw connection to the first node.
    pub async fn connect(&self) -> Raw {
        Raw::connect(self.address()).await
    }

    /// The mock, where this is one: its clock and faults can be steered.
    #[must_use]
    pub fn steered(&self) -> Option<&MockBroker> {
        self.mock.as_ref()
    }

    /// Whether this is a real Kafka, whose clock and faults a test cannot steer.
    #[must_use]
    pub fn is_real(&self) -> bool {
        self.mock.is_none()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mock) = self.mock.take()
            && !std::thread::panicking()
        {
            mock.assert_healthy();
        }
    }
}

fn addresses(bootstrap: &str) -> Vec<String> {
    bootstrap.split(',').map(|address| address.trim().to_owned()).collect()
}

/// A name nobody else uses, in a cluster that outlives the test: `orders-1f0c…`.
#[must_use]
pub fn unique(prefix: &str) -> String {
    let number = Uuid::from_u128(fastrand::u128(..)).simple().to_string();
    format!("{prefix}-{}", &number[..12])
}

/// Lets the runtime run until `is_so`.
///
/// # Panics
///
/// If it is not so after [`PATIENCE`].
pub async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "waited {PATIENCE:?} until {what}");
}

/// Asks again until it is so: nodes of a real Kafka learn of changes a moment later.
///
/// # Panics
///
/// After twice [`PATIENCE`]: more than one node has its part in it.
pub async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let (limit, wait) = (2 * PATIENCE, async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    });
    assert!(tokio::time::timeout(limit, wait).await.is_ok(), "waited {limit:?} until {what}");
}
