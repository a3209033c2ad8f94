//! Versions of dependencies are in the root manifest only.

use super::source::{self, Finding, Source};

/// Dependencies of a member that do not inherit.
fn own_versions(manifest: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (mut offset, mut inside) = (0, false);
    for line in manifest.text.split_inclusive('\n') {
        if line.starts_with('[') {
            inside = line.trim_end().ends_with("dependencies]");
            if line.contains("dependencies.") {
                findings.push(manifest.at(offset, "write a dependency as one line under its table"));
            }
        } else if inside
            && line.contains('=')
            && !line.starts_with('#')
            && !line.replace(' ', "").contains("workspace=true")
        {
            findings.push(manifest.at(offset, "a version of its own: name it in the root manifest and inherit it"));
        }
        offset += line.len();
    }
    findings
}

#[test]
fn members_inherit_their_dependencies() {
    let members = ["mockbroker/Cargo.toml", "client/Cargo.toml", "tests/Cargo.toml"].map(source::read);
    super::assert_tidy(&members.iter().flat_map(own_versions).collect::<Vec<_>>());
}

#[test]
fn a_version_of_its_own_is_found() {
    let text = "[package]\nversion = \"1\"\n[dependencies]\na.workspace = true\nb = { workspace = true }\nc = \"1\"\n\
                [dev-dependencies.d]\nversion = \"2\"\n[lints]\nworkspace = true\n";
    super::assert_found(&own_versions(&Source::new("a/Cargo.toml", text)), &[6, 7]);
}
