//! The justfile is the list of checks; `.ci/run` types the ones of its recipe `ci`, in that order.

use super::source::{self, Finding, Source};

/// What `.ci/run` does besides.
const PREPARATION: &str = "install";

/// A recipe: its line, name, dependencies, and commands.
struct Recipe {
    offset: usize,
    name: String,
    dependencies: Vec<String>,
    commands: Vec<String>,
}

fn recipes(justfile: &Source) -> Vec<Recipe> {
    let mut recipes: Vec<Recipe> = Vec::new();
    let mut offset = 0;
    for line in justfile.text.split_inclusive('\n') {
        if let Some(command) = line.strip_prefix("    ") {
            if let Some(recipe) = recipes.last_mut() {
                recipe.commands.push(command.trim_end().to_owned());
            }
        } else if let Some((name, rest)) = line.split_once(':').filter(|_| !line.starts_with('#')) {
            let dependencies = rest.split_whitespace().map(str::to_owned).collect();
            recipes.push(Recipe { offset, name: name.to_owned(), dependencies, commands: Vec::new() });
        }
        offset += line.len();
    }
    recipes
}

/// Where the two differ.
fn differences(justfile: &Source, ci: &Source) -> Vec<Finding> {
    let recipes = recipes(justfile);
    let Some(list) = recipes.iter().find(|recipe| recipe.name == "ci") else {
        return vec![justfile.at(0, "there is no recipe `ci`")];
    };
    let mut wanted = Vec::new();
    for name in &list.dependencies {
        let Some(recipe) = recipes.iter().find(|recipe| recipe.name == *name) else {
            return vec![justfile.at(list.offset, format!("`ci` names a recipe that is not there: {name}"))];
        };
        wanted.extend(recipe.commands.iter().map(|command| format!("step {name} {}", typed(command))));
    }
    let mut findings = Vec::new();
    let mut wanted = wanted.into_iter();
    let mut offset = 0;
    for line in ci.text.split_inclusive('\n') {
        if line.starts_with("step ") && !line.starts_with(&format!("step {PREPARATION} ")) {
            match wanted.next() {
                Some(command) if command == line.trim_end() => {}
                Some(command) => findings.push(ci.at(offset, format!("the justfile has here: {command}"))),
                None => findings.push(ci.at(offset, "the justfile's `ci` has no such step")),
            }
        }
        offset += line.len();
    }
    findings
        .extend(wanted.map(|command| ci.at(ci.text.len(), format!("a step of the justfile is missing: {command}"))));
    findings
}

/// A command as an argument of `step`: settings before it need `env`.
fn typed(command: &str) -> String {
    let first = command.split_whitespace().next().unwrap_or_default();
    if first.contains('=') { format!("env {command}") } else { command.to_owned() }
}

/// Test targets that a recipe names and tests/Cargo.toml does not have.
fn missing_targets(justfile: &Source, manifest: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, flag) in justfile.text.match_indices("--test ") {
        let target = justfile.text[at + flag.len()..].split_whitespace().next().unwrap_or_default();
        if !manifest.text.contains(&format!("[[test]]\nname = \"{target}\"")) {
            findings.push(justfile.at(at, format!("tests/Cargo.toml has no target `{target}`")));
        }
    }
    findings
}

#[test]
fn the_justfile_and_ci_are_one_list() {
    super::assert_tidy(&differences(&source::read("justfile"), &source::read(".ci/run")));
}

#[test]
fn the_justfile_names_targets_that_are_there() {
    super::assert_tidy(&missing_targets(&source::read("justfile"), &source::read("tests/Cargo.toml")));
}

#[test]
fn a_step_that_differs_is_found() {
    let justfile = Source::new("justfile", "ci: a b\n\na:\n    cargo a\n\n# B.\nb:\n    X=1 cargo b\n");
    let run = |steps: &str| differences(&justfile, &Source::new(".ci/run", steps));
    super::assert_found(&run("step a cargo a\nstep install x\nstep b env X=1 cargo b\n"), &[]);
    super::assert_found(&run("step a cargo a\n"), &[2]);
    super::assert_found(&run("step a cargo a --all\nstep b env X=1 cargo b\nstep c cargo c\n"), &[1, 3]);
}

#[test]
fn a_target_that_is_not_there_is_found() {
    let manifest = Source::new("tests/Cargo.toml", "[[test]]\nname = \"system\"\n");
    let justfile = Source::new("justfile", "a:\n    cargo test --test system\nb:\n    cargo test --test systems\n");
    super::assert_found(&missing_targets(&justfile, &manifest), &[4]);
}
