//! A trained policy, frozen: a multilayer perceptron from a safetensors file.
//!
//! `docs/frozen_opponents.md` describes the file. Nothing in it is trusted: what is missing, damaged, of another
//! shape or made for another observation is refused before anybody plays with it.

use super::mlp::{Activation, Layer, Normalisation, Scratch};
use super::network_file::{NetworkError, NetworkFile};
use crate::decision::observation;
use crate::decision::{ActionMode, Decides, DecisionConfig};
use crate::scenario::read_json;
use serde::{Deserialize, Serialize};

/// What the metadata of a file say under `format`.
pub const FORMAT: &str = "paysim_gym.policy.1";
/// What a network was trained to decide, and where.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// What an action decides about the payments.
    pub action_mode: ActionMode,
    /// Payments of the internal queue that it decides about.
    pub slots: usize,
    /// Splits on offer.
    pub split_parts: Vec<u8>,
    /// What it decides; the rest follows its bank's own rule.
    pub decides: Decides,
    /// Cents to one unit of reward, in which the observation tells costs; by the bank if absent.
    pub reward_scale: Option<f64>,
}

impl Training {
    /// The settings of its decision process in the seat of a bank.
    #[must_use]
    pub fn decision(&self, bank: &str) -> DecisionConfig {
        DecisionConfig {
            slots: self.slots,
            split_parts: self.split_parts.clone(),
            action_mode: self.action_mode,
            decides: self.decides,
            reward_scale: self.reward_scale,
            ..DecisionConfig::of(bank)
        }
    }
}

/// What the outputs of a network mean.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outputs {
    Logits,
    Values,
}

/// A trained policy.
#[derive(Debug)]
pub struct Network {
    /// What it was trained to decide.
    pub training: Training,
    /// Whether it chooses among legal actions only; else an illegal one that it chooses acts as hold.
    pub masked: bool,
    /// Tells files apart.
    pub fingerprint: u64,
    outputs: Outputs,
    normalisation: Option<Normalisation>,
    activation: Activation,
    layers: Vec<Layer>,
}

impl Network {
    /// Reads and checks the bytes of a file.
    ///
    /// # Errors
    /// [`NetworkError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NetworkError> {
        let file = NetworkFile::open(bytes)?;
        file.choice("format", &[(FORMAT, ())])?;
        let activation = file.choice("activation", &[("tanh", Activation::Tanh), ("relu", Activation::Relu)])?;
        let outputs = file.choice("outputs", &[("logits", Outputs::Logits), ("values", Outputs::Values)])?;
        let masked = file.choice("masked", &[("false", false), ("true", true)])?;
        let training: Training = read_json(file.text("decision")?, "decision").map_err(NetworkError::Decision)?;
        training.decision("").validate().map_err(NetworkError::Decision)?;
        file.check_columns(training.slots)?;
        let (mode, splits) = (training.action_mode, training.split_parts.len());
        let ends = (observation::size(training.slots), mode.heads(training.slots) * mode.choices(splits));
        let (normalisation, layers) = (file.normalisation(ends.0)?, file.layers(ends)?);
        file.check_names(layers.len(), normalisation.is_some())?;
        let fingerprint = file.fingerprint()?;
        Ok(Self { training, outputs, masked, fingerprint, normalisation, activation, layers })
    }

    /// Whether its outputs are logits, from which an action can be drawn.
    #[must_use]
    pub fn has_logits(&self) -> bool {
        self.outputs == Outputs::Logits
    }

    /// Number of its inputs, the columns of an observation.
    #[must_use]
    pub fn num_inputs(&self) -> usize {
        self.layers.first().map_or(0, Layer::num_inputs)
    }

    /// Number of its outputs: one for each value of each number of an action.
    #[must_use]
    pub fn num_outputs(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.bias.len())
    }

    /// The outputs for an observation of [`Network::num_inputs`] columns.
    pub fn forward<'a>(&self, observation: &[f32], scratch: &'a mut Scratch) -> &'a [f32] {
        let Scratch { input, output } = scratch;
        input.clear();
        match &self.normalisation {
            Some(normalisation) => input.extend(normalisation.apply(observation)),
            None => input.extend_from_slice(observation),
        }
        for (index, layer) in self.layers.iter().enumerate() {
            layer.apply(input, output);
            if index + 1 < self.layers.len() {
                self.activation.apply(output);
            }
            std::mem::swap(input, output);
        }
        input
    }
}
