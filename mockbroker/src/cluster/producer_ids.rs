//! Ids of producers: the controllers hand them to nodes in blocks, and each node hands out those of its block. So ids say which
//! node they came from, and a node that was down begins another block.
//!
//! Source: `ProducerIdControlManager`, `RPCProducerIdManager`, `ProducerIdsBlock`.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;

use crate::types::NodeId;

/// `ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`.
const BLOCK: i64 = 1000;
/// The id of a block whose use makes the node ask for the next one (`PID_PREFETCH_THRESHOLD`, 90 %).
const PREFETCH: i64 = 900;

/// Who has which ids.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProducerIds {
    /// Where the block begins that the controllers give out next.
    next_block: i64,
    nodes: BTreeMap<NodeId, Blocks>,
    is_cold: bool,
    /// The controllers do not answer.
    is_cut_off: bool,
}

/// What a node has to give.
#[derive(Clone, Debug, Default)]
struct Blocks {
    /// The next id, and the end of its block. Both are equal before the first block and after the last id.
    next: i64,
    end: i64,
    /// Where the block begins that comes after it.
    prefetched: Option<i64>,
}

impl ProducerIds {
    /// With `is_cold` a node that has no id left says so once, as Kafka's does, while it asks for a block.
    pub(crate) fn new(is_cold: bool) -> Self {
        Self { is_cold, ..Self::default() }
    }

    /// The next id of `node`.
    ///
    /// # Errors
    /// COORDINATOR_LOAD_IN_PROGRESS, of a node that has no block yet, if that is to be seen, or that gets none.
    pub(crate) fn next(&mut self, node: NodeId) -> Result<i64, ResponseError> {
        let Self { next_block, nodes, is_cold, is_cut_off } = self;
        let mut allocate = || {
            let first = *next_block;
            *next_block += BLOCK;
            first
        };
        let blocks = nodes.entry(node).or_default();
        if blocks.next == blocks.end {
            let first = match blocks.prefetched.take() {
                Some(first) => first,
                None if *is_cut_off => return Err(ResponseError::CoordinatorLoadInProgress),
                None if *is_cold => {
                    blocks.prefetched = Some(allocate());
                    return Err(ResponseError::CoordinatorLoadInProgress);
                }
                None => allocate(),
            };
            (blocks.next, blocks.end) = (first, first + BLOCK);
        }
        let id = blocks.next;
        blocks.next += 1;
        if blocks.end - id == BLOCK - PREFETCH && blocks.prefetched.is_none() && !*is_cut_off {
            blocks.prefetched = Some(allocate());
        }
        Ok(id)
    }

    /// Nobody gets another block.
    pub(crate) fn cut_off(&mut self) {
        self.is_cut_off = true;
    }

    /// What `node` has left, it has left in `other`.
    pub(crate) fn take_over(&mut self, node: NodeId, other: &Self) {
        self.nodes.extend(other.nodes.get(&node).map(|blocks| (node, blocks.clone())));
    }

    /// `node` crashed: what was left of its blocks is nobody's.
    pub(crate) fn forget(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);

    #[test]
    fn each_node_has_a_block_of_its_own_and_a_new_one_after_a_crash() {
        // Seen on three nodes of 4.3.1: 0, 1000, 2000.
        let mut ids = ProducerIds::default();
        assert_eq!([A, B, A, B].map(|node| ids.next(node)), [0, 1000, 1, 1001].map(Ok));
        ids.forget(A);
        assert_eq!([A, B, A].map(|node| ids.next(node)), [2000, 1002, 2001].map(Ok));
    }

    #[test]
    fn the_next_block_is_asked_for_when_nine_tenths_are_used() {
        // RPCProducerIdManager.generateProducerId: with the id 900 of a block, not with its last.
        let mut ids = ProducerIds::default();
        for id in 0..900 {
            assert_eq!(ids.next(A), Ok(id));
        }
        let mut early = ids.clone();
        assert_eq!(early.next(B), Ok(1000));
        assert_eq!((ids.next(A), ids.next(B)), (Ok(900), Ok(2000)));
        let left: Vec<_> = (0..100).map(|_| ids.next(A).unwrap()).collect();
        assert_eq!((left[0], left[98], left[99]), (901, 999, 1000));
    }

    #[test]
    fn a_node_that_is_cut_off_has_what_it_has_and_gives_no_id_twice() {
        // RPCProducerIdManager.generateProducerId.
        let mut ids = ProducerIds::default();
        assert_eq!([A, B].map(|node| ids.next(node)), [0, 1000].map(Ok));
        let mut alone = ids.clone();
        alone.cut_off();
        for id in 1..1000 {
            assert_eq!(alone.next(A), Ok(id));
        }
        assert_eq!(alone.next(A), Err(ResponseError::CoordinatorLoadInProgress));
        ids.take_over(A, &alone);
        assert_eq!([A, B].map(|node| ids.next(node)), [2000, 1001].map(Ok));
    }

    #[test]
    fn a_node_of_a_cold_cluster_has_no_block_when_it_is_asked_first() {
        let mut ids = ProducerIds::new(true);
        assert_eq!(ids.next(A), Err(ResponseError::CoordinatorLoadInProgress));
        for id in 0..2000 {
            assert_eq!(ids.next(A), Ok(id), "the others come in time");
        }
        assert_eq!(ids.next(B), Err(ResponseError::CoordinatorLoadInProgress));
    }
}
