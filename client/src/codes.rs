//! Kafka's error codes and what a client does about each.
//!
//! The table copies names, numbers and the retriable classes of Kafka's `Errors.java` and of the exceptions it maps to. It
//! does not say what one API means by a code: where an API gives a code a meaning of its own, the caller knows.

use std::fmt;

/// What the class of a code's Java exception tells every client to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Not an error.
    Success,
    /// `RetriableException`: the same request may succeed later.
    Retry,
    /// `InvalidMetadataException`: refresh the metadata first, then retry.
    RetryAfterRefresh,
    /// Retrying the same request gives the same answer.
    Final,
}

macro_rules! error_codes {
    ($($number:literal => $variant:ident, $name:literal, $class:ident;)*) => {
        /// An error code of the Kafka protocol, named and numbered as in Kafka's `Errors.java`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(
                #[doc = concat!("`", $name, "`, code ", stringify!($number), ".")]
                $variant,
            )*
            /// A code that this release does not know. Never retried.
            Unknown(i16),
        }

        impl ErrorCode {
            /// The code that a number on the wire stands for.
            #[must_use]
            pub const fn from_number(number: i16) -> Self {
                match number {
                    $($number => Self::$variant,)*
                    other => Self::Unknown(other),
                }
            }

            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> i16 {
                match self {
                    $(Self::$variant => $number,)*
                    Self::Unknown(number) => number,
                }
            }

            /// Kafka's name, such as `NOT_LEADER_OR_FOLLOWER`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Unknown(_) => "UNKNOWN_TO_THIS_CLIENT",
                }
            }

            const fn class(self) -> Class {
                match self {
                    $(Self::$variant => Class::$class,)*
                    Self::Unknown(_) => Class::Final,
                }
            }
        }
    };
}

