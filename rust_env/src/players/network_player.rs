//! The player of a policy network.

use super::mlp::Scratch;
use super::network::Network;
use crate::decision::Process;
use crate::decision::action::ActionTarget;
use crate::error::ScenarioError;
use crate::policy::Player;
use crate::rng::Stream;
use crate::system::System;
use crate::system_setup::SystemSetup;
use crate::units::BankId;
use rand::RngExt;
use std::cell::RefCell;
use std::sync::Arc;

/// Decides for a bank by a policy network, as a learner does from outside.
pub struct NetworkPlayer {
    bank: BankId,
    /// Encodes its observations and executes its actions.
    process: Process,
    network: Arc<Network>,
    is_deterministic: bool,
}

/// Scratch buffers of a decision.
#[derive(Default)]
struct DecisionBuffers {
    observation: Vec<f32>,
    mask: Vec<bool>,
    actions: Vec<i64>,
    scratch: Scratch,
}

thread_local! {
    /// Shared by all players of a thread, so that they stay in cache.
    static BUFFERS: RefCell<DecisionBuffers> = RefCell::default();
}

impl NetworkPlayer {
    /// Creates the player of a bank.
    ///
    /// # Errors
    /// [`ScenarioError`] if the network's decision process is not valid for the bank.
    pub fn new(
        bank: BankId,
        network: Arc<Network>,
        is_deterministic: bool,
        setup: &SystemSetup,
    ) -> Result<Self, ScenarioError> {
        let mut process = Process::new(&network.training.decision(&setup.banks[bank.index()].id), setup)?;
        // Its actions may commit a pool that this bank lacks, and the reverse.
        process.layout = network.training.layout();
        Ok(Self { bank, process, network, is_deterministic })
    }

    /// Decides about the pool at an opening, else about payments.
    fn play_with(&self, system: &mut System, buffers: &mut DecisionBuffers) {
        let Self { bank, process, network, .. } = self;
        let target = process.target(system, *bank);
        let is_idle = target != ActionTarget::Pool && system.ledger.banks[bank.index()].internal.is_empty();
        if is_idle || matches!(target, ActionTarget::Nothing(_)) {
            return;
        }
        let DecisionBuffers { observation, mask, actions, scratch } = buffers;
        observation.resize(process.observation_size(), 0.0);
        process.write_observation(system, 0, observation);
        mask.resize(process.layout.mask_size(), true);
        if network.masked {
            process.write_mask(system, *bank, mask);
        } else {
            mask.fill(true);
        }
        let outputs = network.forward(observation, scratch);
        actions.clear();
        for (outputs, legal) in process.layout.split(outputs).zip(process.layout.split(mask)) {
            let choice = match self.is_deterministic {
                true => argmax_legal(outputs, legal),
                false => sample_legal(outputs, legal, system.policy_stream(*bank)),
            };
            actions.push(i64::try_from(choice).unwrap_or_default());
        }
        process.apply_actions(system, *bank, actions);
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

/// The legal choice with the largest output; the first among equals.
fn argmax_legal(outputs: &[f32], legal: &[bool]) -> usize {
    let mut choices = outputs.iter().zip(legal).enumerate().filter(|(_, (_, legal))| **legal);
    let first = choices.next().map_or((0, f32::NEG_INFINITY), |(index, (output, _))| (index, *output));
    choices.fold(first, |best, (index, (output, _))| if *output > best.1 { (index, *output) } else { best }).0
}

fn sample_legal(outputs: &[f32], legal: &[bool], stream: &mut Stream) -> usize {
    let best = argmax_legal(outputs, legal);
    let weight = |index: usize| {
        if legal[index] { libm::exp(f64::from(outputs[index]) - f64::from(outputs[best])) } else { 0.0 }
    };
    let total: f64 = (0..outputs.len()).map(weight).sum();
    let mut remaining = stream.random::<f64>() * total;
    for index in 0..outputs.len() {
        remaining -= weight(index);
        if remaining < 0.0 {
            return index;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, stream};

    #[test]
    fn argmax_is_the_first_largest_legal_choice() {
        let all = [true; 4];
        assert_eq!(argmax_legal(&[1.0, 3.0, 3.0, 2.0], &all), 1);
        assert_eq!(argmax_legal(&[3.0, 3.0, 3.0, 3.0], &all), 0);
        assert_eq!(argmax_legal(&[1.0, 3.0, 3.0, 2.0], &[true, false, false, true]), 3);
        assert_eq!(argmax_legal(&[f32::NAN; 4], &all), 0);
        assert_eq!(argmax_legal(&[f32::NEG_INFINITY, -1.0], &[true, true]), 1);
    }

    #[test]
    fn samples_follow_the_softmax_of_legal_logits() {
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
