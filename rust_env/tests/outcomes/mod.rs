//! Compares the outcomes of a learner's payments in a step with its actions.

use paysim_engine::costs::Component;
use paysim_engine::events::{Event, Mechanism};
use paysim_engine::payment::Payment;
use paysim_engine::system::System;
use paysim_engine::units::{BankId, Cents, PaymentId};
use std::collections::BTreeMap;

/// The requested decision about a payment; amounts in cents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Requested {
    Hold,
    Release,
    Split(i64),
    Cut(i64),
}

/// A bank's queue before the step and the requested decision about each payment.
pub struct Request {
    pub bank: BankId,
    pub queue: Vec<Payment>,
    pub requested: Vec<Requested>,
}

/// State of a payment after the step.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Held(Payment),
    Queued(Cents),
    Settled(Cents),
    /// Settled at the end of the day with an overnight loan.
    Lent(Cents),
    Cancelled(Cents),
}

type Outcomes = BTreeMap<PaymentId, Outcome>;

/// The outcome of every payment of a bank.
fn outcomes(system: &System, bank: BankId, events: &[Event]) -> Outcomes {
    let bank_now = &system.ledger.banks[bank.index()];
    let held = bank_now.internal.iter().map(|payment| (payment.id, Outcome::Held(*payment)));
    let queued = bank_now.queued().map(|payment| (payment.id, Outcome::Queued(payment.amount)));
    let gone = events.iter().filter_map(|event| match event {
        Event::Settlement { payment, sender, amount, mechanism: Mechanism::Close, .. } if *sender == bank => {
            Some((*payment, Outcome::Lent(*amount)))
        }
        Event::Settlement { payment, sender, amount, .. } if *sender == bank => {
            Some((*payment, Outcome::Settled(*amount)))
        }
        Event::Cancellation { payment, sender, amount, .. } if *sender == bank => {
            Some((*payment, Outcome::Cancelled(*amount)))
        }
        _ => None,
    });
    let all: Vec<(PaymentId, Outcome)> = held.chain(queued).chain(gone).collect();
    let outcomes: Outcomes = all.iter().copied().collect();
    assert_eq!(outcomes.len(), all.len(), "a payment has two outcomes: {all:?}");
    outcomes
}

/// Releases of the bank in order: payment and parent.
fn releases(bank: BankId, events: &[Event]) -> Vec<(PaymentId, Option<PaymentId>)> {
    let release = |event: &Event| match event {
        Event::Release { payment, parent, sender, .. } if *sender == bank => Some((*payment, *parent)),
        _ => None,
    };
    events.iter().filter_map(release).collect()
}

/// Compares the outcomes of a tick with the requested decisions.
///
/// `events` are those after the decisions.
pub fn check_payments(
    system: &System,
    request: &Request,
    events: &[Event],
    coverage: &mut BTreeMap<&'static str, usize>,
) {
    let (outcomes, released) = (outcomes(system, request.bank, events), releases(request.bank, events));
    let mut expected = Vec::new();
    let mut extra_parts = 0;
    for (payment, requested) in request.queue.iter().zip(&request.requested) {
        let parts: Vec<PaymentId> =
            released.iter().filter(|(_, parent)| *parent == Some(payment.id)).map(|(part, _)| *part).collect();
        let amounts: Vec<i64> = parts.iter().map(|part| released_amount(system, outcomes[part], coverage)).collect();
        match *requested {
            Requested::Hold => {
                assert!(amounts.is_empty());
                check_held(system, payment, outcomes[&payment.id], coverage);
            }
            Requested::Release => {
                assert_eq!(released_amount(system, outcomes[&payment.id], coverage), payment.amount.0);
                expected.push((payment.id, None));
            }
            Requested::Split(count) => {
                assert_eq!(outcomes.get(&payment.id), None, "a split payment still exists");
                let mut equal = vec![payment.amount.0 / count; usize::try_from(count).unwrap()];
                *equal.last_mut().unwrap() += payment.amount.0 % count;
                assert_eq!(amounts, equal);
                extra_parts += count - 1;
                *coverage.entry("parts").or_default() += 1;
            }
            Requested::Cut(amount) => {
                assert_eq!(amounts, [amount]);
                let rest = Payment { amount: payment.amount - Cents(amount), ..*payment };
                check_held(system, &rest, outcomes[&payment.id], coverage);
                extra_parts += 1;
                *coverage.entry("cut").or_default() += 1;
            }
        }
        expected.extend(parts.iter().map(|part| (*part, Some(payment.id))));
    }
    assert_eq!(released, expected, "releases differ from the requested ones");
    let fee = system.setup.prices.split(2).0;
    let charged = system.ledger.banks[request.bank.index()].tick_costs[Component::Split as usize];
    assert_eq!(charged, Cents(fee * extra_parts));
}

/// The amount of a payment that has left the internal queue.
fn released_amount(system: &System, outcome: Outcome, coverage: &mut BTreeMap<&'static str, usize>) -> i64 {
    let (amount, what) = match outcome {
        Outcome::Held(payment) => panic!("still in the internal queue: {payment:?}"),
        Outcome::Queued(amount) => (amount, "queued"),
        Outcome::Settled(amount) => (amount, "settled"),
        Outcome::Lent(amount) | Outcome::Cancelled(amount) => {
            assert!(has_closed(system));
            (amount, "released before the close")
        }
    };
    *coverage.entry(what).or_default() += 1;
    amount.0
}

/// Checks that a held payment is unchanged, except where the day's close removed it.
fn check_held(system: &System, payment: &Payment, outcome: Outcome, coverage: &mut BTreeMap<&'static str, usize>) {
    let what = match outcome {
        Outcome::Held(now) => {
            assert_eq!(now, Payment { is_overdue: now.is_overdue, ..*payment });
            "held"
        }
        Outcome::Lent(amount) if amount == payment.amount => "settled by the close",
        Outcome::Cancelled(amount) if amount == payment.amount => "cancelled by the close",
        _ => panic!("{payment:?} must be held, but is {outcome:?}"),
    };
    assert!(what == "held" || has_closed(system));
    *coverage.entry(what).or_default() += 1;
}

fn has_closed(system: &System) -> bool {
    system.ledger.now.0.is_multiple_of(system.setup.ticks_per_day)
}

/// Checks that the share `number / (choices - 1)` of the pool is committed.
pub fn check_pool(system: &System, bank: BankId, (number, choices): (i64, usize), balances_before: &[Cents]) {
    let expected = system.setup.banks[bank.index()].pool.0 as f64 * number as f64 / (choices - 1) as f64;
    let now = &system.ledger.banks[bank.index()];
    let committed = now.committed.0 as f64;
    assert!(committed <= expected + 1e-6 && committed > expected - 1.0 - 1e-6, "{committed} {expected}");
    assert_eq!(now.balance, balances_before[bank.index()] + now.committed);
}
