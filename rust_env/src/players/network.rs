//! Policy networks: multilayer perceptrons from safetensors files.
//!
//! `docs/frozen_opponents.md` describes the file format.

use super::mlp::{Activation, Layer, Normalisation, Scratch};
use super::network_file::{NetworkError, NetworkFile};
use crate::decision::observation;
use crate::decision::{ActionMode, Decides, DecisionConfig, Layout};
use crate::error::ScenarioError;
use crate::scenario::{conflict, read_json};
use serde::{Deserialize, Serialize};

/// Value of `format` in the metadata of a file.
pub const FORMAT: &str = "paysim_gym.policy.2";
/// Decision process that a network was trained in.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Type of the actions about payments.
    pub action_mode: ActionMode,
    /// Number of slots.
    pub slots: usize,
    /// Numbers of parts of the available splits.
    pub split_parts: Vec<u8>,
    /// What it decides; the policy of the bank decides the rest.
    pub decides: Decides,
    /// Number of pool shares to choose from; `None` if no action commits one.
    pub pool_shares: Option<usize>,
}

impl Training {
    /// The configuration of the decision process for a bank.
    pub fn decision(&self, bank: &str) -> DecisionConfig {
        let default = DecisionConfig::of(bank);
        DecisionConfig {
            slots: self.slots,
            split_parts: self.split_parts.clone(),
            action_mode: self.action_mode,
            decides: self.decides,
            pool_shares: self.pool_shares.unwrap_or(default.pool_shares),
            ..default
        }
    }

    /// Components of its actions.
    pub fn layout(&self) -> Layout {
        self.decision("").layout(self.pool_shares.is_some())
    }

    fn validate(&self) -> Result<(), ScenarioError> {
        self.decision("").validate()?;
        if self.decides == Decides::Pool && self.pool_shares.is_none() {
            return conflict("pool_shares", "null", "must be a number of shares if the network decides its pool only");
        }
        Ok(())
    }
}

/// Meaning of the outputs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outputs {
    Logits,
    Values,
}

/// A policy network.
#[derive(Debug)]
pub struct Network {
    /// Decision process that it was trained in.
    pub training: Training,
    /// Whether illegal actions are masked; else they act as hold.
    pub masked: bool,
    /// Hash of the file.
    pub fingerprint: u64,
    outputs: Outputs,
    normalisation: Option<Normalisation>,
    activation: Activation,
    layers: Vec<Layer>,
}

impl Network {
    /// Parses and validates a file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NetworkError> {
        let file = NetworkFile::open(bytes)?;
        file.choice("format", &[(FORMAT, ())])?;
        let activation = file.choice("activation", &[("tanh", Activation::Tanh), ("relu", Activation::Relu)])?;
        let outputs = file.choice("outputs", &[("logits", Outputs::Logits), ("values", Outputs::Values)])?;
        let masked = file.choice("masked", &[("false", false), ("true", true)])?;
        let training: Training = read_json(file.text("decision")?, "decision").map_err(NetworkError::Decision)?;
        training.validate().map_err(NetworkError::Decision)?;
        file.check_columns(training.slots)?;
        let ends = (observation::size(training.slots), training.layout().mask_size());
        let (normalisation, layers) = (file.normalisation(ends.0)?, file.layers(ends)?);
        file.check_names(layers.len(), normalisation.is_some())?;
        let fingerprint = file.fingerprint()?;
        Ok(Self { training, outputs, masked, fingerprint, normalisation, activation, layers })
    }

    /// Whether its outputs are logits to sample actions from.
    pub fn has_logits(&self) -> bool {
        self.outputs == Outputs::Logits
    }

    /// Number of inputs: the columns of an observation.
    pub fn num_inputs(&self) -> usize {
        self.layers.first().map_or(0, Layer::num_inputs)
    }

    /// Number of outputs: one per choice of each action component.
    pub fn num_outputs(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.bias.len())
    }

    /// Computes the outputs for an observation of [`Network::num_inputs`] columns.
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
