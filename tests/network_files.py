"""Network files with random weights."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from paysim_gym import _engine
from paysim_gym.envs.spaces import observation_names

Tensors = dict[str, Any]
DECISION: dict[str, Any] = {
    "action_mode": "slots",
    "slots": 8,
    "split_parts": [2, 4],
    "decides": "both",
    "pool_shares": None,
}


def parts(
    decision: dict[str, Any] | None = None, hidden: tuple[int, ...] = (32,), seed: int = 0, **changed: Any
) -> tuple[Tensors, dict[str, str]]:
    """Tensors and metadata of a network whose logits vary enough for all actions."""
    decision = DECISION | (decision or {})
    names = list(observation_names(decision["slots"]))
    outputs = decision["pool_shares"] or 0
    if decision["action_mode"] == "fraction":
        outputs = _engine.SHARES
    elif decision["decides"] != "pool":
        outputs += (2 + len(decision["split_parts"])) * decision["slots"]
    rng = np.random.default_rng(seed)
    widths = [len(names), *hidden, outputs]
    tensors: Tensors = {}
    for layer, (before, after) in enumerate(pairwise(widths)):
        weight = rng.normal(size=(after, before)) * 2 / np.sqrt(before)
        tensors[f"layer.{layer}.weight"] = weight.astype(np.float32)
        tensors[f"layer.{layer}.bias"] = rng.normal(size=after).astype(np.float32)
    metadata = {
        "format": "paysim_gym.policy.2",
        "activation": "tanh",
        "outputs": "logits",
        "masked": "false",
        "decision": json.dumps(decision),
        "observation": json.dumps(names),
    }
    return tensors, metadata | changed


def network_file(path: Path, decision: dict[str, Any] | None = None, **keys: Any) -> Path:
    """Write a network to a file."""
    path.write_bytes(save(*parts(decision, **keys)))
    return path


def against(scenario: dict[str, Any], file: Path, bank: int = 1, **policy: Any) -> dict[str, Any]:
    """A scenario in which the network of a file plays a bank."""
    played = {"type": "network", "weights": str(file), **policy}
    agents = [
        agent | {"policy": played} if index == bank else agent
        for index, agent in enumerate(scenario["agents"])
    ]
    return scenario | {"agents": agents}
