//! The accidents that exactly-once code has to survive, one line each. They are faults and gates; what each does to a program is
//! told in the README's table.

use crate::broker::MockBroker;
use crate::fault::{Fault, FaultGuard, Gate, on, on_any};
use crate::wire::api_key::ApiKey;

/// ILLEGAL_GENERATION, by which a group tells a member that the others went on without it.
const ILLEGAL_GENERATION: i16 = 22;

/// Accidents on a cluster. Made by [`MockBroker::accidents`]. Each lasts until its guard is dropped, and a guard whose accident
/// never happened fails the test.
#[derive(Debug)]
pub struct Accidents<'a> {
    broker: &'a MockBroker,
}

impl MockBroker {
    /// The classic accidents of exactly-once programs.
    ///
    /// ```no_run
    /// # async fn test(broker: mockbroker::MockBroker) {
    /// let lost = broker.accidents().lose_commit_answers("billing-1");
    /// // ... the code under test commits a transaction, and is told nothing ...
    /// lost.wait(1).await;
    /// drop(lost); // from here on the coordinator is heard again
    /// # }
    /// ```
    pub fn accidents(&self) -> Accidents<'_> {
        Accidents { broker: self }
    }
}

impl Accidents<'_> {
    /// Transactions of the id end as they should, and nobody is told: the connection breaks in place of every answer to EndTxn.
    pub fn lose_commit_answers(&self, transactional_id: &str) -> FaultGuard {
        let scope = on(ApiKey::EndTxn).transactional_id(transactional_id);
        self.broker.fault(scope).after_apply(Fault::Disconnect).named("the answers of EndTxn are lost").mount()
    }

    /// The next write to the topic is stored, and its answer is lost.
    pub fn lose_produce_answer(&self, topic: &str) -> FaultGuard {
        let scope = on(ApiKey::Produce).topic(topic).nth(1);
        self.broker.fault(scope).after_apply(Fault::Disconnect).named("the answer of Produce is lost").mount()
    }

    /// Offsets of the group become part of transactions, and nobody is told.
    pub fn lose_transaction_offsets_answer(&self, group_id: &str) -> FaultGuard {
        let scope = on(ApiKey::TxnOffsetCommit).group(group_id).nth(1);
        self.broker.fault(scope).after_apply(Fault::Disconnect).named("the answer of TxnOffsetCommit is lost").mount()
    }

    /// Offsets of the group are committed outside of transactions, and nobody is told.
    pub fn lose_offset_commit_answers(&self, group_id: &str) -> FaultGuard {
        let scope = on(ApiKey::OffsetCommit).group(group_id);
        self.broker.fault(scope).after_apply(Fault::Disconnect).named("the answers of OffsetCommit are lost").mount()
    }

    /// The next commit of offsets comes when the group has gone on without the member: between send and commit there was a
    /// rebalance. `api` is `TxnOffsetCommit` or `OffsetCommit`.
    pub fn rebalance_before_commit(&self, api: ApiKey, group_id: &str) -> FaultGuard {
        let scope = on(api).group(group_id).nth(1);
        let fault = self.broker.fault(scope).before_apply(Fault::Error(ILLEGAL_GENERATION));
        fault.named("a rebalance came between send and commit").mount()
    }

    /// A process pauses: whatever this client sends, heartbeats too, arrives when the gate is released. Its session may end
    /// meanwhile, and what it sent before it knows of that arrives afterwards: it is a zombie.
    pub fn freeze(&self, client_id: &str) -> Gate {
        self.broker.pause_next(on_any().client_id(client_id)).every().before_apply()
    }
}
