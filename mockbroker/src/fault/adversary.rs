//! The legal adversary: as unhelpful as Kafka may be, as a seed has it. Sees requests, never state.
//!
//! Of every request it draws at most one [`Whim`]. Which whims an API may meet is a table; what each rests on is in
//! docs/UNHELPFUL.md. What a whim needs to know of the cluster is told with the request ([`Circumstances`]), so that nothing is
//! drawn that this cluster could not do: no leader moves where there is nobody to lead, and no write lacks replicas where
//! one is enough.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::error::ResponseError;

use super::Asked;
use crate::ids::IdSource;
use crate::time::Timestamp;
use crate::types::{ConnectionId, NodeId};

/// A connection that has been silent for this long may be found closed: `connections.max.idle.ms` is anybody's choice.
const IDLE: Duration = Duration::from_secs(5);
/// A coordinator that has just been found loads for up to this long.
const LOADS_UP_TO_MS: usize = 800;
/// The markers of a transaction take up to this long.
const ENDS_UP_TO_MS: usize = 300;
/// A node knows what the cluster has become at most this much later.
const KNOWS_UP_TO_MS: usize = 400;
const THROTTLES_UP_TO_MS: usize = 200;
const LATE_BY_UP_TO_MS: usize = 50;
/// How many connections, coordinators and transactions are remembered of each.
const REMEMBERED: usize = 10_000;

/// What of the cluster it has to know about a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Circumstances {
    /// Another replica in sync can lead what it is about.
    pub(crate) leader_may_move: bool,
    /// Another node can coordinate what it is about.
    pub(crate) coordinator_may_move: bool,
    /// It waits for all replicas in sync, and there are several.
    pub(crate) waits_for_replicas: bool,
    /// So many have to be in sync that fewer can be.
    pub(crate) may_lack_replicas: bool,
    /// It goes on with a fetch session.
    pub(crate) has_session: bool,
}

/// What a request meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whim {
    /// Nothing of it is done, and this is the answer.
    Refuse(ResponseError),
    /// It is done, and this is the answer.
    Doubt(ResponseError),
    /// Its connection had been idle, and is closed.
    HangUp,
    /// It is answered this much later.
    Late(Duration),
    /// Its client is throttled for this long (KIP-219).
    Throttle(Duration),
    /// It is answered with one batch, if there is any.
    OneBatch,
    /// It is answered at once with what there is.
    AtOnce,
    /// Another replica leads what it is about, from before it is looked at.
    MoveLeader,
    /// Another node coordinates what it is about.
    MoveCoordinator,
    /// An operator removes the member whose request it is.
    RemoveMember,
    /// It is answered from what its node knew a moment ago.
    OldMetadata,
}

/// What may be drawn.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Refuse(ResponseError),
    Doubt(ResponseError),
    LackReplicas(ResponseError),
    ForgetSession,
    Late,
    Throttle,
    OneBatch,
    AtOnce,
    MoveLeader,
    MoveCoordinator,
    RemoveMember,
}

/// It draws, and remembers what it has to be consistent with.
#[derive(Debug)]
pub(crate) struct Adversary {
    seed: u64,
    random: IdSource,
    /// Until when the coordinator of this name loads on a node. It begins when it is first asked there.
    loading: BTreeMap<(NodeId, String), Timestamp>,
    /// Which names somebody has looked a coordinator up for.
    looked_up: BTreeMap<String, ()>,
    /// Until when the last transaction of a transactional id is being ended.
    ending: BTreeMap<String, Timestamp>,
    last_heard: BTreeMap<ConnectionId, Timestamp>,
    drawn: u64,
}

const PRODUCE: i16 = 0;
const METADATA: i16 = 3;
const FIND_COORDINATOR: i16 = 10;
const INIT_PRODUCER_ID: i16 = 22;
const ADD_PARTITIONS_TO_TXN: i16 = 24;
const ADD_OFFSETS_TO_TXN: i16 = 25;
const END_TXN: i16 = 26;
/// From this Produce on a partition is added to the transaction by writing to it (KIP-890).
const PRODUCE_ADDS_PARTITIONS: i16 = 12;

