"""Evaluates policies that control several learners at the same time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray
from paysim_agents.scripted import ScriptedAgent
from paysim_agents.tuning import candidate_grid, tune

from paysim_gym import PaymentVectorEnv
from paysim_gym.envs.env_arguments import FleetArguments
from paysim_gym.evaluation import EpisodeTable, Policy, PolicyFactory, play_days
from paysim_gym.scenario import ScenarioSource


class PerLearnerPolicy:
    """A joint policy that delegates to one policy per learner.

    Args:
        learners: The banks in the order of the rows of a system.
        policies: The policy of each bank.
    """

    def __init__(self, learners: Sequence[str], policies: Mapping[str, Policy]) -> None:
        self._policies = [policies[bank] for bank in learners]

    def predict(
        self,
        observation: NDArray[np.float32],
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[np.int64], Any]:
        """Returns the actions for a batch of observations, float32 of shape (num_envs, size)."""
        actions: list[NDArray[np.int64]] = []
        for index, policy in enumerate(self._policies):
            # Every policy gets the whole batch: scripted policies read the environment's state.
            chosen, _ = policy.predict(observation, None, episode_start, deterministic=True)
            actions.append(chosen[index :: len(self._policies)])
        return np.stack(actions, axis=1).reshape(len(observation), *actions[0].shape[1:]), state


def per_learner_policy(policies: Mapping[str, Mapping[str, Any]]) -> PolicyFactory:
    """Returns a factory of joint policies with one scripted policy per bank."""

    def make_policy(env: PaymentVectorEnv) -> Policy:
        agents = {bank: ScriptedAgent(env, policy) for bank, policy in policies.items()}
        return PerLearnerPolicy(env.learners, agents)

    return make_policy


@dataclass(frozen=True)
class JointTable(EpisodeTable):
    """Episodes of several learners, aggregated over the learners.

    Counts and amounts are sums. Settlement rate and mean delay are averages weighted by the arrived value.
    Liquidity used is the sum of the learners' individual maxima.

    Attributes:
        bank_costs: Costs of each bank in cents, int64 of shape (episodes,).
    """

    bank_costs: dict[str, NDArray[np.int64]]


def evaluate_jointly(
    factory: PolicyFactory,
    scenario: ScenarioSource,
    seeds: Iterable[int],
    *,
    learner: Sequence[str],
    **arguments: Unpack[FleetArguments],
) -> JointTable:
    """Plays the first episode of each seed with several learners.

    Args:
        factory: Builds the policy that decides for all learners.
        scenario: The scenario.
        seeds: Seeds of the episodes.
        learner: The banks that learn.
        **arguments: Further arguments of `PaymentVectorEnv`.

    Returns:
        One row per episode.
    """
    days = list(seeds)
    totals = play_days(factory, scenario, days, learner=learner, **arguments)
    by_bank = {name: values.reshape(len(days), len(learner)) for name, values in totals.items()}
    names = [field.name for field in fields(EpisodeTable) if field.name != "seed"]
    columns = {name: by_bank[name].sum(axis=1) for name in names}
    columns |= joint_ratios(by_bank)
    costs = {bank: by_bank["cost"][:, index] for index, bank in enumerate(learner)}
    return JointTable(np.array(days, np.uint64), **columns, bank_costs=costs)


def joint_ratios(by_bank: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
    """Aggregates settlement rate and mean delay over banks, weighted by arrived value.

    Without any arrived value they are 1 and 0.

    Args:
        by_bank: `settlement_rate`, `mean_delay` and `arrived_value`, of shape (episodes, banks).

    Returns:
        `settlement_rate` and `mean_delay`, of shape (episodes,).
    """
    arrived = by_bank["arrived_value"]
    total = arrived.sum(axis=1)
    return {
        name: np.where(total > 0, (by_bank[name] * arrived).sum(axis=1) / np.maximum(total, 1), empty)
        for name, empty in (("settlement_rate", 1.0), ("mean_delay", 0.0))
    }


def tune_per_learner(
    policy_type: str,
    scenario: ScenarioSource,
    seeds: Iterable[int],
    *,
    learner: Sequence[str],
    **arguments: Unpack[FleetArguments],
) -> dict[str, dict[str, Any]]:
    """Tunes a scripted policy for each learner while the others keep their policies.

    Args:
        policy_type: A type that `paysim_agents.tuning.candidate_grid` supports.
        scenario: The scenario.
        seeds: Tuning days.
        learner: The banks that learn.
        **arguments: Further arguments of `PaymentVectorEnv`.
    """
    days = list(seeds)
    return {
        bank: tune(scenario, days, candidate_grid(policy_type, scenario, bank), learner=bank, **arguments)[0]
        for bank in learner
    }
