//! The tables of faults and of accidents: the same in both READMEs, and each with all that there is to call.

use super::source::{self, Finding, Source};

/// The first cell of a table, and where what it tells of is defined.
const FAULTS: (&str, &str) = ("fault", "mockbroker/src/fault/rule.rs");
const ACCIDENTS: (&str, &str) = ("accident", "mockbroker/src/accidents.rs");

/// Where the tables stand: a reader of the repository and one of the crate each need them.
const PAGES: [&str; 2] = ["README.md", "mockbroker/README.md"];

/// The table of `page` whose first cell is `first`, with where it begins.
fn table<'a>(page: &'a Source, first: &str) -> Option<(usize, &'a str)> {
    let start = page.text.find(&format!("\n| {first} |"))? + 1;
    let length = page.text[start..].find("\n\n").map_or(page.text.len() - start, |end| end + 1);
    Some((start, &page.text[start..start + length]))
}

/// Where `first` tables differ from one another, and what of `wanted` they lack.
fn differences(pages: &[Source], first: &str, wanted: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut told: Option<(&str, &str)> = None;
    for page in pages {
        let Some((start, rows)) = table(page, first) else {
            findings.push(page.at(0, format!("there is no table `| {first} |`")));
            continue;
        };
        match told {
            None => told = Some((&page.path, rows)),
            Some((path, other)) if other != rows => {
                findings.push(page.at(start, format!("the table is another than in {path}")));
            }
            Some(_) => {}
        }
        let lacks = wanted.iter().filter(|call| !rows.contains(call.as_str()));
        findings.extend(lacks.map(|call| page.at(start, format!("the table lacks `{call}`"))));
    }
    findings
}

/// How each kind of fault is written in a test.
fn faults(source: &Source) -> Vec<String> {
    let (_, variants) = source.code.split_once("pub enum Fault {").expect("the faults are an enum");
    let variants = variants.split_once("\n}").expect("it ends").0.lines();
    let names = variants.filter_map(|line| line.strip_prefix("    ")?.split([',', '(']).next());
    let names = names.filter(|name| name.starts_with(|first: char| first.is_ascii_uppercase()));
    // One is made by a function, which wraps the closure.
    names.map(|name| if name == "Edit" { "`Fault::edit(".to_owned() } else { format!("`Fault::{name}") }).collect()
}

/// How each accident is called.
fn accidents(source: &Source) -> Vec<String> {
    let (_, calls) = source.code.split_once("impl Accidents<'_> {").expect("the accidents are methods");
    let names = calls.split("pub fn ").skip(1).filter_map(|call| call.split('(').next());
    names.map(|name| format!("`accidents().{name}(")).collect()
}

#[test]
fn both_readmes_tell_of_every_fault_and_accident_in_the_same_words() {
    let pages = PAGES.map(source::read);
    let (faults, accidents) = (faults(&source::read(FAULTS.1)), accidents(&source::read(ACCIDENTS.1)));
    assert!(faults.len() >= 8 && accidents.len() >= 6, "the sources are misread: {faults:?}, {accidents:?}");
    super::assert_tidy(&differences(&pages, FAULTS.0, &faults));
    super::assert_tidy(&differences(&pages, ACCIDENTS.0, &accidents));
}

#[test]
fn a_table_that_differs_or_lacks_something_is_found() {
    let page =
        |rows: &str| Source::new("page.md", &format!("# Page\n\n| fault | does |\n| --- | --- |\n{rows}\nMore.\n"));
    let wanted = faults(&Source::new("rule.rs", "pub enum Fault {\n    /// It.\n    Silence,\n    Edit(Edit),\n}\n"));
    let whole = "| `Fault::Silence` | a |\n| `Fault::edit(closure)` | b |\n";
    let found = |pages: &[Source], lines: &[usize]| super::assert_found(&differences(pages, "fault", &wanted), lines);
    found(&[page(whole), page(whole)], &[]);
    found(&[page(whole), page(&whole.replace("| a |", "| c |"))], &[3]);
    found(&[page("| `Fault::Silence` | a |\n"), page(whole)], &[3, 3]);
    found(&[page(whole), Source::new("page.md", "# Page\n")], &[1]);
}
