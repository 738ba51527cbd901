"""Evaluation of policies on given days, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from inspect import signature
from typing import Any, Protocol, Unpack, cast

import numpy as np
from gymnasium.spaces import Dict
from gymnasium.vector import AutoresetMode
from numpy.typing import ArrayLike, NDArray

from paysim_gym._engine import COST_COMPONENTS
from paysim_gym.envs.env_arguments import FleetArguments
from paysim_gym.envs.infos import EPISODE_COST, episode_totals
from paysim_gym.envs.validation import validate_seed
from paysim_gym.envs.vector import PaymentVectorEnv
from paysim_gym.envs.wrappers import DictLayout
from paysim_gym.scenario import ScenarioSource

Interval = tuple[float, float, float]
"""Mean, and the lower and upper bound of its 95% interval."""


class Policy(Protocol):
    """A policy for a batch of rows, with the signature of Stable-Baselines3's `predict`."""

    def predict(
        self,
        observation: NDArray[np.float32],
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.int64], tuple[NDArray[Any], ...] | None]:
        """Return actions, one row per environment, and the next hidden state."""


PolicyFactory = Callable[[PaymentVectorEnv], Policy]
"""Builds a policy for the environment in which it acts."""


@dataclass(frozen=True)
class EpisodeTable:
    """Totals of the learning bank by episode: arrays of shape (episodes,).

    Attributes:
        seed: Seed of the episode, uint64.
        arrived_count: Payments that its customers ordered, int64.
        arrived_value: Their value in cents, int64.
        settled_count: Payments settled, int64; each part of a split payment counts.
        settled_value: Their value in cents, int64.
        dropped_count: Payments cancelled at the end of a day, int64.
        split_count: Extra parts from splits (a payment split in four adds three), int64.
        liquidity_used: Largest fall of the balance below its opening value, in cents, int64.
        cost: Sum of the following components in cents, int64.
        cost_liquidity, ..., cost_end_of_day: Components of the cost in cents, int64.
        settlement_rate: Share of the arrived value that settled before a day's close, without
            settlement by overnight loans, float64.
        mean_delay: Ticks from arrival to settlement, weighted by value, float64.
    """

    seed: NDArray[np.uint64]
    arrived_count: NDArray[np.int64]
    arrived_value: NDArray[np.int64]
    settled_count: NDArray[np.int64]
    settled_value: NDArray[np.int64]
    dropped_count: NDArray[np.int64]
    split_count: NDArray[np.int64]
    liquidity_used: NDArray[np.int64]
    cost: NDArray[np.int64]
    cost_liquidity: NDArray[np.int64]
    cost_overdraft: NDArray[np.int64]
    cost_collateral: NDArray[np.int64]
    cost_delay: NDArray[np.int64]
    cost_deadline: NDArray[np.int64]
    cost_split: NDArray[np.int64]
    cost_end_of_day: NDArray[np.int64]
    settlement_rate: NDArray[np.float64]
    mean_delay: NDArray[np.float64]

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.seed)


def evaluate(
    policy: Policy | PolicyFactory,
    scenario: ScenarioSource,
    seeds: Iterable[int],
    *,
    learner: str | None = None,
    **arguments: Unpack[FleetArguments],
) -> EpisodeTable:
    """Play the first episode of each seed.

    Args:
        policy: A model with the `predict` of Stable-Baselines3, or a function that builds a policy for the
            environment. sb3-contrib's maskable models get the action masks, and models trained under
            `VecNormalize` normalised observations.
        scenario: A bundled scenario's name, the path of a YAML file, a mapping, or a scenario.
        seeds: One for each episode.
        learner: The bank that learns; by default the one whose policy is `learner`.
        **arguments: Further arguments of `PaymentVectorEnv`.

    Returns:
        The episodes in the order of the seeds. Policies on the same seeds face the same payments.

    Raises:
        TypeError: If the policy is neither.
        ValueError: If there are no seeds, or an argument is invalid.
    """
    days = [validate_seed(seed) for seed in seeds]
    if not isinstance(learner, str | None):
        raise ValueError(f"learner = {learner!r}: must be one bank, the others keep their policies")
    totals = play_days(policy, scenario, days, learner=learner, **arguments)
    names = [field.name for field in fields(EpisodeTable) if field.name != "seed"]
    return EpisodeTable(np.array(days, np.uint64), **{name: totals[name] for name in names})


