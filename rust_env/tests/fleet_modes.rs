//! Openings, shares and who decides what: the modes of the decision process.

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

/// Two days of 6 ticks; A and C have pools, A's first outage is on the first day.
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

fn read(scenario: &Value) -> Scenario {
    Scenario::from_json(&scenario.to_string()).unwrap()
}

fn dice() -> Stream {
    stream(7, 0, BankId(0), Purpose::Policy)
}

/// A alone decides, with `keys` beside.
fn of_a(keys: Value) -> Value {
    let mut decision = json!({"learners": ["A"]});
    decision.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    decision
}

/// One row in which A has these payments to B, amounts and whether they are divisible, and a balance.
fn with_queue(payments: &[(i64, bool)], balance: i64) -> SteppedFleet {
    let payment = |(amount, divisible): &(i64, bool)| json!({"sender": "A", "receiver": "B", "amount": amount, "divisible": divisible, "arrival_tick": 0, "deadline_tick": 9});
    let payments: Vec<Value> = payments.iter().map(payment).collect();
    let day = json!({
        "ticks_per_day": 9, "initial_transactions": payments,
        "agents": [{"id": "A", "balance": balance}, {"id": "B", "balance": 0}], "costs": {"split_fee": 3}
    });
    SteppedFleet::new(&read(&day), 1, 1, &of_a(json!({"action_mode": "fraction"})))
}

/// Value settled and extra parts so far.
fn settled_and_parts(fleet: &SteppedFleet) -> (i64, i64) {
    let totals = fleet.fleet.totals().next().unwrap().integers;
    (totals[3], totals[5])
}

#[test]
fn a_share_releases_the_queue_in_order_and_cuts_the_payment_at_the_margin() {
    // 230 in all. Half is 115: 100 and 15 of the 50.
    let mut fleet = with_queue(&[(100, true), (50, true), (80, true)], 1_000);
    fleet.step(&[10]).unwrap();
    assert_eq!((settled_and_parts(&fleet), fleet.costs[Component::Split as usize]), ((115, 1), 3));
    // 115 are left, 35 of them first. 7/20 are 40.25, rounded down to 40: 35 and 5 of the 80.
    fleet.step(&[7]).unwrap();
    assert_eq!(settled_and_parts(&fleet), (115 + 40, 2));
    // Nothing, and then all of it.
    fleet.step(&[0]).unwrap();
    assert_eq!(settled_and_parts(&fleet), (155, 2));
    fleet.step(&[20]).unwrap();
    assert_eq!(settled_and_parts(&fleet), (230, 2));
    // An empty queue leaves nothing but to hold.
    assert_eq!(fleet.masks.iter().filter(|flag| **flag).count(), 1);
    fleet.step(&[20]).unwrap();
    assert_eq!(fleet.illegal, [1]);
}

#[test]
fn an_indivisible_payment_at_the_margin_holds_itself_and_all_that_follow() {
    let mut fleet = with_queue(&[(100, true), (50, false), (10, true)], 1_000);
    // 15/20 of 160 are 120: 100, and 20 are too few for 50.
    fleet.step(&[15]).unwrap();
    assert_eq!(settled_and_parts(&fleet), (100, 0));
    // 17/20 of 60 are 51: 50 and 1 of the 10.
    fleet.step(&[17]).unwrap();
    assert_eq!(settled_and_parts(&fleet), (151, 1));
}

#[test]
fn a_share_of_less_than_a_cent_releases_nothing() {
    let mut fleet = with_queue(&[(19, true)], 1_000);
    fleet.step(&[1]).unwrap();
    assert_eq!((settled_and_parts(&fleet), fleet.illegal[0]), ((0, 0), 0));
    fleet.step(&[2]).unwrap();
    assert_eq!(settled_and_parts(&fleet), (1, 1));
}

