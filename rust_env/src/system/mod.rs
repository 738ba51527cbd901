//! One running copy of a scenario, and the tick that drives it.

mod begin;
mod day;
mod record;
mod saved;

pub(crate) use saved::{fingerprint, is_marked};

pub use saved::RestoreError;

use crate::bank::Bank;
use crate::costs::{COMPONENTS, Component, Costs};
use crate::decision::seat::{Seat, SeatRoom};
use crate::error::TickError;
use crate::events::{Event, EventLog};
use crate::ledger::Ledger;
use crate::policy::{Decision, Desk, ScriptedPolicy};
use crate::rng::{Purpose, Stream, stream};
use crate::scenario::EndOfDay;
use crate::settlement::Settler;
use crate::setup::{Settlement, Setup};
use crate::units::{BankId, Cents, Tick, bank_at};
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
    pub setup: Arc<Setup>,
    /// Banks and payments.
    pub ledger: Ledger,
    settler: Settler,
    /// Banks whose payments are decided about from outside, and all whom somebody looks at as a learner would.
    learners: Vec<bool>,
    observed: Vec<bool>,
    /// The banks that networks play, and room for that.
    seats: Vec<Arc<Seat>>,
    seat_room: SeatRoom,
    demand_streams: Vec<Stream>,
    policy_streams: Vec<Stream>,
    places: Vec<u32>,
    progress: Progress,
}

/// How far a system has come.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Progress {
    seed: u64,
    episode: u64,
    stage: Stage,
    /// Orders that came in this tick.
    arrivals: u32,
    /// Places in the schedule, in the timeline and among today's replayed payments.
    next_scheduled: u32,
    next_happening: u32,
    next_replayed: u32,
    /// This tick ends the day before its time.
    closes_early: bool,
    /// What has entered the system by a rule, less what has left.
    external: Cents,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
enum Stage {
    /// Open the day.
    #[default]
    Night,
    /// Commit the pools.
    Opening,
    /// Begin a tick.
    Between,
    /// Take decisions and finish the tick.
    InTick,
}

/// What a tick did, all banks together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TickOutcome {
    /// The tick that was played.
    pub tick: Tick,
    /// Orders that came.
    pub arrivals: u32,
    /// Payments that settled.
    pub settlements: u32,
    /// Payments that were cancelled.
    pub dropped: u32,
    /// Payments still unsettled, in both kinds of queue.
    pub queue_depth: usize,
    /// Value that settled.
    pub settled_value: Cents,
    /// Costs of all banks.
    pub costs: Costs,
}

impl System {
    /// A system at the start of episode 0 of the scenario's own seed; `learners` decide from outside.
    #[must_use]
    pub fn new(setup: Arc<Setup>, learners: &[BankId], events: EventLog) -> Self {
        Self::observed(setup, learners, learners, events)
    }

