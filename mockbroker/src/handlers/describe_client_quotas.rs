//! DescribeClientQuotas (key 48), v0-v1.
//!
//! The quotas of users, clients and addresses that were set.
//!
//! Versions: v1 flexible.
//! Not modelled: an authorizer.
//! Source: DescribeClientQuotasRequest.json; KIP-546; ClientQuotasImage.describe.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use kafka_protocol::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};

use super::answers::text;
use super::{Answer, Api, Ctx};
use crate::cluster::quotas::check_filter;
use crate::state::State;

pub(super) const API: Api = Api::new::<DescribeClientQuotasRequest>(0, 1);

pub(super) fn handle(
    state: &mut State,
    _ctx: &mut Ctx<'_>,
    request: DescribeClientQuotasRequest,
) -> Answer<DescribeClientQuotasResponse> {
    let components = request.components.iter().map(|component| {
        (component.entity_type.to_string(), component.match_type, component._match.as_ref().map(ToString::to_string))
    });
    let parts = match check_filter(components) {
        Ok(parts) => parts,
        Err(refusal) => {
            let refused = refuse(&request, refusal.error);
            return Answer::Now(refused.with_error_message(refusal.message.map(text)));
        }
    };
    let entries = state.cluster.quotas_of(&parts, request.strict).map(|(entity, values)| {
        let entity = entity
            .parts()
            .map(|(kind, name)| EntityData::default().with_entity_type(text(kind)).with_entity_name(name.map(text)));
        let values = values.iter().map(|(key, value)| ValueData::default().with_key(text(key)).with_value(*value));
        EntryData::default().with_entity(entity.collect()).with_values(values.collect())
    });
    let response = DescribeClientQuotasResponse::default().with_error_message(Some(text("")));
    Answer::Now(response.with_entries(Some(entries.collect())))
}

pub(super) fn refuse(_request: &DescribeClientQuotasRequest, error: ResponseError) -> DescribeClientQuotasResponse {
    DescribeClientQuotasResponse::default().with_error_code(error.code()).with_error_message(None).with_entries(None)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::describe_client_quotas_request::ComponentData;

    use super::*;
    use crate::cluster::quotas::{Entity, QuotaOp};
    use crate::handlers::testing::Rig;

    #[test]
    fn what_was_set_is_told_and_a_filter_that_makes_no_sense_is_refused() {
        // Seen on 4.3.1: a refusal has no entries at all, not none.
        let mut rig = Rig::new(1, &[]);
        let user = Entity::new([("user".to_owned(), Some("u".to_owned()))]);
        let op = QuotaOp { key: "producer_byte_rate".to_owned(), value: Some(5.0) };
        rig.state.cluster.alter_quotas(vec![(user, vec![op])], false);
        let any = |kind: &'static str| {
            let component = ComponentData::default().with_entity_type(text(kind)).with_match_type(2).with_match(None);
            DescribeClientQuotasRequest::default().with_components(vec![component])
        };
        let told = rig.call(1, handle, any("user")).entries.unwrap();
        assert_eq!((told[0].entity[0].entity_name.as_deref(), told[0].values[0].value), (Some("u"), 5.0));
        assert_eq!(rig.call(0, handle, any("ip")).entries, Some(vec![]));
        let refused = rig.call(0, handle, any("nonsense"));
        let message = Some("Unsupported entity type nonsense");
        assert_eq!((refused.error_code, refused.error_message.as_deref(), refused.entries), (35, message, None));
    }
}
