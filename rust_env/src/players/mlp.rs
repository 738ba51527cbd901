//! Forward pass of a multilayer perceptron.

/// Scratch buffers of the forward pass.
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

/// Observation normalisation as in Stable-Baselines3: standardised and clipped.
///
/// In 64 bits, because 32 bits lose columns with a small variance.
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
    /// Transposed weights, in rows by input, so that the sums of all outputs vectorise.
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
            // Many inputs are zero: empty slots and inactive ReLU units.
            if *value != 0.0 {
                output.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * weight);
            }
        }
    }
}