    /// The same, where somebody outside looks at the banks `observed` and decides about the payments of `learners`.
    #[must_use]
    pub fn observed(setup: Arc<Setup>, observed: &[BankId], learners: &[BankId], events: EventLog) -> Self {
        let count = setup.banks.len();
        let seats = setup.seats.clone();
        let flags = |banks: &[BankId]| (0..count).map(|index| banks.contains(&bank_at(index))).collect();
        let seated = seats.iter().map(|seat| seat.bank);
        let observed: Vec<BankId> = observed.iter().copied().chain(seated).collect();
        let seed = setup.seed;
        let mut system = Self {
            ledger: Ledger::new(Arc::clone(&setup), events),
            settler: Settler::default(),
            learners: flags(learners),
            observed: flags(&observed),
            seats,
            seat_room: SeatRoom::default(),
            demand_streams: Vec::with_capacity(count),
            policy_streams: Vec::with_capacity(count),
            places: Vec::new(),
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
        self.ledger.book.clear();
        self.demand_streams.clear();
        self.policy_streams.clear();
        let (count, rails) = (self.ledger.banks.len(), self.setup.rails.len());
        for (index, bank) in self.ledger.banks.iter_mut().enumerate() {
            let setup = &self.setup.banks[index];
            let is_tracked = self.observed[index] || !setup.limits.bilateral.is_empty();
            bank.open_episode(setup, rails, if is_tracked { count } else { 0 });
            let id = bank_at(index);
            self.demand_streams.push(stream(seed, episode, id, Purpose::Demand));
            self.policy_streams.push(stream(seed, episode, id, Purpose::Policy));
        }
    }

    /// Plays a whole tick.
    ///
    /// # Errors
    /// [`TickError`] if the episode is over or a cost outgrows 64 bits.
    pub fn tick(&mut self) -> Result<TickOutcome, TickError> {
        self.begin_tick()?;
        self.finish_tick()
    }

    /// Plays what comes before the decisions, the opening of a day included; does nothing if that has been done.
    ///
    /// # Errors
    /// [`TickError`] if the episode is over or a cost outgrows 64 bits.
    pub fn begin_tick(&mut self) -> Result<(), TickError> {
        self.begin_day()?;
        if self.progress.stage == Stage::Opening {
            self.commit_pools()?;
        }
        if self.progress.stage == Stage::Between {
            self.open_tick();
            self.happen();
            self.arrive();
            self.progress.stage = Stage::InTick;
        }
        Ok(())
    }

    /// Plays what comes after the decisions, with those that [`System::decisions_mut`] now holds.
    ///
    /// # Errors
    /// [`TickError`] if the episode is over or a cost outgrows 64 bits.
    pub fn finish_tick(&mut self) -> Result<TickOutcome, TickError> {
        if self.progress.stage != Stage::InTick {
            self.begin_tick()?;
        }
        let settled_before = self.settled_value();
        self.decide();
        self.release();
        let settlements = self.settle();
        self.charge_collateral()?;
        self.land_receipts();
        self.accrue()?;
        let (settled_at_close, dropped) = if self.is_last_tick_of_day() { self.end_day()? } else { (0, 0) };
        Ok(self.close_tick(settlements + settled_at_close, dropped, settled_before))
    }

    fn open_tick(&mut self) {
        let now = self.ledger.now;
        self.ledger.events.record(|| Event::Tick { tick: now });
        self.record_urgency();
        let Ledger { banks, book, .. } = &mut self.ledger;
        for bank in banks {
            bank.open_tick(now);
            if let Some(escalation) = self.setup.escalation {
                bank.escalate(escalation, now, book);
            }
        }
    }

    /// Scripted banks and networks decide; learners have decided already.
    fn decide(&mut self) {
        self.decide_by_rule();
        self.play_seats(|system, seat| !system.learners[seat.bank.index()]);
    }

    fn decide_by_rule(&mut self) {
        let Self { setup, ledger, learners, policy_streams, places, .. } = self;
        for (index, bank) in setup.banks.iter().enumerate().filter(|(index, _)| !learners[*index]) {
            let mut decisions = std::mem::take(&mut ledger.banks[index].decisions);
            decisions.clear();
            bank.policy.decide(&mut desk(ledger, places, index), &mut policy_streams[index], &mut decisions);
            ledger.banks[index].decisions = decisions;
        }
    }

    /// Lets networks decide about what is to be decided now, in the seats of which `is_free` holds. A rule has
    /// decided about the payments in them, which is what stands where a network decides about its pool only.
    fn play_seats(&mut self, is_free: impl Fn(&Self, &Seat) -> bool) {
        if self.seats.is_empty() {
            return;
        }
        let (seats, mut room) = (std::mem::take(&mut self.seats), std::mem::take(&mut self.seat_room));
        for seat in &seats {
            if is_free(self, seat) {
                seat.play(self, &mut room);
            }
        }
        (self.seats, self.seat_room) = (seats, room);
    }

    /// The dice of a bank's policy.
    pub(crate) fn policy_stream(&mut self, bank: BankId) -> &mut Stream {
        &mut self.policy_streams[bank.index()]
    }

    /// Appends what a scripted policy would do now in the place of a bank.
    ///
    /// A policy that rolls dice takes them from the bank's own stream.
    pub fn consult(&mut self, bank: BankId, policy: &dyn ScriptedPolicy, decisions: &mut Vec<Decision>) {
        let Self { ledger, policy_streams, places, .. } = self;
        policy.decide(&mut desk(ledger, places, bank.index()), &mut policy_streams[bank.index()], decisions);
    }

    fn release(&mut self) {
        self.record_holds();
        for bank in 0..self.ledger.banks.len() {
            self.ledger.release(bank);
        }
    }

    fn settle(&mut self) -> u32 {
        self.end_cycles();
        let settled = std::mem::take(&mut self.ledger.settled_at_once) + self.settler.settle(&mut self.ledger);
        self.record_waiting();
        settled
    }

    /// Deferred net rails end a cycle every so many ticks of the day, and at its close.
    fn end_cycles(&mut self) {
        for (index, rail) in self.setup.rails.iter().enumerate() {
            let Settlement::DeferredNet { cycle_ticks } = rail.settlement else { continue };
            let tick = self.ledger.now.0 % self.setup.ticks_per_day + 1;
            if self.is_last_tick_of_day() || tick.is_multiple_of(cycle_ticks) {
                for bank in &mut self.ledger.banks {
                    bank.in_ended_cycle[index] = u32::try_from(bank.central[index].len()).unwrap_or(u32::MAX);
                }
            }
        }
    }

    /// Before deferred receipts land: they back no overdraft of this tick.
    fn charge_collateral(&mut self) -> Result<(), TickError> {
        if !self.setup.prices.has_collateral_price() {
            return Ok(());
        }
        self.accrue_each(Component::Collateral, |setup, bank, index| {
            setup.prices.collateral(bank, setup.banks[index].haircut)
        })
    }

    fn land_receipts(&mut self) {
        if self.setup.rails.iter().any(|rail| rail.deferred_crediting) {
            self.record_landing();
            self.ledger.banks.iter_mut().for_each(Bank::land);
        }
    }

    fn accrue(&mut self) -> Result<(), TickError> {
        self.accrue_each(Component::Overdraft, |setup, bank, _| setup.prices.overdraft(bank.balance))?;
        if !self.is_lent_without_delay() {
            self.accrue_each(Component::Delay, |_, bank, _| bank.delay_charge)?;
        }
        for index in 0..self.ledger.banks.len() {
            self.ledger.banks[index].note_liquidity_use();
            self.ledger.mark_overdue(index);
        }
        Ok(())
    }

    /// Charges every bank what `charge` says, in 10^-12 cents.
    fn accrue_each(
        &mut self,
        component: Component,
        charge: impl Fn(&Setup, &Bank, usize) -> i128,
    ) -> Result<(), TickError> {
        for (index, bank) in self.ledger.banks.iter_mut().enumerate() {
            let amount = charge(&self.setup, bank, index);
            if amount == 0 {
                continue;
            }
            bank.accrue(component, amount).map_err(|component| TickError::CostOverflow {
                bank: self.setup.banks[index].id.clone(),
                component,
                tick: self.ledger.now.0,
            })?;
        }
        Ok(())
    }

    fn close_tick(&mut self, settlements: u32, dropped: u32, settled_before: Cents) -> TickOutcome {
        let outcome = TickOutcome {
            tick: self.ledger.now,
            arrivals: self.progress.arrivals,
            settlements,
            dropped,
            queue_depth: self.ledger.book.len(),
            settled_value: self.settled_value() - settled_before,
            costs: self.close_books(),
        };
        self.progress.arrivals = 0;
        self.advance();
        outcome
    }

    /// Adds the costs of this step to the totals; returns their sum over all banks.
    fn close_books(&mut self) -> Costs {
        self.record_costs();
        let mut costs = Costs::default();
        for bank in &mut self.ledger.banks {
            bank.close_tick();
            for (total, cost) in costs.iter_mut().zip(bank.tick_costs) {
                *total += cost;
            }
        }
        costs
    }

    /// On to the next tick; after a day's last one, to the next day's first.
    fn advance(&mut self) {
        let (now, ticks_per_day) = (self.ledger.now.0, self.setup.ticks_per_day);
        if self.is_last_tick_of_day() {
            self.ledger.now = Tick(now - now % ticks_per_day + ticks_per_day);
            self.progress.stage = Stage::Night;
        } else {
            self.ledger.now = Tick(now + 1);
            self.progress.stage = Stage::Between;
        }
        self.progress.closes_early = false;
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
        (self.ledger.now.0 / self.setup.ticks_per_day).min(self.num_days() - 1)
    }

    /// Days of an episode.
    #[must_use]
    pub fn num_days(&self) -> u32 {
        self.setup.episode_ticks / self.setup.ticks_per_day
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

    fn is_last_tick_of_day(&self) -> bool {
        self.progress.closes_early || (self.ledger.now.0 + 1).is_multiple_of(self.setup.ticks_per_day)
    }

    /// Whether this tick's close lends what is unsettled, and the loan is all that this costs.
    fn is_lent_without_delay(&self) -> bool {
        let setup = &self.setup;
        !setup.prices.delay_at_close && setup.end_of_day == EndOfDay::Borrow && self.is_last_tick_of_day()
    }

    fn settled_value(&self) -> Cents {
        self.ledger.banks.iter().map(|bank| bank.statistics.settled_value).sum()
    }
}

fn desk<'a>(ledger: &'a Ledger, places: &'a mut Vec<u32>, index: usize) -> Desk<'a> {
    let bank = &ledger.banks[index];
    Desk {
        now: ledger.now,
        uncommitted_balance: bank.balance - bank.central_value,
        uncommitted_liquidity: bank.uncommitted_liquidity(),
        prices: &ledger.setup.prices,
        places,
        queue: &bank.internal,
        book: &ledger.book,
    }
}

/// All of a bank's costs, with their names.
pub fn named_costs(costs: &Costs) -> impl Iterator<Item = (&'static str, i64)> + '_ {
    COMPONENTS.iter().zip(costs).map(|(name, cost)| (*name, cost.0))
}
