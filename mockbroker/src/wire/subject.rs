//! What a request is about, whatever its API.

/// Every name in a request, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subject {
    /// Topics by name, with the partitions that are named. A topic id that no topic has is left out.
    pub(crate) topics: Vec<(String, Vec<i32>)>,
    /// Groups.
    pub(crate) groups: Vec<String>,
    /// Transactional ids.
    pub(crate) transactional_ids: Vec<String>,
}
