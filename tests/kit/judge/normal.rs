//! What may differ between two brokers that are both Kafka, and how that is taken out of an answer. Nothing else is.

use std::collections::HashMap;

use bytes::Bytes;

use crate::batch::{Batch, CONTROL, HEADER_SIZE, LOG_APPEND_TIME};
use crate::judge::transcript::{Outcome, Transcript};
use crate::{Value, api, coordinator_records, scenarios, value};

/// One kind of difference that is none.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The API; `None` for every one.
    pub api_key: Option<i16>,
    /// The names of the fields down to this one, arrays not counted. `*.` in front stands for any names.
    pub path: &'static str,
    /// What is done with it.
    pub how: How,
    /// Why Kafka itself does not promise it.
    pub reason: &'static str,
}

/// How a field is made comparable.
#[derive(Clone, Copy, Debug)]
pub enum How {
    /// Its value is not compared; that it is there is.
    Mask,
    /// It is the nth one of its kind that this transcript shows. What is less than this is compared as it is.
    Number(i64),
    /// If it is an id that a coordinator gave (`Uuid.toString`: 22 characters of base64), it is the nth one that this
    /// transcript shows.
    GivenId,
    /// The same where there is a choice: with several nodes.
    MaskOfSeveral,
    /// The elements of the array are sorted.
    Sort,
    /// The same for an answer to such a question.
    SortIf(fn(&Value) -> bool),
    /// Record batches are compared field by field; those of a coordinator record by record.
    Batches,
    /// Of a partition that a coordinator writes, where in the log this is says how much was written before.
    CoordinatorLog,
    /// APIs that the mock does not serve are left out.
    Served,
    /// Configs that say where this broker is are left without that value.
    Whereabouts,
}

const fn rule(api_key: Option<i16>, path: &'static str, how: How, reason: &'static str) -> Rule {
    Rule { api_key, path, how, reason }
}

const ANY_NODE: &str = "brokers name any node that is up (KRaftMetadataCache.getRandomAliveBrokerId)";
const BY_COORDINATOR: &str = "GroupCoordinatorService asks each of its partitions, out of a hash map";

const RANDOM_ID: &str = "a consumer group gives random ids (Uuid.randomUuid)";

const BY_PARTITION: &str = "ReplicaManager answers with a hash map, by partition";

/// The fields that say which element of an array it is.
const IDENTITY: &[&str] = &[
    "name",
    "topic",
    "topic_name",
    "topic_id",
    "partition_index",
    "index",
    "partition",
    "resource_type",
    "resource_name",
    "group_id",
    "group_instance_id",
    "member_id",
    "producer_id",
    "entity",
    "key",
    "user",
    "mechanism",
    "transactional_id",
];

