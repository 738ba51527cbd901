//! Forged states, whose checksums match: rejected without effect, or safe to continue from.

#![allow(clippy::unwrap_used, missing_docs)]

mod stepped_fleet;

use paysim_engine::rng::{Purpose, Stream, stream};
use paysim_engine::scenario::Scenario;
use paysim_engine::system::RestoreError;
use paysim_engine::units::BankId;
use rand::RngExt;
use serde_json::{Value, json};
use stepped_fleet::SteppedFleet;

/// Length of the header of a system's state: format, fingerprint and checksum.
const HEADER: usize = 24;
/// Length of the rest of a row's state: end, steps, fingerprint and checksum.
const TRAILER: usize = 1 + 4 + 8 + 8;

/// A scenario with demand, pools, events, offsets and a net rail.
fn scenario() -> Value {
    let arrivals = |rail: &str| {
        json!({
            "rate_per_tick": 2, "distribution_type": "normal", "amount_mean": 1_000, "amount_std_dev": 500,
            "deadline_range": [0, 6], "priority": {"3": 3, "8": 1}, "rail": rail
        })
    };
    let bank = |id: &str, policy: Value, rail: &str| {
        json!({
            "id": id, "balance": 2_000, "credit_limit": 800, "collateral": 400, "collateral_haircut": 0.25,
            "liquidity_pool": 500, "liquidity_share": 0.5, "arrival_config": arrivals(rail), "policy": policy
        })
    };
    json!({
        "ticks_per_day": 8, "num_days": 3, "end_of_day": "carry",
        "agents": [
            bank("A", json!({"type": "learner"}), "NET"),
            bank("B", json!({"type": "random", "release_probability": 0.5}), "RTGS"),
            bank("C", json!({"type": "split_large", "parts": 3}), "RTGS"),
        ],
        "rails": [
            {"id": "RTGS", "queue_discipline": "fifo_bypass", "lsm": {"bilateral": true, "multilateral": true}},
            {"id": "NET", "settlement_type": "deferred_net", "cycle_ticks": 3}
        ],
        "initial_transactions": [
            {"sender": "B", "receiver": "A", "amount": 900, "arrival_tick": 1, "deadline_tick": 9},
            {"sender": "C", "receiver": "A", "amount": 900, "arrival_tick": 9, "deadline_tick": 20}
        ],
        "events": [
            {"type": "credit", "bank": "A", "credit_limit": 600, "tick": 2},
            {"type": "arrival_rate", "bank": "B", "multiplier": 2, "tick": 4},
            {"type": "outage", "bank": "C", "ticks": 3, "tick": 10},
            {"type": "early_close", "tick": 13}
        ],
        "costs": {
            "overdraft_rate": 0.01, "delay_penalty_per_tick": 5, "delay_rate": 0.002, "overdue_multiplier": 3,
            "deadline_penalty": 100, "split_fee": 10, "eod_penalty": 300, "liquidity_rate": 0.01, "collateral_rate": 0.01
        }
    })
}

fn fleet() -> SteppedFleet {
    let scenario = Scenario::from_json(&scenario().to_string()).unwrap();
    SteppedFleet::new(&scenario, 1, 1, &json!({"learners": ["A"]}))
}

/// FNV-1a hash, as saved states use it.
fn checksum(bytes: &[u8]) -> [u8; 8] {
    let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, hash).to_le_bytes()
}

/// Replaces both checksums of a row's state by matching ones.
fn sign(state: &mut [u8]) {
    let end = state.len() - TRAILER;
    let inner = checksum(&state[HEADER..end]);
    state[HEADER - 8..HEADER].copy_from_slice(&inner);
    let signed = state.len() - 8;
    let outer = checksum(&state[..signed]);
    state[signed..].copy_from_slice(&outer);
}

fn play(fleet: &mut SteppedFleet, rng: &mut Stream, steps: usize) {
    for _ in 0..steps {
        fleet.observe();
        let actions = fleet.legal_actions(rng);
        fleet.step(&actions).unwrap();
    }
}

/// States of every kind of step: openings, ticks and the end of an episode.
fn states(fleet: &mut SteppedFleet, rng: &mut Stream) -> Vec<Vec<u8>> {
    let mut states = vec![fleet.fleet.save(0)];
    while !fleet.terminated[0] {
        play(fleet, rng, 1);
        states.push(fleet.fleet.save(0));
    }
    states
}

#[test]
fn a_matching_checksum_is_accepted() {
    let (mut fleet, mut rng) = (fleet(), stream(3, 0, BankId(0), Purpose::Policy));
    for state in states(&mut fleet, &mut rng) {
        let mut signed = state.clone();
        sign(&mut signed);
        assert_eq!(signed, state);
        fleet.fleet.restore(0, &signed).unwrap();
        assert_eq!(fleet.fleet.save(0), state);
    }
}

#[test]
fn forged_states_are_rejected_or_continue_without_a_panic() {
    let (mut fleet, mut rng) = (fleet(), stream(5, 0, BankId(0), Purpose::Policy));
    let states = states(&mut fleet, &mut rng);
    fleet.fleet.restore(0, &states[3]).unwrap();
    let (mut accepted, mut impossible) = (0, 0);
    for _ in 0..20_000 {
        let mut forged = states[rng.random_range(0..states.len())].clone();
        let end = forged.len() - 16;
        for _ in 0..rng.random_range(1..=3) {
            let byte = rng.random_range(HEADER..end);
            forged[byte] = rng.random();
        }
        sign(&mut forged);
        let before = fleet.fleet.save(0);
        match fleet.fleet.restore(0, &forged) {
            Ok(()) => {
                accepted += 1;
                if rng.random_range(0..4) == 0 {
                    fleet.fleet.reseed(0, 1, BankId(0));
                }
                assert!(fleet.fleet.totals().all(|totals| totals.ratios.iter().all(|ratio| ratio.is_finite())));
                assert_eq!(fleet.fleet.snapshots(0).count(), 1);
                play(&mut fleet, &mut rng, 30);
                assert!(fleet.observations.iter().all(|value| value.is_finite()));
                fleet.fleet.restore(0, &states[3]).unwrap();
            }
            Err(error) => {
                impossible += u32::from(matches!(error, RestoreError::Impossible { .. }));
                assert_eq!(fleet.fleet.save(0), before);
            }
        }
    }
    // Other accounts, amounts and random draws are possible states.
    assert!(accepted > 500 && impossible > 2_000, "{accepted} accepted, {impossible} impossible");
}

#[test]
fn padded_and_shortened_states_are_rejected() {
    let fleet = &mut fleet();
    let state = fleet.fleet.save(0);
    let end = state.len() - TRAILER;
    for changed in [[&state[..end], &[0; 9][..], &state[end..]].concat(), [&state[..end - 1], &state[end..]].concat()] {
        let mut forged = changed;
        sign(&mut forged);
        assert_eq!(fleet.fleet.restore(0, &forged), Err(RestoreError::Damaged));
    }
    let endings = [(0, 1), (0, 2), (1, 255), (4, 255)];
    for (byte, value) in endings {
        let mut forged = state.clone();
        forged[end + byte] = value;
        sign(&mut forged);
        let error = fleet.fleet.restore(0, &forged).unwrap_err();
        assert!(error.to_string().contains("impossible end of the episode"), "{error}");
    }
    assert_eq!(fleet.fleet.save(0), state);
}
