//! DescribeQuorum, UpdateFeatures, GetTelemetrySubscriptions, PushTelemetry.

use uuid::Uuid;

use crate::judge::Run;
use crate::{Value, api, value};

pub(super) async fn quorum(run: &mut Run) {
    let of = |topics: &[(&str, &[i32])]| {
        let topics: Vec<_> = topics
            .iter()
            .map(|(name, indexes)| {
                let partitions: Vec<_> = indexes.iter().map(|index| value!({ partition_index: *index })).collect();
                value!({ topic_name: *name, partitions: partitions })
            })
            .collect();
        value!({ topics: topics })
    };
    const METADATA: &str = "__cluster_metadata";
    run.step("the quorum", of(&[(METADATA, &[0])])).await;
    run.step("no topics", of(&[])).await;
    run.step("no partitions", of(&[(METADATA, &[])])).await;
    run.step("partition 1", of(&[(METADATA, &[1])])).await;
    run.step("two partitions", of(&[(METADATA, &[0, 1])])).await;
    run.step("a partition twice", of(&[(METADATA, &[0, 0])])).await;
    run.step("another topic", of(&[("t", &[0])])).await;
    run.step("another topic, two partitions", of(&[("t", &[0, 1])])).await;
    run.step("two topics", of(&[(METADATA, &[0]), ("t", &[0])])).await;
    run.step("no name", of(&[("", &[0])])).await;
}

fn update(updates: &[(&str, i16, i8)], validate_only: bool) -> Value {
    let updates: Vec<_> = updates
        .iter()
        .map(|(feature, level, upgrade_type)| {
            value!({
                feature: *feature, max_version_level: *level, upgrade_type: *upgrade_type,
                allow_downgrade: *upgrade_type > 1,
            })
        })
        .collect();
    value!({ feature_updates: updates, timeout_ms: 10_000, validate_only: validate_only })
}

const UPGRADE: i8 = 1;
const SAFE: i8 = 2;
const UNSAFE: i8 = 3;

/// Changes nothing that lasts: what Kafka would take is only validated, from v1 on, where that can be asked for.
pub(super) async fn features(run: &mut Run) {
    run.step("nothing", update(&[], false)).await;
    for (label, feature, level, upgrade_type) in [
        ("the level it has", "metadata.version", 30, UPGRADE),
        ("an unknown feature", "nonsense", 1, UPGRADE),
        ("an unknown feature to 0", "nonsense", 0, SAFE),
        ("no name", "", 1, UPGRADE),
        ("a level too high", "metadata.version", 99, UPGRADE),
        ("a level too low", "metadata.version", 1, SAFE),
        ("level 0", "metadata.version", 0, SAFE),
        ("level -1", "metadata.version", -1, UPGRADE),
        ("a downgrade as an upgrade", "metadata.version", 29, UPGRADE),
        ("a downgrade of metadata far back", "metadata.version", 7, SAFE),
        ("an unsafe downgrade of metadata far back", "metadata.version", 7, UNSAFE),
        ("the level it has as a downgrade", "metadata.version", 30, SAFE),
        ("kraft.version as it is", "kraft.version", 0, UPGRADE),
        ("kraft.version too high", "kraft.version", 2, UPGRADE),
    ] {
        run.step(label, update(&[(feature, level, upgrade_type)], false)).await;
    }
    let two = [("metadata.version", 30, UPGRADE), ("nonsense", 1, UPGRADE)];
    run.step("one of two", update(&two, false)).await;
    run.step("a feature twice", update(&[two[0], two[0]], false)).await;
    if run.version >= 1 {
        for upgrade_type in [0, 4, -1, 127] {
            run.step(&format!("upgrade type {upgrade_type}"), update(&[("metadata.version", 30, upgrade_type)], false))
                .await;
        }
        for level in [29, 28, 25] {
            for upgrade_type in [SAFE, UNSAFE] {
                let body = update(&[("metadata.version", level, upgrade_type)], true);
                run.step(&format!("validate level {level}, upgrade type {upgrade_type}"), body).await;
            }
        }
        run.step("validate the level it has", update(&[("metadata.version", 30, UPGRADE)], true)).await;
        run.step("validate kraft.version", update(&[("kraft.version", 1, UPGRADE)], true)).await;
    }
}

/// An instance id of this run: the same whenever the run has the same name.
fn id_of(run: &Run, what: &str) -> Uuid {
    let name = run.name(what);
    let hash =
        |salt: u64| name.bytes().fold(salt, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    Uuid::from_u64_pair(hash(0xcbf2_9ce4_8422_2325), hash(0x9ae1_6a3b_2f90_404f))
}

pub(super) async fn subscriptions(run: &mut Run) {
    let from = |id: Uuid| value!({ client_instance_id: id });
    let told = run.step("without an id", from(Uuid::nil())).await;
    let id = if told.is_null() { Uuid::from_u128(77) } else { told["client_instance_id"].uuid() };
    run.step("again, too early", from(id)).await;
    let own = id_of(run, "own");
    run.step("with an id of its own", from(own)).await;
    let wrong = value!({ client_instance_id: id_of(run, "other"), subscription_id: 77, compression_type: 0 });
    run.ask(api::PUSH_TELEMETRY, 0, wrong).await;
    let other = id_of(run, "other");
    run.step("after a push of an unknown subscription", from(other)).await;
    run.step("with a reserved id", from(Uuid::from_u128(1))).await;
}

pub(super) async fn push(run: &mut Run) {
    let push = |id: Uuid, subscription_id: i64, terminating: bool, compression: i8, metrics: &[u8]| {
        value!({
            client_instance_id: id, subscription_id: subscription_id, terminating: terminating,
            compression_type: compression, metrics: metrics,
        })
    };
    run.step("without an id", push(Uuid::nil(), 0, false, 0, b"")).await;
    run.step("with a reserved id", push(Uuid::from_u128(1), 0, false, 0, b"")).await;
    let id = id_of(run, "pushes");
    run.step("unknown", push(id, 77, false, 0, b"")).await;
    run.step("unknown again", push(id, 77, false, 0, b"")).await;
    run.step("unknown, terminating", push(id, 77, true, 0, b"")).await;
    run.step("after the end", push(id, 77, true, 0, b"")).await;
    let told = run.ask(api::GET_TELEMETRY_SUBSCRIPTIONS, 0, value!({ client_instance_id: Uuid::nil() })).await;
    let (id, subscription) = (told["client_instance_id"].uuid(), told["subscription_id"].int());
    run.step("subscribed, compression 9", push(id, subscription, false, 9, b"x")).await;
    run.step("subscribed", push(id, subscription, true, 0, b"x")).await;
    let told = run.ask(api::GET_TELEMETRY_SUBSCRIPTIONS, 0, value!({ client_instance_id: Uuid::nil() })).await;
    let (id, subscription) = (told["client_instance_id"].uuid(), told["subscription_id"].int());
    run.step("nothing to say", push(id, subscription, false, 0, b"")).await;
    run.step("nothing to say again, too early", push(id, subscription, false, 0, b"")).await;
}
