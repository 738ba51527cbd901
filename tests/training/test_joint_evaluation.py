"""Joint evaluation: aggregated metrics and separate policies of several learners."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from paysim_agents.scripted import ScriptedAgent, scripted
from paysim_agents.tuning import candidate_grid, tune
from paysim_training.core.joint_evaluation import (
    PerLearnerPolicy,
    evaluate_jointly,
    joint_ratios,
    per_learner_policy,
    tune_per_learner,
)

from paysim_gym import PaymentVectorEnv
from paysim_gym.evaluation import EpisodeTable, evaluate, play_days

BANKS = ["CORE_A", "SMALL_D"]
DAYS = range(2**42, 2**42 + 5)
HOLD = {"type": "hold_until_deadline", "margin": 2}


def test_metrics_aggregate_all_learners() -> None:
    table = evaluate_jointly(scripted(HOLD), "five_bank", DAYS, learner=BANKS)
    totals = play_days(scripted(HOLD), "five_bank", DAYS, learner=BANKS)
    assert table.seed.tolist() == list(DAYS)
    for number, bank in enumerate(BANKS):
        assert np.array_equal(table.bank_costs[bank], totals["cost"][number::2])
    assert np.array_equal(table.cost, totals["cost"][::2] + totals["cost"][1::2])
    assert (totals["cost"] > 0).all()
    rates, arrived = totals["settlement_rate"].reshape(-1, 2), totals["arrived_value"].reshape(-1, 2)
    assert np.allclose(table.settlement_rate, np.average(rates, axis=1, weights=arrived))
    delays = totals["mean_delay"].reshape(-1, 2)
    assert np.allclose(table.mean_delay, np.average(delays, axis=1, weights=arrived))


def test_unsettled_payments_count_in_the_mean_delay() -> None:
    # A's 300 wait for both ticks of the day and never settle, B's 100 settle at once; nothing arrives on the
    # second day.
    by_bank = {
        "arrived_value": np.array([[300, 100], [0, 0]]),
        "settled_value": np.array([[0, 100], [0, 0]]),
        "settlement_rate": np.array([[0.0, 1.0], [1.0, 1.0]]),
        "mean_delay": np.array([[2.0, 0.0], [0.0, 0.0]]),
    }
    ratios = joint_ratios(by_bank)
    assert ratios["settlement_rate"].tolist() == [0.25, 1.0]
    assert ratios["mean_delay"].tolist() == [1.5, 0.0]


def test_one_bank_has_the_metrics_of_evaluate() -> None:
    joint = evaluate_jointly(scripted(HOLD), "five_bank", DAYS, learner=["CORE_B"])
    alone = evaluate(scripted(HOLD), "five_bank", DAYS, learner="CORE_B")
    for field in fields(EpisodeTable):
        assert np.allclose(getattr(joint, field.name), getattr(alone, field.name), rtol=1e-12), field.name


def test_each_bank_follows_its_own_policy() -> None:
    policies: dict[str, dict[str, Any]] = {"CORE_A": HOLD, "SMALL_D": {"type": "release_all"}}
    separate = play_days(per_learner_policy(policies), "five_bank", DAYS, learner=BANKS)
    env = PaymentVectorEnv(2 * len(DAYS), "five_bank", BANKS)
    observations, _ = env.reset(seed=[day for day in DAYS for _ in BANKS])
    chosen = per_learner_policy(policies)(env)
    for _ in range(10):
        seen = np.zeros_like(observations)
        actions, _ = chosen.predict(seen)
        for number, bank in enumerate(BANKS):
            expected, _ = ScriptedAgent(env, policies[bank]).predict(seen)
            assert np.array_equal(actions[number::2], expected[number::2])
        env.step(actions)
    same = play_days(scripted(HOLD), "five_bank", DAYS, learner=BANKS)
    assert not np.array_equal(separate["cost"], same["cost"])


def test_policies_follow_the_order_of_the_learners() -> None:
    class Always:
        def __init__(self, action: int) -> None:
            self._action = action

        def predict(self, observation: NDArray[np.float32], *_: Any, **__: Any) -> tuple[Any, Any]:
            return np.full((len(observation), 3), self._action), None

    policy = PerLearnerPolicy(BANKS, {"SMALL_D": Always(2), "CORE_A": Always(1)})
    actions, _ = policy.predict(np.zeros((4, 7), np.float32))
    assert actions.tolist() == [[1] * 3, [2] * 3, [1] * 3, [2] * 3]


def test_each_bank_is_tuned_while_the_others_keep_their_policies() -> None:
    found = tune_per_learner("hold_until_deadline", "five_bank", DAYS, learner=BANKS, slots=4)
    for bank in BANKS:
        grid = candidate_grid("hold_until_deadline", "five_bank", bank)
        assert found[bank] == tune("five_bank", DAYS, grid, learner=bank, slots=4)[0]


def test_no_days_are_refused() -> None:
    with pytest.raises(ValueError, match="seeds: must have at least one"):
        evaluate_jointly(scripted(HOLD), "five_bank", [], learner=BANKS)
