//! The differences that are meant. Each is a row of `docs/COMPATIBILITY.md`; one that no longer shows has to go.

use crate::judge::Difference;

/// A difference and its reason.
#[derive(Clone, Copy, Debug)]
pub struct Explained {
    /// The scenario.
    pub scenario: &'static str,
    /// The step; `*` at the end stands for the rest.
    pub step: &'static str,
    /// The path in the answer; `*` at the end stands for the rest.
    pub path: &'static str,
    /// Why it is so.
    pub reason: &'static str,
}

/// All of them.
pub const EXPLAINED: &[Explained] = &[];

impl Explained {
    /// Whether this explains it.
    #[must_use]
    pub fn is_of(&self, difference: &Difference) -> bool {
        self.scenario == difference.scenario
            && matches(self.step, &difference.step)
            && matches(self.path, &difference.path)
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => text == pattern,
    }
}
