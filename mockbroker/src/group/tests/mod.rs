//! Machine tests of the group coordinator. Every step goes through [`kit`], which holds the machine to its contract.

mod classic_members;
mod consumers;
mod describe;
mod downgrade;
mod expiry;
mod join;
mod kit;
mod load;
mod matrix;
mod mixed_kit;
mod mixed_property;
mod offsets;
mod property;
mod rebalance;
mod record;
mod session;
mod static_members;
mod sync;
mod upgrade;
