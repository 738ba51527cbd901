"""Behaviour cloning of a rule or the hindsight plan before reinforcement learning.

The demonstrator plays days of the training seeds. The actor is fitted to its actions and the critic to its
discounted rewards, in the units in which training starts: with an untrained critic, the first PPO updates
would undo the imitation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Space
from numpy.typing import NDArray
from paysim_agents.hindsight import hindsight, replay
from paysim_agents.hindsight.recorded_day import record_day
from paysim_agents.tuning import RULE_TYPES, tune_rules, with_pool_share
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor
from torch.nn import functional

from paysim_gym import PaymentVectorEnv, Scenario
from paysim_gym.envs.infos import EPISODE_COST
from paysim_gym.envs.spaces import masks_by_component
from paysim_training.algorithms.queue_policy import SlotDistribution
from paysim_training.core.config import TRAINING_SEEDS_END, ConfigError, TrainConfig, WarmStart
from paysim_training.core.task import constructor_arguments

NODE_LIMIT = 100
"""Maximum number of branch-and-bound nodes per day of the hindsight plan."""
_SEED_STREAM = (0, 0, 1)
"""Appended to the configured seed, so that the random draws differ from those of every training segment."""


@dataclass(frozen=True)
class Demonstration:
    """Steps of the demonstrator, day by day.

    Attributes:
        observations: float32 of shape (steps, observation size).
        choices: Number of legal actions of each component: int64 of shape (steps, components).
        actions: int64 of shape (steps, components).
        returns: Discounted rewards from each step to the end of its episode, in units of reward: float64 of
            shape (steps,).
        backward_returns: Discounted rewards up to each step, whose variance normalises rewards: float64 of
            shape (steps,).
        description: The demonstrator in JSON types.
    """

    observations: NDArray[np.float32]
    choices: NDArray[np.int64]
    actions: NDArray[np.int64]
    returns: NDArray[np.float64]
    backward_returns: NDArray[np.float64]
    description: dict[str, Any]


class _Recorder:
    def __init__(self, action_space: Space[Any]) -> None:
        self._action_space = action_space
        self._steps: list[tuple[NDArray[Any], ...]] = []

    def __call__(
        self,
        observations: NDArray[np.float32],
        masks: NDArray[np.bool_],
        actions: NDArray[np.int64],
        rewards: NDArray[Any],
    ) -> None:
        """Records a step of every row; a `paysim_agents.hindsight.plan.StepCallback`."""
        choices = masks_by_component(masks, self._action_space).sum(axis=2)
        self._steps.append((observations, choices, actions, rewards.astype(np.float64)))

    def columns(self, discount: float) -> dict[str, NDArray[Any]]:
        """Returns the arrays of a `Demonstration`, ordered by day and step."""
        observations, choices, actions, rewards = (
            np.stack(column, axis=1) for column in zip(*self._steps, strict=True)
        )
        columns = {
            "observations": observations,
            "choices": choices,
            "actions": actions,
            "returns": _accumulate(rewards[:, ::-1], discount)[:, ::-1],
            "backward_returns": _accumulate(rewards, discount),
        }
        return {name: column.reshape(-1, *column.shape[2:]) for name, column in columns.items()}


def imitate(model: PPO, config: TrainConfig, scenario: Scenario) -> dict[str, Any]:
    """Fits an untrained model to its configured demonstrator; reproducible for a given seed.

    Args:
        model: An untrained model; its reward normaliser is initialised with the demonstrated returns.
        config: Its configuration with a `warm_start`.
        scenario: The scenario.

    Returns:
        The demonstrator, and `agreement`: the share of decisions with several legal actions in which the
        model's most likely action equals the demonstration's.

    Raises:
        ConfigError: If there is no warm start, or the task cannot be demonstrated.
    """
    warm = _warm_start(config)
    demonstration = demonstrate(config, scenario)
    scale = _start_normaliser(model.get_vec_normalize_env(), demonstration)
    observations = torch.as_tensor(demonstration.observations)
    has_choice = torch.as_tensor(demonstration.choices > 1)
    actions = torch.as_tensor(demonstration.actions)
    returns = torch.as_tensor(demonstration.returns * scale, dtype=torch.float32)
    # A separate optimiser, so that training starts with zero moments.
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
        predicted = _outputs(model, observations)[0].argmax(dim=2)
    agreement = (predicted == actions)[has_choice].float().mean()
    return {**demonstration.description, "agreement": float(agreement)}


def demonstrate(config: TrainConfig, scenario: Scenario) -> Demonstration:
    """Plays the demonstration.

    Args:
        config: A configuration with a `warm_start`.
        scenario: The scenario.

    Raises:
        ConfigError: If there is no warm start, or the task cannot be demonstrated.
    """
    warm, arguments = _warm_start(config), constructor_arguments(config.env)
    arguments["learner"] = PaymentVectorEnv(1, scenario, **arguments).learner
    demonstrate_policy = _demonstrate_hindsight if warm.policy == "hindsight" else _demonstrate_rule
    return demonstrate_policy(config, warm, scenario, arguments)


def _warm_start(config: TrainConfig) -> WarmStart:
    if config.warm_start is None:
        raise ConfigError("warm_start = None: must name a policy to imitate")
    return config.warm_start


def demonstration_seeds(config: TrainConfig, count: int) -> list[int]:
    """Draws distinct training seeds in random order."""
    rng = np.random.default_rng([config.seed, *_SEED_STREAM])
    return [int(seed) for seed in rng.choice(TRAINING_SEEDS_END, count, replace=False, shuffle=False)]


def _demonstrate_rule(
    config: TrainConfig, warm: WarmStart, scenario: Scenario, arguments: dict[str, Any]
) -> Demonstration:
    # Random releases cannot be predicted from observations.
    rule_types = [rule for rule in RULE_TYPES if rule != "random" and warm.policy in ("best_rule", rule)]
    learner = arguments["learner"]
    others = {key: value for key, value in arguments.items() if key != "learner"}
    tuned = tune_rules(scenario, learner, config.tuning.seeds, rule_types, **others)
    _, rule, share = min(tuned, key=lambda trial: trial[0])
    variant, days = with_pool_share(scenario, learner, share), demonstration_seeds(config, warm.days)
    env = PaymentVectorEnv(len(days), variant, autoreset_mode="Disabled", **arguments)
    record, (observations, infos) = _Recorder(env.single_action_space), env.reset(seed=days)
    while EPISODE_COST not in infos:
        masks, actions = env.action_masks(), env.scripted_actions(rule)
        before = observations
        observations, rewards, *_, infos = env.step(actions)
        record(before, masks, actions, rewards)
    description = {"policy": rule, "pool_share": share, "days": len(days)}
    return Demonstration(**record.columns(config.ppo.discount), description=description)


def _demonstrate_hindsight(
    config: TrainConfig, warm: WarmStart, scenario: Scenario, arguments: dict[str, Any]
) -> Demonstration:
    env = PaymentVectorEnv(1, scenario, **arguments)
    settings = env.settings
    if settings.decides != "both" or settings.action_mode != "slots" or settings.max_episode_steps:
        raise ConfigError(
            "warm_start.policy = 'hindsight': requires decides = 'both', action_mode = 'slots' "
            "and no max_episode_steps"
        )
    reward = settings.model_dump(include={"reward", "reward_blend", "reward_scale"})
    demonstrated, parts, shares = [], settings.split_parts, settings.pool_shares
    for seed in demonstration_seeds(config, warm.days):
        try:
            best = hindsight(
                scenario,
                seed,
                arguments["learner"],
                split_parts=parts,
                pool_shares=shares,
                node_limit=NODE_LIMIT,
            )
        except ValueError as error:
            raise ConfigError(f"warm_start.policy = 'hindsight': {error}") from error
        if best.plan is not None:
            day = record_day(scenario, seed, arguments["learner"])
            record = _Recorder(env.single_action_space)
            replay(day, best.plan, parts, slots=settings.slots, on_step=record, pool_shares=shares, **reward)
            demonstrated.append(record.columns(config.ppo.discount))
    if not demonstrated:
        raise ConfigError("warm_start.policy = 'hindsight': no plan was found on any of the days")
    columns = {name: np.concatenate([day[name] for day in demonstrated]) for name in demonstrated[0]}
    description = {"policy": {"type": "hindsight"}, "days": len(demonstrated)}
    return Demonstration(**columns, description=description)


def _accumulate(rewards: NDArray[np.float64], discount: float) -> NDArray[np.float64]:
    sums = np.empty_like(rewards)
    running = np.zeros(len(rewards))
    for step in range(rewards.shape[1]):
        running = discount * running + rewards[:, step]
        sums[:, step] = running
    return sums


def _start_normaliser(normaliser: VecNormalize | None, demonstration: Demonstration) -> float:
    """Initialises reward normalisation from the demonstration and returns the reward scale."""
    if normaliser is None:
        return 1.0
    normaliser.ret_rms.update(demonstration.backward_returns)
    return float(1 / np.sqrt(normaliser.ret_rms.var + normaliser.epsilon))


def _batches(steps: int, warm: WarmStart, seed: int) -> Iterator[tuple[float, NDArray[np.int64]]]:
    """Yields the decaying learning rate and the indices of each batch."""
    rng = np.random.default_rng([seed, *_SEED_STREAM, 1])
    for epoch in range(warm.epochs):
        rate, order = warm.learning_rate * (1 - epoch / warm.epochs), rng.permutation(steps)
        yield from (
            (rate, order[first : first + warm.batch_size]) for first in range(0, steps, warm.batch_size)
        )


def _outputs(model: PPO, observations: Tensor) -> tuple[Tensor, Tensor]:
    distribution = model.policy.get_distribution(observations)
    assert isinstance(distribution, SlotDistribution)
    return distribution.distribution.logits, model.policy.predict_values(observations)[:, 0]


def _cross_entropy(logits: Tensor, actions: Tensor, has_choice: Tensor) -> Tensor:
    """Returns the mean cross-entropy over components with a choice.

    The logits are those that the policy acts on, in which empty slots can only hold. Actions that are illegal
    for other reasons stay included, since the policy can choose them and must learn not to.
    """
    losses = functional.cross_entropy(logits.flatten(0, 1), actions.flatten(), reduction="none")
    return (losses * has_choice.flatten()).sum() / has_choice.sum().clamp(min=1)
