//! Tests that a page names are there: a promise whose test is gone, or has another name by now, is none.

use super::source::{self, Finding, Source};

const PAGE: &str = "docs/TRANSACTIONS.md";

/// Words in code type that can only be tests: no path, no recipe, no name of Kafka's.
fn named(line: &str) -> impl Iterator<Item = &str> {
    let in_code = line.split('`').skip(1).step_by(2);
    in_code.filter(|word| word.matches('_').count() >= 2 && !word.contains(['/', '.', ' ', '*']))
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

#[test]
fn every_test_that_a_page_names_is_there() {
    let mut sources = Vec::new();
    source::collect(&source::root(), &mut |path| path.ends_with(".rs") || path == PAGE, &mut sources);
    let heads: std::collections::BTreeSet<&str> = sources
        .iter()
        .flat_map(|source| source.text.lines())
        .filter_map(|line| line.trim_start().trim_start_matches("async ").strip_prefix("fn ")?.split('(').next())
        .collect();
    let page = sources.iter().find(|page| page.path == PAGE).expect("the page is there");
    super::assert_tidy(&missing(page, |name| heads.contains(name)));
}

#[test]
fn a_test_that_is_not_there_is_found() {
    let page = Source::new(PAGE, "is `there_it_is`\nnot `no_such_test_here` but `just tools` and `read_committed`\n");
    super::assert_found(&missing(&page, |name| name == "there_it_is"), &[2]);
}
