//! Transcripts of a real Kafka as files: `fixtures/wire/<key>_<api>/v<version>.hex`, one for each version of each API, and
//! `v<version>-<n>-nodes.hex` for the programs about a cluster of several nodes.
//!
//! A file is a head of `#` lines, then for each step a line `= scenario: step`, a line `token ...`, and two frames
//! without their lengths in hex, `> ` before the request and `< ` before the answer, longer ones on several lines. What
//! was not answered has `< closed`, `< silent` or `< stuck`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

use bytes::Bytes;

use crate::judge::run::{Scenario, message};
use crate::judge::transcript::{Outcome, Step, Transcript};
use crate::scenarios;

/// Bytes in a line of hex.
const LINE: usize = 58;

/// Where the captures are.
#[must_use]
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/wire")
}

/// The file that has a scenario at one version of its API.
#[must_use]
pub fn file(scenario: &Scenario, version: i16) -> PathBuf {
    let name = match scenario.nodes {
        1 => format!("v{version}.hex"),
        nodes => format!("v{version}-{nodes}-nodes.hex"),
    };
    directory().join(format!("{}_{}", scenario.api_key, message(scenario.api_key).name)).join(name)
}

/// Writes these transcripts, one file for each API and version; `head` says where they come from. What a file has of other
/// programs stays in it.
///
/// # Errors
///
/// What the file system says.
pub fn write(transcripts: &[(Scenario, Transcript)], head: &str) -> io::Result<usize> {
    let mut files: BTreeMap<PathBuf, Vec<&(Scenario, Transcript)>> = BTreeMap::new();
    for captured in transcripts {
        files.entry(file(&captured.0, captured.1.version)).or_default().push(captured);
    }
    for (path, captured) in &files {
        let mut sections = sections(&fs::read_to_string(path).unwrap_or_default());
        for (scenario, transcript) in captured {
            sections.insert(scenario.name.to_owned(), (format!("# {head}"), text(transcript)));
        }
        fs::create_dir_all(path.parent().expect("a file is in a directory"))?;
        fs::write(path, joined(&sections))?;
    }
    Ok(files.len())
}

/// By program, where it comes from and its steps.
type Sections = HashMap<String, (String, String)>;

fn sections(file: &str) -> Sections {
    let (mut sections, mut head, mut name) = (Sections::new(), "", "");
    for line in file.lines().filter(|line| !line.is_empty()) {
        if line.starts_with('#') {
            head = line;
            continue;
        }
        let title = line.strip_prefix("= ").and_then(|title| title.split_once(": "));
        if let Some((scenario, _)) = title {
            name = scenario;
        }
        let (_, text) = sections.entry(name.to_owned()).or_insert_with(|| (head.to_owned(), String::new()));
        let _ = writeln!(text, "{}{line}", if title.is_some() { "\n" } else { "" });
    }
    sections
}

/// A file, its programs in the order in which they run. A head holds until the next one.
fn joined(sections: &Sections) -> String {
    let (mut file, mut last) = (String::new(), "");
    for (head, text) in scenarios::all().filter_map(|scenario| sections.get(scenario.name)) {
        if head != last {
            let _ = writeln!(file, "{}{head}", if file.is_empty() { "" } else { "\n" });
        }
        file.push_str(text);
        last = head;
    }
    file
}

fn text(transcript: &Transcript) -> String {
    let mut text = String::new();
    for step in &transcript.steps {
        let _ = writeln!(text, "\n= {}: {}\ntoken {}", transcript.scenario, step.label, transcript.token);
        put_hex(&mut text, '>', &step.request);
        match &step.outcome {
            Outcome::Answer(frame) => put_hex(&mut text, '<', frame),
            Outcome::Closed => text.push_str("< closed\n"),
            Outcome::Silent => text.push_str("< silent\n"),
            Outcome::Stuck => text.push_str("< stuck\n"),
        }
    }
    text
}

fn put_hex(text: &mut String, mark: char, bytes: &[u8]) {
    for line in bytes.chunks(LINE) {
        let _ = write!(text, "{mark} ");
        for byte in line {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
}

/// The transcript of one scenario at one version, if Kafka was asked.
///
/// # Panics
///
/// If the file is not as [`write()`] writes it.
#[must_use]
pub fn read(scenario: &Scenario, version: i16) -> Option<Transcript> {
    let path = file(scenario, version);
    let text = fs::read_to_string(&path).ok()?;
    let mut transcript = Transcript::new(scenario, version, String::new());
    for block in text.split("\n= ").skip(1) {
        let (title, rest) = block.split_once('\n').expect("a title is a line");
        let (name, label) = title.split_once(": ").expect("a title is a scenario and a step");
        if name == scenario.name {
            let (token, frames) = rest.split_once('\n').expect("a token is a line");
            transcript.token = token.strip_prefix("token ").expect("the token follows the title").to_owned();
            transcript.steps.push(step(label, frames));
        }
    }
    (!transcript.steps.is_empty()).then_some(transcript)
}

fn step(label: &str, frames: &str) -> Step {
    let of = |mark: &str| -> String { frames.lines().filter_map(|line| line.strip_prefix(mark)).collect() };
    let request = from_hex(&of("> "));
    let outcome = match of("< ").as_str() {
        "closed" => Outcome::Closed,
        "silent" => Outcome::Silent,
        "stuck" => Outcome::Stuck,
        answer => Outcome::Answer(from_hex(answer)),
    };
    let number = |at: usize| i16::from_be_bytes([request[at], request[at + 1]]);
    Step { label: label.to_owned(), api_key: number(0), version: number(2), request, outcome }
}

fn from_hex(text: &str) -> Bytes {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("two hex digits");
    (0..text.len()).step_by(2).map(digit).collect::<Vec<_>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_taken_apart_goes_together_to_the_same_text() {
        for scenario in scenarios::all() {
            let Ok(text) = fs::read_to_string(file(scenario, 1)) else { continue };
            assert_eq!(joined(&sections(&text)), text, "{}", scenario.name);
        }
    }
}
