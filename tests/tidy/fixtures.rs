//! Fixtures are evidence: each one is used by a test or a program, and explained.

use super::source::{self, Finding, Source};

/// Fixtures that nothing names, or that fixtures/README.md does not explain. A file may be named by its folder.
fn unused(fixtures: &[Source], users: &[Source], readme: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for fixture in fixtures.iter().filter(|fixture| fixture.path != "fixtures/README.md") {
        let names = names(&fixture.path);
        let named = |text: &str| names.iter().any(|name| text.contains(name));
        if !users.iter().any(|user| user.path != fixture.path && named(&user.text)) {
            findings.push(fixture.at(0, "no test and no program uses it: use it or drop it"));
        }
        if !named(readme) {
            findings.push(fixture.at(0, "fixtures/README.md does not say what it is, from what, and how it is remade"));
        }
    }
    findings
}

/// How a fixture may be named: by itself, or by a folder below the first two levels.
fn names(path: &str) -> Vec<&str> {
    let mut names = vec![path.rsplit('/').next().unwrap_or(path)];
    let mut folder = path.strip_prefix("fixtures/").unwrap_or(path);
    while let Some((parent, _)) = folder.rsplit_once('/') {
        folder = parent;
        if parent.contains('/') || ["wire", "tls", "snapshots", "seeds"].contains(&parent) {
            names.push(parent);
        }
    }
    names
}

#[test]
fn every_fixture_is_used_and_explained() {
    let (mut fixtures, mut users) = (Vec::new(), Vec::new());
    source::collect(&source::root().join("fixtures"), &mut |_| true, &mut fixtures);
    source::collect(
        &source::root(),
        &mut |path| !path.starts_with("tests/tidy/") && !path.ends_with(".md"),
        &mut users,
    );
    super::assert_tidy(&unused(&fixtures, &users, &source::read("fixtures/README.md").text));
}

#[test]
fn a_fixture_that_nobody_uses_is_found() {
    let fixtures = ["fixtures/kafka/a.txt", "fixtures/kafka/b.txt", "fixtures/wire/00_produce/v9.hex"]
        .map(|it| Source::new(it, ""));
    let user = [Source::new("tests/wire/main.rs", "read(\"kafka/a.txt\"); folder(\"wire/00_produce\");")];
    let findings = unused(&fixtures, &user, "a.txt, b.txt, wire");
    assert_eq!(findings.iter().map(|it| it.path.as_str()).collect::<Vec<_>>(), ["fixtures/kafka/b.txt"]);
    assert_eq!(unused(&fixtures, &user, "").len(), 4);
}
