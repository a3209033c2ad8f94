//! A request as one line that is the same in every run.

use std::fmt;

use kafka_protocol::error::ResponseError;

use super::entry::{Decision, Entry};
use crate::wire::subject::Subject;

/// Without numbers that change from run to run: no time, port, correlation id.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.connection().0)?;
        if let Some(node) = self.node() {
            write!(f, " n{node}")?;
        }
        let client_id = if self.client_id().is_empty() { "-" } else { self.client_id() };
        match self.api() {
            Some(api) => write!(f, " {client_id} {api:?} v{}", self.version())?,
            None => write!(f, " {client_id} api key {} v{}", self.api_key(), self.version())?,
        }
        let subject = subject_text(self.subject());
        if !subject.is_empty() {
            write!(f, " {subject}")?;
        }
        match self.decision() {
            Decision::Waits => f.write_str(" -> waits")?,
            Decision::Answered => write!(f, " -> {}", errors_text(&self.errors()))?,
            Decision::NoAnswer => f.write_str(" -> no answer")?,
            Decision::Closed(reason) => write!(f, " -> closed: {reason}")?,
            Decision::ClientGone => f.write_str(" -> the client went away")?,
        }
        for fault in self.faults() {
            write!(f, " [{fault}]")?;
        }
        Ok(())
    }
}

/// `orders-0,1 payments group=billing`.
pub(crate) fn subject_text(subject: &Subject) -> String {
    let topics = subject.topics.iter().map(|(topic, partitions)| {
        let partitions: Vec<_> = partitions.iter().map(ToString::to_string).collect();
        if partitions.is_empty() { topic.clone() } else { format!("{topic}-{}", partitions.join(",")) }
    });
    let groups = subject.groups.iter().map(|group| format!("group={group}"));
    let transactional_ids = subject.transactional_ids.iter().map(|id| format!("transactional_id={id}"));
    topics.chain(groups).chain(transactional_ids).collect::<Vec<_>>().join(" ")
}

/// Each error once, in its order.
fn errors_text(codes: &[i16]) -> String {
    let mut names: Vec<String> = Vec::new();
    for name in codes.iter().map(|code| error_name(*code)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() { "ok".to_owned() } else { names.join(", ") }
}

/// Kafka's name of an error (`Errors.java`): the codec has it without the underscores.
pub(crate) fn error_name(code: i16) -> String {
    let error = match ResponseError::try_from_code(code) {
        None => return "NONE".to_owned(),
        Some(ResponseError::Unknown(code)) => return format!("error {code}"),
        Some(error) => format!("{error:?}"),
    };
    let mut name = String::new();
    for letter in error.chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}