/// All of them; an array that is not sorted here has an order in Kafka, which is compared. Two more hold everywhere: ids
/// (`uuid`, also within text: members have such) are numbered in the order in which they appear, and the token of the run
/// is a star wherever text has it.
pub const RULES: &[Rule] = &[
    rule(None, "*.throttle_time_ms", How::Mask, "a quota's delay is a time"),
    rule(None, "*.member_id", How::GivenId, RANDOM_ID),
    rule(Some(api::JOIN_GROUP), "leader", How::GivenId, RANDOM_ID),
    rule(Some(api::METADATA), "brokers.port", How::Mask, "where the broker listens"),
    rule(Some(api::METADATA), "controller_id", How::MaskOfSeveral, ANY_NODE),
    rule(Some(api::METADATA), "topics", How::SortIf(asks_for_all_topics), "TopicsImage.topicsByName is a hash map"),
    rule(Some(api::METADATA), "cluster_id", How::Mask, "given to a cluster when its storage is formatted"),
    rule(Some(api::DESCRIBE_CLUSTER), "brokers.port", How::Mask, "where the broker listens"),
    rule(Some(api::DESCRIBE_CLUSTER), "controller_id", How::MaskOfSeveral, ANY_NODE),
    rule(Some(api::DESCRIBE_CLUSTER), "cluster_id", How::Mask, "given to a cluster when its storage is formatted"),
    rule(Some(api::FIND_COORDINATOR), "port", How::Mask, "where the broker listens"),
    rule(Some(api::FIND_COORDINATOR), "coordinators.port", How::Mask, "where the broker listens"),
    rule(Some(api::PRODUCE), "node_endpoints.port", How::Mask, "where the broker listens"),
    rule(Some(api::FETCH), "node_endpoints.port", How::Mask, "where the broker listens"),
    rule(Some(api::API_VERSIONS), "finalized_features_epoch", How::Mask, "an offset of the metadata log"),
    rule(Some(api::API_VERSIONS), "api_keys", How::Served, "what is not modelled is not advertised (COMPATIBILITY.md)"),
    rule(Some(api::DELETE_TOPICS), "responses", How::Sort, "ControllerApis.deleteTopics shuffles them"),
    rule(Some(api::DESCRIBE_CONFIGS), "results.configs", How::Sort, "the order is that of a hash map in Kafka"),
    rule(Some(api::DESCRIBE_CONFIGS), "results.configs", How::Whereabouts, "addresses and directories"),
    rule(Some(api::CREATE_TOPICS), "topics", How::Sort, "ReplicationControlManager.createTopics has two hash maps"),
    rule(Some(api::LIST_OFFSETS), "topics", How::Sort, BY_PARTITION),
    rule(Some(api::LIST_OFFSETS), "topics.partitions", How::Sort, BY_PARTITION),
    rule(Some(api::DELETE_RECORDS), "topics", How::Sort, BY_PARTITION),
    rule(Some(api::DELETE_RECORDS), "topics.partitions", How::Sort, BY_PARTITION),
    rule(Some(api::PRODUCE), "responses", How::Sort, BY_PARTITION),
    rule(Some(api::PRODUCE), "responses.partition_responses", How::Sort, BY_PARTITION),
    rule(Some(api::CREATE_PARTITIONS), "results", How::Sort, "ControllerApis.createPartitions has a hash set of names"),
    rule(Some(api::API_VERSIONS), "supported_features", How::Sort, "features are in hash maps, by name"),
    rule(Some(api::API_VERSIONS), "finalized_features", How::Sort, "features are in hash maps, by name"),
    rule(Some(api::JOIN_GROUP), "members", How::Sort, "ClassicGroup has a hash map of members"),
    rule(Some(api::DESCRIBE_GROUPS), "groups", How::Sort, BY_COORDINATOR),
    rule(Some(api::DESCRIBE_GROUPS), "groups.members", How::Sort, "ClassicGroup has a hash map of members"),
    rule(Some(api::LIST_GROUPS), "groups", How::Sort, BY_COORDINATOR),
    rule(Some(api::DELETE_GROUPS), "results", How::Sort, BY_COORDINATOR),
    rule(Some(api::OFFSET_FETCH), "topics", How::Sort, "OffsetMetadataManager has hash maps of topics and partitions"),
    rule(Some(api::OFFSET_FETCH), "topics.partitions", How::Sort, "as its topics"),
    rule(Some(api::OFFSET_FETCH), "groups.topics", How::Sort, "as its topics"),
    rule(Some(api::OFFSET_FETCH), "groups.topics.partitions", How::Sort, "as its topics"),
    rule(Some(api::FETCH), "responses.partitions", How::CoordinatorLog, "other groups write to the same partition"),
    rule(Some(api::CONSUMER_GROUP_DESCRIBE), "groups", How::Sort, BY_COORDINATOR),
    rule(Some(api::CONSUMER_GROUP_DESCRIBE), "groups.members", How::Sort, "ConsumerGroup has a hash table of members"),
    rule(Some(api::FETCH), "*.records", How::Batches, "ids of producers and times are in them"),
    rule(Some(api::FETCH), "session_id", How::Number(1), "random (FetchSessionCache.newSessionId)"),
    rule(Some(api::INIT_PRODUCER_ID), "producer_id", How::Number(0), "the next one of a block"),
    rule(Some(api::ELECT_LEADERS), "replica_election_results", How::Sort, "of all topics: topicsByName is a hash map"),
    rule(Some(api::DESCRIBE_LOG_DIRS), "results.log_dir", How::Mask, "where the broker keeps its data"),
    rule(Some(api::DESCRIBE_LOG_DIRS), "results.topics", How::Sort, "LogManager has a hash map of logs"),
    rule(Some(api::DESCRIBE_LOG_DIRS), "results.topics.partitions", How::Sort, "LogManager has a hash map of logs"),
    rule(Some(api::ALTER_REPLICA_LOG_DIRS), "results", How::Sort, BY_PARTITION),
    rule(Some(api::ALTER_REPLICA_LOG_DIRS), "results.partitions", How::Sort, BY_PARTITION),
    rule(Some(api::DESCRIBE_PRODUCERS), "*.active_producers", How::Sort, "ProducerStateManager has a hash map"),
    rule(Some(api::DESCRIBE_PRODUCERS), "*.producer_id", How::Number(0), "the next one of a block"),
    rule(Some(api::DESCRIBE_QUORUM), "*.leader_epoch", How::Number(1), "how often the controllers voted"),
    rule(Some(api::DESCRIBE_QUORUM), "*.high_watermark", How::Number(1), "an offset of the metadata log"),
    rule(Some(api::DESCRIBE_QUORUM), "*.log_end_offset", How::Number(1), "an offset of the metadata log"),
    rule(Some(api::DESCRIBE_QUORUM), "*.last_fetch_timestamp", How::Number(1), "a time"),
    rule(Some(api::DESCRIBE_QUORUM), "*.last_caught_up_timestamp", How::Number(1), "a time"),
    rule(Some(api::DESCRIBE_QUORUM), "nodes.listeners.port", How::Mask, "where the controller listens"),
    rule(Some(api::DESCRIBE_CLIENT_QUOTAS), "entries", How::Sort, "ClientQuotasImage is a hash map"),
    rule(Some(api::DESCRIBE_CLIENT_QUOTAS), "entries.values", How::Sort, "ClientQuotaImage is a hash map"),
    rule(Some(api::ALTER_CLIENT_QUOTAS), "entries", How::Sort, "ClientQuotaControlManager answers with a hash map"),
    rule(Some(api::DESCRIBE_USER_SCRAM_CREDENTIALS), "results", How::Sort, "ScramImage.describe has a hash map"),
    rule(
        Some(api::DESCRIBE_USER_SCRAM_CREDENTIALS),
        "results.credential_infos",
        How::Sort,
        "ScramImage has hash maps of credentials",
    ),
    rule(Some(api::ALTER_USER_SCRAM_CREDENTIALS), "results", How::Sort, "ScramControlManager has a hash map of users"),
    rule(
        Some(api::GET_TELEMETRY_SUBSCRIPTIONS),
        "subscription_id",
        How::Mask,
        "made of the client's id, which is random",
    ),
    rule(Some(api::PRODUCE), "*.log_append_time_ms", How::Number(1), "a time"),
    rule(Some(OF_COORDINATOR), "value.commit_timestamp", How::Mask, "a time"),
    rule(Some(OF_COORDINATOR), "value.expire_timestamp", How::Mask, "a time"),
    rule(Some(OF_COORDINATOR), "value.current_state_timestamp", How::Mask, "a time"),
    rule(Some(OF_COORDINATOR), "value.assignment_timestamp", How::Mask, "a time"),
    rule(Some(OF_COORDINATOR), "value.timestamp", How::Mask, "a time"),
    rule(Some(OF_COORDINATOR), "value.version", How::Mask, "an offset of the metadata log"),
    rule(Some(OF_COORDINATOR), "value.metadata_hash", How::Mask, "ids of topics are in it"),
    rule(Some(OF_COORDINATOR), "value.members", How::Sort, "ClassicGroup has a hash map of members"),
    rule(Some(api::END_TXN), "producer_id", How::Number(0), "the next one of a block"),
    rule(Some(api::WRITE_TXN_MARKERS), "markers.producer_id", How::Number(0), "the next one of a block"),
    rule(
        Some(api::WRITE_TXN_MARKERS),
        "markers.topics",
        How::Sort,
        "KafkaApis.handleWriteTxnMarkersRequest has hash maps",
    ),
    rule(Some(api::WRITE_TXN_MARKERS), "markers.topics.partitions", How::Sort, "as its topics"),
    rule(Some(api::ADD_PARTITIONS_TO_TXN), "results_by_topic_v3_and_below", How::Sort, BY_PARTITION),
    rule(
        Some(api::ADD_PARTITIONS_TO_TXN),
        "results_by_topic_v3_and_below.results_by_partition",
        How::Sort,
        BY_PARTITION,
    ),
    rule(Some(api::ADD_PARTITIONS_TO_TXN), "results_by_transaction.topic_results", How::Sort, BY_PARTITION),
    rule(
        Some(api::ADD_PARTITIONS_TO_TXN),
        "results_by_transaction.topic_results.results_by_partition",
        How::Sort,
        BY_PARTITION,
    ),
    rule(Some(api::TXN_OFFSET_COMMIT), "topics", How::Sort, BY_PARTITION),
    rule(Some(api::DESCRIBE_TRANSACTIONS), "transaction_states.producer_id", How::Number(0), "the next one of a block"),
    rule(Some(api::DESCRIBE_TRANSACTIONS), "transaction_states.transaction_start_time_ms", How::Number(1), "a time"),
    rule(Some(api::LIST_TRANSACTIONS), "transaction_states.producer_id", How::Number(0), "the next one of a block"),
    rule(Some(api::FETCH), "*.aborted_transactions.producer_id", How::Number(0), "the next one of a block"),
];

