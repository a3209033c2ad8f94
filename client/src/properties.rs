//! Settings by the names that Java's clients and librdkafka have for them.
//!
//! `table` says of every name what becomes of it, `values` reads values, `security` puts TLS and login together. What is said
//! twice, by a name and its alias, counts as the name that sorts last.

mod security;
mod table;
mod values;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use self::{
    security::Security,
    table::{Rule, rule},
};
use crate::{
    config::{ClientConfig, Compression, ConsumerConfig, GroupConfig, ProducerConfig},
    error::{Error, Result},
    producer::partitioner::{Murmur2, Partitioner},
};

/// What is to be known of a property that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PropertyNote {
    /// The property, as it was given.
    pub name: String,
    /// What kind of news it is.
    pub kind: PropertyNoteKind,
    /// What is so, and what to do instead.
    pub text: String,
}

/// What became of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PropertyNoteKind {
    /// It has no effect here.
    Ignored,
    /// It is taken, and means something a little different here.
    Different,
    /// It was not given, and its default is not the one of the client that the other names are from.
    Default,
    /// Neither Java's clients nor librdkafka have such a property.
    Unknown,
}

impl fmt::Display for PropertyNote {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            PropertyNoteKind::Ignored => "ignored",
            PropertyNoteKind::Different => "taken",
            PropertyNoteKind::Default => "not given",
            PropertyNoteKind::Unknown => "unknown",
        };
        write!(formatter, "{} ({kind}): {}", self.name, self.text)
    }
}

/// What properties set, before it is checked as a whole.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) bootstrap: Option<String>,
    pub(crate) client: ClientConfig,
    pub(crate) producer: ProducerConfig,
    pub(crate) partitioner: Arc<dyn Partitioner>,
    pub(crate) transactional_id: Option<String>,
    pub(crate) transaction_timeout: Duration,
    pub(crate) consumer: ConsumerConfig,
    pub(crate) group: GroupConfig,
    pub(crate) group_id: Option<String>,
    enable_auto_commit: bool,
    levels: BTreeMap<&'static str, i32>,
    ignore_keys: bool,
    rebootstrap: bool,
    rebootstrap_trigger: Duration,
    security: Security,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bootstrap: None,
            client: ClientConfig::default(),
            producer: ProducerConfig::default(),
            partitioner: Arc::new(Murmur2),
            transactional_id: None,
            transaction_timeout: Duration::from_secs(60),
            consumer: ConsumerConfig::default(),
            group: GroupConfig::new("".into()),
            group_id: None,
            enable_auto_commit: true,
            levels: BTreeMap::new(),
            ignore_keys: false,
            rebootstrap: true,
            rebootstrap_trigger: Duration::from_secs(300),
            security: Security::default(),
        }
    }
}

/// Settings that were checked, and what is to be known of them.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) settings: Settings,
    pub(crate) notes: Vec<PropertyNote>,
    /// `OAUTHBEARER` was asked for, which needs a function that no property can name.
    pub(crate) needs_token: bool,
}

/// Reads properties. The first that is impossible is the error.
pub(crate) fn read(properties: BTreeMap<String, String>) -> Result<Read> {
    let (mut settings, mut notes) = (Settings::default(), Vec::new());
    let mut of_librdkafka = false;
    for (name, value) in &properties {
        let Some((known, rule)) = rule(name) else {
            let text = table::nearest(name).map_or_else(
                || "neither Java's clients nor librdkafka have it".to_owned(),
                |nearest| format!("neither Java's clients nor librdkafka have it; is it {nearest}?"),
            );
            notes.push(PropertyNote { name: name.clone(), kind: PropertyNoteKind::Unknown, text });
            continue;
        };
        of_librdkafka |= table::is_of_librdkafka_only(name);
        let value = value.trim();
        let note = match rule {
            Rule::Take(take) => take(&mut settings, value).map(|()| None),
            Rule::Adapt(take, how) => take(&mut settings, value).map(|()| Some((PropertyNoteKind::Different, *how))),
            Rule::Ignore(why) => Ok(Some((PropertyNoteKind::Ignored, *why))),
            Rule::Only(harmless, why) if harmless.iter().any(|it| it.eq_ignore_ascii_case(value)) => {
                let _ = why;
                Ok(None)
            }
            Rule::Only(_, why) => Err(format!("is {value:?}: {why}")),
        };
        if let Some((kind, text)) = note.map_err(|problem| Error::config(known, problem))? {
            notes.push(PropertyNote { name: name.clone(), kind, text: text.to_owned() });
        }
    }
    if of_librdkafka {
        notes.extend(other_defaults(&properties));
    }
    let needs_token = settings.finish(&mut notes)?;
    Ok(Read { settings, notes, needs_token })
}

impl Settings {
    /// Puts together what several properties say.
    fn finish(&mut self, notes: &mut Vec<PropertyNote>) -> Result<bool> {
        if !self.enable_auto_commit {
            self.group.auto_commit_interval = None;
        }
        if self.producer.compression_level.is_none() {
            let level = self.levels.get(match self.producer.compression {
                Compression::Gzip => "compression.gzip.level",
                Compression::Zstd => "compression.zstd.level",
                _ => "",
            });
            self.producer.compression_level = level.copied();
        }
        if self.ignore_keys {
            self.partitioner = Arc::new(IgnoreKeys);
        }
        self.client.rebootstrap_after = self.rebootstrap.then_some(self.rebootstrap_trigger);
        let (client, security) = (&mut self.client, std::mem::take(&mut self.security));
        let needs_token = security.finish(client, notes)?;
        self.client.check()?;
        self.producer.check(self.client.request_timeout)?;
        self.consumer.check(self.client.request_timeout)?;
        Ok(needs_token)
    }
}

/// `partitioner.ignore.keys`: every record goes where the producer fills a batch (KIP-794).
#[derive(Debug)]
struct IgnoreKeys;

impl Partitioner for IgnoreKeys {
    fn partition(&self, _: &crate::record::Record, _: usize) -> Option<usize> {
        None
    }
}

/// What librdkafka does by default and this client, as Java's, does not.
fn other_defaults(given: &BTreeMap<String, String>) -> Vec<PropertyNote> {
    const OTHER: &[(&[&str], &str)] = &[
        (
            &["partitioner"],
            "librdkafka's default is consistent_random (CRC-32), here it is murmur2 as in Java: keys go elsewhere",
        ),
        (&["isolation.level"], "librdkafka's default is read_committed, here it is read_uncommitted"),
        (&["enable.idempotence"], "librdkafka's default is false, here it is true"),
        (&["check.crcs"], "librdkafka's default is false, here it is true"),
        (&["batch.size"], "librdkafka's default is 1000000 bytes, here it is 16384"),
        (&["delivery.timeout.ms", "message.timeout.ms"], "librdkafka's default is 300000, here it is 120000"),
        (
            &["partition.assignment.strategy"],
            "librdkafka's default is range,roundrobin, here it is range,cooperative-sticky",
        ),
        (&["allow.auto.create.topics"], "librdkafka's default for consumers is false, here it is true"),
    ];
    let absent = OTHER.iter().filter(|(names, _)| !names.iter().any(|name| given.contains_key(*name)));
    let note = |(names, text): &(&[&str], &str)| PropertyNote {
        name: names[0].to_owned(),
        kind: PropertyNoteKind::Default,
        text: (*text).to_owned(),
    };
    absent.map(note).collect()
}

#[cfg(test)]
mod tests;
