//! Target `system`: what a user of the crates would notice.
//!
//! - `accidents`: what each accident does to a naive program, and not to ours.
//! - `admin`, `admin_access`, `admin_groups`: the admin client, resource by resource.
//! - `alone`: nodes that the others have given up and that do not know it.
//! - `capture`: the journal as a file for Wireshark.
//! - `client`: client and broker together.
//! - `connections`: brokers that are elsewhere, away or asking for another beginning, and settings by Kafka's names.
//! - `exactly_once`: the loop from topics to topics, when something goes wrong in it.
//! - `faults`: what a test makes go wrong goes wrong, there and then, and nowhere else.
//! - `first_test`: the test that the README shows.
//! - `groups`: consumers that share a group, by either protocol (`group_world` is what they share).
//! - `groups_consumer`: members of consumer groups (KIP-848).
//! - `groups_racks`: members in racks.
//! - `history`: random workers and random accidents, judged by what is committed in the end.
//! - `idempotence`: nothing twice, nothing missing, nothing out of order, wherever a request or an answer is lost.
//! - `isolation`: transactions as a consumer sees them.
//! - `journal`: what was asked and what became of it, afterwards and while it happens.
//! - `lifecycle`: a broker starts, serves on the caller's runtime, and leaves nothing behind.
//! - `lines`: the line between a node and its clients.
//! - `loading`: coordinators that have not read yet what they lead.
//! - `markers`: transactions that a test holds half-way.
//! - `nodes`: nodes that crash and come back.
//! - `operations`: what a test does to a cluster by one call.
//! - `overlap`: the loop that goes on while a transaction is being committed.
//! - `producer`: where batches end, what waits, what is counted, and order whatever is lost.
//! - `reading`: where a consumer reads from, and what becomes of it when leaders, logs and topics change.
//! - `refused`: what coordinators cannot write.
//! - `replicas`: replicas that lack something, and what that does to those who write and read.
//! - `snapshot`: a warmed cluster, started as often as a test wants.
//! - `soak`: nodes that crash at random, for as long as one likes.
//! - `start`: from a subscription to its first record.
//! - `states`: what a test can ask of groups, topics and transactions, and wait for.
//! - `time`: the manual clock.
//! - `transactional`: the producer of transactions; `stage` is what its tests and those of the loop share.
//! - `unhelpful`: the legal adversary over TCP.
//! - `unrest`: everything at once while connections break at random.
//! - `versions`: the client with a Kafka of 2019.

mod accidents;
mod admin;
mod admin_access;
mod admin_groups;
mod alone;
mod capture;
mod client;
mod connections;
mod exactly_once;
mod faults;
mod first_test;
mod group_world;
mod groups;
mod groups_consumer;
mod groups_racks;
mod history;
mod idempotence;
mod isolation;
mod journal;
mod lifecycle;
mod lines;
mod loading;
mod markers;
mod nodes;
mod operations;
mod overlap;
mod producer;
mod reading;
mod refused;
mod replicas;
mod snapshot;
mod soak;
mod stage;
mod start;
mod states;
mod time;
mod transactional;
mod unhelpful;
mod unrest;
mod versions;
