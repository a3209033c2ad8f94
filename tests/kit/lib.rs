//! The kit: what the test targets share.
