"""A network inside the engine acts exactly as its model does from outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from network_files import against, network_file, parts
from numpy.typing import NDArray
from paysim_training.algorithms.queue_policy import QueuePolicy
from safetensors.numpy import save
from sb3_contrib import MaskablePPO
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.vec_env import VecNormalize

from paysim_gym import Orchestrator, PaymentVectorEnv, _engine, load_scenario
from paysim_gym.envs.export import export_network
from paysim_gym.envs.sb3 import PaymentVecEnv
from paysim_gym.envs.spaces import observation_names

torch.set_num_threads(1)
ROWS = 6
SEEDS = [2**40 + row for row in range(ROWS)]
COLUMNS = list(observation_names(8))
QUEUE = {"slots": 8, "slot_columns": len(observation_names(9)) - len(COLUMNS)}
QUEUE["hidden_size"] = 12
QUEUE["opening_column"] = COLUMNS.index("is_opening")
Predict = Callable[[NDArray[np.float32], NDArray[np.bool_]], NDArray[np.int64]]


@pytest.fixture
def busy(small_scenario: dict[str, Any]) -> dict[str, Any]:
    """Two banks with many decisions; networks play the second."""
    for agent in small_scenario["agents"]:
        pool = {"liquidity_pool": 400_000_00, "liquidity_share": 0.25}
        agent |= {"balance": 0, "credit_limit": 100_000_00} | pool
    costs = small_scenario["costs"] | {"liquidity_rate": 0.0005}
    outage = {"type": "outage", "tick": 5, "every_ticks": 12, "until_tick": 23, "bank": "BANK_B", "ticks": 2}
    return small_scenario | {"num_days": 2, "costs": costs, "events": [outage]}


def trained(
    algorithm: Any,
    scenario: dict[str, Any],
    path: Path,
    is_normalised: bool = False,
    is_of_training: bool = False,
    is_seeing_before: bool = False,
    **settings: Any,
) -> Predict:
    """Train briefly as the second bank and export; return the model's predictor."""
    env = PaymentVectorEnv(4, scenario, "BANK_B", autoreset_mode="SameStep", **settings)
    venv: Any = PaymentVecEnv(env)
    if is_normalised:
        venv = VecNormalize(venv, clip_obs=2.0)
    # A large step makes the actions depend on the whole observation.
    brief: dict[str, Any] = {"learning_starts": 50} if algorithm is DQN else {"n_steps": 64}
    policy: Any = "MlpPolicy"
    if is_of_training:
        policy, brief = QueuePolicy, brief | {"policy_kwargs": {**QUEUE, "sees_before": is_seeing_before}}
    model = algorithm(policy, venv, seed=4, learning_rate=0.02, device="cpu", **brief).learn(256)
    export_network(model, path)

    def predict(observations: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
        seen = venv.normalize_obs(observations) if is_normalised else observations
        legal = {"action_masks": masks} if algorithm is MaskablePPO else {}
        actions, _ = model.predict(seen, deterministic=True, **legal)
        return np.asarray(actions)

    return predict


def fleet(
    scenario: dict[str, Any], learners: list[str], threads: int = 1, rows: int = ROWS, **settings: Any
) -> Any:
    checked = load_scenario(scenario)
    decision = json.dumps({"learners": learners, **settings})
    return _engine.Fleet(checked.model_dump_json(), decision, rows, threads, None, checked.networks)


def days(
    engine: Any, steps: int, predict: Predict | None = None, learns: bool = True
) -> tuple[list[Any], NDArray[np.int64]]:
    """The first bank's results of random play, and the second bank's actions if outside."""
    rng = np.random.default_rng(8)
    rows, count = ROWS, 1 if predict is None else 2
    observations, masks = engine.reset(np.ones(rows, np.bool_), SEEDS)
    told: list[Any] = [(observations[:, 0], masks[:, 0])]
    done = []
    for _ in range(steps):
        actions = np.zeros((rows, count, len(engine.nvec)), np.int64)
        if learns:
            actions[:, 0] = rng.integers(engine.nvec, size=(rows, len(engine.nvec)))
        if predict is not None:
            actions[:, 1] = predict(observations[:, 1], masks[:, 1]).reshape(rows, -1)
            done.append(actions[:, 1])
        observations, rewards, terminated, truncated, costs, masks, illegal = engine.step(actions)
        told.append(
            (
                observations[:, 0],
                rewards[:, 0],
                terminated,
                truncated,
                costs[:, 0],
                masks[:, 0],
                illegal[:, 0],
            )
        )
    told.append([column[:, 0] for _, column in sorted(engine.totals().items())])
    return told, np.array(done)


def figures(told: list[Any]) -> bytes:
    """Totals of the first bank's episodes."""
    return b"".join(column.tobytes() for column in told[-1])


def assert_equal(one: list[Any], other: list[Any]) -> None:
    assert len(one) == len(other)
    for step, (left, right) in enumerate(zip(one, other, strict=True)):
        for place, (a, b) in enumerate(zip(left, right, strict=True)):
            assert a.tobytes() == b.tobytes(), (step, place)


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "slots": (PPO, {}),
    "slots normalised": (PPO, {"is_normalised": True}),
    "few slots": (PPO, {"slots": 3, "split_parts": [7]}),
    "another reward scale": (PPO, {"reward_scale": 1e6}),
    "payments": (A2C, {"decides": "payments"}),
    "pool": (PPO, {"decides": "pool"}),
    "shares of the pool": (PPO, {"pool_shares": 5}),
    "fraction": (DQN, {"action_mode": "fraction"}),
    "fraction normalised": (A2C, {"action_mode": "fraction", "is_normalised": True}),
    "policy of training": (PPO, {"is_of_training": True}),
    "policy of training, sums": (PPO, {"is_of_training": True, "is_seeing_before": True}),
    "masked": (MaskablePPO, {}),
    "masked fraction": (MaskablePPO, {"action_mode": "fraction"}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_network_plays_as_its_model_does_from_outside(
    case: str, tmp_path: Path, busy: dict[str, Any]
) -> None:
    algorithm, given = CASES[case]
    settings = {key: value for key, value in given.items() if not key.startswith("is_")}
    file = tmp_path / "policy.safetensors"
    predict = trained(algorithm, busy, file, **given)
    steps = 24 if settings.get("decides") == "payments" else 26
    outside, done = days(fleet(busy, ["BANK_A", "BANK_B"], **settings), steps, predict)
    inside, _ = days(fleet(against(busy, file), ["BANK_A"], threads=2, **settings), steps)
    assert outside[-2][2].all()
    assert_equal(outside, inside)
    assert len(np.unique(done)) > 1
    other, _ = days(fleet(busy, ["BANK_A"], **settings), steps)
    assert figures(other) != figures(inside)


def test_the_simulator_plays_what_a_model_plays(tmp_path: Path, busy: dict[str, Any]) -> None:
    file = tmp_path / "policy.safetensors"
    predict = trained(PPO, busy, file)
    scenario = busy | {"seed": SEEDS[0]}
    engine = fleet(scenario, ["BANK_B"])
    observations, masks = engine.reset(np.ones(ROWS, np.bool_), [SEEDS[0]] * ROWS)
    for _ in range(26):
        observations, *_, masks, _ = engine.step(predict(observations[:, 0], masks[:, 0])[:, None])
    run = Orchestrator(against(scenario, file))
    while not run.is_over:
        run.tick()
    bank = run.get_state()["agents"][1]
    totals = {name: int(column[0, 0]) for name, column in engine.totals().items() if name.startswith("cost_")}
    assert {f"cost_{name}": cents for name, cents in bank["costs"].items()} == totals
    assert sum(totals.values()) > 0


def test_a_network_sees_the_same_whoever_else_takes_the_opening(tmp_path: Path, busy: dict[str, Any]) -> None:
    file = network_file(tmp_path / "policy.safetensors", {"pool_shares": 4})
    engines = [
        fleet(against(busy, file), ["BANK_A"], decides=decides, pool_shares=4)
        for decides in ("payments", "both")
    ]
    seen = []
    for engine in engines:
        observations, _ = engine.reset(np.ones(ROWS, np.bool_), SEEDS)
        is_opening = COLUMNS.index("is_opening")
        ticks: list[Any] = []
        while len(ticks) < 24:
            actions = np.zeros((ROWS, 1, len(engine.nvec)), np.int64)
            if observations[0, 0, is_opening]:
                actions[:, :, -1] = 1  # a third of the pool
            else:
                ticks.append(observations)
            observations = engine.step(actions)[0]
        seen.append(np.array(ticks))
    own = busy["agents"][0] | {"liquidity_share": 1 / 3}
    exact = fleet(against(busy | {"agents": [own, busy["agents"][1]]}, file), ["BANK_A"], decides="payments")
    observations, _ = exact.reset(np.ones(ROWS, np.bool_), SEEDS)
    ticks = []
    for _ in range(24):
        ticks.append(observations)
        observations = exact.step(np.zeros((ROWS, 1, len(exact.nvec)), np.int64))[0]
    assert np.array(ticks).tobytes() == seen[1].tobytes()
    assert seen[0].tobytes() != seen[1].tobytes()


def test_a_network_takes_its_seat_whatever_the_learner_is(tmp_path: Path, busy: dict[str, Any]) -> None:
    file = network_file(tmp_path / "policy.safetensors", {"slots": 2, "split_parts": []})
    for settings in ({"action_mode": "fraction"}, {"slots": 5}, {"decides": "pool"}):
        told, _ = days(fleet(against(busy, file), ["BANK_A"], **settings), 26)
        other, _ = days(fleet(busy, ["BANK_A"], **settings), 26)
        assert figures(told) != figures(other)


def test_a_learner_leaves_to_its_own_network_what_it_does_not_decide(
    tmp_path: Path, busy: dict[str, Any]
) -> None:
    tensors, metadata = parts({"pool_shares": 4})
    tensors["layer.1.bias"][:4] = [0, 0, 90, 0]  # its first payment in two parts
    tensors["layer.1.bias"][-4:] = [0, 0, 90, 0]  # two thirds of the pool
    file = tmp_path / "policy.safetensors"
    file.write_bytes(save(tensors, metadata))
    committed, split_count = [], []
    for decides, steps in (("payments", 24), ("pool", 26)):
        engine = fleet(against(busy, file), ["BANK_B"], decides=decides)
        days(engine, steps, learns=False)
        totals = engine.totals()
        committed.append(totals["cost_liquidity"][0, 0])
        split_count.append(totals["split_count"][0, 0] > 0)
    # The learner does nothing: the other bank's network commits two thirds twice, or splits.
    assert committed == [2 * 400_000_00 * 2 // 3 * 5 // 10_000, 0]
    assert split_count == [False, True]


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_saved_state_goes_on_with_the_same_network_only(
    deterministic: bool, tmp_path: Path, busy: dict[str, Any]
) -> None:
    file = network_file(tmp_path / "a.safetensors")
    copied = tmp_path / "copy.safetensors"
    copied.write_bytes(file.read_bytes())
    other = network_file(tmp_path / "b.safetensors", seed=1)
    runs = [Orchestrator(against(busy, each, deterministic=deterministic)) for each in (file, copied, other)]
    for _ in range(7):
        runs[0].tick()
    state = runs[0].save_state()
    runs[1].restore_state(state)
    with pytest.raises(ValueError, match="saved in another scenario"):
        runs[2].restore_state(state)
    while not runs[0].is_over:
        assert runs[0].tick() == runs[1].tick()
    assert runs[0].get_state() == runs[1].get_state()
    assert runs[0].save_state() == runs[1].save_state()


def test_drawn_actions_are_the_same_for_the_same_seed_and_others_for_another(
    tmp_path: Path, busy: dict[str, Any]
) -> None:
    file = network_file(tmp_path / "policy.safetensors")
    drawn, again, best = (
        days(fleet(against(busy, file, deterministic=deterministic), ["BANK_A"]), 26)[0]
        for deterministic in (False, False, True)
    )
    assert_equal(drawn, again)
    assert figures(drawn) != figures(best)


@pytest.mark.parametrize("deterministic", [True, False])
def test_thousands_of_rows_on_any_threads_play_what_each_plays_alone(
    deterministic: bool, tmp_path: Path, busy: dict[str, Any]
) -> None:
    file = network_file(tmp_path / "policy.safetensors", hidden=(16,))
    scenario = against(busy, file, deterministic=deterministic)
    rows, chosen = 3000, [0, 1, 1777, 2999]
    results = []
    for lanes, threads in ((list(range(rows)), 1), (list(range(rows)), 5), (chosen, 1)):
        engine = fleet(scenario, ["BANK_A"], threads, len(lanes))
        engine.reset(np.ones(len(lanes), np.bool_), lanes)
        played = [engine.step(np.ones((len(lanes), 1, len(engine.nvec)), np.int64)) for _ in range(26)]
        results.append(
            [np.concatenate([part.reshape(len(lanes), -1) for part in step], axis=1) for step in played]
        )
    one, five, few = map(np.array, results)
    assert one.tobytes() == five.tobytes()
    assert one[:, chosen].tobytes() == few.tobytes()
