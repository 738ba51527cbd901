//! Validation and parsing of network files in safetensors format.

use super::mlp::{Layer, Normalisation};
use crate::decision::observation::fields;
use crate::error::ScenarioError;
use crate::hash::fingerprint;
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use thiserror::Error;

/// Maximum number of layers.
const MAX_LAYERS: usize = 32;

/// Reason to reject a network file.
#[derive(Clone, Debug, Error, PartialEq)]
#[expect(missing_docs, reason = "the messages explain the fields")]
pub enum NetworkError {
    /// The bytes are not a complete safetensors file.
    #[error("not a complete safetensors file: {problem} ({length} bytes)")]
    NotAFile { length: usize, problem: String },
    /// A metadata entry is missing or has a wrong value.
    #[error("metadata {key} = {value}: must be {allowed}")]
    Metadata { key: &'static str, value: String, allowed: String },
    /// The decision process is not valid.
    #[error("metadata decision: {0}")]
    Decision(ScenarioError),
    /// The network expects other observation columns; `column` is the first that differs.
    #[error(
        "observation column {column} is {found:?}, must be {expected:?}: export the network again with this version"
    )]
    ObservationMismatch { column: usize, found: String, expected: String },
    /// A tensor is missing, unexpected, or of a wrong type or shape.
    #[error("tensor {name} = {found}: must be {allowed}")]
    Tensor { name: String, found: String, allowed: String },
    /// A non-finite or non-positive tensor entry, by row-major index.
    #[error("tensor {name}[{index}] = {value}: must be {allowed}")]
    Entry { name: String, index: usize, value: f64, allowed: &'static str },
}

/// A safetensors file whose tensors cover its bytes exactly.
pub(super) struct NetworkFile<'a> {
    header: Metadata,
    data: &'a [u8],
}

impl<'a> NetworkFile<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, NetworkError> {
        let wrong = |problem: &str| NetworkError::NotAFile { length: bytes.len(), problem: problem.to_owned() };
        let (size, rest) = bytes.split_first_chunk().ok_or_else(|| wrong("the header is missing"))?;
        let split = usize::try_from(u64::from_le_bytes(*size)).ok().and_then(|size| rest.split_at_checked(size));
        let (header, data) = split.ok_or_else(|| wrong("the file ends within the header"))?;
        // `SafeTensors::deserialize` adds sizes without a check for overflow.
        let header: Metadata = serde_json::from_slice(header).map_err(|error| wrong(&error.to_string()))?;
        if header.data_len() != data.len() {
            return Err(wrong("the size of the tensors differs from the header"));
        }
        Ok(Self { header, data })
    }

    pub(super) fn text(&self, key: &'static str) -> Result<&str, NetworkError> {
        let text = self.header.metadata().as_ref().and_then(|metadata| metadata.get(key));
        text.map(String::as_str).ok_or_else(|| NetworkError::Metadata {
            key,
            value: "(missing)".to_owned(),
            allowed: "present, as written by export_network".to_owned(),
        })
    }

    pub(super) fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Result<T, NetworkError> {
        let text = self.text(key)?;
        let found = choices.iter().find(|(name, _)| *name == text);
        found.map(|(_, choice)| *choice).ok_or_else(|| NetworkError::Metadata {
            key,
            value: format!("{text:?}"),
            allowed: choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" or "),
        })
    }

    pub(super) fn check_columns(&self, slots: usize) -> Result<(), NetworkError> {
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
                    return Err(NetworkError::ObservationMismatch { column, found, expected });
                }
            }
        }
        Ok(())
    }

    pub(super) fn normalisation(&self, columns: usize) -> Result<Option<Normalisation>, NetworkError> {
        if self.header.info(MEAN).is_none() {
            return Ok(None);
        }
        let clip = self.f64_tensor(CLIP, &[1])?;
        let scales = self.f64_tensor(SCALE, &[columns])?;
        for (name, values) in [(SCALE, &scales), (CLIP, &clip)] {
            if let Some(index) = values.iter().position(|value| *value <= 0.0) {
                let (name, value) = (name.to_owned(), values[index]);
                return Err(NetworkError::Entry { name, index, value, allowed: "above 0" });
            }
        }
        Ok(Some(Normalisation { means: self.f64_tensor(MEAN, &[columns])?, scales, clip: clip[0] }))
    }

    /// Parses the layers from `inputs` to `outputs`.
    pub(super) fn layers(&self, (inputs, outputs): (usize, usize)) -> Result<Vec<Layer>, NetworkError> {
        let is_there = |index: &usize| self.header.info(&weight_name(*index)).is_some();
        let count = (0..MAX_LAYERS).take_while(is_there).count().max(1);
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
            let weights = transpose(&self.f32_tensor(&name, &[rows, width])?, width);
            layers.push(Layer { weights, bias: self.f32_tensor(&bias_name(index), &[rows])? });
            width = rows;
        }
        Ok(layers)
    }

    /// Rejects a file with additional tensors, which may change what the network computes.
    pub(super) fn check_names(&self, layers: usize, is_normalised: bool) -> Result<(), NetworkError> {
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

    /// Hash of the parsed contents, independent of the order of metadata.
    pub(super) fn fingerprint(&self) -> Result<u64, NetworkError> {
        let mut parts: Vec<&[u8]> = Vec::new();
        for key in ["activation", "outputs", "masked", "decision", "observation"] {
            parts.extend([self.text(key)?.as_bytes(), &[0]]);
        }
        let names = self.header.offset_keys();
        parts.extend(names.iter().map(String::as_bytes));
        parts.push(self.data);
        Ok(fingerprint(parts))
    }

    fn f32_tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, NetworkError> {
        let bytes = self.bytes(name, Dtype::F32, shape)?;
        finite(name, bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    fn f64_tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f64>, NetworkError> {
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
        Some(index) => {
            let value = values[index].into();
            Err(NetworkError::Entry { name: name.to_owned(), index, value, allowed: "finite" })
        }
        None => Ok(values),
    }
}

/// Transposes a row-major matrix with rows of length `width`.
fn transpose(rows: &[f32], width: usize) -> Vec<f32> {
    (0..width).flat_map(|column| rows.iter().skip(column).step_by(width).copied()).collect()
}
