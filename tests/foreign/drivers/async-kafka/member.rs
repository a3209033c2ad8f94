//! A member of a group: our own client among foreign ones. `drivers/python/member.py` says how a member speaks.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_kafka::{
    Assignor, Consumer, ConsumerBuilder, GroupProtocol, Kafka, OffsetReset, Rebalance, RebalanceKind, Timestamp,
};
use tokio::sync::watch;

/// As the other members have it.
const HEARTBEAT: Duration = Duration::from_millis(500);
const LEAVE_LIMIT: Duration = Duration::from_secs(30);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    let given = |name: &str| {
        let place = arguments.iter().position(|argument| argument == &format!("--{name}"))?;
        arguments.get(place + 1).cloned()
    };
    let needed = |name: &str| given(name).unwrap_or_else(|| panic!("--{name} is missing"));
    let kafka = Kafka::builder(needed("bootstrap")).metadata_max_age(Duration::from_secs(1));
    let kafka = kafka.connect().await.expect("the broker answers");
    let session = Duration::from_millis(needed("session-ms").parse().expect("a number"));
    let mut builder = kafka.consumer(needed("group")).topics([needed("topic")]);
    builder = by_protocol(builder, &needed("protocol")).session_timeout(session).heartbeat_interval(HEARTBEAT);
    if let Some(instance) = given("instance") {
        builder = builder.group_instance_id(instance);
    }
    let owned: Arc<Mutex<BTreeSet<i32>>> = Arc::default();
    let builder = builder.auto_offset_reset(OffsetReset::Earliest).auto_commit_interval(None);
    let builder = builder.on_rebalance(move |event: Rebalance| {
        let mut owned = owned.lock().expect("no panic");
        for partition in event.partitions() {
            match event.kind() {
                RebalanceKind::Assigned => owned.insert(partition.partition),
                RebalanceKind::Revoked | RebalanceKind::Lost => owned.remove(&partition.partition),
            };
        }
        say("owns", &format!("{:?}", owned.iter().collect::<Vec<_>>()));
        async {}
    });
    let consumer = builder.build().await.expect("valid settings");
    let mut leaving = leaving();
    tokio::select! {
        () = read(&consumer) => {}
        _ = leaving.wait_for(|leaving| *leaving) => {}
    }
    consumer.close(LEAVE_LIMIT).await.expect("it leaves");
    say("left", "true");
}

fn by_protocol(builder: ConsumerBuilder, protocol: &str) -> ConsumerBuilder {
    match protocol {
        "consumer" => builder.group_protocol(GroupProtocol::Consumer),
        "range" => builder.assignors([Assignor::Range]),
        "roundrobin" => builder.assignors([Assignor::RoundRobin]),
        "sticky" => builder.assignors([Assignor::Sticky]),
        "cooperative-sticky" => builder.assignors([Assignor::CooperativeSticky]),
        other => panic!("this client does not speak {other}"),
    }
}

/// A batch is committed before the next one is asked for, so nothing is in hand when partitions go.
async fn read(consumer: &Consumer) {
    while let Some(batch) = consumer.next_batch().await.expect("no error") {
        let offsets: Vec<i64> = batch.records().map(|record| record.offset()).collect();
        let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else { continue };
        say("read", &format!("[{}, {first}, {last}]", batch.partition()));
        match consumer.commit(&batch).await {
            Ok(()) => say("committed", &format!("[{}, {}]", batch.partition(), batch.next_offset())),
            Err(error) => say("refused", &format!("{:?}", error.to_string())),
        }
    }
}

fn say(key: &str, value: &str) {
    println!("{{\"{key}\": {value}, \"at\": {}}}", Timestamp::now().as_millis());
}

/// True when stdin ends.
fn leaving() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        // An error is an end as well.
        let _ = std::io::stdin().read_to_end(&mut rest);
        sender.send_replace(true);
    });
    receiver
}
