//! The state of a cluster in words: what a failed test prints.

use std::fmt::Write;

use super::{groups, partition, transactions};
use crate::state::State;
use crate::types::NodeId;

/// Topics that nobody has written to are counted, not shown, beyond this many partitions of one topic.
const SHOWN_PARTITIONS: usize = 16;

/// Nodes, topics, groups and transactions, a line for each.
pub(crate) fn text(state: &State) -> String {
    let mut out = String::new();
    write(state, &mut out).expect("writing into a string cannot fail");
    out
}

fn write(state: &State, out: &mut String) -> std::fmt::Result {
    let alive: Vec<_> = state.cluster.alive_nodes().map(|node| node.id.to_string()).collect();
    let all = state.cluster.nodes().count();
    writeln!(
        out,
        "nodes: {} of {all} up ({}), controller {}",
        alive.len(),
        alive.join(", "),
        state.cluster.controller_id()
    )?;
    writeln!(out, "topics:")?;
    for topic in state.cluster.topics().iter() {
        writeln!(out, "  {}: {} partitions", topic.name().as_str(), topic.partitions().len())?;
        let states = (0..topic.partitions().len()).filter_map(|index| {
            let index = i32::try_from(index).ok()?;
            Some((index, partition(state, topic.name(), index)?))
        });
        let spoken_of = |(_, it): &(i32, super::PartitionState)| !topic.is_internal() || it.log_end_offset > 0;
        for (index, it) in states.filter(spoken_of).take(SHOWN_PARTITIONS) {
            let leader = it.leader.map_or("none".to_owned(), |leader| leader.to_string());
            writeln!(
                out,
                "    {index}: log {}..{}, high watermark {}, last stable {}; leader {leader} epoch {}, replicas {}, isr {}",
                it.log_start_offset,
                it.log_end_offset,
                it.high_watermark,
                it.last_stable_offset,
                it.leader_epoch,
                ids(&it.replicas),
                ids(&it.isr)
            )?;
        }
    }
    write_groups(state, out)?;
    write_transactions(state, out)
}

fn write_groups(state: &State, out: &mut String) -> std::fmt::Result {
    writeln!(out, "groups:")?;
    for group in groups(state) {
        writeln!(out, "  {}: {} {}, epoch {}", group.group_id, group.group_type, group.state, group.epoch)?;
        for member in &group.members {
            let assigned = member.assignment.iter().map(|(topic, partitions)| format!(" {topic}{partitions:?}"));
            let client_id = if member.client_id.is_empty() { "-" } else { &member.client_id };
            writeln!(out, "    member {} ({client_id}):{}", member.member_id, assigned.collect::<String>())?;
        }
        for it in &group.offsets {
            writeln!(out, "    committed {}-{}: {}", it.topic, it.partition, it.offset)?;
        }
        for it in &group.pending {
            writeln!(out, "    pending {}-{}: {} (producer id {})", it.topic, it.partition, it.offset, it.producer_id)?;
        }
    }
    Ok(())
}

fn write_transactions(state: &State, out: &mut String) -> std::fmt::Result {
    writeln!(out, "transactions:")?;
    for it in transactions(state) {
        let partitions: Vec<_> = it.partitions.iter().map(|(topic, index)| format!("{topic}-{index}")).collect();
        let (name, id, epoch) = (it.state, it.producer_id, it.producer_epoch);
        writeln!(out, "  {}: {name}, producer id {id} epoch {epoch} {}", it.transactional_id, partitions.join(" "))?;
    }
    Ok(())
}

fn ids(nodes: &[NodeId]) -> String {
    let ids: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    format!("[{}]", ids.join(", "))
}
