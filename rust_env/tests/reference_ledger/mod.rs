//! A second ledger, computed from the event log and the prices alone.

use paysim_engine::costs::{COMPONENTS, Component};
use paysim_engine::events::{Event, Mechanism};
use paysim_engine::payment::split_amounts;
use paysim_engine::scenario::{CollateralCharged, CostConfig, EndOfDay, Overnight, Scenario};
use paysim_engine::system::System;
use paysim_engine::units::{BankId, Cents, PaymentId, Rate, Tick, bank_at};
use std::collections::{BTreeMap, VecDeque};

/// An unsettled payment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    sender: BankId,
    receiver: BankId,
    amount: Cents,
    deadline: Tick,
    priority: u8,
    is_overdue: bool,
    is_released: bool,
}

/// Unsettled payments, balances and charges of all banks; charges in 10^-12 cents.
pub struct ReferenceLedger {
    scenario: Scenario,
    payments: BTreeMap<PaymentId, Entry>,
    /// The payment that is split or cut, and the amounts of its unreleased parts.
    parts: (Option<Entry>, VecDeque<Cents>),
    charges: Vec<[i128; COMPONENTS.len()]>,
    collateral: Vec<Cents>,
    credit_limits: Vec<Cents>,
    outage_until: Vec<Tick>,
    balances: Vec<Cents>,
    loans: Vec<Cents>,
    committed: Vec<Cents>,
    has_accrued: bool,
    /// Whether overnight loans settle all payments of this tick without a delay charge.
    is_delay_free: bool,
    now: Tick,
}

impl ReferenceLedger {
    pub fn new(scenario: &Scenario) -> Self {
        let banks = scenario.agents.len();
        Self {
            payments: BTreeMap::new(),
            parts: (None, VecDeque::new()),
            charges: vec![[0; COMPONENTS.len()]; banks],
            collateral: scenario.agents.iter().map(|agent| agent.collateral).collect(),
            credit_limits: scenario.agents.iter().map(|agent| agent.credit_limit).collect(),
            outage_until: vec![Tick(0); banks],
            balances: scenario.agents.iter().map(|agent| agent.balance).collect(),
            loans: vec![Cents::ZERO; banks],
            committed: vec![Cents::ZERO; banks],
            scenario: scenario.clone(),
            has_accrued: false,
            is_delay_free: false,
            now: Tick(0),
        }
    }

    /// Applies the events of a tick and checks that their order is valid.
    pub fn apply_tick(&mut self, tick: Tick, events: &[Event]) {
        if tick.0 > 0 && i64::from(tick.0) % self.scenario.ticks_per_day == 0 {
            self.open_day();
        }
        self.has_accrued = false;
        let is_lent = self.scenario.end_of_day == EndOfDay::Borrow
            && events.iter().any(|event| matches!(event, Event::EndOfDay { .. }));
        self.is_delay_free = is_lent && !self.scenario.costs.delay_at_close;
        for event in events {
            let is_after_settlement = matches!(
                event,
                Event::Overdue { .. }
                    | Event::EndOfDay { .. }
                    | Event::Cancellation { .. }
                    | Event::PoolReturn { .. }
                    | Event::Settlement { mechanism: Mechanism::Close, .. }
            );
            if is_after_settlement {
                self.accrue();
            }
            self.apply(event);
        }
        self.accrue();
    }

