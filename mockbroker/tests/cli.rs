//! The program `mockbroker`, run as a user runs it.

#![cfg(feature = "cli")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};

/// A `mockbroker serve` that ends with the test.
struct Serve {
    child: Child,
    addresses: Vec<String>,
}

fn mockbroker(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mockbroker"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn serve(arguments: &[&str]) -> Serve {
    let mut child = mockbroker(&[&["serve", "--port", "0"], arguments].concat()).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("a line");
    let addresses = line.trim_end().strip_prefix("READY ").unwrap_or_else(|| panic!("READY, not {line:?}"));
    Serve { addresses: addresses.split(',').map(str::to_owned).collect(), child }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // It may have ended already, by the test's wish.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn run(arguments: &[&str]) -> Output {
    mockbroker(arguments).output().expect("it runs")
}

/// Asserts that the program refuses the arguments in one sentence on stderr, and returns it.
fn refusal(arguments: &[&str]) -> String {
    let output = run(arguments);
    let sentence = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {sentence}");
    assert!(output.stdout.is_empty(), "{arguments:?} printed on stdout");
    assert_eq!(sentence.lines().count(), 1, "{arguments:?}: {sentence}");
    sentence
}

/// An ApiVersions v0 request, by hand: key 18, version 0, correlation id 7, null client id.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];

fn api_versions(stream: &mut TcpStream) -> Vec<u8> {
    stream.write_all(&API_VERSIONS).expect("it reads");
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("it answers");
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).expect("it answers whole");
    answer
}

#[test]
fn serve_prints_one_line_and_answers_on_every_address_in_it() {
    let mut serve = serve(&["--brokers", "3"]);
    assert_eq!(serve.addresses.len(), 3);
    for address in &serve.addresses {
        let answer = api_versions(&mut TcpStream::connect(address).expect("it listens"));
        assert_eq!(answer[..6], [0, 0, 0, 7, 0, 0], "correlation id and no error");
    }
    terminate(&serve.child, "TERM");
    let mut rest = String::new();
    serve.child.stdout.take().expect("piped").read_to_string(&mut rest).expect("UTF-8");
    assert_eq!(rest, "", "nothing but READY is on stdout");
}

#[test]
fn serve_says_where_its_control_address_is_and_ends_with_its_stdin() {
    let arguments = ["serve", "--port", "0", "--control", "localhost:0", "--unhelpful", "42", "--until-eof"];
    let mut child = mockbroker(&arguments).stdin(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map(|line| line.expect("UTF-8"));
    assert!(lines.next().is_some_and(|line| line.starts_with("READY ")));
    let line = lines.next().expect("a second line");
    let address = line.strip_prefix("CONTROL http://").unwrap_or_else(|| panic!("CONTROL, not {line:?}"));
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET /clusters/main/report HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")
        .expect("it reads");
    let mut report = String::new();
    stream.read_to_string(&mut report).expect("it answers");
    assert!(report.starts_with("HTTP/1.1 200") && report.contains("unhelpful by seed 42"), "{report}");
    drop(child.stdin.take());
    assert!(child.wait().expect("it ends").success());
}

fn terminate(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

#[test]
fn serve_ends_cleanly_on_sigterm_and_sigint_with_clients_connected() {
    for signal in ["TERM", "INT"] {
        let mut serve = serve(&[]);
        let mut client = TcpStream::connect(&serve.addresses[0]).expect("it listens");
        // Until it is answered the connection may still wait to be accepted, and the kernel resets such a one.
        api_versions(&mut client);
        terminate(&serve.child, signal);
        assert!(serve.child.wait().expect("it ends").success(), "SIG{signal}");
        assert_eq!(client.read(&mut [0; 1]).expect("a clean end"), 0);
        TcpStream::connect(&serve.addresses[0]).expect_err("the port is free");
    }
}

#[test]
fn apis_prints_the_table_that_api_versions_answers() {
    let output = run(&["apis"]);
    assert!(output.status.success());
    let table = String::from_utf8(output.stdout).expect("UTF-8");
    let rows: Vec<Vec<u8>> = table
        .lines()
        .skip(1)
        .map(|row| {
            let numbers = row.split('\t').filter_map(|cell| cell.parse::<i16>().ok());
            numbers.flat_map(i16::to_be_bytes).collect()
        })
        .collect();
    assert!(rows.len() >= 15, "{table}");
    let serve = serve(&[]);
    let answer = api_versions(&mut TcpStream::connect(&serve.addresses[0]).expect("it listens"));
    let count = u32::from_be_bytes(answer[6..10].try_into().expect("four bytes")) as usize;
    assert_eq!((count, &answer[10..]), (rows.len(), &rows.concat()[..]));
}

#[test]
fn a_port_in_use_is_refused_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let sentence = refusal(&["serve", "--port", &port]);
    assert!(sentence.contains(&port) && sentence.contains("in use") && sentence.contains("another port"), "{sentence}");
}

#[test]
fn what_has_no_meaning_is_refused_with_what_to_do() {
    for (arguments, named) in [
        (&["--nonsense"][..], "--nonsense"),
        (&["--port", "70000"], "70000"),
        (&["--topic", "orders"], "NAME:PARTITIONS"),
        (&["--topic", "or ders:1", "--port", "0"], "or ders"),
        (&["--property", "num.partitions=many", "--port", "0"], "num.partitions"),
        (&["--property", "node.0.num.partitions=many", "--port", "0"], "num.partitions"),
        (&["--property", "feature.nonsense=1", "--port", "0"], "nonsense"),
        (&["--security", "SSL"], "PLAINTEXT"),
        (&["--security", "NONSENSE"], "PLAINTEXT"),
        (&["--props", "/does/not/exist"], "/does/not/exist"),
        (&["--brokers", "0", "--port", "0"], "at least 1"),
        (&["--brokers", "2", "--port", "65535"], "65535"),
        (&["--bind", "0.0.0.0", "--port", "0"], "advertised"),
        (&["--advertised", "a:1,b:2", "--port", "0"], "2 advertised"),
        (&["--log", "=="], "--log"),
        (&["--control", "nowhere"], "127.0.0.1:8080"),
        (&["--control", "127.0.0.1:70000"], "127.0.0.1:8080"),
        (&["--control-token", "secret"], "--control"),
        (&["--clock", "manual"], "--control"),
        (&["--control", "localhost:0", "--clock", "sideways"], "real or manual"),
        (&["--unhelpful", "very"], "--unhelpful"),
    ] {
        let sentence = refusal(&[&["serve"], arguments].concat());
        assert!(sentence.contains(named), "{arguments:?}: {sentence}");
    }
    assert!(refusal(&["nonsense"]).contains("nonsense"));
}

#[test]
fn properties_come_from_a_file_and_the_command_line_wins() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "# ours\nnum.partitions = 3\nlog.retention.ms=many\n").expect("written");
    let path = file.path().to_str().expect("UTF-8");
    let sentence = refusal(&["serve", "--port", "0", "--props", path]);
    assert!(sentence.contains("log.retention.ms"), "{sentence}");
    serve(&["--props", path, "--property", "log.retention.ms=1000"]);
    std::fs::write(file.path(), "num.partitions=3\nnonsense\n").expect("written");
    let sentence = refusal(&["serve", "--port", "0", "--props", path]);
    assert!(sentence.contains("line 2"), "{sentence}");
}

#[test]
fn what_is_advertised_is_what_ready_says() {
    let serve = serve(&["--brokers", "2", "--advertised", "kafka.test:1111,[::1]:2222"]);
    assert_eq!(serve.addresses, ["kafka.test:1111", "[::1]:2222"]);
}
