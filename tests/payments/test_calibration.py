"""Calibration recovers a simulated system from its payments file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from scipy import stats

from paysim_gym import Orchestrator, ScenarioError, load_scenario
from paysim_gym.payments.calibration import _deadline_range, _quantile, calibrate, calibrated_yaml

DAYS = 80
TICKS = 24
HOURS = 6
FACTORS = {
    "CORE": [2.0, 1.5, 0.5, 0.0, 0.25, 1.75],
    "EAST": [0.25, 0.5, 1.0, 2.0, 1.5, 0.75],
    "WEST": [1.0] * HOURS,
}
SIGMAS = 4.5
"""Rejects one true null hypothesis in 150,000; about a hundred are tested."""


def demand(bank: str, **amounts: Any) -> dict[str, Any]:
    length = TICKS // HOURS
    windows = [
        {"start_tick": hour * length, "end_tick": (hour + 1) * length, "multiplier": factor}
        for hour, factor in enumerate(FACTORS[bank])
    ]
    return {"rate_per_tick": 2.0, "time_windows": windows, **amounts}


TRUTH: dict[str, Any] = {
    "ticks_per_day": TICKS,
    "agents": [
        {
            "id": "WEST",
            "balance": 10**12,
            "arrival_config": demand("WEST", distribution_type="uniform", amount_mean=40_000_00,
                                     amount_std_dev=20_000_00, priority=7),
        },
        {
            "id": "CORE",
            "balance": 10**12,
            "arrival_config": demand("CORE", distribution_type="lognormal", amount_mean=100_000_00,
                                     amount_std_dev=80_000_00, deadline_range=[2, 8],
                                     counterparty_weights={"EAST": 3, "WEST": 1}, priority={2: 1, 8: 3}),
        },
        {
            "id": "EAST",
            "balance": 10**12,
            "arrival_config": demand("EAST", distribution_type="normal", amount_mean=60_000_00,
                                     amount_std_dev=20_000_00, divisible=False),
        },
        {"id": "IDLE", "balance": 10**12},
    ],
}  # fmt: skip


def arrivals(scenario: dict[str, Any], seed: int) -> Iterator[dict[str, Any]]:
    """All payments of `DAYS` days."""
    run = Orchestrator({**scenario, "num_days": DAYS, "seed": seed}, record_events=True)
    while not run.is_over:
        tick = run.tick()["tick"]
        for event in run.events():
            if event["type"] == "arrival":
                yield {**event, "day": tick // TICKS, "tick": tick % TICKS}


def write(path: Path, scenario: dict[str, Any], seed: int) -> Path:
    """Simulated payments as a file."""
    splits = {
        bank["id"]: bank.get("arrival_config", {}).get("divisible", True) for bank in scenario["agents"]
    }
    lines = ["day,tick,sender,receiver,amount,deadline,priority,divisible"]
    for event in arrivals(scenario, seed):
        cells = [event[name] for name in ("day", "tick", "sender", "receiver", "amount")]
        cells += [event["deadline_tick"] % TICKS, event["priority"], int(splits[event["sender"]])]
        lines.append(",".join(map(str, cells)))
    path.write_text("\n".join(lines), "utf-8")
    return path


def figures(scenario: dict[str, Any], seed: int, bank: str) -> dict[str, NDArray[np.float64]]:
    """Statistics of a bank by day: arrays of shape (days,)."""
    by_hour, value = np.zeros((DAYS, HOURS)), np.zeros(DAYS)
    to_east, urgent = np.zeros(DAYS), np.zeros(DAYS)
    for event in arrivals(scenario, seed):
        if event["sender"] == bank:
            by_hour[event["day"], event["tick"] * HOURS // TICKS] += 1
            value[event["day"]] += event["amount"]
            to_east[event["day"]] += event["receiver"] == "EAST"
            urgent[event["day"]] += event["priority"] == 8
    hours = {f"payments in hour {hour}": by_hour[:, hour] for hour in range(HOURS)}
    return {"payments": by_hour.sum(1), "value": value, "to EAST": to_east, "urgent": urgent, **hours}


def z_score(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """Difference of two means of days in its standard errors (Welch 1947)."""
    error = math.sqrt(ours.var(ddof=1) / len(ours) + theirs.var(ddof=1) / len(theirs))
    difference = float(ours.mean() - theirs.mean())
    return difference / error if error else math.inf * difference if difference else 0.0


@pytest.fixture(scope="module")
def payments_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("payments") / "truth.csv", TRUTH, seed=1)


@pytest.fixture(scope="module")
def fitted(payments_file: Path) -> dict[str, Any]:
    return calibrate(payments_file, ticks_per_day=TICKS, windows=HOURS)


def config(fitted: dict[str, Any], bank: str) -> dict[str, Any]:
    found: dict[str, Any] = next(agent for agent in fitted["agents"] if agent["id"] == bank)["arrival_config"]
    return found


@pytest.mark.parametrize("bank", ["CORE", "EAST", "WEST"])
def test_a_calibrated_system_sends_what_the_file_does(fitted: dict[str, Any], bank: str) -> None:
    # Both sides have sampling errors: the file around the truth, the simulation around the fit.
    ours, theirs = figures(fitted, 2, bank), figures(TRUTH, 1, bank)
    scores = {name: z_score(ours[name], theirs[name]) for name in ours}
    assert {name: score for name, score in scores.items() if abs(score) > SIGMAS} == {}


@pytest.mark.parametrize("bank", ["CORE", "EAST", "WEST"])
def test_rates_and_windows_are_the_truth_within_their_error(fitted: dict[str, Any], bank: str) -> None:
    found = config(fitted, bank)
    for window, factor in zip(found["time_windows"], FACTORS[bank], strict=True):
        expected = 2.0 * factor * DAYS * (window["end_tick"] - window["start_tick"])
        count = found["rate_per_tick"] * window["multiplier"] * expected / (2.0 * factor) if factor else 0.0
        assert abs(count - expected) <= SIGMAS * math.sqrt(expected), window
        assert (window["multiplier"] == 0) == (factor == 0)


@pytest.mark.parametrize(
    ("bank", "kind", "mean", "deviation", "kurtosis"),
    [
        ("CORE", "lognormal", 100_000_00, 80_000_00, None),
        ("EAST", "normal", 60_000_00, 20_000_00, 3.0),
        ("WEST", "uniform", 40_000_00, 20_000_00, 1.8),
    ],
)
def test_amounts_are_the_truth_within_their_error(
    fitted: dict[str, Any], bank: str, kind: str, mean: int, deviation: int, kurtosis: float | None
) -> None:
    found = config(fitted, bank)
    count = 2.0 * sum(FACTORS[bank]) / HOURS * TICKS * DAYS
    if kurtosis is None:
        width = math.sqrt(math.log1p((deviation / mean) ** 2))
        kurtosis = 3 + float(stats.lognorm(width).stats("k"))
    assert found["distribution_type"] == kind
    assert abs(found["amount_mean"] - mean) <= SIGMAS * deviation / math.sqrt(count)
    # The variance of a sample's variance is (kurtosis - 1) / n of its square.
    error = deviation * math.sqrt((kurtosis - 1) / count) / 2
    assert abs(found["amount_std_dev"] - deviation) <= SIGMAS * error


def test_the_rest_is_found(fitted: dict[str, Any]) -> None:
    core, east, west = (config(fitted, bank) for bank in ("CORE", "EAST", "WEST"))
    count = 2.0 * TICKS * DAYS
    error = SIGMAS * math.sqrt(0.75 * 0.25 / count)
    assert core["counterparty_weights"]["EAST"] == pytest.approx(0.75, abs=error)
    assert core["priority"][8] == pytest.approx(0.75, abs=error)
    assert core["deadline_range"] == [2, 8]
    assert "deadline_range" not in east
    assert (west["priority"], east["priority"]) == (7, 5)
    assert (core["divisible"], east["divisible"]) == (True, False)
    assert set(west["counterparty_weights"]) == {"CORE", "EAST", "IDLE"}


def test_the_bank_that_sends_most_learns_and_a_silent_one_has_no_demand(fitted: dict[str, Any]) -> None:
    agents = fitted["agents"]
    assert [(agent["id"], agent["policy"]["type"]) for agent in agents] == [
        ("CORE", "learner"), ("EAST", "release_all"), ("WEST", "release_all"), ("IDLE", "release_all")
    ]  # fmt: skip
    assert "arrival_config" not in agents[3]
    assert (agents[3]["balance"], agents[3]["credit_limit"]) == (0, 0)


def test_the_file_is_a_scenario_with_a_preface(fitted: dict[str, Any], tmp_path: Path) -> None:
    text = calibrated_yaml(fitted)
    path = tmp_path / "fitted.yaml"
    path.write_text(text, "utf-8")
    scenario = load_scenario(path)
    assert scenario == load_scenario(fitted)
    assert scenario.description.startswith("Calibrated from truth.csv: ")
    assert text.startswith("# A payment system calibrated to a payments file")
    assert scenario.costs.overdraft_rate == 2 * load_scenario("two_bank").costs.overdraft_rate


def test_balances_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "hand.csv"
    rows = ["1,0,A,B,1000", "1,1,B,A,400", "1,2,A,B,500", "2,0,A,B,3000", "2,0,B,A,900", "2,3,B,A,9000"]
    path.write_text("day,tick,sender,receiver,amount\n" + "\n".join(rows), "utf-8")
    agents = {agent["id"]: agent for agent in calibrate(path, ticks_per_day=4, windows=2)["agents"]}
    # A: 1000, 600, 1100 out on day 1; 2100 on day 2: 1600 on average. B: 0, and 9000 - 2100 on day 2.
    assert (agents["A"]["balance"], agents["A"]["credit_limit"]) == (1600, 500)
    assert (agents["B"]["balance"], agents["B"]["credit_limit"]) == (3500, 3400)
    assert agents["A"]["arrival_config"] == {
        "rate_per_tick": 0.375,
        "distribution_type": "lognormal",
        "amount_mean": 1500,
        "amount_std_dev": 1080,
        "counterparty_weights": {"B": 1.0},
        "time_windows": [
            {"start_tick": 0, "end_tick": 2, "multiplier": pytest.approx(4 / 3, rel=1e-5)},
            {"start_tick": 2, "end_tick": 4, "multiplier": pytest.approx(2 / 3, rel=1e-5)},
        ],
        "priority": 5,
        "divisible": True,
    }


@pytest.mark.parametrize(
    ("kind", "draw"),
    [
        ("exponential", lambda rng: rng.exponential(50_000, 5000)),
        ("lognormal", lambda rng: rng.lognormal(10, 1.2, 5000)),
        ("lognormal", lambda rng: rng.lognormal(10, 0.3, 5000)),
        ("normal", lambda rng: stats.truncnorm(-1, math.inf, 3e4, 3e4).rvs(5000, random_state=rng)),
        ("uniform", lambda rng: rng.uniform(10_000, 90_000, 5000)),
        ("lognormal", lambda rng: rng.uniform(1, 90_000, 20)),
    ],
)
def test_the_closest_distribution_is_taken(tmp_path: Path, kind: str, draw: Any) -> None:
    amounts = np.ceil(draw(np.random.default_rng(7))).astype(np.int64)
    path = tmp_path / "amounts.csv"
    rows = [f"{index % 50},{index % 48},A,B,{amount}" for index, amount in enumerate(amounts)]
    path.write_text("day,tick,sender,receiver,amount\n" + "\n".join(rows), "utf-8")
    found = calibrate(path)["agents"][0]["arrival_config"]
    assert found["distribution_type"] == kind
    assert found["amount_mean"] == round(amounts.mean())
    assert found.get("amount_std_dev") == (None if kind == "exponential" else round(amounts.std()))


def test_uniform_amounts_without_a_deviation_are_found_again(tmp_path: Path) -> None:
    # The deviation is the maximum of a uniform distribution, so half of all samples exceed it.
    demand = {"rate_per_tick": 0.5, "distribution_type": "uniform", "amount_mean": 40_000_00}
    banks = [{"id": f"B{bank}", "balance": 10**12, "arrival_config": demand} for bank in range(10)]
    path = write(tmp_path / "uniform.csv", {"ticks_per_day": TICKS, "agents": banks}, seed=5)
    found = [bank["arrival_config"] for bank in calibrate(path, ticks_per_day=TICKS)["agents"]]
    assert [fit["distribution_type"] for fit in found] == ["uniform"] * 10
    widest = [math.floor((fit["amount_mean"] - 1) / math.sqrt(3)) for fit in found]
    deviations = [fit["amount_std_dev"] for fit in found]
    assert all(deviation <= most for deviation, most in zip(deviations, widest, strict=True))
    assert 0 < sum(deviation == most for deviation, most in zip(deviations, widest, strict=True)) < 10


def test_deadlines_that_the_day_cuts_off_are_censored() -> None:
    rng = np.random.default_rng(3)
    ticks, spans = rng.integers(0, 48, 20_000), rng.integers(6, 31, 20_000)
    deadlines = np.minimum(ticks + spans, 47)
    # A third are capped, so the short spans of the afternoon do not mean that long ones are rare.
    assert _deadline_range(ticks, deadlines, 47) == [6, 30]
    is_capped = deadlines == 47
    seen = stats.CensoredData(
        uncensored=(deadlines - ticks)[~is_capped], right=(deadlines - ticks)[is_capped]
    )
    ours = [_quantile(deadlines - ticks, is_capped, share) for share in (0.05, 0.5, 0.95)]
    theirs = stats.ecdf(seen).cdf
    assert ours == [
        theirs.quantiles[np.searchsorted(theirs.probabilities, share)] for share in (0.05, 0.5, 0.95)
    ]


def test_hours_are_those_around_the_times(tmp_path: Path) -> None:
    path = tmp_path / "times.csv"
    header = "day,time,sender,receiver,amount,deadline\n"
    path.write_text(header + "2024-03-01,08:10,A,B,5,\n2024-03-01,16:59:59,B,A,7,18:00\n", "utf-8")
    fitted = calibrate(path, ticks_per_day=40)
    assert "08:00 to 18:00" in fitted["description"]
    assert len(fitted["agents"][0]["arrival_config"]["time_windows"]) == 10
    given = calibrate(path, ticks_per_day=40, opening_time="06:00", closing_time="20:00", windows=1)
    assert "06:00 to 20:00" in given["description"]
    assert "time_windows" not in given["agents"][0]["arrival_config"]


@pytest.mark.parametrize("windows", [0, 49])
def test_wrong_windows_are_refused(payments_file: Path, windows: int) -> None:
    with pytest.raises(ScenarioError, match=f"windows = {windows}: must be an integer between 1 and 48"):
        calibrate(payments_file, windows=windows)


def test_what_no_scenario_can_hold_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "huge.csv"
    rows = ["1,0,A,B,1000000000000000"] * 3
    path.write_text("day,tick,sender,receiver,amount\n" + "\n".join(rows), "utf-8")
    with pytest.raises(
        ScenarioError, match=r"huge\.csv: the calibrated scenario is invalid: agents\[0\]\.balance"
    ):
        calibrate(path)


def test_yaml_is_as_short_as_a_person_would_write(fitted: dict[str, Any]) -> None:
    assert yaml.safe_load(calibrated_yaml(fitted)) == fitted
    assert max(map(len, calibrated_yaml(fitted).splitlines())) <= 120


@pytest.mark.parametrize("ticks_per_day", [12, 48, 192])
def test_a_day_costs_what_it_does_in_the_scenario_whose_prices_are_used(
    tmp_path: Path, ticks_per_day: int
) -> None:
    path = tmp_path / "one.csv"
    path.write_text("day,tick,sender,receiver,amount\n0,0,A,B,1000", "utf-8")
    model = load_scenario("two_bank")
    scenario = load_scenario(calibrate(path, ticks_per_day=ticks_per_day))
    ours, theirs = scenario.costs.model_dump(), model.costs.model_dump()
    for name in ("overdraft_rate", "delay_rate", "delay_penalty_per_tick"):
        assert theirs[name] > 0
        a_day = theirs.pop(name) * model.ticks_per_day
        assert ours.pop(name) * ticks_per_day == pytest.approx(a_day, rel=1e-5), name
    assert ours == theirs
    assert (scenario.rails, scenario.end_of_day) == (model.rails, model.end_of_day)


def amounts_file(path: Path, amounts: NDArray[np.int64]) -> Path:
    rows = [f"{index % 3},{index % 48},A,B,{amount}" for index, amount in enumerate(amounts)]
    path.write_text("day,tick,sender,receiver,amount\n" + "\n".join(rows), "utf-8")
    return path


@pytest.mark.parametrize(("count", "kind"), [(29, "lognormal"), (30, "uniform")])
def test_the_distribution_of_fewer_than_30_amounts_is_not_chosen(
    tmp_path: Path, count: int, kind: str
) -> None:
    amounts = np.linspace(10_000, 90_000, count).astype(np.int64)
    fitted = calibrate(amounts_file(tmp_path / "few.csv", amounts))
    assert fitted["agents"][0]["arrival_config"]["distribution_type"] == kind


@pytest.mark.parametrize(("ticks_per_day", "windows"), [(5, 5), (12, 12), (96, 12)])
def test_a_file_of_ticks_has_twelve_windows_if_a_day_has_as_many_ticks(
    tmp_path: Path, ticks_per_day: int, windows: int
) -> None:
    path = tmp_path / "ticks.csv"
    path.write_text("day,tick,sender,receiver,amount\n1,0,A,B,5\n4,4,A,B,7\n4,4,A,B,9", "utf-8")
    fitted = calibrate(path, ticks_per_day=ticks_per_day)
    config = fitted["agents"][0]["arrival_config"]
    found = config["time_windows"]
    assert len(found) == windows
    assert (found[0]["start_tick"], found[-1]["end_tick"]) == (0, ticks_per_day)
    assert [window["end_tick"] for window in found[:-1]] == [window["start_tick"] for window in found[1:]]
    payments = [
        config["rate_per_tick"] * window["multiplier"] * (window["end_tick"] - window["start_tick"])
        for window in found
    ]
    assert sum(payments) == pytest.approx(3 / 2, rel=1e-4)
    assert config["rate_per_tick"] == float(f"{3 / 2 / ticks_per_day:.6g}")
    assert "3 payments between 2 banks on 2 days (1 to 4)." in fitted["description"]


def test_shares_by_hand(tmp_path: Path) -> None:
    """Shares have six digits; payments are divisible if at least half are."""
    path = tmp_path / "shares.csv"
    rows = [
        "A,B,5,2,1",
        "A,B,5,2,0",
        "A,C,5,8,1",
        "B,A,9,5,0",
        "B,C,9,5,1",
        "C,A,7,1,0",
        "C,A,7,1,0",
        "C,A,7,1,1",
    ]
    path.write_text(
        "day,tick,sender,receiver,amount,priority,divisible\n"
        + "\n".join(f"0,{tick},{row}" for tick, row in enumerate(rows)),
        "utf-8",
    )
    found = {agent["id"]: agent["arrival_config"] for agent in calibrate(path)["agents"]}
    assert found["A"]["counterparty_weights"] == {"B": 0.666667, "C": 0.333333}
    assert found["A"]["priority"] == {2: 0.666667, 8: 0.333333}
    assert [found[bank]["divisible"] for bank in "ABC"] == [True, True, False]
    assert [found[bank]["priority"] for bank in "BC"] == [5, 1]


def test_deadlines_reach_a_little_beyond_their_5th_and_95th_percentile() -> None:
    """The range 10 to 28 has a margin of 18/18 ticks on either side."""
    spans = np.concatenate([np.repeat(np.arange(10, 29), 50), [2, 40]])
    assert _deadline_range(np.zeros(len(spans), np.int64), spans, 47) == [9, 29]


@pytest.mark.parametrize(
    ("outflows", "balance", "credit_limit"),
    [((100, 101), 110, 0), ((99, 100), 100, 0), ((1_000, 2_001), 1_600, 410)],
)
def test_money_is_rounded_up_to_two_digits(
    tmp_path: Path, outflows: tuple[int, int], balance: int, credit_limit: int
) -> None:
    path = tmp_path / "outflows.csv"
    rows = [f"{day},0,A,B,{amount}" for day, amount in enumerate(outflows)]
    path.write_text("day,tick,sender,receiver,amount\n" + "\n".join(rows), "utf-8")
    agent = calibrate(path)["agents"][0]
    assert (agent["balance"], agent["credit_limit"]) == (balance, credit_limit)
