//! What Kafka does, one rule per test: asked of a real Kafka when `KAFKA_BOOTSTRAP=host:port` names one, else of the mock.
//!
//! A test that passes on only one of the two is a bug of the mock or of the test. Where Kafka does other than its
//! documents say, the test asserts what Kafka 4.3.1 does, and `docs/KAFKA-NOTES.md` says how that was seen.
//!
//! - `connection`, `api_versions`: frames, headers, bad input, order, versions
//! - `metadata`, `cluster`: topics and nodes as clients see them; FindCoordinator, DescribeCluster
//! - `create_topics`, `delete_topics`, `create_partitions`, `delete_records`: what is refused, and in which words
//! - `describe_configs`, `alter_configs`: topic and broker configs
//! - `administration`: what tools ask besides: directories, quotas, features and more
//! - `produce`, `batches`, `compression`, `idempotence`: what is written, and what comes of it
//! - `compaction`: what a cleaner leaves of a log, and how it is read
//! - `transactions`, `transactional_offsets`: both generations of the protocol, with `transactional` for what they share
//! - `fetch`, `fetch_sessions`, `offsets`: what is read
//! - `groups_classic`: members of a group that come, wait, and go; what they commit
//! - `groups_consumer`: the same where the broker assigns (KIP-848); `groups_mixed`: members of both protocols in one group;
//!   `group_version`: the feature that lets the broker assign; `groups_refused`: what a coordinator cannot write
//!
//! Topics have random names, so the tests run side by side on one broker and leave nothing that another one sees.

mod ask;
mod code;
mod consumer;
mod member;

mod administration;
mod alter_configs;
mod api_versions;
mod batches;
mod cluster;
mod compaction;
mod compression;
mod connection;
mod create_partitions;
mod create_topics;
mod delete_records;
mod delete_topics;
mod describe_configs;
mod fetch;
mod fetch_sessions;
mod group_version;
mod groups_classic;
mod groups_consumer;
mod groups_mixed;
mod groups_refused;
mod idempotence;
mod metadata;
mod offsets;
mod produce;
mod transaction_version;
mod transactional;
mod transactional_offsets;
mod transactions;
