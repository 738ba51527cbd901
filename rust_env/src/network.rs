//! A trained policy, frozen: a multilayer perceptron from a safetensors file.
//!
//! `docs/frozen_opponents.md` describes the file. Nothing in it is trusted: what is missing, damaged, of another
//! shape or made for another observation is refused before anybody plays with it.

use crate::decision::observation::{self, fields};
use crate::decision::{ActionMode, Decides, DecisionConfig};
use crate::error::ScenarioError;
use crate::hash::fingerprint;
use crate::scenario::read_json;
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What the metadata of a file say under `format`.
pub const FORMAT: &str = "paysim_gym.policy.1";
/// Most layers of a network.
const MOST_LAYERS: usize = 32;

/// Bytes that are no network this engine can play.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum NetworkError {
    /// Not in the format of safetensors, or damaged.
    #[error("not a whole safetensors file: {problem} ({length} bytes)")]
    NotAFile {
        /// How many bytes there are.
        length: usize,
        /// What is wrong with them.
        problem: String,
    },
    /// Metadata that are missing or say something else than they may.
    #[error("metadata {key} = {value}: must be {allowed}")]
    Metadata {
        /// Which.
        key: &'static str,
        /// What it says.
        value: String,
        /// What it may say.
        allowed: String,
    },
    /// A decision process that cannot be.
    #[error("metadata decision: {0}")]
    Decision(ScenarioError),
    /// Made for other columns of the observation.
    #[error(
        "column {column} of its observation is {found:?}, here it is {expected:?}: export it again from this version"
    )]
    OtherObservation {
        /// The first column that differs.
        column: usize,
        /// Its name in the file; empty if there is none.
        found: String,
        /// Its name here; empty if there is none.
        expected: String,
    },
    /// A tensor that is missing, or of another type or shape than it must have.
    #[error("tensor {name} = {found}: must be {allowed}")]
    Tensor {
        /// Its name.
        name: String,
        /// Its type and shape.
        found: String,
        /// What they must be.
        allowed: String,
    },
    /// A number with which nothing can be computed.
    #[error("tensor {name}[{place}] = {value}: must be {allowed}")]
    Number {
        /// Name of the tensor.
        name: String,
        /// Place of the number, row after row.
        place: usize,
        /// The number.
        value: f64,
        /// What it must be.
        allowed: &'static str,
    },
}

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

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Activation {
    Tanh,
    Relu,
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

/// Room for the numbers between two layers, to be used again and again.
#[derive(Debug, Default)]
pub struct Scratch {
    input: Vec<f32>,
    output: Vec<f32>,
}

impl Network {
    /// Reads and checks the bytes of a file.
    ///
    /// # Errors
    /// [`NetworkError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NetworkError> {
        let file = File::open(bytes)?;
        file.one_of("format", &[(FORMAT, ())])?;
        let activation = file.one_of("activation", &[("tanh", Activation::Tanh), ("relu", Activation::Relu)])?;
        let outputs = file.one_of("outputs", &[("logits", Outputs::Logits), ("values", Outputs::Values)])?;
        let masked = file.one_of("masked", &[("false", false), ("true", true)])?;
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
    pub fn is_drawable(&self) -> bool {
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

/// The observation's columns less their means, in standard deviations, clipped; as Stable-Baselines3 does it,
/// in 64 bits: where a column hardly varies, 32 would leave nothing of it.
#[derive(Debug)]
struct Normalisation {
    means: Vec<f64>,
    scales: Vec<f64>,
    clip: f64,
}

impl Normalisation {
    #[expect(clippy::cast_possible_truncation, reason = "an observation has 32 bits")]
    fn apply(&self, observation: &[f32]) -> impl Iterator<Item = f32> {
        let columns = observation.iter().zip(self.means.iter().zip(&self.scales));
        columns.map(|(value, (mean, scale))| ((f64::from(*value) - mean) / scale).clamp(-self.clip, self.clip) as f32)
    }
}

impl Activation {
    fn apply(self, values: &mut [f32]) {
        match self {
            Self::Tanh => values.iter_mut().for_each(|value| *value = libm::tanhf(*value)),
            Self::Relu => values.iter_mut().for_each(|value| *value = value.max(0.0)),
        }
    }
}

#[derive(Debug)]
struct Layer {
    /// Input after input the weights of all outputs, so that outputs can be summed side by side.
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Layer {
    fn num_inputs(&self) -> usize {
        self.weights.len() / self.bias.len().max(1)
    }

    fn apply(&self, input: &[f32], output: &mut Vec<f32>) {
        output.clear();
        output.extend_from_slice(&self.bias);
        for (value, weights) in input.iter().zip(self.weights.chunks_exact(self.bias.len())) {
            // Many inputs are zero: empty slots, and units that a ReLU has cut off.
            if *value != 0.0 {
                output.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * weight);
            }
        }
    }
}

/// A safetensors file whose tensors cover its bytes exactly.
struct File<'a> {
    header: Metadata,
    data: &'a [u8],
}

impl<'a> File<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, NetworkError> {
        let wrong = |problem: &str| NetworkError::NotAFile { length: bytes.len(), problem: problem.to_owned() };
        let (size, rest) = bytes.split_first_chunk().ok_or_else(|| wrong("there is no header"))?;
        let split = usize::try_from(u64::from_le_bytes(*size)).ok().and_then(|size| rest.split_at_checked(size));
        let (header, data) = split.ok_or_else(|| wrong("it ends before its header does"))?;
        // `SafeTensors::deserialize` would add up sizes that may not fit 64 bits.
        let header: Metadata = serde_json::from_slice(header).map_err(|error| wrong(&error.to_string()))?;
        if header.data_len() != data.len() {
            return Err(wrong("its tensors do not have the size that its header says"));
        }
        Ok(Self { header, data })
    }

    fn text(&self, key: &'static str) -> Result<&str, NetworkError> {
        let text = self.header.metadata().as_ref().and_then(|metadata| metadata.get(key));
        text.map(String::as_str).ok_or_else(|| NetworkError::Metadata {
            key,
            value: "(missing)".to_owned(),
            allowed: "there, as export_network writes it".to_owned(),
        })
    }

    fn one_of<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Result<T, NetworkError> {
        let text = self.text(key)?;
        let found = choices.iter().find(|(name, _)| *name == text);
        found.map(|(_, choice)| *choice).ok_or_else(|| NetworkError::Metadata {
            key,
            value: format!("{text:?}"),
            allowed: choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" or "),
        })
    }

    fn check_columns(&self, slots: usize) -> Result<(), NetworkError> {
        let text = self.text("observation")?;
        let mut found = serde_json::from_str::<Vec<String>>(text)
            .map_err(|error| NetworkError::Metadata {
                key: "observation",
                value: error.to_string(),
                allowed: "a list of names as JSON".to_owned(),
            })?
            .into_iter();
        let mut expected = fields(slots).map(|(name, _)| name);
        for column in 0.. {
            match (found.next(), expected.next()) {
                (None, None) => break,
                (found, expected) if found == expected => {}
                (found, expected) => {
                    let (found, expected) = (found.unwrap_or_default(), expected.unwrap_or_default());
                    return Err(NetworkError::OtherObservation { column, found, expected });
                }
            }
        }
        Ok(())
    }

    fn normalisation(&self, columns: usize) -> Result<Option<Normalisation>, NetworkError> {
        if self.header.info(MEAN).is_none() {
            return Ok(None);
        }
        let clip = self.wide(CLIP, &[1])?;
        let scales = self.wide(SCALE, &[columns])?;
        for (name, values) in [(SCALE, &scales), (CLIP, &clip)] {
            if let Some(place) = values.iter().position(|value| *value <= 0.0) {
                let (name, value) = (name.to_owned(), values[place]);
                return Err(NetworkError::Number { name, place, value, allowed: "above 0" });
            }
        }
        Ok(Some(Normalisation { means: self.wide(MEAN, &[columns])?, scales, clip: clip[0] }))
    }

    /// The layers that lead from so many inputs to so many outputs.
    fn layers(&self, (inputs, outputs): (usize, usize)) -> Result<Vec<Layer>, NetworkError> {
        let is_there = |index: &usize| self.header.info(&weight_name(*index)).is_some();
        let count = (0..MOST_LAYERS).take_while(is_there).count().max(1);
        let mut layers = Vec::with_capacity(count);
        let mut width = inputs;
        for index in 0..count {
            let name = weight_name(index);
            let shape = self.header.info(&name).map_or(&[][..], |info| &info.shape);
            let rows = match shape {
                _ if index + 1 == count => outputs,
                [rows, _] => (*rows).max(1),
                _ => 1,
            };
            let weights = transposed(&self.narrow(&name, &[rows, width])?, width);
            layers.push(Layer { weights, bias: self.narrow(&bias_name(index), &[rows])? });
            width = rows;
        }
        Ok(layers)
    }

    /// Refuses a file with more in it than has been read: it would play differently from what was exported.
    fn check_names(&self, layers: usize, is_normalised: bool) -> Result<(), NetworkError> {
        let known: Vec<String> = (0..layers).flat_map(|index| [weight_name(index), bias_name(index)]).collect();
        let normalisation = [MEAN, SCALE, CLIP];
        let is_known =
            |name: &String| known.contains(name) || (is_normalised && normalisation.contains(&name.as_str()));
        match self.header.offset_keys().into_iter().find(|name| !is_known(name)) {
            Some(name) => Err(NetworkError::Tensor {
                found: self.describe(&name),
                name,
                allowed: format!("absent from a network of {layers} layers"),
            }),
            None => Ok(()),
        }
    }

    /// Of everything that has been read, whatever order the metadata stand in.
    fn fingerprint(&self) -> Result<u64, NetworkError> {
        let mut parts: Vec<&[u8]> = Vec::new();
        for key in ["activation", "outputs", "masked", "decision", "observation"] {
            parts.extend([self.text(key)?.as_bytes(), &[0]]);
        }
        let names = self.header.offset_keys();
        parts.extend(names.iter().map(String::as_bytes));
        parts.push(self.data);
        Ok(fingerprint(parts))
    }

    fn narrow(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, NetworkError> {
        let bytes = self.bytes(name, Dtype::F32, shape)?;
        finite(name, bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    fn wide(&self, name: &str, shape: &[usize]) -> Result<Vec<f64>, NetworkError> {
        let bytes = self.bytes(name, Dtype::F64, shape)?;
        finite(name, bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
    }

    fn bytes(&self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<&'a [u8], NetworkError> {
        let info = self.header.info(name).filter(|info| info.dtype == dtype && info.shape == shape);
        let bytes = info.and_then(|info| self.data.get(info.data_offsets.0..info.data_offsets.1));
        bytes.ok_or_else(|| NetworkError::Tensor {
            name: name.to_owned(),
            found: self.describe(name),
            allowed: format!("{dtype} of shape {shape:?}"),
        })
    }

    fn describe(&self, name: &str) -> String {
        let info = self.header.info(name);
        info.map_or_else(|| "(missing)".to_owned(), |info| format!("{} of shape {:?}", info.dtype, info.shape))
    }
}

const MEAN: &str = "observation.mean";
const SCALE: &str = "observation.scale";
const CLIP: &str = "observation.clip";

fn weight_name(layer: usize) -> String {
    format!("layer.{layer}.weight")
}

fn bias_name(layer: usize) -> String {
    format!("layer.{layer}.bias")
}

fn finite<T: Copy + Into<f64>>(name: &str, values: Vec<T>) -> Result<Vec<T>, NetworkError> {
    match values.iter().position(|value| !(*value).into().is_finite()) {
        Some(place) => {
            let value = values[place].into();
            Err(NetworkError::Number { name: name.to_owned(), place, value, allowed: "finite" })
        }
        None => Ok(values),
    }
}

/// Columns after columns what stands row after row, in rows of `width`.
fn transposed(rows: &[f32], width: usize) -> Vec<f32> {
    (0..width).flat_map(|column| rows.iter().skip(column).step_by(width).copied()).collect()
}
