//! The command line of `mockbroker`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::broker::MockBroker;
use crate::builder::MockBrokerBuilder;
use crate::engine::clock::Clock;
use crate::handlers::table;
use crate::http::{self, Control, Hub, Surroundings};

/// What a bad flag, a bad property or a taken port ends with.
const USAGE_ERROR: u8 = 2;

/// An Apache Kafka cluster in one process, for tests and local development.
#[derive(Debug, Parser)]
#[command(name = "mockbroker", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a cluster until SIGTERM or SIGINT. Prints `READY host:port[,host:port...]` on stdout once all nodes accept; with
    /// --control also `CONTROL http://host:port`, and `TOKEN ...` if a token was made.
    Serve(Box<Serve>),
    /// Print the APIs and versions that ApiVersions answers: key, name, lowest and highest version, separated by tabs.
    Apis,
    /// Print the OpenAPI document of the control address.
    Openapi,
}

#[derive(Debug, Args)]
struct Serve {
    /// Port of the first node; node i gets PORT+i. 0 takes free ones.
    #[arg(long, default_value_t = 9092)]
    port: u16,
    /// Address to listen on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind: IpAddr,
    /// What clients are told to connect to, one for each node (default: where the nodes listen).
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', value_parser = host_and_port)]
    advertised: Vec<(String, u16)>,
    /// Number of nodes.
    #[arg(long, default_value_t = 1)]
    brokers: u16,
    /// Id of the first node; the others follow.
    #[arg(long, default_value_t = 0, value_name = "N")]
    first_node_id: i32,
    /// A topic that is there from the start. Repeatable.
    #[arg(long = "topic", value_name = "NAME:PARTITIONS", value_parser = topic)]
    topics: Vec<(String, i32)>,
    /// A broker property by Kafka's name; node.ID.KEY=VALUE is one node's, feature.NAME=LEVEL a finalized feature. Repeatable.
    #[arg(long = "property", value_name = "KEY=VALUE", value_parser = property)]
    properties: Vec<(String, String)>,
    /// A file of such properties (server.properties). --property wins.
    #[arg(long, value_name = "FILE")]
    props: Option<PathBuf>,
    /// Begin as a Kafka that has just been installed: the first FindCoordinator and InitProducerId are told to come back.
    #[arg(long)]
    cold_start: bool,
    /// Be as unhelpful as Kafka may be, drawn from this seed.
    #[arg(long, value_name = "SEED")]
    unhelpful: Option<u64>,
    /// Security protocol of the listeners.
    #[arg(long, default_value = "PLAINTEXT", value_name = "PROTOCOL", value_parser = security)]
    security: String,
    /// Also serve the control address over HTTP: faults, clusters on demand, inspection, for tests in any language
    /// (docs/CONTROL.md). Port 0 takes a free one. The cluster then keeps its last requests.
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    control: Option<SocketAddr>,
    /// The bearer token that the control address wants. Without one it wants none on loopback, and makes one elsewhere.
    #[arg(long, value_name = "TOKEN", requires = "control")]
    control_token: Option<String>,
    /// By which time the cluster lives: real, or manual, which the control address moves.
    #[arg(long, default_value = "real", value_name = "CLOCK", value_parser = clock, requires = "control")]
    clock: Clock,
    /// Stop at the end of stdin as well: a test that is killed takes the broker with it, if stdin is a pipe that only it holds.
    #[arg(long)]
    until_eof: bool,
    /// The seed of every id that the cluster gives out (default: a random one).
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// What to log on stderr: error, warn, info, debug, trace, or filters such as mockbroker::net=trace.
    #[arg(long, default_value = "warn", value_name = "FILTER")]
    log: String,
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => {
            print!("{error}");
            return ExitCode::SUCCESS;
        }
        Err(error) => return refuse(&one_sentence(&error)),
    };
    match cli.command {
        Command::Apis => {
            println!("key\tname\tmin\tmax");
            for api in table::advertised() {
                println!("{}\t{}\t{}\t{}", api.key, api.name, api.min, api.max);
            }
            ExitCode::SUCCESS
        }
        Command::Openapi => {
            print!("{}", http::openapi());
            ExitCode::SUCCESS
        }
        Command::Serve(serve) => match serve.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refuse(&error),
        },
    }
}

