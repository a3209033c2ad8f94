//! Who imports whom. Arrows point down (docs/ARCHITECTURE.md); a new arrow is a line here, with its reason in review.

use std::collections::BTreeMap;

use super::source::{self, Finding, Source, words};

/// Module, and what it may import of its own crate.
type Arrows = &'static [(&'static str, &'static [&'static str])];

const MOCKBROKER: Arrows = &[
    // ground
    ("error", &["types"]),
    ("ids", &["types"]),
    ("time", &[]),
    ("types", &[]),
    ("wire", &["error", "time", "types"]),
    // core
    ("cluster", &["ids", "time", "types"]),
    ("log", &["cluster", "planted", "time", "types"]),
    // Bugs on purpose, in no build that is shipped.
    ("planted", &[]),
    ("logs", &["cluster", "log", "time", "types"]),
    ("fetch_plan", &["cluster", "types"]),
    ("held", &["fetch_plan", "time", "types"]),
    ("unacked", &["time", "types"]),
    ("group", &["cluster", "ids", "time", "types"]),
    ("txn", &["cluster", "ids", "planted", "time", "types"]),
    ("state", &["cluster", "held", "log", "logs", "group", "txn", "ids", "time", "types", "unacked"]),
    // adapt
    (
        "handlers",
        &[
            "cluster",
            "error",
            "fetch_plan",
            "group",
            "held",
            "ids",
            "log",
            "logs",
            "state",
            "time",
            "txn",
            "types",
            "unacked",
            "wire",
        ],
    ),
    // What is so, as plain values for the test that asks.
    ("inspect", &["cluster", "group", "log", "logs", "state", "time", "txn", "types"]),
    // shell
    ("wait", &[]),
    ("fault", &["error", "ids", "time", "types", "wait", "wire"]),
    // Its queries are scoped as faults are.
    ("journal", &["error", "fault", "time", "types", "wait", "wire"]),
    ("storage", &["error", "log", "time", "types"]),
    (
        "engine",
        &[
            "cluster", "error", "fault", "handlers", "inspect", "journal", "state", "storage", "time", "types", "wait",
            "wire",
        ],
    ),
    // It decodes and encodes by the handlers' table, so that this is done outside of the lock.
    ("net", &["engine", "error", "handlers", "time", "types", "wire"]),
    // outer: they build and hold everything
    ("builder", &["broker", "cluster", "engine", "error", "ids", "net", "state", "time", "types"]),
    ("ask", &["cluster", "engine", "inspect", "log", "state", "time", "types", "wait"]),
    (
        "broker",
        &[
            "ask", "builder", "control", "engine", "error", "fault", "journal", "net", "report", "snapshot", "time",
            "types", "wait",
        ],
    ),
    ("control", &["broker", "cluster", "engine", "error", "net", "time", "types"]),
    ("snapshot", &["broker", "builder", "error", "state", "time"]),
    ("accidents", &["broker", "fault", "wire"]),
    ("operations", &["broker", "cluster", "types"]),
    ("blocking", &["broker", "builder", "control", "error", "fault", "journal", "types"]),
    // The test author's face, written as JSON: it asks what Rust code would ask, and names what it gets.
    (
        "http",
        &[
            "ask", "broker", "builder", "cluster", "control", "engine", "error", "fault", "inspect", "journal",
            "snapshot", "time", "types", "wait", "wire",
        ],
    ),
    ("cli", &["broker", "builder", "engine", "error", "handlers", "http", "types"]),
    ("main", &[]),
];

const CLIENT: Arrows = &[
    ("error", &["codes"]),
    ("codes", &[]),
    ("record", &[]),
    ("retry", &[]),
    ("metrics", &["error"]),
    ("batch", &["error", "record"]),
    ("security", &["error"]),
    ("config", &["batch", "error", "record", "retry", "security"]),
    ("wire", &["batch", "error"]),
    ("conn", &["codes", "config", "error", "metrics", "retry", "security", "wire"]),
    ("cluster", &["codes", "config", "conn", "error", "metrics", "retry", "wire"]),
    ("progress", &["record"]),
    ("store", &["error", "progress", "record"]),
    (
        "producer",
        &["batch", "cluster", "codes", "config", "error", "metrics", "planted", "progress", "record", "retry", "wire"],
    ),
    ("consumer", &["batch", "cluster", "codes", "config", "error", "progress", "record", "retry", "store", "wire"]),
    ("admin", &["cluster", "codes", "config", "error", "record", "retry", "security", "wire"]),
    ("exactly_once", &["consumer", "error", "planted", "producer", "progress", "record", "retry"]),
    ("planted", &[]),
    ("properties", &["config", "error", "producer", "record", "security"]),
    (
        "client",
        &[
            "admin",
            "cluster",
            "config",
            "conn",
            "consumer",
            "error",
            "exactly_once",
            "metrics",
            "producer",
            "properties",
            "retry",
            "security",
        ],
    ),
];

