//! Which ACLs are meant.

use std::sync::Arc;

use kafka_protocol::messages::{DescribeAclsRequest, delete_acls_request::DeleteAclsFilter};

use super::{
    Acl, AclOperation, AclPermission, PatternType, ResourceType,
    kinds::{ANY, MATCH},
    unknown,
};
use crate::{admin::text, error::Result};

/// How the name of a filter is compared with that of an ACL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Comparison {
    /// The names are equal, whatever the pattern type.
    #[default]
    Any,
    /// The ACL holds for a resource of that name.
    Match,
    /// The names are equal, and the pattern type is this one.
    Exact(PatternType),
}

/// Which ACLs are described or deleted: those that match every part (`AclBindingFilter`). What is left out does not matter.
///
/// ```
/// use async_kafka::admin::{AclFilter, AclOperation, ResourceType};
///
/// // Whoever is allowed or denied to write to the topic, be it by its name, a prefix or `*`.
/// let writers = AclFilter::all().matching(ResourceType::Topic, "orders").operation(AclOperation::Write);
/// # drop(writers);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AclFilter {
    resource_type: Option<ResourceType>,
    name: Option<Arc<str>>,
    comparison: Comparison,
    principal: Option<Arc<str>>,
    host: Option<Arc<str>>,
    operation: Option<AclOperation>,
    permission: Option<AclPermission>,
}

impl AclFilter {
    /// All ACLs.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// This ACL and no other.
    #[must_use]
    pub fn exactly(acl: &Acl) -> Self {
        Self {
            resource_type: Some(acl.resource.resource_type),
            name: Some(Arc::clone(&acl.resource.name)),
            comparison: Comparison::Exact(acl.resource.pattern_type),
            principal: Some(Arc::clone(&acl.principal)),
            host: Some(Arc::clone(&acl.host)),
            operation: Some(acl.operation),
            permission: Some(acl.permission),
        }
    }

    /// ACLs for resources of a type.
    #[must_use]
    pub fn resource_type(mut self, resource_type: ResourceType) -> Self {
        self.resource_type = Some(resource_type);
        self
    }

    /// ACLs for a name that is written so: `orders-` as a prefix is not `orders-` as a literal.
    #[must_use]
    pub fn named(mut self, resource_type: ResourceType, name: impl Into<Arc<str>>, pattern_type: PatternType) -> Self {
        self.name = Some(name.into());
        self.comparison = Comparison::Exact(pattern_type);
        self.resource_type(resource_type)
    }

    /// ACLs that hold for the resource of a name: by the name, by a prefix of it, or by `*` (`PatternType.MATCH`).
    #[must_use]
    pub fn matching(mut self, resource_type: ResourceType, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self.comparison = Comparison::Match;
        self.resource_type(resource_type)
    }

    /// ACLs of a principal, by its very name: `User:*` is not that of `User:app`.
    #[must_use]
    pub fn principal(mut self, principal: impl Into<Arc<str>>) -> Self {
        self.principal = Some(principal.into());
        self
    }

    /// ACLs for a host, by its very name: `*` is not that of `10.0.0.7`.
    #[must_use]
    pub fn host(mut self, address: impl Into<Arc<str>>) -> Self {
        self.host = Some(address.into());
        self
    }

    /// ACLs for an operation: [`AclOperation::All`] is only that which says so.
    #[must_use]
    pub fn operation(mut self, operation: AclOperation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// ACLs that allow, or that deny.
    #[must_use]
    pub fn permission(mut self, permission: AclPermission) -> Self {
        self.permission = Some(permission);
        self
    }

    /// Brokers close the connection at a number that they do not know, which reads like a failure that passes.
    pub(super) fn check(&self) -> Result<()> {
        if let Some(of @ ResourceType::Unknown(_)) = self.resource_type {
            return Err(unknown("resource_type", of));
        }
        if let Comparison::Exact(of @ PatternType::Unknown(_)) = self.comparison {
            return Err(unknown("pattern_type", of));
        }
        if let Some(of @ AclOperation::Unknown(_)) = self.operation {
            return Err(unknown("operation", of));
        }
        match self.permission {
            Some(of @ AclPermission::Unknown(_)) => Err(unknown("permission", of)),
            _ => Ok(()),
        }
    }

    const fn pattern_type(&self) -> i8 {
        match self.comparison {
            Comparison::Any => ANY,
            Comparison::Match => MATCH,
            Comparison::Exact(of) => of.number(),
        }
    }

    pub(super) fn deletion(&self) -> DeleteAclsFilter {
        DeleteAclsFilter::default()
            .with_resource_type_filter(self.resource_type.map_or(ANY, ResourceType::number))
            .with_resource_name_filter(self.name.as_deref().map(text))
            .with_pattern_type_filter(self.pattern_type())
            .with_principal_filter(self.principal.as_deref().map(text))
            .with_host_filter(self.host.as_deref().map(text))
            .with_operation(self.operation.map_or(ANY, AclOperation::number))
            .with_permission_type(self.permission.map_or(ANY, AclPermission::number))
    }

    /// The same fields as [`Self::deletion`].
    pub(super) fn description(&self) -> DescribeAclsRequest {
        let of = self.deletion();
        DescribeAclsRequest::default()
            .with_resource_type_filter(of.resource_type_filter)
            .with_resource_name_filter(of.resource_name_filter)
            .with_pattern_type_filter(of.pattern_type_filter)
            .with_principal_filter(of.principal_filter)
            .with_host_filter(of.host_filter)
            .with_operation(of.operation)
            .with_permission_type(of.permission_type)
    }
}