/// What stands for an API in the rules for records of a coordinator.
const OF_COORDINATOR: i16 = -1;

/// Metadata v0 asks for all with an empty array, later versions with a null.
fn asks_for_all_topics(question: &Value) -> bool {
    question.is_null() || matches!(&question["topics"], Value::Null) || question["topics"].array().is_empty()
}

/// What questions have in them of the answers before. Batches carry ids of producers, and some are nonsense on purpose.
const OF_QUESTIONS: &[Rule] = &[
    rule(None, "*.member_id", How::GivenId, RANDOM_ID),
    rule(Some(api::FETCH), "session_id", How::Number(1), "random (FetchSessionCache.newSessionId)"),
    rule(Some(api::FETCH), "topics.partitions.fetch_offset", How::Mask, "of a coordinator's log, the end of it"),
    rule(Some(api::PRODUCE), "*.records", How::Mask, "ids of producers are in them"),
    rule(Some(api::PUSH_TELEMETRY), "subscription_id", How::Mask, "made of the client's id, which is random"),
    rule(Some(api::ALTER_REPLICA_LOG_DIRS), "dirs.path", How::Mask, "where the broker keeps its data"),
    rule(None, "*.producer_id", How::Mask, "the next one of a block"),
    rule(None, "producer_id", How::Mask, "the next one of a block"),
    rule(None, "v3_and_below_producer_id", How::Mask, "the next one of a block"),
    rule(None, "producer_id_filters", How::Mask, "the next one of a block"),
];

