//! What takes long takes no time.

use std::time::Duration;

use async_kafka::OffsetReset;
use mockbroker::{Fault, MockBroker, on_any};
use tokio::time::Instant;

use super::line::Record;
use super::simulate;

#[test]
fn a_session_of_45_seconds_ends_at_once_and_the_other_member_takes_over() {
    #[expect(clippy::disallowed_methods, reason = "what is measured is the real time")]
    let began = std::time::Instant::now();
    simulate(7, async {
        let broker = MockBroker::builder().in_memory().topic("t", 2).start().await;
        let record = Record::default();
        let member = async |client_id: &str| {
            let kafka = record.client(&broker).client_id(client_id).connect().await.expect("the mock answers");
            let consumer = kafka.consumer("g").topics(["t"]).auto_offset_reset(OffsetReset::Earliest);
            consumer.session_timeout(Duration::from_secs(45)).build().await.expect("valid settings")
        };
        let (stays, dies) = (member("stays").await, member("dies").await);
        while stays.assignment().len() != 1 || dies.assignment().len() != 1 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // It is not heard of any longer.
        let from = Instant::now();
        let silenced = broker.fault(on_any().client_id("dies")).before_apply(Fault::Silence).mount();
        while stays.assignment().len() != 2 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        drop(silenced);
        let took = from.elapsed();
        assert!(took >= Duration::from_secs(40) && took < Duration::from_secs(60), "{took:?} of virtual time");
    });
    let took = began.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?} of real time");
}
