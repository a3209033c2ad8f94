//! What a stranger can send.
