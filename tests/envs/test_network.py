"""Network files: export, equality of engine and torch, and invalid files."""

from __future__ import annotations

import copy
import json
import pickle
import re
import struct
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from network_files import DECISION, against, network_file, parts
from numpy.typing import NDArray
from safetensors.numpy import save
from sb3_contrib import MaskablePPO, RecurrentPPO
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnvWrapper, VecMonitor, VecNormalize
from torch import nn

from paysim_gym import PaymentEnv, PaymentVectorEnv, Scenario, ScenarioError, _engine, load_scenario
from paysim_gym.envs.export import export_network
from paysim_gym.envs.sb3 import PaymentVecEnv
from paysim_gym.envs.spaces import observation_names

torch.set_num_threads(1)
ALGORITHMS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "ppo": (PPO, "slots", {"n_steps": 64, "batch_size": 64, "learning_rate": 0.01}),
    "ppo of one layer": (PPO, "slots", {"n_steps": 64, "policy_kwargs": {"net_arch": []}}),
    "a2c": (
        A2C,
        "fraction",
        {"policy_kwargs": {"net_arch": {"pi": [24, 40, 16], "vf": [8]}, "activation_fn": nn.ReLU}},
    ),
    "dqn": (DQN, "fraction", {"learning_starts": 10, "train_freq": 2, "learning_rate": 0.01}),
    "maskable": (MaskablePPO, "slots", {"n_steps": 64, "batch_size": 64, "learning_rate": 0.01}),
}
BASE = ("format", "activation", "outputs", "masked", "decision", "observation")


def learn(name: str, venv: Any) -> BaseAlgorithm:
    algorithm, _, arguments = ALGORITHMS[name]
    model: BaseAlgorithm = algorithm("MlpPolicy", venv, seed=0, device="cpu", **arguments)
    return model.learn(256)


