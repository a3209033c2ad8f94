//! What the assignors promise.
