//! What the legal adversary draws, carried out: leaders and coordinators move, members are removed, nodes know the cluster as it was.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use kafka_protocol::protocol::StrBytes;

use super::{Engine, Origin, Outcome, Shared};
use crate::cluster::{Cluster, CoordinatorType, min_insync_replicas, partition_for};
use crate::fault::{Action, Adversary, Asked, Circumstances, Plan, Whim};
use crate::handlers::follow;
use crate::handlers::table::{self, Request};
use crate::state::State;
use crate::time::Timestamp;
use crate::types::{NodeId, PartitionId};
use crate::wire::request::RequestHeader;
use crate::wire::subject::Subject;

/// The adversary, and what nodes know.
#[derive(Debug)]
pub(super) struct Unhelpful {
    adversary: Adversary,
    /// The cluster as each node knows it, and until when it knows no more.
    known: BTreeMap<NodeId, (Cluster, Timestamp)>,
}

impl Unhelpful {
    pub(super) fn new(seed: u64) -> Self {
        Self { adversary: Adversary::new(seed), known: BTreeMap::new() }
    }

    /// In a line.
    pub(super) fn describe(&self) -> String {
        let (seed, drawn) = (self.adversary.seed(), self.adversary.drawn());
        format!("unhelpful by seed {seed} to {drawn} requests: .unhelpful({seed}) is so again")
    }
}

impl Shared {
    /// Adds to `plan` what the adversary draws for a request that meets nothing else. Returns its name.
    pub(super) fn tempt(
        &mut self,
        plan: &mut Plan,
        asked: &Asked<'_>,
        request: &Request,
        now: Timestamp,
    ) -> Option<String> {
        let unhelpful = self.unhelpful.as_mut().filter(|_| plan.before.is_none() && plan.after.is_none())?;
        let about = circumstances(&self.state, request, &asked.subject);
        let whim = unhelpful.adversary.meets(asked, about, now)?;
        let name = whim.to_string();
        match whim {
            Whim::Refuse(error) => plan.before = Some(Action::Error(error)),
            Whim::Doubt(error) => plan.after = Some(Action::Error(error)),
            Whim::HangUp => plan.before = Some(Action::Disconnect(name.clone())),
            Whim::Late(length) => plan.after = Some(Action::Delay(length)),
            Whim::Throttle(length) => plan.after = Some(Action::Throttle(length)),
            Whim::OneBatch
            | Whim::AtOnce
            | Whim::MoveLeader
            | Whim::MoveCoordinator
            | Whim::RemoveMember
            | Whim::OldMetadata => plan.before = Some(Action::Whim(whim)),
        }
        Some(name)
    }
}

impl Engine {
    /// Lets a whim happen to a request, and then takes the request to its handler.
    pub(super) fn indulge(
        self: &Arc<Self>,
        whim: Whim,
        origin: Origin,
        header: &RequestHeader,
        mut request: Request,
    ) -> Outcome {
        match (whim, &mut request) {
            (Whim::OneBatch, Request::Fetch(fetch)) => {
                // KIP-74: the first batch is answered whatever its size.
                fetch.max_bytes = 1;
                fetch.min_bytes = fetch.min_bytes.min(1);
            }
            (Whim::AtOnce, Request::Fetch(fetch)) => fetch.max_wait_ms = 0,
            (Whim::MoveLeader, request) => self.move_somewhere(request, None),
            (Whim::MoveCoordinator, request) => self.move_somewhere(request, Some(coordinator_of(request))),
            (Whim::RemoveMember, Request::Heartbeat(beat)) => {
                self.remove_member(origin.node, &beat.group_id.0, &beat.member_id);
            }
            // What an isolated node knows is old enough.
            (Whim::OldMetadata, _) if !self.read(|state| state.is_isolated(origin.node)) => {
                return self.apply_as_known(origin, header, request);
            }
            _ => {}
        }
        self.apply(origin, header, request)
    }

    /// Lets another replica in sync lead what a request names, or what coordinates it.
    fn move_somewhere(&self, request: &Request, coordinator: Option<CoordinatorType>) {
        let mut shared = self.lock();
        let subject = crate::handlers::subject::subject(request, shared.state.cluster.topics());
        let Some((topic, partition)) = place(&shared.state, &subject, coordinator) else { return };
        let others = others_in_sync(&shared.state, &topic, partition);
        let Some(unhelpful) = shared.unhelpful.as_mut().filter(|_| !others.is_empty()) else { return };
        let node = others[unhelpful.adversary.choose(others.len())];
        drop(shared);
        // It may have moved meanwhile, which is as good.
        drop(self.lead(&topic, partition, node));
    }

