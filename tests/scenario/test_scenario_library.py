"""The claims of the bundled scenarios hold on seeds other than the tuning seeds."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from paysim_agents.scripted import ScriptedAgent, scripted
from paysim_agents.tuning import candidate_grid, tune

from paysim_gym import Orchestrator, PaymentVectorEnv, Scenario, load_scenario
from paysim_gym.evaluation import evaluate
from paysim_gym.scenario.loader import bundled_scenarios

TUNING_SEEDS = range(11_000, 11_100)
SEEDS = range(21_000, 21_300)
RELEASE_ALL = {"type": "release_all"}
ALL_OFFSETS = {"entry_offset": True, "bilateral": True, "multilateral": True}
PAGE = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text(encoding="utf-8")

Change = Callable[[dict[str, Any]], None]


def changed(name: str, change: Change) -> Scenario:
    """The scenario with some values replaced."""
    data = json.loads(load_scenario(name).model_dump_json())
    change(data)
    return Scenario.model_validate(data)


def on_rail(name: str, **settings: Any) -> Scenario:
    return changed(name, lambda data: data["rails"][0].update(settings))


def cost(policy: dict[str, Any], scenario: str | Scenario, seeds: range = SEEDS) -> float:
    return float(evaluate(scripted(policy), scenario, seeds).cost.mean())


def tuned_cost(kind: str, scenario: str | Scenario, learner: str = "BANK_A") -> float:
    best, _ = tune(scenario, TUNING_SEEDS, candidate_grid(kind, scenario, learner))
    return cost(best, scenario)


def settled_value(scenario: Scenario, seed: int) -> Counter[str]:
    """Settled cents of a run by mechanism, with all banks on their own policies."""
    run = Orchestrator(scenario.model_copy(update={"seed": seed}), record_events=True)
    values: Counter[str] = Counter()
    while not run.is_over:
        run.tick()
        for event in run.events():
            if event["type"] == "settlement":
                values[event["mechanism"]] += event["amount"]
    return values


@pytest.mark.parametrize("name", bundled_scenarios())
def test_every_scenario_is_on_the_page_with_its_size(name: str) -> None:
    scenario = load_scenario(name)
    rows = re.findall(rf"^\| `{name}` \| (.*?) \|", PAGE, re.MULTILINE)
    size = f"{len(scenario.agents)} banks, {scenario.ticks_per_day} ticks"
    assert rows == [size if scenario.num_days == 1 else f"{size}, {scenario.num_days} days"]


def test_the_page_names_only_what_is_bundled() -> None:
    assert sorted(re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE)) == bundled_scenarios()


@pytest.mark.parametrize("name", bundled_scenarios())
def test_every_scenario_opens_with_what_there_is_to_say(name: str) -> None:
    text = (resources.files("paysim_gym") / "scenarios" / f"{name}.yaml").read_text(encoding="utf-8")
    lines = list(itertools.takewhile(lambda line: line.startswith("#"), text.splitlines()))
    assert max(map(len, lines)) <= 110
    paragraphs = "\n".join(line.removeprefix("#").strip() for line in lines).split("\n\n")
    # The games of Castro et al. share one model; their headers have it instead of a lesson.
    purpose = "The model:" if name.startswith("castro_") else "Teaches "
    for start in (purpose, "Sources of the numbers:", "Known results ("):
        assert sum(paragraph.startswith(start) for paragraph in paragraphs) == 1, start
    for module in re.findall(r"tests/[\w/]+\.py", paragraphs[-1]):
        assert (Path(__file__).parents[2] / module).exists()


@pytest.mark.parametrize("name", bundled_scenarios())
def test_every_scenario_has_a_learner_and_plays(name: str) -> None:
    scenario = load_scenario(name)
    learners = [agent.id for agent in scenario.agents if agent.policy.type == "learner"]
    assert len(learners) == (2 if name.startswith(("castro_", "bech_garratt_")) else 1)
    env = PaymentVectorEnv(1, scenario, learners[0])
    observations, _ = env.reset(seed=0)
    assert env.observation_space.contains(observations)


@pytest.mark.parametrize(
    ("offsets", "share"),
    [
        ({}, 0.0),
        ({"bilateral": True}, 0.179),
        ({"multilateral": True}, 1.0),
        (ALL_OFFSETS, 1.0),
    ],
)
def test_gridlock_is_resolved_by_multilateral_offsetting(offsets: dict[str, bool], share: float) -> None:
    values = settled_value(on_rail("gridlock", lsm=offsets), seed=0)
    assert values.total() == 89_600_000_000
    assert 1 - values["close"] / values.total() == pytest.approx(share, abs=0.0005)


def gridlock_costs(plans: NDArray[np.int64]) -> NDArray[np.int64]:
    """BANK_A's costs in cents by plan, the release tick of each payment."""
    scenario = load_scenario("gridlock")
    own = [payment for payment in scenario.initial_transactions if payment.sender == "BANK_A"]
    env = PaymentVectorEnv(len(plans), scenario, strict=True, split_parts=[], autoreset_mode="Disabled")
    env.reset(seed=0)
    for tick in range(scenario.ticks_per_day):
        actions = np.zeros((len(plans), env.settings.slots), np.int64)
        for row, plan in enumerate(plans):
            queued = [i for i, payment in enumerate(own) if payment.arrival_tick <= tick <= plan[i]]
            queued.sort(key=lambda i: -own[i].priority)
            actions[row, : len(queued)] = [plan[i] == tick for i in queued]
        *_, infos = env.step(actions)
    costs: NDArray[np.int64] = infos["episode_cost"]
    return costs


