//! Outcome of a tick by bank and order, from its events.

use super::state::System;
use crate::events::{Event, Mechanism};
use crate::units::{Cents, PaymentId, Tick};
use std::collections::{HashMap, HashSet};

/// Outcome of a tick beyond [`TickOutcome`](super::TickOutcome).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BankOutcomes {
    /// Number of orders of which the last part settled.
    pub settled_orders: u32,
    /// Sum of their ticks from arrival to that settlement.
    pub settled_orders_delay: u64,
    /// Outcome by bank.
    pub banks: Vec<BankOutcome>,
}

/// Outcome of a tick for one bank.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BankOutcome {
    /// Balance after the tick.
    pub balance: Cents,
    /// Balance before the day's close grants loans, uses them and returns pools.
    pub balance_before_close: Cents,
    /// Value of its payments that settled.
    pub sent: Cents,
    /// Value of payments to it that settled.
    pub received: Cents,
}

impl System {
    /// Outcome of `tick`, which has just ended, from its events.
    pub fn bank_outcomes(&self, tick: Tick, events: &[Event]) -> BankOutcomes {
        let balances = self.ledger.banks.iter().map(|bank| bank.balance);
        let mut banks: Vec<BankOutcome> = balances
            .map(|balance| BankOutcome { balance, balance_before_close: balance, ..BankOutcome::default() })
            .collect();
        for event in events {
            match *event {
                Event::Settlement { sender, receiver, amount, mechanism, .. } => {
                    banks[sender.index()].sent += amount;
                    banks[receiver.index()].received += amount;
                    if mechanism == Mechanism::Close {
                        banks[sender.index()].balance_before_close += amount;
                        banks[receiver.index()].balance_before_close -= amount;
                    }
                }
                Event::EndOfDay { bank, borrowed, .. } => banks[bank.index()].balance_before_close -= borrowed,
                Event::PoolReturn { bank, amount } => banks[bank.index()].balance_before_close += amount,
                _ => {}
            }
        }
        let (settled_orders, settled_orders_delay) = self.settled_orders(tick, events);
        BankOutcomes { settled_orders, settled_orders_delay, banks }
    }

    /// Number of orders that these events settle wholly, and the sum of their delays.
    fn settled_orders(&self, tick: Tick, events: &[Event]) -> (u32, u64) {
        let mut delays: HashMap<PaymentId, u64> = HashMap::new();
        let mut unsettled: HashSet<PaymentId> = HashSet::new();
        let mut has_parts = false;
        for event in events {
            match *event {
                Event::Settlement { payment, parent, arrival_tick, .. } => {
                    delays.insert(parent.unwrap_or(payment), u64::from(tick.0.saturating_sub(arrival_tick.0)));
                    has_parts |= parent.is_some();
                }
                Event::Cancellation { payment, parent, .. } => {
                    unsettled.insert(parent.unwrap_or(payment));
                }
                _ => {}
            }
        }
        // A payment without parts among the settled ones is unsettled only through parts of its own.
        for payment in self.ledger.banks.iter().flat_map(|bank| bank.unsettled()) {
            unsettled.extend(payment.parent);
            if has_parts {
                unsettled.insert(payment.id);
            }
        }
        let whole = delays.iter().filter(|(order, _)| !unsettled.contains(order));
        whole.fold((0, 0), |(count, sum), (_, delay)| (count + 1, sum + delay))
    }
}
