//! Properties of saved states: determinism, continuation and rejection of damage.

#![allow(clippy::unwrap_used, missing_docs)]

mod strategies;

use paysim_engine::events::EventLog;
use paysim_engine::scenario::Scenario;
use paysim_engine::system::{RestoreError, System, TickOutcome};
use proptest::prelude::*;
use serde_json::json;
use strategies::{Choices, choices, read, scenarios, system};

/// Point within a tick at which a state is saved.
#[derive(Clone, Copy, Debug)]
enum Moment {
    BeforeDay,
    Opening,
    BeforeDecisions,
    AfterDecisions,
}

/// Plays a tick and calls `reload` at `moment`; returns the state at its end.
fn tick(
    system: &mut System,
    choices: &mut Choices,
    learners: &[paysim_engine::units::BankId],
    moment: Option<Moment>,
    mut reload: impl FnMut(&mut System),
) -> (TickOutcome, Vec<u8>) {
    let mut at = |system: &mut System, current: Moment| {
        if moment.is_some_and(|moment| moment as u8 == current as u8) {
            reload(system);
        }
    };
    at(system, Moment::BeforeDay);
    system.begin_day().unwrap();
    at(system, Moment::Opening);
    choices.open(system, learners);
    system.begin_tick().unwrap();
    at(system, Moment::BeforeDecisions);
    choices.decide(system, learners);
    at(system, Moment::AfterDecisions);
    let outcome = system.finish_tick().unwrap();
    (outcome, system.save())
}

fn episode(scenario: &Scenario, mut choices: Choices) -> Vec<(TickOutcome, Vec<u8>)> {
    let (mut system, learners) = system(scenario, EventLog::default());
    let mut ticks = Vec::new();
    while !system.is_over() {
        ticks.push(tick(&mut system, &mut choices, &learners, None, |_| ()));
    }
    ticks
}

fn moments() -> impl Strategy<Value = Moment> {
    prop::sample::select(vec![Moment::BeforeDay, Moment::Opening, Moment::BeforeDecisions, Moment::AfterDecisions])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_seed_and_choices_give_the_same_bytes(scenario in scenarios(), choices in choices()) {
        let scenario = read(&scenario);
        let first = episode(&scenario, choices.clone());
        assert!(first == episode(&scenario, choices.clone()));
        // A used system starts an episode like a new one.
        let (mut used, learners) = system(&scenario, EventLog::default());
        used.reset(scenario.seed ^ 1, 3);
        while !used.is_over() {
            tick(&mut used, &mut choices.clone(), &learners, None, |_| ());
        }
        used.reset(scenario.seed, 0);
        let mut choices = choices;
        for expected in &first {
            assert!(tick(&mut used, &mut choices, &learners, None, |_| ()).1 == expected.1);
        }
    }

    #[test]
    fn a_restored_state_continues_like_the_saved_one(
        scenario in scenarios(), choices in choices(), start in any::<prop::sample::Index>(), moment in moments()
    ) {
        let scenario = read(&scenario);
        let expected = episode(&scenario, choices.clone());
        let start = start.index(expected.len());
        let (mut playing, learners) = system(&scenario, EventLog::default());
        let mut choices = choices;
        for (index, expected) in expected.iter().enumerate() {
            let moment = Some(moment).filter(|_| index >= start);
            let found = tick(&mut playing, &mut choices, &learners, moment, |playing| {
                let bytes = playing.save();
                let (mut fresh, _) = system(&scenario, EventLog::default());
                fresh.restore(&bytes).unwrap();
                assert_eq!(fresh.save(), bytes);
                *playing = fresh;
            });
            assert!(&found == expected, "tick {index}");
        }
    }

    #[test]
    fn damaged_states_are_rejected_without_effect(
        scenario in scenarios(), choices in choices(), ticks in 0..8_usize,
        byte in any::<prop::sample::Index>(), bit in 0..8_u8
    ) {
        let given = scenario;
        let scenario = read(&given);
        let (mut system, learners) = system(&scenario, EventLog::default());
        let mut choices = choices;
        while system.seed_and_episode().1 == 0 && !system.is_over() && system.ledger.now.0 < u32::try_from(ticks).unwrap() {
            tick(&mut system, &mut choices, &learners, None, |_| ());
        }
        let good = system.save();
        let mut rejected = |bytes: &[u8]| {
            let error = system.restore(bytes).unwrap_err();
            assert_eq!(system.save(), good);
            error
        };
        let byte = byte.index(good.len());
        rejected(&good[..byte]);
        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(rejected(&longer), RestoreError::Damaged);
        let mut flipped = good.clone();
        flipped[byte] ^= 1 << bit;
        let error = rejected(&flipped);
        match byte {
            0..8 => assert_eq!(error, RestoreError::NotAState { length: good.len() }),
            8..16 => assert!(matches!(error, RestoreError::OtherScenario { .. })),
            _ => assert_eq!(error, RestoreError::Damaged),
        }
        let mut other = given;
        other["agents"][1]["balance"] = json!(other["agents"][1]["balance"].as_i64().unwrap() + 1);
        let (mut other_system, _) = strategies::system(&read(&other), EventLog::default());
        assert!(matches!(other_system.restore(&good), Err(RestoreError::OtherScenario { .. })));
    }
}
