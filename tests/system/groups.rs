//! Consumers that share a group: who reads what, what is committed, and what becomes of both when members come and go. On the
//! mock, or on a real Kafka with `KAFKA_BOOTSTRAP`. What members of consumer groups do
//! besides is in `groups_consumer`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_kafka::{
    Assignor, Consumer, ConsumerBuilder, Error, GroupProtocol, Offset, OffsetReset, PartitionStream, Rebalance,
    RebalanceKind, TopicPartition,
};
use system_tests::api::{
    CONSUMER_GROUP_HEARTBEAT, FIND_COORDINATOR, HEARTBEAT, JOIN_GROUP, OFFSET_COMMIT, OFFSET_FETCH, SYNC_GROUP,
};
use system_tests::line::{Fate, Lines};

use crate::group_world::{BOTH, LIMIT, Told, World, next, number, read, telling, until};

#[tokio::test]
async fn a_group_of_one_reads_everything_and_the_next_member_goes_on_where_it_closed() {
    for protocol in BOTH {
        let world = World::new(protocol, 3).await;
        world.produce(0..30).await;
        let first = world.consumer().await;
        assert_eq!(read(&first, 30).await, (0..30).collect());
        assert_eq!(first.assignment().len(), 3);
        first.close(LIMIT).await.expect("closed");
        assert_eq!(world.committed().await, [Some(10); 3]);
        world.produce(30..33).await;
        let second = world.consumer().await;
        assert_eq!(read(&second, 3).await, (30..33).collect());
        assert!(first.recv().await.expect("no error").is_none(), "a closed consumer is at its end");
    }
}

#[tokio::test]
async fn what_is_fetched_without_commit_comes_again() {
    // kafka-go: FetchMessage without CommitMessages.
    for protocol in BOTH {
        let world = World::new(protocol, 1).await;
        world.produce(0..5).await;
        let builder = || world.builder().auto_commit_interval(None);
        let first = builder().build().await.expect("valid settings");
        read(&first, 5).await;
        first.close(LIMIT).await.expect("closed");
        let second = builder().build().await.expect("valid settings");
        let mut records = Vec::new();
        for _ in 0..5 {
            records.push(second.recv().await.expect("no error").expect("open"));
        }
        second.commit_record(&records[2]).await.expect("committed");
        second.commit_record(&records[0]).await.expect("an older record changes nothing");
        second.close(LIMIT).await.expect("closed");
        assert_eq!(world.committed().await, [Some(3)]);
        let third = builder().build().await.expect("valid settings");
        assert_eq!(read(&third, 2).await, [3, 4].into());
    }
}

#[tokio::test]
async fn recv_and_commit_commits_each_record() {
    for protocol in BOTH {
        let world = World::new(protocol, 1).await;
        world.produce(0..3).await;
        let consumer = world.builder().auto_commit_interval(None).build().await.expect("valid settings");
        consumer.recv_and_commit().await.expect("no error").expect("open");
        assert_eq!(world.committed().await, [Some(1)]);
        let batch = consumer.next_batch().await.expect("no error").expect("open");
        consumer.commit(&batch).await.expect("committed");
        assert_eq!(world.committed().await, [Some(3)]);
    }
}

#[tokio::test]
async fn with_a_commit_interval_commits_do_not_wait_and_are_done_a_moment_later() {
    // kafka-go: CommitInterval.
    for protocol in BOTH {
        let lines = Lines::new(|_, _| Fate::Passes);
        let world = World::on(protocol, 1, &lines).await;
        world.produce(0..10).await;
        let consumer =
            world.builder().commit_interval(Duration::from_millis(100)).build().await.expect("valid settings");
        let mut records = Vec::new();
        for _ in 0..5 {
            records.push(consumer.recv().await.expect("no error").expect("open"));
        }
        for record in [&records[0], &records[2], &records[1]] {
            consumer.commit_record(record).await.expect("noted");
        }
        until("the latest is committed", async || world.committed().await == [Some(3)]).await;
        assert_eq!(lines.seen(OFFSET_COMMIT).len(), 1, "one request for all of them");
        consumer.commit_record(&records[3]).await.expect("noted");
        consumer.close(LIMIT).await.expect("closed");
        assert_eq!(world.committed().await, [Some(4)], "what was asked for, and not what was given out besides");
    }
}

