//! Properties of every system under any decisions.

#![allow(clippy::unwrap_used, missing_docs)]

mod reference_ledger;
mod settlement_rules;
mod strategies;

use paysim_engine::events::EventLog;
use paysim_engine::scenario::EndOfDay;
use paysim_engine::system::System;
use paysim_engine::units::{Cents, bank_at};
use proptest::prelude::*;
use reference_ledger::ReferenceLedger;
use serde_json::{Value, json};
use settlement_rules::{check_limits, check_tick};
use strategies::{choices, play, read, scenarios};

fn opening_money(system: &System) -> Cents {
    system.setup.banks.iter().map(|bank| bank.balance).sum()
}

/// The scenario without random arrivals and policies.
///
/// Their draws depend on the index of a bank.
fn without_randomness(mut scenario: Value) -> Value {
    for agent in scenario["agents"].as_array_mut().unwrap() {
        agent["arrival_config"] = Value::Null;
        if ["random", "learner"].contains(&agent["policy"]["type"].as_str().unwrap()) {
            agent["policy"] = json!({"type": "release_all"});
        }
    }
    scenario
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn money_is_conserved_and_limits_hold(scenario in scenarios(), choices in choices()) {
        play(&read(&scenario), EventLog::default(), choices, |system, before, _| {
            assert_eq!(system.ledger.money(), opening_money(system) + system.external_money());
            check_limits(&system.ledger, before);
        });
    }

    #[test]
    fn settlements_are_feasible_and_complete(scenario in scenarios(), choices in choices()) {
        play(&read(&scenario), EventLog::recording(), choices, |system, before, outcome| {
            let events = system.ledger.events.take();
            check_tick(&system.ledger, outcome.tick, before, &events);
        });
    }

    #[test]
    fn the_ledger_equals_the_reference_ledger(scenario in scenarios(), choices in choices()) {
        let scenario = read(&scenario);
        let mut reference = ReferenceLedger::new(&scenario);
        play(&scenario, EventLog::recording(), choices, |system, _, outcome| {
            let events = system.ledger.events.take();
            reference.apply_tick(outcome.tick, &events);
            reference.compare(system);
        });
    }

    #[test]
    fn payments_are_conserved(scenario in scenarios(), choices in choices()) {
        play(&read(&scenario), EventLog::default(), choices, |system, _, outcome| {
            let ledger = &system.ledger;
            let mut open = 0;
            for bank in &ledger.banks {
                let statistics = &bank.statistics;
                let unsettled = bank.unsettled().count();
                assert_eq!(
                    statistics.arrived_count + statistics.split_count,
                    statistics.settled_count + statistics.dropped_count + i64::try_from(unsettled).unwrap()
                );
                assert!(system.setup.end_of_day == EndOfDay::Drop || statistics.dropped_count == 0);
                let value: Cents = bank.unsettled().map(|payment| payment.amount).sum();
                if statistics.dropped_count == 0 {
                    assert_eq!(statistics.arrived_value, statistics.settled_value + value);
                }
                assert!(bank.tick_costs.iter().all(|cost| *cost >= Cents::ZERO));
                open += unsettled;
            }
            assert_eq!((ledger.num_unsettled(), outcome.queue_depth), (open, open));
        });
    }

    #[test]
    fn running_totals_equal_their_sums(scenario in scenarios(), choices in choices()) {
        play(&read(&scenario), EventLog::default(), choices, |system, _, _| {
            let ledger = &system.ledger;
            for (index, bank) in ledger.banks.iter().enumerate() {
                let central = bank.queued().map(|payment| payment.amount).sum::<Cents>();
                assert_eq!((bank.central_value, bank.deferred), (central, Cents::ZERO));
                let delay: i128 = bank.unsettled().map(|payment| ledger.setup.prices.delay(payment)).sum();
                assert_eq!(bank.delay_charge, delay);
                let is_incoming = |payment: &&paysim_engine::payment::Payment| {
                    let is_visible = ledger.setup.rails[payment.rail.index()].incoming_queue_visible;
                    payment.is_released && payment.receiver == bank_at(index) && is_visible
                };
                let incoming = (0..ledger.banks.len()).flat_map(|other| ledger.banks[other].unsettled()).filter(is_incoming);
                let (count, value) = incoming.fold((0, Cents::ZERO), |(count, value), payment| (count + 1, value + payment.amount));
                assert_eq!((bank.incoming_count, bank.incoming_value), (count, value));
                let by_sender = (0..ledger.banks.len()).map(|other| ledger.incoming_value(other, index)).sum::<Cents>();
                assert_eq!(by_sender, value);
                assert_eq!(bank.credit(), bank.credit_limit + ledger.setup.banks[index].haircut.complement().share_of(bank.collateral));
                assert!(bank.internal.is_sorted_by_key(|payment| {
                    (std::cmp::Reverse(payment.urgency), payment.deadline, payment.id)
                }));
                let next_deadline = bank.unsettled().filter(|payment| !payment.is_overdue).map(|payment| payment.deadline);
                assert!(next_deadline.min().is_none_or(|next| bank.next_deadline <= next));
                assert!(bank.costs_today().iter().zip(bank.costs).all(|(today, total)| *today <= total));
                assert_eq!(bank.cost_today, bank.costs_today().iter().copied().sum());
                assert!(bank.queued().all(|payment| bank.central_floor <= payment.amount));
            }
        });
    }

    #[test]
    fn demand_does_not_depend_on_decisions(scenario in scenarios(), one in choices(), other in choices()) {
        let scenario = read(&scenario);
        let arrived = |choices: &strategies::Choices| {
            let mut arrivals = Vec::new();
            play(&scenario, EventLog::default(), choices.clone(), |system, _, outcome| {
                let banks = system.ledger.banks.iter();
                let by_bank: Vec<_> = banks.map(|bank| (bank.statistics.arrived_count, bank.statistics.arrived_value)).collect();
                arrivals.push((outcome.tick, outcome.arrivals, by_bank));
            });
            arrivals
        };
        assert_eq!(arrived(&one), arrived(&other));
    }

    #[test]
    fn results_do_not_depend_on_the_order_of_banks(scenario in scenarios(), shift in 1..5_usize, choices in choices()) {
        let scenario = without_randomness(scenario);
        let mut moved = scenario.clone();
        let agents = moved["agents"].as_array_mut().unwrap();
        let shift = shift % agents.len();
        agents.rotate_left(shift);
        let results = |scenario: &Value| {
            let mut ticks = Vec::new();
            play(&read(scenario), EventLog::default(), choices.clone(), |system, _, outcome| {
                let banks = system.setup.banks.iter().zip(&system.ledger.banks);
                let mut banks: Vec<_> = banks
                    .map(|(setup, bank)| (setup.id.clone(), bank.balance, bank.costs, bank.statistics.delay_value)).collect();
                banks.sort();
                ticks.push((outcome.tick, outcome.settlements, banks));
            });
            ticks
        };
        assert_eq!(results(&scenario), results(&moved));
    }
}
