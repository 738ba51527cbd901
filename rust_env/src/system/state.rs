//! The state of a system and how far it has come.

use super::roles::Roles;
use crate::events::EventLog;
use crate::ledger::Ledger;
use crate::payment::Decision;
use crate::policy::Player;
use crate::rng::{Purpose, Stream, stream};
use crate::system_setup::SystemSetup;
use crate::units::{BankId, Cents, PaymentId, Tick, bank_at};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One running copy of a scenario.
///
/// A tick has two halves, so that somebody outside can decide between them: [`System::begin_tick`]
/// plays what happens before the decisions, [`System::finish_tick`] what happens after. Who wants to
/// decide about the pools as well stops at [`System::begin_day`] and goes on with
/// [`System::finish_opening`].
pub struct System {
    /// What defines it.
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

/// How far a system has come.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Progress {
    pub(super) seed: u64,
    pub(super) episode: u64,
    pub(super) stage: Stage,
    /// The day, from 0.
    pub(super) day: u32,
    /// Orders that came in this tick.
    pub(super) arrivals: u32,
    /// Places in the schedule, in the timeline and among today's replayed payments.
    pub(super) next_scheduled_order: u32,
    pub(super) next_scheduled_event: u32,
    pub(super) next_replayed_order: u32,
    /// This tick ends the day before its time.
    pub(super) closes_early: bool,
    /// What has entered the system by a rule, less what has left.
    pub(super) external: Cents,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Stage {
    /// Open the day.
    #[default]
    BeforeDay,
    /// Commit the pools.
    Opening,
    /// Begin a tick.
    BeforeTick,
    /// Take decisions and finish the tick.
    InTick,
}

impl System {
    /// A system at the start of episode 0 of the scenario's own seed.
    ///
    /// `players` decide for their banks instead of the rule, unless these are learners.
    #[must_use]
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

    /// Back to the start of an episode; the same (seed, episode) brings the same demand.
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

    /// The dice of a bank's policy.
    pub(crate) fn policy_stream(&mut self, bank: BankId) -> &mut Stream {
        &mut self.policy_streams[bank.index()]
    }

    /// Decisions of a learner about its internal queue, payment by payment; cleared by the tick.
    pub fn decisions_mut(&mut self, bank: BankId) -> &mut Vec<Decision> {
        &mut self.ledger.banks[bank.index()].decisions
    }

    /// Whether the last day has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ledger.now.0 >= self.setup.episode_ticks
    }

    /// Whether a day has begun and its pools have yet to be committed.
    #[must_use]
    pub fn is_opening(&self) -> bool {
        self.progress.stage == Stage::Opening
    }

    /// The day that is being played, from 0; the last one even when it is over.
    #[must_use]
    pub fn day(&self) -> u32 {
        self.progress.day.min(self.setup.num_days - 1)
    }

    /// The seed and the episode that are being played.
    #[must_use]
    pub fn seed_and_episode(&self) -> (u64, u64) {
        (self.progress.seed, self.progress.episode)
    }

    /// What has entered the system by a rule (pools, transfers, overnight loans, overnight reset), less what has left.
    #[must_use]
    pub fn external_money(&self) -> Cents {
        self.progress.external
    }

    /// The tick of the day, from 0.
    #[must_use]
    pub fn tick_of_day(&self) -> u32 {
        self.ledger.now.0 - self.day_start().0
    }

    /// The first tick of the day.
    pub(crate) fn day_start(&self) -> Tick {
        Tick(self.progress.day * self.setup.ticks_per_day)
    }

    pub(super) fn is_last_tick_of_day(&self) -> bool {
        self.progress.closes_early || self.tick_of_day() + 1 == self.setup.ticks_per_day
    }
}
