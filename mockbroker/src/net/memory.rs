//! The streams of a cluster in memory: a node is reached by its name, and no socket is there. For tests on tokio's paused
//! clock, which must not wait for sockets: a runtime that does is idle, and its clock jumps.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::DuplexStream;
use tokio::runtime::Handle;

use super::listener::{Service, serve_connection};

/// What one direction of a stream holds before its writer waits.
const BUFFER_BYTES: usize = 256 * 1024;

/// Opens connections to the nodes of a cluster that lives in memory. From [`MockBroker::connector`].
///
/// [`MockBroker::connector`]: crate::MockBroker::connector
#[derive(Clone, Debug, Default)]
pub struct Connector {
    nodes: Arc<Nodes>,
}

/// The nodes that are reachable, by host and port.
#[derive(Debug, Default)]
struct Nodes(Mutex<BTreeMap<(String, u16), (Service, Handle)>>);

/// The stream of a client, in memory.
pub type MemoryStream = DuplexStream;

impl Connector {
    /// Connects to the node at `host`:`port`, as its metadata tells them. It is there at once.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused` if there is no such node, or it is down.
    ///
    /// Dropping the future opens nothing.
    // An `async fn` would borrow what a dialler cannot lend.
    pub fn connect(&self, host: &str, port: u16) -> impl Future<Output = io::Result<MemoryStream>> + Send + use<> {
        let (connector, address) = (self.clone(), (host.to_owned(), port));
        async move {
            let found = connector.nodes().get(&address).cloned();
            let Some((service, runtime)) = found else {
                let (host, port) = address;
                let text = format!("no node listens at {host}:{port} in memory");
                return Err(io::Error::new(io::ErrorKind::ConnectionRefused, text));
            };
            let (near, far) = tokio::io::duplex(BUFFER_BYTES);
            let _runtime = runtime.enter();
            serve_connection(far, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), &service);
            Ok(near)
        }
    }

    /// Lets `service` be found at an address.
    pub(super) fn open(&self, address: &(String, u16), service: Service, runtime: Handle) {
        self.nodes().insert(address.clone(), (service, runtime));
    }

    /// Nothing is found at an address any longer.
    pub(super) fn close(&self, address: &(String, u16)) {
        // What was there is dropped without the lock.
        let before = self.nodes().remove(address);
        drop(before);
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<(String, u16), (Service, Handle)>> {
        self.nodes.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
