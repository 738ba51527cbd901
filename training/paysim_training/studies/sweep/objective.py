"""Objective of a sweep: the mean cost of the tuning days."""

from __future__ import annotations

from optuna import Trial
from stable_baselines3.common.callbacks import BaseCallback

from paysim_gym import Scenario
from paysim_gym.evaluation import evaluate
from paysim_training.core.config import TrainConfig
from paysim_training.core.task import constructor_arguments


class TrialCost(BaseCallback):
    """Reports the mean cost of the tuning days and stops pruned trials.

    Args:
        trial: The Optuna trial.
        config: The configuration of the trial.
        scenario: The scenario.
        reports: Number of evaluations during training.

    Attributes:
        cost_cents: The last mean cost; after training, that of the trained policy.
        is_pruned: Whether the trial was pruned.
    """

    def __init__(self, trial: Trial, config: TrainConfig, scenario: Scenario, reports: int) -> None:
        super().__init__()
        self._trial, self._config, self._scenario = trial, config, scenario
        self._every = max(1, config.timesteps // reports)
        self._reported = 0
        self.cost_cents = float("inf")
        self.is_pruned = False

    def _on_rollout_start(self) -> None:
        due = self.num_timesteps // self._every
        if due > self._reported:
            self._reported = due
            self.cost_cents = self._evaluate()
            self._trial.report(self.cost_cents, due)
            self.is_pruned = self._trial.should_prune()

    def _on_step(self) -> bool:
        return not self.is_pruned

    def _on_training_end(self) -> None:
        if not self.is_pruned:
            self.cost_cents = self._evaluate()

    def _evaluate(self) -> float:
        arguments, seeds = constructor_arguments(self._config.env), self._config.tuning.seeds
        return float(evaluate(self.model, self._scenario, seeds, **arguments).cost.mean())