    fn open_day(&mut self) {
        for (bank, agent) in self.scenario.agents.iter().enumerate() {
            match self.scenario.overnight {
                Overnight::Carry => self.balances[bank] -= self.loans[bank],
                Overnight::Reset => self.balances[bank] = agent.balance,
            }
            self.loans[bank] = Cents::ZERO;
            assert_eq!(self.committed[bank], Cents::ZERO);
        }
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Tick { tick } => self.now = tick,
            Event::EndOfDay { bank, unsettled_count, unsettled_value, borrowed } => {
                self.end_day(bank, unsettled_count, unsettled_value, borrowed);
                self.loans[bank.index()] = borrowed;
                self.balances[bank.index()] += borrowed;
            }
            Event::PoolCommitment { bank, amount } => {
                self.committed[bank.index()] = amount;
                self.balances[bank.index()] += amount;
                let rate = self.scenario.costs.liquidity_rate;
                self.charge(bank, Component::Liquidity, Rate::from_fraction(rate).of(amount));
            }
            Event::CollateralChange { bank, collateral, .. } => self.collateral[bank.index()] = collateral,
            Event::CreditChange { bank, credit_limit, .. } => self.credit_limits[bank.index()] = credit_limit,
            Event::Outage { bank, until_tick } => {
                let until = &mut self.outage_until[bank.index()];
                *until = (*until).max(until_tick);
            }
            Event::PoolReturn { bank, amount } => {
                assert_eq!(std::mem::take(&mut self.committed[bank.index()]), amount);
                self.balances[bank.index()] -= amount;
            }
            Event::Transfer { sender, receiver, requested_amount, amount } => {
                assert!(amount >= Cents::ZERO && amount <= requested_amount);
                sender.into_iter().for_each(|bank| self.balances[bank.index()] -= amount);
                receiver.into_iter().for_each(|bank| self.balances[bank.index()] += amount);
            }
            _ => self.apply_to_payment(event),
        }
    }

    fn apply_to_payment(&mut self, event: &Event) {
        match *event {
            Event::Arrival { payment, sender, receiver, amount, deadline_tick: deadline, priority, .. } => {
                let (is_overdue, is_released) = (false, false);
                let entry = Entry { sender, receiver, amount, deadline, priority, is_overdue, is_released };
                assert_eq!(self.payments.insert(payment, entry), None);
            }
            Event::Split { payment, sender, parts, .. } => {
                let whole = self.payments.remove(&payment).unwrap();
                self.parts = (Some(whole), split_amounts(whole.amount, parts).collect());
                self.charge_cents(sender, Component::Split, self.scenario.costs.split_fee, i64::from(parts) - 1);
            }
            Event::Cut { payment, sender, released_amount: amount, .. } => {
                let whole = self.payments.get_mut(&payment).unwrap();
                assert!(amount > Cents::ZERO && amount < whole.amount);
                whole.amount -= amount;
                self.parts = (Some(*whole), VecDeque::from([amount]));
                self.charge_cents(sender, Component::Split, self.scenario.costs.split_fee, 1);
            }
            Event::Release { payment, parent, sender, .. } => self.release(payment, parent, sender),
            Event::Settlement { payment, sender, receiver, amount, mechanism, .. } => {
                let entry = self.payments.remove(&payment).unwrap();
                assert_eq!((entry.sender, entry.receiver, entry.amount), (sender, receiver, amount));
                assert!(entry.is_released || mechanism == Mechanism::Close);
                self.balances[sender.index()] -= amount;
                self.balances[receiver.index()] += amount;
            }
            Event::Overdue { payment, sender, .. } => {
                let entry = self.payments.get_mut(&payment).unwrap();
                assert!(!entry.is_overdue);
                entry.is_overdue = true;
                self.charge_cents(sender, Component::Deadline, self.scenario.costs.deadline_penalty, 1);
            }
            Event::Cancellation { payment, .. } => {
                assert_eq!(self.scenario.end_of_day, EndOfDay::Drop);
                self.payments.remove(&payment).unwrap();
            }
            _ => {}
        }
    }

    fn release(&mut self, payment: PaymentId, parent: Option<PaymentId>, bank: BankId) {
        assert!(self.outage_until[bank.index()] <= self.now, "released in an outage");
        if parent.is_some() {
            let part = Entry { amount: self.parts.1.pop_front().unwrap(), ..self.parts.0.unwrap() };
            self.payments.insert(payment, part);
        }
        let entry = self.payments.get_mut(&payment).unwrap();
        assert!(!entry.is_released && entry.sender == bank);
        entry.is_released = true;
    }

    /// Charges a bank at the end of a day and checks its unsettled payments.
    fn end_day(&mut self, bank: BankId, count: u32, value: Cents, borrowed: Cents) {
        let unsettled = || self.payments.values().filter(|entry| entry.sender == bank);
        assert_eq!(unsettled().count(), count as usize);
        assert_eq!(unsettled().map(|entry| entry.amount).sum::<Cents>(), value);
        let base = match self.scenario.end_of_day {
            EndOfDay::Borrow => borrowed,
            EndOfDay::Carry | EndOfDay::Drop => value,
        };
        let costs = &self.scenario.costs;
        let (penalty, rate) = (costs.eod_penalty, Rate::from_fraction(costs.eod_rate));
        self.charge_cents(bank, Component::EndOfDay, penalty, i64::from(count));
        self.charge(bank, Component::EndOfDay, rate.of(base));
    }

    /// Charges delay, overdraft and collateral after the settlements of a tick.
    fn accrue(&mut self) {
        if std::mem::replace(&mut self.has_accrued, true) {
            return;
        }
        for entry in self.payments.values() {
            let is_free = self.is_delay_free || entry.is_released && !self.scenario.costs.delay_in_central_queue;
            if !is_free {
                let price = delay_price(&self.scenario.costs, entry);
                self.charges[entry.sender.index()][Component::Delay as usize] += price;
            }
        }
        for bank in 0..self.balances.len() {
            let overdraft = overdraft_price(&self.scenario.costs, self.balances[bank]);
            self.charge(bank_at(bank), Component::Overdraft, overdraft);
            let collateral = self.collateral_price(bank);
            self.charge(bank_at(bank), Component::Collateral, collateral);
        }
    }

    fn collateral_price(&self, bank: usize) -> i128 {
        let charged = match self.scenario.costs.collateral_charged {
            CollateralCharged::Posted => self.collateral[bank],
            CollateralCharged::Used => {
                let backed = (-self.balances[bank] - self.credit_limits[bank]).max(Cents::ZERO);
                let credit = Rate::from_fraction(self.scenario.agents[bank].collateral_haircut).complement();
                // The smallest value whose credit, before rounding down to the cent, covers the overdraft.
                let is_enough = |value: &i64| credit.of(Cents(*value)) >= i128::from(Rate::ONE) * i128::from(backed.0);
                Cents((0..self.collateral[bank].0).find(is_enough).unwrap_or(self.collateral[bank].0))
            }
        };
        let has_credit = self.scenario.agents[bank].collateral_haircut < 1.0;
        let is_free = self.scenario.costs.collateral_charged == CollateralCharged::Used && !has_credit;
        if is_free { 0 } else { Rate::from_fraction(self.scenario.costs.collateral_rate).of(charged) }
    }

    fn charge(&mut self, bank: BankId, component: Component, charge: i128) {
        self.charges[bank.index()][component as usize] += charge;
    }

    fn charge_cents(&mut self, bank: BankId, component: Component, price: Cents, count: i64) {
        self.charge(bank, component, i128::from(Rate::ONE) * i128::from(price.0) * i128::from(count));
    }

    /// Compares both ledgers at the end of a tick.
    pub fn compare(&self, system: &System) {
        let ledger = &system.ledger;
        let payments = (0..ledger.banks.len()).flat_map(|bank| ledger.banks[bank].unsettled());
        let entry = |payment: &paysim_engine::payment::Payment| Entry {
            sender: payment.sender,
            receiver: payment.receiver,
            amount: payment.amount,
            deadline: payment.deadline,
            priority: payment.priority,
            is_overdue: payment.is_overdue,
            is_released: payment.is_released,
        };
        let open: BTreeMap<PaymentId, Entry> = payments.map(|payment| (payment.id, entry(payment))).collect();
        assert_eq!(self.payments, open);
        assert_eq!(ledger.num_unsettled(), open.len());
        assert!(open.values().all(|entry| entry.is_overdue || entry.deadline > self.now));
        assert_eq!(self.balances, ledger.banks.iter().map(|bank| bank.balance).collect::<Vec<_>>());
        assert_eq!(self.committed, ledger.banks.iter().map(|bank| bank.committed).collect::<Vec<_>>());
        for (bank, charges) in ledger.banks.iter().zip(&self.charges) {
            for ((name, cost), charge) in COMPONENTS.iter().zip(bank.costs).zip(charges) {
                let is_comparable = *name != "collateral" || !self.is_collateral_hidden();
                assert!(!is_comparable || i128::from(cost.0) == charge.div_euclid(i128::from(Rate::ONE)), "{name}");
            }
        }
    }

    /// Whether the used collateral depends on deferred receipts, which no event reports.
    fn is_collateral_hidden(&self) -> bool {
        self.scenario.costs.collateral_charged == CollateralCharged::Used
            && self.scenario.rails.iter().any(|rail| rail.deferred_crediting)
    }
}

fn delay_price(costs: &CostConfig, entry: &Entry) -> i128 {
    let overdue = if entry.is_overdue { costs.overdue_multiplier } else { 1.0 };
    let factor = overdue * costs.priority_multipliers.get(&i64::from(entry.priority)).copied().unwrap_or(1.0);
    Rate::from_fraction(factor).of(costs.delay_penalty_per_tick)
        + Rate::from_fraction(factor * costs.delay_rate).of(entry.amount)
}

fn overdraft_price(costs: &CostConfig, balance: Cents) -> i128 {
    let depth = (-balance).max(Cents::ZERO);
    let tier = &costs.overdraft_tiers[0];
    Rate::from_fraction(costs.overdraft_rate).of(depth.min(tier.above))
        + Rate::from_fraction(tier.rate).of((depth - tier.above).max(Cents::ZERO))
}
