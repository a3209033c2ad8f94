//! What a store has to do, on whatever database.

/// The tests of one store, which write an effect for each record and compare the effects with the input.
macro_rules! cases {
    ($store:ident, $database:path) => {
        mod cases {
            use std::collections::BTreeMap;
            use std::sync::Arc;
            use std::time::Duration;

            use async_kafka::store::{OffsetStore, StoreError, StoredPartition};
            use async_kafka::{Consumer, ConsumerBatch, Error, GroupMetadata, NextOffset, Record, TopicPartition};
            use system_tests::api::{CREATE_TOPICS, DELETE_TOPICS};
            use system_tests::value;
            use uuid::Uuid;

            use super::$store as Store;
            use crate::stage::{LIMIT, Stage, number, within};

            async fn store(pool: &sqlx::Pool<Db>) -> Store {
                let store = Store::new(pool.clone()).tables("offsets_of_mine", "effects_of_mine").expect("plain names");
                store.create_schema().await.expect("tables");
                store.create_schema().await.expect("a second time changes nothing");
                let effects = "CREATE TABLE results (number BIGINT NOT NULL)";
                sqlx::query(effects).execute(pool).await.expect("a table");
                store
            }

            type Db = <<Store as OffsetStore>::Transaction<'static> as Of>::Db;

            /// The database of a transaction.
            trait Of {
                type Db: sqlx::Database;
            }

            impl<D: sqlx::Database> Of for sqlx::Transaction<'_, D> {
                type Db = D;
            }

            /// The effects of a batch, with its offset or without.
            async fn apply(
                pool: &sqlx::Pool<Db>,
                store: &Store,
                batch: &ConsumerBatch,
                member: &GroupMetadata,
            ) -> Result<(), StoreError> {
                let mut transaction = pool.begin().await.expect("a transaction");
                for record in batch.records() {
                    let insert = sqlx::query("INSERT INTO results (number) VALUES ($1)");
                    let insert = insert.bind(i64::from(number(record.value())));
                    insert.execute(&mut *transaction).await.expect("an effect");
                }
                store.save(&mut transaction, batch, member).await?;
                transaction.commit().await.expect("committed");
                Ok(())
            }

            async fn results(pool: &sqlx::Pool<Db>) -> Vec<i32> {
                let numbers = sqlx::query_scalar::<_, i64>("SELECT number FROM results ORDER BY number");
                let numbers = numbers.fetch_all(pool).await.expect("the effects");
                numbers.into_iter().map(|number| i32::try_from(number).expect("a small one")).collect()
            }

            async fn next(consumer: &Consumer) -> ConsumerBatch {
                within("a batch comes", consumer.next_batch()).await.expect("no error").expect("open")
            }

            async fn member(stage: &Stage, store: &Store) -> Consumer {
                stage.member().offset_store(store.clone()).build().await.expect("valid settings")
            }

            #[tokio::test]
            async fn a_worker_that_dies_between_effect_and_commit_leaves_nothing_and_the_next_does_all_once() {
                let (stage, database) = (Stage::new(2).await, $database().await);
                let store = store(&database.pool).await;
                stage.feed(0..60).await;
                let mut done = 0;
                while done < 60 {
                    let consumer = member(&stage, &store).await;
                    for turn in 0..3 {
                        if results(&database.pool).await.len() == 60 {
                            break;
                        }
                        let batch = next(&consumer).await;
                        if turn == 2 {
                            // The effect is there, and the worker dies before its transaction is committed.
                            let mut lost = database.pool.begin().await.expect("a transaction");
                            let insert = sqlx::query("INSERT INTO results (number) VALUES (-1)");
                            insert.execute(&mut *lost).await.expect("an effect");
                            store.save(&mut lost, &batch, &consumer.group_metadata()).await.expect("saved");
                            drop(lost);
                        } else {
                            apply(&database.pool, &store, &batch, &consumer.group_metadata()).await.expect("ours");
                        }
                    }
                    consumer.close(LIMIT).await.expect("closed");
                    done = results(&database.pool).await.len();
                }
                assert_eq!(results(&database.pool).await, (0..60).collect::<Vec<_>>());
                assert_eq!(stage.offsets().await, [-1, -1], "Kafka was told nothing");
            }

            #[tokio::test]
            async fn a_zombie_cannot_write_what_it_read_before_its_partition_went() {
                let (stage, database) = (Stage::new(2).await, $database().await);
                let store = store(&database.pool).await;
                stage.feed(0..20).await;
                let zombie = member(&stage, &store).await;
                let batch = next(&zombie).await;
                let before = zombie.group_metadata();
                // It leaves without knowing: what it holds is from before.
                zombie.close(LIMIT).await.expect("closed");
                let owner = member(&stage, &store).await;
                let same = loop {
                    let found = next(&owner).await;
                    apply(&database.pool, &store, &found, &owner.group_metadata()).await.expect("it is the owner's");
                    if results(&database.pool).await.len() == 20 {
                        break found;
                    }
                };
                let refused = apply(&database.pool, &store, &batch, &before).await.expect_err("another has it");
                assert!(matches!(refused, StoreError::Fenced(_)), "{refused}");
                let refused = apply(&database.pool, &store, &same, &zombie.group_metadata()).await;
                assert!(refused.is_err(), "nor with what it is now");
                assert_eq!(results(&database.pool).await, (0..20).collect::<Vec<_>>());
            }

            #[tokio::test]
            async fn a_claim_of_an_older_generation_is_refused() {
                let database = $database().await;
                let store = store(&database.pool).await;
                let partition = TopicPartition::new("orders", 0);
                let claimed = [StoredPartition::new(partition.clone(), Uuid::from_u128(7))];
                let member = |generation_id, name: &str| {
                    let mut member = GroupMetadata::without_member("billing");
                    (member.generation_id, member.member_id) = (generation_id, name.to_owned());
                    member
                };
                let at = |offset| {
                    let mut next = NextOffset::new(partition.clone(), offset);
                    next.topic_id = Uuid::from_u128(7);
                    next
                };
                let save = async |offset, member: &GroupMetadata| {
                    let mut transaction = database.pool.begin().await.expect("a transaction");
                    store.save(&mut transaction, at(offset), member).await?;
                    transaction.commit().await.map_err(|error| StoreError::Database(Box::new(error)))
                };
                let (old, new) = (member(4, "a"), member(5, "b"));
                assert_eq!(OffsetStore::claim(&store, &old, &claimed).await.expect("the first"), [None]);
                save(10, &old).await.expect("its own");
                assert_eq!(OffsetStore::claim(&store, &new, &claimed).await.expect("newer"), [Some(10)]);
                assert!(matches!(save(11, &old).await, Err(StoreError::Fenced(_))));
                let late = OffsetStore::claim(&store, &old, &claimed).await;
                assert!(matches!(late, Err(StoreError::Fenced(_))), "{late:?}");
                save(12, &new).await.expect("its own");
                // A generation in which the partition stayed where it was.
                save(13, &member(6, "b")).await.expect("its own");
                assert_eq!(OffsetStore::claim(&store, &member(6, "b"), &claimed).await.expect("its own"), [Some(13)]);
                let other = [StoredPartition::new(partition.clone(), Uuid::from_u128(8))];
                assert_eq!(OffsetStore::claim(&store, &new, &other).await.expect("another topic"), [None]);
            }

            #[tokio::test]
            async fn a_topic_that_is_created_anew_begins_at_its_beginning() {
                let (stage, database) = (Stage::new(2).await, $database().await);
                let store = store(&database.pool).await;
                stage.feed(0..10).await;
                let consumer = member(&stage, &store).await;
                while results(&database.pool).await.len() < 10 {
                    let batch = next(&consumer).await;
                    apply(&database.pool, &store, &batch, &consumer.group_metadata()).await.expect("ours");
                }
                consumer.close(LIMIT).await.expect("closed");
                let mut connection = stage.broker.connect().await;
                let body = value!({ topics: [{ name: &*stage.input }], timeout_ms: 10_000 });
                connection.call(DELETE_TOPICS, 6, body).await;
                let wanted = value!({ name: &*stage.input, num_partitions: 2, replication_factor: 1 });
                let body = value!({ topics: [wanted], timeout_ms: 10_000 });
                let recreated = async {
                    while connection.call(CREATE_TOPICS, 7, body.clone()).await["topics"][0]["error_code"] != 0 {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                };
                within("the old topic is gone", recreated).await;
                // A client that knows nothing of the old topic.
                let lines = system_tests::line::Lines::new(|_, _| system_tests::line::Fate::Passes);
                let fresh = crate::stage::client(&stage.broker, &lines).connect().await.expect("the broker answers");
                let producer = fresh.producer().build().await.expect("valid settings");
                for n in 100..106 {
                    let record = Record::to(Arc::clone(&stage.input)).partition(n % 2).value(n.to_string());
                    producer.send_all([record]).await.remove(0).expect("acknowledged");
                }
                let builder = fresh.consumer(stage.group.as_str()).topics([Arc::clone(&stage.input)]);
                let builder = builder.auto_offset_reset(async_kafka::OffsetReset::Earliest).auto_commit_interval(None);
                let consumer = builder.offset_store(store.clone()).build().await.expect("valid settings");
                while results(&database.pool).await.len() < 16 {
                    let batch = next(&consumer).await;
                    apply(&database.pool, &store, &batch, &consumer.group_metadata()).await.expect("ours");
                }
                let expected: Vec<i32> = (0..10).chain(100..106).collect();
                assert_eq!(results(&database.pool).await, expected);
            }

            #[tokio::test]
            async fn an_effect_is_recorded_once_whoever_reads_the_record_again() {
                let (stage, database) = (Stage::new(2).await, $database().await);
                let store = store(&database.pool).await;
                stage.feed(0..12).await;
                let mut seen = BTreeMap::new();
                // Nobody commits an offset, so each of three members reads everything.
                for _ in 0..3 {
                    let consumer = stage.consumer().await;
                    let mut count = 0;
                    while count < 12 {
                        let batch = next(&consumer).await;
                        let mut transaction = database.pool.begin().await.expect("a transaction");
                        for record in batch.records() {
                            count += 1;
                            let first = store.first_time(&mut transaction, &stage.group, record.effect_key()).await;
                            if first.expect("the table is there") {
                                *seen.entry(number(record.value())).or_insert(0) += 1;
                            }
                        }
                        transaction.commit().await.expect("committed");
                    }
                    consumer.close(LIMIT).await.expect("closed");
                }
                assert_eq!(seen, (0..12).map(|n| (n, 1)).collect::<BTreeMap<_, _>>());
            }

            #[tokio::test]
            async fn a_member_that_the_store_refuses_is_told() {
                let (stage, database) = (Stage::new(2).await, $database().await);
                let store = store(&database.pool).await;
                stage.feed(0..4).await;
                let consumer = member(&stage, &store).await;
                let batch = next(&consumer).await;
                let mut ahead = GroupMetadata::without_member(stage.group.as_str());
                (ahead.generation_id, ahead.member_id) = (1000, "somebody".to_owned());
                let partitions: Vec<_> = (0..2)
                    .map(|p| StoredPartition::new(TopicPartition::new(Arc::clone(&stage.input), p), batch.topic_id()))
                    .collect();
                OffsetStore::claim(&store, &ahead, &partitions).await.expect("a later generation");
                let refused = apply(&database.pool, &store, &batch, &consumer.group_metadata()).await;
                assert!(matches!(refused, Err(StoreError::Fenced(_))));
                consumer.close(LIMIT).await.expect("closed");
                let late = member(&stage, &store).await;
                let error = within("it is told", late.next_batch()).await.expect_err("the store is ahead");
                assert!(matches!(error, Error::OffsetStore { .. }), "{error}");
                assert_eq!(results(&database.pool).await, [0; 0]);
            }
        }
    };
}
