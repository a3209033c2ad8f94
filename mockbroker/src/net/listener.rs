//! How connections to a node come in: one accept loop per node, or, in memory, a name.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::connection::Connection;
use super::line::{Conditions, Line};
use super::memory::Connector;
use super::recycler::Recycler;
use super::registry::Registry;
use crate::engine::Engine;
use crate::error::StartError;
use crate::types::NodeId;

/// Connections that the kernel may hold before they are accepted.
const BACKLOG: u32 = 1024;

/// How long to leave the kernel alone when it has no file descriptor left.
const BACK_OFF: Duration = Duration::from_millis(50);

/// A place that is ours, before anybody is served there.
#[derive(Debug)]
pub(crate) enum Port {
    /// A port of TCP.
    Tcp { listener: TcpListener, address: SocketAddr },
    /// A name in memory.
    Memory { connector: Connector, address: (String, u16) },
}

/// What a node's connections are served with.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) node: NodeId,
    pub(crate) engine: Arc<Engine>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) recycler: Arc<Recycler>,
    pub(crate) line: Arc<Conditions>,
}

/// A node's listener at work.
#[derive(Debug)]
pub(crate) struct Listener {
    service: Service,
    /// The runtime that connections are served on, whoever opens the listener again.
    runtime: Handle,
    door: Door,
}

/// How connections come in.
#[derive(Debug)]
enum Door {
    Tcp {
        address: SocketAddr,
        socket: Arc<Socket>,
        /// The accept loop.
        task: Mutex<Option<AbortHandle>>,
    },
    Memory {
        connector: Connector,
        address: (String, u16),
    },
}

/// The socket, where both the accept loop and the owner can reach it: it stops to listen the moment it is taken out.
#[derive(Debug)]
struct Socket(Mutex<Place>);

#[derive(Debug)]
enum Place {
    /// Connections are accepted.
    Open(TcpListener),
    /// Connections are refused, and nobody else gets the port.
    Refusing(TcpSocket),
    /// The port is free.
    Closed,
}

impl Port {
    /// Listens on `address`; port 0 takes a free one. Nobody is answered yet.
    pub(crate) fn bind(address: SocketAddr) -> Result<Self, StartError> {
        let bind = || {
            let listener = bound(address)?.listen(BACKLOG)?;
            let address = listener.local_addr()?;
            Ok(Self::Tcp { listener, address })
        };
        bind().map_err(|source| StartError::Bind { address, source })
    }

    /// Where it listens, as clients are told unless something else is said.
    pub(crate) fn address(&self) -> (String, u16) {
        match self {
            Self::Tcp { address, .. } => (address.ip().to_string(), address.port()),
            Self::Memory { address, .. } => address.clone(),
        }
    }

    /// Serves on this port, on the runtime that this is called from.
    pub(crate) fn serve(self, service: Service) -> Listener {
        let runtime = Handle::current();
        let door = match self {
            Self::Tcp { listener, address } => {
                let socket = Arc::new(Socket(Mutex::new(Place::Open(listener))));
                Door::Tcp { address, socket, task: Mutex::new(None) }
            }
            Self::Memory { connector, address } => Door::Memory { connector, address },
        };
        let listener = Listener { service, runtime, door };
        listener.begin();
        listener
    }
}

/// A socket that has the port and does not listen: whoever connects is refused.
fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A port whose last connections are still in TIME_WAIT is free.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

impl Listener {
    /// What a test does to the line between the node and its clients.
    pub(crate) fn line(&self) -> &Arc<Conditions> {
        &self.service.line
    }

    /// Frees the port.
    pub(crate) fn close(&self) {
        match &self.door {
            Door::Tcp { socket, task, .. } => {
                socket.put(Place::Closed);
                run(task, None);
            }
            Door::Memory { connector, address } => connector.close(address),
        }
    }

    /// Refuses connections from here on, and keeps the port.
    pub(crate) fn refuse(&self) {
        // It listens until it is dropped, and as long as it does nobody binds the port.
        self.close();
        let Door::Tcp { address, socket, .. } = &self.door else { return };
        match bound(*address) {
            Ok(kept) => socket.put(Place::Refusing(kept)),
            Err(error) => tracing::warn!(%address, %error, "the port of a node that is down is not kept"),
        }
    }

    /// Listens again, on the same port.
    pub(crate) fn reopen(&self) -> Result<(), StartError> {
        if let Door::Tcp { address, socket, .. } = &self.door {
            let _runtime = self.runtime.enter();
            let listen = |place| match place {
                Place::Open(listener) => Ok(listener),
                Place::Refusing(socket) => socket.listen(BACKLOG),
                Place::Closed => bound(*address)?.listen(BACKLOG),
            };
            let listener = listen(socket.take());
            let listener = listener.map_err(|source| StartError::Bind { address: *address, source })?;
            socket.put(Place::Open(listener));
        }
        self.begin();
        Ok(())
    }

    fn begin(&self) {
        match &self.door {
            Door::Tcp { socket, task, .. } => {
                let accepting = self.runtime.spawn(accept(Arc::clone(socket), self.service.clone()));
                run(task, Some(accepting.abort_handle()));
            }
            Door::Memory { connector, address } => {
                connector.open(address, self.service.clone(), self.runtime.clone());
            }
        }
    }
}

/// Ends the accept loop, and remembers the next.
fn run(task: &Mutex<Option<AbortHandle>>, next: Option<AbortHandle>) {
    let before = std::mem::replace(&mut *task.lock().unwrap_or_else(PoisonError::into_inner), next);
    if let Some(before) = before {
        before.abort();
    }
}

impl Socket {
    /// The next connection; `None` once the socket does not listen any longer.
    async fn accept(&self) -> Option<io::Result<(TcpStream, SocketAddr)>> {
        poll_fn(|context| match &*self.lock() {
            Place::Open(listener) => listener.poll_accept(context).map(Some),
            Place::Refusing(_) | Place::Closed => Poll::Ready(None),
        })
        .await
    }

    fn put(&self, place: Place) {
        // What was there is closed without the lock.
        let before = std::mem::replace(&mut *self.lock(), place);
        drop(before);
    }

    fn take(&self) -> Place {
        std::mem::replace(&mut *self.lock(), Place::Closed)
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(socket: Arc<Socket>, service: Service) {
    while let Some(accepted) = socket.accept().await {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(node = %service.node, %error, "cannot accept a connection");
                tokio::time::sleep(BACK_OFF).await;
                continue;
            }
        };
        // Answers are written whole; there is nothing to gather by waiting. A connection that is already gone shows soon.
        drop(stream.set_nodelay(true));
        serve_connection(stream, peer, &service);
    }
}

/// Serves a connection that has come in, on the present runtime.
pub(super) fn serve_connection<S>(stream: S, peer: SocketAddr, service: &Service)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Service { node, engine, registry, recycler, line } = service;
    let stream = Line::new(stream, Arc::clone(line), Arc::clone(engine));
    let registration = registry.register(*node, engine.now(), engine.change_bell());
    let id = registration.id;
    let connection = Connection::new(stream, *node, peer, Arc::clone(engine), registration, Arc::clone(recycler));
    registry.runs_as(id, tokio::spawn(connection.run()).abort_handle());
}
