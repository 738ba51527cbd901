//! One running copy of a scenario, and the tick that drives it.

mod begin;
mod day;
mod record;
mod saved;

pub(crate) use saved::is_marked;

pub use saved::RestoreError;

use crate::bank::Bank;
use crate::costs::{COMPONENTS, Component, Costs};
use crate::decision::seat::{Seat, SeatRoom};
use crate::error::TickError;
use crate::events::{Event, EventLog};
use crate::ledger::Ledger;
use crate::payment::Decision;
use crate::policy::{Desk, ScriptedPolicy};
use crate::rng::{Purpose, Stream, stream};
use crate::scenario::EndOfDay;
use crate::settlement::settle;
use crate::setup::{Settlement, Setup};
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
    pub setup: Arc<Setup>,
    /// Banks and payments.
    pub ledger: Ledger,
    roles: Arc<Roles>,
    /// The banks that networks play, and room for that.
    seats: Vec<Arc<Seat>>,
    seat_room: SeatRoom,
    demand_streams: Vec<Stream>,
    policy_streams: Vec<Stream>,
    places: Vec<u32>,
    progress: Progress,
}

/// What the banks of a system are to those outside; by bank.
#[derive(Debug)]
pub struct Roles {
    /// Whether its payments are decided about from outside.
    learners: Vec<bool>,
    /// Whether somebody looks at it as a learner would.
    observed: Vec<bool>,
}

impl Roles {
    /// Somebody outside looks at the banks `observed` and decides about the payments of `learners`.
    #[must_use]
    pub fn new(setup: &Setup, observed: &[BankId], learners: &[BankId]) -> Self {
        let seated: Vec<BankId> = setup.seats.iter().map(|seat| seat.bank).collect();
        let flags = |holds: &dyn Fn(BankId) -> bool| (0..setup.banks.len()).map(bank_at).map(holds).collect();
        Self {
            learners: flags(&|bank| learners.contains(&bank)),
            observed: flags(&|bank| observed.contains(&bank) || seated.contains(&bank)),
        }
    }
}

/// How far a system has come.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Progress {
    seed: u64,
    episode: u64,
    stage: Stage,
    /// The day, from 0.
    day: u32,
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
        let roles = Arc::new(Roles::new(&setup, learners, learners));
        Self::with_roles(setup, roles, events)
    }

    /// The same, where the banks have these roles.
    #[must_use]
    pub fn with_roles(setup: Arc<Setup>, roles: Arc<Roles>, events: EventLog) -> Self {
        let (seed, count) = (setup.seed, setup.banks.len());
        let mut system = Self {
            ledger: Ledger::new(Arc::clone(&setup), events),
            roles,
            seats: setup.seats.clone(),
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
        self.begin_tick()?;
        let (tick, arrivals, value) = (self.ledger.now, self.progress.arrivals, self.settled_value());
        let (settlements, dropped) = self.play_tick()?;
        let banks = &self.ledger.banks;
        Ok(TickOutcome {
            tick,
            arrivals,
            settlements,
            dropped,
            queue_depth: self.ledger.num_unsettled(),
            settled_value: self.settled_value() - value,
            costs: std::array::from_fn(|component| banks.iter().map(|bank| bank.tick_costs[component]).sum()),
        })
    }

    /// The same without the account of it; returns how many payments settled and how many were dropped.
    pub(crate) fn play_tick(&mut self) -> Result<(u32, u32), TickError> {
        self.begin_tick()?;
        self.decide();
        self.release();
        let settled = self.settle();
        self.charge_collateral()?;
        self.land_receipts();
        self.accrue()?;
        let (settled_at_close, dropped) = if self.is_last_tick_of_day() { self.end_day()? } else { (0, 0) };
        self.record_costs();
        self.ledger.banks.iter_mut().for_each(Bank::close_tick);
        self.progress.arrivals = 0;
        self.advance();
        Ok((settled + settled_at_close, dropped))
    }

    fn open_tick(&mut self) {
        let now = self.ledger.now;
        self.ledger.events.record(|| Event::Tick { tick: now });
        self.record_urgency();
        for bank in &mut self.ledger.banks {
            bank.open_tick();
            if let Some(escalation) = self.setup.escalation {
                bank.escalate(escalation, now);
            }
        }
    }

    /// Scripted banks and networks decide; learners have decided already.
    fn decide(&mut self) {
        self.decide_by_rule();
        self.play_seats(|system, seat| !system.roles.learners[seat.bank.index()]);
    }

    fn decide_by_rule(&mut self) {
        let Self { setup, ledger, roles, policy_streams, places, .. } = self;
        for (index, bank) in setup.banks.iter().enumerate() {
            if roles.learners[index] || ledger.banks[index].internal.is_empty() {
                continue;
            }
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
        let settled = std::mem::take(&mut self.ledger.settled_at_once) + settle(&mut self.ledger);
        self.record_waiting();
        settled
    }

    /// Deferred net rails end a cycle every so many ticks of the day, and at its close.
    fn end_cycles(&mut self) {
        for (index, rail) in self.setup.rails.iter().enumerate() {
            let Settlement::DeferredNet { cycle_ticks } = rail.settlement else { continue };
            if self.is_last_tick_of_day() || (self.tick_of_day() + 1).is_multiple_of(cycle_ticks) {
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
        let is_lent_without_delay = self.is_lent_without_delay();
        for index in 0..self.ledger.banks.len() {
            let bank = &mut self.ledger.banks[index];
            bank.note_liquidity_use();
            let delay = if is_lent_without_delay { 0 } else { bank.delay_charge };
            let charges =
                [(Component::Overdraft, self.setup.prices.overdraft(bank.balance)), (Component::Delay, delay)];
            for (component, charge) in charges {
                bank.accrue(component, charge)
                    .map_err(|component| overflow(&self.setup, index, component, self.ledger.now))?;
            }
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
        for index in 0..self.ledger.banks.len() {
            let bank = &mut self.ledger.banks[index];
            let amount = charge(&self.setup, bank, index);
            bank.accrue(component, amount)
                .map_err(|component| overflow(&self.setup, index, component, self.ledger.now))?;
        }
        Ok(())
    }

    /// On to the next tick; after a day's last one, to the next day's first.
    fn advance(&mut self) {
        if self.is_last_tick_of_day() {
            self.progress.day += 1;
            self.ledger.now = self.morning();
            self.progress.stage = Stage::Night;
        } else {
            self.ledger.now = Tick(self.ledger.now.0 + 1);
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
        self.ledger.now.0 - self.morning().0
    }

    /// The first tick of the day.
    pub(crate) fn morning(&self) -> Tick {
        Tick(self.progress.day * self.setup.ticks_per_day)
    }

    fn is_last_tick_of_day(&self) -> bool {
        self.progress.closes_early || self.tick_of_day() + 1 == self.setup.ticks_per_day
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

fn overflow(setup: &Setup, bank: usize, component: &'static str, now: Tick) -> TickError {
    TickError::CostOverflow { bank: setup.banks[bank].id.clone(), component, tick: now.0 }
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
    }
}

/// All of a bank's costs, with their names.
pub fn named_costs(costs: &Costs) -> impl Iterator<Item = (&'static str, i64)> + '_ {
    COMPONENTS.iter().zip(costs).map(|(name, cost)| (*name, cost.0))
}
