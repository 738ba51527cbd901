"""Training, benchmarks and sweeps on a local Ray: results and recovery from failures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from command import Invocation, invoke

ray = pytest.importorskip("ray")

from paysim_training import evaluate
from paysim_training.algorithms import ppo
from paysim_training.algorithms.callbacks import EPISODE_SCALARS
from paysim_training.algorithms.imitation import imitate
from paysim_training.core.config import DistributedConfig, load_config, parse_config
from paysim_training.core.ray_tasks import WorkerLostError, cluster, map_jobs
from paysim_training.core.run_folder import RunFolder, RunFolderError, create_run_folder
from paysim_training.core.task import resolve_env
from paysim_training.rllib import algorithm as rllib_ppo
from paysim_training.studies.benchmark import training_runs
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_benchmark import _arguments, _prepare
from test_sweep import TINY as TINY_TRIAL
from test_sweep import _sweep, _trials

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("local_ray")]

ROLLOUT = 8 * 24
TINY: dict[str, Any] = {
    "env": {"id": "PaySim/ReceiptWaves-v1", "kwargs": {"split_parts": []}},
    "num_envs": 8,
    "torch_threads": 1,
    "timesteps": 4 * ROLLOUT,
    "checkpoint_every": 2 * ROLLOUT,
    # One learning rate throughout, so that it does not depend on when a run ends.
    "ppo": {
        "steps_per_rollout": 24,
        "batch_size": 96,
        "epochs": 2,
        "critic_layers": [16],
        "final_learning_rate": 0.003,
    },
    "evaluation": {"first_seed": 2**40, "episodes": 4},
    "tuning": {"first_seed": 2**41, "episodes": 2},
}


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    with cluster(processors=2):
        yield


def _distributed(*arguments: object) -> Invocation:
    return invoke("distributed", *arguments)


def _write(folder: Path, **changes: Any) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({**TINY, **changes}))
    return path


def _parameters(model: Path) -> dict[str, Any]:
    from stable_baselines3 import PPO

    return {
        name: tensor.numpy() for name, tensor in PPO.load(model, device="cpu").policy.state_dict().items()
    }


def _results(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in ("metrics.json", "episodes.csv", "table.txt")}


@pytest.fixture(scope="module")
def trained(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distributed")
    result = _distributed("--config", _write(folder), "--num-env-runners", 2, "--out", folder / "run")
    assert result.exit_code == 0, result.output
    return folder / "run"


def test_run_folder_is_that_of_train(trained: Path) -> None:
    assert {path.name for path in trained.iterdir()} == {
        *("config.yaml", "scenario.yaml", "versions.json", "distributed.yaml", "model.zip"),
        *("checkpoints", "tensorboard", "metrics.json", "episodes.csv", "table.txt", "cost.png", "day.png"),
    }
    assert not list(trained.rglob(".*"))
    assert [path.name for path in trained.glob("checkpoints/*")] == [f"{2 * ROLLOUT:012d}"]
    assert RunFolder(trained).distributed_config().env_runners == 2
    policies = json.loads((trained / "metrics.json").read_text())["policies"]
    rules = {"release_all", "hold_until_deadline", "liquidity_aware", "split_large", "random", "myopic"}
    assert policies.keys() == {"ppo", *rules}
    events = EventAccumulator(str(trained / "tensorboard")).Reload()
    scalars = {"episode/reward", "train/value_loss", "time/environment_share", *EPISODE_SCALARS}
    assert scalars <= set(events.Tags()["scalars"])
    costs = events.Scalars("episode/cost_cents")
    assert [event.step for event in costs] == [ROLLOUT * number for number in range(1, 5)]
    assert all(event.value > 0 for event in costs)


def test_evaluate_reads_it_like_any_other(trained: Path) -> None:
    before = _results(trained)
    (trained / "table.txt").unlink()
    result = invoke("evaluate", trained)
    assert result.exit_code == 0, result.output
    assert _results(trained) == before


def test_train_does_not_touch_what_it_did_not_begin(trained: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "model.zip").unlink()
    result = invoke("train", "--resume", tmp_path / "run")
    assert result.exit_code == 2
    assert "paysim distributed --resume" in result.output


def test_resumed_after_the_driver_was_killed_it_ends_as_if_it_had_not(trained: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "paysim_training.distributed",
        "--config",
        str(_write(tmp_path, timesteps=10**7)),
    ]
    command += ["--num-env-runners", "2", "--out", str(tmp_path / "run")]
    command += ["--address", ray.get_runtime_context().gcs_address]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    checkpoint = tmp_path / "run" / "checkpoints" / f"{2 * ROLLOUT:012d}"
    while not checkpoint.is_dir():
        assert driver.poll() is None, driver.communicate()[0]
        time.sleep(0.05)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    assert not (tmp_path / "run" / "model.zip").exists()
    for later in sorted((tmp_path / "run" / "checkpoints").glob("[0-9]*"))[1:]:
        later.rename(tmp_path / later.name)
    config = (trained / "config.yaml").read_bytes()
    (tmp_path / "run" / "config.yaml").write_bytes(config)
    resumed = _distributed("--resume", tmp_path / "run")
    assert resumed.exit_code == 0, resumed.output
    ours, theirs = _parameters(tmp_path / "run" / "model.zip"), _parameters(trained / "model.zip")
    for name, values in theirs.items():
        assert np.array_equal(ours[name], values), name
    assert (tmp_path / "run" / "episodes.csv").read_bytes() == (trained / "episodes.csv").read_bytes()


def test_killed_env_runner_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pids: list[set[int]] = []
    count = rllib_ppo.timesteps_of

    def kill_one(algorithm: Any) -> int:
        group = algorithm.env_runner_group
        pids.append(set(group.foreach_env_runner(lambda runner: os.getpid(), local_env_runner=False)))
        if len(pids) == 4:
            os.kill(min(pids[-1]), signal.SIGKILL)
        elif len(pids[-1]) < 2:
            time.sleep(1)  # a process takes longer to start than a rollout of so few rows
        return count(algorithm)

    monkeypatch.setattr(rllib_ppo, "timesteps_of", kill_one)
    config = _write(tmp_path, timesteps=64 * ROLLOUT)
    result = _distributed("--config", config, "--num-env-runners", 2, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert {len(each) for each in pids[:4]} == {2}
    assert len(set.union(*pids)) == 3
    assert len(pids[-1]) == 2
    assert (tmp_path / "run" / "metrics.json").is_file()


def test_warm_start_hands_over_network_and_unit_of_reward(tmp_path: Path) -> None:
    warm = {"policy": "release_all", "days": 4, "epochs": 1}
    config = load_config(_write(tmp_path, warm_start=warm))
    env, scenario = resolve_env(config.env)
    config = config.model_copy(update={"env": env})
    run = create_run_folder(tmp_path / "run", "tiny", config, scenario)
    model = ppo.make_model(config, ppo.make_env(config, scenario))
    imitate(model, config, scenario)
    algorithm = rllib_ppo.algorithm_config(config, scenario, DistributedConfig(env_runners=0)).build_algo()
    rllib_ppo._warm_start(algorithm, run, config)
    learners = algorithm.learner_group.foreach_learner(lambda learner: learner.normalisers)
    (found,) = learners.result_or_errors[0].get().values()
    normaliser = model.get_vec_normalize_env()
    assert normaliser is not None
    assert vars(found) == vars(normaliser.ret_rms)
    (ours,) = algorithm.learner_group.foreach_learner(
        lambda learner: learner.module[rllib_ppo.SHARED].policy.state_dict()
    ).result_or_errors
    played = algorithm.get_module(rllib_ppo.SHARED).policy.state_dict()
    for name, values in model.policy.state_dict().items():
        assert np.array_equal(ours.get()[name], values), name
        assert np.array_equal(played[name], values), name
    algorithm.stop()
    Path(algorithm.logdir).rmdir()


@pytest.mark.parametrize("policies", ["shared", "separate"])
def test_several_banks_learn_and_are_evaluated_together(policies: str, tmp_path: Path) -> None:
    banks = ["CORE_A", "SMALL_D"]
    config = _write(tmp_path, env={"id": "PaySim/FiveBank-v1"}, num_envs=8)
    named = [part for bank in banks for part in ("--bank", bank)]
    arguments = ("--config", config, *named, "--policies", policies, "--num-env-runners", 0)
    result = _distributed(*arguments, "--iterations", 2, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    run = RunFolder(tmp_path / "run")
    assert run.config().timesteps == 2 * ROLLOUT
    if policies == "shared":
        assert run.model.is_file()
    else:
        assert sorted(path.name for path in run.bank_models.iterdir()) == [f"{bank}.zip" for bank in banks]
        one, other = (_parameters(run.bank_models / f"{bank}.zip") for bank in banks)
        assert any(not np.array_equal(one[name], other[name]) for name in one)
    before = _results(run.path)
    for name, policy in json.loads(before["metrics.json"])["policies"].items():
        assert policy["bank_cost_cents_mean"].keys() == set(banks), name
        assert sum(policy["bank_cost_cents_mean"].values()) == pytest.approx(policy["cost_cents_mean"])
    evaluate.evaluate_run(run, Console(quiet=True))
    assert _results(run.path) == before


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--task", "PaySim/Nowhere-v1"), "env.id = 'PaySim/Nowhere-v1': must be one of"),
        (("--num-env-runners", 3), "num_envs = 1024: must be a multiple of 3 env runners x 1 learners"),
        (("--policies", "separate"), "requires several learners"),
        (("--config", "receipt_waves", "--num-env-runners", 256), "256 env runners x 1 learners x 8 rows"),
        (
            ("--config", "receipt_waves", *("--bank", "BANK_A", "--bank", "BANK_B", "--bank", "BANK_C")),
            "ppo.rows_per_seed = 8 must be a divisor of num_envs = 1024 / 3 learners",
        ),
        (("--bank", "NOBODY"), "NOBODY"),
        (("--task", "PaySim/TwoBank-v1", "--config", "two_bank"), "give one of them"),
        (("--resume", "nowhere"), "is not a run folder"),
        (("--resume", "nowhere", "--seed", 1), "--resume takes --address"),
        (("--resume", "nowhere", "--policies", "separate"), "--resume takes --address"),
    ],
)
def test_what_is_wrong_is_said_at_once(arguments: tuple[object, ...], expected: str, tmp_path: Path) -> None:
    out = () if "--resume" in arguments else ("--out", tmp_path / "run")
    result = _distributed(*arguments, *out)
    assert result.exit_code == 2, result.output
    assert expected in result.output
    assert not (tmp_path / "run").exists()


def test_benchmark_on_ray_is_that_of_this_machine(tmp_path: Path) -> None:
    found = []
    for where in ("here", "ray"):
        folder = tmp_path / where
        folder.mkdir()
        _prepare(folder, timesteps=3 * ROLLOUT)
        more = ("--ray",) if where == "ray" else ()
        result = invoke("benchmark", *_arguments(folder, "--seeds", 2, *more))
        assert result.exit_code == 0, result.output
        details = json.loads((folder / "out" / "details.json").read_text())
        details.pop("command")
        runs = sorted((folder / "out" / "runs").glob("*/seed*"))
        kept = ("model.zip", "episodes.csv", "metrics.json")
        files = [(path / name).read_bytes() for path in runs if path.is_dir() for name in kept]
        found.append((details, (folder / "out" / "results.json").read_bytes(), files))
    assert found[0] == found[1]


def test_lost_evaluation_is_told_as_an_error_of_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_: Any, **__: Any) -> Any:
        raise WorkerLostError("a job was lost")

    monkeypatch.setattr(training_runs, "map_jobs", lose)
    one = training_runs.TrainingRun("PaySim/Bank-v1", RunFolder(tmp_path), parse_config({}))
    with pytest.raises(RunFolderError, match="a job was lost"):
        training_runs.costs_on_ray([one], [2**42])


def test_sweep_on_ray_is_that_of_this_machine(tmp_path: Path) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(TINY_TRIAL))
    command = ("--config", config, "--trials", 5, "--timesteps", 384, "--together", 2, "--storage")
    here = _sweep(*command, tmp_path / "here.db")
    assert here.exit_code == 0, here.output
    there = _sweep(*command, tmp_path / "there.db", "--ray")
    assert there.exit_code == 0, there.output
    assert len(_trials(tmp_path / "here.db")) == 5
    assert sorted(map(str, _trials(tmp_path / "there.db"))) == sorted(map(str, _trials(tmp_path / "here.db")))
    assert (tmp_path / "there.yaml").read_bytes() == (tmp_path / "here.yaml").read_bytes()


class TestJobs:
    def test_a_lost_worker_s_job_is_done_again_and_the_rest_is_kept(self, tmp_path: Path) -> None:
        def work(job: int) -> int:
            flag = tmp_path / str(job)
            if job == 1 and not flag.exists():
                flag.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return job * job

        assert dict(map_jobs(work, range(4))) == {0: 0, 1: 1, 2: 4, 3: 9}
        assert (tmp_path / "1").exists()

    def test_a_job_that_kills_every_worker_ends_the_rest(self) -> None:
        with pytest.raises(WorkerLostError, match="tried 4 times"):
            list(map_jobs(lambda job: os.kill(os.getpid(), signal.SIGKILL), [0]))

    def test_an_error_comes_back_as_it_was_after_what_had_been_found(self) -> None:
        def work(job: int) -> int:
            if job == 1:
                time.sleep(1)
                raise KeyError("no such thing")
            return job

        coming = map_jobs(work, range(2))
        assert next(coming) == (0, 0)
        with pytest.raises(KeyError, match="no such thing"):
            next(coming)


def test_ray_talks_to_nobody_but_itself() -> None:
    """Both ends of all connections of Ray's processes are loopback addresses."""
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    own = {line for pid in _ray_processes() for line in _connections(pid)}
    assert own
    assert not {line for line in own if not all(_is_loopback(end) for end in line)}


def _ray_processes() -> list[int]:
    """This process and its descendants."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = [os.getpid()]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


def _connections(pid: int) -> list[tuple[str, str]]:
    """Listening and established sockets of a process: both addresses, as hexadecimal."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    lines: list[tuple[str, str]] = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            parts = line.split()
            if parts[9] in inodes and parts[3] in ("01", "0A"):
                local, remote = (end.partition(":")[0] for end in parts[1:3])
                lines.append((local, local if parts[3] == "0A" else remote))
    return lines


def _is_loopback(address: str) -> bool:
    v4_in_v6 = "0000000000000000FFFF0000"
    return address.removeprefix(v4_in_v6) == "0100007F" or address == "0" * 24 + "01000000"
