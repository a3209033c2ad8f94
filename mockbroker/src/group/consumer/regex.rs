//! Subscription by pattern: is the pattern valid, which topics does it stand for, when must that be looked up again.
//!
//! The pattern must match the whole name of a topic. Kafka compiles it with RE2/J, we with the crate `regex`; both are of
//! the RE2 family, without look-around and back references. They differ at the edges: RE2/J knows `\Q...\E`, `\C` and
//! `\z` as RE2 does and takes `(?<name>...)` only since 1.8; the crate knows class operations (`[a-z&&[^b]]`), `(?x)`, `(?R)`
//! the word boundaries `\<`, `\>`, nested repetitions (`a**`), counts above 1000 and character classes without a meaning
//! (`[[:no:]]`), which RE2/J refuses. Errors that both know have RE2/J's words, the others the crate's.
//!
//! Not here: which topics the member's principal may see; the caller's catalog shows only those.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use regex::Regex;

use super::Ctx;
use super::record::RegularExpressionValue;
use super::state::HardState;
use super::topics::TopicCatalog;
use crate::cluster::Refusal;

/// Patterns are not looked up more often than this (`REGEX_BATCH_REFRESH_MIN_INTERVAL_MS`).
const REGEX_BATCH_REFRESH_MIN_INTERVAL_MS: i64 = 10_000;

/// What a heartbeat changes in the patterns of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RegexUpdate {
    /// The member has the pattern that it had.
    NotUpdated,
    /// It has another, and what that stands for is not known yet: the group epoch waits for it.
    Updated,
    /// It has another, and what that stands for is known; or it has none any more.
    UpdatedAndResolved,
}

/// What follows from a heartbeat for the patterns of a group.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RegexPlan {
    pub(super) update: RegexUpdate,
    /// The pattern that nobody is subscribed to any more.
    pub(super) forgotten: Option<String>,
    /// Whether the patterns must be looked up.
    pub(super) refresh: bool,
}

/// What follows when a member that had the pattern `old` has `new` (`maybeUpdateRegularExpressions`). `state` is that before
/// the change.
pub(super) fn plan(ctx: &Ctx<'_>, state: &HardState, old: Option<&str>, new: Option<&str>) -> RegexPlan {
    let mut plan = RegexPlan { update: RegexUpdate::NotUpdated, forgotten: None, refresh: false };
    let subscribers = |regex: &str| state.subscribed_regexes().get(regex).copied().unwrap_or(0);
    let mut is_new = false;
    if old != new {
        plan.update = RegexUpdate::Updated;
        plan.forgotten = old.filter(|old| subscribers(old) == 1).map(str::to_owned);
        match new {
            Some(new) if subscribers(new) == 0 => is_new = true,
            Some(new) if !state.resolved_regexes().contains_key(new) => {}
            _ => plan.update = RegexUpdate::UpdatedAndResolved,
        }
    }
    let mut subscribed: BTreeSet<&str> = state.subscribed_regexes().keys().map(String::as_str).collect();
    if let Some(forgotten) = &plan.forgotten {
        subscribed.remove(forgotten.as_str());
    }
    subscribed.extend(new);
    plan.refresh = !subscribed.is_empty() && needs_refresh(ctx, state, subscribed.len(), is_new);
    plan
}

fn needs_refresh(ctx: &Ctx<'_>, state: &HardState, subscribed: usize, is_new: bool) -> bool {
    let resolved = state.resolved_regexes();
    let now = ctx.now.as_millis();
    let last_refresh = resolved.values().map(|resolved| resolved.timestamp).max();
    if last_refresh.is_some_and(|last| now <= last.saturating_add(REGEX_BATCH_REFRESH_MIN_INTERVAL_MS)) {
        return false;
    }
    let last_version = resolved.values().map(|resolved| resolved.version).max().unwrap_or(0);
    let interval_ms = i64::from(ctx.config.regex_refresh_interval_ms);
    is_new
        || subscribed != resolved.len()
        || last_version < ctx.topics.version_of_last_creation()
        || last_refresh.is_none_or(|last| now > last.saturating_add(interval_ms))
}

/// What the crate says of a pattern that RE2/J refuses as well, and what RE2/J says (`PatternSyntaxException`, seen on a
/// 4.3.1).
const WORDS_OF_RE2J: &[(&str, &str)] = &[
    ("unclosed group", "missing closing )"),
    ("unopened group", "regexp/syntax: internal error"),
    ("unclosed character class", "missing closing ]"),
    ("invalid character class range", "invalid character class range"),
    ("Unicode property not found", "invalid character class range"),
    ("look-around", "invalid or unsupported Perl syntax"),
    ("unrecognized flag", "invalid or unsupported Perl syntax"),
    ("repetition operator missing expression", "missing argument to repetition operator"),
    ("invalid repetition count range", "invalid repeat count"),
    ("incomplete escape sequence", "trailing backslash at end of expression"),
    ("unrecognized escape sequence", "invalid escape sequence"),
    ("backreferences are not supported", "invalid escape sequence"),
    ("unclosed capture group name", "invalid named capture"),
];

/// Refuses what is not a pattern.
///
/// # Errors
/// INVALID_REGULAR_EXPRESSION.
pub(super) fn check(pattern: &str) -> Result<(), Refusal> {
    compile(pattern).map(|_| ()).map_err(|error| {
        // The last line of the crate's picture says what is wrong.
        let picture = error.to_string();
        let ours = picture.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let kafkas = WORDS_OF_RE2J.iter().find(|(words, _)| ours.starts_with(words)).map_or(ours, |(_, kafkas)| kafkas);
        let text = format!("SubscribedTopicRegex `{pattern}` is not a valid regular expression: {kafkas}.");
        Refusal::new(ResponseError::InvalidRegularExpression, text)
    })
}

/// The topics that a pattern stands for now. One that does not compile, which an older coordinator may have written,
/// stands for none.
pub(super) fn resolve(topics: &dyn TopicCatalog, pattern: &str, timestamp: i64) -> RegularExpressionValue {
    let found = match compile(pattern) {
        Ok(regex) => topics.names().filter(|name| regex.is_match(name)).map(str::to_owned).collect(),
        Err(_) => BTreeSet::new(),
    };
    RegularExpressionValue { topics: found, version: topics.version(), timestamp }
}

/// The pattern, for the whole of a name. It is compiled alone first: `a)(b` must not become valid by what is put around it.
fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(pattern)?;
    Regex::new(&format!(r"\A(?:{pattern})\z"))
}
