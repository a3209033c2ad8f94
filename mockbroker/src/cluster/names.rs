//! What a topic may be called (`org.apache.kafka.common.internals.Topic`).

use kafka_protocol::error::ResponseError;

use super::Refusal;
use super::internal_topics::{CONSUMER_OFFSETS, SHARE_GROUP_STATE, TRANSACTION_STATE};

/// The topic of the metadata log, which no client can create.
pub(crate) const CLUSTER_METADATA: &str = "__cluster_metadata";

const MAX_LENGTH: usize = 249;

/// Refuses an illegal name with Kafka's text.
pub(crate) fn check(name: &str) -> Result<(), Refusal> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let reason = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." | ".." => format!("'{name}' is not allowed"),
        _ if name.encode_utf16().count() > MAX_LENGTH => {
            format!("the length of '{name}' is longer than the max allowed length {MAX_LENGTH}")
        }
        _ if !name.bytes().all(is_legal) => {
            format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
        }
        _ => return Ok(()),
    };
    Err(Refusal::new(ResponseError::InvalidTopicException, format!("Topic name is invalid: {reason}")))
}

/// Whether the topic is one that the broker writes itself.
pub(crate) fn is_internal(name: &str) -> bool {
    [CONSUMER_OFFSETS, TRANSACTION_STATE, SHARE_GROUP_STATE].contains(&name)
}

/// Two names collide when they are equal after this, because metric names turn dots into underscores. `None` for a name
/// that cannot collide.
pub(super) fn unified(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_ascii_and_not_a_dot() {
        // Source: Topic.validate; the texts were seen on 4.3.1.
        let text = |name: &str| check(name).unwrap_err().message.unwrap();
        assert_eq!(text(""), "Topic name is invalid: the empty string is not allowed");
        assert_eq!(text(".."), "Topic name is invalid: '..' is not allowed");
        assert!(text(&"x".repeat(250)).ends_with("' is longer than the max allowed length 249"));
        assert!(
            text("a b")
                .ends_with("'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
        );
        for good in ["a", "A-b_c.9", &"x".repeat(249), "__consumer_offsets"] {
            assert_eq!(check(good), Ok(()));
        }
    }
}
