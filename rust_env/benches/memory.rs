//! Resident memory of a system of `five_bank` in a large fleet.
//!
//! It is measured after one day. Run it with `cargo bench --bench memory`.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

#[path = "../tests/stepped_fleet/mod.rs"]
mod stepped_fleet;

use paysim_engine::rng::{Purpose, stream};
use paysim_engine::scenario::Scenario;
use paysim_engine::units::BankId;
use serde_json::json;
use stepped_fleet::SteppedFleet;

const FIVE_BANK: &str = include_str!("../tests/scenarios/five_bank.json");
const PAGE: usize = 4096;

/// Resident memory of the process, or `None` without Linux's `statm`.
fn resident_bytes() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(text.split(' ').nth(1)?.parse::<usize>().ok()? * PAGE)
}

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let rows = if is_test { 64 } else { 65_536 };
    let scenario = Scenario::from_json(FIVE_BANK).unwrap();
    let before = resident_bytes();
    let mut fleet = SteppedFleet::new(&scenario, rows, 1, &json!({"learners": ["CORE_A"]}));
    let mut rng = stream(0, 0, BankId(0), Purpose::Policy);
    for _ in 0..60 {
        let actions = fleet.legal_actions(&mut rng);
        fleet.step(&actions).unwrap();
    }
    match before.zip(resident_bytes()) {
        Some((before, after)) => println!("five_bank, {rows} systems: {} bytes each", (after - before) / rows),
        None => println!("five_bank: not measured, this system has no /proc/self/statm"),
    }
}
