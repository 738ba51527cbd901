//! Properties of the decision process in every system.

#![allow(clippy::unwrap_used, missing_docs)]

mod stepped_fleet;
mod strategies;

use paysim_engine::decision::observation::fields;
use paysim_engine::rng::{Purpose, stream};
use paysim_engine::units::{Cents, bank_at};
use proptest::prelude::*;
use serde_json::{Value, json};
use stepped_fleet::SteppedFleet;
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rewards_sum_to_the_negative_cost_and_observations_are_within_bounds(
        scenario in scenarios(), decision in decisions(), seed in any::<u64>()
    ) {
        prop_assume!(decision["decides"] != "pool" || read(&scenario).agents[0].liquidity_pool > Cents::ZERO);
        let mut fleet = SteppedFleet::new(&read(&scenario), 1, 1, &decision);
        let bounds: Vec<_> = fields(fleet.fleet.process.slots).map(|(_, field)| field.low..=field.high).collect();
        let mut rng = stream(seed, 0, bank_at(0), Purpose::Policy);
        let mut sum = 0.0;
        while !fleet.terminated[0] {
            for (column, (value, bounds)) in fleet.observations.iter().zip(&bounds).enumerate() {
                assert!(bounds.contains(value), "column {column}: {value}");
            }
            let actions = fleet.legal_actions(&mut rng);
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
