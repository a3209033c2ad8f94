//! Small things that several answers have in common: texts, lists of node ids, authorized operations, errors with their
//! texts.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::BrokerId;
use kafka_protocol::protocol::StrBytes;

use crate::cluster::Refusal;
use crate::types::NodeId;

/// What anyone may do with the cluster when there is no authorizer, as the bits of KIP-430: CREATE, ALTER, DESCRIBE,
/// CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE. Seen on 4.3.1.
pub(super) const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;

/// What anyone may do with a topic when there is no authorizer: READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE,
/// DESCRIBE_CONFIGS, ALTER_CONFIGS. Seen on 4.3.1, also for topics that do not exist.
pub(super) const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;

/// What anyone may do with a group when there is no authorizer: READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS.
pub(super) const GROUP_OPERATIONS: i32 = 0b1101_0100_1000;

/// What the wire has when nobody asked for authorized operations.
pub(super) const NO_OPERATIONS: i32 = i32::MIN;

/// The longest string that the wire has at every version (`MessageDataGenerator`).
const LONGEST_STRING: usize = 0x7fff;

/// Whether the text of a refusal is longer than a string can be. Kafka's controller cannot write an answer that has such a
/// text in it, and says UNKNOWN_SERVER_ERROR of everything that was asked of it (`RequestHandlerHelper.handleError`).
pub(super) fn is_too_long(refusal: &Refusal) -> bool {
    refusal.message.as_ref().is_some_and(|text| text.len() > LONGEST_STRING)
}

/// `text` as the wire has it. A text that quotes what a client sent may be longer than a string can be: its end is left out.
pub(super) fn text(text: impl Into<String>) -> StrBytes {
    let mut text = text.into();
    if text.len() > LONGEST_STRING {
        text.truncate(text.floor_char_boundary(LONGEST_STRING));
    }
    StrBytes::from_string(text)
}

pub(super) fn broker_ids(nodes: impl IntoIterator<Item = NodeId>) -> Vec<BrokerId> {
    nodes.into_iter().map(|node| BrokerId(node.0)).collect()
}

/// The code and the text of an outcome: 0 and null when all is well.
pub(super) fn outcome<T>(result: &Result<T, Refusal>) -> (i16, Option<StrBytes>) {
    match result {
        Ok(_) => (0, None),
        Err(refusal) => (refusal.error.code(), refusal.message.clone().map(text)),
    }
}

/// The text Kafka has for an error when nothing more is to be said (`Errors.message`). Given for the errors that the
/// answers of these handlers carry with a text; "" for others.
pub(super) fn default_text(error: ResponseError) -> StrBytes {
    StrBytes::from_static_str(match error {
        ResponseError::UnknownServerError => "The server experienced an unexpected error when processing the request.",
        ResponseError::UnknownTopicOrPartition => "This server does not host this topic-partition.",
        ResponseError::UnknownTopicId => "This server does not host this topic ID.",
        ResponseError::RequestTimedOut => "The request timed out.",
        ResponseError::CoordinatorLoadInProgress => "The coordinator is loading and hence can't process requests.",
        ResponseError::CoordinatorNotAvailable => "The coordinator is not available.",
        ResponseError::NotCoordinator => "This is not the correct coordinator.",
        ResponseError::TopicAuthorizationFailed => "Topic authorization failed.",
        ResponseError::GroupAuthorizationFailed => "Group authorization failed.",
        ResponseError::ClusterAuthorizationFailed => "Cluster authorization failed.",
        ResponseError::TransactionalIdAuthorizationFailed => "Transactional Id authorization failed.",
        ResponseError::InvalidRequest => {
            "This most likely occurs because of a request being malformed by the client library or the message was sent \
             to an incompatible broker. See the broker logs for more details."
        }
        _ => "",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_quotes_too_much_still_fits_a_string() {
        assert_eq!(&*text("short"), "short");
        let long = text("ä".repeat(LONGEST_STRING));
        assert_eq!(long.len(), LONGEST_STRING - 1, "no character is cut in two");
    }
}
