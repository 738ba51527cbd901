//! Tests of the decision process and the fleet.

#![allow(clippy::unwrap_used, missing_docs)]

mod stepped_fleet;

use paysim_engine::decision::observation::fields;
use paysim_engine::decision::{ActionMode, Decides, DecisionConfig, Process};
use paysim_engine::error::{ActionError, FleetError};
use paysim_engine::policy::scripted;
use paysim_engine::rng::{Purpose, Stream, stream};
use paysim_engine::scenario::{PolicyConfig, Scenario};
use paysim_engine::setup::Setup;
use paysim_engine::units::{BankId, Cents};
use rand::RngExt;
use serde_json::{Value, json};
use std::sync::Arc;
use stepped_fleet::SteppedFleet;

fn arrivals() -> Value {
    json!({
        "rate_per_tick": 1.5, "distribution_type": "lognormal", "amount_mean": 10_000, "amount_std_dev": 20_000,
        "deadline_range": [1, 6], "priority": {"2": 1, "8": 1}
    })
}

fn scenario() -> Value {
    json!({
        "ticks_per_day": 12, "num_days": 2,
        "agents": [
            {"id": "A", "balance": 20_000, "credit_limit": 30_000, "arrival_config": arrivals()},
            {"id": "B", "balance": 20_000, "arrival_config": arrivals()},
            {"id": "C", "balance": 0, "arrival_config": arrivals(), "policy": {"type": "random"}}
        ],
        "costs": {
            "overdraft_rate": 0.001, "delay_penalty_per_tick": 20, "delay_rate": 0.0005, "split_fee": 30,
            "deadline_penalty": 200, "overdue_multiplier": 2, "eod_penalty": 500
        }
    })
}

fn default_fleet(rows: usize, threads: usize, decision: &Value) -> SteppedFleet {
    fleet_of(&scenario(), rows, threads, decision)
}

fn fleet_of(scenario: &Value, rows: usize, threads: usize, decision: &Value) -> SteppedFleet {
    SteppedFleet::new(&Scenario::from_json(&scenario.to_string()).unwrap(), rows, threads, decision)
}

/// Random actions, legal or not.
fn random_actions(fleet: &SteppedFleet, rng: &mut Stream) -> Vec<i64> {
    let process = &fleet.fleet.process;
    let nvec = fleet.rewards.iter().flat_map(|_| &process.layout.nvec);
    nvec.map(|choices| rng.random_range(0..*choices as i64)).collect()
}

fn new_rng() -> Stream {
    stream(99, 0, BankId(0), Purpose::Policy)
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let decision = json!({"learners": ["A", "C"], "reward": "blend"});
    let play = |threads: usize| {
        let mut fleet = default_fleet(150, threads, &decision);
        let mut rng = new_rng();
        let mut bits = Vec::new();
        for _ in 0..60 {
            let actions = random_actions(&fleet, &mut rng);
            fleet.step(&actions).unwrap();
            bits.extend(fleet.observations.iter().map(|value| value.to_bits()));
            bits.extend(fleet.rewards.iter().map(|value| value.to_bits() as u32));
        }
        (bits, fleet.costs, fleet.masks, fleet.illegal)
    };
    let one = play(1);
    assert!(one == play(2) && one == play(7));
}

#[test]
fn rows_are_independent() {
    let decision = json!({"learners": ["A"]});
    let (mut many, mut alone) = (default_fleet(9, 1, &decision), default_fleet(1, 1, &decision));
    alone.fleet.reset(0, Some(5)).unwrap();
    let mut rng = new_rng();
    for _ in 0..60 {
        let actions = random_actions(&many, &mut rng);
        many.step(&actions).unwrap();
        alone.step(&actions[5 * 8..6 * 8]).unwrap();
        let columns = alone.observations.len();
        assert_eq!(many.observations[5 * columns..6 * columns], alone.observations);
        assert_eq!(many.rewards[5].to_bits(), alone.rewards[0].to_bits());
        assert_eq!(many.costs[35..42], alone.costs);
    }
}

