"""Redrawn futures change what a treasurer cannot know, and nothing that it knows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from paysim_agents.tasks.suite import TASKS
from same import assert_same
from scipy.stats import ks_2samp

from paysim_gym import PaymentEnv, PaymentVectorEnv
from paysim_gym.envs.parallel import parallel_env

SCENARIOS = [*(task.scenario for task in TASKS), "five_bank"]
FIXED = [task.scenario for task in TASKS if task.receipts_are_fixed]
TWO = ["SMALL_C", "CORE_A"]
RELEASE_ALL = {"type": "release_all"}
TICKS = 12
DRAWS = 400


def played(scenario: str, ticks: int, seed: int = 4) -> PaymentEnv:
    """An environment in which the bank has released all payments for some ticks."""
    env = PaymentEnv(scenario)
    env.reset(seed=seed)
    while env._fleet.snapshots()[0]["tick"] < ticks or env._fleet.snapshots()[0]["is_opening"]:
        env.step(env.scripted_actions(RELEASE_ALL))
    return env


def fleet_of(scenario: str, rows: int) -> PaymentVectorEnv:
    fleet = PaymentVectorEnv(rows, scenario, autoreset_mode="Disabled")
    fleet.reset(seed=0)
    return fleet


def receipts(fleet: PaymentVectorEnv, ticks: int = 1) -> NDArray[np.int64]:
    """Receipts of each row in the last of some ticks that release everything."""
    before = np.zeros(fleet.num_envs, np.int64)
    for _ in range(ticks):
        before[:] = [snapshot["received_today"] for snapshot in fleet.snapshots()]
        fleet.step(fleet.scripted_actions(RELEASE_ALL))
    return np.array([snapshot["received_today"] for snapshot in fleet.snapshots()], np.int64) - before


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_receipts_of_the_present_tick_vary_and_the_observation_does_not(scenario: str) -> None:
    fleet = fleet_of(scenario, 32)
    varied = 0
    for tick in range(TICKS):
        env = played(scenario, tick)
        state = env.save_state()
        known = env.restore_state(state)
        for row in range(fleet.num_envs):
            assert_same(fleet.restore_state(row, state, seed=row), known)
        queues = [snapshot["internal_queue"] for snapshot in fleet.snapshots()]
        assert queues == [env._fleet.snapshots()[0]["internal_queue"]] * fleet.num_envs
        varied += len(set(receipts(fleet).tolist())) > 1
    # The banks of `reacting_banks` soon have no money to pay with: later payments wait in their queues.
    assert varied >= (1 if scenario == "reacting_banks" else TICKS - 1), varied


@pytest.mark.parametrize("scenario", FIXED)
def test_the_present_tick_is_drawn_like_every_other_one(scenario: str) -> None:
    """A tick that is redrawn has the distribution of one that follows a redraw."""
    fleet = fleet_of(scenario, DRAWS)
    samples = []
    for tick, ticks in ((TICKS, 1), (TICKS - 1, 2)):
        state = played(scenario, tick).save_state()
        for row in range(DRAWS):
            fleet.restore_state(row, state, seed=10_000 * ticks + row)
        samples.append(receipts(fleet, ticks))
    now, later = samples
    assert ks_2samp(now, later).pvalue > 1e-3
    error = np.hypot(now.std(), later.std()) / np.sqrt(DRAWS)
    assert abs(now.mean() - later.mean()) < 4 * error
    # The true receipts are one draw of many.
    assert len(set(now.tolist())) > DRAWS // 20


def test_the_future_is_the_same_for_a_state_and_seed() -> None:
    state = played("five_bank", 10).save_state()
    fleet = fleet_of("five_bank", 4)
    for row, seed in enumerate((3, 3, 4, None)):
        fleet.restore_state(row, state, seed=seed, known_by=None)
    received = []
    for _ in range(20):
        received.append(receipts(fleet))
    same, again, other, original = np.stack(received, axis=1).tolist()
    assert same == again
    assert len({tuple(future) for future in (same, other, original)}) == 3


def several() -> tuple[Any, bytes]:
    env = parallel_env("five_bank", TWO)
    env.reset(seed=0)
    for _ in range(6):
        env.step(dict.fromkeys(TWO, np.zeros(8, np.int64)))
    return env, env.save_state()


@pytest.mark.parametrize("known_by", TWO)
def test_with_several_learners_the_others_do_not_keep_their_present_payments(known_by: str) -> None:
    env, state = several()
    other = next(bank for bank in TWO if bank != known_by)
    known, _ = env.restore_state(state)
    seen = [env.restore_state(state, seed=seed, known_by=known_by)[0] for seed in range(20)]
    assert all((observation[known_by] == known[known_by]).all() for observation in seen)
    assert len({observation[other].tobytes() for observation in seen}) > 2


LEARNERS = "must be the learner that the future is redrawn for: SMALL_C or CORE_A"
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"seed": 1}, f"known_by = None: {LEARNERS}"),
    ({"seed": 1, "known_by": None}, f"known_by = None: {LEARNERS}"),
    ({"seed": 1, "known_by": "SMALL_D"}, f"known_by = 'SMALL_D': {LEARNERS}"),
    ({"seed": 1, "known_by": "BANK_X"}, f"known_by = 'BANK_X': {LEARNERS}"),
    ({"seed": 1, "known_by": 3}, f"known_by = 3: {LEARNERS}"),
    ({"known_by": "CORE_A"}, "known_by = 'CORE_A': must be None without a seed"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_a_future_needs_the_learner_that_it_is_drawn_for(arguments: dict[str, Any], message: str) -> None:
    env, _ = several()
    before = env.save_state()
    with pytest.raises(ValueError, match=message):
        env.restore_state(before, **arguments)
    fleet = PaymentVectorEnv(2, "five_bank", TWO)
    fleet.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        fleet.restore_state(1, fleet.save_state(0), **arguments)
    assert env.save_state() == before


def test_the_only_learner_may_be_named() -> None:
    env = played("two_bank", 3)
    state = env.save_state()
    env.restore_state(state, seed=5)
    default = env.save_state()
    env.restore_state(state, seed=5, known_by="BANK_A")
    assert env.save_state() == default
    with pytest.raises(ValueError, match=r"known_by = 'BANK_B': must be the learner .*: BANK_A$"):
        env.restore_state(state, seed=5, known_by="BANK_B")
