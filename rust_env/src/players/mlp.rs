//! The arithmetic of a multilayer perceptron.

/// Room for the numbers between two layers, to be used again and again.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) input: Vec<f32>,
    pub(super) output: Vec<f32>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Activation {
    Tanh,
    Relu,
}

/// The observation's columns less their means, in standard deviations, clipped; as Stable-Baselines3 does it,
/// in 64 bits: where a column hardly varies, 32 would leave nothing of it.
#[derive(Debug)]
pub(super) struct Normalisation {
    pub(super) means: Vec<f64>,
    pub(super) scales: Vec<f64>,
    pub(super) clip: f64,
}

impl Normalisation {
    #[expect(clippy::cast_possible_truncation, reason = "an observation has 32 bits")]
    pub(super) fn apply(&self, observation: &[f32]) -> impl Iterator<Item = f32> {
        let columns = observation.iter().zip(self.means.iter().zip(&self.scales));
        columns.map(|(value, (mean, scale))| ((f64::from(*value) - mean) / scale).clamp(-self.clip, self.clip) as f32)
    }
}

impl Activation {
    pub(super) fn apply(self, values: &mut [f32]) {
        match self {
            Self::Tanh => values.iter_mut().for_each(|value| *value = libm::tanhf(*value)),
            Self::Relu => values.iter_mut().for_each(|value| *value = value.max(0.0)),
        }
    }
}

#[derive(Debug)]
pub(super) struct Layer {
    /// Input after input the weights of all outputs, so that outputs can be summed side by side.
    pub(super) weights: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

impl Layer {
    pub(super) fn num_inputs(&self) -> usize {
        self.weights.len() / self.bias.len().max(1)
    }

    pub(super) fn apply(&self, input: &[f32], output: &mut Vec<f32>) {
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