error_codes! {
    -1 => UnknownServerError, "UNKNOWN_SERVER_ERROR", Final;
    0 => None, "NONE", Success;
    1 => OffsetOutOfRange, "OFFSET_OUT_OF_RANGE", Final;
    2 => CorruptMessage, "CORRUPT_MESSAGE", Retry;
    3 => UnknownTopicOrPartition, "UNKNOWN_TOPIC_OR_PARTITION", RetryAfterRefresh;
    4 => InvalidFetchSize, "INVALID_FETCH_SIZE", Final;
    5 => LeaderNotAvailable, "LEADER_NOT_AVAILABLE", RetryAfterRefresh;
    6 => NotLeaderOrFollower, "NOT_LEADER_OR_FOLLOWER", RetryAfterRefresh;
    7 => RequestTimedOut, "REQUEST_TIMED_OUT", Retry;
    8 => BrokerNotAvailable, "BROKER_NOT_AVAILABLE", Final;
    9 => ReplicaNotAvailable, "REPLICA_NOT_AVAILABLE", RetryAfterRefresh;
    10 => MessageTooLarge, "MESSAGE_TOO_LARGE", Final;
    11 => StaleControllerEpoch, "STALE_CONTROLLER_EPOCH", Final;
    12 => OffsetMetadataTooLarge, "OFFSET_METADATA_TOO_LARGE", Final;
    13 => NetworkException, "NETWORK_EXCEPTION", RetryAfterRefresh;
    14 => CoordinatorLoadInProgress, "COORDINATOR_LOAD_IN_PROGRESS", Retry;
    15 => CoordinatorNotAvailable, "COORDINATOR_NOT_AVAILABLE", Retry;
    16 => NotCoordinator, "NOT_COORDINATOR", Retry;
    17 => InvalidTopicException, "INVALID_TOPIC_EXCEPTION", Final;
    18 => RecordListTooLarge, "RECORD_LIST_TOO_LARGE", Final;
    19 => NotEnoughReplicas, "NOT_ENOUGH_REPLICAS", Retry;
    20 => NotEnoughReplicasAfterAppend, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", Retry;
    21 => InvalidRequiredAcks, "INVALID_REQUIRED_ACKS", Final;
    22 => IllegalGeneration, "ILLEGAL_GENERATION", Final;
    23 => InconsistentGroupProtocol, "INCONSISTENT_GROUP_PROTOCOL", Final;
    24 => InvalidGroupId, "INVALID_GROUP_ID", Final;
    25 => UnknownMemberId, "UNKNOWN_MEMBER_ID", Final;
    26 => InvalidSessionTimeout, "INVALID_SESSION_TIMEOUT", Final;
    27 => RebalanceInProgress, "REBALANCE_IN_PROGRESS", Final;
    28 => InvalidCommitOffsetSize, "INVALID_COMMIT_OFFSET_SIZE", Final;
    29 => TopicAuthorizationFailed, "TOPIC_AUTHORIZATION_FAILED", Final;
    30 => GroupAuthorizationFailed, "GROUP_AUTHORIZATION_FAILED", Final;
    31 => ClusterAuthorizationFailed, "CLUSTER_AUTHORIZATION_FAILED", Final;
    32 => InvalidTimestamp, "INVALID_TIMESTAMP", Final;
    33 => UnsupportedSaslMechanism, "UNSUPPORTED_SASL_MECHANISM", Final;
    34 => IllegalSaslState, "ILLEGAL_SASL_STATE", Final;
    35 => UnsupportedVersion, "UNSUPPORTED_VERSION", Final;
    36 => TopicAlreadyExists, "TOPIC_ALREADY_EXISTS", Final;
    37 => InvalidPartitions, "INVALID_PARTITIONS", Final;
    38 => InvalidReplicationFactor, "INVALID_REPLICATION_FACTOR", Final;
    39 => InvalidReplicaAssignment, "INVALID_REPLICA_ASSIGNMENT", Final;
    40 => InvalidConfig, "INVALID_CONFIG", Final;
    41 => NotController, "NOT_CONTROLLER", Retry;
    42 => InvalidRequest, "INVALID_REQUEST", Final;
    43 => UnsupportedForMessageFormat, "UNSUPPORTED_FOR_MESSAGE_FORMAT", Final;
    44 => PolicyViolation, "POLICY_VIOLATION", Final;
    45 => OutOfOrderSequenceNumber, "OUT_OF_ORDER_SEQUENCE_NUMBER", Final;
    46 => DuplicateSequenceNumber, "DUPLICATE_SEQUENCE_NUMBER", Final;
    47 => InvalidProducerEpoch, "INVALID_PRODUCER_EPOCH", Final;
    48 => InvalidTxnState, "INVALID_TXN_STATE", Final;
    49 => InvalidProducerIdMapping, "INVALID_PRODUCER_ID_MAPPING", Final;
    50 => InvalidTransactionTimeout, "INVALID_TRANSACTION_TIMEOUT", Final;
    51 => ConcurrentTransactions, "CONCURRENT_TRANSACTIONS", Retry;
    52 => TransactionCoordinatorFenced, "TRANSACTION_COORDINATOR_FENCED", Final;
    53 => TransactionalIdAuthorizationFailed, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", Final;
    54 => SecurityDisabled, "SECURITY_DISABLED", Final;
    55 => OperationNotAttempted, "OPERATION_NOT_ATTEMPTED", Final;
    56 => KafkaStorageError, "KAFKA_STORAGE_ERROR", RetryAfterRefresh;
    57 => LogDirNotFound, "LOG_DIR_NOT_FOUND", Final;
    58 => SaslAuthenticationFailed, "SASL_AUTHENTICATION_FAILED", Final;
    59 => UnknownProducerId, "UNKNOWN_PRODUCER_ID", Final;
    60 => ReassignmentInProgress, "REASSIGNMENT_IN_PROGRESS", Final;
    61 => DelegationTokenAuthDisabled, "DELEGATION_TOKEN_AUTH_DISABLED", Final;
    62 => DelegationTokenNotFound, "DELEGATION_TOKEN_NOT_FOUND", Final;
    63 => DelegationTokenOwnerMismatch, "DELEGATION_TOKEN_OWNER_MISMATCH", Final;
    64 => DelegationTokenRequestNotAllowed, "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", Final;
    65 => DelegationTokenAuthorizationFailed, "DELEGATION_TOKEN_AUTHORIZATION_FAILED", Final;
    66 => DelegationTokenExpired, "DELEGATION_TOKEN_EXPIRED", Final;
    67 => InvalidPrincipalType, "INVALID_PRINCIPAL_TYPE", Final;
    68 => NonEmptyGroup, "NON_EMPTY_GROUP", Final;
    69 => GroupIdNotFound, "GROUP_ID_NOT_FOUND", Final;
    70 => FetchSessionIdNotFound, "FETCH_SESSION_ID_NOT_FOUND", Retry;
    71 => InvalidFetchSessionEpoch, "INVALID_FETCH_SESSION_EPOCH", Retry;
    72 => ListenerNotFound, "LISTENER_NOT_FOUND", RetryAfterRefresh;
    73 => TopicDeletionDisabled, "TOPIC_DELETION_DISABLED", Final;
    74 => FencedLeaderEpoch, "FENCED_LEADER_EPOCH", RetryAfterRefresh;
    75 => UnknownLeaderEpoch, "UNKNOWN_LEADER_EPOCH", Retry;
    76 => UnsupportedCompressionType, "UNSUPPORTED_COMPRESSION_TYPE", Final;
    77 => StaleBrokerEpoch, "STALE_BROKER_EPOCH", Final;
    78 => OffsetNotAvailable, "OFFSET_NOT_AVAILABLE", Retry;
    79 => MemberIdRequired, "MEMBER_ID_REQUIRED", Final;
    80 => PreferredLeaderNotAvailable, "PREFERRED_LEADER_NOT_AVAILABLE", RetryAfterRefresh;
    81 => GroupMaxSizeReached, "GROUP_MAX_SIZE_REACHED", Final;
    82 => FencedInstanceId, "FENCED_INSTANCE_ID", Final;
    83 => EligibleLeadersNotAvailable, "ELIGIBLE_LEADERS_NOT_AVAILABLE", RetryAfterRefresh;
    84 => ElectionNotNeeded, "ELECTION_NOT_NEEDED", RetryAfterRefresh;
    85 => NoReassignmentInProgress, "NO_REASSIGNMENT_IN_PROGRESS", Final;
    86 => GroupSubscribedToTopic, "GROUP_SUBSCRIBED_TO_TOPIC", Final;
    87 => InvalidRecord, "INVALID_RECORD", Final;
    88 => UnstableOffsetCommit, "UNSTABLE_OFFSET_COMMIT", Retry;
    89 => ThrottlingQuotaExceeded, "THROTTLING_QUOTA_EXCEEDED", Retry;
    90 => ProducerFenced, "PRODUCER_FENCED", Final;
    91 => ResourceNotFound, "RESOURCE_NOT_FOUND", Final;
    92 => DuplicateResource, "DUPLICATE_RESOURCE", Final;
    93 => UnacceptableCredential, "UNACCEPTABLE_CREDENTIAL", Final;
    94 => InconsistentVoterSet, "INCONSISTENT_VOTER_SET", Final;
    95 => InvalidUpdateVersion, "INVALID_UPDATE_VERSION", Final;
    96 => FeatureUpdateFailed, "FEATURE_UPDATE_FAILED", Final;
    97 => PrincipalDeserializationFailure, "PRINCIPAL_DESERIALIZATION_FAILURE", Final;
    98 => SnapshotNotFound, "SNAPSHOT_NOT_FOUND", Final;
    99 => PositionOutOfRange, "POSITION_OUT_OF_RANGE", Final;
    100 => UnknownTopicId, "UNKNOWN_TOPIC_ID", RetryAfterRefresh;
    101 => DuplicateBrokerRegistration, "DUPLICATE_BROKER_REGISTRATION", Final;
    102 => BrokerIdNotRegistered, "BROKER_ID_NOT_REGISTERED", Final;
    103 => InconsistentTopicId, "INCONSISTENT_TOPIC_ID", RetryAfterRefresh;
    104 => InconsistentClusterId, "INCONSISTENT_CLUSTER_ID", Final;
    105 => TransactionalIdNotFound, "TRANSACTIONAL_ID_NOT_FOUND", Final;
    106 => FetchSessionTopicIdError, "FETCH_SESSION_TOPIC_ID_ERROR", Retry;
    107 => IneligibleReplica, "INELIGIBLE_REPLICA", Final;
    108 => NewLeaderElected, "NEW_LEADER_ELECTED", Final;
    109 => OffsetMovedToTieredStorage, "OFFSET_MOVED_TO_TIERED_STORAGE", Final;
    110 => FencedMemberEpoch, "FENCED_MEMBER_EPOCH", Final;
    111 => UnreleasedInstanceId, "UNRELEASED_INSTANCE_ID", Final;
    112 => UnsupportedAssignor, "UNSUPPORTED_ASSIGNOR", Final;
    113 => StaleMemberEpoch, "STALE_MEMBER_EPOCH", Final;
    114 => MismatchedEndpointType, "MISMATCHED_ENDPOINT_TYPE", Final;
    115 => UnsupportedEndpointType, "UNSUPPORTED_ENDPOINT_TYPE", Final;
    116 => UnknownControllerId, "UNKNOWN_CONTROLLER_ID", Final;
    117 => UnknownSubscriptionId, "UNKNOWN_SUBSCRIPTION_ID", Final;
    118 => TelemetryTooLarge, "TELEMETRY_TOO_LARGE", Final;
    119 => InvalidRegistration, "INVALID_REGISTRATION", Final;
    120 => TransactionAbortable, "TRANSACTION_ABORTABLE", Final;
    121 => InvalidRecordState, "INVALID_RECORD_STATE", Final;
    122 => ShareSessionNotFound, "SHARE_SESSION_NOT_FOUND", Retry;
    123 => InvalidShareSessionEpoch, "INVALID_SHARE_SESSION_EPOCH", Retry;
    124 => FencedStateEpoch, "FENCED_STATE_EPOCH", Final;
    125 => InvalidVoterKey, "INVALID_VOTER_KEY", Final;
    126 => DuplicateVoter, "DUPLICATE_VOTER", Final;
    127 => VoterNotFound, "VOTER_NOT_FOUND", Final;
    128 => InvalidRegularExpression, "INVALID_REGULAR_EXPRESSION", Final;
    129 => RebootstrapRequired, "REBOOTSTRAP_REQUIRED", Final;
    130 => StreamsInvalidTopology, "STREAMS_INVALID_TOPOLOGY", Final;
    131 => StreamsInvalidTopologyEpoch, "STREAMS_INVALID_TOPOLOGY_EPOCH", Final;
    132 => StreamsTopologyFenced, "STREAMS_TOPOLOGY_FENCED", Final;
    133 => ShareSessionLimitReached, "SHARE_SESSION_LIMIT_REACHED", Retry;
    134 => GroupDeletionFailed, "GROUP_DELETION_FAILED", Final;
    135 => StreamsTopologyDescriptionUpdateFailed, "STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED", Final;
    136 => ControllerIdNotRegistered, "CONTROLLER_ID_NOT_REGISTERED", Final;
}