#[test]
fn rewards_are_negative_costs_and_observations_are_within_bounds() {
    let mut fleet = default_fleet(20, 1, &json!({"learners": ["A"], "reward_scale": 50.0}));
    let bounds: Vec<_> = fields(fleet.fleet.process.slots).map(|(_, field)| field.low..=field.high).collect();
    let mut rng = new_rng();
    let mut returns = [0.0; 20];
    for step in 1..=24 {
        let actions = random_actions(&fleet, &mut rng);
        fleet.step(&actions).unwrap();
        returns.iter_mut().zip(&fleet.rewards).for_each(|(sum, reward)| *sum += reward);
        for row in fleet.observations.chunks(bounds.len()) {
            assert!(row.iter().zip(&bounds).all(|(value, bounds)| bounds.contains(value)), "{row:?}");
        }
        assert!(fleet.terminated.iter().all(|ended| *ended == (step == 24)));
    }
    for (sum, totals) in returns.iter().zip(fleet.fleet.totals()) {
        let cost = totals.costs.iter().copied().sum::<Cents>().0;
        assert_eq!(totals.integers[7], cost);
        assert!((sum + cost as f64 / 50.0).abs() < 1e-6, "{sum} {cost}");
    }
}

#[test]
fn an_ended_row_starts_its_next_episode_at_the_next_step() {
    let mut fleet = default_fleet(2, 1, &json!({"learners": ["A"], "max_episode_steps": 3}));
    let hold = vec![0; 2 * 8];
    for step in 1..=8 {
        fleet.step(&hold).unwrap();
        assert_eq!(fleet.truncated, [step % 4 == 3; 2], "step {step}");
        assert_eq!(fleet.terminated, [false; 2]);
    }
    assert_eq!(fleet.fleet.seeds_and_episodes().collect::<Vec<_>>(), [(0, 2), (1, 2)]);
    let mut fresh = default_fleet(2, 1, &json!({"learners": ["A"]}));
    for row in 0..2 {
        fresh.fleet.reset(row, None).unwrap();
        fresh.fleet.reset(row, None).unwrap();
    }
    fresh.fleet.observe(&mut fresh.observations, &mut fresh.masks);
    assert_eq!(fleet.observations, fresh.observations);
}

#[test]
fn strict_mode_rejects_masked_actions_and_accepts_legal_ones() {
    let (mut lenient, mut strict) = (
        default_fleet(3, 1, &json!({"learners": ["A"]})),
        default_fleet(3, 1, &json!({"learners": ["A"], "strict": true})),
    );
    let mut rng = new_rng();
    let mut refused = 0;
    for _ in 0..200 {
        let legal = lenient.legal_actions(&mut rng);
        let any = random_actions(&lenient, &mut rng);
        let flags = lenient.masks.chunks(4).zip(&any);
        let masked = flags.filter(|(flags, action)| !flags[**action as usize]).count() as i64;
        let before = strict.observations.clone();
        if masked > 0 && !lenient.terminated[0] {
            let error = strict.step(&any).unwrap_err();
            assert!(matches!(error, FleetError::Action(ActionError::Masked { .. })), "{error}");
            assert_eq!(before, strict.observations);
            refused += 1;
        }
        strict.step(&legal).unwrap();
        lenient.step(&legal).unwrap();
        assert_eq!(lenient.observations, strict.observations);
        assert_eq!(lenient.illegal, [0; 3]);
    }
    assert!(refused > 100);
}

#[test]
fn a_masked_action_holds_and_is_counted() {
    let mut indivisible = scenario();
    indivisible["agents"][0]["arrival_config"]["divisible"] = json!(false);
    let (mut random, mut held) = (
        fleet_of(&indivisible, 4, 1, &json!({"learners": ["A"]})),
        fleet_of(&indivisible, 4, 1, &json!({"learners": ["A"]})),
    );
    let mut rng = new_rng();
    for _ in 0..100 {
        let actions = random_actions(&random, &mut rng);
        let is_legal = random.masks.chunks(4).zip(&actions).map(|(flags, action)| flags[*action as usize]);
        let legal: Vec<bool> = is_legal.collect();
        let or_hold = actions.iter().zip(&legal).map(|(action, legal)| if *legal { *action } else { 0 });
        let or_hold: Vec<i64> = or_hold.collect();
        let is_restart = random.terminated.clone();
        random.step(&actions).unwrap();
        held.step(&or_hold).unwrap();
        assert_eq!(
            (&random.observations, &random.costs, &random.masks),
            (&held.observations, &held.costs, &held.masks)
        );
        for (row, illegal) in random.illegal.iter().enumerate() {
            let masked = legal[row * 8..(row + 1) * 8].iter().filter(|legal| !**legal).count() as i64;
            assert_eq!(*illegal, if is_restart[row] { 0 } else { masked });
        }
    }
}

