//! The whole state of the cluster: what sits behind the engine's one lock. A composition of the core, no rules.
