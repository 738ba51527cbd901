//! What must hold on any day of any system, whatever the banks do.

#![allow(clippy::unwrap_used, missing_docs)]

use paysim_engine::bank::Bank;
use paysim_engine::costs::COMPONENTS;
use paysim_engine::events::EventLog;
use paysim_engine::ledger::Ledger;
use paysim_engine::policy::Decision;
use paysim_engine::scenario::{EndOfDay, QueueDiscipline, Scenario};
use paysim_engine::setup::Setup;
use paysim_engine::system::System;
use paysim_engine::units::{BankId, Cents, bank_at};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

/// A random scenario of 2 to 5 banks, with small amounts so that liquidity binds.
fn scenarios() -> impl Strategy<Value = Value> {
    let shape = (1..=8_i64, 1..=3_i64, 2..=5_usize);
    shape.prop_flat_map(|(ticks, days, banks)| {
        let rules = (
            prop::sample::select(vec!["carry", "drop", "borrow"]),
            prop::sample::select(vec!["carry", "reset"]),
            prop::sample::select(vec!["fifo", "fifo_bypass", "priority"]),
        );
        let payments = vec(payment(banks, ticks * days), 0..8);
        (vec(agent(ticks), banks), costs(), payments, rules, any::<u64>()).prop_map(
            move |(mut agents, costs, payments, (end_of_day, overnight, discipline), seed)| {
                for (index, agent) in agents.iter_mut().enumerate() {
                    agent["id"] = json!(format!("BANK_{index}"));
                }
                json!({
                    "ticks_per_day": ticks, "num_days": days, "seed": seed, "agents": agents, "costs": costs,
                    "initial_transactions": payments, "end_of_day": end_of_day, "overnight": overnight,
                    "rails": [{"id": "RTGS", "queue_discipline": discipline}]
                })
            },
        )
    })
}

fn agent(ticks: i64) -> impl Strategy<Value = Value> {
    let policy = prop_oneof![
        Just(json!({"type": "learner"})),
        Just(json!({"type": "release_all"})),
        (0..4_i64).prop_map(|margin| json!({"type": "hold_until_deadline", "margin": margin})),
        (0..500_i64).prop_map(|buffer| json!({"type": "liquidity_aware", "buffer": buffer})),
        (2..6_i64, 0..300_i64)
            .prop_map(|(parts, threshold)| json!({"type": "split_large", "parts": parts, "threshold": threshold})),
        (0.0..1.0_f64).prop_map(|probability| json!({"type": "random", "release_probability": probability})),
    ];
    (0..600_i64, 0..600_i64, prop::option::of(arrivals(ticks)), policy).prop_map(|(balance, credit, arrivals, policy)| {
        json!({"balance": balance, "credit_limit": credit, "arrival_config": arrivals, "policy": policy})
    })
}

fn arrivals(ticks: i64) -> impl Strategy<Value = Value> {
    let amounts = prop_oneof![
        (4..400_i64, 0..=75_i64).prop_map(|(mean, percent)| json!({"distribution_type": "normal", "amount_mean": mean, "amount_std_dev": mean * percent / 100})),
        (1..400_i64, 0..800_i64).prop_map(|(mean, deviation)| json!({"distribution_type": "lognormal", "amount_mean": mean, "amount_std_dev": deviation})),
        (1..400_i64).prop_map(|mean| json!({"distribution_type": "uniform", "amount_mean": mean})),
        (1..400_i64).prop_map(|mean| json!({"distribution_type": "exponential", "amount_mean": mean})),
    ];
    let window = (0..ticks).prop_map(move |start| json!([{"start_tick": start, "end_tick": ticks, "multiplier": 2.5}]));
    let priority = prop_oneof![Just(json!(3)), Just(json!({"1": 1.0, "9": 2.0}))];
    (0.1..2.0_f64, amounts, window, prop::option::of((0..3_i64, 3..6_i64)), priority, any::<bool>()).prop_map(
        |(rate, mut config, windows, deadlines, priority, divisible)| {
            config["rate_per_tick"] = json!(rate);
            config["time_windows"] = windows;
            config["deadline_range"] = deadlines.map_or(Value::Null, |(low, high)| json!([low, high]));
            config["priority"] = priority;
            config["divisible"] = json!(divisible);
            config
        },
    )
}

