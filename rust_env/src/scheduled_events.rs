//! The scenario's events, laid out in time.

use crate::payment::Order;
use crate::scenario::{EventConfig, PaymentEvent, Scenario, banks_by_id, clamp_u32, priority_of, rail};
use crate::units::{BankId, Cents, Tick};
use std::collections::HashMap;

/// Something that happens at a tick, before that tick's payments arrive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ScheduledEvent {
    /// An order reaches its bank.
    Payment(Order),
    /// Money moves outside the queues; from or to outside where there is no bank.
    Transfer {
        /// Who gives.
        sender: Option<BankId>,
        /// Who gets.
        receiver: Option<BankId>,
        /// At most.
        amount: Cents,
    },
    /// Customers of a bank, or of all, bring this many times the usual number of orders.
    ArrivalRate {
        /// The bank.
        bank: Option<BankId>,
        /// The factor.
        multiplier: f64,
    },
    /// A bank's credit limit changes.
    Credit {
        /// The bank.
        bank: BankId,
        /// The new limit.
        credit_limit: Cents,
    },
    /// A bank's collateral changes.
    Collateral {
        /// The bank.
        bank: BankId,
        /// Its new value.
        collateral: Cents,
    },
    /// A bank can release nothing until a tick.
    Outage {
        /// The bank.
        bank: BankId,
        /// First tick at which it can release again.
        until: Tick,
    },
    /// The day ends with this tick.
    EarlyClose,
}

/// All that happens in an episode, in time; at the same tick in the order of the scenario, which must be valid.
#[must_use]
pub fn timeline(scenario: &Scenario) -> Vec<(Tick, ScheduledEvent)> {
    let episode_ticks = scenario.ticks_per_day * scenario.num_days;
    let banks = banks_by_id(scenario);
    let mut timeline: Vec<(Tick, ScheduledEvent)> = Vec::new();
    for event in &scenario.events {
        timeline.extend(event.ticks(episode_ticks).map(|tick| (tick, scheduled_event(scenario, &banks, event, tick))));
    }
    timeline.sort_by_key(|(tick, _)| *tick);
    timeline
}

fn scheduled_event(
    scenario: &Scenario,
    banks: &HashMap<&str, BankId>,
    event: &EventConfig,
    tick: Tick,
) -> ScheduledEvent {
    let bank = |id: &String| banks[id.as_str()];
    match event {
        EventConfig::Payment(payment) => ScheduledEvent::Payment(order(scenario, banks, payment, tick)),
        EventConfig::Transfer(transfer) => ScheduledEvent::Transfer {
            sender: transfer.sender.as_ref().map(bank),
            receiver: transfer.receiver.as_ref().map(bank),
            amount: transfer.amount,
        },
        EventConfig::ArrivalRate(change) => {
            ScheduledEvent::ArrivalRate { bank: change.bank.as_ref().map(bank), multiplier: change.multiplier }
        }
        EventConfig::Credit(change) => {
            ScheduledEvent::Credit { bank: bank(&change.bank), credit_limit: change.credit_limit }
        }
        EventConfig::Collateral(change) => {
            ScheduledEvent::Collateral { bank: bank(&change.bank), collateral: change.collateral }
        }
        EventConfig::Outage(outage) => ScheduledEvent::Outage {
            bank: bank(&outage.bank),
            until: Tick(tick.0.saturating_add(clamp_u32(outage.ticks))),
        },
        EventConfig::EarlyClose(_) => ScheduledEvent::EarlyClose,
    }
}

fn order(scenario: &Scenario, banks: &HashMap<&str, BankId>, payment: &PaymentEvent, tick: Tick) -> Order {
    let ticks_per_day = clamp_u32(scenario.ticks_per_day);
    let day_end = tick.0 - tick.0 % ticks_per_day + ticks_per_day - 1;
    let deadline = payment.deadline_ticks.map_or(day_end, |ticks| tick.0.saturating_add(clamp_u32(ticks)));
    Order {
        sender: banks[payment.sender.as_str()],
        receiver: banks[payment.receiver.as_str()],
        amount: payment.amount,
        arrival: tick,
        deadline: Tick(deadline),
        priority: priority_of(payment.priority),
        divisible: payment.divisible,
        rail: rail(scenario, payment.rail.as_deref()),
        rtgs_priority: payment.rtgs_priority,
    }
}