def torch_outputs(model: BaseAlgorithm, observations: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits or values of the trained modules."""
    policy: Any = model.policy
    with torch.no_grad():
        batch = torch.as_tensor(observations)
        if isinstance(model, DQN):
            outputs = policy.q_net(batch)
        else:
            outputs = policy.action_net(policy.mlp_extractor.forward_actor(batch))
    return np.asarray(outputs.numpy())


def random_day(env: PaymentVectorEnv, steps: int = 40) -> NDArray[np.float32]:
    """Observations of days with all kinds of events."""
    seen, _ = env.reset(seed=5)
    observations = [seen]
    env.action_space.seed(0)
    for _ in range(steps):
        observations.append(env.step(env.action_space.sample())[0])
    return np.concatenate(observations)


@pytest.mark.parametrize("is_normalised", [False, True], ids=["plain", "normalised"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_outputs_are_those_of_torch(name: str, is_normalised: bool, tmp_path: Path) -> None:
    mode: Any = ALGORITHMS[name][1]
    env = PaymentVectorEnv(4, "five_bank", action_mode=mode, autoreset_mode="SameStep")
    venv: Any = PaymentVecEnv(env)
    if is_normalised:
        venv = VecNormalize(venv, clip_obs=3.0)
    model = learn(name, venv)
    path = tmp_path / "policy.safetensors"
    export_network(model, path)
    observations = random_day(env)
    seen = venv.normalize_obs(observations) if is_normalised else observations
    expected = torch_outputs(model, seen)
    found = _engine.Network(path.read_bytes()).outputs(observations)
    assert (found.dtype, found.shape) == (np.dtype(np.float32), expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 1e-3
    assert list(tmp_path.iterdir()) == [path]


def test_an_exported_file_says_what_the_policy_decides(tmp_path: Path) -> None:
    venv = DummyVecEnv([lambda: PaymentEnv("liquidity_pool", slots=3, split_parts=(5,), decides="payments")])
    model = MaskablePPO("MlpPolicy", venv, n_steps=64, device="cpu")
    export_network(model, tmp_path / "policy.safetensors")
    data = (tmp_path / "policy.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    metadata = json.loads(data[8 : 8 + size])["__metadata__"]
    assert set(metadata) == set(BASE)
    decision = {"slots": 3, "split_parts": [5], "decides": "payments"}
    assert json.loads(metadata["decision"]) == DECISION | decision
    assert (metadata["masked"], metadata["outputs"], metadata["activation"]) == ("true", "logits", "tanh")
    assert json.loads(metadata["observation"]) == list(observation_names(3))


def test_a_loaded_model_needs_its_environment(tmp_path: Path) -> None:
    env = PaymentEnv(slots=3)
    PPO("MlpPolicy", env, n_steps=64, device="cpu").save(tmp_path / "model.zip")
    model = PPO.load(tmp_path / "model.zip", device="cpu")
    with pytest.raises(ValueError, match=r"env = None: the model has none either; pass the environment"):
        export_network(model, tmp_path / "policy.safetensors")
    wrapped = gym.wrappers.TimeLimit(env, 5)
    environments: tuple[Any, ...] = (env, wrapped, DummyVecEnv([lambda: wrapped]))
    for index, given in enumerate(environments):
        export_network(model, tmp_path / f"{index}.safetensors", given)
    observations = np.zeros((1, len(observation_names(3))), np.float32)
    networks = [_engine.Network(file.read_bytes()) for file in tmp_path.glob("*.safetensors")]
    assert len({network.outputs(observations).tobytes() for network in networks}) == 1


class Scaled(gym.ObservationWrapper[Any, Any, Any]):
    """Changes observations."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.observation_space = gym.spaces.Box(-20, 20, (env.observation_space.shape[0],))

    def observation(self, observation: Any) -> Any:
        return 2 * observation


class OwnPolicy(MaskableActorCriticPolicy):
    """Could change actions."""


class Features(torch.nn.Flatten):
    features_dim = 92

    def __init__(self, space: Any) -> None:
        super().__init__()


def of_two_activations() -> PPO:
    model = PPO("MlpPolicy", PaymentEnv(), device="cpu")
    model.policy.mlp_extractor.policy_net[1] = nn.ReLU()
    return model


def seen_through(wrap: Any) -> PPO:
    return PPO("MlpPolicy", DummyVecEnv([lambda: wrap(PaymentEnv())]), device="cpu")


def wrapped_in(*wrappers: Any) -> PPO:
    venv: Any = PaymentVecEnv(PaymentVectorEnv(2, autoreset_mode="SameStep"))
    for wrapper in wrappers:
        venv = wrapper(venv)
    return PPO("MlpPolicy", venv, device="cpu")


class Reversed(VecEnvWrapper):
    """Reverses the slots of an action."""

    def reset(self) -> Any:
        return self.venv.reset()

    def step_async(self, actions: Any) -> None:
        self.venv.step_async(actions[:, ::-1])

    def step_wait(self) -> Any:
        return self.venv.step_wait()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (of_two_activations, "activation_fn = ReLU, Tanh: must be Tanh or ReLU"),
        (
            lambda: seen_through(
                lambda env: gym.wrappers.TransformObservation(env, lambda seen: seen * 0, None)
            ),
            "env has a ObservationWrapper: no wrapper but VecNormalize may change",
        ),
        (
            lambda: seen_through(
                lambda env: gym.wrappers.TransformAction(env, lambda action: action[::-1], None)
            ),
            "env has a ActionWrapper: no wrapper but VecNormalize may change",
        ),
        (lambda: wrapped_in(Reversed), "env has the wrapper Reversed: must have one VecNormalize"),
        (
            lambda: wrapped_in(VecNormalize, VecMonitor, VecNormalize),
            "env has the wrapper VecNormalize: must have one VecNormalize",
        ),
        (lambda: RecurrentPPO("MlpLstmPolicy", PaymentEnv()), "RecurrentPPO with RecurrentActorCriticPolicy"),
        (lambda: MaskablePPO(OwnPolicy, PaymentEnv()), "MaskablePPO with OwnPolicy: must be PPO, A2C"),
        (lambda: PPO("MlpPolicy", "CartPole-v1"), "env = DummyVecEnv: must be a payment environment"),
        (lambda: PPO("MlpPolicy", "Pendulum-v1"), "must be that of a payment environment"),
        (lambda: PPO("MlpPolicy", Scaled(PaymentEnv())), "no wrapper but VecNormalize may change"),
        (
            lambda: PPO("MlpPolicy", PaymentEnv(), policy_kwargs={"activation_fn": nn.ELU}),
            "activation_fn = ELU: must be Tanh or ReLU",
        ),
        (
            lambda: PPO("MlpPolicy", PaymentEnv(), policy_kwargs={"features_extractor_class": Features}),
            "features_extractor_class = Features: must be FlattenExtractor",
        ),
    ],
)
def test_what_cannot_be_exported_is_refused(make: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        export_network(make(), tmp_path / "policy.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split_parts": (2, 5)}, r"env.settings.split_parts = \(2, 5\): must be \(2, 4\), as in training"),
        ({"decides": "payments"}, "env.settings.decides = 'payments': must be 'both'"),
        ({"pool_shares": 5}, "env.settings.pool_shares = 5: must be 21"),
    ],
)
def test_another_environment_must_be_like_that_of_training(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    model = PPO("MlpPolicy", PaymentEnv(), device="cpu")
    export_network(model, tmp_path / "policy.safetensors", PaymentEnv())
    with pytest.raises(ValueError, match=message):
        export_network(model, tmp_path / "other.safetensors", PaymentEnv(**settings))
    with pytest.raises(ValueError, match="env: must be normalised if"):
        export_network(model, tmp_path / "other.safetensors", VecNormalize(DummyVecEnv([PaymentEnv])))
    assert not (tmp_path / "other.safetensors").exists()


def test_observations_that_are_not_normalised_are_not_in_the_file(tmp_path: Path) -> None:
    model = wrapped_in(VecMonitor, lambda venv: VecNormalize(venv, norm_obs=False))
    export_network(model, tmp_path / "policy.safetensors")
    observations = random_day(PaymentVectorEnv(2), steps=3)
    found = _engine.Network((tmp_path / "policy.safetensors").read_bytes()).outputs(observations)
    np.testing.assert_allclose(found, torch_outputs(model, observations), rtol=1e-5, atol=1e-5)
    assert b"observation.mean" not in (tmp_path / "policy.safetensors").read_bytes()


def test_weights_that_are_no_numbers_are_not_exported(tmp_path: Path) -> None:
    model = PPO("MlpPolicy", PaymentEnv(), device="cpu")
    with torch.no_grad():
        model.policy.get_parameter("action_net.bias")[3] = torch.nan
    with pytest.raises(ValueError, match=r"tensor layer\.2\.bias\[3\] = NaN: must be finite"):
        export_network(model, tmp_path / "policy.safetensors")
    assert list(tmp_path.iterdir()) == []


def changed_tensor(name: str, value: Any) -> bytes:
    tensors, metadata = parts()
    if value is None:
        del tensors[name]
    else:
        tensors[name] = value(tensors.get(name))
    return save(tensors, metadata)


def changed_decision(**keys: Any) -> bytes:
    tensors, metadata = parts()
    return save(tensors, metadata | {"decision": json.dumps(DECISION | keys)})


def without(key: str) -> bytes:
    tensors, metadata = parts()
    return save(tensors, {name: value for name, value in metadata.items() if name != key})


def with_number(number: float) -> Any:
    def change(values: Any) -> Any:
        changed = values.copy()
        changed.flat[5] = number
        return changed

    return change


def normalised(**changed: Any) -> bytes:
    tensors, metadata = parts()
    columns = tensors["layer.0.weight"].shape[1]
    whole = {"mean": np.zeros(columns), "scale": np.ones(columns), "clip": np.array([10.0])} | changed
    return save(tensors | {f"observation.{key}": value for key, value in whole.items()}, metadata)


NAMES = list(observation_names(8))
REFUSED = {
    "nothing": (b"", "the header is missing (0 bytes)"),
    "text": (b"PK\3\4 not a network at all", "the file ends within the header"),
    "cut": (save(*parts())[:-1], "the size of the tensors differs from the header"),
    "longer": (save(*parts()) + b"\0", "the size of the tensors differs from the header"),
    "no metadata": (save(parts()[0]), "metadata format = (missing): must be present"),
    "no decision": (without("decision"), "metadata decision = (missing): must be present"),
    "other format": (
        save(*parts(format="paysim_gym.policy.1")),
        'metadata format = "paysim_gym.policy.1": must be paysim_gym.policy.2',
    ),
    "activation": (save(*parts(activation="elu")), 'metadata activation = "elu": must be tanh or relu'),
    "masked": (save(*parts(masked="yes")), 'metadata masked = "yes": must be false or true'),
    "outputs": (save(*parts(outputs="mean")), 'metadata outputs = "mean": must be logits or values'),
    "columns": (
        save(*parts(observation=json.dumps([*NAMES[:4], "mood", *NAMES[5:]]))),
        'observation column 4 is "mood", must be "free_liquidity"',
    ),
    "fewer columns": (
        save(*parts(observation=json.dumps(NAMES[:-1]))),
        'observation column 133 is "", must be "slot_7_incoming_value"',
    ),
    "columns no list": (save(*parts(observation="5")), "must be a list of names as JSON"),
    "no slots": (changed_decision(slots=0), "metadata decision: slots = 0: must be between 1 and 64"),
    "too many slots": (changed_decision(slots=10**9), "slots = 1000000000: must be between 1 and 64"),
    "splits": (changed_decision(split_parts=[4, 2]), "split_parts[1] = 2: must be between 5 and 100"),
    "mode": (changed_decision(action_mode="all"), "metadata decision: action_mode"),
    "key": (changed_decision(mood="good"), "metadata decision: mood"),
    "shares of the pool": (changed_decision(pool_shares=1), "pool_shares = 1: must be between 2 and 101"),
    "no pool": (changed_decision(decides="pool"), "pool_shares = null: must be a number of shares"),
    "other outputs": (
        changed_decision(split_parts=[2]),
        "tensor layer.1.weight = F32 of shape [32, 32]: must be F32 of shape [24, 32]",
    ),
    "no layer": (changed_tensor("layer.0.weight", None), "tensor layer.0.weight = (missing): must be F32"),
    "no bias": (
        changed_tensor("layer.1.bias", None),
        "tensor layer.1.bias = (missing): must be F32 of shape [32]",
    ),
    "type": (
        changed_tensor("layer.1.bias", lambda bias: bias.astype(np.float64)),
        "tensor layer.1.bias = F64 of shape [32]: must be F32 of shape [32]",
    ),
    "flat": (
        changed_tensor("layer.0.weight", lambda weight: weight.ravel()),
        "tensor layer.0.weight = F32 of shape [4288]: must be F32 of shape [1, 134]",
    ),
    "empty layer": (
        changed_tensor("layer.0.weight", lambda weight: weight[:0]),
        "tensor layer.0.weight = F32 of shape [0, 134]: must be F32 of shape [1, 134]",
    ),
    "more tensors": (
        changed_tensor("layer.3.weight", lambda _: np.zeros(3, np.float32)),
        "tensor layer.3.weight",
    ),
    "nan": (
        changed_tensor("layer.0.weight", with_number(np.nan)),
        "tensor layer.0.weight[5] = NaN: must be finite",
    ),
    "inf": (
        changed_tensor("layer.1.bias", with_number(-np.inf)),
        "tensor layer.1.bias[5] = -inf: must be finite",
    ),
    "scale": (normalised(scale=np.zeros(134)), "tensor observation.scale[0] = 0: must be above 0"),
    "clip": (normalised(clip=np.array([-1.0])), "tensor observation.clip[0] = -1: must be above 0"),
    "means": (
        normalised(mean=np.zeros(133)),
        "observation.mean = F64 of shape [133]: must be F64 of shape [134]",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_file_is_refused_where_the_scenario_names_it(
    case: str, tmp_path: Path, small_scenario: dict[str, Any]
) -> None:
    data, message = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(message)):
        _engine.Network(data)
    file = tmp_path / "wrong.safetensors"
    file.write_bytes(data)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(against(small_scenario, file))
    assert str(caught.value).startswith(f"agents[1].policy.weights = {str(file)!r}: ")
    assert message in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path, small_scenario: dict[str, Any]) -> None:
    file = tmp_path / "absent.safetensors"
    with pytest.raises(ScenarioError, match=r"agents\[1\]\.policy\.weights = .*absent.*No such file"):
        load_scenario(against(small_scenario, file))


def test_no_damage_makes_the_engine_panic() -> None:
    whole = save(*parts(hidden=(3,)))
    (size,) = struct.unpack("<Q", whole[:8])
    rng = np.random.default_rng(0)
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(8 + size)] = rng.integers(256)
        try:
            _engine.Network(bytes(data[: rng.integers(len(data))] if rng.random() < 0.2 else data))
        except ValueError:
            continue


