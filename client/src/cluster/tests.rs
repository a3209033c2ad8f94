//! How the cluster is reached when brokers are away, on tokio's paused clock.

use std::{io, sync::Mutex};

use super::*;
use crate::conn::transport::Address;

/// What was dialled, and when.
type Dials = Arc<Mutex<Vec<(String, Instant)>>>;

/// A cluster at `b:9092` where nobody ever answers, and when it was dialled.
fn unreachable(config: ClientConfig) -> (Cluster, Dials) {
    let dials = Dials::default();
    let noted = Arc::clone(&dials);
    let transport = Transport::new(move |address: Address| {
        noted.lock().unwrap().push((address.to_string(), Instant::now()));
        async { Err::<tokio::io::DuplexStream, _>(io::Error::from(io::ErrorKind::ConnectionRefused)) }
    });
    let bootstrap = vec![Address::parse("b:9092").unwrap()];
    (Cluster::new(bootstrap, transport, Arc::new(config)), dials)
}

async fn refresh_for(cluster: &Cluster, length: Duration) {
    let mut retry = Retry::until(Instant::now() + length, cluster.config().retry_backoff);
    while retry.pause().await {
        cluster.refresh([]).await.unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_is_dialled_with_growing_waits() {
    // reconnect.backoff.ms and reconnect.backoff.max.ms, with jitter (KIP-144, KIP-580).
    let (cluster, dials) = unreachable(ClientConfig { retry_backoff: cheap(), ..ClientConfig::default() });
    refresh_for(&cluster, Duration::from_secs(30)).await;
    let at: Vec<_> = dials.lock().unwrap().iter().map(|(_, at)| *at).collect();
    let gaps: Vec<_> = at.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
    for (gap, expected) in gaps.iter().zip([50, 100, 200, 400, 800, 1000, 1000, 1000]) {
        assert!((expected * 8 / 10..=expected * 12 / 10 + 20).contains(gap), "{expected}: {gaps:?}");
    }
    assert!(gaps.windows(2).any(|pair| pair[0] != pair[1]), "without jitter all clients come back at once: {gaps:?}");
}

/// So little that only the waits of the connection are seen.
fn cheap() -> crate::retry::Backoff {
    crate::retry::Backoff { initial: Duration::from_millis(1), maximum: Duration::from_millis(1) }
}

#[tokio::test(start_paused = true)]
async fn trap_118_brokers_that_stay_away_are_forgotten_and_the_bootstrap_begins_again() {
    // KIP-1102: metadata.recovery.rebootstrap.trigger.ms.
    for (rebootstrap_after, forgotten) in [(Some(Duration::from_secs(300)), true), (None, false)] {
        let (cluster, dials) = unreachable(ClientConfig { rebootstrap_after, ..ClientConfig::default() });
        cluster.metadata().locate(7, Address::parse("gone:9092").unwrap());
        refresh_for(&cluster, Duration::from_secs(290)).await;
        assert_eq!(cluster.metadata().nodes().len(), 1, "not yet");
        refresh_for(&cluster, Duration::from_secs(20)).await;
        assert_eq!(cluster.metadata().nodes().is_empty(), forgotten);
        // With the strategy `none` the bootstrap addresses are for the beginning only.
        let dialled = |name: &str| dials.lock().unwrap().iter().any(|(address, _)| address.starts_with(name));
        assert_eq!((dialled("gone"), dialled("b:")), (true, forgotten));
    }
}