/// What only some files may say: the words, whom they are for, and why.
const RESERVED: &[(&[&str], &[&str], &str)] = &[
    (
        &["tokio::net", "std::net::Tcp", "TcpListener", "TcpStream"],
        &[
            "mockbroker/src/net/",
            "mockbroker/src/http/listen.rs",
            "mockbroker/src/builder.rs",
            "client/src/conn/",
            "client/examples/",
        ],
        "sockets live in `net`, `http` and `conn`",
    ),
    (
        &["std::fs", "tokio::fs"],
        // Properties name files of certificates.
        &["mockbroker/src/storage/", "mockbroker/src/cli.rs", "client/src/properties/security.rs", "client/examples/"],
        "files are read and written in `storage` and the command line only",
    ),
    (
        &["Mutex", "RwLock"],
        &[
            "mockbroker/src/engine/",
            "mockbroker/src/net/",
            "mockbroker/src/blocking.rs",
            "mockbroker/src/broker.rs",
            // The guards that are held for whoever asked over HTTP.
            "mockbroker/src/http/hub.rs",
            "client/",
        ],
        "the one lock is the engine's; core and handlers are handed their state",
    ),
    (
        &["fastrand"],
        // The builder draws the seed when the test gives none.
        &["mockbroker/src/ids.rs", "mockbroker/src/builder.rs", "client/"],
        "all randomness of the broker is `ids`, by its seed",
    ),
    (
        &["tokio::spawn", "task::spawn", "JoinSet"],
        &[
            "mockbroker/src/net/",
            "mockbroker/src/engine/",
            "mockbroker/src/builder.rs",
            "client/src/conn/",
            // The builders begin the shells.
            "client/src/producer/builder.rs",
            "client/src/consumer/builder.rs",
            "client/src/consumer/group_builder.rs",
            "client/src/producer/sender.rs",
            "client/src/consumer/fetcher.rs",
            "client/src/consumer/member/driver.rs",
            "client/examples/",
        ],
        "tasks are begun by the shells only",
    ),
];

/// Imports that the table does not allow.
fn imports(sources: &[Source], folder: &str, arrows: Arrows) -> Vec<Finding> {
    let root = sources.iter().find(|source| source.path == format!("{folder}lib.rs"));
    let reexported = root.map(|source| reexports(&source.code)).unwrap_or_default();
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.path.starts_with(folder) && !source.is_test()) {
        let module = source.path[folder.len()..].split('/').next().unwrap_or_default().trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let Some((_, allowed)) = arrows.iter().find(|(name, _)| *name == module) else {
            findings
                .push(source.at(0, format!("module `{module}` has no place yet: add it to tests/tidy/layering.rs")));
            continue;
        };
        let code = source.shipped();
        for at in words(&code, "crate::") {
            for name in first_segments(&code[at + "crate::".len()..]) {
                let target = reexported.get(&name).unwrap_or(&name);
                if target != module && !allowed.contains(&target.as_str()) {
                    let what =
                        format!("`{module}` must not import `{target}`: hand it in as an argument, or move the code");
                    findings.push(source.at(at, what));
                }
            }
        }
    }
    findings
}

/// The first segments of what follows `crate::`: one, or those of a list in braces.
fn first_segments(path: &str) -> Vec<String> {
    leaves(path).iter().map(|leaf| leaf.split("::").next().unwrap_or_default().to_owned()).collect()
}

/// What the crate's root gives out under its own name, by the module that it is from.
fn reexports(code: &str) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for at in words(code, "pub use ") {
        for leaf in leaves(&code[at + "pub use ".len()..]) {
            let path = leaf.strip_prefix("crate::").unwrap_or(&leaf);
            if let (Some((module, _)), Some((_, name))) = (path.split_once("::"), path.rsplit_once("::")) {
                names.insert(name.to_owned(), module.to_owned());
            }
        }
    }
    names
}

