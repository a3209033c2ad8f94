//! The group coordinator: who is in which group, and what each member may read.

pub(crate) mod consumer;