#[tokio::test]
async fn the_automatic_commit_does_not_commit_what_the_program_is_still_at() {
    for protocol in BOTH {
        let world = World::new(protocol, 1).await;
        world.produce(0..4).await;
        let builder = world.builder().auto_commit_interval(Some(Duration::from_millis(20)));
        let consumer = builder.build().await.expect("valid settings");
        read(&consumer, 3).await;
        until("two are committed", async || world.committed().await == [Some(2)]).await;
        drop(consumer);
        until("the member has left", async || {
            let again = world.consumer().await;
            let first = next(&again).await;
            assert_eq!(first, 2, "the third was given out and not done with");
            true
        })
        .await;
    }
}

#[tokio::test]
async fn members_share_partitions_and_take_over_from_each_other() {
    type Rule = fn(ConsumerBuilder) -> ConsumerBuilder;
    let rules: [(GroupProtocol, &str, Rule); 8] = [
        (GroupProtocol::Classic, "range", |it| it.assignors([Assignor::Range])),
        (GroupProtocol::Classic, "round robin", |it| it.assignors([Assignor::RoundRobin])),
        (GroupProtocol::Classic, "sticky", |it| it.assignors([Assignor::Sticky])),
        (GroupProtocol::Classic, "cooperative", |it| it.assignors([Assignor::CooperativeSticky])),
        (GroupProtocol::Classic, "upgrade", |it| it.assignors([Assignor::Range, Assignor::CooperativeSticky])),
        (GroupProtocol::Consumer, "the broker's first", |it| it),
        (GroupProtocol::Consumer, "uniform", |it| it.group_remote_assignor("uniform")),
        (GroupProtocol::Consumer, "range of the broker", |it| it.group_remote_assignor("range")),
    ];
    for (protocol, assignors, rule) in rules {
        let world = World::new(protocol, 4).await;
        world.produce(0..40).await;
        let consumer = async || rule(world.builder()).build().await.expect("valid settings");
        let first = consumer().await;
        let mut seen = read(&first, 40).await;
        let second = consumer().await;
        // Both ask for records all the time, as programs do.
        let (one, other) = (first.clone(), second.clone());
        let reader = |consumer: Consumer| async move {
            let mut numbers = Vec::new();
            while let Some(record) = consumer.recv().await.expect("no error") {
                numbers.push(number(record.value()));
            }
            numbers
        };
        let (one, other) = (tokio::spawn(reader(one)), tokio::spawn(reader(other)));
        until("both have two partitions", async || first.assignment().len() == 2 && second.assignment().len() == 2)
            .await;
        let (a, b): (BTreeSet<_>, BTreeSet<_>) =
            (first.assignment().into_iter().collect(), second.assignment().into_iter().collect());
        assert!(a.is_disjoint(&b), "{assignors:?}: {a:?} {b:?}");
        world.produce(40..80).await;
        until("everything is read", async || world.lagless(&[&first, &second])).await;
        second.close(LIMIT).await.expect("closed");
        until("the first has all", async || first.assignment().len() == 4).await;
        world.produce(80..100).await;
        until("everything is read", async || world.lagless(&[&first])).await;
        first.close(LIMIT).await.expect("closed");
        let numbers = [one.await.expect("no panic"), other.await.expect("no panic")].concat();
        for number in numbers {
            assert!(seen.insert(number), "{assignors:?}: {number} came twice");
        }
        assert_eq!(seen, (0..100).collect(), "{assignors:?}");
        assert_eq!(world.committed().await, [Some(25); 4]);
    }
}

#[tokio::test]
async fn a_cooperative_member_keeps_what_stays_and_an_eager_one_gives_all_back() {
    // KIP-429.
    for (assignor, revoked) in [(Assignor::CooperativeSticky, 2), (Assignor::Range, 4)] {
        let world = World::new(GroupProtocol::Classic, 4).await;
        let told = Told::default();
        let first = telling(world.builder().assignors([assignor]), &told).build().await.expect("valid settings");
        let reader = first.clone();
        tokio::spawn(async move { reader.recv().await.map(drop) });
        until("the first has all", async || first.assignment().len() == 4).await;
        let second = world.builder().assignors([assignor]).build().await.expect("valid settings");
        let reader = second.clone();
        tokio::spawn(async move { reader.recv().await.map(drop) });
        until("the second has two", async || second.assignment().len() == 2 && first.assignment().len() == 2).await;
        let told: Vec<_> = told.lock().expect("no panic").iter().filter(|(_, count)| *count > 0).copied().collect();
        assert_eq!(told[..2], [(RebalanceKind::Assigned, 4), (RebalanceKind::Revoked, revoked)], "{assignor:?}");
    }
}

