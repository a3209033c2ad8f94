//! The public face of faults: mounting them, guards that verify that they fired, gates.

use std::fmt;
use std::sync::Arc;

use super::rule::{Fault, Fuse, Rule, Stage, What};
use super::scope::Scope;
use crate::wait::{Watched, within_patience};

/// Where rules are mounted: the engine.
pub(crate) trait Home: Watched {
    /// Adds a rule.
    fn mount(&self, rule: Arc<Rule>);
    /// Takes it away.
    fn unmount(&self, rule: &Arc<Rule>);
}

/// A fault that needs to be told when it happens. Made by `MockBroker::fault`.
#[must_use = "nothing goes wrong until it is mounted"]
pub struct FaultBuilder {
    home: Arc<dyn Home>,
    scope: Scope,
}

/// A fault that needs only to be mounted.
#[must_use = "nothing goes wrong until it is mounted: call `mount()`"]
pub struct Mount {
    home: Arc<dyn Home>,
    scope: Scope,
    stage: Stage,
    fault: Fault,
    name: Option<String>,
    must_fire: bool,
}

impl FaultBuilder {
    pub(crate) fn new(home: Arc<dyn Home>, scope: Scope) -> Self {
        Self { home, scope }
    }

    /// It happens before the broker has done anything of what is asked.
    ///
    /// # Panics
    ///
    /// If the fault is something that happens to an answer.
    pub fn before_apply(self, fault: Fault) -> Mount {
        assert!(!fault.needs_an_answer(), "{fault:?} happens to an answer: mount it with after_apply");
        self.at(Stage::BeforeApply, fault)
    }

    /// It happens when the broker has done what is asked, before it answers.
    pub fn after_apply(self, fault: Fault) -> Mount {
        self.at(Stage::AfterApply, fault)
    }

    fn at(self, stage: Stage, fault: Fault) -> Mount {
        Mount { home: self.home, scope: self.scope, stage, fault, name: None, must_fire: true }
    }
}

impl Mount {
    /// What it is called when it is reported. By default what it is.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The guard does not insist that it fired.
    pub fn maybe(mut self) -> Self {
        self.must_fire = false;
        self
    }

    /// From here on it happens, until the guard is dropped.
    pub fn mount(self) -> FaultGuard {
        let stage = match self.stage {
            Stage::BeforeApply => "before apply",
            Stage::AfterApply => "after apply",
        };
        let name = self.name.unwrap_or_else(|| format!("{:?} {stage}", self.fault));
        let rule = Rule::new(name, self.scope, self.stage, What::Fault(self.fault));
        self.home.mount(Arc::clone(&rule));
        FaultGuard { home: self.home, rule, must_fire: self.must_fire }
    }
}

/// A fault that is mounted for as long as this lives.
///
/// # Panics
///
/// When it is dropped and the fault never fired, unless [`Mount::maybe`] was said or the thread panics already: a test
/// whose fault missed proves nothing.
#[must_use = "the fault is gone when its guard is dropped"]
pub struct FaultGuard {
    home: Arc<dyn Home>,
    rule: Arc<Rule>,
    must_fire: bool,
}

impl FaultGuard {
    /// How many requests it has happened to.
    pub fn hits(&self) -> u64 {
        self.rule.hits()
    }

    /// Returns when it has happened to `count` requests. Safe to drop.
    ///
    /// # Panics
    ///
    /// If that takes longer than the broker's patience: with its report.
    pub async fn wait(&self, count: u64) {
        let what = format!("the fault {:?} on {:?} to fire {count} times", self.rule.name(), self.rule.scope());
        within_patience(&*self.home, &what, self.rule.wait(count)).await;
    }
}

/// For whoever holds guards on behalf of somebody else.
#[cfg(feature = "control")]
impl FaultGuard {
    /// What is mounted.
    pub(crate) fn rule(&self) -> &Arc<Rule> {
        &self.rule
    }

    /// The same, which does not insist that it fires.
    pub(crate) fn tolerant(mut self) -> Self {
        self.must_fire = false;
        self
    }
}

impl Drop for FaultGuard {
    fn drop(&mut self) {
        self.home.unmount(&self.rule);
        if self.must_fire && self.hits() == 0 && !std::thread::panicking() {
            panic!("{}", self.rule.missed());
        }
    }
}

impl fmt::Debug for FaultGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultGuard")
            .field("name", &self.rule.name())
            .field("hits", &self.hits())
            .finish_non_exhaustive()
    }
}

/// A gate that needs to be told where it stands. Made by `MockBroker::pause_next`.
#[must_use = "nothing waits until it is said where"]
pub struct GateBuilder {
    home: Arc<dyn Home>,
    scope: Scope,
    name: Option<String>,
    every: bool,
}

impl GateBuilder {
    pub(crate) fn new(home: Arc<dyn Home>, scope: Scope) -> Self {
        Self { home, scope, name: None, every: false }
    }

    /// Not only the next request waits, but every one of the scope until the gate is released.
    pub fn every(mut self) -> Self {
        self.every = true;
        self
    }

    /// The request waits before the broker has done anything of it.
    pub fn before_apply(self) -> Gate {
        self.at(Stage::BeforeApply)
    }

    /// What was asked is done, the answer waits.
    pub fn after_apply(self) -> Gate {
        self.at(Stage::AfterApply)
    }

    /// What it is called when it is reported. By default `a gate`.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    fn at(mut self, stage: Stage) -> Gate {
        if !self.every {
            self.scope.times = Some(1);
        }
        let fuse = Fuse::new();
        let name = self.name.unwrap_or_else(|| "a gate".to_owned());
        let rule = Rule::new(name, self.scope, stage, What::Gate(fuse.clone()));
        self.home.mount(Arc::clone(&rule));
        Gate { home: self.home, rule, fuse }
    }
}

/// One request is held here until the test lets it go. Dropping the gate lets it go, too.
#[must_use = "dropping a gate opens it"]
pub struct Gate {
    home: Arc<dyn Home>,
    rule: Arc<Rule>,
    fuse: Fuse,
}

impl Gate {
    /// Returns when a request has come to the gate. Safe to drop.
    ///
    /// # Panics
    ///
    /// If none comes within the broker's patience: with its report.
    pub async fn entered(&self) {
        let what = format!("a request at {:?} on {:?}", self.rule.name(), self.rule.scope());
        within_patience(&*self.home, &what, self.fuse.entered()).await;
    }

    /// Lets the request go on.
    pub fn release(self) {
        drop(self);
    }
}

#[cfg(feature = "control")]
impl Gate {
    /// What is mounted: it is hit when a request comes to the gate.
    pub(crate) fn rule(&self) -> &Arc<Rule> {
        &self.rule
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.home.unmount(&self.rule);
        self.fuse.open();
    }
}

macro_rules! opaque {
    ($($name:ident)*) => { $(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )* };
}

opaque! { FaultBuilder Mount GateBuilder Gate }
