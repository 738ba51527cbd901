"""Sweeps: a tiny search, its best configuration, and resuming after an interruption."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from command import Invocation, invoke
from paysim_training.core.config import load_config
from paysim_training.studies.sweep import search, trials
from paysim_training.studies.sweep.objective import TrialCost
from paysim_training.studies.sweep.search import SPACE, Range

from paysim_gym.evaluation import evaluate

TINY: dict[str, Any] = {
    "env": {"id": "PaySim/DeadlineLumps-v1"},
    "num_envs": 4,
    "torch_threads": 1,
    "timesteps": 8 * 96,
    "ppo": {"steps_per_rollout": 24, "batch_size": 96, "epochs": 1, "critic_layers": [8]},
    "evaluation": {"first_seed": 2**40, "episodes": 3},
    "tuning": {"first_seed": 2**41, "episodes": 3},
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


def _sweep(*arguments: object) -> Invocation:
    return invoke("sweep", *arguments)


def _trials(storage: Path) -> list[tuple[str, dict[str, Any], float | None]]:
    """State, parameters and cost of each trial that came to an end."""
    database = optuna.storages.RDBStorage(f"sqlite:///{storage}")
    study = optuna.load_study(study_name="sweep", storage=database)
    found = [(trial.state.name, trial.params, trial.value) for trial in search.finished_trials(study)]
    database.remove_session()
    database.engine.dispose()
    return found


def test_sweep_finds_a_configuration_that_trains(config: Path, tmp_path: Path) -> None:
    storage = tmp_path / "sweep.db"
    result = _sweep("--config", config, "--trials", 3, "--storage", storage, "--timesteps", 384)
    assert result.exit_code == 0, result.output
    assert "as configured" in result.output
    trials = _trials(storage)
    assert [state for state, *_ in trials] == ["COMPLETE"] * 3
    own = load_config(config).ppo.model_dump()
    assert trials[0][1] == {name: own[name] for name in SPACE}
    assert len({str(params) for _, params, _ in trials}) == 3
    best = load_config(tmp_path / "sweep.yaml")
    costs = [trial[2] for trial in trials if trial[2] is not None]
    cost = min(costs)
    wanted = next(params for _, params, value in trials if value == cost)
    assert {name: getattr(best.ppo, name) for name in SPACE} == wanted
    assert (best.timesteps, best.env, best.tuning) == (
        768,
        load_config(config).env,
        load_config(config).tuning,
    )
    assert f"{cost / 100:,.2f}" in result.output
    arguments = [
        "--config",
        str(tmp_path / "sweep.yaml"),
        "--timesteps",
        "384",
        "--out",
        str(tmp_path / "run"),
    ]
    trained = invoke("train", *arguments)
    assert trained.exit_code == 0, trained.output


def test_trial_is_evaluated_on_tuning_days_only_with_the_trained_policy(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paysim_training.algorithms import ppo
    from paysim_training.core.run_folder import RunFolder

    seeds: list[list[int]] = []
    saved: list[float] = []

    def watch(factory: Any, scenario: Any, days: Any, **arguments: Any) -> Any:
        seeds.append(list(days))
        return evaluate(factory, scenario, days, **arguments)

    def keep(run: RunFolder, *arguments: Any) -> None:
        learn(run, *arguments)
        learned, played = ppo.LearnedPolicy(run), load_config(config).tuning.seeds
        saved.append(evaluate(lambda env: learned, run.scenario(), played).cost.mean())

    learn = ppo.learn
    monkeypatch.setattr("paysim_training.studies.sweep.objective.evaluate", watch)
    monkeypatch.setattr(ppo, "learn", keep)
    result = _sweep("--config", config, "--trials", 1, "--storage", tmp_path / "sweep.db")
    assert result.exit_code == 0, result.output
    assert seeds
    assert all(days == [2**41, 2**41 + 1, 2**41 + 2] for days in seeds)
    assert _trials(tmp_path / "sweep.db")[0][2] == saved[0]


@pytest.mark.parametrize(
    ("error", "stopped_in", "together"), [(KeyboardInterrupt, 2, 1), (SystemExit, 1, 1), (SystemExit, 2, 2)]
)
def test_stopped_sweep_ends_like_one_that_was_never_stopped(
    error: type[BaseException],
    stopped_in: int,
    together: int,
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, stopped = tmp_path / "whole.db", tmp_path / "stopped.db"
    command = ("--config", config, "--trials", 3, "--timesteps", 384, "--together", together, "--storage")
    assert _sweep(*command, whole).exit_code == 0
    begun = []
    judge = TrialCost._evaluate

    def stop(watcher: TrialCost) -> float:
        begun.append(watcher)
        if len({id(each) for each in begun}) == stopped_in:
            raise error(1)
        return judge(watcher)

    with monkeypatch.context() as patch:
        patch.setattr(TrialCost, "_evaluate", stop)
        assert _sweep(*command, stopped).exit_code != 0
    assert not (tmp_path / "stopped.yaml").exists()
    assert len(_trials(stopped)) == stopped_in - 1
    refused = _sweep(*command, stopped)
    assert refused.exit_code == 2
    assert "already exists; --resume continues it" in refused.output
    other = _sweep(*command, stopped, "--resume", "--seed", 1)
    assert other.exit_code == 2
    assert "belongs to a sweep with another config, timesteps or seed" in other.output
    resumed = _sweep(*command, stopped, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert _trials(stopped) == _trials(whole)
    assert (tmp_path / "stopped.yaml").read_bytes() == (tmp_path / "whole.yaml").read_bytes()


def test_trial_that_costs_more_than_the_median_is_pruned(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[int] = []

    def worse_and_worse(watcher: TrialCost) -> float:
        judged.append(watcher._trial.number)
        return 100.0 * watcher._trial.number

    monkeypatch.setattr(TrialCost, "_evaluate", worse_and_worse)
    result = _sweep("--config", config, "--trials", 5, "--storage", tmp_path / "sweep.db")
    assert result.exit_code == 0, result.output
    states = [state for state, *_ in _trials(tmp_path / "sweep.db")]
    assert states == [*["COMPLETE"] * trials.TRIALS_BEFORE_PRUNING, "PRUNED"]
    assert 0 < judged.count(4) < judged.count(3)
    assert "1 of them pruned" in result.output


def test_range_always_holds_the_configured_value() -> None:
    for own in (0.0, 5.0, 64):
        study = optuna.create_study()
        study.enqueue_trial({"x": own})
        suggested = Range(1, 2, is_log=True).suggest(study.ask(), "x", own)
        assert suggested == own
        assert type(suggested) is type(own)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--storage", "new.db", "--resume"], "there is no such file to resume"),
        (["--storage", "no/new.db"], "storage = 'no/new.db': there is no folder 'no'"),
        (["--storage", "new.db", "--out", "no/best.yaml"], "out = 'no/best.yaml': there is no folder 'no'"),
        (["--storage", "best.yaml"], "must not be the storage"),
        (["--storage", "tiny.yaml", "--out", "b.yaml", "--resume"], "is not a database of a sweep"),
        (["--storage", "new.db", "--timesteps", "0"], "timesteps = 0: must be greater than or equal to 1"),
    ],
)
def test_bad_paths_are_refused(
    arguments: list[str], expected: str, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = _sweep("--config", config, *arguments)
    assert result.exit_code == 2, result.output
    assert expected in result.output
    assert not (tmp_path / "new.db").exists()


def test_help_needs_neither_torch_nor_optuna() -> None:
    import subprocess
    import sys

    code = (
        "import sys, paysim_training.studies.sweep, paysim_training.distil\n"
        "sys.exit(bool({'torch', 'optuna', 'sklearn'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
