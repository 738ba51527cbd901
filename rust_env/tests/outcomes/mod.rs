//! What became of a learner's payments in a step, held against what its actions asked for.

use paysim_engine::costs::Component;
use paysim_engine::events::{Event, Mechanism};
use paysim_engine::payment::Payment;
use paysim_engine::system::System;
use paysim_engine::units::{BankId, Cents, PaymentId};
use std::collections::BTreeMap;

/// What is asked for one payment; amounts in cents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wanted {
    Hold,
    Release,
    Split(i64),
    Cut(i64),
}

/// A bank's queue before the step, and what is asked for each of its payments.
pub struct Asked {
    pub bank: BankId,
    pub queue: Vec<Payment>,
    pub wanted: Vec<Wanted>,
}

/// Where a payment is after the step.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Held(Payment),
    Queued(Cents),
    Settled(Cents),
    /// The day's close has settled it with an overnight loan.
    Lent(Cents),
    Cancelled(Cents),
}

type Fates = BTreeMap<PaymentId, Fate>;

/// Every payment that a bank had or has, and where it is now.
fn fates(system: &System, bank: BankId, events: &[Event]) -> Fates {
    let bank_now = &system.ledger.banks[bank.index()];
    let held = bank_now.internal.iter().map(|payment| (payment.id, Fate::Held(*payment)));
    let queued = bank_now.queued().map(|payment| (payment.id, Fate::Queued(payment.amount)));
    let gone = events.iter().filter_map(|event| match event {
        Event::Settlement { payment, sender, amount, mechanism: Mechanism::Close, .. } if *sender == bank => {
            Some((*payment, Fate::Lent(*amount)))
        }
        Event::Settlement { payment, sender, amount, .. } if *sender == bank => {
            Some((*payment, Fate::Settled(*amount)))
        }
        Event::Cancellation { payment, sender, amount, .. } if *sender == bank => {
            Some((*payment, Fate::Cancelled(*amount)))
        }
        _ => None,
    });
    let all: Vec<(PaymentId, Fate)> = held.chain(queued).chain(gone).collect();
    let fates: Fates = all.iter().copied().collect();
    assert_eq!(fates.len(), all.len(), "a payment is in two places: {all:?}");
    fates
}

/// What the bank has released, in order: payments and the payments that they are parts of.
fn releases(bank: BankId, events: &[Event]) -> Vec<(PaymentId, Option<PaymentId>)> {
    let release = |event: &Event| match event {
        Event::Release { payment, parent, sender, .. } if *sender == bank => Some((*payment, *parent)),
        _ => None,
    };
    events.iter().filter_map(release).collect()
}

/// Holds what a tick did with a bank's queue against what was asked; `events` are those after the decisions.
pub fn check_payments(system: &System, asked: &Asked, events: &[Event], seen: &mut BTreeMap<&'static str, usize>) {
    let (fates, released) = (fates(system, asked.bank, events), releases(asked.bank, events));
    let mut expected = Vec::new();
    let mut extra_parts = 0;
    for (payment, wanted) in asked.queue.iter().zip(&asked.wanted) {
        let parts: Vec<PaymentId> =
            released.iter().filter(|(_, parent)| *parent == Some(payment.id)).map(|(part, _)| *part).collect();
        let amounts: Vec<i64> = parts.iter().map(|part| sent(system, fates[part], seen)).collect();
        match *wanted {
            Wanted::Hold => {
                assert!(amounts.is_empty());
                check_held(system, payment, fates[&payment.id], seen);
            }
            Wanted::Release => {
                assert_eq!(sent(system, fates[&payment.id], seen), payment.amount.0);
                expected.push((payment.id, None));
            }
            Wanted::Split(count) => {
                assert_eq!(fates.get(&payment.id), None, "a payment has outlived its split");
                let mut equal = vec![payment.amount.0 / count; usize::try_from(count).unwrap()];
                *equal.last_mut().unwrap() += payment.amount.0 % count;
                assert_eq!(amounts, equal);
                extra_parts += count - 1;
                *seen.entry("parts").or_default() += 1;
            }
            Wanted::Cut(amount) => {
                assert_eq!(amounts, [amount]);
                let rest = Payment { amount: payment.amount - Cents(amount), ..*payment };
                check_held(system, &rest, fates[&payment.id], seen);
                extra_parts += 1;
                *seen.entry("cut").or_default() += 1;
            }
        }
        expected.extend(parts.iter().map(|part| (*part, Some(payment.id))));
    }
    assert_eq!(released, expected, "released something else, or in another order");
    let fee = system.setup.prices.split(2).0;
    let charged = system.ledger.banks[asked.bank.index()].tick_costs[Component::Split as usize];
    assert_eq!(charged, Cents(fee * extra_parts));
}

/// The amount of a payment that has left the internal queue whole.
fn sent(system: &System, fate: Fate, seen: &mut BTreeMap<&'static str, usize>) -> i64 {
    let (amount, what) = match fate {
        Fate::Held(payment) => panic!("still in the internal queue: {payment:?}"),
        Fate::Queued(amount) => (amount, "queued"),
        Fate::Settled(amount) => (amount, "settled"),
        Fate::Lent(amount) | Fate::Cancelled(amount) => {
            assert!(has_closed(system));
            (amount, "sent before the close")
        }
    };
    *seen.entry(what).or_default() += 1;
    amount.0
}

/// A held payment is where and as it was, late at most, unless a day's close has settled or cancelled everything.
fn check_held(system: &System, payment: &Payment, fate: Fate, seen: &mut BTreeMap<&'static str, usize>) {
    let what = match fate {
        Fate::Held(now) => {
            assert_eq!(now, Payment { is_overdue: now.is_overdue, ..*payment });
            "held"
        }
        Fate::Lent(amount) if amount == payment.amount => "settled by the close",
        Fate::Cancelled(amount) if amount == payment.amount => "cancelled by the close",
        _ => panic!("{payment:?} was to be held, but is {fate:?}"),
    };
    assert!(what == "held" || has_closed(system));
    *seen.entry(what).or_default() += 1;
}

fn has_closed(system: &System) -> bool {
    system.ledger.now.0.is_multiple_of(system.setup.ticks_per_day)
}

/// The pool's share `(number, choices)` is in the account: `number` of `choices - 1` parts, less than a cent apart.
pub fn check_pool(system: &System, bank: BankId, (number, choices): (i64, usize), balances_before: &[Cents]) {
    let asked = system.setup.banks[bank.index()].pool.0 as f64 * number as f64 / (choices - 1) as f64;
    let now = &system.ledger.banks[bank.index()];
    let committed = now.committed.0 as f64;
    assert!(committed <= asked + 1e-6 && committed > asked - 1.0 - 1e-6, "{committed} {asked}");
    assert_eq!(now.balance, balances_before[bank.index()] + now.committed);
}