def test_sizes_that_overflow_are_refused() -> None:
    block = 2**61 - 1
    tensors = {
        str(index): {"dtype": "U8", "shape": [block], "data_offsets": [index * block, (index + 1) * block]}
        for index in range(8)
    }
    rest = {"dtype": "U8", "shape": [7], "data_offsets": [8 * block, 8 * block + 7]}
    header = json.dumps(tensors | {"rest": rest}).encode()
    with pytest.raises(ValueError, match="the size of the tensors differs"):
        _engine.Network(struct.pack("<Q", len(header)) + header)


def test_observations_of_another_shape_are_refused() -> None:
    network = _engine.Network(save(*parts()))
    with pytest.raises(ValueError, match=r"observations have shape \(2, 133\): must be \(n, 134\)"):
        network.outputs(np.zeros((2, 133), np.float32))


def test_values_are_nothing_to_draw_from(tmp_path: Path, small_scenario: dict[str, Any]) -> None:
    file = network_file(tmp_path / "values.safetensors", {"action_mode": "fraction"}, outputs="values")
    PaymentVectorEnv(1, against(small_scenario, file))
    with pytest.raises(ScenarioError, match=r"agents\[1\]\.policy\.deterministic = false .*must be true"):
        PaymentVectorEnv(1, against(small_scenario, file, deterministic=False))