fn refuse(error: &str) -> ExitCode {
    eprintln!("mockbroker: {error}");
    ExitCode::from(USAGE_ERROR)
}

/// The first paragraph of what clap says, on one line, with where to read on.
fn one_sentence(error: &clap::Error) -> String {
    let text = error.to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<_> = paragraph.trim_start_matches("error:").split_whitespace().collect();
    format!("{} (see mockbroker serve --help)", words.join(" "))
}

impl Serve {
    fn run(self) -> Result<(), String> {
        let filter = tracing_subscriber::EnvFilter::try_new(&self.log)
            .map_err(|error| format!("--log {}: {error}; try warn, info or debug", self.log))?;
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
        let address = self.control;
        let token = self.control_token.clone();
        let advertised_host = self.advertised.first().map(|(host, _)| host.clone());
        let surroundings = Surroundings { bind: self.bind, advertised_host };
        let until_eof = self.until_eof;
        let builder = self.builder()?;
        let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4));
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start a runtime: {error}"))?
            .block_on(async {
                // Listened for before the port opens: whoever starts this program may stop it as soon as it is there.
                let stop = stopped(stop_signal()?, until_eof);
                match address {
                    None => serve(builder, stop).await,
                    Some(address) => serve_with_control(builder, address, token, surroundings, stop).await,
                }
            })
    }

    fn builder(self) -> Result<MockBrokerBuilder, String> {
        let mut properties = BTreeMap::new();
        if let Some(path) = &self.props {
            let shown = path.display();
            let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
            for (number, line) in logical_lines(&text) {
                let (key, value) = property(&line).map_err(|error| format!("{shown}, line {number}: {error}"))?;
                properties.insert(key, value);
            }
        }
        properties.extend(self.properties);
        let builder = MockBroker::builder()
            .nodes(self.brokers)
            .cold_start(self.cold_start)
            .first_node_id(self.first_node_id)
            .bind(self.bind)
            .port(self.port)
            .advertised(self.advertised)
            .clock(self.clock)
            // Without a control address nobody can ask this process for it.
            .journal(self.control.is_some())
            .patience(http::PATIENCE);
        let builder = self.seed.into_iter().fold(builder, MockBrokerBuilder::seed);
        let builder = self.unhelpful.into_iter().fold(builder, MockBrokerBuilder::unhelpful);
        let builder = self.topics.into_iter().fold(builder, |builder, (name, count)| builder.topic(name, count));
        Ok(properties.into_iter().fold(builder, |builder, (key, value)| builder.config(key, value)))
    }
}

async fn serve(builder: MockBrokerBuilder, stop: impl Future<Output = ()>) -> Result<(), String> {
    let broker = builder.try_start().await.map_err(|error| error.to_string())?;
    println!("READY {}", broker.bootstrap_servers());
    stop.await;
    broker.shutdown().await;
    Ok(())
}

async fn serve_with_control(
    builder: MockBrokerBuilder,
    address: SocketAddr,
    token: Option<String>,
    surroundings: Surroundings,
    stop: impl Future<Output = ()>,
) -> Result<(), String> {
    let control = Control::bind(address, token).await.map_err(|error| format!("--control: {error}"))?;
    let broker = builder.try_start().await.map_err(|error| error.to_string())?;
    println!("READY {}", broker.bootstrap_servers());
    println!("CONTROL {}", control.url());
    if let Some(token) = control.made_token() {
        println!("TOKEN {token}");
    }
    let hub = Hub::new(broker, surroundings);
    tokio::select! {
        () = stop => {}
        () = control.serve(std::sync::Arc::clone(&hub)) => {}
    }
    hub.shutdown().await;
    Ok(())
}

