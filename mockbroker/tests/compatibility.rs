//! The tables of APIs in `docs/COMPATIBILITY.md`, generated from what the program advertises and from what Kafka does.
//!
//! `INSTA_UPDATE=always` writes them, as it does with the snapshots (`just tables`).

#![cfg(feature = "cli")]

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write;
use std::fs;
use std::process::Command;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/COMPATIBILITY.md");
const KAFKA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/kafka/api_versions.txt");

/// By key: name, lowest and highest version. The columns of `mockbroker apis` and of the fixture are the same.
fn apis(table: &str) -> BTreeMap<i16, (String, i16, i16)> {
    let rows = table.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    // The heads name their columns, so they have no number.
    let numbered = rows.filter_map(|row| row[0].parse().ok().map(|key: i16| (key, row)));
    let number = |text: &str| text.parse::<i16>().expect("a version is a number");
    numbered.map(|(key, row)| (key, (row[1].to_owned(), number(row[2]), number(row[3])))).collect()
}

fn advertised() -> BTreeMap<i16, (String, i16, i16)> {
    let output = Command::new(env!("CARGO_BIN_EXE_mockbroker")).arg("apis").output().expect("the program runs");
    let apis = apis(&String::from_utf8(output.stdout).expect("UTF-8"));
    assert!(apis.len() >= 15, "{apis:?}");
    apis
}

/// Holds what is between two marks of the page to `table`, or puts it there.
fn hold(mark: &str, table: &str) {
    // The page is not part of the published crate.
    let Ok(page) = fs::read_to_string(PAGE) else { return };
    let (begin, end) = (format!("<!-- {mark}: begin -->\n"), format!("<!-- {mark}: end -->"));
    let (before, rest) = page.split_once(&begin).expect("the first mark");
    let (found, after) = rest.split_once(&end).expect("the second mark");
    if found != table && env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        fs::write(PAGE, [before, &begin, table, &end, after].concat()).expect("the page can be written");
        return;
    }
    assert_eq!(found, table, "docs/COMPATIBILITY.md does not say what is so: run `just tables`");
}

#[test]
fn the_page_tells_every_api_that_is_advertised_and_every_one_that_kafka_has_besides() {
    // One test, for both tables are in one file.
    let ours = advertised();
    let mut table = String::from("| key | API | versions |\n| --- | --- | --- |\n");
    for (key, (name, min, max)) in &ours {
        let _ = writeln!(table, "| {key} | {name} | {min} to {max} |");
    }
    hold("apis", &table);
    let Ok(kafka) = fs::read_to_string(KAFKA) else { return };
    let mut table = String::from("| key | API | Kafka 4.3.1 | of that missing |\n| --- | --- | --- | --- |\n");
    // Client telemetry is served, and advertised by neither without a receiver.
    for (key, (name, min, max)) in apis(&kafka).into_iter().filter(|(key, _)| ![71, 72].contains(key)) {
        let missing = match ours.get(&key) {
            None => "all".to_owned(),
            Some((_, our_min, our_max)) => {
                let missing = (min..=max).filter(|version| !(*our_min..=*our_max).contains(version));
                missing.map(|version| format!("v{version}")).collect::<Vec<_>>().join(", ")
            }
        };
        if !missing.is_empty() {
            let _ = writeln!(table, "| {key} | {name} | {min} to {max} | {missing} |");
        }
    }
    hold("lacks", &table);
}
