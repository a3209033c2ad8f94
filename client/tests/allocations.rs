//! What is given out is read where it was fetched: a record costs no allocation. The allocator counts each thread by itself, and
//! nothing else runs on this one while it counts.

use async_kafka::{AssignedConsumer, Kafka, Offset};
use futures::FutureExt;
use mockbroker::{MockBroker, SeedBatch, SeedRecord};
use tokio::task::unconstrained;

const RECORDS: usize = 1_000;

/// A consumer of a topic with so many batches of [`RECORDS`] records.
async fn consumer(batches: usize) -> (MockBroker, AssignedConsumer) {
    let broker = MockBroker::builder().topic("orders", 1).start().await;
    for _ in 0..batches {
        let records = (0..RECORDS).map(|number| {
            let record = SeedRecord::value(format!("an order of no great length, {number}"));
            record.key(format!("customer {number}")).header("source", "a shop")
        });
        broker.topic("orders").partition(0).write(SeedBatch::of(records));
    }
    let kafka = Kafka::builder(broker.bootstrap_servers()).connect().await.expect("the broker listens");
    let consumer =
        kafka.assigned_consumer().assign("orders", 0, Offset::Earliest).build().await.expect("the partition is there");
    (broker, consumer)
}

#[tokio::test]
async fn a_record_that_borrows_its_batch_allocates_nothing() {
    let (_broker, consumer) = consumer(1).await;
    let batch = consumer.next_batch().await.unwrap().unwrap();
    let (mut records, mut bytes) = (0, 0);
    let counted = allocation_counter::measure(|| {
        for record in batch.records() {
            let fields = [record.key(), record.value(), record.headers().next().and_then(|(_, value)| value)];
            bytes += fields.into_iter().map(|field| field.unwrap().len()).sum::<usize>();
            records += 1;
        }
    });
    assert_eq!((records, counted.count_total), (RECORDS, 0), "{counted:?}");
    assert!(bytes > 40 * RECORDS);
    // That the counter counts.
    let counted = allocation_counter::measure(|| batch.records().for_each(|record| drop(record.to_record().detach())));
    assert!(counted.count_total >= RECORDS as u64, "{counted:?}");
}

#[tokio::test]
async fn a_record_of_its_own_shares_what_was_fetched() {
    let (_broker, consumer) = consumer(1).await;
    // The first one opens the batch.
    consumer.recv().await.unwrap().unwrap();
    let counted = allocation_counter::measure(|| {
        for offset in 1..RECORDS {
            let record = unconstrained(consumer.recv()).now_or_never().expect("it was fetched").unwrap().unwrap();
            assert_eq!(record.offset(), offset as i64);
            assert!(record.value_bytes().is_some());
        }
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

#[tokio::test]
async fn a_batch_costs_a_few_allocations_whatever_is_in_it() {
    const BATCHES: usize = 10;
    let (_broker, consumer) = consumer(BATCHES).await;
    // All of them are in the first answer.
    consumer.next_batch().await.unwrap().unwrap();
    let mut records = 0;
    let counted = allocation_counter::measure(|| {
        for _ in 1..BATCHES {
            let batch = unconstrained(consumer.next_batch()).now_or_never().expect("it was fetched").unwrap().unwrap();
            records += batch.records().count();
        }
    });
    assert_eq!(records, (BATCHES - 1) * RECORDS);
    assert!(counted.count_total <= 2 * BATCHES as u64, "{counted:?}");
}