#[tokio::test]
async fn a_program_can_commit_before_its_partitions_go() {
    for protocol in BOTH {
        let world = World::new(protocol, 2).await;
        world.produce(0..10).await;
        let done = Arc::new(Mutex::new(Vec::new()));
        let results = Arc::clone(&done);
        let builder = world.builder().auto_commit_interval(None).on_rebalance(move |event: Rebalance| {
            let results = Arc::clone(&results);
            async move {
                if event.kind() == RebalanceKind::Revoked {
                    for (offset, partition) in (3..).zip(event.partitions()) {
                        let result = event.commit(partition, offset).await;
                        results.lock().expect("no panic").push(result.is_ok());
                    }
                }
            }
        });
        let consumer = builder.build().await.expect("valid settings");
        read(&consumer, 10).await;
        consumer.close(LIMIT).await.expect("closed");
        assert_eq!(*done.lock().expect("no panic"), [true, true]);
        assert_eq!(world.committed().await, [Some(3), Some(4)]);
    }
}

#[tokio::test]
async fn a_program_that_stops_asking_loses_its_partitions_and_cannot_commit_for_them() {
    // max.poll.interval.ms (KIP-62).
    for protocol in BOTH {
        let world = World::new(protocol, 1).await;
        world.produce(0..2).await;
        let builder = world.builder().auto_commit_interval(None).max_poll_interval(Duration::from_millis(300));
        let slow = builder.build().await.expect("valid settings");
        let record = slow.recv().await.expect("no error").expect("open");
        let other = world.consumer().await;
        assert_eq!(next(&other).await, 0, "nothing was committed");
        let error = slow.commit_record(&record).await.expect_err("another member has the partition");
        assert!(matches!(error, Error::PartitionLost { partition: 0, .. }), "{error}");
        other.close(LIMIT).await.expect("closed");
        assert_eq!(next(&slow).await, 1, "it asks again, and is a member again");
    }
}

#[tokio::test]
async fn a_stream_that_is_not_asked_any_more_loses_its_partition() {
    // max.poll.interval.ms, for programs with a stream for each partition.
    for protocol in BOTH {
        let world = World::new(protocol, 1).await;
        world.produce(0..2).await;
        let builder = world.builder().auto_commit_interval(None).max_poll_interval(Duration::from_millis(300));
        let slow = builder.build().await.expect("valid settings");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (gate, opens) = tokio::sync::watch::channel(false);
        let running = tokio::spawn({
            let (slow, seen) = (slow.clone(), Arc::clone(&seen));
            async move {
                let task = |mut stream: PartitionStream| {
                    let (seen, mut opens) = (&seen, opens.clone());
                    async move {
                        while let Some(batch) = stream.next_batch().await.expect("no error") {
                            seen.lock().expect("no panic").push(batch.next_offset());
                            opens.wait_for(|open| *open).await.expect("the gate opens");
                        }
                    }
                };
                slow.run_partitions(task).await.expect("no error");
            }
        });
        until("it has a batch", async || !seen.lock().expect("no panic").is_empty()).await;
        let other = world.consumer().await;
        assert_eq!(read(&other, 2).await, [0, 1].into(), "nothing was committed");
        other.close(LIMIT).await.expect("closed");
        gate.send_replace(true);
        world.produce(2..3).await;
        until(&format!("{protocol:?} is a member again"), async || seen.lock().expect("no panic").contains(&3)).await;
        slow.close(LIMIT).await.expect("closed");
        running.await.expect("no panic");
    }
}

#[tokio::test]
async fn stats_count_what_a_consumer_does() {
    // kafka-go: Stats, Lag.
    let world = World::new(GroupProtocol::Classic, 2).await;
    world.produce(0..10).await;
    let consumer = world.builder().auto_commit_interval(None).build().await.expect("valid settings");
    let mut last = None;
    for _ in 0..7 {
        last = consumer.recv().await.expect("no error");
    }
    consumer.commit_record(&last.expect("open")).await.expect("committed");
    let stats = consumer.stats();
    assert_eq!((stats.records, stats.rebalances, stats.commits, stats.partitions), (7, 1, 1, 2));
    assert!(stats.fetches >= 1 && stats.bytes > 0 && stats.fetch_errors == 0, "{stats:?}");
    assert!(stats.buffered_bytes <= stats.buffer_capacity_bytes, "{stats:?}");
    until("the lag of both is known", async || consumer.stats().lag == Some(3)).await;
    read(&consumer, 3).await;
    assert_eq!(consumer.stats().lag, Some(0));
    consumer.close(LIMIT).await.expect("closed");
}

