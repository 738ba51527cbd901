//! What must hold for the decision process in any system.

#![allow(clippy::unwrap_used, missing_docs)]

mod stepped_fleet;
mod strategies;

use paysim_engine::decision::Process;
use paysim_engine::decision::action::Subject;
use paysim_engine::decision::observation::fields;
use paysim_engine::events::{Event, EventLog};
use paysim_engine::payment::Payment;
use paysim_engine::policy::Decision;
use paysim_engine::rng::{Purpose, stream};
use paysim_engine::setup::Setup;
use paysim_engine::system::System;
use paysim_engine::units::{BankId, Cents, bank_at};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;
use stepped_fleet::{SteppedFleet, draw};
use strategies::{read, scenarios};

/// Settings of a decision process in which the first bank learns.
fn decisions() -> impl Strategy<Value = Value> {
    let mode = prop::sample::select(vec!["slots", "fraction"]);
    let decides = prop::sample::select(vec!["both", "pool", "payments"]);
    let splits = prop::sample::select(vec![json!([]), json!([2]), json!([2, 5])]);
    (mode, decides, splits, 1..4_usize).prop_map(|(mode, decides, splits, slots)| {
        json!({
            "learners": ["BANK_0"], "action_mode": mode, "decides": decides, "split_parts": splits, "slots": slots,
            "reward_scale": 8
        })
    })
}

const LEARNER: BankId = BankId(0);

fn internal_queue(system: &System) -> Vec<Payment> {
    system.ledger.banks[0].internal.iter().map(|slot| *system.ledger.book.get(*slot)).collect()
}

/// What the learner's actions must lead to, payment by payment.
fn expected(process: &Process, subject: Subject, queue: &[Payment], actions: &[i64]) -> Vec<Decision> {
    match subject {
        Subject::Slots => {
            let decision = |action: &i64| match usize::try_from(*action).unwrap() {
                0 => Decision::Hold,
                1 => Decision::Release,
                split => Decision::Split(process.split_parts[split - 2]),
            };
            actions.iter().take(queue.len()).map(decision).collect()
        }
        Subject::Share => {
            let value: i64 = queue.iter().map(|payment| payment.amount.0).sum();
            let mut left = value * actions[0] / 20;
            let mut is_open = true;
            let mut decide = |payment: &Payment| {
                is_open &= left > 0;
                if !is_open {
                    return Decision::Hold;
                }
                let amount = payment.amount.0;
                is_open = amount <= left;
                let part = left;
                left = (left - amount).max(0);
                match (is_open, payment.divisible) {
                    (true, _) => Decision::Release,
                    (false, true) => Decision::Cut(Cents(part)),
                    (false, false) => Decision::Hold,
                }
            };
            queue.iter().map(&mut decide).collect()
        }
        Subject::Pool | Subject::Nothing(_) => Vec::new(),
    }
}

/// What the events say that the learner did with its queue.
fn done(queue: &[Payment], events: &[Event]) -> Vec<Decision> {
    let of = |payment: &Payment| {
        let id = payment.id;
        events.iter().find_map(|event| match event {
            Event::Release { payment, parent: None, .. } if *payment == id => Some(Decision::Release),
            Event::Split { payment, parts, .. } if *payment == id => Some(Decision::Split(*parts)),
            Event::Cut { payment, amount, .. } if *payment == id => Some(Decision::Cut(*amount)),
            _ => None,
        })
    };
    queue.iter().map(|payment| of(payment).unwrap_or(Decision::Hold)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn masks_are_honest(scenario in scenarios(), decision in decisions(), seed in any::<u64>()) {
        let setup = Arc::new(Setup::new(&read(&scenario)).unwrap());
        let process = Process::from_json(&decision.to_string(), &setup).unwrap();
        let mut system = System::observed(Arc::clone(&setup), &process.learners, process.payment_learners(), EventLog::recording());
        let mut dice = stream(seed, 0, bank_at(0), Purpose::Policy);
        let mut mask = vec![false; process.mask_size()];
        while !system.is_over() {
            system.begin_day().unwrap();
            if !(process.has_opening && system.is_opening()) {
                system.begin_tick().unwrap();
            }
            process.write_mask(&system, LEARNER, &mut mask);
            for (place, is_legal) in mask.iter().enumerate() {
                let mut actions = vec![0; process.heads()];
                actions[place / process.choices()] = i64::try_from(place % process.choices()).unwrap();
                assert_eq!(process.objection(&system, LEARNER, &actions).is_none(), *is_legal, "{actions:?}");
            }
            let actions: Vec<i64> = mask.chunks(process.choices()).map(|flags| draw(flags, &mut dice)).collect();
            let (subject, queue) = (process.subject(&system, LEARNER), internal_queue(&system));
            assert_eq!(process.decide(&mut system, LEARNER, &actions), 0);
            system.ledger.events.take();
            if system.is_opening() {
                system.finish_opening().unwrap();
                let asked = setup.banks[0].pool.0 as f64 * actions[0] as f64 / (process.choices() - 1) as f64;
                let committed = system.ledger.banks[0].committed.0 as f64;
                assert!(committed <= asked + 1e-6 && committed > asked - 1.0 - 1e-6, "{committed} {asked}");
            } else {
                system.finish_tick().unwrap();
                if process.decides != paysim_engine::decision::Decides::Pool {
                    let mut wanted = expected(&process, subject, &queue, &actions);
                    wanted.resize(queue.len(), Decision::Hold);
                    assert_eq!(done(&queue, &system.ledger.events.take()), wanted);
                }
            }
        }
    }

    #[test]
    fn rewards_sum_to_minus_the_cost_and_observations_keep_their_bounds(
        scenario in scenarios(), decision in decisions(), seed in any::<u64>()
    ) {
        let mut fleet = SteppedFleet::new(&read(&scenario), 1, 1, &decision);
        let bounds: Vec<_> = fields(fleet.fleet.process.slots).map(|(_, field)| field.low..=field.high).collect();
        let mut dice = stream(seed, 0, bank_at(0), Purpose::Policy);
        let mut sum = 0.0;
        while !fleet.terminated[0] {
            for (column, (value, bounds)) in fleet.observations.iter().zip(&bounds).enumerate() {
                assert!(bounds.contains(value), "column {column}: {value}");
            }
            let actions = fleet.legal_actions(&mut dice);
            fleet.step(&actions).unwrap();
            assert_eq!(fleet.illegal, [0]);
            assert!((fleet.rewards[0] + fleet.costs.iter().sum::<i64>() as f64 / 8.0).abs() < 1e-9);
            sum += fleet.rewards[0];
        }
        let totals = fleet.fleet.totals().next().unwrap();
        let cost = totals.costs.iter().copied().sum::<Cents>().0 as f64;
        assert!((sum * 8.0 + cost).abs() < 1e-6 * cost.max(1.0), "{sum} {cost}");
    }
}
