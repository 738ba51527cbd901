"""A stored day renders as in an environment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from runs import store_run as keep

from paysim_gym import PaymentEnv, PaymentVectorEnv, Scenario, load_scenario
from paysim_gym._engine import SOON_TICKS, URGENCIES, urgency_class
from paysim_gym.render import BankSnapshot, render_picture, render_text
from paysim_gym.simulate.store import Store
from paysim_gym.simulate.store_schema import StoreError
from paysim_gym.simulate.stored_day import stored_day


def play_releasing_all(scenario: Scenario, learner: str) -> PaymentEnv:
    """An episode in which the learner plays `release_all`."""
    env = PaymentEnv(scenario, learner=learner, slots=64, render_mode="ansi")
    _, info = env.reset(seed=scenario.seed)
    terminated = False
    while not terminated:
        _, _, terminated, _, info = env.step([mask[1] for mask in info["action_mask"]])
    return env


@pytest.mark.parametrize(
    ("deadline", "expected"), list(enumerate(["due"] * 11 + ["soon"] * 4 + ["later"] * 3))
)
def test_urgency_class_of_every_deadline_around_tick_10(deadline: int, expected: str) -> None:
    assert SOON_TICKS == 4
    assert URGENCIES == ("overdue", "due", "soon", "later")
    assert urgency_class(False, deadline, 10) == expected
    assert urgency_class(True, deadline, 10) == "overdue"


def test_urgency_class_of_the_latest_ticks() -> None:
    assert urgency_class(False, 2**32 - 1, 2**32 - 1) == "due"
    assert urgency_class(False, 2**32 - 1, 2**32 - 2) == "soon"
    with pytest.raises(OverflowError):
        urgency_class(False, -1, 0)


def test_every_snapshot_of_a_stored_day_is_the_engines(tmp_path: Path) -> None:
    scenario = load_scenario("five_bank").model_copy(update={"seed": 5})
    env = PaymentVectorEnv(1, scenario, learner="CORE_A", slots=64)
    _, info = env.reset(seed=scenario.seed)
    snapshots = [env.snapshots()[0]]
    for _ in range(scenario.ticks_per_day - 1):
        legal = info["action_mask"].reshape(1, 64, -1)
        _, _, _, _, info = env.step(legal[..., 1].astype(np.int64))
        snapshots.append(env.snapshots()[0])
    with Store(tmp_path / "runs.duckdb") as store:
        keep(store, scenario)
        stored = stored_day(store, store.run("1"), bank="CORE_A").snapshots
    assert stored[:-1] == snapshots
    assert {
        urgency for snapshot in snapshots for urgency, queue in snapshot["central_queue"].items() if queue[0]
    } == set(URGENCIES)


@pytest.mark.parametrize(("name", "learner"), [("two_bank", "BANK_A"), ("five_bank", "CORE_A")])
def test_a_stored_day_is_drawn_as_the_environment_draws_it(name: str, learner: str, tmp_path: Path) -> None:
    scenario = load_scenario(name).model_copy(update={"seed": 5})
    env = play_releasing_all(scenario, learner)
    with Store(tmp_path / "runs.duckdb") as store:
        keep(store, scenario)
        day = stored_day(store, store.run("1"), bank=learner)
        assert render_text(day) == env.render()
        assert render_picture(day).shape == (640, 960, 3)
        with pytest.raises(StoreError, match="--bank = 'X': must be one of"):
            stored_day(store, store.run("1"), bank="X")


def test_each_day_of_a_run_can_be_drawn(tmp_path: Path) -> None:
    scenario = load_scenario("two_bank").model_copy(update={"num_days": 3})
    with Store(tmp_path / "runs.duckdb") as store:
        keep(store, scenario)
        for number, report in enumerate(store.days(1)):
            day = stored_day(store, store.run("1"), bank="BANK_B", day=number)
            (bank,) = (own for own in report.banks if own.bank == "BANK_B")
            assert len(day.snapshots) == 49
            assert day.latest["balance"] == bank.closing_balance
            assert day.latest["costs_today"] == bank.costs
            assert (day.latest["paid_today"], day.latest["received_today"]) == (
                bank.sent_value,
                bank.received_value,
            )


def test_urgency_of_a_queued_payment_at_each_tick(tmp_path: Path) -> None:
    """A payment is soon within 4 ticks of its deadline and overdue after it."""
    payments = [
        {"sender": "A", "receiver": "B", "amount": 100, "arrival_tick": 0, "deadline_tick": 6},
        {"sender": "B", "receiver": "A", "amount": 70, "arrival_tick": 0, "deadline_tick": 7},
    ]
    holds = {"type": "random", "release_probability": 0.0}
    banks = [{"id": "A", "balance": 0, "policy": holds}, {"id": "B", "balance": 0}]
    scenario = load_scenario({"ticks_per_day": 10, "agents": banks, "initial_transactions": payments})
    with Store(tmp_path / "runs.duckdb") as store:
        keep(store, scenario)
        held = stored_day(store, store.run("1"), bank="A").snapshots
        released = stored_day(store, store.run("1"), bank="B").snapshots

    def urgencies(snapshots: list[BankSnapshot], queue: str) -> list[str]:
        return [
            " ".join(name for name, (count, _) in snapshot[queue].items() for _ in range(count))
            for snapshot in snapshots
        ]

    overdue = ["overdue"] * 3
    assert urgencies(held, "internal_queue") == ["later"] * 2 + ["soon"] * 4 + ["due", *overdue, "overdue"]
    assert urgencies(released, "central_queue") == ["", "later", "later"] + ["soon"] * 4 + ["due", *overdue]
    assert all(snapshot["internal_queue"]["soon"] == (1, 100) for snapshot in held[2:6])
