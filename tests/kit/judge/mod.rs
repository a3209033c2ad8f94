//! Kafka as the judge: the same programs of requests run against two brokers, and what they answer compared.
//!
//! - [`run`]: one program against one broker, and the transcript of it
//! - [`normal`]: the declared list of what may differ between any two brokers, a reason each
//! - [`compare`]: transcripts to differences, differences to a report
//! - [`explained`]: the differences that are meant, a reason each
//! - [`capture`]: transcripts as files in `fixtures/wire`
//!
//! The programs are in [`crate::scenarios`]. Nothing here knows a rule of Kafka.

pub mod capture;
pub mod compare;
pub mod explained;
pub mod normal;
pub mod run;

pub use compare::Difference;
pub use run::{Outcome, Run, Scenario, Step, Topic, Transcript};
