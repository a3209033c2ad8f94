//! PushTelemetry (key 72), v0.
//!
//! Takes what a client tells of itself, and drops it. Not advertised, as on a Kafka without a receiver of telemetry.
//!
//! Versions: v0 is flexible.
//! Not modelled: see `cluster/telemetry.rs`.
//! Source: PushTelemetryRequest.json; KIP-714; ClientMetricsManager.processPushTelemetryRequest.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{PushTelemetryRequest, PushTelemetryResponse};

use super::{Answer, Api, Ctx};
use crate::cluster::telemetry::{Client, Push};
use crate::state::State;

pub(super) const API: Api = Api::new::<PushTelemetryRequest>(0, 0);

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: PushTelemetryRequest,
) -> Answer<PushTelemetryResponse> {
    let client = Client { node: ctx.node, instance_id: request.client_instance_id, client_id: ctx.client_id };
    let push = Push {
        subscription_id: request.subscription_id,
        terminating: request.terminating,
        compression_type: request.compression_type,
        size_bytes: request.metrics.len(),
    };
    Answer::Now(match state.telemetry.push(&state.cluster, client, push, ctx.now) {
        Ok(()) => PushTelemetryResponse::default(),
        Err(error) => refuse(&request, error),
    })
}

pub(super) fn refuse(_request: &PushTelemetryRequest, error: ResponseError) -> PushTelemetryResponse {
    PushTelemetryResponse::default().with_error_code(error.code())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::GetTelemetrySubscriptionsRequest;

    use super::*;
    use crate::handlers::get_telemetry_subscriptions;
    use crate::handlers::testing::Rig;

    #[test]
    fn a_push_is_taken_from_a_client_that_has_asked() {
        let mut rig = Rig::new(1, &[]);
        let unknown = PushTelemetryRequest::default();
        assert_eq!(rig.call(0, handle, unknown).error_code, 42);
        let asked = GetTelemetrySubscriptionsRequest::default();
        let told = rig.call(0, get_telemetry_subscriptions::handle, asked);
        let push = PushTelemetryRequest::default()
            .with_client_instance_id(told.client_instance_id)
            .with_subscription_id(told.subscription_id);
        assert_eq!(rig.call(0, handle, push).error_code, 0);
    }
}
