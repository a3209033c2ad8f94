//! What a history must hold, as functions of what was written, what was read and what was promised. They know of no broker and no
//! client: whoever calls them has asked the logs themselves, and takes nobody's word for what is committed.

#![expect(missing_docs, reason = "offset, value, fate and their like say it themselves")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What is at one offset of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Logged {
    /// A record. `transaction` is the producer id of a transactional batch.
    Record { offset: i64, transaction: Option<i64>, value: String },
    /// The end of the transaction that a producer id has open.
    Marker { offset: i64, producer_id: i64, is_commit: bool },
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It counts: its transaction was committed, or it has none.
    Committed,
    /// It never will.
    Aborted,
    /// Nobody knows yet.
    Open,
}

/// A record of a log, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    pub offset: i64,
    pub value: String,
    pub fate: Fate,
}

/// What a writer was told of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// It was acknowledged, and its transaction's commit was.
    Counts,
    /// Its transaction was aborted, or failed before it could be committed.
    Never,
    /// The writer was told that nobody knows.
    Unknown,
}

/// A record that a reader with `read_committed` was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub offset: i64,
    pub value: String,
    /// Its fate in the log at the time when it was read.
    pub fate: Fate,
}

/// What is wrong with a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// It was promised, or follows from what is committed, and is not committed.
    Lost { value: String },
    /// It is committed more than once.
    Doubled { value: String },
    /// It is committed, and nothing that is committed accounts for it.
    Unfounded { value: String },
    /// It is committed behind a later one of the same writer.
    Reordered { value: String, behind: String },
    /// It was said to be aborted, and is committed.
    CommittedAfterAbort { value: String },
    /// A reader was given it after it was aborted.
    AbortedRead { offset: i64, value: String },
    /// A reader was given it before its transaction was committed; what became of it later.
    UncommittedRead { offset: i64, value: String, fate: Fate },
    /// A reader was given something that is not in the log at that offset.
    PhantomRead { offset: i64, value: String },
    /// A reader that read on from here was not given it.
    Unread { offset: i64, value: String },
    /// A reader went back, or was given the same twice.
    ReadAgain { offset: i64, value: String },
    /// A transaction that nobody will ever end.
    Hanging { offset: i64, value: String },
    /// The group's committed offset is not behind the last record of its input.
    OffsetBehind { committed: i64, end: i64 },
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// The fate of each record of a log. A marker ends what its producer has open in this partition, which is how every reader of
/// Kafka's logs has to see it.
pub fn judge(log: &[Logged]) -> Vec<Judged> {
    let mut judged: Vec<Judged> = Vec::new();
    let mut open: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for entry in log {
        match entry {
            Logged::Record { offset, transaction, value } => {
                let fate = if transaction.is_some() { Fate::Open } else { Fate::Committed };
                if let Some(producer_id) = transaction {
                    open.entry(*producer_id).or_default().push(judged.len());
                }
                judged.push(Judged { offset: *offset, value: value.clone(), fate });
            }
            Logged::Marker { producer_id, is_commit, .. } => {
                let fate = if *is_commit { Fate::Committed } else { Fate::Aborted };
                for index in open.remove(producer_id).unwrap_or_default() {
                    judged[index].fate = fate;
                }
            }
        }
    }
    judged
}

/// The values that count, in their order.
pub fn committed(log: &[Judged]) -> Vec<&str> {
    log.iter().filter(|record| record.fate == Fate::Committed).map(|record| record.value.as_str()).collect()
}

/// No transaction is left open.
pub fn settled(log: &[Judged]) -> Vec<Violation> {
    let open = log.iter().filter(|record| record.fate == Fate::Open);
    open.map(|record| Violation::Hanging { offset: record.offset, value: record.value.clone() }).collect()
}

/// What writers were told is so: of the values that each names, all that count are committed, and none that never will.
pub fn promises<'a>(committed: &[&str], promised: impl IntoIterator<Item = (&'a str, Promise)>) -> Vec<Violation> {
    let found: BTreeSet<&str> = committed.iter().copied().collect();
    let mut violations = Vec::new();
    for (value, promise) in promised {
        match (promise, found.contains(value)) {
            (Promise::Counts, false) => violations.push(Violation::Lost { value: value.to_owned() }),
            (Promise::Never, true) => violations.push(Violation::CommittedAfterAbort { value: value.to_owned() }),
            _ => {}
        }
    }
    violations
}

