"""Episode tables and confidence intervals."""

from __future__ import annotations

import json
import re
from dataclasses import FrozenInstanceError, fields
from typing import Any

import numpy as np
import pytest
from paysim_agents import ScriptedAgent, scripted
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize

from paysim_gym import ActionError, PaymentEnv, PaymentVectorEnv
from paysim_gym._engine import COST_COMPONENTS
from paysim_gym.envs.infos import episode_totals
from paysim_gym.envs.sb3 import PaymentVecEnv
from paysim_gym.evaluation import (
    EpisodeTable,
    bind_policy,
    evaluate,
    iqm_ci95,
    mean_ci95,
    paired_difference_ci95,
    summarise,
)

RELEASE_ALL = scripted({"type": "release_all"})


def test_each_row_is_the_first_episode_of_its_seed(small_scenario: dict[str, Any]) -> None:
    seeds = [11, 3, 2**64 - 1]
    table = evaluate(RELEASE_ALL, small_scenario, seeds)
    assert table.seed.tolist() == seeds
    for row, seed in enumerate(seeds):
        env = PaymentEnv(small_scenario)
        env.reset(seed=seed)
        over = False
        while not over:
            _, _, over, _, info = env.step(env.scripted_actions({"type": "release_all"}))
        columns = [field.name for field in fields(table) if field.name != "seed"]
        assert {name: getattr(table, name)[row].item() for name in columns} == episode_totals(info)


def test_policies_meet_the_same_payments(small_scenario: dict[str, Any]) -> None:
    early = evaluate(RELEASE_ALL, small_scenario, range(50))
    late = evaluate(scripted({"type": "hold_until_deadline"}), small_scenario, range(50))
    assert np.array_equal(early.arrived_value, late.arrived_value)
    assert not np.array_equal(early.cost, late.cost)
    assert early.mean_delay.mean() < late.mean_delay.mean()


def test_further_arguments_reach_the_environment(small_scenario: dict[str, Any]) -> None:
    seen: list[PaymentVectorEnv] = []

    def factory(env: PaymentVectorEnv) -> Any:
        seen.append(env)
        return RELEASE_ALL(env)

    evaluate(factory, small_scenario, [0], learner="BANK_B", slots=3)
    assert (seen[0].learner, seen[0].settings.slots) == ("BANK_B", 3)


def test_table_is_frozen_and_has_every_total(small_scenario: dict[str, Any]) -> None:
    table = evaluate(RELEASE_ALL, small_scenario, [0, 1])
    assert len(table) == 2
    assert {field.name for field in fields(EpisodeTable)} >= {f"cost_{name}" for name in COST_COMPONENTS}
    with pytest.raises(FrozenInstanceError):
        table.cost = table.cost  # type: ignore[misc]


def test_no_seeds_are_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"^seeds: must have at least one$"):
        evaluate(RELEASE_ALL, "two_bank", [])


def test_seeds_may_come_from_an_iterator(small_scenario: dict[str, Any]) -> None:
    table = evaluate(RELEASE_ALL, small_scenario, iter([5, 3]))
    assert table.seed.tolist() == [5, 3]
    assert np.array_equal(table.cost, evaluate(RELEASE_ALL, small_scenario, np.array([5, 3])).cost)


def test_interval_of_a_normal_sample_is_the_textbook_one() -> None:
    sample = np.random.default_rng(0).normal(10, 2, size=400)
    mean, low, high = mean_ci95(sample)
    margin = 1.96 * sample.std(ddof=1) / 20
    assert mean == pytest.approx(sample.mean())
    assert low == pytest.approx(mean - margin, abs=0.02)
    assert high == pytest.approx(mean + margin, abs=0.02)
    assert mean_ci95(sample) == (mean, low, high)


def test_interval_of_a_skewed_sample_leans_to_the_long_side() -> None:
    mean, low, high = mean_ci95(np.random.default_rng(0).lognormal(0, 1.5, size=200))
    assert high - mean > mean - low > 0


def test_interval_of_equal_values_is_a_point() -> None:
    assert mean_ci95([3, 3, 3]) == (3, 3, 3)


@pytest.mark.parametrize("values", [[], [1.0], [[1.0, 2.0]]])
def test_interval_needs_two_values(values: Any) -> None:
    with pytest.raises(ValueError, match="two numbers"):
        mean_ci95(values)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_interval_of_what_is_no_number_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match=rf"^values\[2\] = {wrong}: must be a finite number$"):
        mean_ci95([1.0, 2.0, wrong])


