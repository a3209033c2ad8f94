//! UpdateFeatures (key 57), v0-v2.
//!
//! Gives features of the cluster other levels: all that are named, or none.
//!
//! Versions: v0 is flexible; v1 upgrade types and validate_only (KIP-584 as revised); v2 no results of single features.
//! `allow_downgrade` of v0 is not looked at, as in Kafka.
//! Not modelled: an authorizer; features whose APIs are not modelled are not supported.
//! Source: UpdateFeaturesRequest.json; KIP-584, KIP-1022; FeatureControlManager.updateFeatures.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::update_features_response::UpdatableFeatureResult;
use kafka_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use kafka_protocol::protocol::StrBytes;

use super::answers::text;
use super::{Answer, Api, Ctx};
use crate::cluster::features::{FeatureUpdate, UpgradeType};
use crate::state::State;

pub(super) const API: Api = Api::new::<UpdateFeaturesRequest>(0, 2);

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: UpdateFeaturesRequest,
) -> Answer<UpdateFeaturesResponse> {
    let updates = request.feature_updates.iter().map(|update| FeatureUpdate {
        name: &update.feature,
        level: update.max_version_level,
        upgrade_type: UpgradeType::from_wire(update.upgrade_type),
    });
    let updates: Vec<_> = updates.collect();
    if let Err(why) = state.cluster.update_features(&updates, request.validate_only) {
        let text = text(format!("The update failed for all features since the following feature had an error: {why}"));
        let refused = refuse(&request, ResponseError::InvalidUpdateVersion);
        return Answer::Now(refused.with_error_message(Some(text)));
    }
    let results = request.feature_updates.into_iter().filter(|_| ctx.version <= 1).map(|update| {
        // Kafka gives the name of the error for want of a text.
        let none = StrBytes::from_static_str("NONE");
        UpdatableFeatureResult::default().with_feature(update.feature).with_error_message(Some(none))
    });
    Answer::Now(UpdateFeaturesResponse::default().with_error_message(None).with_results(results.collect()))
}

pub(super) fn refuse(_request: &UpdateFeaturesRequest, error: ResponseError) -> UpdateFeaturesResponse {
    UpdateFeaturesResponse::default().with_error_code(error.code()).with_error_message(None)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::update_features_request::FeatureUpdateKey;

    use super::*;
    use crate::handlers::testing::Rig;

    fn to(level: i16) -> FeatureUpdateKey {
        let name = StrBytes::from_static_str("metadata.version");
        FeatureUpdateKey::default().with_feature(name).with_max_version_level(level).with_upgrade_type(1)
    }

    #[test]
    fn levels_change_together_or_not_at_all_and_not_when_only_validated() {
        // Source: FeatureControlManager.updateFeatures.
        let mut rig = Rig::new(1, &[("feature.metadata.version", "25")]);
        let level = |rig: &Rig| rig.state.cluster.features().level("metadata.version");
        let nonsense = to(1).with_feature(StrBytes::from_static_str("nonsense"));
        let both = UpdateFeaturesRequest::default().with_feature_updates(vec![to(30), nonsense]);
        let refused = rig.call(1, handle, both);
        assert_eq!((refused.error_code, refused.results.len(), level(&rig)), (95, 0, 25));
        let one = UpdateFeaturesRequest::default().with_feature_updates(vec![to(30)]);
        assert_eq!(rig.call(1, handle, one.clone().with_validate_only(true)).error_code, 0);
        assert_eq!(level(&rig), 25);
        let response = rig.call(0, handle, one);
        assert_eq!((response.error_code, response.results[0].error_message.as_deref()), (0, Some("NONE")));
        assert_eq!(level(&rig), 30);
    }
}
