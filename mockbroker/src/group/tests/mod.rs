//! Machine tests of the group coordinator. Every step goes through [`kit`], which holds the machine to its contract.

mod describe;
mod expiry;
mod join;
mod kit;
mod load;
mod offsets;
mod property;
mod rebalance;
mod record;
mod session;
mod static_members;
mod sync;
