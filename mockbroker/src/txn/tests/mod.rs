//! The rules of the coordinator, without a broker around it.

mod kit;

mod end;
mod init;
mod matrix;
mod property;
mod record;
mod timers;
