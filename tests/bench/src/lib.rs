//! The figures that the workspace promises, measured as ratios to a peer in one run. `README.md` says how to read them.
//!
//! One module measures one figure; each gives [`report::Row`]s and never judges by a number of another run.

pub mod allocator;
pub mod client;
pub mod consume;
pub mod cycles;
pub mod exactly_once;
pub mod exec;
pub mod groups;
pub mod load;
pub mod machine;
pub mod members;
pub mod memory;
pub mod pairs;
pub mod processes;
pub mod produce;
pub mod raw;
pub mod report;
pub mod statistics;
pub mod transactions;

/// How much to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Under two minutes: enough to see a figure that is off by a quarter.
    Quick,
    /// About ten minutes: what a verdict should rest on.
    Full,
}

impl Effort {
    /// `quick` or `full`, as the effort is.
    pub fn pick<T>(self, quick: T, full: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Full => full,
        }
    }
}
