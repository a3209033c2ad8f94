//! The broker under test: the mock, or a real Kafka when `KAFKA_BOOTSTRAP=host:port[,host:port]` says where one is.

use std::env;

use uuid::Uuid;

use crate::raw::{PATIENCE, Raw};

/// A broker to test. The same test passing on the mock and on a real Kafka proves that the rule is Kafka's.
#[derive(Debug)]
pub struct Broker {
    bootstrap: Vec<String>,
}

impl Broker {
    /// The Kafka that `KAFKA_BOOTSTRAP` names, if it does.
    #[must_use]
    pub fn real() -> Option<Self> {
        let bootstrap = env::var("KAFKA_BOOTSTRAP").ok()?;
        Some(Self { bootstrap: bootstrap.split(',').map(|address| address.trim().to_owned()).collect() })
    }

    /// The broker for one test.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[expect(clippy::unused_async, reason = "starting the mock awaits")]
    pub async fn for_test() -> Self {
        Self::real().expect("set KAFKA_BOOTSTRAP=host:port: the mock cannot be started from here yet")
    }

    /// `host:port` of the first node.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.bootstrap[0]
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

    /// Whether this is a real Kafka, whose clock and faults a test cannot steer.
    #[must_use]
    pub fn is_real(&self) -> bool {
        env::var_os("KAFKA_BOOTSTRAP").is_some()
    }
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
