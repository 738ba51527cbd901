//! Tests of openings, fraction actions and the parts of a decision.

#![allow(clippy::unwrap_used, missing_docs)]

mod stepped_fleet;

use paysim_engine::costs::{COMPONENTS, Component};
use paysim_engine::error::{ActionError, FleetError};
use paysim_engine::policy::scripted;
use paysim_engine::rng::{Purpose, Stream, stream};
use paysim_engine::scenario::{PolicyConfig, Scenario};
use paysim_engine::system::RestoreError;
use paysim_engine::units::{BankId, Cents};
use serde_json::{Value, json};
use stepped_fleet::SteppedFleet;

const LIQUIDITY: usize = Component::Liquidity as usize;

fn arrivals() -> Value {
    json!({
        "rate_per_tick": 1.5, "distribution_type": "lognormal", "amount_mean": 10_000, "amount_std_dev": 20_000,
        "deadline_range": [1, 6], "priority": {"2": 1, "8": 1}
    })
}

/// Two days of 6 ticks; A and C have pools, and A has outages.
fn scenario() -> Value {
    json!({
        "ticks_per_day": 6, "num_days": 2,
        "agents": [
            {"id": "A", "balance": 5_000, "liquidity_pool": 60_000, "liquidity_share": 0.25, "arrival_config": arrivals()},
            {"id": "B", "balance": 20_000, "credit_limit": 20_000, "arrival_config": arrivals()},
            {"id": "C", "balance": 0, "liquidity_pool": 40_000, "arrival_config": arrivals(), "policy": {"type": "myopic"}}
        ],
        "costs": {"liquidity_rate": 0.01, "overdraft_rate": 0.001, "delay_penalty_per_tick": 20, "delay_rate": 0.0005, "split_fee": 30},
        "events": [{"type": "outage", "bank": "A", "ticks": 1, "tick": 2, "every_ticks": 7}]
    })
}

fn parse(scenario: &Value) -> Scenario {
    Scenario::from_json(&scenario.to_string()).unwrap()
}

fn new_rng() -> Stream {
    stream(7, 0, BankId(0), Purpose::Policy)
}

/// Settings with the learner A and further `keys`.
fn decision_of_a(keys: Value) -> Value {
    let mut decision = json!({"learners": ["A"]});
    decision.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    decision
}

/// One row in which A has this balance and these payments to B.
///
/// A payment is a tuple of its amount and whether it is divisible.
fn with_queue(payments: &[(i64, bool)], balance: i64) -> SteppedFleet {
    let payment = |(amount, divisible): &(i64, bool)| json!({"sender": "A", "receiver": "B", "amount": amount, "divisible": divisible, "arrival_tick": 0, "deadline_tick": 9});
    let payments: Vec<Value> = payments.iter().map(payment).collect();
    let day = json!({
        "ticks_per_day": 9, "initial_transactions": payments,
        "agents": [{"id": "A", "balance": balance}, {"id": "B", "balance": 0}], "costs": {"split_fee": 3}
    });
    SteppedFleet::new(&parse(&day), 1, 1, &decision_of_a(json!({"action_mode": "fraction"})))
}

/// Settled value and number of additional parts.
fn settled_and_parts(fleet: &SteppedFleet) -> (i64, i64) {
    let totals = fleet.fleet.totals().next().unwrap().integers;
    (totals[3], totals[5])
}

#[test]
fn a_fraction_releases_in_queue_order_and_cuts_the_marginal_payment() {
    // The total is 230. Half of it is 115: 100 and 15 of the 50.
    let mut fleet = with_queue(&[(100, true), (50, true), (80, true)], 1_000);
    fleet.step(&[10]).unwrap();
    assert_eq!((settled_and_parts(&fleet), fleet.costs[Component::Split as usize]), ((115, 1), 3));
    // 115 remain, 35 of them first. 7/20 of it is 40.25, rounded down to 40: 35 and 5 of the 80.
    fleet.step(&[7]).unwrap();
    assert_eq!(settled_and_parts(&fleet), (115 + 40, 2));
    // Nothing, then everything.
    fleet.step(&[0]).unwrap();
    assert_eq!(settled_and_parts(&fleet), (155, 2));
    fleet.step(&[20]).unwrap();
    assert_eq!(settled_and_parts(&fleet), (230, 2));
    // With an empty queue only hold is legal.
    assert_eq!(fleet.masks.iter().filter(|flag| **flag).count(), 1);
    fleet.step(&[20]).unwrap();
    assert_eq!(fleet.illegal, [1]);
}

