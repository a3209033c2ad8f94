//! One file per API: wire types in, wire types out.
