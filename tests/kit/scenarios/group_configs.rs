//! Configs of groups, whether or not there is such a group: set, bounded by the broker's, listed, deleted.

use std::collections::BTreeSet;

use crate::judge::Run;
use crate::{Value, api, value};

const GROUP: i8 = 32;

/// A change of one config; `None` deletes it.
fn change(group: &str, key: &str, to: Option<&str>) -> Value {
    let operation = i8::from(to.is_none());
    let config = value!({ name: key, config_operation: operation, value: to });
    value!({ resources: [{ resource_type: GROUP, resource_name: group, configs: [config] }] })
}

pub(super) async fn groups(run: &mut Run) {
    let group = run.name("g");
    for (key, values) in [
        ("consumer.session.timeout.ms", &["45000", "60000", "44999", "60001", "5000", "-1", "x", ""][..]),
        ("consumer.heartbeat.interval.ms", &["5000", "15000", "4999", "15001", "0"]),
        ("consumer.assignment.interval.ms", &["0", "15000", "15001", "-1"]),
        ("share.session.timeout.ms", &["45000", "60001"]),
        ("share.heartbeat.interval.ms", &["5000", "15001"]),
        ("share.record.lock.duration.ms", &["15000", "60001", "999"]),
        ("share.auto.offset.reset", &["earliest", "latest", "by_duration:PT1H", "nonsense"]),
        ("share.isolation.level", &["read_committed", "nonsense"]),
        ("share.delivery.count.limit", &["2", "10", "11", "1"]),
        ("share.partition.max.record.locks", &["100", "10001", "99"]),
        ("share.renew.acknowledge.enable", &["false", "nonsense"]),
        ("streams.session.timeout.ms", &["45000", "60001"]),
        ("streams.num.standby.replicas", &["0", "2", "3"]),
        ("streams.initial.rebalance.delay.ms", &["0", "-1"]),
    ] {
        for value in values {
            run.step(&format!("{key} is {value:?}"), change(&group, key, Some(value))).await;
        }
    }
    let describe = value!({ resources: [{ resource_type: GROUP, resource_name: &group, configuration_keys: null }] });
    // What was set shows a moment later.
    let shows = |answer: &Value| {
        answer["results"][0]["configs"]
            .array()
            .iter()
            .any(|entry| entry["name"] == "streams.initial.rebalance.delay.ms" && entry["value"] == "0")
    };
    let described = run.until(api::DESCRIBE_CONFIGS, 4, describe.clone(), shows).await;
    let set = described["results"][0]["configs"].array().iter().filter(|entry| entry["config_source"] == 8);
    let set: BTreeSet<String> = set.map(|entry| entry["name"].str().to_owned()).collect();
    for key in &set {
        run.step(&format!("{key} as before"), change(&group, key, None)).await;
    }
    run.step("one that is not set", change(&group, "share.isolation.level", None)).await;
    let list = value!({ resource_types: [GROUP] });
    let is_gone = |answer: &Value| answer["config_resources"].array().is_empty();
    run.until(api::LIST_CONFIG_RESOURCES, 1, list, is_gone).await;
}