#[test]
fn an_indivisible_marginal_payment_and_all_later_ones_are_held() {
    let mut fleet = with_queue(&[(100, true), (50, false), (10, true)], 1_000);
    // 15/20 of 160 is 120: 100, and the remaining 20 are less than 50.
    fleet.step(&[15]).unwrap();
    assert_eq!(settled_and_parts(&fleet), (100, 0));
    // 17/20 of 60 is 51: 50 and 1 of the 10.
    fleet.step(&[17]).unwrap();
    assert_eq!(settled_and_parts(&fleet), (151, 1));
}

#[test]
fn a_fraction_of_less_than_a_cent_releases_nothing() {
    let mut fleet = with_queue(&[(19, true)], 1_000);
    fleet.step(&[1]).unwrap();
    assert_eq!((settled_and_parts(&fleet), fleet.illegal[0]), ((0, 0), 0));
    fleet.step(&[2]).unwrap();
    assert_eq!(settled_and_parts(&fleet), (1, 1));
}

#[test]
fn an_opening_step_exists_only_if_a_learner_decides_a_pool() {
    let steps = |learners: Value, decides: &str| {
        let decision = json!({"learners": learners, "decides": decides, "action_mode": "fraction"});
        let mut fleet = SteppedFleet::new(&parse(&scenario()), 1, 1, &decision);
        let mut steps = 0;
        while !fleet.terminated[0] {
            fleet.step(&vec![0; fleet.rewards.len()]).unwrap();
            steps += 1;
        }
        steps
    };
    assert_eq!(
        (steps(json!(["A"]), "both"), steps(json!(["A"]), "pool"), steps(json!(["A"]), "payments")),
        (14, 14, 12)
    );
    // B has no pool, so only A decides in an opening.
    assert_eq!((steps(json!(["B"]), "both"), steps(json!(["B", "A"]), "both")), (12, 14));
}

#[test]
fn an_opening_is_charged_for_the_commitment_only() {
    let mut fleet = SteppedFleet::new(
        &parse(&scenario()),
        1,
        1,
        &decision_of_a(json!({"action_mode": "fraction", "reward_scale": 10})),
    );
    assert!(fleet.masks.iter().all(|flag| *flag));
    for (step, committed) in [(0, 21_000), (7, 60_000)] {
        // 7/20 of 60,000 is 21,000, and 1% of it is 210.
        fleet.step(&[committed / 3_000]).unwrap();
        let mut costs = [0; COMPONENTS.len()];
        costs[LIQUIDITY] = committed / 100;
        assert_eq!(fleet.costs, costs);
        assert!((fleet.rewards[0] + (committed / 1_000) as f64).abs() < 1e-9, "step {step}");
        for _ in 0..6 {
            fleet.step(&[0]).unwrap();
            assert_eq!(fleet.costs[LIQUIDITY], 0);
        }
    }
    assert!(fleet.terminated[0]);
    assert_eq!(fleet.fleet.totals().next().unwrap().costs[LIQUIDITY], Cents(210 + 600));
}

#[test]
fn parts_that_a_learner_does_not_decide_follow_the_scenario() {
    // Payments only: the scenario commits a quarter of 60,000, charged in the first tick of the day.
    let mut payments_only =
        SteppedFleet::new(&parse(&scenario()), 1, 1, &decision_of_a(json!({"decides": "payments"})));
    payments_only.step(&[0; 8]).unwrap();
    assert_eq!(payments_only.costs[LIQUIDITY], 150);
    // Pool only: within a day only hold is legal, and the policy of the bank releases.
    let decision = decision_of_a(json!({"decides": "pool", "pool_shares": 4}));
    let mut pool_only = SteppedFleet::new(&parse(&scenario()), 1, 1, &decision);
    let decision = decision_of_a(json!({"slots": 64, "pool_shares": 4}));
    let mut all = SteppedFleet::new(&parse(&scenario()), 1, 1, &decision);
    let release_all = scripted(&PolicyConfig::ReleaseAll {});
    for step in 0..14 {
        let legal = pool_only.masks.iter().filter(|flag| **flag).count();
        assert_eq!(legal, if step % 7 == 0 { 4 } else { 1 }, "step {step}");
        let mut actions = vec![0; 65];
        all.fleet.scripted_actions(&*release_all, &mut actions).unwrap();
        // The pool choice nearest to a quarter is a third.
        assert!(step % 7 != 0 || actions[64] == 1 && actions[..64].iter().all(|action| *action == 0));
        all.step(&actions).unwrap();
        pool_only.step(&actions[64..]).unwrap();
        assert_eq!(
            (&pool_only.costs, pool_only.rewards[0].to_bits()),
            (&all.costs, all.rewards[0].to_bits()),
            "step {step}"
        );
    }
}

