//! What is not written here, in code, in comments, or in both.

use super::source::{self, Finding, Source, words};

/// In code only: word, and what to write instead.
const CODE: &[(&str, &str)] = &[
    ("todo!", "finish it, or leave it out and say so in docs/COMPATIBILITY.md"),
    ("unimplemented!", "finish it, or leave it out and say so in docs/COMPATIBILITY.md"),
    ("dbg!", "use tracing"),
    ("#[ignore", "assert today's behaviour and say that it is wrong"),
    ("thread::sleep", "wait for the event, or advance the clock"),
    ("hwm", "`high_watermark`"),
    ("lso", "`last_stable_offset`"),
    ("leo", "`log_end_offset`"),
    ("pid", "`producer_id`"),
    ("txnal", "`transactional`"),
    ("unsafe", "not here: `unsafe_code` is forbidden"),
    ("static mut", "not here: state is handed in"),
];

/// In the whole text: word, and what to do.
const TEXT: &[(&str, &str)] = &[
    ("FIXME", "mend it now, or write what is so and why"),
    ("XXX", "mend it now, or write what is so and why"),
    ("TODO", "do it, or write it in docs/COMPATIBILITY.md"),
    ("/root/", "no paths of one machine"),
    ("/work/", "no paths of one machine"),
    ("/home/", "no paths of one machine"),
];

/// Measuring takes what testing must not: an allocator that counts, C's own threads, waiting for a machine to be quiet. It is
/// a package of its own that is not shipped.
const BENCH: &str = "tests/bench/";

/// Kinds of file that people write.
const KINDS: &[&str] =
    &[".rs", ".py", ".go", ".js", ".java", ".toml", ".md", ".sh", ".xml", "justfile", "run", "real-kafka"];

fn unwanted(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| !source.path.starts_with("tests/tidy/")) {
        if source.path.ends_with(".rs") && !source.path.starts_with(BENCH) {
            for (word, instead) in CODE {
                findings.extend(words(&source.code, word).map(|at| source.at(at, format!("`{word}`: {instead}"))));
            }
            findings.extend(unwraps(source));
        }
        for (word, instead) in TEXT {
            findings.extend(words(&source.text, word).map(|at| source.at(at, format!("`{word}`: {instead}"))));
        }
    }
    findings
}

/// `unwrap` in what is shipped.
fn unwraps(source: &Source) -> Vec<Finding> {
    let what = "`unwrap`: `expect` with the invariant that makes it true, or an error";
    words(&source.shipped(), ".unwrap()").map(|at| source.at(at, what)).collect()
}

#[test]
fn nothing_unwanted_is_written() {
    let mut sources = Vec::new();
    source::collect(&source::root(), &mut |path| KINDS.iter().any(|kind| path.ends_with(kind)), &mut sources);
    source::mark_tests(&mut sources);
    assert!(sources.iter().any(|source| source.path == "README.md"), "the walk goes astray");
    super::assert_tidy(&unwanted(&sources));
}

#[test]
fn what_is_unwanted_is_found() {
    let rust = "//! A page.\n// A pid in a comment is a process.\nfn f(pid: u8) {\n    todo!()\n}\n// FIXME later\nfn g() { a.unwrap(); }\n\
                fn expid() { \"todo!\" }\n#[cfg(test)]\nmod tests { fn f() { a.unwrap(); } }\n";
    let mut lines: Vec<usize> =
        unwanted(&[Source::new("mockbroker/src/a.rs", rust)]).iter().map(|it| it.line).collect();
    lines.sort_unstable();
    assert_eq!(lines, [3, 4, 6, 7]);
    super::assert_found(&unwanted(&[Source::new("a.md", "Fine.\nSee /root/notes.\n")]), &[2]);
}