/// The paths of a use tree, or the one path, that the text begins with: `a::{b, c::{d, e}}` is `a::b`, `a::c::d`, `a::c::e`.
fn leaves(tree: &str) -> Vec<String> {
    let (mut leaves, mut prefixes, mut path) = (Vec::new(), Vec::new(), String::new());
    for c in tree.chars() {
        match c {
            '{' => prefixes.push(path.clone()),
            ',' | '}' if !prefixes.is_empty() => {
                let prefix = prefixes.last().expect("it is not empty");
                if path.len() > prefix.len() {
                    leaves.push(std::mem::replace(&mut path, prefix.clone()));
                }
                if c == '}' {
                    prefixes.pop();
                    path = prefixes.last().cloned().unwrap_or_default();
                    if prefixes.is_empty() {
                        return leaves;
                    }
                }
            }
            c if c.is_alphanumeric() || c == '_' || c == ':' => path.push(c),
            c if c.is_whitespace() && !prefixes.is_empty() => {}
            _ => break,
        }
    }
    leaves.push(path);
    leaves
}

/// Handlers that import another API's handler. What two of them share is a file without an API.
fn handlers_among_themselves(sources: &[Source]) -> Vec<Finding> {
    let folder = "mockbroker/src/handlers/";
    let apis: Vec<(&Source, &str)> = sources
        .iter()
        .filter(|source| source.path.starts_with(folder) && source.code.contains("const API: Api"))
        .map(|source| (source, source.path[folder.len()..].trim_end_matches(".rs")))
        .collect();
    let mut findings = Vec::new();
    for (source, own) in &apis {
        let code = source.shipped();
        for (_, other) in apis.iter().filter(|(_, other)| other != own) {
            for path in [format!("super::{other}::"), format!("handlers::{other}::")] {
                for at in words(&code, &path) {
                    let what =
                        format!("`{own}` must not import `{other}`: move what they share into a file without an API");
                    findings.push(source.at(at, what));
                }
            }
        }
    }
    findings
}

/// Words in files that they are not for.
fn reserved(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| !source.path.starts_with("tests/")) {
        let code = source.shipped();
        for (names, places, why) in RESERVED {
            if places.iter().any(|place| source.path.starts_with(place)) {
                continue;
            }
            for name in *names {
                findings.extend(words(&code, name).map(|at| source.at(at, format!("`{name}`: {why}"))));
            }
        }
    }
    findings
}

#[test]
fn arrows_point_down() {
    let sources = source::rust();
    let mut findings = imports(&sources, "mockbroker/src/", MOCKBROKER);
    findings.extend(imports(&sources, "client/src/", CLIENT));
    super::assert_tidy(&findings);
}

#[test]
fn handlers_do_not_import_each_other() {
    super::assert_tidy(&handlers_among_themselves(&source::rust()));
}

#[test]
fn sockets_files_locks_tasks_and_chance_have_their_places() {
    super::assert_tidy(&reserved(&source::rust()));
}

#[test]
fn an_arrow_that_points_up_is_found() {
    let sources = [
        Source::new("mockbroker/src/lib.rs", "pub use net::connection::{Listener};"),
        Source::new("mockbroker/src/log/a.rs", "use crate::time::Timestamp;\nuse crate::net::Listener;\n"),
        Source::new("mockbroker/src/log/b.rs", "use crate::{\n    cluster::{Topic, engine},\n    handlers::Ctx,\n};\n"),
        Source::new("mockbroker/src/log/c.rs", "// use crate::net;\nfn f() {\n    crate::Listener::new();\n}\n"),
        Source::new("mockbroker/src/new/mod.rs", "//! New.\n"),
    ];
    super::assert_found(&imports(&sources, "mockbroker/src/", MOCKBROKER), &[2, 1, 3, 1]);
}

#[test]
fn a_handler_that_imports_another_is_found() {
    let sources = [
        Source::new("mockbroker/src/handlers/fetch.rs", "const API: Api = 1;\nuse super::produce::records;\n"),
        Source::new("mockbroker/src/handlers/produce.rs", "const API: Api = 0;\nuse super::answers::text;\n"),
    ];
    super::assert_found(&handlers_among_themselves(&sources), &[2]);
}

#[test]
fn a_reserved_word_in_the_core_is_found() {
    let sources = [
        Source::new("mockbroker/src/cluster/mod.rs", "//! No Mutex.\nuse std::sync::Mutex;\n"),
        Source::new("mockbroker/src/net/mod.rs", "use tokio::net::TcpListener;\n"),
        Source::new("client/src/producer/mod.rs", "fn f() {\n    tokio::spawn(g());\n}\n"),
    ];
    super::assert_found(&reserved(&sources), &[2, 2]);
}
