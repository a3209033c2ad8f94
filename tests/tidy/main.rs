//! Target `tidy`: the house rules that a test can check. A finding names the file, the line, and what to do.
//!
//! - `layering`: who imports whom, who may spawn, dial, lock
//! - `sizes`: how long files and functions are
//! - `headers`: what a handler says of itself equals the table; every module has its page
//! - `words`: what is not written here
//! - `fixtures`: every fixture is used and explained
//! - `manifests`: versions are in the root manifest only
//! - `named`: tests that a page names are there
//! - `tables`: what two READMEs tell is the same, and all of it
//! - `checks`: the justfile and `.ci/run` are one list
//!
//! Every rule is a function from sources to findings, and is tried on a small bad sample as well: a rule that cannot fail
//! is no rule.

mod checks;
mod fixtures;
mod headers;
mod layering;
mod manifests;
mod named;
mod sizes;
mod source;
mod tables;
mod words;

use source::Finding;

/// The end of every rule: nothing was found, or a list that says what to do.
fn assert_tidy(findings: &[Finding]) {
    let lines: Vec<String> = findings.iter().map(|it| format!("{}:{}: {}", it.path, it.line, it.what)).collect();
    assert!(findings.is_empty(), "{} to tidy:\n{}", findings.len(), lines.join("\n"));
}

/// The same for a bad sample: exactly these lines are found.
fn assert_found(findings: &[Finding], lines: &[usize]) {
    let found: Vec<usize> = findings.iter().map(|it| it.line).collect();
    assert_eq!(found, lines, "{findings:?}");
}