#[tokio::test]
async fn a_static_member_comes_back_to_its_partitions_without_a_rebalance() {
    // KIP-345.
    for protocol in BOTH {
        let world = World::new(protocol, 2).await;
        world.produce(0..4).await;
        let told = Told::default();
        let builder = telling(world.builder().group_instance_id("one"), &told);
        let steady = builder.build().await.expect("valid settings");
        read(&steady, 4).await;
        let reader = steady.clone();
        tokio::spawn(async move { reader.recv().await.map(drop) });
        let second = world.builder().group_instance_id("two").build().await.expect("valid settings");
        let reader = second.clone();
        tokio::spawn(async move { reader.recv().await.map(drop) });
        until("each has one", async || steady.assignment().len() == 1 && second.assignment().len() == 1).await;
        let had = second.assignment();
        // Everything given back and one partition again, or one given back.
        let events = if protocol == GroupProtocol::Classic { 3 } else { 2 };
        until("it was told", async || told.lock().expect("no panic").len() == events).await;
        let before = told.lock().expect("no panic").len();
        second.close(LIMIT).await.expect("closed");
        let again = world.builder().group_instance_id("two").build().await.expect("valid settings");
        let reader = again.clone();
        tokio::spawn(async move { reader.recv().await.map(drop) });
        until("it is back", async || again.assignment() == had).await;
        assert_eq!(told.lock().expect("no panic").len(), before, "the other member noticed nothing");
    }
}

#[tokio::test]
async fn a_member_can_seek_pause_and_look() {
    for protocol in BOTH {
        let world = World::new(protocol, 1).await;
        world.produce(0..10).await;
        let consumer = world.consumer().await;
        assert_eq!(next(&consumer).await, 0);
        assert_eq!(consumer.position(&world.topic, 0).expect("assigned"), Some(1));
        assert_eq!(consumer.lag(&world.topic, 0), Some(9));
        consumer.seek(&world.topic, 0, Offset::At(7)).expect("assigned");
        assert_eq!(next(&consumer).await, 7);
        consumer.pause(&world.topic, 0).expect("assigned");
        let nothing = tokio::time::timeout(Duration::from_millis(100), consumer.recv()).await;
        assert!(nothing.is_err(), "it is paused");
        consumer.resume(&world.topic, 0).expect("assigned");
        assert_eq!(next(&consumer).await, 8);
        let error = consumer.seek(&world.topic, 1, Offset::Earliest).expect_err("there is no such partition");
        assert!(matches!(error, Error::NotAssigned { .. }), "{error}");
        assert_eq!(consumer.assignment(), [TopicPartition::new(Arc::clone(&world.topic), 0)]);
    }
}

#[tokio::test]
async fn without_a_committed_offset_and_without_a_reset_the_program_is_told() {
    for protocol in BOTH {
        let world = World::new(protocol, 1).await;
        world.produce(0..1).await;
        let consumer = world.builder().auto_offset_reset(OffsetReset::None).build().await.expect("valid settings");
        let error = consumer.recv().await.expect_err("there is nothing to begin at");
        assert!(matches!(error, Error::NoCommittedOffset { partition: 0, .. }), "{error}");
        consumer.seek(&world.topic, 0, Offset::Earliest).expect("assigned");
        assert_eq!(next(&consumer).await, 0);
    }
}

#[tokio::test]
async fn every_answer_of_the_coordinator_can_be_lost_once() {
    let shared = [FIND_COORDINATOR, OFFSET_FETCH, OFFSET_COMMIT];
    let classic = shared.iter().chain(&[JOIN_GROUP, SYNC_GROUP, HEARTBEAT]).map(|api| (GroupProtocol::Classic, *api));
    let modern = shared.iter().chain(&[CONSUMER_GROUP_HEARTBEAT]).map(|api| (GroupProtocol::Consumer, *api));
    for (protocol, api) in classic.chain(modern) {
        for fate in [Fate::AnswerLost, Fate::RequestLost] {
            let lines = Lines::new(move |key, number| match (key == api, number) {
                (true, 0) => fate,
                _ => Fate::Passes,
            });
            let world = World::on(protocol, 2, &lines).await;
            world.produce(0..6).await;
            let builder = world.builder().session_timeout(Duration::from_secs(6));
            let consumer = builder.build().await.expect("valid settings");
            assert_eq!(read(&consumer, 6).await, (0..6).collect(), "API {api}, {fate:?}");
            until("the request was lost", async || {
                let _ = tokio::time::timeout(Duration::from_millis(10), consumer.recv()).await;
                api == OFFSET_COMMIT || lines.seen(api).contains(&fate)
            })
            .await;
            consumer.close(LIMIT).await.expect("closed");
            assert_eq!(world.committed().await, [Some(3), Some(3)], "API {api}, {fate:?}");
            assert!(lines.seen(api).contains(&fate));
        }
    }
}

