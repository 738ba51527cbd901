"""Independent learners of games: states, learning, equilibria and results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import invoke
from paysim_training.studies.games import experiment
from paysim_training.studies.games.equilibria import (
    Equilibrium,
    LearningCurve,
    measure,
    solve,
    try_payment_strategies,
)
from paysim_training.studies.games.independent_learners import Game, Learners, Networks, learn
from paysim_training.studies.games.settings import ALGORITHMS, GAMES, Ppo, Reinforce, settings_of
from torch import Tensor

from paysim_gym import load_scenario

TWO, THREE = "castro_two_period", "castro_three_period"


def _command(*arguments: object) -> Any:
    return invoke("games", *arguments)


def _short(algorithm: str, _game: str) -> Reinforce | Ppo:
    if algorithm == "ppo":
        return Ppo(updates=3, days=4)
    return Reinforce(updates=3, days=4, learning_rate=0.01, hidden=4, baseline=algorithm == "reinforce")


def _without_time(result: dict[str, Any]) -> dict[str, Any]:
    """Results that must not change when the command is repeated."""
    text = json.dumps(result["games"])
    timeless: dict[str, Any] = json.loads(
        text, object_hook=lambda level: {k: v for k, v in level.items() if not k.endswith("_seconds")}
    )
    return timeless


def test_learners_find_the_two_period_equilibrium(tmp_path: Path) -> None:
    out, figure = tmp_path / "two.json", tmp_path / "two.png"
    shown = _command("--out", out, "--figure", figure, "--game", TWO, "--runs", 4, "--seed", 1)
    assert shown.exit_code == 0, shown.output
    assert figure.read_bytes().startswith(b"\x89PNG")
    result = json.loads(out.read_text("utf-8"))
    assert result["seed"] == 1
    assert set(result) >= {"command", "commit", "packages", "wall_seconds", "cpu_seconds"}
    assert list(result["games"]) == [TWO]
    game = result["games"][TWO]
    assert (game["equilibrium"]["x0"], game["equilibrium"]["cost_cents"]) == ([0, 0.2], [0, 200_000])
    assert list(game["algorithms"]) == list(ALGORITHMS)
    for algorithm in ("reinforce", "ppo"):
        found = game["algorithms"][algorithm]
        assert found["runs"] == found["within_one_grid_step"] == found["costs_within_tolerance"] == 4
        for bank, cost in {"A": 0, "B": 200_000}.items():
            assert abs(found["cost_cents"][bank]["mean"] - cost) <= 50_000
            assert abs(found["exploring_cost_cents"][bank]["mean"] - cost) <= 50_000


def test_the_same_seed_writes_the_same_and_another_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment, "settings_of", _short)
    written = []
    for number, seed in enumerate([3, 3, 4]):
        out = tmp_path / f"{number}.json"
        shown = _command("--out", out, "--quick", "--seed", seed, "--game", TWO, "--game", THREE)
        assert shown.exit_code == 0, shown.output
        written.append(_without_time(json.loads(out.read_text("utf-8"))))
    assert written[0] == written[1] != written[2]
    assert [game["algorithms"]["ppo"]["runs"] for game in written[0].values()] == [5, 5]
    alone = tmp_path / "alone.json"
    _command("--out", alone, "--quick", "--seed", 3, "--game", THREE)
    assert _without_time(json.loads(alone.read_text("utf-8")))[THREE] == written[0][THREE]


@pytest.mark.parametrize("target", ["", "missing/games.json"])
def test_a_file_that_cannot_be_written_is_refused_before_the_training(tmp_path: Path, target: str) -> None:
    shown = _command("--out", tmp_path / target)
    assert shown.exit_code == 2
    assert "must be a file in an existing folder" in shown.output


def test_help_teaches() -> None:
    shown = _command("--help")
    assert shown.exit_code == 0
    for word in (
        "equilibrium",
        "--quick",
        "--runs",
        "--seed",
        "--out",
        "paysim games",
    ):
        assert word in shown.output


@pytest.mark.parametrize(
    ("game", "x0", "costs", "tried"),
    [
        ("castro_two_period", [0, 0.2], [0, 200_000], 21),
        ("castro_three_period", [0.2, 0.2], [200_000, 200_000], 21**3),
        ("castro_three_period_indivisible", [0.2, 0.2], [200_000, 200_000], 21**3),
        ("castro_twelve_period", [0.25, 0.15], [250_000, 150_000], 21),
    ],
)
def test_the_games_are_solved(game: str, x0: list[float], costs: list[int], tried: int) -> None:
    summary = solve(load_scenario(game), GAMES[game].decides).summary()
    assert (summary["x0"], summary["cost_cents"]) == (x0, costs)
    assert summary["strategies_tried"] == tried
    assert summary["social_planner_cents"] == sum(costs)
    if tried > 21:
        assert summary["sent"] == [[1, 1], [1, 1]]


def test_a_game_without_one_equilibrium_is_refused() -> None:
    data = json.loads(load_scenario(THREE).model_dump_json())
    data["costs"]["delay_rate"] = 0.05  # half the price of liquidity: less of it and waiting cost the same
    with pytest.raises(ValueError, match=r"the commitments have \d+ equilibria: must be one"):
        solve(load_scenario(data), "both")


@pytest.mark.parametrize("bank", [0, 1])
def test_a_strategy_that_another_beats_is_no_equilibrium(bank: int) -> None:
    shares = np.array([[4, 20, 20], [4, 20, 20]])
    shares[bank, 0] = 5
    with pytest.raises(ValueError, match=f"bank {'AB'[bank]} has a better strategy than"):
        try_payment_strategies(load_scenario(THREE), shares)


def test_nearness_by_hand() -> None:
    equilibrium = Equilibrium(np.array([[4, 20], [2, 20]]), np.array([200, 100]), 21, 300.0, 10_000)
    shares = np.array([[[4, 20], [2, 20]], [[5, 19], [1, 20]], [[4, 18], [2, 20]], [[6, 20], [2, 20]]])
    costs = np.array([[200, 100], [250, 150], [251, 100], [299, 100]])
    found = measure(equilibrium, shares, costs, costs + 0.5)
    assert (found["runs"], found["within_one_grid_step"], found["at_the_equilibrium"]) == (4, 2, 1)
    assert found["costs_within_tolerance"] == 2
    assert found["x0"]["A"]["mean"] == pytest.approx(4.75 / 20)
    assert found["sent"]["A"]["mean"] == pytest.approx((20 + 19 + 18 + 20) / 80)
    assert found["cost_cents"]["system"]["mean"] == (300 + 400 + 351 + 399) / 4
    assert found["exploring_cost_cents"]["B"]["mean"] == 113
    assert found["system_cost_over_social_planner"] == pytest.approx(362.5 / 300)
    assert found["each_run"][1] == {"x0": [0.25, 0.05], "sent": [[0.95], [1]], "cost_cents": [250, 150]}


def test_banks_see_their_own_demand_and_money() -> None:
    """Both commit .20 and send half of what they owe, by hand."""
    seen: list[tuple[int, Tensor]] = []

    def choose(decision: int, states: Tensor) -> Tensor:
        seen.append((decision, states.clone()))
        return torch.full(states.shape[:2], 4 if decision == 0 else 10)

    batches, played = Game(load_scenario(THREE), runs=2, days=3, decides="both").play(choose)
    assert [decision for decision, _ in seen] == [0, 1, 1]
    # Period, new demand, accumulated demand, liquidity; half of .20 goes out and .10 comes in.
    expected = [[0.2, 0.2, 0.0], [1 / 3, 0.2, 0.2, 0.2], [2 / 3, 0.2, 0.3, 0.2]]
    for (_, states), state in zip(seen, expected, strict=True):
        np.testing.assert_allclose(states, np.broadcast_to(state, (4, 3, len(state))), atol=1e-6)
    # .02 for the liquidity, then a fifth of .10 and of .15; .15 of liquidity can pay .15 in the last period.
    assert (played.costs == 200_000 + 200_000 + 300_000).all()
    np.testing.assert_allclose(batches[0].returns, -0.07, atol=1e-6)
    np.testing.assert_allclose(batches[1].returns[:, :3], -0.05, atol=1e-6)
    np.testing.assert_allclose(batches[1].returns[:, 3:], -0.03, atol=1e-6)
    assert played.shares.shape == (2, 3, 2, 3)


def test_every_network_gets_the_reward_of_its_own_bank_and_run() -> None:
    shares = torch.arange(2 * 2 * 3).reshape(4, 3)
    batches, played = Game(load_scenario(TWO), runs=2, days=3, decides="pool").play(lambda *_: shares)
    assert np.array_equal(batches[0].actions, shares)
    for network, day in np.ndindex(4, 3):
        run, bank = divmod(network, 2)
        assert played.shares[run, day, bank].tolist() == [shares[network, day]]
        assert batches[0].returns[network, day] * -1e7 == pytest.approx(played.costs[run, day, bank], abs=1)


def test_the_networks_of_a_stack_are_apart() -> None:
    stack = Networks(3, 4, 5, 2, torch.Generator().manual_seed(0))
    states = torch.rand((3, 6, 4), generator=torch.Generator().manual_seed(1))
    outputs = stack(states)
    for row in range(3):
        hidden = np.tanh(states[row].numpy() @ stack.weights[0][row].detach().numpy())
        np.testing.assert_allclose(
            outputs[row].detach(), hidden @ stack.weights[1][row].detach().numpy(), atol=1e-6
        )
    outputs[1].sum().backward()
    gradient = stack.weights[0].grad
    assert gradient is not None
    assert gradient[1].any()
    assert not gradient[[0, 2]].any()


@pytest.mark.parametrize(
    "settings", [_short("reinforce", TWO), _short("reinforce_published", TWO), Ppo(2, 8)]
)
def test_learning_makes_the_most_expensive_action_less_likely(settings: Reinforce | Ppo) -> None:
    """A bank that commits its whole pool pays a hundred times what it could."""
    generator = torch.Generator().manual_seed(0)
    game = Game(load_scenario(TWO), 20, 64, "pool")
    learners = Learners(game, 8, generator)

    def most_expensive() -> float:
        probs: list[Tensor] = []

        def look(decision: int, states: Tensor) -> Tensor:
            probs.append(learners.actors[decision](states).softmax(2).detach())
            return learners.sample(decision, states)

        game.play(look)
        return float(probs[0][..., 16:].sum(2).mean())

    before = most_expensive()
    for _ in learn(game, learners, settings, generator):
        pass
    assert most_expensive() < before


def test_the_published_settings_are_those_of_the_paper() -> None:
    published = [settings_of("reinforce_published", game) for game in GAMES]
    assert [settings.updates for settings in published] == [50, 200, 200, 100]
    assert {(s.days, s.learning_rate, s.hidden) for s in published} == {(10, 0.1, 21)}


def test_a_learning_curve_has_about_fifty_points_and_the_last() -> None:
    curve = LearningCurve(updates=204)
    for update in range(204):
        shares = np.array([[[[update, 9], [0, 9]], [[update + 2, 9], [4, 9]]]])
        curve.add(update, shares, np.array([[[update, 7], [update + 4, 9]]]))
    updates = [*range(0, 204, 4), 203]
    assert curve.points["update"] == updates
    assert curve.points["x0"] == [[(update + 1) / 20, 0.1] for update in updates]
    assert curve.points["cost_cents"] == [[update + 2, 8] for update in updates]
    short = LearningCurve(updates=3)
    for update in range(3):
        short.add(update, np.zeros((1, 1, 2, 1), np.int64), np.zeros((1, 1, 2), np.int64))
    assert short.points["update"] == [0, 1, 2]


def test_the_summary_of_an_equilibrium_is_in_shares_of_the_pool() -> None:
    equilibrium = Equilibrium(np.array([[4, 20, 15], [2, 10, 0]]), np.array([200, 100]), 21, 300.0, 10_000)
    assert equilibrium.summary() == {
        "x0": [0.2, 0.1],
        "sent": [[1, 0.75], [0.5, 0]],
        "cost_cents": [200, 100],
        "strategies_tried": 21,
        "social_planner_cents": 300.0,
    }
    shares = np.array([[[4], [2]], [[6], [1]], [[5], [3]]])
    costs = np.array([[200, 100], [150, 90], [190, 170]])
    found = measure(
        Equilibrium(shares[0], costs[0], 21, 300.0, 10_000), shares, costs, costs.astype(np.float64)
    )
    assert found["sent"] is None
    assert found["x0"]["A"]["range"] == [0.2, 0.3]
    assert found["cost_cents"]["B"]["range"] == [90, 170]
    assert found["cost_cents"]["system"]["range"] == [240, 360]
    assert found["cost_cents"]["system"]["mean"] == 300
    assert found["exploring_cost_cents"]["system"]["mean"] == 300
