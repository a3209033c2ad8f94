//! GetTelemetrySubscriptions (key 71), v0.
//!
//! What a client is to tell of itself, and how often. Not advertised, as on a Kafka without a receiver of telemetry.
//!
//! Versions: v0 is flexible.
//! Not modelled: see `cluster/telemetry.rs`.
//! Source: GetTelemetrySubscriptionsRequest.json; KIP-714; ClientMetricsManager.processGetTelemetrySubscriptionRequest.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse};

use super::answers::text;
use super::{Answer, Api, Ctx};
use crate::cluster::telemetry::Client;
use crate::state::State;

pub(super) const API: Api = Api::new::<GetTelemetrySubscriptionsRequest>(0, 0);

/// The ids of zstd, lz4, gzip and snappy: what the broker can read, the best first (`SUPPORTED_COMPRESSION_TYPES`).
const COMPRESSION_TYPES: [i8; 4] = [4, 3, 1, 2];

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: GetTelemetrySubscriptionsRequest,
) -> Answer<GetTelemetrySubscriptionsResponse> {
    let asked = request.client_instance_id;
    let instance_id = if asked.is_nil() { state.ids.uuid() } else { asked };
    let client = Client { node: ctx.node, instance_id, client_id: ctx.client_id };
    let subscription = match state.telemetry.subscribe(&state.cluster, client, ctx.now) {
        Ok(subscription) => subscription,
        Err(error) => return Answer::Now(refuse(&request, error)),
    };
    let most_bytes = state.cluster.settings_of(ctx.node).telemetry_max_bytes;
    let response = GetTelemetrySubscriptionsResponse::default()
        .with_client_instance_id(instance_id)
        .with_subscription_id(subscription.subscription_id)
        .with_accepted_compression_types(COMPRESSION_TYPES.to_vec())
        .with_push_interval_ms(subscription.push_interval_ms)
        .with_telemetry_max_bytes(i32::try_from(most_bytes).unwrap_or(i32::MAX))
        .with_delta_temporality(true)
        .with_requested_metrics(subscription.metrics.into_iter().map(text).collect());
    Answer::Now(response)
}

pub(super) fn refuse(
    _request: &GetTelemetrySubscriptionsRequest,
    error: ResponseError,
) -> GetTelemetrySubscriptionsResponse {
    GetTelemetrySubscriptionsResponse::default().with_error_code(error.code())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::testing::Rig;

    #[test]
    fn a_client_without_an_id_gets_one_and_is_to_keep_it() {
        // Seen on 4.3.1.
        let mut rig = Rig::new(1, &[]);
        let first = rig.call(0, handle, GetTelemetrySubscriptionsRequest::default());
        assert!(!first.client_instance_id.is_nil());
        assert_eq!((first.push_interval_ms, first.telemetry_max_bytes), (300_000, 1_048_576));
        assert_eq!(first.accepted_compression_types, COMPRESSION_TYPES);
        let again = GetTelemetrySubscriptionsRequest::default().with_client_instance_id(first.client_instance_id);
        let refused = rig.call(0, handle, again);
        assert_eq!((refused.error_code, refused.client_instance_id.is_nil()), (89, true));
    }
}