#[test]
fn a_day_opens_with_a_step_of_its_own_only_if_a_learner_decides_a_pool() {
    let steps = |learners: Value, decides: &str| {
        let decision = json!({"learners": learners, "decides": decides, "action_mode": "fraction"});
        let mut fleet = SteppedFleet::new(&read(&scenario()), 1, 1, &decision);
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
    // B has no pool; beside A it has nothing to do in an opening.
    assert_eq!((steps(json!(["B"]), "both"), steps(json!(["B", "A"]), "both")), (12, 14));
}

#[test]
fn an_opening_costs_what_is_committed_and_nothing_else() {
    let mut fleet =
        SteppedFleet::new(&read(&scenario()), 1, 1, &of_a(json!({"action_mode": "fraction", "reward_scale": 10})));
    assert!(fleet.masks.iter().all(|flag| *flag));
    for (step, committed) in [(0, 21_000), (7, 60_000)] {
        // 7/20 of 60,000 are 21,000; 1% of them 210.
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
fn what_a_learner_does_not_decide_follows_the_scenario() {
    // Only payments: the scenario's quarter of 60,000 is committed and charged in the day's first tick.
    let mut payments = SteppedFleet::new(&read(&scenario()), 1, 1, &of_a(json!({"decides": "payments"})));
    payments.step(&[0; 8]).unwrap();
    assert_eq!(payments.costs[LIQUIDITY], 150);
    // Only the pool: every head may only hold within a day, and the bank's own rule releases.
    let mut pool = SteppedFleet::new(&read(&scenario()), 1, 1, &of_a(json!({"decides": "pool"})));
    let mut all = SteppedFleet::new(&read(&scenario()), 1, 1, &of_a(json!({"slots": 64})));
    let release_all = scripted(&PolicyConfig::ReleaseAll {});
    for step in 0..14 {
        let choices = 4;
        let legal = pool.masks.iter().filter(|flag| **flag).count();
        assert_eq!(legal, if step % 7 == 0 { 8 + choices - 1 } else { 8 }, "step {step}");
        let mut actions = vec![0; 64];
        all.fleet.scripted_actions(&*release_all, &mut actions).unwrap();
        // A quarter of the pool is nearest to the first third.
        assert!(step % 7 != 0 || actions[0] == 1 && actions[1..].iter().all(|action| *action == 0));
        all.step(&actions).unwrap();
        pool.step(&actions[..8]).unwrap();
        assert_eq!((&pool.costs, pool.rewards[0].to_bits()), (&all.costs, all.rewards[0].to_bits()), "step {step}");
    }
}

#[test]
fn scripted_policies_speak_in_shares() {
    let decision = of_a(json!({"action_mode": "fraction"}));
    let action = |fleet: &mut SteppedFleet, policy: PolicyConfig| {
        let mut actions = [-1];
        fleet.fleet.scripted_actions(&*scripted(&policy), &mut actions).unwrap();
        actions[0]
    };
    let mut fleet = with_queue(&[(100, true), (70, true), (30, true)], 120);
    assert_eq!(action(&mut fleet, PolicyConfig::ReleaseAll {}), 20);
    assert_eq!(action(&mut fleet, PolicyConfig::HoldUntilDeadline { margin: 0 }), 0);
    // 100 of 200, and then 100 < 120 - 30 no longer, but 70 + 30 <= 120 - 20.
    assert_eq!(action(&mut fleet, PolicyConfig::LiquidityAware { buffer: Cents(20) }), 10);
    assert_eq!(action(&mut fleet, PolicyConfig::LiquidityAware { buffer: Cents(30) }), 7);
    assert_eq!(action(&mut fleet, PolicyConfig::SplitLarge { parts: 3, threshold: Cents(0) }), 20);
    fleet.step(&[20]).unwrap();
    assert_eq!(action(&mut fleet, PolicyConfig::ReleaseAll {}), 0);
    let mut opening = SteppedFleet::new(&read(&scenario()), 1, 1, &decision);
    // A quarter of the pool.
    assert_eq!(action(&mut opening, PolicyConfig::ReleaseAll {}), 5);
}

#[test]
fn asking_a_policy_about_a_pool_leaves_the_dice_of_the_banks_own_rule_alone() {
    let mut day = scenario();
    day["agents"][0]["policy"] = json!({"type": "random"});
    let play = |is_asked: bool| {
        let mut fleet = SteppedFleet::new(&read(&day), 1, 1, &of_a(json!({"decides": "pool"})));
        let rule = scripted(&PolicyConfig::Random { release_probability: 0.5 });
        for _ in 0..13 {
            let mut actions = vec![0; 8];
            if is_asked {
                fleet.fleet.scripted_actions(&*rule, &mut actions).unwrap();
            }
            // The pool alone is decided, and always alike.
            fleet.step(&[0; 8]).unwrap();
        }
        fleet.fleet.save(0)
    };
    assert!(play(true) == play(false));
}

#[test]
fn in_strict_mode_every_masked_action_is_refused_and_every_other_is_taken() {
    let decisions = [
        json!({"learners": ["A", "B"], "slots": 3, "strict": true}),
        json!({"learners": ["A", "B"], "action_mode": "fraction", "strict": true}),
        json!({"learners": ["C", "A"], "slots": 2, "decides": "pool", "strict": true}),
    ];
    let mut stream = dice();
    let (mut refused, mut taken) = (0, 0);
    for decision in decisions {
        let mut fleet = SteppedFleet::new(&read(&scenario()), 1, 1, &decision);
        for _ in 0..60 {
            let (masks, saved) = (fleet.masks.clone(), fleet.fleet.save(0));
            // A row whose episode is over ignores its actions.
            let looked_at = if fleet.terminated[0] { 0 } else { masks.len() };
            for (place, is_legal) in masks.iter().enumerate().take(looked_at) {
                let choices = fleet.fleet.process.choices();
                let mut actions = vec![0; masks.len() / choices];
                actions[place / choices] = i64::try_from(place % choices).unwrap();
                let result = fleet.step(&actions);
                if *is_legal {
                    result.unwrap();
                    assert!(fleet.illegal.iter().all(|count| *count == 0));
                    fleet.fleet.restore(0, &saved).unwrap();
                    taken += 1;
                } else {
                    assert!(matches!(result, Err(FleetError::Action(ActionError::Masked { .. }))));
                    refused += 1;
                }
                assert!(fleet.fleet.save(0) == saved);
            }
            fleet.observe();
            assert_eq!(fleet.masks, masks);
            let actions = fleet.legal_actions(&mut stream);
            fleet.step(&actions).unwrap();
        }
    }
    assert!(refused > 500 && taken > 1_000, "{refused} {taken}");
}

#[test]
fn any_number_of_threads_gives_the_same_bytes_in_every_mode() {
    for keys in [json!({"action_mode": "fraction"}), json!({"decides": "pool"}), json!({"reward": "system"})] {
        let mut decision = json!({"learners": ["A", "C"]});
        decision.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        let play = |threads: usize| {
            let mut fleet = SteppedFleet::new(&read(&scenario()), 150, threads, &decision);
            let mut stream = dice();
            let mut seen = Vec::new();
            for _ in 0..30 {
                let actions = fleet.legal_actions(&mut stream);
                fleet.step(&actions).unwrap();
                seen.extend(fleet.observations.iter().map(|value| value.to_bits()));
                seen.extend(fleet.rewards.iter().map(|value| value.to_bits() as u32));
            }
            let saved: Vec<Vec<u8>> = (0..150).map(|row| fleet.fleet.save(row)).collect();
            (seen, saved, fleet.costs, fleet.masks)
        };
        assert!(play(1) == play(7), "{keys}");
    }
}

#[test]
fn an_early_close_shortens_an_episode_and_the_next_one_follows() {
    let mut shorter = scenario();
    shorter["events"] = json!([{"type": "early_close", "tick": 1}, {"type": "early_close", "tick": 9}]);
    let mut fleet = SteppedFleet::new(&read(&shorter), 2, 1, &of_a(json!({"action_mode": "fraction"})));
    let mut stream = dice();
    // Openings before ticks 0 and 6, ticks 0, 1 and 6 to 9; then one step that only starts again.
    for step in 1..=9 {
        let actions = fleet.legal_actions(&mut stream);
        fleet.step(&actions).unwrap();
        assert_eq!(fleet.terminated, [step == 8; 2], "step {step}");
    }
    assert_eq!(fleet.fleet.seeds_and_episodes().collect::<Vec<_>>(), [(0, 1), (1, 1)]);
}

#[test]
fn a_restored_row_goes_on_as_the_saved_one_at_every_step() {
    for keys in [json!({"action_mode": "fraction"}), json!({"max_episode_steps": 5})] {
        let decision = of_a(keys);
        let (mut saved, mut restored) = (
            SteppedFleet::new(&read(&scenario()), 2, 1, &decision),
            SteppedFleet::new(&read(&scenario()), 2, 1, &decision),
        );
        let mut stream = dice();
        for step in 0..40 {
            // Row 1 goes through a fleet whose rows have other seeds and never played themselves.
            restored.fleet.reset(0, Some(step)).unwrap();
            restored.fleet.restore(0, &saved.fleet.save(1)).unwrap();
            restored.fleet.restore(1, &saved.fleet.save(0)).unwrap();
            restored.observe();
            let half = saved.observations.len() / 2;
            assert_eq!(
                (&restored.observations[..half], &restored.observations[half..]),
                (&saved.observations[half..], &saved.observations[..half])
            );
            let actions = saved.legal_actions(&mut stream);
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
fn a_damaged_row_is_refused_and_changes_nothing() {
    let mut fleet = SteppedFleet::new(&read(&scenario()), 1, 1, &of_a(json!({})));
    fleet.step(&[0; 8]).unwrap();
    let good = fleet.fleet.save(0);
    for place in 0..good.len() {
        let mut damaged = good.clone();
        damaged[place] ^= 1;
        assert!(fleet.fleet.restore(0, &damaged).is_err(), "byte {place} of {}", good.len());
        assert!(fleet.fleet.restore(0, &good[..place]).is_err());
    }
    assert_eq!(fleet.fleet.restore(0, &[]), Err(RestoreError::NotAState { length: 0 }));
    assert!(fleet.fleet.save(0) == good);
}

#[test]
fn a_row_is_not_restored_where_the_learner_decides_something_else() {
    let saved = SteppedFleet::new(&read(&scenario()), 1, 1, &of_a(json!({}))).fleet.save(0);
    for other in [json!({"decides": "payments"}), json!({"decides": "pool"}), json!({"learners": ["C"]})] {
        let mut fleet = SteppedFleet::new(&read(&scenario()), 1, 1, &of_a(other));
        let before = fleet.fleet.save(0);
        assert_eq!(fleet.fleet.restore(0, &saved), Err(RestoreError::OtherProcess));
        assert!(fleet.fleet.save(0) == before);
    }
}