def play_days(
    policy: Policy | PolicyFactory,
    scenario: ScenarioSource,
    seeds: Iterable[int],
    *,
    learner: str | Sequence[str] | None = None,
    **arguments: Unpack[FleetArguments],
) -> dict[str, NDArray[Any]]:
    """Play the first episode of each seed, with one learner or several.

    Arguments and errors are those of `evaluate`, with a policy that decides for all learners.

    Returns:
        Totals by name: arrays of shape (episodes x learners,), the learners of the first seed before those
        of the second.
    """
    banks = 1 if isinstance(learner, str | None) else len(learner)
    days = [validate_seed(seed) for seed in seeds for _ in range(banks)]
    if not days:
        raise ValueError("seeds: must have at least one")
    env = PaymentVectorEnv(len(days), scenario, learner, autoreset_mode=AutoresetMode.DISABLED, **arguments)
    player = bind_policy(policy, env)
    observations, infos = env.reset(seed=days)
    state = None
    starts = np.ones(len(days), np.bool_)
    # All rows share the clock, so all episodes end in the same step.
    while EPISODE_COST not in infos:
        actions, state = player.predict(observations, state, starts, deterministic=True)
        observations, _, _, _, infos = env.step(actions)
        starts = np.zeros(len(days), np.bool_)
    return episode_totals(infos)


def bind_policy(policy: Policy | PolicyFactory, env: PaymentVectorEnv) -> Policy:
    """Return the policy that acts in an environment, from a model or a factory.

    A model whose `predict` takes `action_masks`, as sb3-contrib's maskable ones, gets the environment's. A
    model that was trained under `VecNormalize` gets normalised observations, and one that was trained under
    `DictObservation` gets them in parts. A model that is loaded from a file needs its `VecNormalize`:
    `PPO.load(path, env=VecNormalize.load(statistics, venv))`.

    Raises:
        TypeError: If the argument, or what a factory returns, is no policy.
        ValueError: If a model has other observations or actions than the environment.
    """
    allowed = "must have a method predict, as models of Stable-Baselines3"
    if not _is_policy(policy) and not callable(policy):
        raise TypeError(
            f"policy = {type(policy).__name__}: {allowed}, or be a function that builds such a policy"
        )
    made: Any = policy if _is_policy(policy) else policy(env)  # type: ignore[operator]
    if not _is_policy(made):
        raise TypeError(f"policy(env) = {type(made).__name__}: {allowed}")
    layout = DictLayout(env) if isinstance(getattr(made, "observation_space", None), Dict) else None
    if hasattr(made, "observation_space") and hasattr(made, "action_space"):
        _validate_spaces(made, env, layout)
    takes_masks = "action_masks" in signature(made.predict).parameters
    normaliser = made.get_vec_normalize_env() if hasattr(made, "get_vec_normalize_env") else None
    is_adapted = takes_masks or normaliser is not None or layout is not None
    policy = _ModelPolicy(made, env, takes_masks, normaliser, layout) if is_adapted else made
    return cast(Policy, policy)


def _validate_spaces(model: Any, env: PaymentVectorEnv, layout: DictLayout | None) -> None:
    """Raise a ValueError if a model was trained in an environment of other arguments."""
    expected = layout.space if layout else env.single_observation_space
    shapes = [
        {name: part.shape for name, part in space.items()} if isinstance(space, Dict) else space.shape
        for space in (model.observation_space, expected)
    ]
    if shapes[0] != shapes[1] or model.action_space != env.single_action_space:
        raise ValueError(
            f"policy: its observations are {shapes[0]} and its actions {model.action_space}, those of the "
            f"environment {shapes[1]} and {env.single_action_space}: pass the arguments that it was trained "
            "with, such as action_mode, slots, split_parts or pool_shares"
        )


def _is_policy(policy: object) -> bool:
    return hasattr(policy, "predict") and not isinstance(policy, type)