    fn remove_member(&self, node: NodeId, group_id: &StrBytes, member_id: &StrBytes) {
        let now = self.now();
        let mut shared = self.lock();
        let outcome = shared.state.remove_member(node, group_id, member_id, now);
        shared.carry_out(follow(outcome).collect(), now);
        self.rearm(&mut shared);
    }

    /// Has the handler answer from the cluster as the node knows it.
    fn apply_as_known(self: &Arc<Self>, origin: Origin, header: &RequestHeader, request: Request) -> Outcome {
        let known = self.known_by(origin.node);
        self.guarded(header, || {
            self.answer(origin, header, |state, ctx| {
                let is = std::mem::replace(&mut state.cluster, known);
                let answer = catch_unwind(AssertUnwindSafe(|| table::handle(state, ctx, request)));
                state.cluster = is;
                answer.unwrap_or_else(|panic| resume_unwind(panic))
            })
        })
    }

    fn known_by(&self, node: NodeId) -> Cluster {
        let now = self.now();
        let mut shared = self.lock();
        let Shared { state, unhelpful, .. } = &mut *shared;
        let Some(unhelpful) = unhelpful else { return state.cluster.clone() };
        let known = unhelpful.known.get(&node).filter(|(_, until)| now < *until);
        if let Some((cluster, _)) = known {
            return cluster.clone();
        }
        let until = now + unhelpful.adversary.lag();
        unhelpful.known.insert(node, (state.cluster.clone(), until));
        state.cluster.clone()
    }
}

/// What of the cluster matters to a request.
fn circumstances(state: &State, request: &Request, subject: &Subject) -> Circumstances {
    let can_move = |coordinator| {
        let place = place(state, subject, coordinator);
        place.is_some_and(|(topic, partition)| !others_in_sync(state, &topic, partition).is_empty())
    };
    let mut about = Circumstances {
        leader_may_move: can_move(None),
        coordinator_may_move: can_move(Some(coordinator_of(request))),
        ..Circumstances::default()
    };
    match request {
        Request::Produce(produce) if produce.acks == -1 => {
            let named = subject.topics.iter().filter_map(|(topic, _)| state.cluster.topics().by_name(topic));
            let partitions = named.flat_map(|topic| topic.partitions().iter().map(move |partition| (topic, partition)));
            about.waits_for_replicas = true;
            about.may_lack_replicas = true;
            for (topic, partition) in partitions {
                about.waits_for_replicas &= partition.replicas().len() > 1;
                about.may_lack_replicas &= min_insync_replicas(topic, partition) > 1;
            }
        }
        Request::Fetch(fetch) => about.has_session = fetch.session_id != 0 && fetch.session_epoch > 0,
        _ => {}
    }
    about
}

fn coordinator_of(request: &Request) -> CoordinatorType {
    match request {
        Request::AddPartitionsToTxn(_) | Request::AddOffsetsToTxn(_) | Request::EndTxn(_) => {
            CoordinatorType::Transaction
        }
        _ => CoordinatorType::Group,
    }
}

/// A partition that a request is about, or that coordinates what it is about.
fn place(state: &State, subject: &Subject, coordinator: Option<CoordinatorType>) -> Option<(String, PartitionId)> {
    let Some(kind) = coordinator else {
        let (topic, partitions) = subject.topics.first()?;
        return Some((topic.clone(), PartitionId(*partitions.first()?)));
    };
    let names = if kind == CoordinatorType::Transaction { &subject.transactional_ids } else { &subject.groups };
    let count = state.cluster.topics().by_name(kind.topic())?.partitions().len();
    Some((kind.topic().to_owned(), partition_for(names.first()?, count)))
}

fn others_in_sync(state: &State, topic: &str, partition: PartitionId) -> Vec<NodeId> {
    let found = state.cluster.topics().by_name(topic).and_then(|topic| topic.partition(partition));
    let Some(found) = found else { return Vec::new() };
    let can = |node: &NodeId| Some(*node) != found.leader() && state.cluster.alive(*node).is_some();
    found.isr().iter().copied().filter(can).collect()
}