#[test]
fn scripted_policies_are_converted_to_fraction_actions() {
    let decision = decision_of_a(json!({"action_mode": "fraction"}));
    let action = |fleet: &mut SteppedFleet, policy: PolicyConfig| {
        let mut actions = [-1];
        fleet.fleet.scripted_actions(&*scripted(&policy), &mut actions).unwrap();
        actions[0]
    };
    let mut fleet = with_queue(&[(100, true), (70, true), (30, true)], 120);
    assert_eq!(action(&mut fleet, PolicyConfig::ReleaseAll {}), 20);
    assert_eq!(action(&mut fleet, PolicyConfig::HoldUntilDeadline { margin: 0 }), 0);
    // With a buffer of 20, 100 of 200 are released; with 30, the 100 are not, but the 70 are.
    assert_eq!(action(&mut fleet, PolicyConfig::LiquidityAware { buffer: Cents(20) }), 10);
    assert_eq!(action(&mut fleet, PolicyConfig::LiquidityAware { buffer: Cents(30) }), 7);
    assert_eq!(action(&mut fleet, PolicyConfig::SplitLarge { parts: 3, threshold: Cents(0) }), 20);
    fleet.step(&[20]).unwrap();
    assert_eq!(action(&mut fleet, PolicyConfig::ReleaseAll {}), 0);
    let mut opening = SteppedFleet::new(&parse(&scenario()), 1, 1, &decision);
    // A quarter of the pool.
    assert_eq!(action(&mut opening, PolicyConfig::ReleaseAll {}), 5);
}

#[test]
fn scripted_actions_do_not_change_the_random_draws_of_a_bank() {
    let mut day = scenario();
    day["agents"][0]["policy"] = json!({"type": "random"});
    let play = |calls_policy: bool| {
        let mut fleet = SteppedFleet::new(&parse(&day), 1, 1, &decision_of_a(json!({"decides": "pool"})));
        let rule = scripted(&PolicyConfig::Random { release_probability: 0.5 });
        for _ in 0..13 {
            let mut actions = [0];
            if calls_policy {
                fleet.fleet.scripted_actions(&*rule, &mut actions).unwrap();
            }
            // Only the pool is decided, always in the same way.
            fleet.step(&[0]).unwrap();
        }
        fleet.fleet.save(0)
    };
    assert!(play(true) == play(false));
}

#[test]
fn strict_mode_rejects_exactly_the_masked_actions() {
    let decisions = [
        json!({"learners": ["A", "B"], "slots": 3, "strict": true}),
        json!({"learners": ["A", "B"], "action_mode": "fraction", "strict": true}),
        json!({"learners": ["C", "A"], "slots": 2, "decides": "pool", "strict": true}),
    ];
    let mut rng = new_rng();
    let (mut rejected, mut accepted) = (0, 0);
    for decision in decisions {
        let mut fleet = SteppedFleet::new(&parse(&scenario()), 1, 1, &decision);
        for _ in 0..60 {
            let (masks, saved) = (fleet.masks.clone(), fleet.fleet.save(0));
            // A row whose episode is over ignores its actions.
            let num_flags = if fleet.terminated[0] { 0 } else { masks.len() };
            let layout = fleet.fleet.process.layout.clone();
            let learners = fleet.rewards.len();
            let nvec = (0..learners).flat_map(|_| &layout.nvec).enumerate();
            let choices = nvec.flat_map(|(component, choices)| (0..*choices).map(move |choice| (component, choice)));
            for ((component, choice), is_legal) in choices.zip(&masks).take(num_flags) {
                let mut actions = vec![0; learners * layout.heads()];
                actions[component] = i64::try_from(choice).unwrap();
                let result = fleet.step(&actions);
                if *is_legal {
                    result.unwrap();
                    assert!(fleet.illegal.iter().all(|count| *count == 0));
                    fleet.fleet.restore(0, &saved).unwrap();
                    accepted += 1;
                } else {
                    assert!(matches!(result, Err(FleetError::Action(ActionError::Masked { .. }))));
                    rejected += 1;
                }
                assert!(fleet.fleet.save(0) == saved);
            }
            fleet.observe();
            assert_eq!(fleet.masks, masks);
            let actions = fleet.legal_actions(&mut rng);
            fleet.step(&actions).unwrap();
        }
    }
    assert!(rejected > 500 && accepted > 1_000, "{rejected} {accepted}");
}

