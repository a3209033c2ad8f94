//! One accept loop per node.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::AbortHandle;

use super::connection::Connection;
use super::recycler::Recycler;
use super::registry::Registry;
use crate::engine::Engine;
use crate::error::StartError;
use crate::types::NodeId;

/// Connections that the kernel may hold before they are accepted.
const BACKLOG: u32 = 1024;

/// How long to leave the kernel alone when it has no file descriptor left.
const BACK_OFF: Duration = Duration::from_millis(50);

/// A port that is ours, before anybody is served on it.
#[derive(Debug)]
pub(crate) struct Port {
    listener: TcpListener,
    address: SocketAddr,
}

/// A node's listener at work.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Arc<Socket>,
    task: AbortHandle,
}

/// The listening socket, where both the accept loop and the owner can reach it: it is closed the moment it is taken out.
#[derive(Debug)]
struct Socket(Mutex<Option<TcpListener>>);

impl Port {
    /// Listens on `address`; port 0 takes a free one. Nobody is answered yet.
    pub(crate) fn bind(address: SocketAddr) -> Result<Self, StartError> {
        let bind = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            // A port whose last connections are still in TIME_WAIT is free.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let listener = socket.listen(BACKLOG)?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        bind().map_err(|source| StartError::Bind { address, source })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `node` on this port, on the runtime that this is called from.
    pub(crate) fn serve(
        self,
        node: NodeId,
        engine: Arc<Engine>,
        registry: Arc<Registry>,
        recycler: Arc<Recycler>,
    ) -> Listener {
        let socket = Arc::new(Socket(Mutex::new(Some(self.listener))));
        let accepting = accept(Arc::clone(&socket), node, engine, registry, recycler);
        Listener { socket, task: tokio::spawn(accepting).abort_handle() }
    }
}

impl Listener {
    /// Frees the port.
    pub(crate) fn close(&self) {
        self.socket.close();
        self.task.abort();
    }
}

impl Socket {
    /// The next connection; `None` once the socket is closed.
    async fn accept(&self) -> Option<io::Result<(TcpStream, SocketAddr)>> {
        poll_fn(|context| match self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            None => Poll::Ready(None),
            Some(listener) => listener.poll_accept(context).map(Some),
        })
        .await
    }

    fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

async fn accept(
    socket: Arc<Socket>,
    node: NodeId,
    engine: Arc<Engine>,
    registry: Arc<Registry>,
    recycler: Arc<Recycler>,
) {
    while let Some(accepted) = socket.accept().await {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%node, %error, "cannot accept a connection");
                tokio::time::sleep(BACK_OFF).await;
                continue;
            }
        };
        // Answers are written whole; there is nothing to gather by waiting. A connection that is already gone shows soon.
        drop(stream.set_nodelay(true));
        let registration = registry.register(node, engine.now());
        let id = registration.id;
        let connection =
            Connection::new(stream, node, peer.ip(), Arc::clone(&engine), registration, Arc::clone(&recycler));
        registry.runs_as(id, tokio::spawn(connection.run()).abort_handle());
    }
}
