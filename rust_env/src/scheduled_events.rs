//! The timeline of a scenario's scheduled events.

use crate::payment::Order;
use crate::scenario::{EventConfig, PaymentEvent, Scenario, banks_by_id, clamp_u32, priority_of, rail};
use crate::units::{BankId, Cents, Tick};
use std::collections::HashMap;

/// A scheduled event; it applies before the tick's payments arrive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ScheduledEvent {
    /// A payment order arrives.
    Payment(Order),
    /// Money moves outside the queues; `None` is outside the system.
    Transfer { sender: Option<BankId>, receiver: Option<BankId>, amount: Cents },
    /// A bank's arrival rate, or all banks' for `None`, gets a multiplier.
    ArrivalRate { bank: Option<BankId>, multiplier: f64 },
    /// A bank's credit limit changes.
    Credit { bank: BankId, credit_limit: Cents },
    /// A bank's collateral changes.
    Collateral { bank: BankId, collateral: Cents },
    /// A bank cannot release payments before tick `until`.
    Outage { bank: BankId, until: Tick },
    /// The day ends with this tick.
    EarlyClose,
}

/// All scheduled events of an episode of a valid scenario, by tick.
///
/// Events of one tick keep the order of the scenario.
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