fn costs() -> impl Strategy<Value = Value> {
    let prices = (0.0..0.1_f64, 0..50_i64, 0.0..0.05_f64, 1.0..5.0_f64, 0..90_i64);
    (prices, 0..90_i64, 0..90_i64, 0.0..0.1_f64, any::<bool>()).prop_map(
        |((overdraft, flat, rate, overdue, deadline), split, eod, eod_rate, in_central)| {
            json!({
                "overdraft_rate": overdraft, "overdraft_tiers": [{"above": 100, "rate": 0.2}],
                "delay_penalty_per_tick": flat, "delay_rate": rate, "priority_multipliers": {"9": 2.5, "1": 0.0},
                "overdue_multiplier": overdue, "deadline_penalty": deadline, "split_fee": split,
                "eod_penalty": eod, "eod_rate": eod_rate, "delay_in_central_queue": in_central
            })
        },
    )
}

fn payment(banks: usize, ticks: i64) -> impl Strategy<Value = Value> {
    (0..banks, 1..banks, 1..700_i64, 0..ticks, 0..9_i64, 0..=10_i64).prop_map(
        move |(sender, offset, amount, arrival, wait, priority)| {
            json!({
                "sender": format!("BANK_{sender}"), "receiver": format!("BANK_{}", (sender + offset) % banks),
                "amount": amount, "arrival_tick": arrival, "deadline_tick": arrival + wait, "priority": priority
            })
        },
    )
}

fn system(scenario: &Value) -> (System, Vec<usize>) {
    let scenario = Scenario::from_json(&scenario.to_string()).unwrap();
    let is_learner =
        |index: &usize| matches!(scenario.agents[*index].policy, paysim_engine::scenario::PolicyConfig::Learner {});
    let learners: Vec<usize> = (0..scenario.agents.len()).filter(is_learner).collect();
    let ids: Vec<BankId> = learners.iter().map(|learner| bank_at(*learner)).collect();
    (System::new(Arc::new(Setup::new(&scenario).unwrap()), &ids, EventLog::default()), learners)
}

/// Any legal decision about every payment a learner holds.
fn decide(system: &mut System, learner: usize, choices: &mut impl Iterator<Item = u8>) {
    let ledger = &system.ledger;
    let decision = |slot: &_| match choices.next().unwrap() {
        0 => Decision::Release,
        parts @ 2..=7 if ledger.book.get(*slot).can_be_split(parts) => Decision::Split(parts),
        _ => Decision::Hold,
    };
    let decisions: Vec<Decision> = ledger.banks[learner].internal.iter().map(decision).collect();
    system.decisions_mut(bank_at(learner)).extend(decisions);
}

/// Plays an episode with the learners' `choices` and checks `invariant` after every tick.
fn play(scenario: &Value, choices: &[u8], invariant: impl Fn(&System, &[Cents])) -> System {
    let (mut system, learners) = system(scenario);
    let mut choices = choices.iter().copied().cycle();
    while !system.is_over() {
        system.begin_tick().unwrap();
        let before: Vec<Cents> = system.ledger.banks.iter().map(|bank| bank.balance).collect();
        for learner in &learners {
            decide(&mut system, *learner, &mut choices);
        }
        system.finish_tick().unwrap();
        invariant(&system, &before);
    }
    system
}

fn opening_money(system: &System) -> Cents {
    system.setup.banks.iter().map(|bank| bank.balance).sum()
}