#[test]
fn snapshots_agree_with_totals_and_observations() {
    let mut fleet = default_fleet(3, 1, &json!({"learners": ["A", "C"], "slots": 4, "split_parts": [2]}));
    let mut rng = new_rng();
    let columns = fleet.fleet.process.observation_size();
    let column_of = |name| fields(4).position(|(column, _)| column == name).unwrap();
    let (counts, paid) = (["queue_count", "central_count"].map(column_of), column_of("paid_today"));
    for _ in 0..60 {
        let snapshots = (0..3).flat_map(|row| fleet.fleet.snapshots(row)).collect::<Vec<_>>();
        assert_eq!(snapshots.len(), 6);
        let totals = fleet.fleet.totals().collect::<Vec<_>>();
        for ((snapshot, totals), observation) in snapshots.iter().zip(totals).zip(fleet.observations.chunks(columns)) {
            assert_eq!(snapshot.costs, totals.costs);
            assert!(snapshot.costs_today.iter().zip(snapshot.costs).all(|(today, total)| *today <= total));
            assert_eq!(snapshot.liquidity, snapshot.balance + snapshot.limit);
            assert_eq!(snapshot.day, (snapshot.tick / 12).min(1));
            for (queue, column) in [snapshot.internal, snapshot.central].iter().zip(counts) {
                let count: i64 = queue.counts.iter().sum();
                assert!((observation[column] - (1.0 + count as f32).log10()).abs() < 1e-6);
            }
            assert_eq!(observation[paid] > 0.0, snapshot.paid_today > Cents::ZERO);
        }
        let actions = random_actions(&fleet, &mut rng);
        fleet.step(&actions).unwrap();
    }
}

#[test]
fn an_invalid_batch_is_rejected_without_effect() {
    let mut fleet = default_fleet(3, 1, &json!({"learners": ["A", "B"]}));
    let before = fleet.fleet.totals().collect::<Vec<_>>();
    let mut actions = vec![0; 3 * 2 * 8];
    assert_eq!(
        fleet.step(&actions[1..]).unwrap_err().to_string(),
        "got 47 actions: must be 48, one for each component of each learner of each environment"
    );
    actions[16 + 8 + 3] = 4;
    let message = fleet.step(&actions).unwrap_err().to_string();
    assert_eq!(message, "environment 1, bank B, slot 3: action 4 must be between 0 and 3");
    actions[16 + 8 + 3] = -1;
    assert!(fleet.step(&actions).unwrap_err().to_string().contains("action -1 must be between 0 and 3"));
    assert_eq!(before, fleet.fleet.totals().collect::<Vec<_>>());
    let mut ended = default_fleet(1, 1, &json!({"learners": ["A"], "max_episode_steps": 1, "strict": true}));
    ended.step(&[0; 8]).unwrap();
    ended.step(&[-5; 8]).unwrap();
    assert!(ended.step(&[-5; 8]).is_err());
}

