//! What a Produce answer says about each batch of its request.
//!
//! Pure. One code per partition: some batches of a request may be written while others fail. A partition that the answer
//! does not mention may be written; one that was not asked about is ignored; of two answers the first counts.

use std::{collections::HashMap, sync::Arc};

use kafka_protocol::messages::{
    ProduceRequest, ProduceResponse,
    produce_response::{PartitionProduceResponse, TopicProduceResponse},
};
use uuid::Uuid;

use super::{batcher::Batch, delivery::Acknowledged};
use crate::{
    cluster::{
        CallError,
        metadata::{Metadata, address},
    },
    codes::ErrorCode,
    error::{CloseReason, Error, Result, Written},
    wire::versions::Api,
};

/// A batch with its place in the request.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) topic: Arc<str>,
    pub(crate) topic_id: Uuid,
    pub(crate) partition: i32,
    pub(crate) batch: Batch,
}

/// What became of one batch.
#[derive(Debug)]
pub(crate) enum Verdict {
    Written(Acknowledged),
    Failed(CallError),
}

/// The verdict on each batch. Leaders that the broker names on the way are told to `metadata` (KIP-951).
pub(crate) fn verdicts(
    batches: Vec<Placed>,
    answer: Result<Option<ProduceResponse>, CallError>,
    metadata: &Metadata,
) -> Vec<(Placed, Verdict)> {
    let same = |verdict: &dyn Fn() -> Verdict, batches: Vec<Placed>| {
        batches.into_iter().map(|placed| (placed, verdict())).collect()
    };
    let response = match answer {
        Ok(Some(response)) => response,
        // acks=0: the bytes are written, and nobody will say more.
        Ok(None) => {
            return same(&|| Verdict::Written(Acknowledged { base_offset: None, log_append_time: None }), batches);
        }
        Err(failed) => return same(&|| Verdict::Failed(failed.clone()), batches),
    };
    let mut answers: HashMap<(usize, i32), &PartitionProduceResponse> = HashMap::new();
    for topic in &response.responses {
        let Some(at) = batches.iter().position(|placed| is(placed, topic)) else { continue };
        for partition in &topic.partition_responses {
            answers.entry((at, partition.index)).or_insert(partition);
        }
    }
    // The sender sorts batches by topic, so the first of a topic stands for all of it.
    let mut verdicts = Vec::with_capacity(batches.len());
    let mut first = 0;
    let mut last_topic: Option<Arc<str>> = None;
    for (index, placed) in batches.into_iter().enumerate() {
        if last_topic.as_ref() != Some(&placed.topic) {
            first = index;
            last_topic = Some(Arc::clone(&placed.topic));
        }
        let verdict = match answers.get(&(first, placed.partition)) {
            Some(answer) => verdict(&placed, answer, &response, metadata),
            None => Verdict::Failed(unanswered(&placed)),
        };
        verdicts.push((placed, verdict));
    }
    verdicts
}

/// Topics are answered by name up to v12, by id from v13 on.
fn is(placed: &Placed, topic: &TopicProduceResponse) -> bool {
    if topic.topic_id.is_nil() { *placed.topic == **topic.name } else { placed.topic_id == topic.topic_id }
}

fn verdict(
    placed: &Placed,
    answer: &PartitionProduceResponse,
    response: &ProduceResponse,
    metadata: &Metadata,
) -> Verdict {
    let code = ErrorCode::from_number(answer.error_code);
    // A duplicate is in the log already, which is all that was wanted; brokers before 4.0 say so with a code.
    if matches!(code, ErrorCode::None | ErrorCode::DuplicateSequenceNumber) {
        return Verdict::Written(Acknowledged {
            base_offset: Some(answer.base_offset).filter(|offset| *offset >= 0),
            log_append_time: Some(answer.log_append_time_ms).filter(|time| *time >= 0),
        });
    }
    let leader = &answer.current_leader;
    if leader.leader_id.0 >= 0 {
        let endpoint = response.node_endpoints.iter().find(|node| node.node_id == leader.leader_id);
        let endpoint = endpoint.and_then(|node| address(&node.host, node.port));
        metadata.hint(&placed.topic, placed.partition, (leader.leader_id.0, leader.leader_epoch), endpoint);
    }
    let error = Error::Server {
        api: ProduceRequest::NAME,
        topic: Some(Arc::clone(&placed.topic)),
        partition: Some(placed.partition),
        code,
        message: message(answer),
    };
    let written = if code.may_have_been_written() { Written::MaybeWritten } else { Written::NotWritten };
    Verdict::Failed(CallError { error, written })
}

/// The broker's words, with the records that it names (KIP-467).
fn message(answer: &PartitionProduceResponse) -> Option<Arc<str>> {
    let mut text = answer.error_message.as_ref().map(|message| message.to_string()).unwrap_or_default();
    for record in answer.record_errors.iter().take(3) {
        let reason = record.batch_index_error_message.as_ref().map_or("no reason given", |message| message.as_str());
        text.push_str(&format!(" [record {}: {reason}]", record.batch_index));
    }
    (!text.is_empty()).then(|| text.trim().into())
}

fn unanswered(placed: &Placed) -> CallError {
    let place = format!("the answer to Produce leaves out {}-{}", placed.topic, placed.partition);
    let error = Error::Disconnected {
        address: "the broker".into(),
        reason: CloseReason::Io(Arc::new(std::io::Error::other(place))),
    };
    CallError { error, written: Written::MaybeWritten }
}