/// Configs of a broker that say where it is and not how it behaves. That they are set, and where, is compared.
const WHEREABOUTS: &[&str] = &["advertised.listeners", "controller.quorum.voters", "listeners", "log.dirs"];

/// What the broker did in each step, made comparable.
///
/// # Panics
///
/// If an answer is not one; [`crate::judge::Run`] has looked at each before.
#[must_use]
pub fn answers(transcript: &Transcript) -> Vec<Value> {
    let mut seen = Seen::new(RULES, transcript);
    let answers = transcript.steps.iter().map(|step| match step.outcome {
        Outcome::Closed => Value::from("closes the connection"),
        Outcome::Silent => Value::from("does not answer, but the next request"),
        Outcome::Stuck => Value::from("never answers"),
        Outcome::Answer(_) => {
            let answer = step.answer().unwrap_or_else(|fault| panic!("{}: {fault}", step.label));
            seen.question = step.question().unwrap_or(Value::Null);
            seen.normalize(step.api_key, "", answer)
        }
    });
    answers.collect()
}

/// The questions, made comparable; null for what is no request.
#[must_use]
pub fn questions(transcript: &Transcript) -> Vec<Value> {
    let mut seen = Seen::new(OF_QUESTIONS, transcript);
    let steps = transcript.steps.iter();
    steps
        .map(|step| step.question().map_or(Value::Null, |question| seen.normalize(step.api_key, "", question)))
        .collect()
}

/// What a transcript has shown so far.
struct Seen<'a> {
    rules: &'static [Rule],
    token: &'a str,
    several_nodes: bool,
    /// What is being answered; null for what is no request.
    question: Value,
    /// By kind, what was seen, in order.
    numbers: HashMap<String, Vec<String>>,
}

impl<'a> Seen<'a> {
    fn new(rules: &'static [Rule], transcript: &'a Transcript) -> Self {
        let several_nodes = transcript.nodes > 1;
        Self { rules, token: &transcript.token, several_nodes, question: Value::Null, numbers: HashMap::new() }
    }