#[test]
fn a_scripted_policy_decides_alike_as_policy_and_as_actions() {
    let policies = [
        json!({"type": "release_all"}),
        json!({"type": "hold_until_deadline", "margin": 1}),
        json!({"type": "liquidity_aware", "buffer": 5_000}),
        json!({"type": "split_large", "parts": 2, "threshold": 8_000}),
        json!({"type": "random", "release_probability": 0.3}),
    ];
    for policy in policies {
        let mut scripted_scenario = scenario();
        scripted_scenario["agents"][0]["policy"] = policy.clone();
        let setup = Arc::new(Setup::new(&Scenario::from_json(&scripted_scenario.to_string()).unwrap()).unwrap());
        let mut system = setup.system(&[], paysim_engine::events::EventLog::default());
        system.reset(0, 0);
        while !system.is_over() {
            system.tick().unwrap();
        }
        // 64 slots cover the whole queue.
        let mut fleet = default_fleet(1, 1, &json!({"learners": ["A"], "slots": 64}));
        let rule = scripted(&serde_json::from_value::<PolicyConfig>(policy.clone()).unwrap());
        let mut actions = vec![0; 64];
        for _ in 0..24 {
            fleet.fleet.scripted_actions(&*rule, &mut actions).unwrap();
            fleet.step(&actions).unwrap();
        }
        let totals = fleet.fleet.totals().next().unwrap();
        assert_eq!(totals.costs, system.ledger.banks[0].costs, "{policy}");
        assert!(totals.integers[7] > 0);
    }
    let mut fleet = default_fleet(1, 1, &json!({"learners": ["A"]}));
    let rule = scripted(&PolicyConfig::SplitLarge { parts: 3, threshold: Cents(0) });
    let mut actions = vec![0; 8];
    let refused = (0..24).find_map(|_| {
        let error = fleet.fleet.scripted_actions(&*rule, &mut actions).err();
        fleet.step(&[0; 8]).unwrap();
        error
    });
    assert!(refused.unwrap().to_string().contains("a split into 3 parts is not among split_parts [2, 4]"));
}

#[test]
fn invalid_settings_are_rejected_with_path_value_and_allowed_range() {
    let setup = Setup::new(&Scenario::from_json(&scenario().to_string()).unwrap()).unwrap();
    let cases = [
        (json!({"learners": []}), "learners = 0: must be between 1 and 3 (banks)"),
        (json!({"learners": ["Z"]}), "learners[0] = \"Z\": must be one of A, B, C"),
        (json!({"learners": ["A", "A"]}), "learners[1] = \"A\": duplicate id; every id must be unique"),
        (json!({"learners": ["A"], "slots": 0}), "slots = 0: must be between 1 and 64"),
        (json!({"learners": ["A"], "split_parts": [4, 2]}), "split_parts[1] = 2: must be between 5 and 100"),
        (
            json!({"learners": ["A"], "reward_scale": 0.0}),
            "reward_scale = 0: must be between 0.000001 and 1000000000000000 (cents)",
        ),
        (json!({"learners": ["A"], "pool_shares": 1}), "pool_shares = 1: must be between 2 and 101"),
        (
            json!({"learners": ["A"], "pool_shares": 11, "action_mode": "fraction"}),
            "pool_shares = 11: must be 21 in the fraction mode",
        ),
        (
            json!({"learners": ["A", "B"], "decides": "pool"}),
            "decides = pool: must be another value, because no learner (A, B) has a pool",
        ),
        (json!({"learners": ["A"], "reward_blend": 2}), "reward_blend = 2: must be between 0 and 1"),
        (json!({"learners": ["A"], "max_episode_steps": 0}), "max_episode_steps = 0: must be between 1 and 4294967295"),
        (
            json!({"learners": ["A"], "reward": "all"}),
            "reward: unknown variant `all`, expected one of `own`, `system`, `blend`",
        ),
    ];
    for (config, message) in cases {
        let error = Process::from_json(&config.to_string(), &setup).err().unwrap();
        assert_eq!(error.to_string(), message);
    }
    let config = DecisionConfig {
        learners: vec!["B".to_owned()],
        slots: 8,
        split_parts: vec![],
        pool_shares: 21,
        action_mode: ActionMode::default(),
        decides: Decides::default(),
        reward: paysim_engine::decision::RewardScope::Own,
        reward_blend: 0.5,
        reward_scale: None,
        strict: false,
        max_episode_steps: None,
    };
    // 18 payments sent and 18 received a day with a mean of 10,000 and a deviation of 20,000, so a mean square of
    // 5 x 10,000^2, give a scale of sqrt(36 x 5) x 10,000 = 134,164 cents, and rewards are in basis points of it.
    let process = Process::new(&config, &setup).unwrap();
    assert_eq!(setup.banks[1].amount_scale, Cents(134_164));
    assert!((process.reward_scales[0] - 13.4164).abs() < 1e-9);
}
