//! Machine tests of consumer groups: every rule without a connection. [`kit`] checks after every step that the records
//! alone give the same group.

mod commit;
mod describe;
mod epochs;
pub(in crate::group) mod kit;
mod members;
mod moves;
mod reconcile;
mod regex;
mod request;
mod speed;
mod statics;
mod time;
mod topics;
