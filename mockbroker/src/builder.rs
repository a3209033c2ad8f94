//! `MockBrokerBuilder`: what a cluster is to be before it starts.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::broker::{Alive, MockBroker};
use crate::cluster::{Cluster, Node};
use crate::engine::clock::Clock;
use crate::engine::{Engine, Options, keep_time};
use crate::error::StartError;
use crate::ids::IdSource;
use crate::net::{Connector, Port, Recycler, Registry, Service};
use crate::state::State;
use crate::time::Timestamp;
use crate::types::NodeId;

/// The port of every node in memory, where names are not shared with anybody.
const MEMORY_PORT: u16 = 9092;

/// Settings of a cluster. Everything has a default; [`start`](Self::start) makes it live.
#[derive(Clone, Debug)]
#[must_use = "nothing listens until it is started"]
pub struct MockBrokerBuilder {
    nodes: u16,
    first_node_id: i32,
    bind: IpAddr,
    port: u16,
    advertised: Vec<(String, u16)>,
    topics: Vec<(String, i32)>,
    properties: BTreeMap<String, String>,
    clock: Clock,
    seed: Option<u64>,
    options: Options,
    in_memory: bool,
    is_cold: bool,
}

impl Default for MockBrokerBuilder {
    fn default() -> Self {
        Self {
            nodes: 1,
            first_node_id: 0,
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            advertised: Vec::new(),
            topics: Vec::new(),
            properties: BTreeMap::new(),
            clock: Clock::default(),
            seed: None,
            options: Options::default(),
            in_memory: false,
            is_cold: false,
        }
    }
}

impl MockBrokerBuilder {
    /// How many nodes the cluster has. Default 1, at least 1.
    pub fn nodes(mut self, count: u16) -> Self {
        self.nodes = count;
        self
    }

    /// The `node.id` of the first node; the others follow. Default 0.
    pub fn first_node_id(mut self, id: i32) -> Self {
        self.first_node_id = id;
        self
    }

    /// The address that every node listens on. Default 127.0.0.1.
    pub fn bind(mut self, address: IpAddr) -> Self {
        self.bind = address;
        self
    }

    /// The port of the first node; node *i* listens on *port* + *i*. Default 0: a free port for each.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// What clients are told to connect to, one host and port for each node (`advertised.listeners`). By default that is
    /// where the nodes listen. Port 0 stands for the port that the node has.
    pub fn advertised<H: Into<String>>(mut self, addresses: impl IntoIterator<Item = (H, u16)>) -> Self {
        self.advertised = addresses.into_iter().map(|(host, port)| (host.into(), port)).collect();
        self
    }

    /// A topic that is there from the start.
    pub fn topic(mut self, name: impl Into<String>, partitions: i32) -> Self {
        self.topics.push((name.into(), partitions));
        self
    }

