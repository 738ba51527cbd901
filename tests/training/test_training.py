"""Training: a tiny run from the command line, and its folder."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from command import Invocation, invoke
from numpy.typing import NDArray
from paysim_training.algorithms.callbacks import EPISODE_SCALARS, segment_seed
from paysim_training.core.config import CONFIG_FOLDER, TrainConfig, load_config, parse_config
from paysim_training.core.run_folder import RunFolder
from stable_baselines3 import PPO
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from paysim_gym import load_scenario
from paysim_gym._engine import COST_COMPONENTS
from paysim_gym.scenario.policies import NetworkPolicy

RULES = {"release_all", "hold_until_deadline", "liquidity_aware", "split_large", "random", "myopic"}
POLICIES = {"ppo", *RULES}
ROLLOUT = 8 * 48
TINY = {
    "num_envs": 8,
    "torch_threads": 1,
    "timesteps": 4 * ROLLOUT,
    "checkpoint_every": 2 * ROLLOUT,
    "picture_every": 2 * ROLLOUT,
    "ppo": {
        "steps_per_rollout": 48,
        "batch_size": 96,
        "epochs": 2,
        "entropy_coefficient": 0.02,
        "slot_hidden_size": 16,
        "critic_layers": [16],
    },
    "evaluation": {"first_seed": 2**40, "episodes": 12},
    "tuning": {"first_seed": 2**41, "episodes": 3},
}


def _write_config(folder: Path, **changes: Any) -> str:
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({**TINY, **changes}))
    return str(path)


def _train(*arguments: object) -> Invocation:
    return invoke("train", *arguments)


def _parameters(run: Path) -> Mapping[str, NDArray[np.float32]]:
    policy = PPO.load(run / "model.zip", device="cpu").policy
    return {name: tensor.numpy() for name, tensor in policy.state_dict().items()}


def _assert_same_model(one: Path, other: Path) -> None:
    first, second = _parameters(one), _parameters(other)
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


def _artefacts(run: Path) -> dict[str, bytes]:
    """Returns all files except those with times or commands."""
    folders = ("tensorboard/", "versions.json")
    files = {str(path.relative_to(run)): path for path in run.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith(folders)}


def _results(run: Path) -> dict[str, bytes]:
    names = ("metrics.json", "episodes.csv", "table.txt", "cost.png", "day.png")
    return {name: (run / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    result = _train("--config", _write_config(folder), "--out", folder / "run")
    assert result.exit_code == 0, result.output
    assert str(folder / "run") in result.output
    assert "tensorboard --logdir" in result.output
    return folder / "run"


def test_run_folder_is_complete_without_temporary_files(trained: Path) -> None:
    assert {path.name for path in trained.iterdir()} == {
        *("config.yaml", "scenario.yaml", "versions.json", "model.zip", "checkpoints", "tensorboard"),
        *("metrics.json", "episodes.csv", "table.txt", "cost.png", "day.png"),
    }
    assert not [path for path in trained.rglob(".*")]
    assert {path.name for path in trained.glob("checkpoints/*/*")} == {"model.zip", "normaliser.json"}
    config = RunFolder(trained).config()
    assert config.timesteps == TINY["timesteps"]
    assert config.env.kwargs["scenario"] == "two_bank"
    versions = json.loads((trained / "versions.json").read_text())
    assert {"command", "python", "platform", "commit", "packages"} <= versions.keys()
    assert versions["packages"].keys() >= {"paysim-gym", "stable-baselines3", "torch"}


def test_metrics_and_episodes_have_every_policy(trained: Path) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["policies"].keys() == POLICIES
    for name, policy in metrics["policies"].items():
        low, high = policy["cost_cents_ci95"]
        assert low <= policy["cost_cents_mean"] <= high
        assert 0 <= policy["settlement_rate"] <= 1
        assert policy["mean_delay_ticks"] >= 0
        assert policy["policy"]["type"] == name
        if name != "ppo":
            difference = policy["cost_cents_mean"] - metrics["policies"]["ppo"]["cost_cents_mean"]
            assert policy["minus_ppo_cents"]["mean"] == pytest.approx(difference)
    assert "buffer" in metrics["policies"]["liquidity_aware"]["policy"]
    header, *rows = (trained / "episodes.csv").read_text().splitlines()
    assert header.startswith("policy,seed,")
    seeds = [2**40 + episode for episode in range(12)]
    assert [row.split(",")[:2] for row in rows[:12]] == [["ppo", str(seed)] for seed in seeds]
    assert len(rows) == 12 * len(POLICIES)
    assert all(name in (trained / "table.txt").read_text() for name in POLICIES)


def test_evaluation_is_rebuilt_from_the_folder_alone(trained: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(trained, tmp_path / "moved")
    for name in _results(moved):
        (moved / name).unlink()
    result = invoke("evaluate", moved)
    assert result.exit_code == 0, result.output
    assert _results(moved) == _results(trained)


def test_tensorboard_events_hold_the_episode_scalars(trained: Path) -> None:
    events = EventAccumulator(str(trained / "tensorboard")).Reload()
    names = {*EPISODE_SCALARS, "episode/reward", *(f"cost_cents/{name}" for name in COST_COMPONENTS)}
    assert names <= set(events.Tags()["scalars"])
    steps = [event.step for event in events.Scalars("episode/cost_cents")]
    assert steps == [ROLLOUT, 2 * ROLLOUT, 3 * ROLLOUT, 4 * ROLLOUT]
    assert "hparams" in events.summary_metadata["_hparams_/session_start_info"].plugin_data.plugin_name
    total = sum(events.Scalars(f"cost_cents/{name}")[-1].value for name in COST_COMPONENTS)
    assert total == pytest.approx(events.Scalars("episode/cost_cents")[-1].value, rel=1e-5)


def test_resumed_run_equals_an_uninterrupted_run(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _write_config(tmp_path, checkpoint_every=ROLLOUT)
    save = RunFolder.save_checkpoint

    def interrupt_second(run: RunFolder, timesteps: int, files: Mapping[str, bytes]) -> None:
        if timesteps == 2 * ROLLOUT:
            raise KeyboardInterrupt
        save(run, timesteps, files)

    whole = _train("--config", config, "--out", tmp_path / "whole")
    assert whole.exit_code == 0, whole.output
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save_checkpoint", interrupt_second)
        stopped = _train("--config", config, "--out", tmp_path / "stopped")
    assert stopped.exit_code == 130
    assert f"--resume {tmp_path / 'stopped'}" in stopped.output
    assert not (tmp_path / "stopped" / "model.zip").exists()
    refused = invoke("evaluate", tmp_path / "stopped")
    assert refused.exit_code == 2
    assert "no model.zip" in refused.output

    (tmp_path / "stopped" / "checkpoints" / ".000000999999.1.tmp").mkdir()
    resumed = _train("--resume", tmp_path / "stopped")
    assert resumed.exit_code == 0, resumed.output
    assert _artefacts(tmp_path / "whole") == _artefacts(tmp_path / "stopped")
    events = EventAccumulator(str(tmp_path / "stopped" / "tensorboard")).Reload()
    for name in ("episode/cost_cents", "actions/release"):
        steps = [event.step for event in events.Scalars(name)]
        assert steps == [ROLLOUT, 2 * ROLLOUT, 3 * ROLLOUT, 4 * ROLLOUT]
    assert [image.step for image in events.Images("day")] == [ROLLOUT, 2 * ROLLOUT, 4 * ROLLOUT]


def test_same_seed_same_model_other_seed_other_model(trained: Path, tmp_path: Path) -> None:
    config = _write_config(tmp_path)
    for seed in (0, 1):
        assert _train("--config", config, "--seed", seed, "--out", tmp_path / str(seed)).exit_code == 0
    assert _artefacts(trained) == _artefacts(tmp_path / "0")
    with pytest.raises(AssertionError):
        _assert_same_model(trained, tmp_path / "1")


def test_killed_run_is_resumed_to_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    config, run = _write_config(tmp_path), tmp_path / "run"
    first = ["--config", config, "--out", str(run)]
    for arguments, awaited in ((first, "config.yaml"), (["--resume", str(run)], "checkpoints/[0-9]*")):
        command = [sys.executable, "-m", "paysim_training.train", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not list(run.glob(awaited)):
            time.sleep(0.002)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert not (run / "metrics.json").exists()
    (run / ".table.txt.1.tmp").write_text("half")
    resumed = _train("--resume", run)
    assert resumed.exit_code == 0, resumed.output
    assert _artefacts(run) == _artefacts(trained)


def test_a_run_is_locked_against_other_processes(trained: Path) -> None:
    with RunFolder(trained).locked():
        refused = _train("--resume", trained)
    assert refused.exit_code == 2
    assert "another process is using this run" in refused.output
    assert _train("--resume", trained).exit_code == 0


def test_entropy_coefficient_goes_to_its_final_value(trained: Path) -> None:
    assert PPO.load(trained / "checkpoints" / f"{2 * ROLLOUT:012d}" / "model.zip").ent_coef == 0.01
    assert PPO.load(trained / "model.zip").ent_coef == 0


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ppo": {"learning_rate": -1}}, "ppo.learning_rate = -1: must be greater than 0"),
        ({"ppo": {"lr": 1}}, "ppo.lr = 1: unknown key; allowed: steps_per_rollout, batch_size"),
        ({"seed": 1.5}, "seed = 1.5: must be a valid integer"),
        ({"evaluation": {"first_seed": 7, "episodes": 2}}, "evaluation.first_seed = 7: must be greater than"),
        ({"tuning": {"first_seed": 2**40, "episodes": 2}}, "must not overlap"),
        ({"ppo": {"batch_size": 100}}, "must be a multiple of ppo.batch_size = 100"),
        (
            {"env": {"id": "PaySim/FiveBank-v1", "kwargs": {"learner": ["CORE_A", "SMALL_D"]}}},
            "env.kwargs.learner = ['CORE_A', 'SMALL_D']: must be one bank",
        ),
        ({"env": {"kwargs": {"learner": []}}}, "env.kwargs.learner = []: must be one bank"),
        ({"env": {"id": "PaySim/None-v1"}}, "env.id = 'PaySim/None-v1': must be one of: PaySim/Bank-v1"),
        ({"env": {"kwargs": {"slotz": 3}}}, "slotz"),
        ({"env": {"kwargs": {"learner": "NOBODY"}}}, "NOBODY"),
    ],
)
def test_bad_config_is_refused_by_name_and_value(
    changes: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    result = _train("--config", _write_config(tmp_path, **changes), "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert expected in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--config", "no_such"], "config = 'no_such': must be a YAML file, or one of: deadline_lumps"),
        (["--timesteps", "0"], "timesteps = 0: must be greater than or equal to 1"),
        (["--resume", "no_such"], "no_such is not a run folder"),
        (["--resume", "no_such", "--seed", "3"], "--resume takes no other option"),
    ],
)
def test_bad_arguments_are_refused(arguments: list[str], expected: str) -> None:
    result = _train(*arguments)
    assert result.exit_code == 2
    assert expected in result.output
    assert "Traceback" not in result.output


def test_existing_folder_is_never_overwritten(trained: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*")}
    result = _train("--config", _write_config(tmp_path), "--out", trained)
    assert result.exit_code == 2
    assert "already exists" in result.output
    assert {path: path.stat().st_mtime_ns for path in trained.rglob("*")} == before
    assert not list(trained.parent.glob(".*"))


def test_default_folder_is_numbered_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from paysim_training.core.run_folder import create_run_folder
    from paysim_training.core.task import resolve_env

    monkeypatch.chdir(tmp_path)
    config = TrainConfig()
    _, scenario = resolve_env(config.env)
    made = [create_run_folder(None, "two_bank", config, scenario).path for _ in range(3)]
    assert [str(path) for path in made] == [f"runs/two_bank-seed0{suffix}" for suffix in ("", "-2", "-3")]


def test_run_folder_copies_the_payments_file(tmp_path: Path) -> None:
    from paysim_training.core.run_folder import create_run_folder

    original = tmp_path / "original"
    original.mkdir()
    bundled = resources.files("paysim_gym") / "scenarios"
    for name in ("replayed_days.yaml", "sample_payments.csv"):
        (original / name).write_bytes((bundled / name).read_bytes())
    scenario = load_scenario(original / "replayed_days.yaml")
    run = create_run_folder(tmp_path / "run", "replayed", TrainConfig(), scenario)
    shutil.rmtree(original)
    moved = RunFolder(run.path.rename(tmp_path / "moved"))
    assert (moved.path / "payments.csv").read_bytes() == (bundled / "sample_payments.csv").read_bytes()
    assert str(tmp_path) not in (moved.path / "scenario.yaml").read_text()
    reloaded = moved.scenario()
    assert reloaded.payments is not None
    assert reloaded.payments_file == str(moved.path / "payments.csv")
    file = {"payments_file": scenario.payments_file}
    assert reloaded.model_copy(update=file).model_dump() == scenario.model_dump()


def test_run_folder_copies_network_weights(tmp_path: Path) -> None:
    from network_files import network_file
    from paysim_training.core.run_folder import create_run_folder

    file = network_file(tmp_path / "opponent.safetensors")
    played = load_scenario("two_bank").model_dump()
    played["agents"][1]["policy"] = {"type": "network", "weights": str(file)}
    run = create_run_folder(tmp_path / "run", "frozen", TrainConfig(), load_scenario(played))
    content = file.read_bytes()
    file.unlink()
    moved = RunFolder(run.path.rename(tmp_path / "moved"))
    assert str(tmp_path) not in (moved.path / "scenario.yaml").read_text()
    policy = moved.scenario().agents[1].policy
    assert isinstance(policy, NetworkPolicy)
    assert Path(policy.weights) == moved.path / "network_BANK_B.safetensors"
    assert Path(policy.weights).read_bytes() == content


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIG_FOLDER.glob("*.yaml")))
def test_bundled_config_keeps_training_seeds_apart_from_evaluation(name: str) -> None:
    config = load_config(name)
    last_rows = [segment_seed(config, timesteps) + config.num_envs - 1 for timesteps in range(1000)]
    assert max(last_rows) < 2**32 < config.evaluation.seeds.start
    assert set(config.evaluation.seeds).isdisjoint(config.tuning.seeds)
    assert parse_config(config.model_dump(mode="json")) == config


def test_help_teaches_without_loading_torch() -> None:
    modules = "paysim_training.train, paysim_training.evaluate, paysim_training.studies.benchmark"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert "paysim train --resume" in _train("--help").output
