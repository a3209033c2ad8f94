//! Tests that a page names are there: a promise whose test is gone, or has another name by now, is none.

use std::collections::BTreeSet;

use super::source::{self, Finding, Source};

const PAGES: &[&str] = &[
    "client/docs/CLAIMS.md",
    "docs/EXACTLY-ONCE.md",
    "docs/STEERING.md",
    "docs/TRANSACTIONS.md",
    "docs/TRAPS.md",
    "docs/UNHELPFUL.md",
];

/// Words in code type that can only be tests: no path, no recipe, no name of Kafka's.
fn named(line: &str) -> impl Iterator<Item = &str> {
    let in_code = line.split('`').skip(1).step_by(2);
    let is_name = |word: &&str| word.contains("::") || word.matches('_').count() >= 2;
    in_code.filter(is_name).filter(|word| !word.contains(['/', '.', ' ', '*']))
}

fn missing(page: &Source, is_there: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(page.text.lines()) {
        for name in named(line).filter(|name| !is_there(name)) {
            findings.push(Finding {
                path: page.path.clone(),
                line: number,
                what: format!("no test is called `{name}`"),
            });
        }
    }
    findings
}

/// The functions of a file: their names, and their names behind the name of its module.
fn functions(source: &Source) -> impl Iterator<Item = String> {
    let module = source.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
    let head = |line: &str| {
        let line = line.trim_start().trim_start_matches("pub(super) ").trim_start_matches("async ");
        line.strip_prefix("fn ").and_then(|rest| rest.split('(').next()).map(str::to_owned)
    };
    source.text.lines().filter_map(head).flat_map(move |name| [format!("{module}::{name}"), name])
}

#[test]
fn every_test_that_a_page_names_is_there() {
    let known: BTreeSet<String> = source::rust().iter().flat_map(functions).collect();
    for page in PAGES {
        super::assert_tidy(&missing(&source::read(page), |name| known.contains(name)));
    }
}

#[test]
fn a_test_that_is_not_there_is_found() {
    let text = "is `there_it_is`\nnot `no_such_test_here` but `just tools` and `read_committed`\nnor `there::it`\n";
    let known: BTreeSet<String> = functions(&Source::new("a/here.rs", "async fn there_it_is() {}")).collect();
    super::assert_found(&missing(&Source::new("page.md", text), |name| known.contains(name)), &[2, 3]);
    assert!(known.contains("here::there_it_is"));
}