/// What an API meets, in requests of a hundred. What is not here meets [`OTHERS`].
fn menu(api_key: i16) -> &'static [(usize, Kind)] {
    use Kind::{
        AtOnce, ForgetSession, LackReplicas, Late, MoveCoordinator, MoveLeader, OneBatch, RemoveMember, Throttle,
    };
    match api_key {
        PRODUCE => &[
            (4, MoveLeader),
            (4, LackReplicas(ResponseError::NotEnoughReplicas)),
            (4, LackReplicas(ResponseError::NotEnoughReplicasAfterAppend)),
            (4, Kind::Doubt(ResponseError::RequestTimedOut)),
            (5, Throttle),
            (10, Late),
        ],
        // Fetch
        1 => &[(40, OneBatch), (10, AtOnce), (4, ForgetSession), (1, MoveLeader), (3, Throttle), (5, Late)],
        // ListOffsets, OffsetForLeaderEpoch
        2 | 23 => &[(5, MoveLeader), (5, Throttle), (10, Late)],
        // OffsetCommit, TxnOffsetCommit, OffsetFetch, AddOffsetsToTxn, AddPartitionsToTxn, EndTxn, ConsumerGroupHeartbeat
        8 | 9 | 28 | ADD_OFFSETS_TO_TXN | ADD_PARTITIONS_TO_TXN | END_TXN | 68 => {
            &[(4, MoveCoordinator), (5, Throttle), (10, Late)]
        }
        FIND_COORDINATOR => &[(10, Kind::Refuse(ResponseError::CoordinatorNotAvailable)), (5, Throttle), (10, Late)],
        // Heartbeat
        12 => &[(3, RemoveMember), (3, MoveCoordinator), (5, Late)],
        // JoinGroup, SyncGroup
        11 | 14 => &[(2, MoveCoordinator), (10, Late)],
        // ApiVersions: no client can do without.
        18 => &[(10, Late)],
        _ => &[(5, Throttle), (10, Late)],
    }
}

