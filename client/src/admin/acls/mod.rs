//! ACLs: who may do what, from where (KIP-140; patterns by KIP-290). They need a broker with an authorizer.

mod filter;
mod kinds;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use kafka_protocol::{
    messages::{
        CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse, DescribeAclsRequest,
        DescribeAclsResponse, create_acls_request::AclCreation, delete_acls_response::DeleteAclsFilterResult,
        describe_acls_response::AclDescription,
    },
    protocol::StrBytes,
};

pub use self::{
    filter::AclFilter,
    kinds::{AclOperation, AclPermission, PatternType, ResourceType},
};
use super::{Admin, Results, ask::Place, name, outcome, text};
use crate::{
    error::{Error, Result},
    wire::versions::Api,
};

/// The name of the one cluster there is (`Resource.CLUSTER_NAME`).
const CLUSTER: &str = "kafka-cluster";
/// Every host, and every resource of a type (`ResourcePattern.WILDCARD_RESOURCE`).
const EVERY: &str = "*";

/// What an ACL is about: one resource, or all whose names begin alike (`ResourcePattern`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AclResource {
    /// Of which type it is.
    pub resource_type: ResourceType,
    /// Its name, or how names begin; `*` as a literal is every one.
    pub name: Arc<str>,
    /// How the name is meant.
    pub pattern_type: PatternType,
}

impl AclResource {
    /// The resource of a type and name; `*` is every one of the type.
    #[must_use]
    pub fn new(resource_type: ResourceType, name: impl Into<Arc<str>>) -> Self {
        Self { resource_type, name: name.into(), pattern_type: PatternType::Literal }
    }

    /// A topic.
    #[must_use]
    pub fn topic(name: impl Into<Arc<str>>) -> Self {
        Self::new(ResourceType::Topic, name)
    }

    /// A group.
    #[must_use]
    pub fn group(group_id: impl Into<Arc<str>>) -> Self {
        Self::new(ResourceType::Group, group_id)
    }

    /// A transactional id.
    #[must_use]
    pub fn transactional_id(transactional_id: impl Into<Arc<str>>) -> Self {
        Self::new(ResourceType::TransactionalId, transactional_id)
    }

    /// The cluster.
    #[must_use]
    pub fn cluster() -> Self {
        Self::new(ResourceType::Cluster, CLUSTER)
    }

    /// Every resource whose name begins so.
    #[must_use]
    pub fn prefixed(mut self) -> Self {
        self.pattern_type = PatternType::Prefixed;
        self
    }
}

impl fmt::Display for AclResource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {}", self.pattern_type, self.resource_type, self.name)
    }
}

/// That somebody may, or may not, do something (`AclBinding`).
///
/// ```
/// use async_kafka::admin::{Acl, AclOperation, AclResource};
///
/// let reads = Acl::allow("User:billing", AclOperation::Read, AclResource::topic("orders"));
/// let from_there = Acl::deny("User:*", AclOperation::All, AclResource::topic("secret-").prefixed()).host("10.0.0.7");
/// assert_eq!(reads.to_string(), "ALLOW User:billing from * READ of LITERAL TOPIC orders");
/// # drop(from_there);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acl {
    /// What it is about.
    pub resource: AclResource,
    /// Who, as `User:name`; `User:*` is everybody. A client without a login is `User:ANONYMOUS`.
    pub principal: Arc<str>,
    /// From which address; `*` is every one.
    pub host: Arc<str>,
    /// To do what.
    pub operation: AclOperation,
    /// Whether it is allowed.
    pub permission: AclPermission,
}

impl Acl {
    /// Allows it, from every host unless [`host`](Self::host) says which.
    #[must_use]
    pub fn allow(principal: impl Into<Arc<str>>, operation: AclOperation, resource: AclResource) -> Self {
        let (principal, host) = (principal.into(), EVERY.into());
        Self { resource, principal, host, operation, permission: AclPermission::Allow }
    }

    /// Denies it, from every host unless [`host`](Self::host) says which. Wins over whatever allows it.
    #[must_use]
    pub fn deny(principal: impl Into<Arc<str>>, operation: AclOperation, resource: AclResource) -> Self {
        Self { permission: AclPermission::Deny, ..Self::allow(principal, operation, resource) }
    }

    /// From this address alone.
    #[must_use]
    pub fn host(mut self, address: impl Into<Arc<str>>) -> Self {
        self.host = address.into();
        self
    }

    /// Brokers close the connection at a number that they do not know, which reads like a failure that passes.
    fn check(&self) -> Result<()> {
        AclFilter::exactly(self).check()
    }

    fn creation(&self) -> AclCreation {
        AclCreation::default()
            .with_resource_type(self.resource.resource_type.number())
            .with_resource_name(text(self.resource.name.as_ref()))
            .with_resource_pattern_type(self.resource.pattern_type.number())
            .with_principal(text(self.principal.as_ref()))
            .with_host(text(self.host.as_ref()))
            .with_operation(self.operation.number())
            .with_permission_type(self.permission.number())
    }

