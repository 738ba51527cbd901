"""The bundled payments file, and the scenarios that calibrate and replay it."""

from __future__ import annotations

import copy
import csv
import json
import pickle
from importlib import resources
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from paysim_agents.scripted import scripted
from paysim_agents.tuning import candidate_grid, tune

from paysim_gym import Orchestrator, Scenario, ScenarioError, load_scenario
from paysim_gym.evaluation import evaluate
from paysim_gym.payments.calibration import calibrate
from paysim_gym.scenario.payments_file import load_payments

FILE = Path(str(resources.files("paysim_gym") / "scenarios" / "sample_payments.csv"))
DAYS = 20
SIGMAS = 4.5


def played(scenario: dict[str, object] | str, days: int) -> list[tuple[int, int, int]]:
    """Day, count and value of the arrivals by day."""
    loaded = json.loads(load_scenario(scenario).model_dump_json()) | {"num_days": days}
    orchestrator = Orchestrator(loaded, record_events=True)
    table = []
    for day in range(days):
        for _ in range(loaded["ticks_per_day"]):
            orchestrator.tick()
        amounts = [event["amount"] for event in orchestrator.events() if event["type"] == "arrival"]
        table.append((day, len(amounts), sum(amounts)))
    return table


def file_days() -> list[tuple[int, int, int]]:
    payments = load_payments(FILE, ticks_per_day=48, opening_time="07:00", closing_time="19:00")
    amounts = [payments.amount[payments.day == day] for day in range(DAYS)]
    return [(day, len(own), int(own.sum())) for day, own in enumerate(amounts)]


def test_calibrating_the_file_gives_the_bundled_scenario() -> None:
    fitted = Scenario.model_validate({**calibrate(FILE), "description": ""})
    bundled = load_scenario("calibrated_day")
    assert bundled.model_copy(update={"description": ""}) == fitted


def test_a_calibrated_day_has_the_files_mean_count_and_value() -> None:
    simulated, given = (
        np.array(table, float)[:, 1:] for table in (played("calibrated_day", 400), file_days())
    )
    errors = np.sqrt(simulated.var(axis=0, ddof=1) / len(simulated) + given.var(axis=0, ddof=1) / len(given))
    assert (np.abs(simulated.mean(axis=0) - given.mean(axis=0)) < SIGMAS * errors).all()
    assert given[:, 0].mean() == pytest.approx(130, abs=0.5)


def test_replayed_days_are_the_files_days_in_their_order() -> None:
    given = file_days()
    assert played("replayed_days", DAYS) == given
    twice = played("replayed_days", DAYS + 3)
    assert [row[1:] for row in twice[DAYS:]] == [row[1:] for row in given[:3]]


def test_every_seed_of_the_replay_plays_its_day() -> None:
    with FILE.open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["sender"] == "NORTH"]
    days = sorted({row["day"] for row in rows})
    value = [sum(int(row["amount"]) for row in rows if row["day"] == day) for day in days]
    table = evaluate(scripted({"type": "release_all"}), "replayed_days", [*range(DAYS), 3 * DAYS + 7])
    assert table.arrived_value.tolist() == [*value, value[7]]


@pytest.mark.parametrize(("name", "least"), [("replayed_days", 1.2), ("calibrated_day", 1.25)])
def test_when_to_pay_matters_there(name: str, least: float) -> None:
    seeds = list(range(DAYS if name == "replayed_days" else 300))
    _, trials = tune(name, seeds, candidate_grid("liquidity_aware", name, "NORTH"))
    best = min(trial.cost_cents_mean for trial in trials)
    assert evaluate(scripted({"type": "release_all"}), name, seeds).cost.mean() > least * best


def test_a_replaying_scenario_can_be_copied_and_pickled() -> None:
    scenario = load_scenario("replayed_days")
    copies = [pickle.loads(pickle.dumps(scenario)), copy.deepcopy(scenario), scenario.model_copy(deep=True)]
    for other in copies:
        assert other == scenario
        assert len(other.payments) == len(scenario.payments or ())
        assert gym.make("PaySim/Bank-v1", scenario=other).spec is not None


def test_a_changed_copy_reads_its_own_payments() -> None:
    scenario = load_scenario("replayed_days")
    turned = scenario.model_copy(update={"agents": scenario.agents[::-1]})
    balances = [
        {bank["id"]: bank["balance"] for bank in played_for_a_while(one).get_state()["agents"]}
        for one in (scenario, turned)
    ]
    assert balances[0] == balances[1]
    assert scenario.model_copy(update={"payments_file": None}).payments is None
    with pytest.raises(ScenarioError, match=r"absent\.csv"):
        load_scenario(scenario.model_copy(update={"payments_file": "absent.csv"}))


def played_for_a_while(scenario: Scenario) -> Orchestrator:
    orchestrator = Orchestrator(scenario)
    for _ in range(20):
        orchestrator.tick()
    return orchestrator