impl Adversary {
    /// The one that `seed` makes.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            random: IdSource::new(seed),
            loading: BTreeMap::new(),
            looked_up: BTreeMap::new(),
            ending: BTreeMap::new(),
            last_heard: BTreeMap::new(),
            drawn: 0,
        }
    }

    /// What makes it do the same again.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// How many requests have met a whim.
    pub(crate) fn drawn(&self) -> u64 {
        self.drawn
    }

    /// What a request meets, if anything.
    pub(crate) fn meets(&mut self, asked: &Asked<'_>, about: Circumstances, now: Timestamp) -> Option<Whim> {
        forget_some(&mut self.last_heard);
        let heard = self.last_heard.insert(asked.connection, now);
        let was_idle = heard.is_some_and(|heard| now.since(heard) >= IDLE);
        let whim = if was_idle && self.random.below(2) == 0 {
            Some(Whim::HangUp)
        } else if let Some(error) = self.keeps_waiting(asked, now) {
            Some(Whim::Refuse(error))
        } else {
            self.draw(asked, about)
        };
        self.drawn += u64::from(whim.is_some());
        whim
    }

    /// One of `count` things.
    pub(crate) fn choose(&mut self, count: usize) -> usize {
        self.random.below(count)
    }

    /// For how long a node knows no more than it knows now.
    pub(crate) fn lag(&mut self) -> Duration {
        self.up_to(KNOWS_UP_TO_MS)
    }

    /// The error of what takes its time: a coordinator that is looked for or loads, a transaction that ends.
    fn keeps_waiting(&mut self, asked: &Asked<'_>, now: Timestamp) -> Option<ResponseError> {
        let names = &asked.subject;
        if asked.api_key == FIND_COORDINATOR {
            let mut is_new = false;
            forget_some(&mut self.looked_up);
            for name in names.groups.iter().chain(&names.transactional_ids) {
                is_new |= self.looked_up.insert(name.clone(), ()).is_none();
            }
            // The topic of coordinators is being created (KafkaApis.getCoordinator).
            return (is_new && self.random.below(2) == 0).then_some(ResponseError::CoordinatorNotAvailable);
        }
        if is_coordinated(asked.api_key) {
            let name = if is_of_transactions(asked.api_key) { &names.transactional_ids } else { &names.groups };
            let at = (asked.node, name.first()?.clone());
            forget_some(&mut self.loading);
            let until = match self.loading.get(&at) {
                Some(until) => *until,
                None => {
                    let until = now + self.up_to(LOADS_UP_TO_MS);
                    self.loading.insert(at, until);
                    until
                }
            };
            if now < until {
                return Some(ResponseError::CoordinatorLoadInProgress);
            }
        }
        let id = names.transactional_ids.first()?;
        match asked.api_key {
            END_TXN => {
                let until = now + self.up_to(ENDS_UP_TO_MS);
                forget_some(&mut self.ending);
                self.ending.insert(id.clone(), until);
                None
            }
            // The markers are written (TransactionCoordinator.handleAddPartitionsToTransaction, KIP-890).
            INIT_PRODUCER_ID | ADD_PARTITIONS_TO_TXN | ADD_OFFSETS_TO_TXN => self.is_ending(id, now),
            PRODUCE if asked.version >= PRODUCE_ADDS_PARTITIONS => self.is_ending(id, now),
            _ => None,
        }
    }

    fn is_ending(&self, id: &str, now: Timestamp) -> Option<ResponseError> {
        let is_ending = self.ending.get(id).is_some_and(|until| now < *until);
        is_ending.then_some(ResponseError::ConcurrentTransactions)
    }

    fn draw(&mut self, asked: &Asked<'_>, about: Circumstances) -> Option<Whim> {
        let number = self.random.below(100);
        let mut below = 0;
        let kind = menu(asked.api_key).iter().find(|(share, _)| {
            below += share;
            number < below
        });
        let whim = match kind.map(|(_, kind)| *kind) {
            None => None,
            Some(Kind::Refuse(error)) => Some(Whim::Refuse(error)),
            Some(Kind::Doubt(error)) => about.waits_for_replicas.then_some(Whim::Doubt(error)),
            Some(Kind::LackReplicas(error)) if error == ResponseError::NotEnoughReplicas => {
                about.may_lack_replicas.then_some(Whim::Refuse(error))
            }
            Some(Kind::LackReplicas(error)) => about.may_lack_replicas.then_some(Whim::Doubt(error)),
            Some(Kind::ForgetSession) => {
                about.has_session.then_some(Whim::Refuse(ResponseError::FetchSessionIdNotFound))
            }
            Some(Kind::Late) => Some(Whim::Late(self.up_to(LATE_BY_UP_TO_MS))),
            Some(Kind::Throttle) => Some(Whim::Throttle(self.up_to(THROTTLES_UP_TO_MS))),
            Some(Kind::OneBatch) => Some(Whim::OneBatch),
            Some(Kind::AtOnce) => Some(Whim::AtOnce),
            Some(Kind::MoveLeader) => about.leader_may_move.then_some(Whim::MoveLeader),
            Some(Kind::MoveCoordinator) => about.coordinator_may_move.then_some(Whim::MoveCoordinator),
            Some(Kind::RemoveMember) => Some(Whim::RemoveMember),
        };
        // What a node knows of the cluster it always knows a moment late.
        let is_late = asked.api_key == METADATA && whim.is_none();
        whim.or(is_late.then_some(Whim::OldMetadata))
    }

    fn up_to(&mut self, most_ms: usize) -> Duration {
        Duration::from_millis(1 + self.random.below(most_ms) as u64)
    }
}