/// Each value that is committed in one partition is there once, and the values of one writer are in the order of their numbers.
/// `of` tells the writer of a value and its number.
pub fn order<'v, W: Ord>(committed: &[&'v str], of: impl Fn(&'v str) -> (W, u64)) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut last: BTreeMap<W, (u64, &'v str)> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for value in committed {
        if !seen.insert(*value) {
            violations.push(Violation::Doubled { value: (*value).to_owned() });
            continue;
        }
        let (writer, number) = of(value);
        match last.get(&writer) {
            Some((before, behind)) if *before >= number => {
                let (value, behind) = ((*value).to_owned(), (*behind).to_owned());
                violations.push(Violation::Reordered { value, behind });
            }
            _ => {
                last.insert(writer, (number, value));
            }
        }
    }
    violations
}

/// Every value that is committed in the input has one result in the output, and nothing else has.
pub fn results<'a>(
    input: impl IntoIterator<Item = &'a str>,
    output: impl IntoIterator<Item = &'a str>,
) -> Vec<Violation> {
    let mut wanted: BTreeMap<&str, i32> = BTreeMap::new();
    input.into_iter().for_each(|value| *wanted.entry(value).or_default() += 1);
    let mut violations = Vec::new();
    let mut found: BTreeMap<&str, i32> = BTreeMap::new();
    output.into_iter().for_each(|value| *found.entry(value).or_default() += 1);
    for (value, count) in &found {
        let wanted = wanted.remove(value).unwrap_or(0);
        let value = (*value).to_owned();
        match count.cmp(&wanted) {
            std::cmp::Ordering::Greater if wanted == 0 => violations.push(Violation::Unfounded { value }),
            std::cmp::Ordering::Greater => violations.push(Violation::Doubled { value }),
            std::cmp::Ordering::Less => violations.push(Violation::Lost { value }),
            std::cmp::Ordering::Equal => {}
        }
    }
    violations.extend(wanted.into_keys().map(|value| Violation::Lost { value: value.to_owned() }));
    violations
}

/// What a reader with `read_committed` was given of a partition, wherever it began: nothing that was open then, or was aborted,
/// or is not there.
pub fn reads(log: &[Judged], given: &[Read]) -> Vec<Violation> {
    let by_offset: BTreeMap<i64, &Judged> = log.iter().map(|record| (record.offset, record)).collect();
    let mut violations = Vec::new();
    for read in given {
        let (offset, value) = (read.offset, read.value.clone());
        match by_offset.get(&offset) {
            Some(record) if record.value == value => match read.fate {
                Fate::Aborted => violations.push(Violation::AbortedRead { offset, value }),
                Fate::Open => violations.push(Violation::UncommittedRead { offset, value, fate: record.fate }),
                Fate::Committed => {}
            },
            _ => violations.push(Violation::PhantomRead { offset, value }),
        }
    }
    violations
}

/// What a reader was given that read a whole partition once, from its beginning: all that is committed, in its order.
pub fn whole_read(log: &[Judged], given: &[Read]) -> Vec<Violation> {
    let mut violations = reads(log, given);
    let mut last = -1;
    for read in given {
        if read.offset <= last {
            violations.push(Violation::ReadAgain { offset: read.offset, value: read.value.clone() });
        }
        last = last.max(read.offset);
    }
    let given: BTreeSet<i64> = given.iter().map(|read| read.offset).collect();
    for record in log.iter().filter(|record| record.fate == Fate::Committed && !given.contains(&record.offset)) {
        violations.push(Violation::Unread { offset: record.offset, value: record.value.clone() });
    }
    violations
}

/// The group is through with a partition: no committed record is at or behind its committed offset.
pub fn offset(log: &[Judged], committed: i64) -> Vec<Violation> {
    let last = log.iter().rev().find(|record| record.fate == Fate::Committed);
    match last.map(|record| record.offset + 1) {
        Some(end) if committed < end => vec![Violation::OffsetBehind { committed, end }],
        _ => Vec::new(),
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
