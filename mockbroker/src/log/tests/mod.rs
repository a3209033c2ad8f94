//! Machine tests of the log, one file per file of the log.
