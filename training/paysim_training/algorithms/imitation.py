"""Behaviour cloning: the policy imitates a rule or the hindsight plan before it learns from reward.

What is imitated is played through the environment on days of the training seeds. Actor and critic are then
fitted to it: the actor to its actions, the critic to its discounted rewards in the units that training
begins with, as a critic that knows nothing would let the first updates undo what was imitated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from paysim_agents.hindsight import hindsight, replay
from paysim_agents.hindsight.recorded_day import record_day
from paysim_agents.tasks.measurement import KINDS, tune_rules, with_share
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor
from torch.nn import functional

from paysim_gym import PaymentVectorEnv, Scenario
from paysim_training.core.config import TRAINING_SEEDS_END, ConfigError, TrainConfig, WarmStart
from paysim_training.core.task import constructor_arguments

NODE_LIMIT = 100
"""Nodes that the solver may visit on a day of the hindsight plan."""
_STREAM = (0, 0, 1)
"""What follows the configured seed in the seed of the days, so that no stretch of training draws the same."""


@dataclass(frozen=True)
class Demonstration:
    """Steps of whoever is imitated, in the order of the days.

    Attributes:
        observations: float32 of shape (steps, observation size).
        choices: How many actions each head could choose from: int64 of shape (steps, heads).
        actions: int64 of shape (steps, heads).
        returns: Discounted rewards from each step to the end of its episode, in units of reward: float64 of
            shape (steps,).
        backward_returns: Discounted rewards up to each step, by whose variance rewards are normalised:
            float64 of shape (steps,).
        description: Who was imitated, ready for JSON.
    """

    observations: NDArray[np.float32]
    choices: NDArray[np.int64]
    actions: NDArray[np.int64]
    returns: NDArray[np.float64]
    backward_returns: NDArray[np.float64]
    description: dict[str, Any]


class _Recorder:
    """Collects the steps of episodes that are played side by side."""

    def __init__(self) -> None:
        self._steps: list[tuple[NDArray[Any], ...]] = []

    def __call__(
        self,
        observations: NDArray[np.float32],
        masks: NDArray[np.bool_],
        actions: NDArray[np.int64],
        rewards: NDArray[Any],
    ) -> None:
        """Take a step of every row; the arguments of `paysim_agents.hindsight.Watch`."""
        choices = masks.reshape(*actions.shape, -1).sum(axis=2)
        self._steps.append((observations, choices, actions, rewards.astype(np.float64)))

    def columns(self, discount: float) -> tuple[NDArray[Any], ...]:
        """Observations, choices, actions, returns and backward returns: day after day, step after step."""
        observations, choices, actions, rewards = (
            np.stack(column, axis=1) for column in zip(*self._steps, strict=True)
        )
        forward = _accumulate(rewards[:, ::-1], discount)[:, ::-1]
        columns = (observations, choices, actions, forward, _accumulate(rewards, discount))
        return tuple(column.reshape(-1, *column.shape[2:]) for column in columns)


def imitate(model: PPO, config: TrainConfig, scenario: Scenario) -> dict[str, Any]:
    """Fit a new model to whom its configuration wants imitated; the same seed gives the same parameters.

    Args:
        model: A model that has not learned yet; its reward normaliser begins with the demonstrated returns.
        config: Its configuration, with a `warm_start`.
        scenario: What is played.

    Returns:
        Whom it imitated, and `agreement`: the share of decisions between several legal actions in which
        its likeliest action is that of the demonstration.

    Raises:
        ConfigError: If there is nobody to imitate, or the task cannot be demonstrated.
    """
    warm = config.warm_start
    if warm is None:
        raise ConfigError("warm_start = None: must say whom to imitate")
    demonstration = demonstrate(config, scenario)
    scale = _start_normaliser(model.get_vec_normalize_env(), demonstration)
    observations = torch.as_tensor(demonstration.observations)
    has_choice = torch.as_tensor(demonstration.choices > 1)
    actions = torch.as_tensor(demonstration.actions)
    returns = torch.as_tensor(demonstration.returns * scale, dtype=torch.float32)
    # One of its own, so that the moments of training's begin at zero.
    optimizer = torch.optim.Adam(model.policy.parameters())
    for rate, batch in _batches(len(actions), warm, config.seed):
        optimizer.param_groups[0]["lr"] = rate
        logits, values = _outputs(model, observations[batch])
        loss = _cross_entropy(logits, actions[batch], has_choice[batch])
        loss = loss + functional.mse_loss(values, returns[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        likeliest = _outputs(model, observations)[0].argmax(dim=2)
    agreement = (likeliest == actions)[has_choice].float().mean()
    return {**demonstration.description, "agreement": float(agreement)}


def demonstrate(config: TrainConfig, scenario: Scenario) -> Demonstration:
    """Play the days that are imitated.

    Args:
        config: With a `warm_start`.
        scenario: What is played.

    Raises:
        ConfigError: If there is nobody to imitate, or the task cannot be demonstrated.
    """
    warm, arguments = config.warm_start, constructor_arguments(config.env)
    if warm is None:
        raise ConfigError("warm_start = None: must say whom to imitate")
    arguments["learner"] = PaymentVectorEnv(1, scenario, **arguments).learner
    show = _show_hindsight if warm.policy == "hindsight" else _show_rule
    return show(config, warm, scenario, arguments)


def demonstrated_days(config: TrainConfig, count: int) -> list[int]:
    """Seeds of days that belong to training, each once, in random order."""
    rng = np.random.default_rng([config.seed, *_STREAM])
    return [int(seed) for seed in rng.choice(TRAINING_SEEDS_END, count, replace=False, shuffle=False)]


def _show_rule(
    config: TrainConfig, warm: WarmStart, scenario: Scenario, arguments: dict[str, Any]
) -> Demonstration:
    kinds = KINDS if warm.policy == "best_rule" else (warm.policy,)
    kinds = tuple(kind for kind in kinds if kind != "random")  # has no reasons that could be learned
    learner = arguments["learner"]
    others = {key: value for key, value in arguments.items() if key != "learner"}
    tuned = tune_rules(scenario, learner, config.tuning.seeds, kinds, **others)
    _, rule, share = min(tuned, key=lambda trial: trial[0])
    played = scenario if share is None else with_share(scenario, learner, share)
    days = demonstrated_days(config, warm.days)
    env = PaymentVectorEnv(len(days), played, autoreset_mode="Disabled", **arguments)
    record, (observations, infos) = _Recorder(), env.reset(seed=days)
    while "episode_totals" not in infos:
        masks, actions = env.action_masks(), env.scripted_actions(rule)
        before = observations
        observations, rewards, *_, infos = env.step(actions)
        record(before, masks, actions, rewards)
    description = {"policy": rule, "pool_share": share, "days": len(days)}
    return Demonstration(*record.columns(config.ppo.discount), description)


def _show_hindsight(
    config: TrainConfig, warm: WarmStart, scenario: Scenario, arguments: dict[str, Any]
) -> Demonstration:
    settings = PaymentVectorEnv(1, scenario, **arguments).settings
    if settings.decides != "both" or settings.action_mode != "slots" or settings.max_episode_steps:
        raise ConfigError(
            "warm_start.policy = 'hindsight': needs decides = 'both', action_mode = 'slots' "
            "and no max_episode_steps"
        )
    reward = settings.model_dump(include={"reward", "reward_blend", "reward_scale"})
    shown, parts = [], settings.split_parts
    for seed in demonstrated_days(config, warm.days):
        try:
            best = hindsight(scenario, seed, arguments["learner"], split_parts=parts, node_limit=NODE_LIMIT)
        except ValueError as error:
            raise ConfigError(f"warm_start.policy = 'hindsight': {error}") from error
        if best.plan is not None:
            day, record = record_day(scenario, seed, arguments["learner"]), _Recorder()
            replay(day, best.plan, parts, slots=settings.slots, watch=record, **reward)
            shown.append(record.columns(config.ppo.discount))
    if not shown:
        raise ConfigError("warm_start.policy = 'hindsight': no plan was found on any of the days")
    columns = (np.concatenate(column) for column in zip(*shown, strict=True))
    return Demonstration(*columns, {"policy": {"type": "hindsight"}, "days": len(shown)})


def _accumulate(rewards: NDArray[np.float64], discount: float) -> NDArray[np.float64]:
    """Each reward and the discounted ones before it, along the second axis."""
    sums = np.empty_like(rewards)
    running = np.zeros(len(rewards))
    for step in range(rewards.shape[1]):
        running = discount * running + rewards[:, step]
        sums[:, step] = running
    return sums


def _start_normaliser(normaliser: VecNormalize | None, demonstration: Demonstration) -> float:
    """Let reward normalisation begin with the demonstrated returns; what a reward is multiplied by then."""
    if normaliser is None:
        return 1.0
    normaliser.ret_rms.update(demonstration.backward_returns)
    return float(1 / np.sqrt(normaliser.ret_rms.var + normaliser.epsilon))


def _batches(steps: int, warm: WarmStart, seed: int) -> Iterator[tuple[float, NDArray[np.int64]]]:
    """A learning rate, falling with every epoch, and the places of a batch."""
    rng = np.random.default_rng([seed, *_STREAM, 1])
    for epoch in range(warm.epochs):
        rate, order = warm.learning_rate * (1 - epoch / warm.epochs), rng.permutation(steps)
        yield from (
            (rate, order[first : first + warm.batch_size]) for first in range(0, steps, warm.batch_size)
        )


def _outputs(model: PPO, observations: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of shape (batch, heads, actions), and values of shape (batch,)."""
    policy = model.policy
    logits = policy.get_distribution(observations).distribution.logits
    return logits, policy.predict_values(observations)[:, 0]


def _cross_entropy(logits: Tensor, actions: Tensor, has_choice: Tensor) -> Tensor:
    """Mean over the heads that could choose.

    The logits are those the policy acts by, in which an empty slot can only hold. An action that is illegal
    for another reason stays among them: the policy may choose it, and must learn not to.
    """
    losses = functional.cross_entropy(logits.flatten(0, 1), actions.flatten(), reduction="none")
    return (losses * has_choice.flatten()).sum() / has_choice.sum().clamp(min=1)