    fn normalize(&mut self, api_key: i16, path: &str, value: Value) -> Value {
        let all = self.rules;
        let rules = || all.iter().filter(|rule| rule.is_for(api_key, path));
        let mut value = match value {
            Value::Str(text) => Value::Str(self.text(&text)),
            Value::Uuid(id) if !id.is_nil() => self.number("id", &id.to_string()),
            Value::Array(mut elements) => {
                // Before anything in them is numbered: the numbers go by the order.
                if rules().any(|rule| self.is_sorted(rule.how)) {
                    elements.sort_by_cached_key(|element| self.identity(element));
                }
                Value::Array(elements.into_iter().map(|element| self.normalize(api_key, path, element)).collect())
            }
            Value::Struct(fields) => {
                let inner = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                let fields = fields.into_iter();
                Value::Struct(
                    fields.map(|(name, field)| (name, self.normalize(api_key, &inner(name), field))).collect(),
                )
            }
            other => other,
        };
        for rule in rules() {
            value = self.apply(rule.how, path, value);
        }
        value
    }

    fn is_sorted(&self, how: How) -> bool {
        match how {
            How::Sort => true,
            How::SortIf(is_such) => is_such(&self.question),
            _ => false,
        }
    }

    fn apply(&mut self, how: How, path: &str, value: Value) -> Value {
        match (how, value) {
            (_, Value::Null) => Value::Null,
            (How::MaskOfSeveral, value) if !self.several_nodes => value,
            (How::Mask | How::MaskOfSeveral, _) => Value::from("(masked)"),
            (How::Number(least), Value::Int(number)) if number >= least => {
                let kind = path.rsplit('.').next().unwrap_or(path).to_owned();
                self.number(&kind, &number.to_string())
            }
            (How::GivenId, Value::Str(text)) if is_given_id(&text) => self.number("id", &text),
            (How::Batches, Value::Bytes(bytes)) => self.batches(bytes),
            (How::Served, Value::Array(mut entries)) => {
                entries.retain(|entry| scenarios::all().any(|known| entry["api_key"] == known.api_key));
                Value::Array(entries)
            }
            (How::CoordinatorLog, Value::Array(partitions)) => {
                Value::Array(partitions.into_iter().map(without_offsets).collect())
            }
            (How::Whereabouts, Value::Array(entries)) => Value::Array(entries.into_iter().map(without_place).collect()),
            (_, value) => value,
        }
    }

    /// A text without what is of this run alone.
    fn text(&mut self, text: &str) -> String {
        let mut rest = text.replace(self.token, "*");
        let mut normal = String::new();
        while let Some(at) = uuid_in(&rest) {
            normal += &rest[..at];
            let Value::Str(number) = self.number("id", &rest[at..at + UUID_LENGTH]) else { unreachable!("it is text") };
            normal += &number;
            rest = rest[at + UUID_LENGTH..].to_owned();
        }
        normal + &rest
    }

    /// Which element of an array this is. An id that was not seen before says nothing: it is another one at each broker.
    fn identity(&self, element: &Value) -> Vec<String> {
        let Value::Struct(fields) = element else { return Vec::new() };
        let known = |name: &&str| fields.iter().find(|(field, _)| field == name);
        let text = |value: &Value| match value {
            Value::Uuid(id) => {
                let seen = self.numbers.get("id").and_then(|ids| ids.iter().position(|known| *known == id.to_string()));
                seen.map_or_else(|| "?".to_owned(), |index| index.to_string())
            }
            Value::Str(text) if uuid_in(text).is_some() => {
                let at = uuid_in(text).unwrap_or(0);
                let id = &text[at..at + UUID_LENGTH];
                let seen = self.numbers.get("id").and_then(|ids| ids.iter().position(|known| known == id));
                format!("{} {}", &text[..at], seen.map_or_else(|| "?".to_owned(), |index| index.to_string()))
            }
            Value::Str(text) if is_given_id(text) => {
                let seen = self.numbers.get("id").and_then(|ids| ids.iter().position(|known| known == text));
                seen.map_or_else(|| "?".to_owned(), |index| index.to_string())
            }
            value => format!("{value:?}"),
        };
        IDENTITY.iter().filter_map(known).map(|(_, value)| text(value)).collect()
    }

    fn number(&mut self, kind: &str, seen: &str) -> Value {
        let known = self.numbers.entry(kind.to_owned()).or_default();
        let index = known.iter().position(|other| other == seen).unwrap_or_else(|| {
            known.push(seen.to_owned());
            known.len() - 1
        });
        Value::Str(format!("({kind} {})", index + 1))
    }

