//! Replays of event logs, compared with the state of the system after every tick.

#![allow(clippy::unwrap_used, missing_docs)]

mod strategies;

use paysim_engine::costs::COMPONENTS;
use paysim_engine::events::EventType;
use paysim_engine::events::{Event, EventLog, Obstacle};
use paysim_engine::payment::Payment;
use paysim_engine::system::System;
use paysim_engine::units::{BankId, Cents, PaymentId, Tick};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use serde_json::json;
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use strategies::{choices, play, read, scenarios};

/// An unsettled payment.
#[derive(Clone, Debug, PartialEq)]
struct OpenPayment {
    id: PaymentId,
    parent: Option<PaymentId>,
    sender: BankId,
    receiver: BankId,
    amount: Cents,
    arrival: Tick,
    deadline: Tick,
    priority: u8,
    urgency: u8,
    divisible: bool,
    rail: u8,
    is_overdue: bool,
}

impl OpenPayment {
    fn of(payment: &Payment) -> Self {
        Self {
            id: payment.id,
            parent: payment.parent,
            sender: payment.sender,
            receiver: payment.receiver,
            amount: payment.amount,
            arrival: payment.arrival,
            deadline: payment.deadline,
            priority: payment.priority,
            urgency: payment.urgency,
            divisible: payment.divisible,
            rail: payment.rail.0,
            is_overdue: payment.is_overdue,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Account {
    balance: Cents,
    credit_limit: Cents,
    collateral: Cents,
    collateral_credit: Cents,
    committed: Cents,
    internal: Vec<OpenPayment>,
    /// Queues by rail, without empty ones.
    central: BTreeMap<u8, Vec<OpenPayment>>,
    costs: BTreeMap<&'static str, Cents>,
}

/// The state computed from events.
#[derive(Default)]
struct EventReplay {
    now: Tick,
    banks: BTreeMap<BankId, Account>,
    /// Payments released in this tick that are neither settled nor queued yet.
    in_transit: BTreeMap<PaymentId, OpenPayment>,
    /// The payment whose parts are being released.
    split_payment: Option<OpenPayment>,
}

impl EventReplay {
    fn bank(&mut self, bank: BankId) -> &mut Account {
        self.banks.get_mut(&bank).unwrap()
    }

    fn payment(&mut self, bank: BankId, id: PaymentId) -> &mut OpenPayment {
        let account = self.banks.get_mut(&bank).unwrap();
        let mut queues = account.internal.iter_mut().chain(account.central.values_mut().flatten());
        queues.find(|payment| payment.id == id).unwrap()
    }

    fn take(&mut self, bank: BankId, id: PaymentId) -> OpenPayment {
        if let Some(payment) = self.in_transit.remove(&id) {
            return payment;
        }
        let account = self.bank(bank);
        for queue in std::iter::once(&mut account.internal).chain(account.central.values_mut()) {
            if let Some(index) = queue.iter().position(|payment| payment.id == id) {
                return queue.remove(index);
            }
        }
        unreachable!("{id:?} of {bank:?} does not exist")
    }

    fn sort_internal_queue(&mut self, bank: BankId) {
        self.bank(bank).internal.sort_by_key(|payment| (Reverse(payment.urgency), payment.deadline, payment.id));
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Tick { tick } | Event::Day { tick, .. } => self.now = tick,
            Event::Urgency { payment, sender, urgency } => {
                self.payment(sender, payment).urgency = urgency;
                self.sort_internal_queue(sender);
            }
            Event::Overdue { payment, sender, amount, .. } => {
                let open = self.payment(sender, payment);
                assert_eq!((open.amount, std::mem::replace(&mut open.is_overdue, true)), (amount, false));
            }
            Event::Cost { bank, component, amount } => {
                assert!(amount > Cents::ZERO);
                *self.bank(bank).costs.entry(component).or_default() += amount;
            }
            Event::Opening { .. }
            | Event::CreditChange { .. }
            | Event::CollateralChange { .. }
            | Event::EndOfDay { .. }
            | Event::PoolCommitment { .. }
            | Event::PoolReturn { .. }
            | Event::Transfer { .. } => self.apply_account(event),
            _ => self.apply_payment(event),
        }
    }

    fn apply_account(&mut self, event: &Event) {
        match *event {
            Event::Opening { bank, balance, closing_balance, credit_limit, collateral, collateral_credit, .. } => {
                if self.now == Tick(0) {
                    assert_eq!((self.banks.insert(bank, Account::default()), closing_balance), (None, balance));
                } else {
                    assert_eq!(self.bank(bank).balance, closing_balance);
                }
                let account = self.bank(bank);
                (account.balance, account.credit_limit) = (balance, credit_limit);
                (account.collateral, account.collateral_credit) = (collateral, collateral_credit);
            }
            Event::CreditChange { bank, previous_credit_limit, credit_limit } => {
                let replaced = std::mem::replace(&mut self.bank(bank).credit_limit, credit_limit);
                assert_eq!(replaced, previous_credit_limit);
            }
            Event::CollateralChange { bank, previous_collateral, collateral, collateral_credit } => {
                let account = self.bank(bank);
                assert_eq!(std::mem::replace(&mut account.collateral, collateral), previous_collateral);
                account.collateral_credit = collateral_credit;
            }
            Event::EndOfDay { bank, borrowed, .. } => self.bank(bank).balance += borrowed,
            Event::PoolCommitment { bank, amount } => {
                self.bank(bank).balance += amount;
                self.bank(bank).committed = amount;
            }
            Event::PoolReturn { bank, amount } => {
                self.bank(bank).balance -= amount;
                assert_eq!(std::mem::take(&mut self.bank(bank).committed), amount);
            }
            Event::Transfer { sender, receiver, amount, .. } => {
                sender.into_iter().for_each(|bank| self.bank(bank).balance -= amount);
                receiver.into_iter().for_each(|bank| self.bank(bank).balance += amount);
            }
            _ => unreachable!("{event:?}"),
        }
    }

    fn apply_payment(&mut self, event: &Event) {
        match *event {
            Event::Arrival { .. } => self.apply_arrival(event),
            Event::Split { payment, sender, amount, .. } => {
                self.split_payment = Some(self.take(sender, payment));
                assert_eq!(self.split_payment.as_ref().unwrap().amount, amount);
            }
            Event::Cut { payment, sender, remaining_amount, .. } => {
                self.payment(sender, payment).amount = remaining_amount;
                self.split_payment = Some(self.payment(sender, payment).clone());
            }
            Event::Release { payment, parent, sender, amount, .. } => {
                let released = match parent {
                    Some(_) => OpenPayment { id: payment, parent, amount, ..self.split_payment.clone().unwrap() },
                    None => self.take(sender, payment),
                };
                self.in_transit.insert(payment, released);
            }
            Event::Queued { payment, sender, rail, position, .. } => {
                let queued = self.in_transit.remove(&payment).unwrap();
                self.bank(sender).central.entry(rail.0).or_default().insert(position as usize, queued);
            }
            Event::Settlement { payment, sender, receiver, amount, arrival_tick, .. } => {
                let settled = self.take(sender, payment);
                assert_eq!((settled.amount, settled.arrival), (amount, arrival_tick));
                self.bank(sender).balance -= amount;
                self.bank(receiver).balance += amount;
            }
            Event::Cancellation { payment, sender, .. } => {
                self.take(sender, payment);
            }
            Event::Hold { payment, sender, amount, .. } => assert_eq!(self.payment(sender, payment).amount, amount),
            Event::LimitHit { payment, sender, rail, amount, available, .. } => {
                assert_eq!(self.bank(sender).central[&rail.0][0].id, payment);
                assert!(amount > available);
            }
            Event::PaymentEvent { .. }
            | Event::Landing { .. }
            | Event::ArrivalRate { .. }
            | Event::Outage { .. }
            | Event::EarlyClose
            | Event::DayEnd { .. } => {}
            _ => unreachable!("{event:?}"),
        }
    }

    fn apply_arrival(&mut self, event: &Event) {
        let Event::Arrival { payment, sender, receiver, amount, deadline_tick, priority, urgency, divisible, rail } =
            *event
        else {
            unreachable!("{event:?}")
        };
        let arrived = OpenPayment {
            id: payment,
            parent: None,
            sender,
            receiver,
            amount,
            arrival: self.now,
            deadline: deadline_tick,
            priority,
            urgency,
            divisible,
            rail: rail.0,
            is_overdue: false,
        };
        self.bank(sender).internal.push(arrived);
        self.sort_internal_queue(sender);
    }

    /// Compares every bank with the system.
    fn compare(&mut self, system: &System) {
        assert!(self.in_transit.is_empty(), "{:?}", self.in_transit);
        let ledger = &system.ledger;
        for ((bank, account), replay) in ledger.banks.iter().zip(0..).zip(self.banks.values_mut()) {
            replay.central.retain(|_, queue| !queue.is_empty());
            let queues = bank.central.iter().zip(0..).filter(|(queue, _)| !queue.is_empty());
            let costs = COMPONENTS.into_iter().zip(bank.costs).filter(|(_, cost)| *cost != Cents::ZERO);
            let expected = Account {
                balance: bank.balance,
                credit_limit: bank.credit_limit,
                collateral: bank.collateral,
                collateral_credit: bank.collateral_credit,
                committed: bank.committed,
                internal: bank.internal.iter().map(OpenPayment::of).collect(),
                central: queues.map(|(queue, rail)| (rail, queue.iter().map(OpenPayment::of).collect())).collect(),
                costs: costs.collect(),
            };
            assert_eq!(*replay, expected, "bank {account}");
        }
        assert_eq!(self.banks.len(), ledger.banks.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_replay_of_events_equals_the_state(scenario in scenarios(), choices in choices()) {
        let mut replay = EventReplay::default();
        play(&read(&scenario), EventLog::recording(), choices, |system, _, _| {
            system.ledger.events.take().iter().for_each(|event| replay.apply(event));
            replay.compare(system);
        });
    }

    #[test]
    fn recording_events_does_not_change_the_run(scenario in scenarios(), choices in choices()) {
        let mut states = Vec::new();
        play(&read(&scenario), EventLog::recording(), choices.clone(), |system, _, outcome| states.push((*outcome, system.save())));
        let mut recorded = states.into_iter();
        play(&read(&scenario), EventLog::default(), choices, |system, _, outcome| {
            assert_eq!(recorded.next().unwrap(), (*outcome, system.save()));
        });
    }
}

/// The events of a run with the policies of the scenario.
fn events(scenario: &serde_json::Value) -> Vec<Event> {
    let (mut system, _) = strategies::system(&read(scenario), EventLog::recording());
    while !system.is_over() {
        system.tick().unwrap();
    }
    system.ledger.events.take()
}

#[test]
fn events_of_queued_payments_give_the_obstacle() {
    let pay = |sender: &str, receiver: &str, amount: i64| json!({"sender": sender, "receiver": receiver, "amount": amount, "arrival_tick": 0, "deadline_tick": 1});
    let scenario = json!({
        "ticks_per_day": 2,
        "agents": [
            {"id": "A", "balance": 10},
            {"id": "B", "balance": 100, "limits": {"bilateral": {"A": 5}}},
            {"id": "C", "balance": 100, "limits": {"multilateral": 7}}
        ],
        "initial_transactions": [pay("A", "B", 30), pay("A", "B", 1), pay("B", "A", 6), pay("C", "A", 8)]
    });
    let log = events(&scenario);
    let queued: Vec<(u64, u32, Obstacle)> = log
        .iter()
        .filter_map(|event| match event {
            Event::Queued { payment, position, reason, .. } => Some((payment.0.get(), *position, *reason)),
            _ => None,
        })
        .collect();
    let limits = [(3, 0, Obstacle::BilateralLimit), (4, 0, Obstacle::MultilateralLimit)];
    assert_eq!(queued, [vec![(1, 0, Obstacle::Liquidity), (2, 1, Obstacle::Behind)], limits.to_vec()].concat());
    let hits = log.iter().filter_map(|event| match event {
        Event::LimitHit { payment, available, .. } => Some((payment.0.get(), available.0)),
        _ => None,
    });
    // One event in each tick, for the head of each queue only.
    assert_eq!(hits.collect::<Vec<_>>(), [(1, 10), (3, 5), (4, 7), (1, 10), (3, 5), (4, 7)]);
}

#[test]
fn every_event_type_occurs_with_the_keys_of_the_schema() {
    let seen = RefCell::new(BTreeMap::new());
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let run = runner.run(&(scenarios(), choices()), |(scenario, choices)| {
        play(&read(&scenario), EventLog::recording(), choices, |system, _, _| {
            for event in system.ledger.events.take() {
                let value = serde_json::to_value(event).unwrap();
                let object = value.as_object().unwrap();
                let keys: BTreeSet<String> = object.keys().filter(|key| *key != "type").cloned().collect();
                let previous = seen.borrow_mut().insert(object["type"].as_str().unwrap().to_owned(), keys.clone());
                assert!(previous.is_none_or(|previous| previous == keys));
            }
        });
        Ok(())
    });
    run.unwrap();
    let keys = |event: &EventType| event.keys.iter().map(|key| key.name.to_owned()).collect::<BTreeSet<_>>();
    let schema = Event::types().iter().map(|event| (event.name.clone(), keys(event))).collect();
    assert_eq!(seen.into_inner(), schema);
}

#[test]
fn events_of_payments_call_the_paying_bank_sender() {
    for event in Event::types() {
        let has = |key: &str| event.keys.iter().any(|other| other.name == key);
        assert_eq!(has("payment") || has("receiver"), has("sender"), "{}", event.name);
        assert!(!(has("sender") && has("bank")), "{}", event.name);
    }
}
