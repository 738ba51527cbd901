"""Export of Stable-Baselines3 policies to files that the engine plays.

Needs the `train` extra, and is not imported by `import paysim_gym`. docs/frozen_opponents.md has an
example and the file format.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.vec_env import (
    VecCheckNan,
    VecEnv,
    VecEnvWrapper,
    VecMonitor,
    VecNormalize,
    VecVideoRecorder,
    unwrap_vec_normalize,
)
from stable_baselines3.dqn.policies import DQNPolicy
from torch import nn

from paysim_gym import _engine
from paysim_gym.envs.env_arguments import EnvSettings
from paysim_gym.envs.spaces import observation_names, observation_space
from paysim_gym.files import write_atomically

FORMAT = "paysim_gym.policy.2"
ACTIVATIONS: dict[type[nn.Module], str] = {nn.Tanh: "tanh", nn.ReLU: "relu"}
"""Supported activations and their names in files."""

_ALLOWED = (
    "must be PPO, A2C or MaskablePPO with MlpPolicy or a policy that has a perceptron, or DQN with MlpPolicy"
)
_DECISION = {"action_mode", "slots", "split_parts", "decides", "pool_shares"}
_WRAPPERS = (VecNormalize, VecMonitor, VecCheckNan, VecVideoRecorder)
_Tensors = Mapping[str, NDArray[Any]]


class _Perceptron(NamedTuple):
    """The layers of a policy from observations to actions."""

    layers: list[nn.Linear]
    activation: str
    outputs: str
    """`logits` of the actions, or `values` of the actions."""


def export_network(
    model: BaseAlgorithm, path: str | os.PathLike[str], env: VecEnv | gym.Env[Any, Any] | None = None
) -> None:
    """Write a trained policy to a file for `policy: {type: network, weights: path}`.

    The file also has the policy's observation columns and decision process, and normalises observations if
    `VecNormalize` did in training. It is written atomically.

    Args:
        model: PPO, A2C, DQN or sb3-contrib's MaskablePPO, with an `MlpPolicy` of tanh or ReLU layers, or a
            policy whose method `perceptron()` returns such layers (an `nn.Sequential`) with the same logits,
            as the policy of `paysim_training.train` has.
        path: The file; replaced if it exists.
        env: The environment it was trained in, `VecNormalize` included; by default the model's own.

    Raises:
        ValueError: If the policy is of another type, the environment is not a payment environment, or
            its observations are not those of the policy.
    """
    perceptron = _perceptron(model)
    env = model.get_env() if env is None else env
    settings = _settings(env)
    _validate_wrappers(env)
    _validate_observations(model, settings)
    trained_in = model.get_env()
    if env is not None and trained_in is not None:
        _validate_equal(env, trained_in)
    names = observation_names(settings.slots)
    decision = {**settings.model_dump(include=_DECISION), "pool_shares": _pool_shares(model, settings)}
    metadata = {
        "format": FORMAT,
        "activation": perceptron.activation,
        "outputs": perceptron.outputs,
        "masked": json.dumps(type(model.policy) is MaskableActorCriticPolicy),
        "decision": json.dumps(decision),
        "observation": json.dumps(names),
    }
    data = _with_sorted_header(save({**_weights(perceptron.layers), **_normalisation(env)}, metadata))
    _engine.Network(data)
    write_atomically(Path(path), data)


def _pool_shares(model: BaseAlgorithm, settings: EnvSettings) -> int | None:
    """Return the number of pool shares that the actions choose from, if any.

    In the `fraction` mode the one component also commits a pool where there is one.
    """
    if settings.decides not in ("both", "pool"):
        return None
    is_slots = settings.action_mode == "slots" and settings.decides == "both"
    if is_slots and len(model.action_space.nvec) == settings.slots:  # type: ignore[attr-defined]
        return None
    return settings.pool_shares


def _with_sorted_header(file: bytes) -> bytes:
    """Sort the header of a safetensors file, so that equal networks have equal bytes."""
    end = 8 + int.from_bytes(file[:8], "little")
    header = json.dumps(json.loads(file[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + file[end:]


def _perceptron(model: BaseAlgorithm) -> _Perceptron:
    policy: Any = model.policy
    if hasattr(policy, "perceptron"):
        extractor, outputs = policy.pi_features_extractor, "logits"
        modules = list(policy.perceptron())
    elif type(policy) in (ActorCriticPolicy, MaskableActorCriticPolicy):
        extractor, outputs = policy.pi_features_extractor, "logits"
        modules = [*policy.mlp_extractor.policy_net, policy.action_net]
    elif type(policy) is DQNPolicy:
        extractor, outputs = policy.q_net.features_extractor, "values"
        modules = list(policy.q_net.q_net)
    else:
        raise ValueError(f"model = {type(model).__name__} with {type(policy).__name__}: {_ALLOWED}")
    if type(extractor) is not FlattenExtractor:
        kind = type(extractor).__name__
        raise ValueError(f"features_extractor_class = {kind}: must be FlattenExtractor, as MlpPolicy has")
    if not isinstance(model.action_space, gym.spaces.Discrete | gym.spaces.MultiDiscrete):
        raise ValueError(f"action_space = {model.action_space}: must be that of a payment environment")
    layers, between = modules[::2], modules[1::2]
    kinds = {type(module) for module in between}
    if not kinds <= ACTIVATIONS.keys() or len(kinds) > 1:
        found = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(
            f"activation_fn = {found}: must be {' or '.join(kind.__name__ for kind in ACTIVATIONS)}"
        )
    activation = ACTIVATIONS[kinds.pop()] if kinds else "tanh"
    return _Perceptron([layer for layer in layers if isinstance(layer, nn.Linear)], activation, outputs)


def _settings(env: Any) -> EnvSettings:
    if env is None:
        raise ValueError("env = None: the model has none either; pass the environment that it was trained in")
    try:
        found = env.get_attr("settings")[0] if isinstance(env, VecEnv) else env.unwrapped.settings
    except AttributeError:
        found = None
    if not isinstance(found, EnvSettings):
        raise ValueError(f"env = {type(env).__name__}: must be a payment environment, or a VecEnv of them")
    return found


def _validate_wrappers(env: Any) -> None:
    """Raise a ValueError for wrappers, except normalisation, that change observations or actions."""
    chain = [env]
    while isinstance(chain[-1], VecEnvWrapper):
        chain.append(chain[-1].venv)
    others = [wrapper for wrapper in chain[:-1] if type(wrapper) not in _WRAPPERS]
    normalisers = [wrapper for wrapper in chain if isinstance(wrapper, VecNormalize)]
    for wrapper in others + normalisers[1:]:
        name = type(wrapper).__name__
        raise ValueError(f"env has the wrapper {name}: must have one VecNormalize and VecMonitor at most")
    for kind in (gym.ObservationWrapper, gym.ActionWrapper):
        is_found = any(env.env_is_wrapped(kind)) if isinstance(env, VecEnv) else is_wrapped(env, kind)
        if is_found:
            raise ValueError(
                f"env has a {kind.__name__}: no wrapper but VecNormalize may change observations or actions"
            )


def _validate_equal(env: Any, trained_in: VecEnv) -> None:
    """Raise a ValueError if settings or normalisation differ from those in training."""
    given, own = (_settings(one).model_dump(include=_DECISION) for one in (env, trained_in))
    different = [name for name in own if given[name] != own[name]]
    for name in different:
        raise ValueError(f"env.settings.{name} = {given[name]!r}: must be {own[name]!r}, as in training")
    if bool(_normalisation(env)) != bool(_normalisation(trained_in)):
        raise ValueError("env: must be normalised if and only if the environment in training was")


def _validate_observations(model: BaseAlgorithm, settings: EnvSettings) -> None:
    if model.observation_space != observation_space(settings.slots):
        raise ValueError(
            f"observation_space = {model.observation_space}: must be that of the payment environment; no "
            "wrapper but VecNormalize may change observations"
        )


def _weights(layers: list[nn.Linear]) -> _Tensors:
    tensors = {}
    for index, layer in enumerate(layers):
        for name in ("weight", "bias"):
            values = getattr(layer, name).detach().cpu().numpy()
            tensors[f"layer.{index}.{name}"] = np.ascontiguousarray(values, np.float32)
    return tensors


def _normalisation(env: object) -> _Tensors:
    """Return the statistics of `VecNormalize`, in its own float64."""
    wrapper = unwrap_vec_normalize(env) if isinstance(env, VecEnv) else None
    if not isinstance(wrapper, VecNormalize) or not wrapper.norm_obs:
        return {}
    statistics: Any = wrapper.obs_rms
    return {
        "observation.mean": np.array(statistics.mean, np.float64),
        "observation.scale": np.sqrt(np.array(statistics.var, np.float64) + wrapper.epsilon),
        "observation.clip": np.array([wrapper.clip_obs], np.float64),
    }