    /// What answers hold: type, name and pattern of the resource; principal and host; operation and permission.
    fn read(resource: (i8, &StrBytes, i8), who: (&StrBytes, &StrBytes), what: (i8, i8)) -> Self {
        let resource = AclResource {
            resource_type: ResourceType::from_number(resource.0),
            name: name(resource.1),
            pattern_type: PatternType::from_number(resource.2),
        };
        let (operation, permission) = (AclOperation::from_number(what.0), AclPermission::from_number(what.1));
        Self { resource, principal: name(who.0), host: name(who.1), operation, permission }
    }
}

impl fmt::Display for Acl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, principal, host, operation, permission } = self;
        write!(formatter, "{permission} {principal} from {host} {operation} of {resource}")
    }
}

impl Admin {
    /// The ACLs that match. They are those that the asked broker knows: it hears of a new one a moment after it was created.
    ///
    /// Errors: `SECURITY_DISABLED` from a broker without an authorizer (`authorizer.class.name`),
    /// `CLUSTER_AUTHORIZATION_FAILED`.
    pub async fn describe_acls(&self, filter: &AclFilter) -> Result<Vec<Acl>> {
        filter.check()?;
        self.one(Place::Any, |_| filter.description(), described).await
    }

    /// Creates ACLs. One that is there already stays as it is, and that is no error.
    ///
    /// Errors: `INVALID_REQUEST`, `SECURITY_DISABLED` from a broker without an authorizer (`authorizer.class.name`),
    /// `CLUSTER_AUTHORIZATION_FAILED`; [`Error::Config`] for what has an `Unknown` in it.
    pub async fn create_acls(&self, acls: impl IntoIterator<Item = Acl>) -> Results<Acl> {
        let (mut results, acls) = checked(acls, Acl::check);
        let make =
            |_, acls: &[Acl]| CreateAclsRequest::default().with_creations(acls.iter().map(Acl::creation).collect());
        results.extend(self.each(acls, |_| Place::Any, make, created).await);
        results
    }

    /// Deletes the ACLs that match, and tells for each filter which they were. After a lost answer the second request finds
    /// nothing to delete, and says so.
    ///
    /// Errors: `SECURITY_DISABLED` from a broker without an authorizer (`authorizer.class.name`),
    /// `CLUSTER_AUTHORIZATION_FAILED`; [`Error::Config`] for what has an `Unknown` in it.
    pub async fn delete_acls(&self, filters: impl IntoIterator<Item = AclFilter>) -> Results<AclFilter, Results<Acl>> {
        let (mut results, filters) = checked(filters, AclFilter::check);
        let make = |_, filters: &[AclFilter]| {
            DeleteAclsRequest::default().with_filters(filters.iter().map(AclFilter::deletion).collect())
        };
        results.extend(self.each(filters, |_| Place::Any, make, deleted).await);
        results
    }
}

/// What is refused without asking, and what is to be asked for.
fn checked<K: Ord, V>(keys: impl IntoIterator<Item = K>, check: impl Fn(&K) -> Result<()>) -> (Results<K, V>, Vec<K>) {
    let (mut refused, mut asked) = (Results::new(), Vec::new());
    for key in keys {
        match check(&key) {
            Ok(()) => asked.push(key),
            Err(error) => drop(refused.insert(key, Err(error))),
        }
    }
    (refused, asked)
}

fn described(answer: DescribeAclsResponse) -> Result<Vec<Acl>> {
    outcome(DescribeAclsRequest::NAME, answer.error_code, answer.error_message.as_ref())?;
    let acls = answer.resources.iter().flat_map(|of| {
        let resource = (of.resource_type, &of.resource_name, of.pattern_type);
        let read = move |acl: &AclDescription| {
            Acl::read(resource, (&acl.principal, &acl.host), (acl.operation, acl.permission_type))
        };
        of.acls.iter().map(read)
    });
    Ok(acls.collect())
}

/// Results come in the order of what was asked for, without names.
fn created(acls: &[Acl], answer: CreateAclsResponse) -> Vec<(Acl, Result<()>)> {
    let results =
        answer.results.iter().map(|of| outcome(CreateAclsRequest::NAME, of.error_code, of.error_message.as_ref()));
    acls.iter().cloned().zip(results).collect()
}

fn deleted(filters: &[AclFilter], answer: DeleteAclsResponse) -> Vec<(AclFilter, Result<Results<Acl>>)> {
    let api = DeleteAclsRequest::NAME;
    let matching = |of: &DeleteAclsFilterResult| {
        outcome(api, of.error_code, of.error_message.as_ref())?;
        let acls = of.matching_acls.iter().map(|acl| {
            let result = outcome(api, acl.error_code, acl.error_message.as_ref());
            let resource = (acl.resource_type, &acl.resource_name, acl.pattern_type);
            (Acl::read(resource, (&acl.principal, &acl.host), (acl.operation, acl.permission_type)), result)
        });
        Ok(acls.collect())
    };
    filters.iter().cloned().zip(answer.filter_results.iter().map(matching)).collect()
}

/// For what a request cannot hold.
fn unknown(setting: &'static str, what: impl fmt::Display) -> Error {
    Error::config(setting, format!("is {what}, for which a broker cannot be asked"))
}