def test_pairs_are_compared_one_by_one() -> None:
    noise = np.random.default_rng(0).normal(0, 100, size=50)
    assert paired_difference_ci95(noise + 3, noise) == pytest.approx((3, 3, 3))
    with pytest.raises(ValueError, match="same seeds"):
        paired_difference_ci95([1, 2], [1, 2, 3])


def test_summary_is_json_and_adds_up(small_scenario: dict[str, Any]) -> None:
    table = evaluate(RELEASE_ALL, small_scenario, range(20))
    summary = json.loads(json.dumps(summarise(table)))
    assert summary.keys() == {
        "episodes",
        "cost_cents_mean",
        "cost_cents_ci95",
        "settlement_rate",
        "mean_delay_ticks",
        "liquidity_used_cents_mean",
        "cost_components_cents_mean",
    }
    low, high = summary["cost_cents_ci95"]
    assert low < summary["cost_cents_mean"] == table.cost.mean() < high
    assert sum(summary["cost_components_cents_mean"].values()) == pytest.approx(summary["cost_cents_mean"])
    assert 0 < summary["settlement_rate"] <= 1


def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end() -> None:
    value, low, high = iqm_ci95([-900, 0, 2, 3, 4, 5, 9, 1_000])
    assert value == 3.5
    assert low < value < high
    assert iqm_ci95([3, 1, 4, 1, 5, 9, 2, 6]) == iqm_ci95([3, 1, 4, 1, 5, 9, 2, 6])
    assert iqm_ci95([7, 7]) == (7, 7, 7)
    with pytest.raises(ValueError, match="at least two"):
        iqm_ci95([1])


def test_every_interval_is_a_95_percent_interval() -> None:
    """The half-widths are 1.96 standard errors; those of a 90% interval would be 1.645."""
    sample = np.random.default_rng(3).normal(0, 10, size=400)
    baseline = np.random.default_rng(4).normal(0, 50, size=400)
    standard_error = sample.std(ddof=1) / np.sqrt(len(sample))
    # The trimmed mean's standard error from the winsorized deviation (Yuen 1974).
    winsorized = np.clip(sample, *np.sort(sample)[[100, 299]])
    trimmed_error = winsorized.std(ddof=1) / (0.5 * np.sqrt(len(sample)))
    for (value, low, high), error in (
        (mean_ci95(sample), standard_error),
        (iqm_ci95(sample), trimmed_error),
        (paired_difference_ci95(baseline + sample, baseline), standard_error),
    ):
        assert (value - low, high - value) == pytest.approx((1.96 * error, 1.96 * error), rel=0.06)


def test_a_summary_is_the_mean_of_each_column(small_scenario: dict[str, Any]) -> None:
    table = evaluate(scripted({"type": "hold_until_deadline"}), small_scenario, range(7))
    summary = summarise(table)
    assert summary["episodes"] == 7
    assert summary["settlement_rate"] == sum(table.settlement_rate.tolist()) / 7
    assert summary["mean_delay_ticks"] == pytest.approx(sum(table.mean_delay.tolist()) / 7) != 0
    assert summary["liquidity_used_cents_mean"] == pytest.approx(sum(table.liquidity_used.tolist()) / 7) != 0
    for name, cents in summary["cost_components_cents_mean"].items():
        assert cents == pytest.approx(sum(getattr(table, f"cost_{name}").tolist()) / 7)


def test_the_interquartile_mean_of_many_values_leaves_out_exactly_a_quarter() -> None:
    middle = [value**2 for value in range(20)]
    assert iqm_ci95([-1_000] * 10 + middle + [1_000] * 10)[0] == sum(middle) / 20


def test_a_policy_is_asked_for_its_best_action_and_told_where_an_episode_starts(
    small_scenario: dict[str, Any],
) -> None:
    calls: list[tuple[Any, list[bool], bool]] = []

    class Recurrent:
        """Holds everything and counts its steps in the hidden state."""

        def predict(
            self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
        ) -> tuple[Any, Any]:
            calls.append((state, episode_start.tolist(), deterministic))
            return np.zeros((len(observation), 8), np.int64), (state or 0) + 1

    evaluate(lambda env: Recurrent(), small_scenario, [0, 1])
    ticks = small_scenario["ticks_per_day"]
    assert calls == [
        (None, [True, True], True),
        *((step, [False, False], True) for step in range(1, ticks)),
    ]