class _ModelPolicy:
    """A model with what it needs of its environment."""

    def __init__(
        self,
        model: Any,
        env: PaymentVectorEnv,
        takes_masks: bool,
        normaliser: Any,
        layout: DictLayout | None,
    ) -> None:
        self._model, self._env = model, env
        self._takes_masks, self._normaliser, self._layout = takes_masks, normaliser, layout

    def predict(
        self,
        observation: NDArray[np.float32],
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.int64], tuple[NDArray[Any], ...] | None]:
        """Return the actions of the model and its next hidden state."""
        masks = {"action_masks": self._env.action_masks()} if self._takes_masks else {}
        seen: Any = observation
        if self._layout is not None:
            seen = self._layout.split(observation, self._env.action_masks())
        if self._normaliser is not None:
            seen = self._normaliser.normalize_obs(seen)
        actions, state = self._model.predict(seen, state, episode_start, deterministic, **masks)
        return actions, state


def mean_ci95(values: ArrayLike) -> Interval:
    """Return the mean with its 95% bootstrap interval.

    The interval is bias-corrected and accelerated (Efron 1987), and reproducible.

    Args:
        values: At least two finite numbers.

    Raises:
        ValueError: If there are fewer than two, or one is not finite.
    """
    return _interval(values, np.mean)


def iqm_ci95(values: ArrayLike) -> Interval:
    """Return the interquartile mean with its 95% bootstrap interval.

    The mean of the middle half of the values is less sensitive to outliers than the mean (Agarwal et al.
    2021, Deep Reinforcement Learning at the Edge of the Statistical Precipice).

    Args:
        values: At least two finite numbers.

    Raises:
        ValueError: If there are fewer than two, or one is not finite.
    """
    return _interval(values, _iqm)


def _iqm(values: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    from scipy.stats import trim_mean  # slow to import

    middle: NDArray[np.float64] = trim_mean(values, 0.25, axis=axis)
    return middle


def _interval(values: ArrayLike, statistic: Callable[..., Any]) -> Interval:
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1 or len(sample) < 2:
        raise ValueError(f"values have shape {sample.shape}: an interval needs at least two numbers")
    if not np.isfinite(sample).all():
        index = int(np.flatnonzero(~np.isfinite(sample))[0])
        raise ValueError(f"values[{index}] = {sample[index]}: must be a finite number")
    value = float(statistic(sample))
    if np.ptp(sample) == 0:
        return value, value, value
    from scipy.stats import bootstrap  # slow to import

    interval = bootstrap((sample,), statistic, rng=np.random.default_rng(0), batch=1000).confidence_interval
    return value, float(interval.low), float(interval.high)


def paired_difference_ci95(a: ArrayLike, b: ArrayLike) -> Interval:
    """Return the mean of `a - b`, paired by episode, with its 95% interval.

    Args:
        a: Values of one policy.
        b: Values of another policy on the same seeds.

    Raises:
        ValueError: If the shapes differ, or there are fewer than two numbers.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape:
        raise ValueError(
            f"shapes {first.shape} and {second.shape} differ: pairs must come from the same seeds"
        )
    return mean_ci95(first - second)


def summarise(table: EpisodeTable) -> dict[str, Any]:
    """Summarise a table by its means, for JSON.

    Returns:
        `episodes`, `cost_cents_mean`, `cost_cents_ci95` ([low, high]), `settlement_rate`,
        `mean_delay_ticks`, `liquidity_used_cents_mean` and `cost_components_cents_mean`.

    Raises:
        ValueError: If the table has fewer than two episodes.
    """
    cost, low, high = mean_ci95(table.cost)
    return {
        "episodes": len(table),
        "cost_cents_mean": cost,
        "cost_cents_ci95": [low, high],
        "settlement_rate": float(table.settlement_rate.mean()),
        "mean_delay_ticks": float(table.mean_delay.mean()),
        "liquidity_used_cents_mean": float(table.liquidity_used.mean()),
        "cost_components_cents_mean": {
            name: float(getattr(table, f"cost_{name}").mean()) for name in COST_COMPONENTS
        },
    }
