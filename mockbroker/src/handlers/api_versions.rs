//! ApiVersions (key 18), v0-v4.
//!
//! Which APIs this broker serves, computed from the handler table, and the features of the cluster.
//!
//! Versions: v1 throttle time; v3 flexible, the client's software name and version, features; v4 lists features whose
//! minimum is 0 (KAFKA-17011). The response header is v0 at every version. A version this broker does not know is
//! answered at v0 with UNSUPPORTED_VERSION and the range it does know (KIP-511): the one API that does so.
//! Not modelled: v5 (KIP-1242, Kafka 4.4).
//! Source: ApiVersionsRequest.json; KIP-35, KIP-511, KIP-584; ApiVersionsRequest.isValid, KafkaApis.handleApiVersionsRequest.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Ctx, table};
use crate::state::State;

pub(super) const API: Api = Api::new::<ApiVersionsRequest>(0, 4);

pub(super) fn handle(state: &mut State, ctx: &mut Ctx<'_>, request: ApiVersionsRequest) -> Answer<ApiVersionsResponse> {
    let named = is_software_text(&request.client_software_name) && is_software_text(&request.client_software_version);
    if ctx.version >= 3 && !named {
        return Answer::Now(refuse(&request, ResponseError::InvalidRequest));
    }
    let response = ApiVersionsResponse::default().with_api_keys(api_keys());
    if ctx.version < 3 {
        return Answer::Now(response);
    }
    let features = state.cluster.features();
    let supported = features.supported().filter(|feature| ctx.version >= 4 || feature.min > 0);
    Answer::Now(
        response
            .with_supported_features(
                supported
                    .map(|feature| {
                        SupportedFeatureKey::default()
                            .with_name(StrBytes::from_static_str(feature.name))
                            .with_min_version(feature.min)
                            .with_max_version(feature.max)
                    })
                    .collect(),
            )
            .with_finalized_features_epoch(state.cluster.metadata_offset())
            .with_finalized_features(
                features
                    .finalized()
                    .map(|(name, level)| {
                        FinalizedFeatureKey::default()
                            .with_name(StrBytes::from_static_str(name))
                            .with_max_version_level(level)
                            .with_min_version_level(level)
                    })
                    .collect(),
            ),
    )
}

pub(super) fn refuse(_request: &ApiVersionsRequest, error: ResponseError) -> ApiVersionsResponse {
    ApiVersionsResponse::default().with_error_code(error.code())
}

/// The answer to a version that is not known, to be encoded at v0.
pub(super) fn unsupported_version() -> ApiVersionsResponse {
    let this = api_keys().into_iter().filter(|api| api.api_key == table::API_VERSIONS).collect();
    ApiVersionsResponse::default().with_error_code(ResponseError::UnsupportedVersion.code()).with_api_keys(this)
}

fn api_keys() -> Vec<ApiVersion> {
    table::advertised()
        .map(|entry| {
            ApiVersion::default().with_api_key(entry.key).with_min_version(entry.min).with_max_version(entry.max)
        })
        .collect()
}

/// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`
fn is_software_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_software_text_begins_and_ends_with_a_letter_or_digit() {
        for good in ["a", "apache-kafka-java", "4.3.1", "A-.b"] {
            assert!(is_software_text(good), "{good}");
        }
        for bad in ["", "-", "a-", ".a", "a b", "a_b", "ä"] {
            assert!(!is_software_text(bad), "{bad}");
        }
    }
}