#[test]
fn results_do_not_depend_on_the_number_of_threads_in_any_mode() {
    for keys in [json!({"action_mode": "fraction"}), json!({"decides": "pool"}), json!({"reward": "system"})] {
        let mut decision = json!({"learners": ["A", "C"]});
        decision.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        let play = |threads: usize| {
            let mut fleet = SteppedFleet::new(&parse(&scenario()), 150, threads, &decision);
            let mut rng = new_rng();
            let mut bits = Vec::new();
            for _ in 0..30 {
                let actions = fleet.legal_actions(&mut rng);
                fleet.step(&actions).unwrap();
                bits.extend(fleet.observations.iter().map(|value| value.to_bits()));
                bits.extend(fleet.rewards.iter().map(|value| value.to_bits() as u32));
            }
            let saved: Vec<Vec<u8>> = (0..150).map(|row| fleet.fleet.save(row)).collect();
            (bits, saved, fleet.costs, fleet.masks)
        };
        assert!(play(1) == play(7), "{keys}");
    }
}

#[test]
fn an_early_close_shortens_an_episode() {
    let mut shorter = scenario();
    shorter["events"] = json!([{"type": "early_close", "tick": 1}, {"type": "early_close", "tick": 9}]);
    let mut fleet = SteppedFleet::new(&parse(&shorter), 2, 1, &decision_of_a(json!({"action_mode": "fraction"})));
    let mut rng = new_rng();
    // Openings before ticks 0 and 6, ticks 0, 1 and 6 to 9; then a step that starts the next episode.
    for step in 1..=9 {
        let actions = fleet.legal_actions(&mut rng);
        fleet.step(&actions).unwrap();
        assert_eq!(fleet.terminated, [step == 8; 2], "step {step}");
    }
    assert_eq!(fleet.fleet.seeds_and_episodes().collect::<Vec<_>>(), [(0, 1), (1, 1)]);
}

#[test]
fn a_restored_row_continues_like_the_saved_row() {
    for keys in [json!({"action_mode": "fraction"}), json!({"max_episode_steps": 5})] {
        let decision = decision_of_a(keys);
        let (mut saved, mut restored) = (
            SteppedFleet::new(&parse(&scenario()), 2, 1, &decision),
            SteppedFleet::new(&parse(&scenario()), 2, 1, &decision),
        );
        let mut rng = new_rng();
        for step in 0..40 {
            // The rows are exchanged with a fleet that has other seeds.
            restored.fleet.reset(0, Some(step)).unwrap();
            restored.fleet.restore(0, &saved.fleet.save(1)).unwrap();
            restored.fleet.restore(1, &saved.fleet.save(0)).unwrap();
            restored.observe();
            let half = saved.observations.len() / 2;
            assert_eq!(
                (&restored.observations[..half], &restored.observations[half..]),
                (&saved.observations[half..], &saved.observations[..half])
            );
            let actions = saved.legal_actions(&mut rng);
            let (first, second) = actions.split_at(actions.len() / 2);
            saved.step(&actions).unwrap();
            restored.step(&[second, first].concat()).unwrap();
            assert_eq!(saved.fleet.save(0), restored.fleet.save(1));
            assert_eq!((saved.terminated[0], saved.truncated[0]), (restored.terminated[1], restored.truncated[1]));
            assert_eq!(saved.rewards[1].to_bits(), restored.rewards[0].to_bits());
        }
    }
}

#[test]
fn a_damaged_state_is_rejected_without_effect() {
    let mut fleet = SteppedFleet::new(&parse(&scenario()), 1, 1, &decision_of_a(json!({})));
    fleet.step(&[0; 9]).unwrap();
    let good = fleet.fleet.save(0);
    for index in 0..good.len() {
        let mut damaged = good.clone();
        damaged[index] ^= 1;
        assert!(fleet.fleet.restore(0, &damaged).is_err(), "byte {index} of {}", good.len());
        assert!(fleet.fleet.restore(0, &good[..index]).is_err());
    }
    assert_eq!(fleet.fleet.restore(0, &[]), Err(RestoreError::NotAState { length: 0 }));
    assert!(fleet.fleet.save(0) == good);
}

#[test]
fn a_state_of_other_learner_settings_is_rejected() {
    let saved = SteppedFleet::new(&parse(&scenario()), 1, 1, &decision_of_a(json!({}))).fleet.save(0);
    for other in [json!({"decides": "payments"}), json!({"decides": "pool"}), json!({"learners": ["C"]})] {
        let mut fleet = SteppedFleet::new(&parse(&scenario()), 1, 1, &decision_of_a(other));
        let before = fleet.fleet.save(0);
        assert_eq!(fleet.fleet.restore(0, &saved), Err(RestoreError::OtherProcess));
        assert!(fleet.fleet.save(0) == before);
    }
}
