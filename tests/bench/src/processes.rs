//! Processes that are measured: brokers that say `READY host:port`, and the driver.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::machine;

/// A real Kafka is a script and a JVM.
const KAFKA: &str = "Kafka";

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `mockbroker`, the release build.
    pub mockbroker: PathBuf,
    /// `drive` and `librdkafka-mock` lie beside the program that runs now.
    here: PathBuf,
    placement: Placement,
}

/// On which processors the processes of a comparison run.
#[derive(Clone, Copy, Debug)]
enum Placement {
    /// Wherever the system puts them.
    Free,
    /// Brokers on the first, drivers on the second.
    Apart,
    /// All of them on the first.
    Together,
}

#[derive(Clone, Copy)]
enum Role {
    Broker,
    Driver,
}

impl Programs {
    /// Builds `mockbroker` as it is released, so that no stale one is measured, and says where it is.
    pub fn build() -> Self {
        let root = repository();
        let target = root.join("target");
        let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--release", "--quiet", "--package", "mockbroker", "--target-dir"])
            .arg(&target)
            .current_dir(&root)
            .status()
            .expect("cargo runs");
        assert!(built.success(), "mockbroker does not build");
        Self::with(target.join("release/mockbroker"))
    }

    /// Takes a `mockbroker` that was built before.
    pub fn with(mockbroker: PathBuf) -> Self {
        let this = std::env::current_exe().expect("a process knows its program");
        Self {
            mockbroker,
            here: this.parent().expect("a program lies in a directory").to_owned(),
            placement: Placement::Free,
        }
    }

    /// The same programs, brokers on the first processor and drivers on the second. Two processes that wake each other are put
    /// now on one processor, now on two, and a rate that consists of their taking turns is another then.
    pub fn apart(&self) -> Self {
        self.placed(Placement::Apart)
    }

    /// The same programs, all on the first processor: what they do for a turn is measured, not how long a machine takes to
    /// wake an idle processor.
    pub fn together(&self) -> Self {
        self.placed(Placement::Together)
    }

    fn placed(&self, placement: Placement) -> Self {
        let placement = if machine::processors() > 1 { placement } else { Placement::Free };
        Self { placement, ..self.clone() }
    }

    fn command(&self, program: &Path, role: Role) -> Command {
        let processor = match (self.placement, role) {
            (Placement::Free, _) => return Command::new(program),
            (Placement::Apart, Role::Driver) => "1",
            (Placement::Apart, Role::Broker) | (Placement::Together, _) => "0",
        };
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", processor]).arg(program);
        command
    }

    /// `mockbroker serve` with topic `bench`.
    pub fn mockbroker(&self, partitions: i32, properties: &[&str]) -> Broker {
        let mut command = self.command(&self.mockbroker, Role::Broker);
        command.args(["serve", "--port", "0", "--topic", &format!("bench:{partitions}")]);
        for property in properties {
            command.args(["--property", property]);
        }
        Broker::start("mockbroker", command)
    }

    /// librdkafka's mock cluster with topic `bench`.
    pub fn librdkafka_mock(&self, partitions: i32) -> Broker {
        let mut command = self.command(&self.here.join("librdkafka-mock"), Role::Broker);
        command.arg(partitions.to_string());
        Broker::start("librdkafka mock", command)
    }

    /// A real Kafka (`tests/real-kafka`), one node.
    pub fn kafka(&self) -> Broker {
        let mut command = Command::new(repository().join("tests/real-kafka/real-kafka"));
        // It ends when its standard input does: killing the script would leave the JVM behind.
        command.args(["serve", "--until-eof"]);
        Broker::start(KAFKA, command)
    }

    /// Runs a librdkafka client against `broker` to its end.
    pub fn drive(&self, broker: &Broker, arguments: &[&str]) -> Driven {
        self.drive_by(Client::Librdkafka, broker, arguments)
    }

    /// Runs a client against `broker` to its end.
    pub fn drive_by(&self, client: Client, broker: &Broker, arguments: &[&str]) -> Driven {
        let program = if client == Client::Ours { "drive-ours" } else { "drive" };
        let output = self
            .command(&self.here.join(program), Role::Driver)
            .args(arguments)
            .args(["--bootstrap", &broker.bootstrap])
            .stderr(Stdio::inherit())
            .output()
            .expect("the driver runs");
        assert!(output.status.success(), "the driver fails against {}: {}", broker.name, output.status);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("the driver prints JSON");
        let number = |key: &str| report[key].as_u64().expect("the driver reports numbers");
        assert_eq!(number("failed"), 0, "{} refused records: {report}", broker.name);
        Driven {
            records: number("records"),
            bytes: number("bytes"),
            wall: Duration::from_nanos(number("wall_ns")),
            cpu: Duration::from_nanos(number("cpu_ns")),
            work: Duration::from_nanos(number("work_ns")),
            p50_us: report["p50_us"].as_f64().unwrap_or_default(),
            requests: number("requests"),
            version: report["version"].as_str().unwrap_or_default().to_owned(),
        }
    }
}

/// The top of the repository.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.join("../..").canonicalize().expect("the package lies two levels below the repository")
}

/// Whose client a driver is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// `drive-ours`.
    Ours,
    /// `drive`.
    Librdkafka,
}

/// What a driver did.
#[derive(Debug)]
pub struct Driven {
    /// Records acknowledged or read.
    pub records: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// From the first record to the last.
    pub wall: Duration,
    /// CPU time of the driver from its start to its end.
    pub cpu: Duration,
    /// CPU time of the driver from the first record to the last.
    pub work: Duration,
    /// The median wait, where records are awaited.
    pub p50_us: f64,
    /// Produce requests, where they are counted.
    pub requests: u64,
    /// Of the client.
    pub version: String,
}

/// A broker process; it is ended and waited for when this is dropped.
#[derive(Debug)]
pub struct Broker {
    /// What it is called in the report.
    pub name: &'static str,
    /// host:port.
    pub bootstrap: String,
    child: Child,
}

impl Broker {
    fn start(name: &'static str, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let bootstrap = ready(&mut child).unwrap_or_else(|| panic!("{name} ends before it is ready"));
        Self { name, bootstrap, child }
    }

    /// CPU time that it used so far.
    pub fn cpu_time(&self) -> Duration {
        machine::cpu_time(self.child.id())
    }

    /// A field of its `/proc/PID/status`.
    pub fn status(&self, field: &str) -> u64 {
        machine::status(&self.child.id().to_string(), field)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.name == KAFKA {
            drop(self.child.stdin.take());
        } else {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// Reads `READY host:port` from the program's standard output.
pub fn ready(child: &mut Child) -> Option<String> {
    let stdout = child.stdout.as_mut().expect("standard output is piped");
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).ok()?;
    Some(line.strip_prefix("READY ")?.trim().to_owned())
}
