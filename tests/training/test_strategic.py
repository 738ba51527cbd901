"""Joint training: rows and models, frozen networks, exploitability, and the command."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from command import Invocation, invoke
from gymnasium.spaces import MultiDiscrete
from paysim_training.algorithms.ppo import make_model
from paysim_training.core.config import TRAINING_SEEDS_END, TrainConfig, parse_config
from paysim_training.core.run_folder import RunFolder, RunFolderError, folder_lock
from paysim_training.studies.strategic import report as strategic_report
from paysim_training.studies.strategic.joint_training import (
    LearnedProfile,
    collect_rollouts,
    make_shared_env,
    train_jointly,
    with_learners,
)
from paysim_training.studies.strategic.learner_envs import SharedVecEnv
from paysim_training.studies.strategic.profiles import (
    RULES,
    play,
    summarise_profile,
    system_cost,
    with_policies,
)
from stable_baselines3 import PPO

from paysim_gym import PaymentVectorEnv, load_scenario
from paysim_gym.envs.sb3 import PaymentVecEnv

BANKS = ["CORE_A", "CORE_B", "SMALL_C", "SMALL_D", "SMALL_E"]
RESULTS = Path(__file__).parents[2] / "docs" / "strategic.json"
DAYS = range(2**42, 2**42 + 6)
TINY: dict[str, Any] = {
    "env": {"id": "PaySim/FiveBank-v1"},
    "num_envs": 2,
    "torch_threads": 1,
    "timesteps": 4 * 48,
    "checkpoint_every": 2 * 48,
    "ppo": {
        "steps_per_rollout": 48,
        "batch_size": 48,
        "epochs": 1,
        "learning_rate": 0.02,
        "entropy_coefficient": 0.01,
        "rows_per_seed": 2,
        "slot_hidden_size": 4,
        "critic_layers": [4],
    },
    "evaluation": {"first_seed": DAYS.start, "episodes": len(DAYS)},
    "tuning": {"first_seed": 2**41, "episodes": 2},
}


def _config(**changes: Any) -> TrainConfig:
    config = parse_config({**TINY, **changes})
    env = config.env.model_copy(update={"kwargs": {"scenario": "five_bank"}})
    return config.model_copy(update={"env": env})


def _shared_env(systems: int, banks: list[str]) -> SharedVecEnv:
    env = PaymentVectorEnv(systems * len(banks), "five_bank", banks, autoreset_mode="SameStep")
    return SharedVecEnv(PaymentVecEnv(env))


def _command(*arguments: object) -> Invocation:
    return invoke("strategic", *arguments)


def _study(folder: Path, out: str, *arguments: object, **changes: Any) -> dict[str, Any]:
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump({**TINY, **changes}))
    shown = _command("--out", folder / out, "--config", file, *arguments)
    assert shown.exit_code == 0, shown.output
    results: dict[str, Any] = json.loads((folder / out / "results.json").read_text("utf-8"))
    return results


def _measured(results: dict[str, Any]) -> dict[str, Any]:
    """Results that must not change when the study is repeated."""
    text = json.dumps(results["profiles"])
    measured: dict[str, Any] = json.loads(
        text, object_hook=lambda level: {k: v for k, v in level.items() if k != "cpu_seconds"}
    )
    return measured


def _assert_page(folder: Path, results: dict[str, Any]) -> None:
    page = folder / "page.md"
    shown = _command("--results", folder / "one" / "results.json", "--page", page)
    assert shown.exit_code == 0, shown.output
    text = page.read_text("utf-8")
    assert results["command"] in text
    assert [text.count(f"| `{bank}` |") for bank in BANKS] == [3, 3, 6, 3, 3]
    system = results["profiles"]["shared"]["system"]["cost_cents"]["mean"]
    assert f"| all learn, one network | all | {system / 100:,.0f} [" in text


def _watch_seeds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds of all training days, filled while training runs."""
    seeds: list[int] = []
    seed_rows = PaymentVecEnv.seed

    def watched(env: PaymentVecEnv, seed: int | None = None) -> Any:
        given = seed_rows(env, seed)
        seeds.extend(row_seed for row_seed in given if row_seed is not None)
        return given

    monkeypatch.setattr(PaymentVecEnv, "seed", watched)
    return seeds


def _trained(out: Path) -> dict[str, bytes]:
    """Files that must be equal byte for byte when trainings are repeated."""
    kinds = {".zip", ".safetensors"}
    files = {str(file.relative_to(out)): file for file in out.rglob("*") if file.suffix in kinds}
    assert {"shared/all/model.zip", "responses/shared/SMALL_C/model.zip"} <= files.keys()
    return {name: file.read_bytes() for name, file in files.items()}