def test_holding_the_large_payment_until_the_urgent_one_has_gone_is_best_in_gridlock() -> None:
    plan = np.repeat([1, 7, 13, 19], 2)
    others = []
    for ring, (large, urgent) in itertools.product(range(4), itertools.product(range(6), range(1, 6))):
        other = plan.copy()
        other[2 * ring : 2 * ring + 2] = 6 * ring + np.array([large, urgent])
        others.append(other)
    assert gridlock_costs(plan[None]).tolist() == [236_400]
    assert gridlock_costs(np.array(others)).min() == 236_400


def test_no_scripted_rule_is_best_in_gridlock() -> None:
    held, _ = tune("gridlock", [0], candidate_grid("hold_until_deadline", "gridlock", "BANK_A"))
    costs = [cost(policy, "gridlock") for policy in (RELEASE_ALL, held)]
    assert costs == [428_400, 276_400]


def test_a_reserve_pays_in_a_liquidity_squeeze() -> None:
    best = tuned_cost("liquidity_aware", "liquidity_squeeze")
    assert cost(RELEASE_ALL, "liquidity_squeeze") > 2.0 * best
    assert cost({"type": "liquidity_aware"}, "liquidity_squeeze") > 1.2 * best
    calm = changed("liquidity_squeeze", lambda data: data.update(events=[]))
    assert cost(RELEASE_ALL, calm) < 1.2 * tuned_cost("liquidity_aware", calm)


@pytest.mark.parametrize("event", range(4))
def test_every_event_adds_to_the_squeeze(event: int) -> None:
    milder = changed("liquidity_squeeze", lambda data: data["events"].pop(event))
    assert cost(RELEASE_ALL, milder) < 0.9 * cost(RELEASE_ALL, "liquidity_squeeze")


class ReserveUntil:
    """Holds a reserve until a tick."""

    def __init__(self, env: PaymentVectorEnv, reserve_cents: int, tick: int) -> None:
        self._keeping = ScriptedAgent(env, {"type": "liquidity_aware", "buffer": reserve_cents})
        self._spending = ScriptedAgent(env, {"type": "liquidity_aware"})
        self._ticks_left = tick

    def predict(self, observation: Any, *args: Any, **kwargs: Any) -> Any:
        self._ticks_left -= 1
        agent = self._keeping if self._ticks_left >= 0 else self._spending
        return agent.predict(observation)


def test_a_reserve_for_the_squeeze_alone_beats_every_constant_one() -> None:
    timed = evaluate(lambda env: ReserveUntil(env, 2_700_000_000, 21), "liquidity_squeeze", SEEDS)
    assert timed.cost.mean() < 0.6 * tuned_cost("liquidity_aware", "liquidity_squeeze")


