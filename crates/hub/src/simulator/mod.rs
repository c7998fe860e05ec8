//! A hub over a log that loses its power, with thousands of subscribers of which some are slow and all
//! come back; driven by one seed, without a socket and without a wall clock, and checked after each
//! step against a plain model. For whoever changes the hub or writes a log for it.
//!
//! * `world` is the log on a disk that crashes, the clocks, and the hub's own parts over it.
//! * `client` is a subscriber as stock EventSource is one, and what it was told.
//! * `model` says what should be, and is much simpler than what it checks.

mod client;
mod model;
mod run;
mod world;

use std::fmt;

pub use self::run::simulate;
pub use crate::mutation::Mutation as HubMutation;

/// What to simulate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Everything that happens follows from this.
    pub seed: u64,
    /// Steps of the world; each may step many subscribers.
    pub steps: usize,
    /// At most so many subscribers.
    pub subscribers: usize,
    /// Where the events are kept.
    pub kind: Kind,
    /// A mistake for the hub to make.
    pub hub: Option<HubMutation>,
    /// A mistake for the log to make.
    pub log: Option<eventwall_log::simulator::Mutation>,
}

/// Kinds of log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In memory: it never stops.
    Memory,
    /// On a disk that may lose its power; every acknowledged event is durable.
    Disk,
    /// The same, but what is not synced may be lost, and those who have seen it are told.
    Unsynced,
}

impl Plan {
    /// A plan that is done in well under a second.
    #[must_use]
    pub fn small(seed: u64, kind: Kind) -> Self {
        Self { seed, steps: 300, subscribers: 8, kind, hub: None, log: None }
    }
}

/// What happened, so that whoever runs many can see that all of it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Report {
    pub published: usize,
    pub delivered: usize,
    pub resumes: usize,
    pub gaps: usize,
    pub erased: usize,
    pub repeats: usize,
    pub crashes: usize,
    pub crashes_while_publishing: usize,
    pub crashes_while_erasing: usize,
    pub crashes_while_compacting: usize,
    pub crashes_while_opening: usize,
    pub restarts: usize,
    pub restores: usize,
    pub clock_jumps: usize,
    pub lines_cut: usize,
    pub woken: usize,
}

impl std::ops::AddAssign for Report {
    fn add_assign(&mut self, more: Self) {
        self.published += more.published;
        self.delivered += more.delivered;
        self.resumes += more.resumes;
        self.gaps += more.gaps;
        self.erased += more.erased;
        self.repeats += more.repeats;
        self.crashes += more.crashes;
        self.crashes_while_publishing += more.crashes_while_publishing;
        self.crashes_while_erasing += more.crashes_while_erasing;
        self.crashes_while_compacting += more.crashes_while_compacting;
        self.crashes_while_opening += more.crashes_while_opening;
        self.restarts += more.restarts;
        self.restores += more.restores;
        self.clock_jumps += more.clock_jumps;
        self.lines_cut += more.lines_cut;
        self.woken += more.woken;
    }
}

/// What went wrong, and how to see it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What was simulated.
    pub plan: Plan,
    /// At which of its steps it was noticed.
    pub step: usize,
    /// What is not as it should be.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { seed, steps, subscribers, kind, .. } = self.plan;
        write!(f, "step {} of {steps}: {}", self.step, self.what)?;
        write!(f, "\nagain: cargo xtask simulate --seed {seed} --steps {steps}")?;
        write!(f, " --subscribers {subscribers} --kind {}", format!("{kind:?}").to_lowercase())
    }
}

impl std::error::Error for Failure {}
