//! Why a batch is not appended: what one partition of a Produce answer says. No rules, only their outcome.

use std::fmt::Write as _;

use kafka_protocol::error::ResponseError;

use crate::types::PartitionId;

/// A refused batch, in the words of `ProduceResponse.PartitionProduceResponse`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rejected {
    /// The partition's error code.
    pub(crate) error: ResponseError,
    /// `error_message` (v8+).
    pub(crate) message: Option<String>,
    /// `record_errors` (v8+): every bad record of the batch.
    pub(crate) record_errors: Vec<RecordError>,
    /// Whether the answer carries the partition's log start offset; -1 otherwise. Kafka knows it for whatever failed
    /// inside the log, except for the errors it calls known (`ReplicaManager.appendRecordsToLeader`).
    pub(crate) log_start_known: bool,
    /// Whether Kafka fails every partition of the request with this error and message, not just this one: it meets
    /// such bytes before it looks at partitions (`RequestUtils`, `KafkaApis.handleProduceRequest`).
    pub(crate) whole_request: bool,
}

/// One bad record of a refused batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordError {
    /// The place of the record in its batch.
    pub(crate) batch_index: i32,
    /// What is wrong with it.
    pub(crate) message: Option<String>,
}

/// `LogValidator.validateKey`, without the partition's name, which [`Rejected::in_partition`] adds.
const NULL_KEY: &str = "Compacted topic cannot accept message without key";

impl Rejected {
    /// Refused before the log was asked, or with an error that Kafka answers without a log start offset.
    pub(super) fn outside_log(error: ResponseError) -> Self {
        Self { error, message: None, record_errors: Vec::new(), log_start_known: false, whole_request: false }
    }

    /// Refused by the log.
    pub(super) fn in_log(error: ResponseError) -> Self {
        Self { log_start_known: true, ..Self::outside_log(error) }
    }

    /// Refused while the request as a whole was looked at.
    pub(crate) fn whole_request(error: ResponseError, message: Option<String>) -> Self {
        Self { message, whole_request: true, ..Self::outside_log(error) }
    }

    /// Refused for single records. One timestamp error makes it INVALID_TIMESTAMP
    /// (`LogValidator.processRecordErrors`).
    pub(super) fn records(record_errors: Vec<RecordError>, any_timestamp_error: bool) -> Self {
        let (error, message) = if any_timestamp_error {
            let text = "One or more records have been rejected due to invalid timestamp";
            (ResponseError::InvalidTimestamp, text.to_owned())
        } else {
            (ResponseError::InvalidRecord, summary(&record_errors))
        };
        Self { message: Some(message), record_errors, ..Self::in_log(error) }
    }

    /// The same with the partition named where Kafka's texts name it.
    pub(crate) fn in_partition(mut self, topic: &str, partition: PartitionId) -> Self {
        for error in &mut self.record_errors {
            if let Some(message) = &mut error.message
                && message == NULL_KEY
            {
                let _infallible = write!(message, " in topic partition {topic}-{partition}");
            }
        }
        if self.error == ResponseError::InvalidRecord && !self.record_errors.is_empty() {
            self.message = Some(summary(&self.record_errors));
        }
        self
    }
}

impl RecordError {
    /// A record without a key on a compacted topic.
    pub(super) fn null_key(batch_index: i32) -> Self {
        Self { batch_index, message: Some(NULL_KEY.to_owned()) }
    }
}

impl From<ResponseError> for Rejected {
    /// Refused with nothing more to say.
    fn from(error: ResponseError) -> Self {
        Self::outside_log(error)
    }
}

/// `LogValidator.processRecordErrors`; the list is Java's `List<RecordError>.toString`.
fn summary(errors: &[RecordError]) -> String {
    let mut text = format!(
        "One or more records have been rejected due to {} record errors in total, and only showing the first three \
         errors at most: [",
        errors.len()
    );
    for (place, error) in errors.iter().take(3).enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        let message = error.message.as_deref().unwrap_or("null");
        let _infallible = write!(text, "{comma}RecordError(batchIndex={}, message='{message}')", error.batch_index);
    }
    text.push(']');
    text
}