impl std::fmt::Display for Whim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("unhelpful: ")?;
        match self {
            Self::Refuse(error) => write!(f, "{error:?}"),
            Self::Doubt(error) => write!(f, "done, and {error:?}"),
            Self::HangUp => f.write_str("idle, closed"),
            Self::Late(length) => write!(f, "{} ms late", length.as_millis()),
            Self::Throttle(length) => write!(f, "throttled {} ms", length.as_millis()),
            Self::OneBatch => f.write_str("one batch"),
            Self::AtOnce => f.write_str("at once"),
            Self::MoveLeader => f.write_str("leader moves"),
            Self::MoveCoordinator => f.write_str("coordinator moves"),
            Self::RemoveMember => f.write_str("member removed"),
            Self::OldMetadata => f.write_str("old metadata"),
        }
    }
}

/// Whether a coordinator that loads refuses it with COORDINATOR_LOAD_IN_PROGRESS. Of a classic group it answers Heartbeat as if
/// nothing were, and a SyncGroup comes only after a JoinGroup (GroupCoordinatorService.heartbeat).
fn is_coordinated(api_key: i16) -> bool {
    matches!(api_key, 8 | 9 | 11 | 28 | 68) || is_of_transactions(api_key)
}

fn is_of_transactions(api_key: i16) -> bool {
    matches!(api_key, INIT_PRODUCER_ID | ADD_PARTITIONS_TO_TXN | ADD_OFFSETS_TO_TXN | END_TXN)
}

/// Keeps what is remembered within bounds.
fn forget_some<K: Ord, V>(remembered: &mut BTreeMap<K, V>) {
    if remembered.len() >= REMEMBERED {
        remembered.pop_first();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::subject::Subject;

    fn asked(api_key: i16, subject: Subject) -> Asked<'static> {
        Asked { api_key, version: 3, client_id: "c", node: NodeId(0), connection: ConnectionId(1), subject }
    }

    fn about_group() -> Subject {
        Subject { groups: vec!["g".to_owned()], ..Subject::default() }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let run = |seed| {
            let mut adversary = Adversary::new(seed);
            let about = Circumstances { leader_may_move: true, ..Circumstances::default() };
            let draw = |api| adversary.meets(&asked(api % 30, about_group()), about, at(i64::from(api) * 100));
            (0..1000_i16).map(draw).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn nothing_is_drawn_that_the_cluster_could_not_do() {
        let mut adversary = Adversary::new(1);
        for time in 0..10_000 {
            let asked = asked([0, 1, 2, 12][time as usize % 4], about_group());
            let whim = adversary.meets(&asked, Circumstances::default(), at(time));
            let needs_more = matches!(whim, Some(Whim::MoveLeader | Whim::MoveCoordinator | Whim::Doubt(_)));
            assert!(!needs_more && !matches!(whim, Some(Whim::Refuse(_))), "{whim:?}");
        }
        assert!(adversary.drawn() > 1000);
    }

    #[test]
    fn a_coordinator_loads_when_it_is_first_asked_and_not_again() {
        let mut adversary = Adversary::new(3);
        let loads = |whim| whim == Some(Whim::Refuse(ResponseError::CoordinatorLoadInProgress));
        let mut ask = |time| adversary.meets(&asked(11, about_group()), Circumstances::default(), at(time));
        assert!(loads(ask(0)));
        let loaded = (0..2 * LOADS_UP_TO_MS as i64).find(|time| !loads(ask(*time))).expect("it has an end");
        assert!((loaded..10_000).all(|time| !loads(ask(time))));
    }

    #[test]
    fn a_transaction_takes_its_time_to_end() {
        let mut adversary = Adversary::new(3);
        let about = || Subject { transactional_ids: vec!["t".to_owned()], ..Subject::default() };
        let mut ask = |api, time| adversary.meets(&asked(api, about()), Circumstances::default(), at(time));
        ask(INIT_PRODUCER_ID, 0);
        ask(END_TXN, 2000);
        assert_eq!(ask(ADD_OFFSETS_TO_TXN, 2000), Some(Whim::Refuse(ResponseError::ConcurrentTransactions)));
        let over = ask(ADD_OFFSETS_TO_TXN, 2001 + ENDS_UP_TO_MS as i64);
        assert_ne!(over, Some(Whim::Refuse(ResponseError::ConcurrentTransactions)));
    }
}