    /// A broker property by Kafka's name (`server.properties`), for every node. `node.ID.KEY` is the property of one node,
    /// `feature.NAME` the level of a finalized feature.
    ///
    /// Unknown names are accepted and listed by DescribeConfigs, as in Kafka; a known one with a bad value is refused at
    /// the start.
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.insert(key.into(), value.into());
        self
    }

    /// By which time the cluster lives. Default: the real one.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// No sockets: clients reach the nodes with [`MockBroker::connector`], in this process, at `broker-0:9092` and so on by
    /// the ids of the nodes. What needs no socket can live on tokio's paused clock
    /// (`#[tokio::test(start_paused = true)]`): whenever everybody waits, time jumps to where somebody goes on.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use mockbroker::MockBroker;
    ///
    /// let broker = MockBroker::builder().in_memory().topic("orders", 1).start().await;
    /// let stream = broker.connector().connect("broker-0", 9092).await.expect("it is there");
    /// // async_kafka::Kafka::builder(broker.bootstrap_servers())
    /// //     .dial(move |address| connector.connect(&address.host, address.port))
    /// # drop(stream);
    /// # }
    /// ```
    pub fn in_memory(mut self) -> Self {
        self.in_memory = true;
        self
    }

    /// The seed of every id that the cluster gives out. Default: a random one, see [`MockBroker::seed`].
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Whether the cluster begins as a Kafka that has just been installed, where the first clients of all are told to come back:
    /// the first FindCoordinator for groups, and the first for transactions, is answered COORDINATOR_NOT_AVAILABLE (15) while
    /// the internal topic is created, and the first InitProducerId of each node COORDINATOR_LOAD_IN_PROGRESS (14) while the node
    /// asks the controllers for a block of ids. Kafka takes some hundred milliseconds; here the next try succeeds. Default:
    /// false, what is asked for is there. A test has a cluster of its own, and would pay a backoff of its client each time.
    pub fn cold_start(mut self, is_cold: bool) -> Self {
        self.is_cold = is_cold;
        self
    }

    /// As unhelpful as Kafka may be, drawn from `seed`: coordinators are not found at first and then load, leaders and coordinators
    /// move to other replicas in sync, fetches bring one batch or nothing before their time, metadata is a moment old,
    /// fetch sessions are forgotten, members removed, clients throttled, idle connections closed, transactions take their
    /// time to end, and where replicas can be missing they are. Nothing that is acknowledged is lost.
    ///
    /// The journal says what a request has met, the report says the seed, and the same seed and the same requests in the same
    /// order make the same run. docs/UNHELPFUL.md says of each why Kafka may do it. Off by default.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use mockbroker::MockBroker;
    ///
    /// let broker = MockBroker::builder().nodes(3).topic("orders", 6).unhelpful(7).start().await;
    /// // ... the code under test still has to be right ...
    /// println!("{}", broker.journal().text()); // "... Fetch v16 orders-0 -> ok [unhelpful: one batch]"
    /// # }
    /// ```
    pub fn unhelpful(mut self, seed: u64) -> Self {
        self.options.unhelpful = Some(seed);
        self
    }

    /// Whether the broker keeps its last requests for [`MockBroker::journal`] and for its report. Default: it does. On the
    /// way of a request that is a copy of small frames and a push; memory is bounded ([`Journal`](crate::Journal)).
    pub fn journal(mut self, is_kept: bool) -> Self {
        self.options.journal = is_kept;
        self
    }

    /// How long a waiter ([`Journal::wait_for`](crate::Journal::wait_for), [`MockBroker::group`] and its like) waits before it
    /// panics with the broker's report, in real time. Default: 10 seconds.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.options.patience = patience;
        self
    }

    /// Starts the cluster on the current tokio runtime.
    ///
    /// # Panics
    ///
    /// With the text of the [`StartError`], see [`try_start`](Self::try_start).
    ///
    /// Dropping the future before it is ready starts nothing.
    pub async fn start(self) -> MockBroker {
        self.try_start().await.unwrap_or_else(|error| panic!("MockBroker did not start: {error}"))
    }

    /// Starts the cluster on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// No runtime, a port that is taken, a setting without meaning.
    ///
    /// Dropping the future before it is ready starts nothing.
    // It awaits nothing today; an `async fn` keeps the door open for storage that is read at the start.
    #[expect(clippy::unused_async, reason = "part of the public interface")]
    pub async fn try_start(self) -> Result<MockBroker, StartError> {
        self.start_now()
    }

    pub(crate) fn start_now(mut self) -> Result<MockBroker, StartError> {
        let places = self.find_places()?;
        // So that it survives a language whose numbers are doubles, when it is read back from a report.
        let seed = *self.seed.get_or_insert_with(|| fastrand::u64(..1 << 53));
        let mut ids = IdSource::new(seed);
        let nodes: Vec<_> = places.nodes.iter().map(|node| node.id).collect();
        self.check_node_properties(&nodes)?;
        let cluster = Cluster::new(places.nodes.clone(), &self.properties, &mut ids).map_err(StartError::Setting)?;
        let mut state = State::new(cluster, ids);
        if self.is_cold {
            state.begin_cold();
        }
        for (name, partitions) in &self.topics {
            state.create_topic_at_start(name, *partitions).map_err(StartError::Setting)?;
        }
        let engine = Engine::new(state, &self.clock, &self.options);
        Ok(MockBroker::new(run(engine, places, self)))
    }

    /// Starts a cluster that has `state`, as it was at `now`.
    pub(crate) fn start_again(mut self, mut state: State, now: Timestamp) -> Result<MockBroker, StartError> {
        // Those of the first may be taken, and lead to it.
        self.port = 0;
        if !self.in_memory {
            self.advertised.iter_mut().for_each(|(_, port)| *port = 0);
        }
        self.clock = self.clock.beginning_at(now);
        let places = self.find_places()?;
        state.cluster.readdress(&places.nodes);
        let down: Vec<_> = state.cluster.nodes().filter(|node| !node.is_running).map(|node| node.id).collect();
        let engine = Engine::go_on(state, &self.clock, &self.options);
        let alive = run(engine, places, self);
        for (_, listener) in alive.listeners.iter().filter(|(node, _)| down.contains(node)) {
            listener.refuse();
        }
        Ok(MockBroker::new(alive))
    }

    /// The seed that was given, or drawn at the start.
    pub(crate) fn known_seed(&self) -> u64 {
        self.seed.unwrap_or_default()
    }

    fn find_places(&self) -> Result<Places, StartError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(StartError::NoRuntime);
        }
        let connector = Connector::default();
        let ports = self.bind_ports(&connector)?;
        let nodes = self.describe_nodes(&ports)?;
        Ok(Places { connector, ports, nodes })
    }

    fn bind_ports(&self, connector: &Connector) -> Result<Vec<Port>, StartError> {
        if self.nodes == 0 {
            return Err(StartError::Setting("a cluster has at least 1 node, not 0".into()));
        }
        if self.port.checked_add(self.nodes - 1).is_none() {
            let (nodes, port) = (self.nodes, self.port);
            return Err(StartError::Setting(format!("{nodes} nodes from port {port} on go past port 65535")));
        }
        (0..self.nodes)
            .map(|i| {
                if self.in_memory {
                    let node = self.first_node_id.saturating_add(i32::from(i));
                    let address = self.advertised.get(usize::from(i)).cloned();
                    let address = address.unwrap_or_else(|| (format!("broker-{node}"), MEMORY_PORT));
                    return Ok(Port::Memory { connector: connector.clone(), address });
                }
                let port = if self.port == 0 { 0 } else { self.port + i };
                Port::bind(SocketAddr::new(self.bind, port))
            })
            .collect()
    }

    /// A property of a node that is not there would silently do nothing.
    fn check_node_properties(&self, nodes: &[NodeId]) -> Result<(), StartError> {
        for key in self.properties.keys().filter(|key| key.starts_with("node.")) {
            let Some((id, _)) = key["node.".len()..].split_once('.') else { continue };
            if id.parse().is_ok_and(|id| !nodes.contains(&NodeId(id))) {
                let ids: Vec<_> = nodes.iter().map(NodeId::to_string).collect();
                let ids = ids.join(", ");
                return Err(StartError::Setting(format!("{key}: there is no node {id}, the nodes are {ids}")));
            }
        }
        Ok(())
    }

    fn describe_nodes(&self, ports: &[Port]) -> Result<Vec<Node>, StartError> {
        if self.advertised.is_empty() && self.bind.is_unspecified() {
            // Kafka refuses it too: a client cannot connect to the meta-address that it would be told.
            let bind = self.bind;
            return Err(StartError::Setting(format!(
                "clients cannot connect to {bind}: say with `advertised` which host and port they are to use"
            )));
        }
        if !self.advertised.is_empty() && self.advertised.len() != ports.len() {
            let (count, nodes) = (self.advertised.len(), ports.len());
            return Err(StartError::Setting(format!(
                "{count} advertised addresses for {nodes} nodes: give one for each"
            )));
        }
        let node = |(i, port): (usize, &Port)| {
            let number = i32::try_from(i).expect("a node count is 16 bits");
            let id = NodeId(self.first_node_id.saturating_add(number));
            let (host, port) = match self.advertised.get(i) {
                Some((host, 0)) => (host.clone(), port.address().1),
                Some((host, port)) => (host.clone(), *port),
                None => port.address(),
            };
            Node::new(id, host, port)
        };
        Ok(ports.iter().enumerate().map(node).collect())
    }
}