impl ErrorCode {
    /// Whether the same request may succeed when it is sent again.
    #[must_use]
    pub const fn is_retriable(self) -> bool {
        matches!(self.class(), Class::Retry | Class::RetryAfterRefresh)
    }

    /// Whether the code says that our metadata is out of date.
    #[must_use]
    pub const fn refreshes_metadata(self) -> bool {
        matches!(self.class(), Class::RetryAfterRefresh)
    }

    /// Whether a transaction in which this code was met can only be aborted, while the producer lives on.
    ///
    /// `INVALID_PRODUCER_EPOCH` belongs here when Produce answers it; from the coordinator it is fatal, which the
    /// transactional producer decides (KIP-588, Java `TransactionManager`).
    #[must_use]
    pub const fn requires_abort(self) -> bool {
        matches!(
            self,
            Self::TransactionAbortable
                | Self::InvalidProducerEpoch
                | Self::OutOfOrderSequenceNumber
                | Self::UnknownProducerId
                | Self::TopicAuthorizationFailed
                | Self::GroupAuthorizationFailed
        )
    }

    /// Whether the client instance that met this code is of no further use.
    #[must_use]
    pub const fn is_fatal(self) -> bool {
        matches!(
            self,
            Self::ProducerFenced
                | Self::TransactionCoordinatorFenced
                | Self::FencedInstanceId
                | Self::ClusterAuthorizationFailed
                | Self::TransactionalIdAuthorizationFailed
                | Self::SaslAuthenticationFailed
                | Self::UnsupportedSaslMechanism
                | Self::UnsupportedVersion
                | Self::InvalidProducerIdMapping
                | Self::Unknown(_)
        )
    }

