//! What Kafka prints of its own enums and definitions: the tables in `fixtures/kafka`.

use std::fs;
use std::path::Path;

/// The rows of a table, split at tabs.
///
/// # Panics
///
/// If there is no such table.
#[must_use]
pub fn rows(name: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/kafka").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}