/// `host:port`, with the brackets that an IPv6 address needs.
fn address_text(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Where the nodes are, before anybody is served there.
struct Places {
    connector: Connector,
    ports: Vec<Port>,
    nodes: Vec<Node>,
}

fn run(engine: Arc<Engine>, places: Places, builder: MockBrokerBuilder) -> Alive {
    let max_idle_ms = engine.read(|state| state.cluster.settings().connections_max_idle_ms);
    let max_idle = Duration::from_millis(max_idle_ms);
    let registry = Arc::new(Registry::default());
    let recycler = Arc::new(Recycler::default());
    let timekeeper = tokio::spawn(keep_time(Arc::downgrade(&engine))).abort_handle();
    let idle_watch = tokio::spawn(watch_idle(Arc::clone(&engine), Arc::clone(&registry), max_idle)).abort_handle();
    let Places { connector, ports, nodes } = places;
    let bootstrap_servers = nodes.iter().map(|node| address_text(&node.host, node.port)).collect::<Vec<_>>().join(",");
    // Everything is set up: whoever connects from here on is served.
    let serve = |(node, port): (&Node, Port)| {
        let (engine, registry, recycler) = (Arc::clone(&engine), Arc::clone(&registry), Arc::clone(&recycler));
        (node.id, port.serve(Service { node: node.id, engine, registry, recycler, line: Arc::default() }))
    };
    let listeners = nodes.iter().zip(ports).map(serve).collect();
    Alive { engine, registry, listeners, timekeeper, idle_watch, bootstrap_servers, builder, connector }
}

/// Ends connections that say nothing for `connections.max.idle.ms`.
async fn watch_idle(engine: Arc<Engine>, registry: Arc<Registry>, max_idle: Duration) {
    loop {
        let oldest = registry.longest_idle_since().unwrap_or_else(|| engine.now());
        drop(engine.sleep_until(oldest + max_idle).await);
        let now = engine.now();
        registry.close_idle_since(now.minus(max_idle));
    }
}
