//! One program of requests against one broker. What is recorded as a step is compared; what sets it up is not.

use std::collections::HashMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use mockbroker::schema;
use tokio::time::timeout;
use uuid::Uuid;

use crate::batch::Batch;
use crate::judge::transcript::{Outcome, Step, Transcript};
use crate::raw::{self, PATIENCE};
use crate::world::Broker;
use crate::{Raw, Value, api, value};

pub use crate::judge::transcript::{body_of, fitting, message};

/// The correlation id of the question that follows one that is not to be answered.
const PROBE: i32 = 1_000_000;

/// How long an answer may take. Some never come, so this is waited for.
const LONG_ENOUGH: Duration = Duration::from_secs(5);

/// A program for one API, run once at every version of it.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// What it is about, unique among all.
    pub name: &'static str,
    /// The API whose versions it is run at.
    pub api_key: i16,
    /// Where the rules are.
    pub rule: &'static str,
    /// How many nodes the cluster has.
    pub nodes: usize,
    /// The requests.
    pub program: for<'a> fn(&'a mut Run) -> Pin<Box<dyn Future<Output = ()> + 'a>>,
}

/// A topic of a program.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: Uuid,
}

/// A program while it runs.
#[derive(Debug)]
pub struct Run {
    /// The version this run is about.
    pub version: i16,
    /// The API this run is about.
    pub api_key: i16,
    /// Whether this is Kafka, of which no wait is in vain.
    is_real: bool,
    /// `host:port` of each node. Their ids count from 1.
    addresses: Vec<String>,
    /// The node that is asked.
    node: i32,
    /// By topic, the node that leads each partition.
    leaders: HashMap<String, Vec<i32>>,
    /// A connection to each node, once it was asked.
    connections: Vec<Option<Raw>>,
    transcript: Transcript,
}

impl Scenario {
    /// Runs it at `version` against a broker; `base` is in every name it makes.
    ///
    /// What a program takes for granted and the mock does not do ends the program, and is in the transcript.
    ///
    /// # Panics
    ///
    /// If Kafka does not do what a program takes for granted, or has another number of nodes.
    pub async fn run(&self, broker: &Broker, version: i16, base: &str) -> Transcript {
        let token = format!("{base}-{}-v{version}", self.name.replace(['.', '_'], "-"));
        let addresses = broker.nodes().to_vec();
        assert_eq!(addresses.len(), self.nodes, "the nodes that {} is about", self.name);
        let connections = addresses.iter().map(|_| None).collect();
        let (api_key, is_real) = (self.api_key, broker.is_real());
        let transcript = Transcript::new(self, version, token);
        let leaders = HashMap::new();
        let mut run = Run { version, api_key, is_real, addresses, node: 1, leaders, connections, transcript };
        let whole = async {
            (self.program)(&mut run).await;
            run.clean_up().await;
        };
        if let Err(why) = guarded(whole).await {
            assert!(!is_real, "{} v{version} did not go through with Kafka: {why}", self.name);
            run.transcript.stopped = Some(why);
            // The topics are of this run alone: whether they go does not matter to the others.
            drop(guarded(run.clean_up()).await);
        }
        run.transcript
    }
}

/// Runs a program to its end or to its panic, whose text is the error.
async fn guarded(program: impl Future<Output = ()>) -> Result<(), String> {
    let mut program = pin!(program);
    let ended = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| program.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => std::task::Poll::Ready(Err(panic)),
    });
    ended.await.map_err(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => match panic.downcast::<&str>() {
            Ok(text) => (*text).to_owned(),
            Err(panic) => resume_unwind(panic),
        },
    })
}

impl Run {
    /// A name of this run.
    #[must_use]
    pub fn name(&self, what: &str) -> String {
        format!("{what}-{}", self.transcript.token)
    }

