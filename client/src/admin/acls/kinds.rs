//! What an ACL consists of, by Kafka's numbers and names.

use std::fmt;

macro_rules! kinds {
    ($($(#[$attribute:meta])* $kind:ident { $($(#[$of:meta])* $variant:ident = $number:literal, $name:literal;)* })*) => {$(
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $kind {
            $($(#[$of])* $variant,)*
            /// One that this release does not know, by Kafka's number. Brokers may tell of it, and are never asked for it.
            Unknown(i8),
        }

        impl $kind {
            pub(super) const fn from_number(number: i8) -> Self {
                match number {
                    $($number => Self::$variant,)*
                    other => Self::Unknown(other),
                }
            }

            pub(super) const fn number(self) -> i8 {
                match self {
                    $(Self::$variant => $number,)*
                    Self::Unknown(number) => number,
                }
            }
        }

        /// Kafka's name.
        impl fmt::Display for $kind {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => formatter.write_str($name),)*
                    Self::Unknown(number) => write!(formatter, "UNKNOWN({number})"),
                }
            }
        }
    )*};
}

kinds! {
    /// What access is controlled to (`ResourceType`).
    ResourceType {
        /// Topics.
        Topic = 2, "TOPIC";
        /// Groups of consumers.
        Group = 3, "GROUP";
        /// The cluster itself, which has one name: `kafka-cluster`.
        Cluster = 4, "CLUSTER";
        /// Transactional ids.
        TransactionalId = 5, "TRANSACTIONAL_ID";
        /// Delegation tokens, by their ids.
        DelegationToken = 6, "DELEGATION_TOKEN";
        /// Users, as `User:name` (KIP-373; Kafka 3.3).
        User = 7, "USER";
    }

    /// How the name of an ACL's resource is meant (`PatternType`, KIP-290).
    PatternType {
        /// The resource of that name; `*` is every one.
        Literal = 3, "LITERAL";
        /// Every resource whose name begins so.
        Prefixed = 4, "PREFIXED";
    }

    /// What is allowed or denied (`AclOperation`). `Read`, `Write`, `Delete` and `Alter` imply `Describe`; `AlterConfigs` implies
    /// `DescribeConfigs`.
    AclOperation {
        /// All of them.
        All = 2, "ALL";
        /// To fetch from a topic; to be in a group and commit for it.
        Read = 3, "READ";
        /// To produce to a topic; to use a transactional id.
        Write = 4, "WRITE";
        /// To create a topic, by its name or anywhere in the cluster.
        Create = 5, "CREATE";
        /// To delete a topic or its records, or a group.
        Delete = 6, "DELETE";
        /// To alter partitions, or the cluster: ACLs, credentials, leaders.
        Alter = 7, "ALTER";
        /// To see that it is there, and what it is like.
        Describe = 8, "DESCRIBE";
        /// What brokers do among themselves.
        ClusterAction = 9, "CLUSTER_ACTION";
        /// To see configs.
        DescribeConfigs = 10, "DESCRIBE_CONFIGS";
        /// To alter configs.
        AlterConfigs = 11, "ALTER_CONFIGS";
        /// To produce as an idempotent producer: of use before Kafka 2.8 alone (KIP-679).
        IdempotentWrite = 12, "IDEMPOTENT_WRITE";
        /// To create delegation tokens for a user (KIP-373).
        CreateTokens = 13, "CREATE_TOKENS";
        /// To see the delegation tokens of a user (KIP-373).
        DescribeTokens = 14, "DESCRIBE_TOKENS";
    }

    /// Whether an ACL allows or denies (`AclPermissionType`). A denial wins.
    AclPermission {
        /// It denies.
        Deny = 2, "DENY";
        /// It allows.
        Allow = 3, "ALLOW";
    }
}

/// The number of "whichever" in a filter, for each of the kinds.
pub(super) const ANY: i8 = 1;
/// [`PatternType`] of a filter: whatever pattern takes the name in, `*` and prefixes among them.
pub(super) const MATCH: i8 = 2;
