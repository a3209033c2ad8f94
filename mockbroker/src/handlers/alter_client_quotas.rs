//! AlterClientQuotas (key 49), v0-v1.
//!
//! Sets and takes away quotas of users, clients and addresses. They are kept and listed; nobody is throttled by them.
//!
//! Versions: v1 flexible.
//! Not modelled: an authorizer; names of hosts other than `localhost`.
//! Source: AlterClientQuotasRequest.json; KIP-546, KIP-612; ClientQuotaControlManager.alterClientQuotas.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_client_quotas_request;
use kafka_protocol::messages::alter_client_quotas_response::{EntityData, EntryData};
use kafka_protocol::messages::{AlterClientQuotasRequest, AlterClientQuotasResponse};

use super::answers::{outcome, text};
use super::{Answer, Api, Ctx};
use crate::cluster::Refusal;
use crate::cluster::quotas::{Entity, QuotaOp};
use crate::state::State;

pub(super) const API: Api = Api::new::<AlterClientQuotasRequest>(0, 1);

pub(super) fn handle(
    state: &mut State,
    _ctx: &mut Ctx<'_>,
    request: AlterClientQuotasRequest,
) -> Answer<AlterClientQuotasResponse> {
    let alterations = request.entries.iter().map(|entry| {
        let ops =
            entry.ops.iter().map(|op| QuotaOp { key: op.key.to_string(), value: (!op.remove).then_some(op.value) });
        (entity(entry), ops.collect())
    });
    let outcomes = state.cluster.alter_quotas(alterations.collect(), request.validate_only);
    let entries = outcomes.iter().map(|(entity, outcome)| told(entity, outcome));
    Answer::Now(AlterClientQuotasResponse::default().with_entries(entries.collect()))
}

pub(super) fn refuse(request: &AlterClientQuotasRequest, error: ResponseError) -> AlterClientQuotasResponse {
    let refusal = Err(Refusal::code(error));
    let entries = request.entries.iter().map(|entry| told(&entity(entry), &refusal));
    AlterClientQuotasResponse::default().with_entries(entries.collect())
}

fn entity(entry: &alter_client_quotas_request::EntryData) -> Entity {
    let parts = entry.entity.iter();
    Entity::new(parts.map(|it| (it.entity_type.to_string(), it.entity_name.as_ref().map(ToString::to_string))))
}

fn told(entity: &Entity, altered: &Result<(), Refusal>) -> EntryData {
    let (error_code, error_message) = outcome(altered);
    let parts = entity
        .parts()
        .map(|(kind, name)| EntityData::default().with_entity_type(text(kind)).with_entity_name(name.map(text)));
    EntryData::default().with_error_code(error_code).with_error_message(error_message).with_entity(parts.collect())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::alter_client_quotas_request::OpData;

    use super::*;
    use crate::handlers::testing::Rig;

    #[test]
    fn validating_keeps_nothing_and_each_entity_has_its_own_outcome() {
        let mut rig = Rig::new(1, &[]);
        let entry = |kind: &'static str| {
            let part = alter_client_quotas_request::EntityData::default().with_entity_type(text(kind));
            let op = OpData::default().with_key(text("producer_byte_rate")).with_value(5.0);
            let part = part.with_entity_name(Some(text("x")));
            alter_client_quotas_request::EntryData::default().with_entity(vec![part]).with_ops(vec![op])
        };
        let request = AlterClientQuotasRequest::default().with_entries(vec![entry("user"), entry("nonsense")]);
        let kept = |rig: &Rig| rig.state.cluster.quotas_of(&[], false).count();
        let dry = rig.call(1, handle, request.clone().with_validate_only(true));
        assert_eq!(dry.entries.iter().map(|entry| entry.error_code).collect::<Vec<_>>(), [0, 42]);
        assert_eq!(kept(&rig), 0);
        assert_eq!(rig.call(0, handle, request), dry);
        assert_eq!(kept(&rig), 1);
    }
}
