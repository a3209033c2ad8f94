//! The log of a partition: record batches, the four offsets, producer state, epochs.
