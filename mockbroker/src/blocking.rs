//! A cluster for code without tokio: blocking clients, tests of other runtimes, foreign function interfaces.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::builder::MockBrokerBuilder;
use crate::control::Node;
use crate::error::StartError;
use crate::fault::{FaultBuilder, GateBuilder, HeldLoading, HeldMarkers, Scope};
use crate::journal::Journal;
use crate::types::NodeId;

/// As [`crate::MockBroker`], on a thread with a runtime of its own. Dropping it ends both.
///
/// ```
/// let broker = mockbroker::blocking::MockBroker::start();
/// println!("bootstrap.servers={}", broker.bootstrap_servers());
/// ```
#[derive(Debug)]
pub struct MockBroker {
    broker: Option<crate::MockBroker>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    runtime: Handle,
}

impl MockBroker {
    /// Starts a cluster of one node on a free port of 127.0.0.1.
    ///
    /// # Panics
    ///
    /// With the text of the [`StartError`].
    pub fn start() -> Self {
        Self::from_builder(crate::MockBroker::builder())
            .unwrap_or_else(|error| panic!("MockBroker did not start: {error}"))
    }

    /// Starts the cluster that `builder` describes.
    ///
    /// # Errors
    ///
    /// A port that is taken, a setting without meaning.
    pub fn from_builder(builder: MockBrokerBuilder) -> Result<Self, StartError> {
        let (started, start) = mpsc::sync_channel(1);
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("mockbroker".into())
            .spawn(move || serve(builder, &started, stopped))
            .map_err(|error| StartError::Setting(format!("cannot start a thread: {error}")))?;
        let (broker, runtime) = start.recv().expect("the thread says how it went before it ends")?;
        Ok(Self { broker: Some(broker), stop: Some(stop), thread: Some(thread), runtime })
    }

    /// `host:port` of every node, joined by commas.
    pub fn bootstrap_servers(&self) -> &str {
        self.broker().bootstrap_servers()
    }

    /// The same cluster as async code holds it: for all that is not here.
    pub fn handle(&self) -> &crate::MockBroker {
        self.broker()
    }

    /// Waits for what the cluster is to become, on this thread.
    ///
    /// ```
    /// let broker = mockbroker::blocking::MockBroker::start();
    /// broker.wait(broker.handle().wait_connections(0));
    /// ```
    pub fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(what)
    }

    /// See [`crate::MockBroker::journal`].
    pub fn journal(&self) -> Journal {
        self.broker().journal()
    }

    /// See [`crate::MockBroker::report`].
    pub fn report(&self) -> String {
        self.broker().report()
    }

    /// See [`crate::MockBroker::fault`].
    pub fn fault(&self, scope: Scope) -> FaultBuilder {
        self.broker().fault(scope)
    }

    /// See [`crate::MockBroker::pause_next`].
    pub fn pause_next(&self, scope: Scope) -> GateBuilder {
        self.broker().pause_next(scope)
    }

    /// See [`crate::MockBroker::hold_markers`].
    pub fn hold_markers(&self) -> HeldMarkers {
        self.broker().hold_markers()
    }

    /// See [`crate::MockBroker::hold_loading`].
    pub fn hold_loading(&self) -> HeldLoading {
        self.broker().hold_loading()
    }

    /// See [`crate::MockBroker::advance`]: returns when what fell due is with its clients.
    ///
    /// # Panics
    ///
    /// If the cluster lives by the real clock.
    pub fn advance(&self, length: Duration) {
        let advance = self.broker().advance(length);
        // On the thread that has the sockets.
        let (tell, told) = mpsc::channel();
        self.runtime.spawn(async move {
            advance.await;
            tell.send(())
        });
        told.recv().expect("it became quiet; if not, its report is on stderr");
    }

    /// See [`crate::MockBroker::node`].
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn node(&self, id: impl Into<NodeId>) -> Node {
        self.broker().node(id)
    }

    /// See [`crate::MockBroker::assert_healthy`].
    pub fn assert_healthy(&self) {
        self.broker().assert_healthy();
    }

    fn broker(&self) -> &crate::MockBroker {
        self.broker.as_ref().expect("there until this is dropped")
    }
}

impl Drop for MockBroker {
    fn drop(&mut self) {
        self.broker.take();
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread has nothing left to do; if it panicked, its message is on stderr.
            drop(thread.join());
        }
    }
}

fn serve(
    builder: MockBrokerBuilder,
    started: &mpsc::SyncSender<Result<(crate::MockBroker, Handle), StartError>>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = StartError::Setting(format!("cannot start a runtime: {error}"));
            return drop(started.send(Err(error)));
        }
    };
    runtime.block_on(async {
        let broker = builder.try_start().await;
        if started.send(broker.map(|broker| (broker, Handle::current()))).is_ok() {
            // Ends with an error when the handle drops its sender: that is the signal.
            drop(stopped.await);
        }
    });
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_blocking_broker_serves_until_it_is_dropped() {
        let broker = MockBroker::start();
        let address = broker.bootstrap_servers().to_owned();
        TcpStream::connect(&address).expect("it listens");
        drop(broker);
        TcpStream::connect(&address).expect_err("its port is free");
    }

    #[test]
    fn a_bad_setting_is_an_error_and_leaves_no_thread() {
        let builder = crate::MockBroker::builder().config("num.partitions", "many");
        let error = MockBroker::from_builder(builder).expect_err("refused");
        assert!(error.to_string().contains("num.partitions"), "{error}");
    }
}