fn liquidity_binds(ledger: &Ledger, bank: &Bank) -> bool {
    let is_blocked = |slot: &_| ledger.book.get(*slot).amount > bank.liquidity();
    match ledger.setup.rails[0].queue_discipline {
        QueueDiscipline::FifoBypass => bank.queued().all(is_blocked),
        QueueDiscipline::Fifo | QueueDiscipline::Priority => bank.queued().next().is_none_or(is_blocked),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn money_is_conserved_and_limits_are_kept(scenario in scenarios(), choices in vec(0..9_u8, 64)) {
        play(&scenario, &choices, |system, before| {
            let ledger = &system.ledger;
            assert_eq!(ledger.money(), opening_money(system) + system.external_money());
            for (bank, before) in ledger.banks.iter().zip(before) {
                // Repaying an overnight loan may leave a bank below its limit; settling never takes it there.
                assert!(bank.balance >= (-bank.credit_limit).min(*before), "{} < {}", bank.balance.0, before.0);
            }
        });
    }

    #[test]
    fn every_payment_is_somewhere_and_what_can_settle_has_settled(scenario in scenarios(), choices in vec(0..9_u8, 64)) {
        play(&scenario, &choices, |system, _| {
            let ledger = &system.ledger;
            let mut open = 0;
            for (index, bank) in ledger.banks.iter().enumerate() {
                let statistics = &bank.statistics;
                let unsettled = ledger.unsettled(index).count();
                assert_eq!(
                    statistics.arrived_count + statistics.split_count,
                    statistics.settled_count + statistics.dropped_count + i64::try_from(unsettled).unwrap()
                );
                assert!(liquidity_binds(ledger, bank));
                open += unsettled;
            }
            assert_eq!(ledger.book.len(), open);
        });
    }

    #[test]
    fn running_totals_equal_the_sums_they_stand_for(scenario in scenarios(), choices in vec(0..9_u8, 64)) {
        play(&scenario, &choices, |system, _| {
            let ledger = &system.ledger;
            for (index, bank) in ledger.banks.iter().enumerate() {
                let value = |slots: &mut dyn Iterator<Item = Cents>| slots.sum::<Cents>();
                let central = value(&mut bank.queued().map(|slot| ledger.book.get(*slot).amount));
                assert_eq!(bank.central_value, central);
                let delay: i128 = ledger.unsettled(index).map(|payment| ledger.setup.prices.delay(payment)).sum();
                assert_eq!(bank.delay_charge, delay);
                let to_me = |payment: &&paysim_engine::payment::Payment| payment.is_released && payment.receiver == bank_at(index);
                let incoming = (0..ledger.banks.len()).flat_map(|other| ledger.unsettled(other)).filter(to_me);
                let (count, value) = incoming.fold((0, Cents::ZERO), |(count, value), payment| (count + 1, value + payment.amount));
                assert_eq!((bank.incoming_count, bank.incoming_value), (count, value));
                assert!(bank.internal.is_sorted_by_key(|slot| {
                    let payment = ledger.book.get(*slot);
                    (std::cmp::Reverse(payment.priority), payment.deadline, payment.id)
                }));
            }
        });
    }

    #[test]
    fn nothing_is_free(scenario in scenarios(), choices in vec(0..9_u8, 64)) {
        let system = play(&scenario, &choices, |system, _| {
            for (index, bank) in system.ledger.banks.iter().enumerate() {
                assert!(bank.tick_costs.iter().all(|cost| *cost >= Cents::ZERO));
                // A payment leaves the books only by settling, or by the scenario's own end-of-day rule.
                let statistics = &bank.statistics;
                assert!(system.setup.end_of_day == EndOfDay::Drop || statistics.dropped_count == 0);
                let open: Cents = system.ledger.unsettled(index).map(|payment| payment.amount).sum();
                if statistics.dropped_count == 0 {
                    assert_eq!(statistics.arrived_value, statistics.settled_value + open);
                }
            }
        });
        assert_eq!(system.ledger.banks[0].costs.len(), COMPONENTS.len());
    }

    #[test]
    fn demand_does_not_depend_on_what_anyone_does(scenario in scenarios(), one in vec(0..9_u8, 64), other in vec(0..9_u8, 64)) {
        let arrived = |choices: &[u8]| -> Vec<(i64, Cents)> {
            let system = play(&scenario, choices, |_, _| ());
            let banks = system.ledger.banks.iter();
            banks.map(|bank| (bank.statistics.arrived_count, bank.statistics.arrived_value)).collect()
        };
        assert_eq!(arrived(&one), arrived(&other));
    }

    #[test]
    fn the_order_of_the_banks_does_not_matter(scenario in scenarios(), shift in 1..5_usize) {
        // Scheduled payments only: sampled ones belong to a bank's place in the seed tree.
        let mut scenario = scenario;
        for agent in scenario["agents"].as_array_mut().unwrap() {
            agent["arrival_config"] = Value::Null;
            agent["policy"] = json!({"type": "release_all"});
        }
        let mut moved = scenario.clone();
        let agents = moved["agents"].as_array_mut().unwrap();
        let shift = shift % agents.len();
        agents.rotate_left(shift);
        let result = |scenario: &Value| {
            let system = play(scenario, &[0], |_, _| ());
            let mut banks: Vec<_> = system.setup.banks.iter().zip(&system.ledger.banks)
                .map(|(setup, bank)| (setup.id.clone(), bank.balance, bank.costs, bank.statistics.delay_value)).collect();
            banks.sort();
            banks
        };
        assert_eq!(result(&scenario), result(&moved));
    }
}
