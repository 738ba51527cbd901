//! State of a system and roles of its banks.

use crate::events::EventLog;
use crate::ledger::Ledger;
use crate::payment::Decision;
use crate::policy::{Player, ScriptedPolicy, scripted};
use crate::rng::{Purpose, Stream, stream};
use crate::system_setup::SystemSetup;
use crate::units::{BankId, Cents, PaymentId, Tick, bank_at};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A running copy of a scenario.
///
/// A tick has two halves: [`System::begin_tick`] ends before the decisions, [`System::finish_tick`] executes them. To
/// set pool commitments too, stop after [`System::begin_day`] and continue with [`System::finish_opening`].
pub struct System {
    /// Compiled scenario.
    pub setup: Arc<SystemSetup>,
    /// Banks and payments.
    pub ledger: Ledger,
    pub(super) roles: Arc<Roles>,
    pub(super) players: Vec<Arc<dyn Player<Self>>>,
    pub(super) demand_streams: Vec<Stream>,
    pub(super) policy_streams: Vec<Stream>,
    pub(super) index_buffer: Vec<u32>,
    pub(super) progress: Progress,
}

/// Position of a system in its episode.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Progress {
    pub(super) seed: u64,
    pub(super) episode: u64,
    pub(super) stage: Stage,
    /// Day, from 0.
    pub(super) day: u32,
    /// Number of orders that arrived in this tick.
    pub(super) arrivals: u32,
    /// Id of the first payment that was sampled in this tick; `None` between ticks.
    pub(super) first_sampled: Option<PaymentId>,
    /// Index of the next initial transaction.
    pub(super) next_scheduled_order: u32,
    /// Index of the next scheduled event.
    pub(super) next_scheduled_event: u32,
    /// Index of the next of today's replayed payments.
    pub(super) next_replayed_order: u32,
    /// Whether this tick ends the day early.
    pub(super) closes_early: bool,
    /// Net money that rules moved into the system.
    pub(super) external: Cents,
}

/// Next phase of a system.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Stage {
    /// Opening of a day.
    #[default]
    BeforeDay,
    /// Commitment of the pools.
    Opening,
    /// Start of a tick.
    BeforeTick,
    /// Decisions and rest of the tick.
    InTick,
}

impl System {
    /// Creates a system at the start of episode 0 of the scenario's seed.
    ///
    /// `players` replace the policies of their banks, unless these are learners.
    pub fn new(
        setup: Arc<SystemSetup>,
        roles: Arc<Roles>,
        players: Vec<Arc<dyn Player<Self>>>,
        events: EventLog,
    ) -> Self {
        let (seed, count) = (setup.seed, setup.banks.len());
        let mut system = Self {
            ledger: Ledger::new(Arc::clone(&setup), events),
            roles,
            players,
            demand_streams: Vec::with_capacity(count),
            policy_streams: Vec::with_capacity(count),
            index_buffer: Vec::new(),
            progress: Progress::default(),
            setup,
        };
        system.reset(seed, 0);
        system
    }

    /// Resets to the start of an episode; (seed, episode) determines the demand.
    pub fn reset(&mut self, seed: u64, episode: u64) {
        self.progress = Progress { seed, episode, ..Progress::default() };
        self.ledger.now = Tick(0);
        self.ledger.next_id = PaymentId::FIRST;
        self.demand_streams.clear();
        self.policy_streams.clear();
        let (count, rails) = (self.ledger.banks.len(), self.setup.rails.len());
        for (index, bank) in self.ledger.banks.iter_mut().enumerate() {
            let setup = &self.setup.banks[index];
            let is_tracked = self.roles.observed[index] || !setup.limits.bilateral.is_empty();
            bank.open_episode(setup, rails, if is_tracked { count } else { 0 });
            let id = bank_at(index);
            self.demand_streams.push(stream(seed, episode, id, Purpose::Demand));
            self.policy_streams.push(stream(seed, episode, id, Purpose::Policy));
        }
    }

    /// Random stream of a bank's policy.
    pub(crate) fn policy_stream(&mut self, bank: BankId) -> &mut Stream {
        &mut self.policy_streams[bank.index()]
    }

    /// A learner's decisions about its internal queue, by payment; cleared by the tick.
    pub fn decisions_mut(&mut self, bank: BankId) -> &mut Vec<Decision> {
        &mut self.ledger.banks[bank.index()].decisions
    }

    /// Whether the episode is over.
    pub fn is_over(&self) -> bool {
        self.ledger.now.0 >= self.setup.episode_ticks
    }

    /// Whether the next phase commits the pools.
    pub fn is_opening(&self) -> bool {
        self.progress.stage == Stage::Opening
    }

    /// Current day, from 0; after the episode, its last day.
    pub fn day(&self) -> u32 {
        self.progress.day.min(self.setup.num_days - 1)
    }

    /// Current seed and episode.
    pub fn seed_and_episode(&self) -> (u64, u64) {
        (self.progress.seed, self.progress.episode)
    }

    /// Net money that entered the system from outside.
    ///
    /// By pools, transfers, overnight loans and the overnight reset.
    pub fn external_money(&self) -> Cents {
        self.progress.external
    }

    /// Tick of the day, from 0.
    pub fn tick_of_day(&self) -> u32 {
        self.ledger.now.0 - self.day_start().0
    }

    /// First tick of the day.
    pub(crate) fn day_start(&self) -> Tick {
        Tick(self.progress.day * self.setup.ticks_per_day)
    }

    pub(super) fn is_last_tick_of_day(&self) -> bool {
        self.progress.closes_early || self.tick_of_day() + 1 == self.setup.ticks_per_day
    }
}

/// Roles of the banks; every field by bank.
pub struct Roles {
    /// Whether decisions about its payments come from outside.
    pub(super) learners: Vec<bool>,
    /// Whether observations of it are written.
    pub(super) observed: Vec<bool>,
    /// Its policy, used unless it is a learner.
    pub(super) policies: Vec<Box<dyn ScriptedPolicy>>,
}

impl Roles {
    /// Assigns the roles and compiles the policies.
    pub fn new(setup: &SystemSetup, observed: &[BankId], learners: &[BankId]) -> Self {
        let flags = |chosen: &[BankId]| (0..setup.banks.len()).map(|bank| chosen.contains(&bank_at(bank))).collect();
        Self {
            learners: flags(learners),
            observed: flags(observed),
            policies: setup.banks.iter().map(|bank| scripted(&bank.policy)).collect(),
        }
    }
}
