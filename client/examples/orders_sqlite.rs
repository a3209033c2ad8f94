//! Orders into a database exactly once, although the worker dies between the effect and its commit:
//! `cargo run --example orders_sqlite --features sqlite`. Offsets are kept in the database, in the transaction that has the
//! orders, so either both count or none does. Workers are processes; besides the crash they get SIGKILL, `KILLS` times. On
//! the mock and in a file that is gone afterwards, or on a cluster that `KAFKA_BOOTSTRAP` names, with the topic `NAME`, and in
//! the database of `DATABASE_URL`: `sqlite:FILE?mode=rwc`, or `postgres://...` with the feature `postgres`.

use std::{
    env,
    ops::Range,
    process::{Child, Command},
    sync::Arc,
    time::Duration,
};

use async_kafka::{
    ConsumerBatch, Kafka, OffsetReset, Producer, Record,
    admin::NewTopic,
    store::{OffsetStore, StoreError},
};
use mockbroker::MockBroker;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

const PARTITIONS: i32 = 3;
const WORKERS: usize = 2;
const ORDERS: u32 = 3000;
// Nothing here would keep an order from being there twice.
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS orders (number BIGINT NOT NULL, total BIGINT NOT NULL)";
const SUMS: &str = "SELECT COUNT(*), COUNT(DISTINCT number), CAST(COALESCE(SUM(total), 0) AS BIGINT) FROM orders";

/// What an order costs.
fn total_of(number: u32) -> u32 {
    number * 37 % 1000
}

/// A worker's arguments.
struct Job {
    bootstrap: String,
    topic: String,
    database: String,
    /// Which worker it is.
    number: String,
    /// After how many orders it crashes, between the effect and its commit.
    crash_after: Option<u32>,
}

fn parse(batch: &ConsumerBatch) -> Result<Vec<(i64, i64)>, BoxError> {
    let orders = batch.records().map(|order| {
        let text = std::str::from_utf8(order.value().unwrap_or_default())?;
        let (number, total) = text.split_once(' ').ok_or("an order is a number and a total")?;
        Ok((number.parse()?, total.parse()?))
    });
    orders.collect()
}