def _assert_responses(out: Path) -> None:
    """Each response has its own profile, seed and initial network."""
    seeds = [yaml.safe_load((out / "shared" / "config.yaml").read_text("utf-8"))["seed"]]
    for name, kind in [*((rule, rule) for rule in RULES), ("shared", "network")]:
        run = RunFolder(out / "responses" / name / "SMALL_C")
        assert [agent.policy.type for agent in run.scenario().agents] == [kind] * 5
        assert run.config().env.kwargs["learner"] == "SMALL_C"
        seeds.append(run.config().seed)
        start = run.checkpoints / "000000000000" / "model.zip"
        assert start.is_file() == (kind == "network")
    assert start.read_bytes() == (out / "shared" / "all" / "model.zip").read_bytes()
    assert len(set(seeds)) == 4


def _interrupted_study(
    folder: Path, out: str, monkeypatch: pytest.MonkeyPatch, *arguments: object
) -> dict[str, Any]:
    """Interrupted during saving, after a response's first checkpoint, and before freezing."""
    save = RunFolder.save_checkpoint

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    def save_and_stop(run: RunFolder, timesteps: int, files: Any) -> None:
        save(run, timesteps, files)
        stop()

    response = folder / out / "responses" / "release_all" / "SMALL_C"
    for target, stopping, left in (
        ("paysim_training.studies.strategic.joint_training.model_files", stop, None),
        ("paysim_training.core.run_folder.RunFolder.save_checkpoint", save_and_stop, "shared/config.yaml"),
        ("paysim_training.algorithms.ppo.export_policy", stop, "responses/release_all/SMALL_C/model.zip"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(target, stopping)
            stopped = _command("--out", folder / out, "--config", folder / "tiny.yaml", *arguments)
        assert (stopped.exit_code, "Give the same command again" in stopped.output) == (130, True)
        assert not list((folder / out).glob(".*.tmp"))
        if left is None:
            (folder / out / ".shared.1.tmp").mkdir()  # as a killed process leaves it
        else:
            assert list((folder / out).glob(left))
        assert not (folder / out / "results.json").exists()
        assert (folder / out / "shared").exists() == (stopping != stop or response.exists())
    results = _study(folder, out, *arguments)
    assert not [path for path in (folder / out).rglob("*") if path.name.startswith(".")]
    return results


def test_learner_envs_have_the_rows_of_their_banks_in_the_shared_fleet() -> None:
    alone = PaymentVecEnv(PaymentVectorEnv(6, "five_bank", BANKS[:3], autoreset_mode="SameStep"))
    alone.seed(7)
    shared = _shared_env(2, BANKS[:3])
    shared.reset_rows(7)
    pair, single = shared.learner_env(["SMALL_C", "CORE_A"]), shared.learner_env(["CORE_B"])
    assert (pair.rows.tolist(), single.rows.tolist()) == ([0, 2, 3, 5], [1, 4])
    expected = alone.reset()
    np.testing.assert_array_equal(pair.reset(), expected[pair.rows])
    assert isinstance(alone.action_space, MultiDiscrete)
    rng = np.random.default_rng(0)
    for _ in range(50):  # beyond the end of the day
        actions = rng.integers(alone.action_space.nvec, size=(6, 8))
        alone.step_async(actions)
        whole = alone.step_wait()
        single.step_async(actions[single.rows])
        pair.step_async(actions[pair.rows])
        for env in (pair, single):
            for part, all_rows in zip(env.step_wait()[:3], whole[:3], strict=True):
                np.testing.assert_array_equal(part, all_rows[env.rows])
        assert [bool(info) for info in shared.infos] == whole[2].tolist()
        np.testing.assert_array_equal(single.reset(), whole[0][single.rows])


def test_a_shared_fleet_waits_for_every_model() -> None:
    shared = _shared_env(1, BANKS[:2])
    first, second = shared.learner_env(["CORE_A"]), shared.learner_env(["CORE_B"])
    first.step_async(np.zeros((1, 8), np.int64))
    with pytest.raises(RuntimeError, match=r"rows \[1\] have no actions"):
        first.step_wait()
    second.step_async(np.zeros((1, 8), np.int64))
    first.step_wait()
    first.step_async(np.ones((1, 8), np.int64))
    second.step_wait()  # what its own tick did, though another has decided about the next one
    with pytest.raises(RuntimeError, match=r"rows \[1\] have no actions"):
        first.step_wait()
    with pytest.raises(ValueError, match="must be one or several of CORE_A, CORE_B"):
        shared.learner_env(["SMALL_C"])


def test_each_model_gets_the_actions_and_rewards_of_its_own_bank() -> None:
    config, shared = _config(), _shared_env(2, BANKS)
    shared.reset_rows(11)
    models = [
        make_model(config.model_copy(update={"seed": i}), shared.learner_env([BANKS[i]])) for i in range(5)
    ]
    for model in models:
        model._setup_learn(96)
        normaliser = model.get_vec_normalize_env()
        assert normaliser is not None
        normaliser.norm_reward = False
    ended = collect_rollouts(models, shared)
    assert [costs.shape for costs in ended] == [(10,)]
    again = PaymentVecEnv(PaymentVectorEnv(10, "five_bank", BANKS, autoreset_mode="SameStep"))
    again.seed(11)
    observations = again.reset()
    for step in range(48):
        for index, model in enumerate(models):
            np.testing.assert_array_equal(model.rollout_buffer.observations[step], observations[index::5])
        actions = np.stack([model.rollout_buffer.actions[step] for model in models], axis=1)
        again.step_async(actions.reshape(10, -1).astype(np.int64))
        observations, rewards, _, infos = again.step_wait()
        for index, model in enumerate(models):
            np.testing.assert_array_equal(model.rollout_buffer.rewards[step], rewards[index::5])
    assert ended[0].tolist() == [info["episode_cost"] for info in infos]
    assert len({costs for costs in ended[0].tolist()}) == 10
    assert [model.num_timesteps for model in models] == [96] * 5
    for model in models:
        starts = [*model.rollout_buffer.episode_starts, model._last_episode_starts]
        assert [bool(rows.all()) for rows in starts] == [True, *[False] * 47, True]


@pytest.mark.parametrize("groups", [[BANKS], [[bank] for bank in BANKS]])
def test_each_bank_is_compared_with_itself_in_systems_of_the_same_days(groups: list[list[str]]) -> None:
    config = _config(num_envs=4)
    shared = make_shared_env(config, load_scenario("five_bank"), BANKS)
    shared.reset_rows(11)
    np.testing.assert_array_equal(shared.observations[:5], shared.observations[5:10])
    assert not np.array_equal(shared.observations[:5], shared.observations[10:15])
    models = [make_model(with_learners(config, group), shared.learner_env(group)) for group in groups]
    for model in models:
        model._setup_learn(4 * 48)
    collect_rollouts(models, shared)
    for model, group in zip(models, groups, strict=True):
        advantages = model.rollout_buffer.advantages.reshape(48, 2, 2, len(group))
        np.testing.assert_allclose(advantages.sum(axis=2), 0, atol=1e-4)
        assert (np.abs(advantages).max(axis=(0, 1, 2)) > 0).all()


@pytest.mark.parametrize("kind", ["shared", "independent"])
def test_frozen_networks_do_what_their_models_do(tmp_path: Path, kind: Any) -> None:
    config, scenario = _config(num_envs=4, timesteps=4 * 48 * 4), load_scenario("five_bank")
    profile, seen = LearnedProfile(tmp_path / kind, kind), []
    train_jointly(profile, config, scenario, lambda ticks, costs: seen.append((ticks, list(costs))))
    assert seen == [(192 * number, BANKS) for number in range(1, 5)]
    policies = {bank: profile.policy(bank) for bank in BANKS}
    assert len({policy["weights"] for policy in policies.values()}) == (1 if kind == "shared" else 5)
    models = {}
    for bank in BANKS:
        (tmp_path / "model.zip").write_bytes(profile.model_files(bank)["model.zip"])
        models[bank] = model = PPO.load(tmp_path / "model.zip", device="cpu")
        # It learned from each of its four rollouts, and the schedules came to their ends.
        assert (model._n_updates, model.num_timesteps) == (4, 0)
        assert (model.ent_coef, model._current_progress_remaining) == (0, 0)
    env = PaymentVectorEnv(len(DAYS) * 5, scenario, BANKS, autoreset_mode="Disabled")
    observations, infos = env.reset(seed=np.repeat(DAYS, 5).tolist())
    while "episode_cost" not in infos:
        actions = np.zeros(env.action_space.shape or (), np.int64)
        for index, bank in enumerate(BANKS):
            actions[index::5] = models[bank].predict(observations[index::5], deterministic=True)[0]
        observations, _, _, _, infos = env.step(actions)
    frozen = play(scenario, policies, DAYS)
    for column in ("cost", "settlement_rate", "mean_delay", "split_count"):
        outside = infos[f"episode_{column}"].reshape(-1, 5).T
        inside = [getattr(frozen[bank], column) for bank in BANKS]
        np.testing.assert_array_equal(outside, inside)
    assert np.ptp(system_cost(frozen)) > 0
    assert profile.is_trained(config)
    with pytest.raises(RunFolderError, match="is of another configuration"):
        profile.is_trained(config.model_copy(update={"seed": 5}))


def test_rules_play_inside_the_engine_as_an_environment_plays_them() -> None:
    scenario, rule = load_scenario("five_bank"), {"type": "release_all"}
    tables = play(scenario, dict.fromkeys(BANKS, rule), DAYS)
    env = PaymentVectorEnv(
        len(DAYS), with_policies(scenario, dict.fromkeys(BANKS, rule)), "CORE_B", autoreset_mode="Disabled"
    )
    _, infos = env.reset(seed=list(DAYS))
    while "episode_cost" not in infos:
        *_, infos = env.step(env.scripted_actions(rule))
    np.testing.assert_array_equal(tables["CORE_B"].cost, infos["episode_cost"])
    with pytest.raises(ValueError, match="policies are those of"):
        play(scenario, {"CORE_A": rule}, DAYS)
    with pytest.raises(ValueError, match="bank = 'NOBODY': must be one of"):
        with_policies(scenario, {"NOBODY": rule})


def _early_or_late() -> dict[str, Any]:
    """Each bank owes the other 100,000.00, A one tick earlier than B.

    If A pays at once, it overdraws for one tick, at a hundredth: 1,000.00. If it waits for B's payment, it
    pays 10.00.
    """
    amount = 100_000_00
    payments = [
        {"sender": "A", "receiver": "B", "amount": amount, "arrival_tick": 0, "deadline_tick": 1},
        {"sender": "B", "receiver": "A", "amount": amount, "arrival_tick": 1, "deadline_tick": 1},
    ]
    bank = {"balance": 0, "credit_limit": amount}
    return {
        "ticks_per_day": 2,
        "agents": [{"id": "A", "policy": {"type": "learner"}, **bank}, {"id": "B", **bank}],
        "initial_transactions": payments,
        "costs": {"overdraft_rate": 0.01, "delay_penalty_per_tick": 10_00, "eod_penalty": 1_000_00},
    }


def test_exploitability_of_a_game_that_is_known_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "early_or_late.yaml"
    file.write_text(yaml.safe_dump(_early_or_late()))
    env = {"id": "PaySim/Bank-v1", "kwargs": {"scenario": str(file), "slots": 2, "split_parts": []}}
    ppo = {**TINY["ppo"], "steps_per_rollout": 2, "batch_size": 64, "discount": 1.0, "gae_lambda": 1.0}
    results = _study(
        tmp_path, "out", "--policies", "independent", env=env, ppo=ppo, num_envs=32, timesteps=64 * 30
    )
    profiles = results["profiles"]
    paid = {name: profile["banks"]["A"]["cost_cents"] for name, profile in profiles.items()}
    assert paid["release_all"] == {"mean": 1_000_00, "ci95": [1_000_00, 1_000_00]}
    assert paid["hold_until_deadline"]["mean"] == 10_00
    early = profiles["release_all"]["exploitability"]["A"]
    assert early["response"] in ("learned", "hold_until_deadline")
    assert (early["own_cents"], early["response_cents"], early["saves_share"]) == (1_000_00, 10_00, 0.99)
    assert early["saves_cents"] == {"mean": 990_00, "ci95": [990_00, 990_00]}
    for name, bank in [("hold_until_deadline", "A"), ("hold_until_deadline", "B"), ("release_all", "B")]:
        found = profiles[name]["exploitability"][bank]
        assert (found["response"], found["saves_cents"]["mean"], found["saves_share"]) == ("own", 0, 0)
    # Whatever they have learned: B pays in the second tick, and A does best to pay then, too.
    found = profiles["independent"]["exploitability"]["A"]
    assert found["own_cents"] == paid["independent"]["mean"]
    assert found["response_cents"] == 10_00 == found["own_cents"] - found["saves_cents"]["mean"]


def test_the_system_is_all_of_its_banks() -> None:
    scenario = load_scenario(_early_or_late())
    tables = play(scenario, {"A": {"type": "hold_until_deadline"}, "B": {"type": "release_all"}}, [1, 2])
    system = summarise_profile(tables)["system"]
    # A's payment settles a tick after it arrived, B's at once: both on their day.
    assert system["cost_cents"]["mean"] == 10_00
    assert (system["settlement_rate"]["mean"], system["mean_delay_ticks"]["mean"]) == (1, 0.5)


def test_the_command_goes_on_and_the_same_seed_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = ("--bank", "SMALL_C", "--policies", "shared")
    seeds = _watch_seeds(monkeypatch)
    first = _study(tmp_path, "one", *some, "--seed", 3)
    assert seeds
    assert max(seeds) < TRAINING_SEEDS_END
    assert list(first["profiles"]) == ["release_all", "hold_until_deadline", "shared"]
    assert first["config"]["seed"] == 3
    assert set(first) >= {"command", "commit", "packages", "scenario"}
    for profile in first["profiles"].values():
        assert list(profile["banks"]) == BANKS
        assert list(profile["exploitability"]) == ["SMALL_C"]
        for figures in (*profile["banks"].values(), profile["system"]):
            assert list(figures) == ["cost_cents", "settlement_rate", "mean_delay_ticks"]
            assert all(len(figure["ci95"]) == 2 for figure in figures.values())
    assert first["profiles"]["shared"]["curve"]["ticks"] == [96, 192]
    _assert_page(tmp_path, first)
    _assert_responses(tmp_path / "one")
    again = _interrupted_study(tmp_path, "two", monkeypatch, *some, "--seed", 3)
    assert _measured(again) == _measured(first)
    assert _trained(tmp_path / "two") == _trained(tmp_path / "one")
    assert _measured(_study(tmp_path, "three", *some, "--seed", 4)) != _measured(first)
    for other, word in ((("--timesteps", 96), "is of another configuration"), (("--seed", 3), "is using")):
        with folder_lock(tmp_path / "one") if word == "is using" else nullcontext():
            refused = _command("--out", tmp_path / "one", "--config", tmp_path / "tiny.yaml", *some, *other)
        assert (refused.exit_code, word in refused.output) == (2, True)

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("trains again")

    for name in (
        "paysim_training.algorithms.ppo.learn",
        "paysim_training.studies.strategic.joint_training.train_jointly",
    ):
        monkeypatch.setattr(name, fail)
    assert _measured(_study(tmp_path, "one", *some, "--seed", 3)) == _measured(first)


@pytest.mark.skipif(not RESULTS.is_file(), reason="the whole study has not been measured yet")
def test_the_page_is_made_from_its_results() -> None:
    page = RESULTS.with_suffix(".md").read_text("utf-8")
    assert page == strategic_report.make_page(json.loads(RESULTS.read_text("utf-8")))


def test_help_teaches_and_what_is_unknown_is_refused(tmp_path: Path) -> None:
    shown = _command("--help")
    assert shown.exit_code == 0
    for word in (
        "lower bound",
        "--quick",
        "--policies",
        "--timesteps",
        "paysim strategic",
    ):
        assert word in shown.output
    refused = _command("--out", tmp_path / "out", "--bank", "NOBODY")
    assert (refused.exit_code, "must be one of CORE_A" in refused.output) == (2, True)
    assert not (tmp_path / "out").exists()


def _with_pools() -> dict[str, Any]:
    described = load_scenario("five_bank").model_dump(mode="json")
    described["agents"][0]["liquidity_pool"] = 100
    return {"scenario": described}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"env": {"id": "PaySim/FiveBank-v1", "kwargs": {"action_mode": "fraction"}}}, "action_mode"),
        (
            {"env": {"id": "PaySim/FiveBank-v1", "kwargs": {"decides": "pool"}}},
            "decides = pool: must be another value",
        ),
        ({"env": {"id": "PaySim/FiveBank-v1", "kwargs": {"max_episode_steps": 9}}}, "max_episode_steps = 9"),
        ({"env": {"id": "PaySim/FiveBank-v1", "kwargs": {"autoreset_mode": "NextStep"}}}, "autoreset_mode"),
        ({"env": {"id": "PaySim/FiveBank-v1", "kwargs": _with_pools()}}, "CORE_A: liquidity_pool = 100"),
        ({"warm_start": {}}, "warm_start: must be left out"),
    ],
)
def test_what_could_not_be_measured_is_refused_before_anything_is_trained(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump({**TINY, **changes}))
    refused = _command("--out", tmp_path / "out", "--config", tmp_path / "wrong.yaml")
    assert (refused.exit_code, reason in refused.output) == (2, True), refused.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["no JSON", "[]", "{}", '{"config": [], "commit": null}'])
def test_a_page_needs_results(tmp_path: Path, content: str) -> None:
    (tmp_path / "results.json").write_text(content)
    refused = _command("--results", tmp_path / "results.json", "--page", tmp_path / "page.md")
    assert (refused.exit_code, "must be a results.json of paysim strategic" in refused.output) == (2, True)
    assert not (tmp_path / "page.md").exists()
