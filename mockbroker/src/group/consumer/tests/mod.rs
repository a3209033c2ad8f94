//! Machine tests of consumer groups.