/// One program for databases whose types differ.
macro_rules! program {
    ($name:ident, $pool:ty, $store:ty) => {
        mod $name {
            use super::*;

            pub(super) async fn create(database: &str) -> Result<(), BoxError> {
                let pool = <$pool>::connect(database).await?;
                sqlx::query(SCHEMA).execute(&pool).await?;
                Ok(<$store>::new(pool).create_schema().await?)
            }

            /// Writes what was ordered together with the offsets, until it is killed.
            pub(super) async fn work(job: Job) -> Result<(), BoxError> {
                let pool = <$pool>::connect(&job.database).await?;
                let store = <$store>::new(pool.clone());
                let kafka = Kafka::builder(job.bootstrap.as_str()).connect().await?;
                let orders = kafka.consumer(job.topic.as_str()).topics([job.topic.as_str()]);
                let orders = orders.group_instance_id(format!("{}-{}", job.topic, job.number));
                let orders = orders.auto_offset_reset(OffsetReset::Earliest).auto_commit_interval(None);
                let orders = orders.session_timeout(Duration::from_secs(6)).offset_store(store.clone()).build().await?;
                let mut written = 0;
                while let Some(batch) = orders.next_batch().await? {
                    let mut transaction = pool.begin().await?;
                    for (number, total) in parse(&batch)? {
                        let insert = sqlx::query("INSERT INTO orders (number, total) VALUES ($1, $2)");
                        insert.bind(number).bind(total).execute(&mut *transaction).await?;
                        written += 1;
                    }
                    if job.crash_after.is_some_and(|limit| written > limit) {
                        // The effect is there, its commit is not.
                        std::process::abort();
                    }
                    match store.save(&mut transaction, &batch, &orders.group_metadata()).await {
                        Ok(()) => transaction.commit().await?,
                        // Another worker has the partition now, and does this batch.
                        Err(StoreError::Fenced(_)) => transaction.rollback().await?,
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(())
            }

            /// How many orders there are, how many different ones, and what they cost.
            pub(super) async fn sums(database: &str) -> Result<(i64, i64, i64), BoxError> {
                let pool = <$pool>::connect(database).await?;
                let sums = sqlx::query_as(SUMS).fetch_one(&pool).await?;
                pool.close().await;
                Ok(sums)
            }
        }
    };
}

program!(sqlite, sqlx::SqlitePool, async_kafka::store::SqliteStore);
#[cfg(feature = "postgres")]
program!(postgres, sqlx::PgPool, async_kafka::store::PostgresStore);

macro_rules! on {
    ($database:expr, $call:ident ( $argument:expr )) => {
        match $database.starts_with("postgres:") {
            #[cfg(feature = "postgres")]
            true => postgres::$call($argument).await,
            #[cfg(not(feature = "postgres"))]
            true => Err("postgres: needs the feature of that name".into()),
            false => sqlite::$call($argument).await,
        }
    };
}

/// The processes of the workers. They go when this does.
struct Workers {
    arguments: [String; 3],
    processes: Vec<Child>,
}

impl Workers {
    fn spawn(&self, number: usize, crash_after: Option<u32>) -> Result<Child, BoxError> {
        let mut command = Command::new(env::current_exe()?);
        command.arg("work").args(&self.arguments).arg(number.to_string());
        command.args(crash_after.map(|orders| orders.to_string()));
        Ok(command.spawn()?)
    }

    /// Whoever has ended gets a successor, as a supervisor would do it. How many did.
    fn supervise(&mut self) -> Result<u32, BoxError> {
        let mut ended = 0;
        for number in 0..self.processes.len() {
            if self.processes[number].try_wait()?.is_some() {
                self.processes[number] = self.spawn(number, None)?;
                ended += 1;
            }
        }
        Ok(ended)
    }

    /// SIGKILL.
    fn kill_one(&mut self) -> Result<(), BoxError> {
        let number = fastrand::usize(..self.processes.len());
        self.processes[number].kill()?;
        self.processes[number].wait()?;
        self.processes[number] = self.spawn(number, None)?;
        Ok(())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill().and_then(|()| process.wait());
        }
    }
}

/// Orders by these numbers.
async fn order(producer: &Producer, topic: &Arc<str>, numbers: Range<u32>) -> Result<(), BoxError> {
    let orders = numbers.map(|number| {
        let partition = fastrand::i32(0..PARTITIONS);
        Record::to(Arc::clone(topic)).partition(partition).value(format!("{number} {}", total_of(number)))
    });
    for stored in producer.send_all(orders).await {
        stored?;
    }
    Ok(())
}

async fn conduct(database: &str) -> Result<(), BoxError> {
    let mock = MockBroker::builder().config("group.min.session.timeout.ms", "6000").start().await;
    let bootstrap = env::var("KAFKA_BOOTSTRAP").unwrap_or_else(|_| mock.bootstrap_servers().to_owned());
    let topic: Arc<str> = env::var("NAME").unwrap_or_else(|_| format!("orders-{}", std::process::id())).into();
    let kills: i64 = env::var("KILLS").map_or(Ok(1), |kills| kills.parse())?;
    let kafka = Kafka::builder(bootstrap.as_str()).connect().await?;
    for (_, created) in kafka.admin().create_topics([NewTopic::new(Arc::clone(&topic)).partitions(PARTITIONS)]).await {
        created?;
    }
    let producer = kafka.producer().batch_records(5).build().await?;
    // However quick the workers are: the last orders come when everybody was killed who is to be.
    let early = ORDERS - ORDERS / 10;
    order(&producer, &topic, 0..early).await?;

    on!(database, create(database))?;
    let arguments = [bootstrap, topic.to_string(), database.to_owned()];
    let mut workers = Workers { arguments, processes: Vec::new() };
    for number in 0..WORKERS {
        let process = workers.spawn(number, Some(ORDERS / 20))?;
        workers.processes.push(process);
    }
    let (orders, total) = (i64::from(ORDERS), (0..ORDERS).map(|number| i64::from(total_of(number))).sum());
    let (mut ended, mut killed, mut next) = (0, 0, 0);
    let (mut there, mut different, mut cost) = (0, 0, 0);
    let mut are_all_ordered = false;
    while different < orders {
        ended += workers.supervise()?;
        // First a crash, then SIGKILL, each time when some more orders are there.
        if ended > 0 && killed < kills && there >= next {
            workers.kill_one()?;
            killed += 1;
            next = there + fastrand::i64(0..=(i64::from(early) - there) / (2 * (kills - killed + 1)));
        }
        if ended > 0 && killed == kills && !are_all_ordered {
            order(&producer, &topic, early..ORDERS).await?;
            are_all_ordered = true;
        }
        // What is committed only others than the workers know: they are asked again and again.
        tokio::time::sleep(Duration::from_millis(5)).await;
        (there, different, cost) = on!(database, sums(database))?;
    }
    drop(workers);
    assert_eq!((there, cost), (orders, total), "every order once");
    println!("{orders} orders in the database exactly once; {ended} workers ended by themselves, {killed} were killed");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [work, bootstrap, topic, database, number, crash @ ..] = &arguments[..]
        && work == "work"
    {
        let [bootstrap, topic, database, number] = [bootstrap, topic, database, number].map(Clone::clone);
        let crash_after = crash.first().map(|orders| orders.parse()).transpose()?;
        let job = Job { bootstrap, topic, database, number, crash_after };
        return on!(job.database, work(job));
    }
    if let Ok(database) = env::var("DATABASE_URL") {
        return conduct(&database).await;
    }
    let file = env::temp_dir().join(format!("orders-{}.db", std::process::id()));
    let conducted = conduct(&format!("sqlite:{}?mode=rwc", file.display())).await;
    std::fs::remove_file(file)?;
    conducted
}
