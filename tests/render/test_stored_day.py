"""A day drawn from a store is the day that an environment draws."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from paysim_gym import PaymentEnv, Scenario, load_scenario
from paysim_gym.render import picture, text
from paysim_gym.simulate.output import OUTPUTS, EventFilter, TextSink
from paysim_gym.simulate.persistence import FullReplayPersistence
from paysim_gym.simulate.runner import LiveTicks, SimulationRunner
from paysim_gym.simulate.store import Store
from paysim_gym.simulate.store_schema import StoreError
from paysim_gym.simulate.stored_day import stored_day


def keep(store: Store, scenario: Scenario) -> None:
    source = LiveTicks(scenario)
    run = store.begin_run(source.plan, scenario, mode="normal", event_filter=EventFilter(), is_full_replay=True)
    output = OUTPUTS["normal"](TextSink(io.StringIO()))
    SimulationRunner(source, output, FullReplayPersistence(store, run)).run()


def play_releasing_all(scenario: Scenario, learner: str) -> PaymentEnv:
    """An episode in which the learner does what `release_all` does."""
    env = PaymentEnv(scenario, learner=learner, slots=64, render_mode="ansi")
    _, info = env.reset(seed=scenario.seed)
    terminated = False
    while not terminated:
        legal = info["action_mask"].reshape(64, -1)
        _, _, terminated, _, info = env.step(legal[:, 1].astype(np.int64))
    return env


@pytest.mark.parametrize(("name", "learner"), [("two_bank", "BANK_A"), ("five_bank", "CORE_A")])
def test_a_stored_day_is_drawn_as_the_environment_draws_it(name: str, learner: str, tmp_path: Path) -> None:
    scenario = load_scenario(name).model_copy(update={"seed": 5})
    env = play_releasing_all(scenario, learner)
    with Store(tmp_path / "runs.duckdb") as store:
        keep(store, scenario)
        day = stored_day(store, store.run("1"), bank=learner)
        assert text(day) == env.render()
        assert picture(day).shape == (640, 960, 3)
        with pytest.raises(StoreError, match="--bank = 'X': must be one of"):
            stored_day(store, store.run("1"), bank="X")


def test_each_day_of_a_run_can_be_drawn(tmp_path: Path) -> None:
    scenario = load_scenario("two_bank").model_copy(update={"num_days": 3})
    with Store(tmp_path / "runs.duckdb") as store:
        keep(store, scenario)
        for number, report in enumerate(store.days(1)):
            day = stored_day(store, store.run("1"), bank="BANK_B", day=number)
            (bank,) = (own for own in report.banks if own.bank == "BANK_B")
            assert len(day.views) == 49
            assert day.now["balance"] == bank.closing_balance
            assert day.now["costs_today"] == bank.costs
            assert (day.now["paid_today"], day.now["received_today"]) == (
                bank.sent_value,
                bank.received_value,
            )
