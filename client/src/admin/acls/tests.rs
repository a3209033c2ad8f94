//! Requests and answers about ACLs, without a broker.

use kafka_protocol::messages::{
    create_acls_response::AclCreationResult, delete_acls_response::DeleteAclsMatchingAcl,
    describe_acls_response::DescribeAclsResource,
};

use super::*;
use crate::codes::ErrorCode;

fn acl() -> Acl {
    Acl::deny("User:app", AclOperation::AlterConfigs, AclResource::topic("orders-").prefixed()).host("10.0.0.7")
}

/// The fields of a filter, as they are sent.
fn sent(filter: &AclFilter) -> (i8, Option<String>, i8, Option<String>, Option<String>, i8, i8) {
    let of = filter.deletion();
    let described = filter.description();
    let words = |word: &Option<StrBytes>| word.as_ref().map(ToString::to_string);
    assert_eq!(
        (of.resource_type_filter, words(&of.resource_name_filter), of.pattern_type_filter),
        (described.resource_type_filter, words(&described.resource_name_filter), described.pattern_type_filter),
    );
    assert_eq!(
        (words(&of.principal_filter), words(&of.host_filter), of.operation, of.permission_type),
        (
            words(&described.principal_filter),
            words(&described.host_filter),
            described.operation,
            described.permission_type
        ),
    );
    (
        of.resource_type_filter,
        words(&of.resource_name_filter),
        of.pattern_type_filter,
        words(&of.principal_filter),
        words(&of.host_filter),
        of.operation,
        of.permission_type,
    )
}

#[test]
fn an_acl_is_created_by_kafkas_numbers() {
    let creation = acl().creation();
    assert_eq!((creation.resource_type, &*creation.resource_name, creation.resource_pattern_type), (2, "orders-", 4));
    assert_eq!((&*creation.principal, &*creation.host), ("User:app", "10.0.0.7"));
    assert_eq!((creation.operation, creation.permission_type), (11, 2));
    let creation = Acl::allow("User:*", AclOperation::All, AclResource::cluster()).creation();
    assert_eq!(
        (creation.resource_type, &*creation.resource_name, creation.resource_pattern_type),
        (4, "kafka-cluster", 3)
    );
    assert_eq!((&*creation.host, creation.operation, creation.permission_type), ("*", 2, 3));
}

#[test]
fn what_a_filter_leaves_out_is_any() {
    assert_eq!(sent(&AclFilter::all()), (1, None, 1, None, None, 1, 1));
    let filter = AclFilter::all().resource_type(ResourceType::Group).permission(AclPermission::Allow);
    assert_eq!(sent(&filter), (3, None, 1, None, None, 1, 3));
    let filter = AclFilter::all().principal("User:app").host("*").operation(AclOperation::Read);
    assert_eq!(sent(&filter), (1, None, 1, Some("User:app".to_owned()), Some("*".to_owned()), 3, 1));
}

#[test]
fn a_name_is_that_of_a_pattern_or_of_what_patterns_take_in() {
    let orders = || Some("orders".to_owned());
    let literal = AclFilter::all().named(ResourceType::Topic, "orders", PatternType::Literal);
    assert_eq!(sent(&literal), (2, orders(), 3, None, None, 1, 1));
    let prefix = AclFilter::all().named(ResourceType::TransactionalId, "orders", PatternType::Prefixed);
    assert_eq!(sent(&prefix), (5, orders(), 4, None, None, 1, 1));
    let matching = AclFilter::all().matching(ResourceType::Topic, "orders");
    assert_eq!(sent(&matching), (2, orders(), 2, None, None, 1, 1));
    let exactly = (2, Some("orders-".to_owned()), 4, Some("User:app".to_owned()), Some("10.0.0.7".to_owned()), 11, 2);
    assert_eq!(sent(&AclFilter::exactly(&acl())), exactly);
}

#[test]
fn what_a_broker_cannot_be_asked_is_not_asked() {
    let all = AclFilter::all;
    for (filter, setting) in [
        (all().resource_type(ResourceType::Unknown(99)), "resource_type"),
        (all().named(ResourceType::Topic, "a", PatternType::Unknown(0)), "pattern_type"),
        (all().operation(AclOperation::Unknown(99)), "operation"),
        (all().permission(AclPermission::Unknown(1)), "permission"),
    ] {
        let error = filter.check().unwrap_err();
        assert!(matches!(error, Error::Config { setting: found, .. } if found == setting), "{error}");
    }
    let odd = Acl { operation: AclOperation::Unknown(99), ..acl() };
    let (refused, asked) = checked::<_, ()>([acl(), odd.clone()], Acl::check);
    assert_eq!(asked, [acl()]);
    assert!(refused[&odd].as_ref().unwrap_err().to_string().contains("UNKNOWN(99)"));
}

#[test]
fn results_belong_to_the_acls_in_their_order() {
    let other = Acl::allow("nobody", AclOperation::Read, AclResource::group("g"));
    let refused = AclCreationResult::default().with_error_code(42).with_error_message(Some(text("no principal")));
    let answer = CreateAclsResponse::default().with_results(vec![AclCreationResult::default(), refused]);
    let [first, second] = created(&[acl(), other.clone()], answer).try_into().unwrap();
    assert_eq!(first.0, acl());
    first.1.unwrap();
    let error = second.1.unwrap_err();
    assert_eq!((second.0, error.code()), (other, Some(ErrorCode::InvalidRequest)));
    assert!(error.to_string().ends_with("no principal"), "{error}");
}

#[test]
fn described_acls_are_those_of_all_resources() {
    let entry = AclDescription::default()
        .with_principal(text("User:app"))
        .with_host(text("10.0.0.7"))
        .with_operation(11)
        .with_permission_type(2);
    let odd = entry.clone().with_operation(77);
    let of = DescribeAclsResource::default()
        .with_resource_type(2)
        .with_resource_name(text("orders-"))
        .with_pattern_type(4)
        .with_acls(vec![entry, odd]);
    let answer = DescribeAclsResponse::default().with_resources(vec![of]);
    let newer = Acl { operation: AclOperation::Unknown(77), ..acl() };
    assert_eq!(described(answer).unwrap(), [acl(), newer]);
    let refused = DescribeAclsResponse::default().with_error_code(54);
    assert_eq!(described(refused).unwrap_err().code(), Some(ErrorCode::SecurityDisabled));
}

#[test]
fn deleted_acls_are_told_by_filter() {
    let matching = DeleteAclsMatchingAcl::default()
        .with_resource_type(2)
        .with_resource_name(text("orders-"))
        .with_pattern_type(4)
        .with_principal(text("User:app"))
        .with_host(text("10.0.0.7"))
        .with_operation(11)
        .with_permission_type(2);
    let results = vec![
        DeleteAclsFilterResult::default().with_matching_acls(vec![matching]),
        DeleteAclsFilterResult::default().with_error_code(31),
    ];
    let filters = [AclFilter::exactly(&acl()), AclFilter::all()];
    let answer = DeleteAclsResponse::default().with_filter_results(results);
    let [(_, first), (_, second)] = deleted(&filters, answer).try_into().unwrap();
    let first = first.unwrap();
    assert_eq!(first.keys().collect::<Vec<_>>(), [&acl()]);
    first[&acl()].as_ref().unwrap();
    assert_eq!(second.unwrap_err().code(), Some(ErrorCode::ClusterAuthorizationFailed));
}

#[test]
fn an_acl_is_printed_on_one_line() {
    assert_eq!(acl().to_string(), "DENY User:app from 10.0.0.7 ALTER_CONFIGS of PREFIXED TOPIC orders-");
}
