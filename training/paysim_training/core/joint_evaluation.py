"""What several learners cost together: each policy plays all of them at the same time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from paysim_agents.scripted import ScriptedAgent
from paysim_agents.tuning import candidate_grid, tune

from paysim_gym import PaymentVectorEnv
from paysim_gym.evaluation import EpisodeTable, Policy, PolicyFactory, play_days
from paysim_gym.scenario import ScenarioSource


class PerLearnerPolicy:
    """A policy of several learners that asks for each of them its own.

    Args:
        learners: The banks, in the order of the rows of a system.
        policies: Whom to ask for each of them.
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
        """Decide for every row of a batch of observations, float32 of shape (num_envs, size)."""
        actions: list[NDArray[np.int64]] = []
        for number, policy in enumerate(self._policies):
            # The whole batch, as scripted policies look at the environment and not at what is observed.
            chosen, _ = policy.predict(observation, None, episode_start, deterministic=True)
            actions.append(chosen[number :: len(self._policies)])
        return np.stack(actions, axis=1).reshape(len(observation), *actions[0].shape[1:]), state


def per_learner_policy(policies: Mapping[str, Mapping[str, Any]]) -> PolicyFactory:
    """For each bank a scripted policy."""

    def build(env: PaymentVectorEnv) -> Policy:
        agents = {bank: ScriptedAgent(env, policy) for bank, policy in policies.items()}
        return PerLearnerPolicy(env.learners, agents)

    return build


@dataclass(frozen=True)
class JointTable(EpisodeTable):
    """Episodes of several learners, a row for all of them together.

    Amounts are sums, the settlement rate and the mean delay are weighted by the value that arrived; the
    liquidity used is the sum of what each used at its own worst moment.

    Attributes:
        bank_costs: By bank, its own costs in cents, int64 of shape (episodes,).
    """

    bank_costs: dict[str, NDArray[np.int64]]


def evaluate_together(
    factory: PolicyFactory, scenario: ScenarioSource, seeds: Iterable[int], **env_kwargs: Any
) -> JointTable:
    """Play the first episode of each seed, as `paysim_gym.evaluation.evaluate` does, with several learners.

    Args:
        factory: Builds the policy, which decides for all of them.
        scenario: Where they act.
        seeds: One for each episode.
        **env_kwargs: Further arguments of `PaymentVectorEnv`; `learner` is a list of banks.

    Returns:
        A row an episode.
    """
    days, banks = list(seeds), env_kwargs["learner"]
    totals = play_days(factory, scenario, days, **env_kwargs)
    by_bank = {name: values.reshape(len(days), len(banks)) for name, values in totals.items()}
    names = [field.name for field in fields(EpisodeTable) if field.name != "seed"]
    columns = {name: by_bank[name].sum(axis=1) for name in names}
    columns |= joint_ratios(by_bank)
    costs = {bank: by_bank["cost"][:, number] for number, bank in enumerate(banks)}
    return JointTable(np.array(days, np.uint64), **columns, bank_costs=costs)


def joint_ratios(by_bank: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
    """Settlement rate and mean delay of several banks together, as the engine has them of one.

    Both are shares of the value that arrived, whether it settled or still waits; without any they are 1
    and 0.

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


def tune_each(
    kind: str, scenario: ScenarioSource, seeds: Iterable[int], **env_kwargs: Any
) -> dict[str, dict[str, Any]]:
    """The best parameters of a scripted policy for each learner, while the others keep their own policies.

    Args:
        kind: As of `paysim_agents.tuning.candidate_grid`.
        scenario: Where they act.
        seeds: Days to tune on.
        **env_kwargs: Further arguments of `PaymentVectorEnv`; `learner` is a list of banks.
    """
    days = list(seeds)
    return {
        bank: tune(scenario, days, candidate_grid(kind, scenario, bank), **{**env_kwargs, "learner": bank})[0]
        for bank in env_kwargs["learner"]
    }
