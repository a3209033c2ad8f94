//! What becomes of every name. A name that ends in `*` stands for all that begin so.

mod ignored;
mod taken;

use super::{Settings, values::Taken};

/// Reads a value into the settings.
pub(super) type Take = fn(&mut Settings, &str) -> Taken;

/// What becomes of a property.
pub(super) enum Rule {
    /// It is taken and means what it says there.
    Take(Take),
    /// It is taken, and this is what is different.
    Adapt(Take, &'static str),
    /// It has no effect, and why.
    Ignore(&'static str),
    /// These values change nothing. Any other is refused: to ignore it would lose safety, or what the program relies on.
    Only(&'static [&'static str], &'static str),
}

type Table = &'static [(&'static str, Rule)];

const TABLES: [Table; 5] = [taken::CLIENT, taken::SECURITY, taken::PRODUCER, taken::CONSUMER, ignored::IGNORED];

/// The name as the table has it, and its rule.
pub(super) fn rule(name: &str) -> Option<(&'static str, &'static Rule)> {
    let all = || TABLES.into_iter().flatten();
    let exact = all().find(|(known, _)| *known == name);
    let found = exact
        .or_else(|| all().find(|(known, _)| known.strip_suffix('*').is_some_and(|prefix| name.starts_with(prefix))));
    found.map(|(known, rule)| (*known, rule))
}

/// The name that a misspelt one is most like, if any is.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let known = TABLES.into_iter().flatten().map(|(known, _)| *known).filter(|known| !known.ends_with('*'));
    let near = known.map(|known| (distance(name, known), known)).min()?;
    (near.0 <= 3 && near.0 < name.len() / 2).then_some(near.1)
}

/// How many letters have to be put in, taken out or changed (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let (mut left_above, mut left) = (row[0], i + 1);
        row[0] = left;
        for (j, b) in other.bytes().enumerate() {
            let above = row[j + 1];
            left = (left_above + usize::from(a != b)).min(above + 1).min(left + 1);
            (left_above, row[j + 1]) = (above, left);
        }
    }
    row[other.len()]
}

/// Names that tell that the properties are librdkafka's: the common ones that Java does not have.
pub(super) fn is_of_librdkafka_only(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "metadata.broker.list",
        "message.max.bytes",
        "receive.message.max.bytes",
        "socket.timeout.ms",
        "socket.keepalive.enable",
        "queue.buffering.max.messages",
        "queue.buffering.max.kbytes",
        "queue.buffering.max.ms",
        "message.send.max.retries",
        "message.timeout.ms",
        "batch.num.messages",
        "compression.codec",
        "compression.level",
        "request.required.acks",
        "queued.min.messages",
        "queued.max.messages.kbytes",
        "fetch.wait.max.ms",
        "fetch.message.max.bytes",
        "enable.auto.offset.store",
        "enable.partition.eof",
        "auto.commit.enable",
        "statistics.interval.ms",
        "sasl.mechanisms",
        "sasl.username",
        "sasl.password",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.key.location",
        "debug",
        "log_level",
    ];
    NAMES.contains(&name)
}

/// Every name of the tables, for the page that lists them.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = &'static (&'static str, Rule)> {
    TABLES.into_iter().flatten()
}