    /// Asks this node from now on. A program starts with node 1.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn at(&mut self, node: i32) {
        assert!(self.nodes().contains(&node), "there is no node {node}");
        self.node = node;
    }

    /// The ids of all nodes.
    #[must_use]
    pub fn nodes(&self) -> Vec<i32> {
        (1..).take(self.addresses.len()).collect()
    }

    /// Asks what this run is about, with those fields of `body` that the version has. Null if there is no answer.
    pub async fn step(&mut self, label: &str, body: Value) -> Value {
        let body = body_of(self.api_key, self.version, body);
        self.step_bytes(label, self.api_key, self.version, &body).await
    }

    /// Sends a body as it is.
    ///
    /// # Panics
    ///
    /// If the answer is not one.
    pub async fn step_bytes(&mut self, label: &str, api_key: i16, version: i16, body: &[u8]) -> Value {
        let frame = self.frame(api_key, version, body);
        let connection = self.connection().await;
        connection.send_frame(&frame).await;
        let outcome = match timeout(LONG_ENOUGH, connection.try_read_frame()).await {
            Ok(Ok(answer)) => Outcome::Answer(answer),
            Ok(Err(_)) => Outcome::Closed,
            Err(_) => Outcome::Stuck,
        };
        if !matches!(outcome, Outcome::Answer(_)) {
            self.hang_up();
        }
        self.record(label, api_key, version, frame, outcome)
    }

    /// As [`Run::step`], for what may not be answered: the next question on the connection tells.
    pub async fn step_unanswered(&mut self, label: &str, body: Value) {
        let body = body_of(self.api_key, self.version, body);
        let frame = self.frame(self.api_key, self.version, &body);
        let request = schema::request(api::API_VERSIONS).expect("it is in the schema");
        let connection = self.connection().await;
        connection.send_frame(&frame).await;
        connection.send_frame(&raw::header(request, 0, PROBE, None)).await;
        let outcome = match timeout(LONG_ENOUGH, connection.try_read_frame()).await {
            Ok(Ok(answer)) if answer.starts_with(&PROBE.to_be_bytes()) => Outcome::Silent,
            Ok(Ok(answer)) => Outcome::Answer(answer),
            Ok(Err(_)) => Outcome::Closed,
            Err(_) => Outcome::Stuck,
        };
        if outcome != Outcome::Silent {
            self.hang_up();
        }
        self.record(label, self.api_key, self.version, frame, outcome);
    }

    /// Asks something that is not compared.
    pub async fn ask(&mut self, api_key: i16, version: i16, body: Value) -> Value {
        let body = fitting(api_key, version, body);
        self.connection().await.call(api_key, version, body).await
    }

    /// Another connection to the same broker; what is said on it is not compared.
    pub async fn connect(&self) -> Raw {
        Raw::connect(&self.addresses[self.index()]).await
    }

    /// Asks until the answer is as `ready` says; not compared. If the mock never answers so, that is a difference, and
    /// the program goes on with what it answered last.
    ///
    /// # Panics
    ///
    /// If Kafka never answers so.
    pub async fn until(&mut self, api_key: i16, version: i16, body: Value, ready: impl Fn(&Value) -> bool) -> Value {
        let (mut last, is_real) = (Value::Null, self.is_real);
        let asked = async {
            loop {
                last = self.ask(api_key, version, body.clone()).await;
                if ready(&last) {
                    return;
                }
            }
        };
        let patience = if is_real { PATIENCE } else { LONG_ENOUGH };
        if timeout(patience, asked).await.is_err() {
            assert!(!is_real, "waited {patience:?} for Kafka to answer otherwise to {body:?} than {last:?}");
            self.hang_up();
            let body = format!("{body:?}").replace(&self.transcript.token, "*");
            self.transcript.in_vain.push(format!("{} {body}", message(api_key).name));
        }
        last
    }

    /// Makes a topic whose every partition can be written, on node 1. Retention is off: the kit's batches are years old.
    ///
    /// # Panics
    ///
    /// If the broker does not make it.
    pub async fn topic(&mut self, what: &str, partitions: i32, configs: &[(&str, &str)]) -> Topic {
        let on_node_1: Vec<&[i32]> = (0..partitions).map(|_| &[1][..]).collect();
        self.placed(what, &on_node_1, configs).await
    }

    /// As [`Run::topic`], on these nodes: the first of each partition leads it.
    ///
    /// # Panics
    ///
    /// If the broker does not make it.
    pub async fn placed(&mut self, what: &str, replicas: &[&[i32]], configs: &[(&str, &str)]) -> Topic {
        let name = self.name(what);
        let all = [("retention.ms", "-1")].iter().chain(configs);
        let configs: Vec<_> = all.map(|(name, value)| value!({ name: *name, value: *value })).collect();
        let answer = self.create(&name, replicas, configs).await;
        let created = &answer["topics"][0];
        assert_eq!(created["error_code"], 0, "{created:?}");
        let topic = Topic { name, id: created["topic_id"].uuid() };
        self.leaders.insert(topic.name.clone(), replicas.iter().map(|nodes| nodes[0]).collect());
        self.settle(&topic, replicas).await;
        topic
    }

    /// Asks for a topic on these nodes.
    pub async fn create(&mut self, name: &str, replicas: &[&[i32]], configs: Vec<Value>) -> Value {
        let ids = |nodes: &[i32]| nodes.iter().map(|node| Value::from(*node)).collect::<Vec<_>>();
        let placed = (0_i32..).zip(replicas);
        let placed: Vec<_> =
            placed.map(|(index, nodes)| value!({ partition_index: index, broker_ids: ids(nodes) })).collect();
        let topic =
            value!({ name: name, num_partitions: -1, replication_factor: -1, assignments: placed, configs: configs });
        self.ask(api::CREATE_TOPICS, 7, value!({ topics: [topic], timeout_ms: 10_000 })).await
    }

    /// Waits until every node tells of the topic with all its replicas in sync, and every partition is led.
    async fn settle(&mut self, topic: &Topic, replicas: &[&[i32]]) {
        let before = self.node;
        let body = value!({ topics: [{ name: &topic.name }], allow_auto_topic_creation: false });
        for node in self.nodes() {
            self.at(node);
            self.until(api::METADATA, 12, body.clone(), |answer| {
                let told = answer["topics"][0]["partitions"].array();
                let in_sync = |index: usize| told[index]["isr_nodes"].array().len() == replicas[index].len();
                told.len() == replicas.len() && (0..told.len()).all(in_sync)
            })
            .await;
        }
        for (partition, nodes) in (0..).zip(replicas) {
            self.at(nodes[0]);
            self.is_led(&topic.name, vec![value!({ partition_index: partition, timestamp: -1 })]).await;
        }
        self.at(before);
    }

    /// Waits until every partition of a topic is led: metadata is ahead of the logs, so the leader is asked.
    pub async fn wait_for(&mut self, name: &str, partitions: i32) {
        let asked = (0..partitions).map(|index| value!({ partition_index: index, timestamp: -1 })).collect();
        self.is_led(name, asked).await;
    }

    async fn is_led(&mut self, name: &str, partitions: Vec<Value>) {
        let body = value!({ replica_id: -1, topics: [{ name: name, partitions: partitions }] });
        self.until(api::LIST_OFFSETS, 7, body, |answer| {
            answer["topics"][0]["partitions"].array().iter().all(|partition| partition["error_code"] == 0)
        })
        .await;
    }

    /// Writes a batch that has to be taken.
    ///
    /// # Panics
    ///
    /// If it is not.
    pub async fn append(&mut self, topic: &Topic, partition: i32, batch: &Batch) -> i64 {
        let before = self.node;
        let leaders = &self.leaders[&topic.name];
        self.at(leaders[usize::try_from(partition).expect("a partition has an index")]);
        let partition = value!({ index: partition, records: batch.encode() });
        let topic = value!({ topic_id: topic.id, partition_data: [partition] });
        let body = value!({ acks: -1, timeout_ms: 10_000, topic_data: [topic] });
        let answer = self.ask(api::PRODUCE, 13, body).await;
        let answer = &answer["responses"][0]["partition_responses"][0];
        assert_eq!(answer["error_code"], 0, "{answer:?}");
        self.at(before);
        answer["base_offset"].int()
    }

    /// A producer id that nobody else has.
    pub async fn producer_id(&mut self) -> i64 {
        let body = value!({ transactional_id: null, transaction_timeout_ms: 60_000 });
        let answer = self.until(api::INIT_PRODUCER_ID, 4, body, |answer| answer["error_code"] == 0).await;
        answer["producer_id"].int()
    }

    async fn connection(&mut self) -> &mut Raw {
        let index = self.index();
        let connection = match self.connections[index].take() {
            Some(connection) => connection,
            None => Raw::connect(&self.addresses[index]).await,
        };
        self.connections[index].insert(connection)
    }

    /// The next question to this node goes over another connection.
    fn hang_up(&mut self) {
        let index = self.index();
        self.connections[index] = None;
    }

    fn index(&self) -> usize {
        usize::try_from(self.node - 1).expect("nodes count from 1")
    }

    fn frame(&self, api_key: i16, version: i16, body: &[u8]) -> Bytes {
        let request = message(api_key);
        let correlation_id = i32::try_from(self.transcript.steps.len()).expect("a program has few steps") + 1;
        let mut frame = raw::header(request, version, correlation_id, Some("judge"));
        frame.extend_from_slice(body);
        frame.into()
    }

    fn record(&mut self, label: &str, api_key: i16, version: i16, request: Bytes, outcome: Outcome) -> Value {
        let known = self.transcript.steps.iter().any(|step| step.label == label);
        assert!(!known, "{} has two steps {label:?}", self.transcript.scenario);
        let address = &self.addresses[self.index()];
        if outcome == Outcome::Stuck {
            println!("{address} never answers {} v{version}: {label}", self.transcript.scenario);
        }
        let step = Step { label: label.to_owned(), api_key, version, request, outcome };
        let answer = step.answer().unwrap_or_else(|fault| panic!("{label:?} was answered with nonsense: {fault}"));
        self.transcript.steps.push(step);
        answer
    }

    /// Deletes every topic of this run, so that the next one finds the cluster as this one did.
    async fn clean_up(&mut self) {
        self.at(1);
        if [api::CREATE_TOPICS, api::METADATA].contains(&self.api_key) {
            // What was made last may not show yet. Once a later one shows, it does.
            self.topic("last", 1, &[]).await;
        }
        let all = value!({ topics: null, allow_auto_topic_creation: false });
        let token = self.transcript.token.clone();
        let mine = |answer: &Value| -> Vec<Value> {
            let topics = answer["topics"].array().iter();
            topics.map(|topic| topic["name"].clone()).filter(|name| name.str().contains(&token)).collect()
        };
        let names = mine(&self.ask(api::METADATA, 12, all.clone()).await);
        if !names.is_empty() {
            let topics: Vec<_> = names.into_iter().map(|name| value!({ name: name })).collect();
            self.ask(api::DELETE_TOPICS, 6, value!({ topics: topics, timeout_ms: 10_000 })).await;
            for node in self.nodes() {
                self.at(node);
                self.until(api::METADATA, 12, all.clone(), |answer| mine(answer).is_empty()).await;
            }
        }
    }
}
