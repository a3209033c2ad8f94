//! F.1: what is wrong whatever the group is. Codes and texts are those of a real 4.3.1.

use kafka_protocol::error::ResponseError::{self, InvalidRequest};

use super::kit::{World, beat, join};
use crate::group::consumer::{ConsumerConfig, Heartbeat};

fn check(request: &Heartbeat, api_version: i16) -> Result<(), (ResponseError, String)> {
    let checked = request.check("g", api_version >= 1, &ConsumerConfig::default());
    checked.map_err(|refusal| (refusal.error, refusal.message.unwrap_or_default()))
}

#[test]
fn a_request_is_checked_before_the_group() {
    let owned = World::new().of_t(&[0]);
    let mut no_timeout = join("A", &["t"]);
    no_timeout.rebalance_timeout_ms = -1;
    let mut owned_is_null = join("A", &["t"]);
    owned_is_null.topic_partitions = None;
    let mut no_subscription = join("A", &["t"]);
    no_subscription.subscribed_topic_names = None;
    let mut no_rack = beat("A", 1);
    no_rack.rack_id = Some(String::new());
    let id = "MemberId can't be empty.";
    let owned_text = "TopicPartitions must be empty when (re-)joining.";
    let subscription = "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.";
    for (request, api_version, text) in [
        (join("", &["t"]), 1, id),
        (beat("", 1), 0, id),
        (beat("", -1), 0, id),
        (beat("A", 1).instance(""), 1, "InstanceId can't be empty."),
        (no_rack, 1, "RackId can't be empty."),
        (no_timeout, 1, "RebalanceTimeoutMs must be provided in first request."),
        (owned_is_null, 1, owned_text),
        (join("A", &["t"]).owning(&owned), 1, owned_text),
        (no_subscription, 1, subscription),
        (beat("A", -2), 1, "InstanceId can't be null."),
        (beat("", -2), 0, "InstanceId can't be null."),
        (beat("A", -3), 1, "MemberEpoch is invalid."),
    ] {
        assert_eq!(check(&request, api_version), Err((InvalidRequest, text.to_owned())), "{request:?}");
    }
}

#[test]
fn a_group_has_a_name() {
    let refusal = join("A", &["t"]).check("", true, &ConsumerConfig::default()).unwrap_err();
    assert_eq!((refusal.error, refusal.message.as_deref()), (InvalidRequest, Some("GroupId can't be empty.")));
}

#[test]
fn an_assignor_that_is_not_configured_is_not_supported() {
    let text = "ServerAssignor foo is not supported. Supported assignors: uniform, range.".to_owned();
    let refused = Err((ResponseError::UnsupportedAssignor, text));
    assert_eq!(check(&join("A", &["t"]).assignor("foo"), 1), refused);
    assert_eq!(check(&join("A", &["t"]).assignor("range"), 1), Ok(()));
}

#[test]
fn an_empty_subscription_and_a_missing_id_in_version_0_are_fine() {
    assert_eq!(check(&join("A", &[]), 1), Ok(()));
    assert_eq!(check(&join("", &["t"]), 0), Ok(()));
    assert_eq!(check(&beat("A", -2).instance("i"), 1), Ok(()));
}
