//! The differences that are meant. Each is a row of `docs/COMPATIBILITY.md`; one that no longer shows has to go.

use crate::judge::Difference;

/// A difference and its reason.
#[derive(Clone, Copy, Debug)]
pub struct Explained {
    /// The scenario.
    pub scenario: &'static str,
    /// The step; one `*` stands for any text.
    pub step: &'static str,
    /// The path in the answer; one `*` stands for any text.
    pub path: &'static str,
    /// Why it is so.
    pub reason: &'static str,
}

/// All of them.
pub const EXPLAINED: &[Explained] = &[
    entry("cluster.api_versions", "usual", "finalized_features", FEATURES),
    entry("cluster.api_versions", "usual", "supported_features", FEATURES),
    entry("cluster.api_versions", "*", "api_keys[*].max_version", CODEC),
    entry("common.api_versions", "*", "api_keys[*].max_version", CODEC),
    entry("common.api_versions", "*", "finalized_features", FEATURES),
    entry("common.api_versions", "*", "supported_features", FEATURES),
    entry("common.add_partitions_to_txn", "the default of every field", "", "Kafka never answers; a hang helps nobody"),
    entry("common.describe_log_dirs", "*", "results[0].*_bytes", VOLUMES),
    entry("common.describe_log_dirs", "a version too high", "", CODEC),
    entry("common.list_offsets", "a version too high", "", CODEC),
    entry("configs.describe", "documentation*", "*", "the texts of Kafka's documentation are not in the mock"),
    entry("nodes.api_versions", "*", "api_keys[*].max_version", CODEC),
    entry("nodes.api_versions", "*", "finalized_features", FEATURES),
    entry("nodes.api_versions", "*", "supported_features", FEATURES),
    entry("leaders_of_nodes.log_dirs", "*", "results[0].*_bytes", VOLUMES),
    entry("log_dirs.describe", "*", "results[0].*_bytes", VOLUMES),
    entry("produce.request_refusals", "null records", "", "Kafka never answers; a hang helps nobody"),
];

const CODEC: &str = "the codec of this version of the mock lacks the highest version of this API";
const VOLUMES: &str = "the mock writes to no volume; it says that the sizes are not known";
const FEATURES: &str = "features that nothing in the mock depends on are not listed";

const fn entry(scenario: &'static str, step: &'static str, path: &'static str, reason: &'static str) -> Explained {
    Explained { scenario, step, path, reason }
}

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
    match pattern.split_once('*') {
        Some((start, end)) => text.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)),
        None => text == pattern,
    }
}
