//! Transcripts of a real Kafka as files: `fixtures/wire/<key>_<api>/v<version>.hex`, one for each version of each API.
//!
//! A file is a head of `#` lines, then for each step a line `= scenario: step`, a line `token ...`, and two frames
//! without their lengths in hex, `> ` before the request and `< ` before the answer, longer ones on several lines. What
//! was not answered has `< closed` or `< silent`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

use bytes::Bytes;

use crate::judge::run::{Outcome, Scenario, Step, Transcript, message};

/// Bytes in a line of hex.
const LINE: usize = 58;

/// Where the captures are.
#[must_use]
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/wire")
}

/// The file of one version of one API.
#[must_use]
pub fn file(api_key: i16, version: i16) -> PathBuf {
    directory().join(format!("{api_key}_{}", message(api_key).name)).join(format!("v{version}.hex"))
}

/// Writes all transcripts, one file for each API and version; `head` says where they come from.
///
/// # Errors
///
/// What the file system says.
pub fn write(transcripts: &[(Scenario, Transcript)], head: &str) -> io::Result<usize> {
    let mut files: BTreeMap<PathBuf, String> = BTreeMap::new();
    for (scenario, transcript) in transcripts {
        let text = files.entry(file(scenario.api_key, transcript.version)).or_insert_with(|| format!("# {head}\n"));
        for step in &transcript.steps {
            let _ = writeln!(text, "\n= {}: {}\ntoken {}", transcript.scenario, step.label, transcript.token);
            put_hex(text, '>', &step.request);
            match &step.outcome {
                Outcome::Answer(frame) => put_hex(text, '<', frame),
                Outcome::Closed => text.push_str("< closed\n"),
                Outcome::Silent => text.push_str("< silent\n"),
                Outcome::Stuck => text.push_str("< stuck\n"),
            }
        }
    }
    for (path, text) in &files {
        fs::create_dir_all(path.parent().expect("a file is in a directory"))?;
        fs::write(path, text)?;
    }
    Ok(files.len())
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
    let path = file(scenario.api_key, version);
    let text = fs::read_to_string(&path).ok()?;
    let mut transcript =
        Transcript { scenario: scenario.name.to_owned(), version, token: String::new(), steps: vec![] };
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
