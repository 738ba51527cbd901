"""A system calibrated on heavy-tailed payments keeps a bank's observation within its bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from paysim_gym import PaymentVectorEnv, observation_fields
from paysim_gym.envs.spaces import component_choices
from paysim_gym.payments.calibration import calibrate

BANKS, DAYS, TICKS, PAYMENTS = 20, 20, 48, 26_000
FIELDS = observation_fields(8)
HIGHEST_SHARE = 0.01
AT_BOUNDS = {"multilateral_headroom", "time_of_day"}
"""Columns at a bound by definition: headroom without a limit, and the time after the last day."""
RULES: list[dict[str, Any] | None] = [
    None,
    {"type": "release_all"},
    {"type": "liquidity_aware"},
    {"type": "hold_until_deadline"},
]
"""Policies of the learner; None draws random actions."""


def write(path: Path, seed: int) -> Path:
    """A file of lognormal payments between banks of very different sizes."""
    rng = np.random.default_rng(seed)
    sizes = 1 / np.arange(1, BANKS + 1)
    amounts = np.ceil(rng.lognormal(np.log(20_000_00), 2.05, PAYMENTS)).astype(np.int64)
    assert 6 < amounts.std() / amounts.mean() < 9
    lines = ["day,tick,sender,receiver,amount,deadline,priority,divisible"]
    for amount in amounts:
        sender, receiver = rng.choice(BANKS, 2, replace=False, p=sizes / sizes.sum())
        tick = int(rng.integers(TICKS))
        deadline = min(TICKS - 1, tick + int(rng.integers(1, 24)))
        day = rng.integers(DAYS)
        lines.append(f"{day},{tick},BANK_{sender:02},BANK_{receiver:02},{amount},{deadline},5,1")
    path.write_text("\n".join(lines), "utf-8")
    return path


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = write(tmp_path_factory.mktemp("payments") / "heavy.csv", seed=3)
    return {**calibrate(file, ticks_per_day=TICKS), "num_days": 5}


def shares_at_bounds(scenario: dict[str, Any], bank: str, rule: dict[str, Any] | None) -> NDArray[np.float64]:
    """Share of steps in which each column is at a bound other than 0."""
    env = PaymentVectorEnv(8, scenario, bank, autoreset_mode="Disabled")
    rng = np.random.default_rng(0)
    low, high = (np.array([field[column] for field in FIELDS], np.float32) for column in (2, 3))
    observations, infos = env.reset(seed=7)
    seen = [observations]
    while "episode_cost" not in infos:
        if rule is None:
            nvec = component_choices(env.single_action_space)
            actions = rng.integers(nvec, size=(env.num_envs, len(nvec)))
        else:
            actions = env.scripted_actions(rule)
        observations, *_, infos = env.step(actions)
        seen.append(observations)
    table = np.concatenate(seen)
    is_clipped = (table >= high) | ((table <= low) & (low != 0))
    shares: NDArray[np.float64] = is_clipped.mean(axis=0)
    return shares


@pytest.mark.parametrize("rule", RULES, ids=["random", *(rule["type"] for rule in RULES if rule)])
def test_no_state_column_is_clipped(scenario: dict[str, Any], rule: dict[str, Any] | None) -> None:
    ids = [agent["id"] for agent in scenario["agents"]]
    for bank in ids:
        shares = shares_at_bounds(scenario, bank, rule)
        clipped = {
            name: round(float(share), 3)
            for (name, unit, *_), share in zip(FIELDS, shares, strict=True)
            if unit not in ("flag", "episodes", "10", "share")
            if share > HIGHEST_SHARE and name not in AT_BOUNDS
        }
        assert not clipped, (bank, clipped)


def test_a_median_payment_is_told_apart_by_its_logarithm(scenario: dict[str, Any]) -> None:
    bank = scenario["agents"][0]["id"]
    env = PaymentVectorEnv(64, scenario, bank)
    observations, _ = env.reset(seed=0)
    names = [name for name, *_ in FIELDS]
    amounts, logs = (observations[:, names.index(f"slot_0_{name}")] for name in ("amount", "log_amount"))
    is_filled = amounts > 0
    assert is_filled.sum() > 20
    assert np.median(amounts[is_filled]) < 0.02
    assert np.median(logs[is_filled]) > 0.5
    np.testing.assert_allclose(logs, np.log10(1 + 1e4 * amounts.astype(np.float64)), rtol=1e-5)
