//! Start of a tick: scheduled events and arrivals.

use super::state::System;
use crate::events::Event;
use crate::scheduled_events::ScheduledEvent;
use crate::units::{BankId, Cents, bank_at};

impl System {
    /// Applies the scheduled events up to now.
    pub(super) fn apply_scheduled_events(&mut self) {
        while let Some((tick, event)) = self.setup.timeline.get(self.progress.next_scheduled_event as usize).copied()
            && tick <= self.ledger.now
        {
            self.progress.next_scheduled_event += 1;
            let is_late = tick < self.ledger.now;
            match event {
                ScheduledEvent::Payment(order) => {
                    let (sender, receiver, amount) = (order.sender, order.receiver, order.amount);
                    self.ledger.events.record(|| Event::PaymentEvent { sender, receiver, amount });
                    self.ledger.add_order(&order.postponed_to(self.ledger.now));
                    self.progress.arrivals += 1;
                }
                ScheduledEvent::Transfer { sender, receiver, amount } => self.transfer(sender, receiver, amount),
                ScheduledEvent::ArrivalRate { bank, multiplier } => self.change_rate(bank, multiplier),
                ScheduledEvent::Credit { bank, credit_limit } => {
                    let limit = &mut self.ledger.banks[bank.index()].credit_limit;
                    let previous_credit_limit = std::mem::replace(limit, credit_limit);
                    let event = || Event::CreditChange { bank, previous_credit_limit, credit_limit };
                    self.ledger.events.record(event);
                }
                ScheduledEvent::Collateral { bank, collateral } => self.change_collateral(bank, collateral),
                ScheduledEvent::Outage { bank, until } => {
                    let outage = &mut self.ledger.banks[bank.index()].outage_until;
                    *outage = (*outage).max(until);
                    self.ledger.events.record(|| Event::Outage { bank, until_tick: until });
                }
                // An early close of a tick that another early close skipped has no effect.
                ScheduledEvent::EarlyClose if is_late => {}
                ScheduledEvent::EarlyClose => {
                    self.progress.closes_early = true;
                    self.ledger.events.record(|| Event::EarlyClose);
                }
            }
        }
    }

    fn transfer(&mut self, sender: Option<BankId>, receiver: Option<BankId>, requested_amount: Cents) {
        let banks = &mut self.ledger.banks;
        let amount = sender
            .map_or(requested_amount, |bank| requested_amount.min(banks[bank.index()].liquidity().max(Cents::ZERO)));
        match sender {
            Some(bank) => banks[bank.index()].balance -= amount,
            None => self.progress.external += amount,
        }
        match receiver {
            Some(bank) => banks[bank.index()].balance += amount,
            None => self.progress.external -= amount,
        }
        self.ledger.events.record(|| Event::Transfer { sender, receiver, requested_amount, amount });
    }

    fn change_rate(&mut self, bank: Option<BankId>, multiplier: f64) {
        for (index, other) in self.ledger.banks.iter_mut().enumerate() {
            if bank.is_none_or(|bank| bank == bank_at(index)) {
                other.arrival_factor = multiplier;
            }
        }
        self.ledger.events.record(|| Event::ArrivalRate { bank, multiplier });
    }

    fn change_collateral(&mut self, bank: BankId, collateral: Cents) {
        let collateral_credit = self.setup.banks[bank.index()].haircut.complement().share_of(collateral);
        let changed = &mut self.ledger.banks[bank.index()];
        let previous_collateral = std::mem::replace(&mut changed.collateral, collateral);
        changed.collateral_credit = collateral_credit;
        let event = || Event::CollateralChange { bank, previous_collateral, collateral, collateral_credit };
        self.ledger.events.record(event);
    }

    /// Adds the tick's payments to the internal queues: scheduled, replayed, sampled.
    pub(super) fn add_arrivals(&mut self) {
        self.progress.arrivals += self.add_scheduled_orders() + self.add_replayed_orders();
        self.progress.first_sampled = Some(self.ledger.next_id);
        (0..self.ledger.banks.len()).for_each(|bank| self.sample_orders(bank));
    }

    /// Adds the tick's sampled payments of a bank to its internal queue.
    fn sample_orders(&mut self, bank: usize) {
        let day_start = self.day_start();
        let Self { setup, ledger, demand_streams, progress, .. } = self;
        let Some(demand) = &setup.banks[bank].demand else { return };
        let (now, factor) = (ledger.now, ledger.banks[bank].arrival_factor);
        demand.sample(now, day_start, factor, &mut demand_streams[bank], |order| {
            ledger.add_order(&order);
            progress.arrivals += 1;
        });
    }

    /// Replaces the payments that a bank received in this tick by sampling.
    ///
    /// No-op between ticks. Decisions about the replaced payments are discarded.
    pub(super) fn resample_orders(&mut self, bank: usize) {
        let Some(first) = self.progress.first_sampled else { return };
        if self.setup.banks[bank].demand.is_none() {
            return;
        }
        self.progress.arrivals -= self.ledger.remove_orders_from(bank, first);
        self.sample_orders(bank);
    }

    fn add_scheduled_orders(&mut self) -> u32 {
        let Self { setup, ledger, progress, .. } = self;
        let mut arrivals = 0;
        while let Some(order) = setup.schedule.get(progress.next_scheduled_order as usize)
            && order.arrival <= ledger.now
        {
            ledger.add_order(&order.postponed_to(ledger.now));
            progress.next_scheduled_order += 1;
            arrivals += 1;
        }
        arrivals
    }

    fn add_replayed_orders(&mut self) -> u32 {
        let (day_start, tick) = (self.day_start().0, self.tick_of_day());
        let Self { setup, ledger, progress, .. } = self;
        let Some(replay) = &setup.replay else { return 0 };
        let orders = replay.day(progress.seed, progress.episode, setup.num_days, progress.day);
        let mut arrivals = 0;
        while let Some(order) = orders.get(progress.next_replayed_order as usize)
            && order.arrival.0 <= tick
        {
            let mut today = *order;
            today.arrival.0 += day_start;
            today.deadline.0 += day_start;
            ledger.add_order(&today);
            progress.next_replayed_order += 1;
            arrivals += 1;
        }
        arrivals
    }
}
