//! A bank that a trained network plays inside the engine, exactly as a learner would from outside.

use super::mlp::Scratch;
use super::network::Network;
use crate::decision::Process;
use crate::decision::action::Subject;
use crate::error::ScenarioError;
use crate::policy::Player;
use crate::rng::Stream;
use crate::system::System;
use crate::system_setup::SystemSetup;
use crate::units::BankId;
use rand::RngExt;
use std::cell::RefCell;
use std::sync::Arc;

/// A bank that a network plays.
pub struct NetworkPlayer {
    bank: BankId,
    /// What the network sees and decides.
    process: Process,
    network: Arc<Network>,
    is_deterministic: bool,
}

/// Room for what a network sees and does, to be used again and again.
#[derive(Default)]
struct DecisionBuffers {
    observation: Vec<f32>,
    mask: Vec<bool>,
    actions: Vec<i64>,
    scratch: Scratch,
}

thread_local! {
    /// One for all players of a thread.
    static BUFFERS: RefCell<DecisionBuffers> = RefCell::default();
}

impl NetworkPlayer {
    /// Gives a bank's seat to a network.
    ///
    /// # Errors
    /// [`ScenarioError`] if what it was trained to decide cannot be decided here.
    pub fn new(
        bank: BankId,
        network: Arc<Network>,
        is_deterministic: bool,
        setup: &SystemSetup,
    ) -> Result<Self, ScenarioError> {
        let process = Process::new(&network.training.decision(&setup.banks[bank.index()].id), setup)?;
        Ok(Self { bank, process, network, is_deterministic })
    }

    /// Decides for its bank about what is to be decided now: its pool at an opening, else its payments.
    fn play_with(&self, system: &mut System, buffers: &mut DecisionBuffers) {
        let Self { bank, process, network, .. } = self;
        let subject = process.subject(system, *bank);
        let is_idle = subject != Subject::Pool && system.ledger.banks[bank.index()].internal.is_empty();
        if is_idle || matches!(subject, Subject::Nothing(_)) {
            return;
        }
        let DecisionBuffers { observation, mask, actions, scratch } = buffers;
        observation.resize(process.observation_size(), 0.0);
        process.write_observation(system, 0, observation);
        mask.resize(process.mask_size(), true);
        if network.masked {
            process.write_mask(system, *bank, mask);
        } else {
            mask.fill(true);
        }
        let outputs = network.forward(observation, scratch);
        let heads = outputs.chunks_exact(process.choices()).zip(mask.chunks_exact(process.choices()));
        actions.clear();
        for (outputs, legal) in heads {
            let choice = match self.is_deterministic {
                true => argmax_legal(outputs, legal),
                false => sample_legal(outputs, legal, system.policy_stream(*bank)),
            };
            actions.push(i64::try_from(choice).unwrap_or_default());
        }
        process.decide(system, *bank, actions);
    }
}

impl Player<System> for NetworkPlayer {
    fn bank(&self) -> BankId {
        self.bank
    }

    fn fingerprint(&self) -> u64 {
        self.network.fingerprint
    }

    fn play(&self, system: &mut System) {
        BUFFERS.with_borrow_mut(|buffers| self.play_with(system, buffers));
    }
}

/// The legal choice with the largest output, the first among equals.
fn argmax_legal(outputs: &[f32], legal: &[bool]) -> usize {
    let mut choices = outputs.iter().zip(legal).enumerate().filter(|(_, (_, legal))| **legal);
    let first = choices.next().map_or((0, f32::NEG_INFINITY), |(place, (output, _))| (place, *output));
    choices.fold(first, |best, (place, (output, _))| if *output > best.1 { (place, *output) } else { best }).0
}

/// A legal choice, sample_legal with the probabilities of which the outputs are the logits.
fn sample_legal(outputs: &[f32], legal: &[bool], stream: &mut Stream) -> usize {
    let best = argmax_legal(outputs, legal);
    let weight = |place: usize| {
        if legal[place] { libm::exp(f64::from(outputs[place]) - f64::from(outputs[best])) } else { 0.0 }
    };
    let total: f64 = (0..outputs.len()).map(weight).sum();
    let mut left = stream.random::<f64>() * total;
    for place in 0..outputs.len() {
        left -= weight(place);
        if left < 0.0 {
            return place;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, stream};

    #[test]
    fn the_best_is_the_first_of_the_largest_that_are_legal() {
        let all = [true; 4];
        assert_eq!(argmax_legal(&[1.0, 3.0, 3.0, 2.0], &all), 1);
        assert_eq!(argmax_legal(&[3.0, 3.0, 3.0, 3.0], &all), 0);
        assert_eq!(argmax_legal(&[1.0, 3.0, 3.0, 2.0], &[true, false, false, true]), 3);
        assert_eq!(argmax_legal(&[f32::NAN; 4], &all), 0);
        assert_eq!(argmax_legal(&[f32::NEG_INFINITY, -1.0], &[true, true]), 1);
    }

    #[test]
    fn draws_have_the_probabilities_of_the_logits_among_what_is_legal() {
        let logits = [0.0, 1000.0, libm::logf(3.0), 2.0 * libm::logf(2.0)];
        let mut counts = [0_u32; 4];
        let mut rng = stream(0, 0, BankId(0), Purpose::Policy);
        for _ in 0..80_000 {
            counts[sample_legal(&logits, &[true, false, true, true], &mut rng)] += 1;
        }
        // 1 : 3 : 4 of 80,000; the standard deviations are below 142.
        for (count, expected) in counts.into_iter().zip([10_000, 0, 30_000, 40_000]) {
            assert!(count.abs_diff(expected) <= 700, "{counts:?}");
        }
        assert!(sample_legal(&[f32::NAN; 4], &[true; 4], &mut rng) < 4);
    }
}
