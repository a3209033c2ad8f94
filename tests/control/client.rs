//! The program with a control address, and requests to it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than anything here takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A program that runs, until it is dropped.
pub(crate) struct Program {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    pub(crate) bootstrap_servers: String,
    pub(crate) control: Control,
}

/// Where to ask, and with which token.
#[derive(Clone)]
pub(crate) struct Control {
    pub(crate) address: SocketAddr,
    pub(crate) token: Option<String>,
}

/// What was answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
}

/// Starts the program with a control address on loopback.
pub(crate) fn start() -> Program {
    Program::start(&["--control", "127.0.0.1:0"])
}

impl Program {
    /// Starts the program with `arguments`, `--control` among them, on free ports.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_control-program"))
            .args(["serve", "--port", "0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped"));
        let bootstrap_servers = told(&mut lines, "READY ");
        let url = told(&mut lines, "CONTROL http://");
        let control = Control { address: url.parse().expect("an address"), token: None };
        Self { child, lines, bootstrap_servers, control }
    }

    /// The token that the program made.
    pub(crate) fn made_token(&mut self) -> String {
        told(&mut self.lines, "TOKEN ")
    }

    /// How many files, sockets among them, the program has open.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").count()
    }

    /// Asks it to stop, and waits until it has: its exit code.
    pub(crate) async fn stop(&mut self) -> Option<i32> {
        let process = self.child.id().to_string();
        assert!(Command::new("kill").arg(&process).status().expect("kill runs").success());
        let ended = async {
            loop {
                if let Some(status) = self.child.try_wait().expect("it is ours") {
                    return status.code();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, ended).await.expect("it stops when it is asked to")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn told(lines: &mut BufReader<std::process::ChildStdout>, what: &str) -> String {
    let mut line = String::new();
    lines.read_line(&mut line).expect("the program speaks");
    line.trim_end().strip_prefix(what).unwrap_or_else(|| panic!("{what:?} wanted, got {line:?}")).to_owned()
}

impl Control {
    /// Sends a request with these headers, and returns when the answer begins.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let stream = TcpStream::connect(self.address).await.expect("it listens");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("it speaks HTTP");
        tokio::spawn(connection);
        timeout(LIMIT, sender.send_request(request)).await.expect("in time").expect("an answer")
    }

    /// A request with JSON, or without a body.
    pub(crate) fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(method).uri(path).header("host", self.address.to_string());
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = body.map(|body| {
            request
                .headers_mut()
                .expect("valid so far")
                .insert("content-type", "application/json".parse().expect("valid"));
            Bytes::from(body.to_string())
        });
        request.body(Full::new(body.unwrap_or_default())).expect("a valid request")
    }

    /// The whole answer to a request.
    pub(crate) async fn whole(&self, request: Request<Full<Bytes>>) -> Answer {
        let response = self.send(request).await;
        let content_type = response.headers().get("content-type").map_or("", |value| value.to_str().expect("text"));
        let (status, content_type) = (response.status(), content_type.to_owned());
        let body = timeout(LIMIT, response.into_body().collect()).await.expect("in time").expect("it is sent whole");
        Answer { status, content_type, body: body.to_bytes() }
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.whole(self.request(method, path, body.as_ref())).await
    }

    /// The JSON at `path`, which is there.
    pub(crate) async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, None).await.ok(path)
    }

    /// What is answered to `body`, which is accepted.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        self.ask("POST", path, Some(body)).await.ok(path)
    }

    /// Deletes what is at `path`.
    pub(crate) async fn delete(&self, path: &str) {
        self.ask("DELETE", path, None).await.ok(path);
    }

    /// Creates a cluster; the path of it, and its bootstrap servers.
    pub(crate) async fn cluster(&self, new: Value) -> (String, String) {
        let cluster = self.post("/clusters", new).await;
        let text = |field: &str| cluster[field].as_str().expect("text").to_owned();
        (format!("/clusters/{}", text("name")), text("bootstrap_servers"))
    }

    /// A cluster with the topic `orders` of one partition.
    pub(crate) async fn orders(&self) -> (String, String) {
        self.cluster(json!({ "topics": [{ "name": "orders", "partitions": 1 }] })).await
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    /// The JSON of an answer that is none of the refusals, null without a body.
    pub(crate) fn ok(&self, path: &str) -> Value {
        assert!(self.status.is_success(), "{path}: {} {}", self.status, self.text());
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// The problem of a refusal of this status and kind.
    pub(crate) fn refused(&self, status: u16, kind: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.content_type, "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:mockbroker:{kind}"), "{problem}");
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "it says what to do: {problem}");
        problem
    }
}
