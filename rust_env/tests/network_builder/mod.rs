//! Networks with given or random weights.

#![allow(dead_code, reason = "some tests use only given weights")]

use paysim_engine::decision::DecisionConfig;
use paysim_engine::decision::observation::{fields, size};
use paysim_engine::players::network::{FORMAT, Network};
use paysim_engine::rng::{Purpose, Stream, stream};
use paysim_engine::units::BankId;
use rand::RngExt;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Decision settings of a network with these slots and splits.
pub fn slot_decision(count: usize, split_parts: &[u8]) -> Value {
    json!({
        "action_mode": "slots", "slots": count, "split_parts": split_parts, "decides": "both", "pool_shares": null
    })
}

/// A network with these row-major weights and biases of its layers.
pub fn build_network(
    decision: &Value,
    masked: bool,
    activation: &str,
    layers: &[(Vec<f32>, Vec<f32>)],
) -> Arc<Network> {
    let slots = usize::try_from(decision["slots"].as_u64().unwrap()).unwrap();
    let names: Vec<String> = fields(slots).map(|(name, _)| name).collect();
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let layers: Vec<_> =
        layers.iter().map(|(weights, biases)| (bytes(weights), bytes(biases), weights.len() / biases.len())).collect();
    let tensor = |shape, bytes| TensorView::new(Dtype::F32, shape, bytes).unwrap();
    let mut tensors = BTreeMap::new();
    for (index, (weights, biases, inputs)) in layers.iter().enumerate() {
        let outputs = biases.len() / size_of::<f32>();
        tensors.insert(format!("layer.{index}.weight"), tensor(vec![outputs, *inputs], weights));
        tensors.insert(format!("layer.{index}.bias"), tensor(vec![outputs], biases));
    }
    let metadata = [
        ("format", FORMAT.to_owned()),
        ("activation", activation.to_owned()),
        ("outputs", "logits".to_owned()),
        ("masked", masked.to_string()),
        ("decision", decision.to_string()),
        ("observation", json!(names).to_string()),
    ];
    let metadata = metadata.into_iter().map(|(key, text)| (key.to_owned(), text)).collect::<HashMap<_, _>>();
    let metadata = metadata.into_iter().collect();
    Arc::new(Network::from_bytes(&safetensors::serialize(tensors, Some(metadata)).unwrap()).unwrap())
}

/// A masked network with the default decision settings and small random weights.
pub fn random_network(hidden: &[usize]) -> Arc<Network> {
    let config = DecisionConfig::of("");
    let outputs = config.slots * (2 + config.split_parts.len());
    let mut rng = stream(0, 0, BankId(0), Purpose::Policy);
    let mut inputs = size(config.slots);
    let mut layer = |outputs: usize| {
        let weights = random_weights(inputs * outputs, &mut rng);
        inputs = outputs;
        (weights, random_weights(outputs, &mut rng))
    };
    let layers: Vec<_> = hidden.iter().chain([&outputs]).map(|outputs| layer(*outputs)).collect();
    build_network(&slot_decision(config.slots, &config.split_parts), true, "tanh", &layers)
}

fn random_weights(count: usize, rng: &mut Stream) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(-0.2..0.2)).collect()
}