def test_the_engine_takes_exactly_the_networks_that_the_scenario_names(
    tmp_path: Path, small_scenario: dict[str, Any]
) -> None:
    named = load_scenario(against(small_scenario, network_file(tmp_path / "a.safetensors")))
    plain, network = load_scenario(small_scenario), named.networks["BANK_B"]
    for scenario, networks, message in (
        (named, None, r"agents\[1\]\.policy\.weights = .* must be read and passed with the scenario"),
        (named, {"BANK_A": network, "BANK_B": network}, r"agents\[0\]\.policy = .*: must be a network"),
        (plain, {"BANK_X": network}, r'networks = "BANK_X": must name a bank whose policy is a network'),
    ):
        with pytest.raises(ScenarioError, match=message):
            _engine.Orchestrator(scenario.model_dump_json(), False, None, networks)


def test_networks_are_read_once_and_anew_in_copies(tmp_path: Path, small_scenario: dict[str, Any]) -> None:
    file = network_file(tmp_path / "a.safetensors")
    scenario = load_scenario(against(against(small_scenario, file), file, bank=0))
    assert scenario.networks["BANK_A"] is scenario.networks["BANK_B"]
    assert scenario.networks is scenario.networks
    assert copy.deepcopy(scenario).networks.keys() == {"BANK_A", "BANK_B"}
    other = network_file(tmp_path / "b.safetensors", seed=1)
    changed = scenario.model_copy(update={"agents": load_scenario(against(small_scenario, other)).agents})
    assert changed.networks.keys() == {"BANK_B"}
    file.unlink()
    again = pickle.loads(pickle.dumps(changed))
    assert isinstance(again, Scenario)
    assert again.networks.keys() == {"BANK_B"}
    with pytest.raises(ScenarioError, match="No such file"):
        load_scenario(pickle.loads(pickle.dumps(scenario)))