/// Ends when `signal` does, or, if that is asked for, at the end of stdin.
async fn stopped(signal: impl Future<Output = ()>, until_eof: bool) {
    if !until_eof {
        return signal.await;
    }
    let (at_end, end) = tokio::sync::oneshot::channel::<()>();
    // A thread of its own, which nothing waits for: a read of stdin cannot be given up.
    std::thread::spawn(move || {
        drop(std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()));
        drop(at_end);
    });
    tokio::select! {
        () = signal => {}
        _ = end => {}
    }
}

/// Ends when the process is asked to stop.
#[cfg(unix)]
fn stop_signal() -> Result<impl Future<Output = ()>, String> {
    use tokio::signal::unix::{SignalKind, signal};

    let listen = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Ends when the process is asked to stop.
#[cfg(not(unix))]
fn stop_signal() -> Result<impl Future<Output = ()>, String> {
    Ok(async { drop(tokio::signal::ctrl_c().await) })
}

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("give it as HOST:PORT")?;
    let port = port.parse().map_err(|_| format!("{port:?} is no port: give a number from 1 to 65535"))?;
    Ok((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port))
}

fn topic(text: &str) -> Result<(String, i32), String> {
    let (name, partitions) = text.rsplit_once(':').ok_or("give it as NAME:PARTITIONS")?;
    match partitions.parse() {
        Ok(count @ 1..) => Ok((name.to_owned(), count)),
        _ => Err(format!("{partitions:?} is no number of partitions: give 1 or more")),
    }
}

fn property(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("give it as KEY=VALUE")?;
    match key.trim() {
        "" => Err("the key is empty: give it as KEY=VALUE".into()),
        key => Ok((key.to_owned(), value.trim().to_owned())),
    }
}

fn clock(text: &str) -> Result<Clock, String> {
    match text {
        "real" => Ok(Clock::real()),
        "manual" => Ok(Clock::manual()),
        _ => Err("a clock is real or manual".into()),
    }
}

/// The first address of a name, or the address itself.
fn address(text: &str) -> Result<SocketAddr, String> {
    let mut addresses = text.to_socket_addrs().map_err(|error| format!("{error}; say it as in 127.0.0.1:8080"))?;
    addresses.next().ok_or_else(|| format!("{text} has no address"))
}

fn security(text: &str) -> Result<String, String> {
    match text {
        "PLAINTEXT" => Ok(text.to_owned()),
        "SSL" | "SASL_PLAINTEXT" | "SASL_SSL" => {
            Err(format!("{text} is not there yet: this version serves PLAINTEXT only, see docs/COMPATIBILITY.md"))
        }
        _ => Err("a security protocol is one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL".into()),
    }
}

/// The lines of a properties file with the number of the first of each: without comments and blank ones, continued where
/// they end in a backslash.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut continues = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if !continues && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let (part, goes_on) = line.strip_suffix('\\').map_or((line, false), |part| (part, true));
        match lines.last_mut() {
            Some((_, whole)) if continues => whole.push_str(part),
            _ => lines.push((index + 1, part.to_owned())),
        }
        continues = goes_on;
    }
    lines
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_properties_file_has_comments_and_continued_lines() {
        let text = "# a comment\n\n  a = 1\n! another\nb=2,\\\n   3\nc=\n";
        let lines = logical_lines(text);
        assert_eq!(lines, [(3, "a = 1".into()), (5, "b=2,3".into()), (7, "c=".into())]);
        assert_eq!(property("a = 1"), Ok(("a".into(), "1".into())));
    }

    #[test]
    fn bad_flags_are_refused_in_one_sentence() {
        for arguments in [
            &["serve", "--port", "70000"][..],
            &["serve", "--topic", "orders"],
            &["serve", "--topic", "orders:0"],
            &["serve", "--property", "novalue"],
            &["serve", "--security", "SASL_SSL"],
            &["serve", "--advertised", "host"],
            &["serve", "--nonsense"],
            &["nonsense"],
        ] {
            let error = Cli::try_parse_from([&["mockbroker"], arguments].concat()).expect_err("refused");
            let sentence = one_sentence(&error);
            assert!(!sentence.contains('\n') && sentence.len() < 250, "{sentence}");
        }
    }
}
