//! What goes over the wire, and what is refused on its way in.

pub mod guard;
pub mod schema;
