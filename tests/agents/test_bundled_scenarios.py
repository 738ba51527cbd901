"""Both extreme rules cost much more than the best tuned rule in bundled scenarios."""

from __future__ import annotations

import pytest
from paysim_agents.scripted import scripted
from paysim_agents.tuning import candidate_grid, tune

from paysim_gym.evaluation import evaluate
from paysim_gym.scenario import load_scenario

TUNING_SEEDS = range(1_000, 1_200)
SEEDS = range(5_000, 5_500)


def cost(policy: dict[str, object], name: str) -> float:
    return float(evaluate(scripted(policy), name, list(SEEDS)).cost.mean())


@pytest.mark.parametrize(
    ("name", "learner", "releasing", "holding", "holding_tuned"),
    [("two_bank", "BANK_A", 1.2, 2.0, 1.1), ("five_bank", "CORE_A", 1.25, 3.0, 1.15)],
)
def test_when_a_payment_is_released_matters(
    name: str, learner: str, releasing: float, holding: float, holding_tuned: float
) -> None:
    best, _ = tune(name, list(TUNING_SEEDS), candidate_grid("liquidity_aware", name, learner))
    best_cost = cost(best, name)
    assert cost({"type": "release_all"}, name) > releasing * best_cost
    assert cost({"type": "hold_until_deadline"}, name) > holding * best_cost
    tuned, _ = tune(name, list(TUNING_SEEDS), candidate_grid("hold_until_deadline", name, learner))
    assert cost(tuned, name) > holding_tuned * best_cost


def test_large_payments_are_worth_splitting() -> None:
    best, _ = tune("two_bank", list(TUNING_SEEDS), candidate_grid("split_large", "two_bank", "BANK_A"))
    assert cost(best, "two_bank") < 0.97 * cost({"type": "release_all"}, "two_bank")


@pytest.mark.parametrize(("name", "payments_a_tick"), [("two_bank", 2.0), ("five_bank", 5.0)])
def test_demand_is_as_announced(name: str, payments_a_tick: float) -> None:
    scenario = load_scenario(name)
    ticks = range(scenario.ticks_per_day)
    expected = 0.0
    for agent in scenario.agents:
        assert agent.arrival_config is not None
        for tick in ticks:
            windows = agent.arrival_config.time_windows
            inside = [window.multiplier for window in windows if window.start_tick <= tick < window.end_tick]
            expected += agent.arrival_config.rate_per_tick * (inside[0] if inside else 1.0)
    assert expected / len(ticks) == pytest.approx(payments_a_tick, rel=0.02)
