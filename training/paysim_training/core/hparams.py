"""Hyperparameters and evaluation scalars of a run for TensorBoard's HParams tab."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from paysim_training.core.config import TrainConfig
from paysim_training.core.run_folder import RunFolder

EVALUATION_SCALARS = (
    "evaluation/ppo_cost_cents",
    "evaluation/best_rule_cost_cents",
    "evaluation/best_rule_minus_ppo_cents",
)
LEARNED_POLICIES = ("ppo", "tree")
_SUFFIX = ".evaluation"


def hyperparameters(config: TrainConfig) -> dict[str, float | str]:
    """Returns the hyperparameters of a run as scalars.

    Every run has the same keys, since TensorBoard takes the columns of its table from the first run it reads.
    """
    arguments = {key: value for key, value in config.env.kwargs.items() if key != "scenario"}
    scenario = config.env.kwargs.get("scenario")
    return {
        "env": config.env.id,
        "env/scenario": scenario if isinstance(scenario, str) else "given in full",
        "env/kwargs": json.dumps(arguments, sort_keys=True),
        "warm_start": config.warm_start.policy if config.warm_start else "none",
        "seed": config.seed,
        "num_envs": config.num_envs,
        "timesteps": config.timesteps,
        **{f"ppo/{key}": _scalar(value) for key, value in config.ppo.model_dump().items()},
    }


def best_rule(metrics: Mapping[str, Any]) -> str:
    """Returns the name of the cheapest scripted policy in ``metrics.json``."""
    policies: Mapping[str, Mapping[str, Any]] = metrics["policies"]
    rules = [name for name in policies if name not in LEARNED_POLICIES]
    return min(rules, key=lambda name: float(policies[name]["cost_cents_mean"]))


def write_evaluation_scalars(run: RunFolder, metrics: Mapping[str, Any]) -> None:
    """Writes the evaluation scalars of a run and deletes those of earlier evaluations.

    Args:
        run: The evaluated run.
        metrics: The content of ``metrics.json``.
    """
    from torch.utils.tensorboard.writer import SummaryWriter  # imports torch

    for earlier in run.tensorboard.glob(f"*{_SUFFIX}"):
        earlier.unlink()
    ppo, rule = metrics["policies"]["ppo"], metrics["policies"][best_rule(metrics)]
    values = (ppo["cost_cents_mean"], rule["cost_cents_mean"], rule["minus_ppo_cents"]["mean"])
    with SummaryWriter(str(run.tensorboard), filename_suffix=_SUFFIX) as writer:
        for name, value in zip(EVALUATION_SCALARS, values, strict=True):
            writer.add_scalar(name, value, metrics["timesteps"])


def _scalar(value: Any) -> float | str:
    if isinstance(value, int | float):
        return value
    return "x".join(map(str, value))
