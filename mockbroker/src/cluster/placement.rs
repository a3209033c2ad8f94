//! On which nodes the replicas of new partitions go: striped over the racks and over the nodes of a rack, from a random
//! start, in a new random order once every node has been first (`StripedReplicaPlacer`).

use std::collections::BTreeMap;

use super::Node;
use crate::ids::IdSource;
use crate::types::NodeId;

/// The replicas of each of `partitions` new partitions; the first is the one to lead. The leader's place goes to a node
/// that is up, the others prefer such a node.
///
/// # Errors
/// Kafka's text for too few nodes.
pub(super) fn place(
    nodes: &BTreeMap<NodeId, Node>,
    partitions: usize,
    replication_factor: usize,
    ids: &mut IdSource,
) -> Result<Vec<Vec<NodeId>>, String> {
    if replication_factor > nodes.len() {
        return Err(format!(
            "The target replication factor of {replication_factor} cannot be reached because only {} broker(s) are \
             registered or some brokers have all their log directories cordoned.",
            nodes.len()
        ));
    }
    let mut racks = Racks::new(nodes, ids);
    if racks.alive == 0 {
        return Err("All brokers are currently fenced.".to_owned());
    }
    Ok((0..partitions).map(|_| racks.place(replication_factor, ids)).collect())
}

/// Nodes that take turns. In each turn they are given out once, and the next turn starts one node further on.
#[derive(Debug, Default)]
struct Ring {
    nodes: Vec<NodeId>,
    start: usize,
    given: usize,
    turn: usize,
}

impl Ring {
    fn next(&mut self, turn: usize) -> Option<NodeId> {
        if self.nodes.is_empty() {
            return None;
        }
        if self.turn != turn {
            self.turn = turn;
            self.given = 0;
            self.start = (self.start + 1) % self.nodes.len();
        }
        if self.given == self.nodes.len() {
            return None;
        }
        let node = self.nodes[(self.given + self.start) % self.nodes.len()];
        self.given += 1;
        Some(node)
    }
}

#[derive(Debug, Default)]
struct Rack {
    alive: Ring,
    dead: Ring,
}

impl Rack {
    fn next(&mut self, turn: usize) -> Option<NodeId> {
        self.alive.next(turn).or_else(|| self.dead.next(turn))
    }
}

#[derive(Debug)]
struct Racks {
    racks: Vec<Rack>,
    /// Nodes that are up.
    alive: usize,
    turn: usize,
    start: usize,
}

impl Racks {
    fn new(nodes: &BTreeMap<NodeId, Node>, ids: &mut IdSource) -> Self {
        let mut racks: BTreeMap<Option<&str>, Rack> = BTreeMap::new();
        for node in nodes.values() {
            let rack = racks.entry(node.rack.as_deref()).or_default();
            if node.alive { &mut rack.alive } else { &mut rack.dead }.nodes.push(node.id);
        }
        let mut racks: Vec<Rack> = racks.into_values().collect();
        for ring in racks.iter_mut().flat_map(|rack| [&mut rack.alive, &mut rack.dead]) {
            if ring.nodes.len() > 1 {
                ring.start = ids.below(ring.nodes.len());
            }
        }
        let start = if racks.len() > 1 { ids.below(racks.len()) } else { 0 };
        Self { racks, alive: nodes.values().filter(|node| node.alive).count(), turn: 0, start }
    }

    /// The replicas of one partition. There are at least as many nodes as replicas, and one node at least is up.
    fn place(&mut self, replication_factor: usize, ids: &mut IdSource) -> Vec<NodeId> {
        if self.turn == self.alive && self.alive > 1 {
            ids.shuffle(&mut self.racks);
            for rack in &mut self.racks {
                ids.shuffle(&mut rack.alive.nodes);
                ids.shuffle(&mut rack.dead.nodes);
            }
            self.turn = 0;
        }
        let count = self.racks.len();
        let mut replicas = Vec::with_capacity(replication_factor);
        let mut first = self.start % count;
        while replicas.is_empty() {
            replicas.extend(self.racks[first].alive.next(self.turn));
            if replicas.is_empty() {
                first = (first + 1) % count;
            }
        }
        // The other replicas go round the racks from the start; the leader's rack is left out in the first round.
        let mut rack = self.start % count;
        let mut skip = Some(first);
        while replicas.len() < replication_factor {
            if skip == Some(rack) {
                skip = None;
            } else {
                replicas.extend(self.racks[rack].next(self.turn));
            }
            rack = (rack + 1) % count;
        }
        self.turn += 1;
        self.start = (self.start + 1) % count;
        replicas
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(racks: &[Option<&str>], dead: &[i32]) -> BTreeMap<NodeId, Node> {
        let node = |(rack, id): (&Option<&str>, i32)| {
            let rack = rack.map(str::to_owned);
            (
                NodeId(id),
                Node { id: NodeId(id), host: "h".into(), port: 1, rack, alive: !dead.contains(&id), is_running: true },
            )
        };
        racks.iter().zip(1..).map(node).collect()
    }

    #[test]
    fn leaders_and_replicas_are_spread_evenly() {
        // Source: StripedReplicaPlacer.
        let placed = place(&nodes(&[None; 3], &[]), 300, 2, &mut IdSource::new(7)).unwrap();
        for id in 1..=3 {
            assert_eq!(placed.iter().filter(|replicas| replicas[0] == NodeId(id)).count(), 100);
            assert_eq!(placed.iter().filter(|replicas| replicas.contains(&NodeId(id))).count(), 200);
        }
        assert!(placed.iter().all(|replicas| replicas[0] != replicas[1]));
    }

    #[test]
    fn replicas_are_on_different_racks_where_there_are_enough() {
        // Source: StripedReplicaPlacer, KIP-36.
        let racks = [Some("a"), Some("a"), Some("b"), Some("b"), Some("c"), Some("c")];
        let placed = place(&nodes(&racks, &[]), 60, 3, &mut IdSource::new(7)).unwrap();
        for replicas in placed {
            let mut on: Vec<i32> = replicas.iter().map(|node| (node.0 - 1) / 2).collect();
            on.sort_unstable();
            assert_eq!(on, [0, 1, 2]);
        }
    }

    #[test]
    fn a_node_that_is_down_does_not_lead_and_is_the_last_choice() {
        let placed = place(&nodes(&[None; 3], &[2]), 30, 2, &mut IdSource::new(7)).unwrap();
        assert!(placed.iter().flatten().all(|node| *node != NodeId(2)));
        let placed = place(&nodes(&[None; 3], &[2]), 30, 3, &mut IdSource::new(7)).unwrap();
        assert!(placed.iter().all(|replicas| replicas[2] == NodeId(2)));
    }

    #[test]
    fn too_few_nodes_are_named() {
        // Seen on 4.3.1.
        let text = place(&nodes(&[None], &[]), 1, 2, &mut IdSource::new(7)).unwrap_err();
        assert!(text.starts_with("The target replication factor of 2 cannot be reached because only 1 broker(s) are"));
        assert!(place(&nodes(&[None], &[1]), 1, 1, &mut IdSource::new(7)).is_err());
    }

    #[test]
    fn one_node_takes_everything() {
        let placed = place(&nodes(&[None], &[]), 10_000, 1, &mut IdSource::new(7)).unwrap();
        assert!(placed.iter().all(|replicas| replicas == &[NodeId(1)]));
    }
}