def outage(limited: str = "", happens: bool = True) -> Scenario:
    """The outage scenario with limits of these banks, or without the outage."""

    def change(data: dict[str, Any]) -> None:
        for agent in data["agents"]:
            if agent["id"][-1] in limited:
                agent["limits"] = {"bilateral": {"BANK_L": 500_000_000}}
        if not happens:
            data["events"] = [event for event in data["events"] if event["type"] != "outage"]

    return changed("participant_outage", change)


@pytest.mark.parametrize(("happens", "multiple"), [(True, 4.6), (False, 2.0)])
def test_money_piles_up_at_the_stricken_bank(happens: bool, multiple: float) -> None:
    peaks = []
    for seed in range(40):
        run = Orchestrator(outage(happens=happens).model_copy(update={"seed": seed}))
        balances = []
        while not run.is_over:
            run.tick()
            balances.append(run.get_state()["agents"][1]["balance"])
        peaks.append(max(balances) / 2_000_000_000)
    assert np.mean(peaks) == pytest.approx(multiple, abs=0.3)


def test_a_bilateral_limit_pays_in_an_outage_and_not_without() -> None:
    # A few bad days dominate the cost, so means need many seeds.
    unlimited, alone, together, calm, limited_calm = (
        cost(RELEASE_ALL, scenario, range(40_000, 42_000))
        for scenario in (
            outage(),
            outage("A"),
            outage("ABCD"),
            outage(happens=False),
            outage("A", happens=False),
        )
    )
    assert alone < 0.9 * unlimited
    assert together < 0.85 * unlimited
    assert limited_calm > 0.97 * calm
    assert tuned_cost("liquidity_aware", "participant_outage") < 0.6 * unlimited


def test_the_large_network_has_the_size_and_shape_announced() -> None:
    banks = load_scenario("large_network").agents
    paid: dict[str, float] = {}
    received: dict[str, float] = defaultdict(float)
    for agent in banks:
        orders = agent.arrival_config
        assert orders is not None
        assert orders.counterparty_weights is not None
        paid[agent.id] = orders.rate_per_tick
        total = sum(orders.counterparty_weights.values())
        for other, weight in orders.counterparty_weights.items():
            received[other] += orders.rate_per_tick * weight / total
    total_paid = sum(paid.values())
    assert 48 * total_paid == pytest.approx(259, abs=0.5)
    assert [48 * paid["BANK_01"], 48 * paid["BANK_50"]] == pytest.approx([58, 1], abs=0.5)
    assert sum(paid[f"BANK_{n:02}"] for n in range(1, 11)) / total_paid == pytest.approx(0.65, abs=0.005)
    assert [received[bank] for bank in paid] == pytest.approx(list(paid.values()), rel=0.01)


def test_the_large_network_settles_nearly_all() -> None:
    scenario = load_scenario("large_network")
    values: Counter[str] = sum((settled_value(scenario, seed) for seed in range(60)), Counter())
    assert 0.9 < 1 - values["close"] / values.total() < 0.96
    assert sum(values[kind] for kind in ALL_OFFSETS) < 0.01 * values.total()
    assert cost({"type": "hold_until_deadline"}, scenario) > 5 * cost(RELEASE_ALL, scenario)


def test_splitting_pays_while_it_is_cheap() -> None:
    best = tuned_cost("split_large", "splitting_pays")
    assert cost(RELEASE_ALL, "splitting_pays") > 1.15 * best
    assert tuned_cost("liquidity_aware", "splitting_pays") > 1.2 * best
    dear = changed("splitting_pays", lambda data: data["costs"].update(split_fee=50_000))
    for parts in (2, 4):
        assert cost({"type": "split_large", "parts": parts}, dear) > 1.05 * cost(RELEASE_ALL, dear)
    rich = changed("splitting_pays", lambda data: data["agents"][0].update(balance=5_000_000_000))
    assert cost(RELEASE_ALL, rich) < 0.25 * cost(RELEASE_ALL, "splitting_pays")


def test_it_matters_who_goes_first() -> None:
    myopic = {"type": "myopic"}
    by_class = cost(RELEASE_ALL, "priorities_pay")
    assert by_class > 1.15 * cost(myopic, "priorities_pay")
    fifo = on_rail("priorities_pay", queue_discipline="fifo")
    assert cost(RELEASE_ALL, fifo) > 1.4 * by_class
    assert cost(myopic, fifo) == pytest.approx(cost(myopic, "priorities_pay"), rel=0.05)
