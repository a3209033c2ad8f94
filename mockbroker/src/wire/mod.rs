//! How a request becomes bytes and back.
