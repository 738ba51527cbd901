//! One running copy of a scenario, and the tick that drives it.

use crate::bank::Bank;
use crate::costs::{COMPONENTS, Component, Costs};
use crate::error::TickError;
use crate::events::{Event, EventLog};
use crate::ledger::Ledger;
use crate::payment::{Book, Slot};
use crate::policy::{Decision, Desk, ScriptedPolicy};
use crate::rng::{Purpose, Stream, stream};
use crate::scenario::{EndOfDay, Overnight};
use crate::settlement::Gross;
use crate::setup::Setup;
use crate::units::{BankId, Cents, Tick, bank_at};
use std::sync::Arc;

/// One running copy of a scenario.
///
/// A tick has two halves, so that somebody outside can decide between them: [`System::begin_tick`]
/// plays what happens before the decisions, [`System::finish_tick`] what happens after.
pub struct System {
    /// What defines it.
    pub setup: Arc<Setup>,
    /// Banks and payments.
    pub ledger: Ledger,
    gross: Gross,
    learners: Vec<bool>,
    demand_streams: Vec<Stream>,
    policy_streams: Vec<Stream>,
    next_scheduled: usize,
    arrivals: u32,
    in_tick: bool,
    seed: u64,
    episode: u64,
    external: Cents,
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
        let count = setup.banks.len();
        let mut is_learner = vec![false; count];
        for learner in learners {
            is_learner[learner.index()] = true;
        }
        let seed = setup.seed;
        let banks = vec![Bank::default(); count];
        let ledger = Ledger {
            prices: Arc::clone(&setup.prices),
            queue_discipline: setup.queue_discipline,
            banks,
            book: Book::default(),
            events,
            now: Tick(0),
        };
        let mut system = Self {
            setup,
            ledger,
            gross: Gross::default(),
            learners: is_learner,
            demand_streams: Vec::with_capacity(count),
            policy_streams: Vec::with_capacity(count),
            next_scheduled: 0,
            arrivals: 0,
            in_tick: false,
            seed,
            episode: 0,
            external: Cents::ZERO,
        };
        system.reset(seed, 0);
        system
    }

    /// Back to the start of an episode; the same (seed, episode) brings the same demand.
    pub fn reset(&mut self, seed: u64, episode: u64) {
        (self.seed, self.episode) = (seed, episode);
        self.ledger.now = Tick(0);
        self.ledger.book.clear();
        self.next_scheduled = 0;
        self.in_tick = false;
        self.external = Cents::ZERO;
        self.demand_streams.clear();
        self.policy_streams.clear();
        let count = self.ledger.banks.len();
        for (index, bank) in self.ledger.banks.iter_mut().enumerate() {
            let tracked = if self.learners[index] { count } else { 0 };
            bank.open_episode(&self.setup.banks[index], tracked);
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

    /// Plays what comes before the decisions; does nothing if that has been done.
    ///
    /// # Errors
    /// [`TickError::EpisodeOver`].
    pub fn begin_tick(&mut self) -> Result<(), TickError> {
        if self.is_over() {
            return Err(TickError::EpisodeOver { ticks: self.setup.episode_ticks });
        }
        if self.in_tick {
            return Ok(());
        }
        self.in_tick = true;
        self.open_tick();
        self.arrive();
        Ok(())
    }

    /// Plays what comes after the decisions, with those that [`System::decisions_mut`] now holds.
    ///
    /// # Errors
    /// [`TickError`] if the episode is over or a cost outgrows 64 bits.
    pub fn finish_tick(&mut self) -> Result<TickOutcome, TickError> {
        self.begin_tick()?;
        let settled_before = self.settled_value();
        self.decide();
        self.release();
        let settlements = self.gross.settle(&mut self.ledger);
        self.accrue()?;
        let (settled_at_close, dropped) = if self.is_last_tick_of_day() { self.end_day()? } else { (0, 0) };
        Ok(self.close_tick(settlements + settled_at_close, dropped, settled_before))
    }

    fn open_tick(&mut self) {
        let now = self.ledger.now;
        self.ledger.events.record(|| Event::Tick { tick: now });
        if now.0 > 0 && now.0.is_multiple_of(self.setup.ticks_per_day) {
            self.open_day();
        }
        for bank in &mut self.ledger.banks {
            bank.open_tick(now);
        }
    }

    /// Repays overnight loans and, if the scenario says so, returns balances to their opening values.
    fn open_day(&mut self) {
        for (bank, setup) in self.ledger.banks.iter_mut().zip(&self.setup.banks) {
            let opening = match self.setup.overnight {
                Overnight::Carry => bank.balance - bank.loan,
                Overnight::Reset => setup.balance,
            };
            self.external += opening - bank.balance;
            bank.balance = opening;
            bank.loan = Cents::ZERO;
            bank.open_day();
        }
    }

    fn arrive(&mut self) {
        let Self { setup, ledger, demand_streams, next_scheduled, .. } = self;
        let now = ledger.now;
        let mut arrivals = 0;
        while let Some(order) = setup.schedule.get(*next_scheduled).filter(|order| order.arrival <= now) {
            ledger.enter(order);
            *next_scheduled += 1;
            arrivals += 1;
        }
        for (bank, stream) in setup.banks.iter().zip(demand_streams) {
            let Some(demand) = &bank.demand else { continue };
            demand.sample(now, setup.ticks_per_day, stream, |order| {
                ledger.enter(&order);
                arrivals += 1;
            });
        }
        self.arrivals = arrivals;
    }

    /// Scripted banks decide; learners have decided already.
    fn decide(&mut self) {
        let Self { setup, ledger, learners, policy_streams, .. } = self;
        for (index, bank) in setup.banks.iter().enumerate().filter(|(index, _)| !learners[*index]) {
            let mut decisions = std::mem::take(&mut ledger.banks[index].decisions);
            decisions.clear();
            bank.policy.decide(&desk(ledger, index), &mut policy_streams[index], &mut decisions);
            ledger.banks[index].decisions = decisions;
        }
    }

    /// Appends what a scripted policy would do now in the place of a bank.
    ///
    /// A policy that rolls dice takes them from the bank's own stream.
    pub fn consult(&mut self, bank: BankId, policy: &dyn ScriptedPolicy, decisions: &mut Vec<Decision>) {
        policy.decide(&desk(&self.ledger, bank.index()), &mut self.policy_streams[bank.index()], decisions);
    }

    fn release(&mut self) {
        for bank in 0..self.ledger.banks.len() {
            self.ledger.release(bank);
        }
    }

    fn accrue(&mut self) -> Result<(), TickError> {
        for index in 0..self.ledger.banks.len() {
            let bank = &mut self.ledger.banks[index];
            bank.note_liquidity_use();
            let overdraft = self.setup.prices.overdraft(bank.balance);
            bank.accrue(Component::Overdraft, overdraft)
                .and_then(|()| bank.accrue(Component::Delay, bank.delay_charge))
                .map_err(|component| self.overflow(index, component))?;
            self.ledger.mark_overdue(index);
        }
        Ok(())
    }

    /// Charges what is unsettled, then does with it what the scenario says.
    /// Returns how many payments were settled and how many dropped.
    fn end_day(&mut self) -> Result<(u32, u32), TickError> {
        for index in 0..self.ledger.banks.len() {
            self.charge_unsettled(index).map_err(|component| self.overflow(index, component))?;
        }
        let unsettled = u32::try_from(self.ledger.book.len()).unwrap_or(u32::MAX);
        match self.setup.end_of_day {
            EndOfDay::Carry => {
                (0..self.ledger.banks.len()).for_each(|bank| self.ledger.mark_all_overdue(bank));
                Ok((0, 0))
            }
            EndOfDay::Drop => {
                self.empty_queues(Ledger::cancel);
                Ok((0, unsettled))
            }
            EndOfDay::Borrow => {
                self.lend();
                self.empty_queues(Ledger::settle);
                Ok((unsettled, 0))
            }
        }
    }

    fn charge_unsettled(&mut self, index: usize) -> Result<(), &'static str> {
        let unsettled = self.ledger.unsettled(index);
        let (count, value) =
            unsettled.fold((0, Cents::ZERO), |(count, value), payment| (count + 1, value + payment.amount));
        let bank = &mut self.ledger.banks[index];
        let priced = if self.setup.end_of_day == EndOfDay::Borrow {
            bank.statistics.lent_value += value;
            bank.loan = (value - bank.balance.max(Cents::ZERO)).max(Cents::ZERO);
            bank.loan
        } else {
            value
        };
        let borrowed = bank.loan;
        bank.accrue(Component::EndOfDay, self.setup.prices.end_of_day(count, priced))?;
        let id = bank_at(index);
        if count > 0 {
            let event = || Event::EndOfDay { bank: id, unsettled_count: count, unsettled_value: value, borrowed };
            self.ledger.events.record(event);
        }
        Ok(())
    }

    /// Pays out the overnight loans.
    fn lend(&mut self) {
        for bank in &mut self.ledger.banks {
            bank.balance += bank.loan;
            self.external += bank.loan;
        }
    }

    fn empty_queues(&mut self, take: impl Fn(&mut Ledger, Slot)) {
        for index in 0..self.ledger.banks.len() {
            self.ledger.collect(index);
            while let Some(slot) = self.ledger.banks[index].central.pop_front() {
                take(&mut self.ledger, slot);
            }
        }
    }

    fn close_tick(&mut self, settlements: u32, dropped: u32, settled_before: Cents) -> TickOutcome {
        let mut costs = Costs::default();
        for bank in &mut self.ledger.banks {
            bank.close_tick();
            for (total, cost) in costs.iter_mut().zip(bank.tick_costs) {
                *total += cost;
            }
        }
        let outcome = TickOutcome {
            tick: self.ledger.now,
            arrivals: self.arrivals,
            settlements,
            dropped,
            queue_depth: self.ledger.book.len(),
            settled_value: self.settled_value() - settled_before,
            costs,
        };
        self.in_tick = false;
        self.ledger.now = Tick(self.ledger.now.0 + 1);
        outcome
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

    /// The seed and the episode that are being played.
    #[must_use]
    pub fn seed_and_episode(&self) -> (u64, u64) {
        (self.seed, self.episode)
    }

    /// What has entered the system by a rule (overnight loans, overnight reset), less what has left.
    #[must_use]
    pub fn external_money(&self) -> Cents {
        self.external
    }

    fn is_last_tick_of_day(&self) -> bool {
        (self.ledger.now.0 + 1).is_multiple_of(self.setup.ticks_per_day)
    }

    fn settled_value(&self) -> Cents {
        self.ledger.banks.iter().map(|bank| bank.statistics.settled_value).sum()
    }

    fn overflow(&self, bank: usize, component: &'static str) -> TickError {
        TickError::CostOverflow { bank: self.setup.banks[bank].id.clone(), component, tick: self.ledger.now.0 }
    }
}

fn desk(ledger: &Ledger, index: usize) -> Desk<'_> {
    let bank = &ledger.banks[index];
    Desk {
        now: ledger.now,
        uncommitted_liquidity: bank.uncommitted_liquidity(),
        queue: &bank.internal,
        book: &ledger.book,
    }
}

/// All of a bank's costs, with their names.
pub fn named_costs(costs: &Costs) -> impl Iterator<Item = (&'static str, i64)> + '_ {
    COMPONENTS.iter().zip(costs).map(|(name, cost)| (*name, cost.0))
}