class TestModels:
    """`evaluate` takes a model of Stable-Baselines3 itself."""

    SEEDS = range(4)

    def fleet(self, scenario: Any) -> PaymentVecEnv:
        return PaymentVecEnv(PaymentVectorEnv(4, scenario, autoreset_mode="SameStep"))

    @pytest.mark.parametrize("action_mode", ["slots", "fraction"])
    def test_masks_reach_a_maskable_model(self, small_scenario: dict[str, Any], action_mode: Any) -> None:
        venv = PaymentVecEnv(
            PaymentVectorEnv(4, small_scenario, autoreset_mode="SameStep", action_mode=action_mode)
        )
        model = MaskablePPO("MlpPolicy", venv, seed=0)
        arguments: dict[str, Any] = {"action_mode": action_mode, "strict": True}
        table = evaluate(model, small_scenario, self.SEEDS, **arguments)
        same = evaluate(lambda env: model, small_scenario, self.SEEDS, **arguments)
        env = PaymentEnv(small_scenario, **arguments)
        for seed, cost, cost_by_factory in zip(self.SEEDS, table.cost, same.cost, strict=True):
            observation, _ = env.reset(seed=seed)
            over = False
            while not over:
                action, _ = model.predict(observation, action_masks=env.action_masks(), deterministic=True)
                observation, _, over, _, info = env.step(action)
            assert info["episode_cost"] == cost == cost_by_factory
        with pytest.raises(ActionError):  # without masks this model plays illegal actions
            evaluate(PPO("MlpPolicy", venv, seed=0), small_scenario, self.SEEDS, **arguments)

    def test_observations_are_normalised_as_in_training(self, small_scenario: dict[str, Any]) -> None:
        venv = VecNormalize(self.fleet(small_scenario), gamma=1.0)
        model = PPO("MlpPolicy", venv, n_steps=12, batch_size=48, n_epochs=1, seed=0)
        model.learn(480)

        class Normalised:
            def predict(self, observation: Any, *arguments: Any, **keywords: Any) -> Any:
                return model.predict(venv.normalize_obs(observation), *arguments, **keywords)

        cost = evaluate(model, small_scenario, range(20)).cost
        assert np.array_equal(cost, evaluate(lambda env: Normalised(), small_scenario, range(20)).cost)
        model._vec_normalize_env = None
        assert not np.array_equal(cost, evaluate(model, small_scenario, range(20)).cost)

    def test_other_policies_are_played_as_they_are(self, small_scenario: dict[str, Any]) -> None:
        env = PaymentVectorEnv(1, small_scenario)
        for model in (
            PPO("MlpPolicy", self.fleet(small_scenario)),
            RecurrentPPO("MlpLstmPolicy", self.fleet(small_scenario)),
            ScriptedAgent(env, {"type": "release_all"}),
        ):
            assert bind_policy(model, env) is model
            assert bind_policy(lambda env, model=model: model, env) is model  # type: ignore[misc]

    @pytest.mark.parametrize(
        "arguments", [{"action_mode": "fraction"}, {"slots": 4}, {"split_parts": [2]}], ids=str
    )
    def test_a_model_of_other_arguments_is_refused(
        self, small_scenario: dict[str, Any], arguments: dict[str, Any]
    ) -> None:
        fleet = PaymentVectorEnv(4, small_scenario, autoreset_mode="SameStep", **arguments)
        model = PPO("MlpPolicy", PaymentVecEnv(fleet))
        assert evaluate(model, small_scenario, [0], **arguments).cost.shape == (1,)
        with pytest.raises(ValueError, match="pass the arguments that it was trained with"):
            evaluate(model, small_scenario, [0])

    def test_a_class_is_a_factory(self, small_scenario: dict[str, Any]) -> None:
        class Hold:
            def __init__(self, env: PaymentVectorEnv) -> None:
                self.shape = env.action_space.shape or ()

            def predict(self, *_: Any, **__: Any) -> Any:
                return np.zeros(self.shape, np.int64), None

        cost = evaluate(Hold, small_scenario, [0, 1]).cost
        assert np.array_equal(cost, evaluate(lambda env: Hold(env), small_scenario, [0, 1]).cost)

    @pytest.mark.parametrize(
        ("policy", "message"),
        [
            ({"type": "release_all"}, "policy = dict: must have a method predict, as models of Stable-Bas"),
            ("release_all", "policy = str: must have"),
            (lambda env: None, "policy(env) = NoneType: must have a method predict"),
        ],
    )
    def test_other_things_are_refused(self, policy: Any, message: str) -> None:
        with pytest.raises(TypeError, match=re.escape(message)):
            evaluate(policy, "two_bank", [0])
