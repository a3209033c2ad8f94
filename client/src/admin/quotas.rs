//! Quotas of users, client ids and addresses (KIP-546; Kafka 2.6).

use std::{collections::BTreeMap, sync::Arc};

use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, DescribeClientQuotasRequest, DescribeClientQuotasResponse,
    alter_client_quotas_request as alter, describe_client_quotas_request::ComponentData,
};

use super::{Admin, Results, ask::Place, name, outcome, text};
use crate::{error::Result, wire::versions::Api};

/// Whom a quota is for: names by type (`user`, `client-id`, `ip`), no name for whoever has no quota of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuotaEntity(BTreeMap<Arc<str>, Option<Arc<str>>>);

impl QuotaEntity {
    /// A user.
    #[must_use]
    pub fn user(name: impl Into<Arc<str>>) -> Self {
        Self::default().and("user", Some(name.into()))
    }

    /// A client id.
    #[must_use]
    pub fn client_id(client_id: impl Into<Arc<str>>) -> Self {
        Self::default().and("client-id", Some(client_id.into()))
    }

    /// An address.
    #[must_use]
    pub fn ip(address: impl Into<Arc<str>>) -> Self {
        Self::default().and("ip", Some(address.into()))
    }

    /// Narrowed: a client id of a user. `None` is everyone of the type without a quota of its own.
    #[must_use]
    pub fn and(mut self, entity_type: impl Into<Arc<str>>, name: Option<Arc<str>>) -> Self {
        self.0.insert(entity_type.into(), name);
        self
    }

    /// The names by type.
    pub fn parts(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(entity_type, name)| (&**entity_type, name.as_deref()))
    }
}

/// What a quota must be for to be listed, for one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuotaMatch {
    /// For this name.
    Name(Arc<str>),
    /// For everyone without a quota of its own.
    Default,
    /// For a name or everyone.
    Any,
}

/// Quotas of one entity, by key: `producer_byte_rate`, `consumer_byte_rate`, `request_percentage`,
/// `controller_mutation_rate`, `connection_creation_rate`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Quota {
    /// Whom they are for.
    pub entity: QuotaEntity,
    /// The limits.
    pub limits: BTreeMap<Arc<str>, f64>,
}

impl Admin {
    /// The quotas that match every part, by type. Quotas with other types besides match as well. An empty filter is for all.
    pub async fn describe_quotas(
        &self,
        filter: impl IntoIterator<Item = (impl Into<String>, QuotaMatch)>,
    ) -> Result<Vec<Quota>> {
        let components = filter.into_iter().map(|(entity_type, of)| {
            let (match_type, name) = match of {
                QuotaMatch::Name(name) => (0, Some(text(name.as_ref()))),
                QuotaMatch::Default => (1, None),
                QuotaMatch::Any => (2, None),
            };
            ComponentData::default().with_entity_type(text(entity_type)).with_match_type(match_type).with_match(name)
        });
        let request = DescribeClientQuotasRequest::default().with_components(components.collect());
        let read = |answer: DescribeClientQuotasResponse| {
            outcome(DescribeClientQuotasRequest::NAME, answer.error_code, answer.error_message.as_ref())?;
            let quotas = answer.entries.iter().flatten().map(|entry| {
                let parts = entry.entity.iter().map(|of| (name(&of.entity_type), of.entity_name.as_ref().map(name)));
                let limits = entry.values.iter().map(|value| (name(&value.key), value.value));
                Quota { entity: QuotaEntity(parts.collect()), limits: limits.collect() }
            });
            Ok(quotas.collect())
        };
        self.one(Place::Any, |_| request.clone(), read).await
    }

    /// Sets limits by key, or with `None` takes them back. Error: `INVALID_REQUEST`.
    pub async fn alter_quotas(
        &self,
        changes: impl IntoIterator<Item = (QuotaEntity, Vec<(String, Option<f64>)>)>,
    ) -> Results<QuotaEntity> {
        let changes: BTreeMap<QuotaEntity, Vec<(String, Option<f64>)>> = changes.into_iter().collect();
        self.each(
            changes.keys().cloned(),
            |_| Place::Any,
            |_, entities| {
                let entries = entities.iter().map(|entity| {
                    let parts = entity.parts().map(|(entity_type, name)| {
                        alter::EntityData::default()
                            .with_entity_type(text(entity_type))
                            .with_entity_name(name.map(text))
                    });
                    let limits = changes[entity].iter().map(|(key, limit)| {
                        alter::OpData::default()
                            .with_key(text(key.as_str()))
                            .with_value(limit.unwrap_or(0.0))
                            .with_remove(limit.is_none())
                    });
                    alter::EntryData::default().with_entity(parts.collect()).with_ops(limits.collect())
                });
                AlterClientQuotasRequest::default().with_entries(entries.collect())
            },
            |_, answer: AlterClientQuotasResponse| {
                let entries = answer.entries.iter().map(|entry| {
                    let parts =
                        entry.entity.iter().map(|of| (name(&of.entity_type), of.entity_name.as_ref().map(name)));
                    let api = AlterClientQuotasRequest::NAME;
                    let result = outcome(api, entry.error_code, entry.error_message.as_ref());
                    (QuotaEntity(parts.collect()), result)
                });
                entries.collect()
            },
        )
        .await
    }
}