    /// Whether a Produce that was answered with this code may still be in the log.
    ///
    /// `REQUEST_TIMED_OUT` and `NOT_ENOUGH_REPLICAS_AFTER_APPEND` are answered after the append (`DelayedProduce`).
    /// `UNKNOWN_SERVER_ERROR` stands for any exception of the broker, so it proves nothing.
    pub(crate) const fn may_have_been_written(self) -> bool {
        matches!(
            self,
            Self::RequestTimedOut
                | Self::NotEnoughReplicasAfterAppend
                | Self::UnknownServerError
                | Self::NetworkException
                | Self::Unknown(_)
        )
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}({})", self.name(), self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::ErrorCode;

    #[test]
    fn every_number_comes_back() {
        for number in -1..=136 {
            let code = ErrorCode::from_number(number);
            assert_eq!(code.number(), number);
            assert!(!matches!(code, ErrorCode::Unknown(_)), "{number} is not in the table");
        }
    }

    #[test]
    fn names_numbers_and_what_is_worth_a_retry_are_those_of_kafka() {
        // Source: fixtures/kafka/error_codes.txt, printed by Kafka 4.3.1.
        let kafka = include_str!("../../fixtures/kafka/error_codes.txt");
        let ours = |number: i16| {
            let code = ErrorCode::from_number(number);
            format!("{number}\t{}\t{}", code.name(), code.is_retriable())
        };
        let rows: Vec<_> = kafka.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!((-1..=133).map(ours).collect::<Vec<_>>(), rows);
        // 134 to 136 came after 4.3.
        assert_eq!(ErrorCode::from_number(137), ErrorCode::Unknown(137));
    }

    #[test]
    fn an_unknown_code_is_fatal_and_never_retried() {
        let code = ErrorCode::from_number(9999);
        assert!(code.is_fatal() && !code.is_retriable());
        assert_eq!(code.to_string(), "UNKNOWN_TO_THIS_CLIENT(9999)");
    }

    #[test]
    fn a_stale_leader_asks_for_fresh_metadata() {
        // Errors.java: NotLeaderOrFollowerException extends InvalidMetadataException.
        assert!(ErrorCode::NotLeaderOrFollower.refreshes_metadata());
        assert!(ErrorCode::NotEnoughReplicas.is_retriable() && !ErrorCode::NotEnoughReplicas.refreshes_metadata());
    }
}
