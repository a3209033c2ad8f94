//! What a member subscribes to: topics by name, and those whose names match a pattern.

use std::{collections::BTreeSet, sync::Arc};

use regex::Regex;

use crate::error::{Error, Result};

/// The topics that a member wants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subscription {
    pub(crate) topics: BTreeSet<Arc<str>>,
    pub(crate) pattern: Option<Pattern>,
}

impl Subscription {
    pub(crate) fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.pattern.is_none()
    }
}

/// A regular expression that whole names have to match, as in Java (`Matcher.matches`).
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    text: Arc<str>,
    /// `None` where only the broker is to understand it.
    regex: Option<Regex>,
}

impl Pattern {
    /// For members that match names themselves.
    pub(crate) fn compile(text: &str) -> Result<Self> {
        let whole = Regex::new(&format!("^(?:{text})$"));
        let regex = whole.map_err(|error| Error::config("pattern", format!("cannot be compiled: {error}")))?;
        Ok(Self { text: text.into(), regex: Some(regex) })
    }

    /// For members whose broker matches the names.
    pub(crate) fn unread(text: &str) -> Self {
        Self { text: text.into(), regex: None }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        self.regex.as_ref().is_some_and(|regex| regex.is_match(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_names() {
        // ConsumerCoordinator.updatePatternSubscription uses Matcher.matches.
        let pattern = Pattern::compile("orders|pay.*").unwrap();
        for (name, matches) in [("orders", true), ("payments", true), ("orders-2", false), ("my-orders", false)] {
            assert_eq!(pattern.matches(name), matches, "{name}");
        }
        assert_eq!(pattern.as_str(), "orders|pay.*");
    }

    #[test]
    fn a_pattern_that_means_nothing_is_refused() {
        let error = Pattern::compile("orders(").unwrap_err();
        assert!(error.to_string().starts_with("the setting pattern cannot be compiled"), "{error}");
    }
}
