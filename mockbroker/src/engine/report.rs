//! The report: what a failed test prints.

use std::sync::atomic::Ordering;

use super::Engine;
use super::unhelpful::Unhelpful;
use crate::inspect;

impl Engine {
    /// The state of the cluster, what is mounted, and the last requests.
    pub(crate) fn report_text(&self) -> String {
        let now = self.now();
        let (seed, panics, parked) = (self.read(|state| state.ids.seed()), self.panics(), self.parked());
        let shared = self.look();
        let faults: Vec<String> =
            shared.unhelpful.iter().map(Unhelpful::describe).chain(shared.faults.describe()).collect();
        drop(shared);
        let head = format!(
            "mockbroker, seed {seed}, {} ms after its start by its {} clock, {parked} requests wait for data\n",
            now.since(self.started).as_millis(),
            if self.is_manual() { "manual" } else { "real" },
        );
        let panics =
            if panics == 0 { String::new() } else { format!("{panics} handlers panicked: a bug of mockbroker\n") };
        let state = self.read(inspect::text);
        let part = |name: &str, lines: Vec<String>| {
            let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
            format!("{name}:\n{lines}")
        };
        let connections = part("connections", self.known_connections());
        let requests = part("last requests", self.last_requests());
        format!("{head}{panics}{state}{}{connections}{requests}", part("faults and gates", faults))
    }

    /// The report, and that it has been printed.
    pub(super) fn report_once(&self) -> String {
        self.is_reported.store(true, Ordering::Relaxed);
        self.report_text()
    }

    /// The report, if it has not been printed yet.
    pub(crate) fn report_if_new(&self) -> Option<String> {
        (!self.is_reported.swap(true, Ordering::Relaxed)).then(|| self.report_text())
    }
}
