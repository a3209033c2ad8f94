//! Target `stores`: offsets in the program's own database. SQLite in memory and in files; PostgreSQL at `DATABASE_URL`, with the
//! feature `postgres` (`just stores`).
//!
//! - `sqlite`, `postgres`: the same tests on either.

#[path = "../system/stage.rs"]
#[allow(dead_code, reason = "the stage has more than this target needs")]
mod stage;

#[macro_use]
mod cases;
#[cfg(feature = "postgres")]
mod postgres;
mod sqlite;
