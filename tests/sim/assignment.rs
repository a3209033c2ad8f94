//! A partition that goes and comes back while the first look for where to begin in it is still under way.

use std::time::Duration;

use async_kafka::{Assignor, Backoff, OffsetReset, Record as NewRecord};
use mockbroker::{ApiKey, Fault, MockBroker, on};

use super::line::Record;
use super::simulate;

const UNSTABLE_OFFSET_COMMIT: i16 = 88;
const RECORDS: usize = 20;

/// The history checker's seed 155: the late answer took the position back to the committed offset.
#[test]
fn an_answer_to_an_assignment_that_is_over_moves_nothing() {
    simulate(155, async {
        let broker = MockBroker::builder().in_memory().config("group.initial.rebalance.delay.ms", "0");
        let broker = broker.topic("t", 1).start().await;
        let record = Record::default();
        let member = async |client_id: &str| {
            // So long the first look waits before it asks again.
            let backoff = Duration::from_secs(20);
            let kafka = record.client(&broker).client_id(client_id);
            let kafka = kafka.retry_backoff(Backoff { initial: backoff, maximum: backoff });
            let kafka = kafka.connect().await.expect("the mock answers");
            let consumer = kafka.consumer("g").topics(["t"]).auto_offset_reset(OffsetReset::Earliest);
            let consumer = consumer.assignors([Assignor::Range]).session_timeout(Duration::from_secs(45));
            consumer.auto_commit_interval(None).build().await.expect("valid settings")
        };
        let refused = broker.fault(on(ApiKey::OffsetFetch).client_id("a").nth(1));
        let refused = refused.after_apply(Fault::Error(UNSTABLE_OFFSET_COMMIT)).mount();
        let stays = member("a").await;
        refused.wait(1).await;
        // Another member comes, and what "a" has goes and comes back.
        let other = member("b").await;
        broker.group("g").wait_stable(2).await;
        other.close(Duration::from_secs(30)).await.expect("closed");
        broker.group("g").wait_stable(1).await;

        let kafka = record.client(&broker).connect().await.expect("the mock answers");
        let producer = kafka.producer().build().await.expect("valid settings");
        let mut seen = Vec::new();
        for number in 0..RECORDS {
            let sent = producer.send_all([NewRecord::to("t").value(number.to_string())]).await;
            sent.into_iter().for_each(|sent| drop(sent.expect("acknowledged")));
            let read = stays.recv().await.expect("no error").expect("open");
            seen.push(read.offset());
            // The first look asks again in one of these seconds.
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        assert_eq!(seen, (0..RECORDS as i64).collect::<Vec<_>>(), "each once");
    });
}