#[tokio::test]
async fn a_stream_of_a_partition_ends_when_it_goes_and_the_last_commit_is_still_ours() {
    let classic =
        [Assignor::Range, Assignor::CooperativeSticky].map(|assignor| (GroupProtocol::Classic, Some(assignor)));
    for (protocol, assignor) in classic.into_iter().chain([(GroupProtocol::Consumer, None)]) {
        let world = World::new(protocol, 4).await;
        let builder = || {
            let builder = world.builder().auto_commit_interval(None);
            match assignor {
                Some(assignor) => builder.assignors([assignor]),
                None => builder,
            }
        };
        let seen = Arc::new(Mutex::new(Vec::new()));
        let run = |consumer: Consumer| {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let (handle, seen) = (&consumer, &seen);
                let task = |mut stream: PartitionStream| async move {
                    let mut last = None;
                    while let Some(batch) = stream.next_batch().await.expect("no error") {
                        let numbers = batch.records().map(|record| number(record.value()));
                        seen.lock().expect("no panic").extend(numbers);
                        last = Some(batch);
                    }
                    if let Some(batch) = last {
                        handle.commit(&batch).await.expect("the partition is ours until the stream is dropped");
                    }
                    drop(stream);
                };
                handle.run_partitions(task).await.expect("no error");
            })
        };
        let read = |count: usize| {
            let seen = Arc::clone(&seen);
            async move { until("all are read", async || seen.lock().expect("no panic").len() >= count).await }
        };
        let first = builder().build().await.expect("valid settings");
        let first_task = run(first.clone());
        world.produce(0..40).await;
        read(40).await;
        let second = builder().build().await.expect("valid settings");
        let second_task = run(second.clone());
        until("both have two", async || first.assignment().len() == 2 && second.assignment().len() == 2).await;
        world.produce(40..80).await;
        read(80).await;
        first.close(LIMIT).await.expect("closed");
        until("the second has all", async || second.assignment().len() == 4).await;
        world.produce(80..100).await;
        read(100).await;
        second.close(LIMIT).await.expect("closed");
        first_task.await.expect("no panic");
        second_task.await.expect("no panic");
        let mut numbers = std::mem::take(&mut *seen.lock().expect("no panic"));
        numbers.sort_unstable();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>(), "{assignor:?}: nothing twice, nothing missing");
        assert_eq!(world.committed().await, [Some(25); 4]);
    }
}

#[tokio::test]
async fn a_commit_whose_caller_goes_away_does_not_fail_those_that_wait_with_it() {
    for protocol in BOTH {
        let world = World::new(protocol, 1).await;
        world.produce(0..60).await;
        let consumer = world.builder().auto_commit_interval(None).build().await.expect("valid settings");
        for round in 0..20 {
            let mut records = Vec::new();
            for _ in 0..3 {
                records.push(consumer.recv().await.expect("no error").expect("open"));
            }
            let [first, second, third] = [0, 1, 2].map(|index| {
                let (consumer, record) = (consumer.clone(), records[index].clone());
                async move { consumer.commit_record(&record).await }
            });
            let first = tokio::spawn(first);
            // The second one waits, is served with the third, and goes away at one moment or another.
            let mut second = Box::pin(second);
            tokio::task::yield_now().await;
            let served = tokio::time::timeout(Duration::ZERO, &mut second).await.is_ok();
            let third = tokio::spawn(third);
            if !served {
                let _ = tokio::time::timeout(Duration::from_micros(round * 50), &mut second).await;
            }
            drop(second);
            first.await.expect("no panic").expect("committed");
            third.await.expect("no panic").expect("committed");
        }
        assert_eq!(world.committed().await, [Some(60)]);
    }
}