    /// The CRC is left out: the kit checks it, and it covers what is masked here.
    fn batches(&mut self, bytes: Bytes) -> Value {
        let batches = Batch::decode_all(bytes.clone());
        let whole: usize = batches.iter().map(|batch| HEADER_SIZE + batch.payload.len()).sum();
        let of_coordinator: Option<Vec<_>> = batches.iter().map(coordinator_records::decode).collect();
        if let Some(records) = of_coordinator.filter(|records| !records.is_empty()) {
            // Kafka gathers what it writes within `group.coordinator.append.linger.ms`: where a batch ends is chance.
            let mut records: Vec<_> = records.into_iter().flatten().collect();
            // Of several members at once a consumer group writes in the order of its hash tables.
            for members in records.chunk_by_mut(|one, other| one["record"] == other["record"] && is_of_member(one)) {
                members.sort_by_cached_key(|record| format!("{:?}", record["key"]));
            }
            let records = records.into_iter().map(|record| self.normalize(OF_COORDINATOR, "", record));
            return value!({ records: records.collect::<Vec<_>>() });
        }
        let batches: Vec<_> = batches.into_iter().map(|batch| self.batch(batch)).collect();
        value!({ batches: batches, bytes_of_a_cut_batch: bytes.slice(whole..) })
    }

    fn batch(&mut self, batch: Batch) -> Value {
        let producer_id = match batch.producer_id {
            -1 => Value::Int(-1),
            id => self.number("producer_id", &id.to_string()),
        };
        // A marker bears the time at which it was written.
        let is_marker = batch.attributes & CONTROL != 0;
        let by_broker = batch.attributes & LOG_APPEND_TIME != 0 || is_marker;
        let time = |masked: bool, time: i64| if masked { Value::from("(masked)") } else { time.into() };
        let (first, latest) = (time(is_marker, batch.base_timestamp), time(by_broker, batch.max_timestamp));
        value!({
            base_offset: batch.base_offset, partition_leader_epoch: batch.partition_leader_epoch,
            attributes: batch.attributes, last_offset_delta: batch.last_offset_delta,
            base_timestamp: first, max_timestamp: latest, producer_id: producer_id,
            producer_epoch: batch.producer_epoch, base_sequence: batch.base_sequence,
            record_count: batch.record_count, payload: batch.payload,
        })
    }
}

impl Rule {
    fn is_for(&self, api_key: i16, path: &str) -> bool {
        let of_api = self.api_key.is_none_or(|mine| mine == api_key);
        of_api
            && match self.path.strip_prefix("*.") {
                Some(end) => path == end || path.strip_suffix(end).is_some_and(|start| start.ends_with('.')),
                None => path == self.path,
            }
    }
}

/// A partition of a Fetch's answer without its offsets, if a coordinator wrote what is in it. Its records were made
/// comparable before.
fn without_offsets(partition: Value) -> Value {
    let Value::Struct(fields) = partition else { return partition };
    let is_of_coordinator = fields.iter().any(|(name, value)| {
        *name == "records" && matches!(value, Value::Struct(_)) && value.field("records").is_some()
    });
    let mask = |(name, value): (&'static str, Value)| match name {
        "high_watermark" | "last_stable_offset" if is_of_coordinator => (name, Value::from("(masked)")),
        _ => (name, value),
    };
    Value::Struct(fields.into_iter().map(mask).collect())
}

/// The length of `8-4-4-4-12`.
const UUID_LENGTH: usize = 36;

/// Whether a record of a coordinator is about one member of a consumer group.
fn is_of_member(record: &Value) -> bool {
    matches!(&record["key"], Value::Struct(fields) if fields.iter().any(|(name, _)| *name == "member_id"))
}

/// Whether a text is an id as Kafka writes one; names of a run are longer.
fn is_given_id(text: &str) -> bool {
    text.len() == 22 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Where the first id in a text begins.
fn uuid_in(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_one = |window: &[u8]| {
        window.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    bytes.windows(UUID_LENGTH).position(is_one)
}

/// A config entry, or a synonym, without its value if that is an address or a directory.
fn without_place(entry: Value) -> Value {
    let Value::Struct(fields) = entry else { return entry };
    let hidden = fields.iter().any(|(name, value)| {
        *name == "name" && WHEREABOUTS.iter().any(|place| matches!(value, Value::Str(text) if text == place))
    });
    let fields = fields.into_iter().map(|(name, value)| match (name, value) {
        ("value", Value::Str(_)) if hidden => (name, Value::from("(masked)")),
        ("synonyms", Value::Array(synonyms)) if hidden => {
            (name, Value::Array(synonyms.into_iter().map(without_place).collect()))
        }
        (name, value) => (name, value),
    });
    Value::Struct(fields.collect())
}
