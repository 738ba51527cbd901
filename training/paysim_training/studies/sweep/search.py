"""Hyperparameter search of `paysim sweep`.

Each trial trains on the training seeds and is scored by its mean cost on the tuning days, so that the
evaluation days stay unseen. The storage is a SQLite database. All random draws follow from the seed of the
sweep and the number of the trial: a resumed sweep ends like one that was never interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from paysim_gym import Scenario
from paysim_gym.cli.terminal import progress_bar
from paysim_training.core.config import ConfigError, TrainConfig, load_config, parse_config
from paysim_training.core.task import resolve_env
from paysim_training.studies.sweep.trials import TrialJob, TrialResult, TrialRunner

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

TABLE_TRIALS = 4
"""Number of best trials in the table."""
_FIRST = "drawn_with"
"""Attribute of a trial: number of the first trial of its batch."""


@dataclass(frozen=True)
class Range:
    """Search range of a hyperparameter; it always includes the configured value."""

    low: float
    high: float
    is_log: bool = False

    def suggest(self, trial: Trial, name: str, configured: float) -> float:
        """Suggest a value for a trial, an integer if the configured value is one."""
        low, high = min(self.low, configured), max(self.high, configured)
        is_log = self.is_log and low > 0
        if isinstance(configured, int):
            return trial.suggest_int(name, int(low), int(high), log=is_log)
        return trial.suggest_float(name, low, high, log=is_log)


SPACE: Mapping[str, Range] = {
    "learning_rate": Range(3e-4, 1e-2, is_log=True),
    "discount": Range(0.8, 1.0),
    "gae_lambda": Range(0.0, 1.0),
    "epochs": Range(1, 8),
    "clip_range": Range(0.1, 0.4),
    "entropy_coefficient": Range(0.0, 0.02),
    "value_coefficient": Range(0.02, 1.0, is_log=True),
    "slot_hidden_size": Range(16, 128, is_log=True),
    "split_bias": Range(0.0, 4.0),
}
"""Search ranges, by key of `ppo`."""


@dataclass(frozen=True)
class Sweep:
    """Inputs of a sweep.

    Attributes:
        config: The configuration of the file.
        trial_config: The configuration of all trials, resolved, before the hyperparameters of a trial.
        scenario: Scenario of all trials.
        seed: Seed of the search.
    """

    config: TrainConfig
    trial_config: TrainConfig
    scenario: Scenario
    seed: int

    def identity(self) -> dict[str, Any]:
        """Return the inputs that must match when a sweep is resumed, for JSON."""
        return {"config": self.trial_config.model_dump(mode="json"), "seed": self.seed}


def make_sweep(source: str, timesteps: int | None, seed: int) -> Sweep:
    """Load a configuration and resolve its environment."""
    config = load_config(source)
    trial_config = load_config(source, timesteps=timesteps)
    env, scenario = resolve_env(trial_config.env)
    return Sweep(config, trial_config.model_copy(update={"env": env}), scenario, seed)


@contextmanager
def open_study(path: Path, sweep: Sweep) -> Iterator[Study]:
    """Open the study of a sweep; interrupted trials are repeated with the same hyperparameters.

    Raises:
        ConfigError: If the storage is not a database, or of another sweep.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{path.absolute()}")
    except SQLAlchemyError as error:
        raise ConfigError(f"storage = {str(path)!r}: is not a database of a sweep: {error}") from error
    try:
        study = optuna.create_study(
            storage=storage, study_name="sweep", direction="minimize", load_if_exists=True
        )
        _resume(study, sweep, path)
        yield study
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _resume(study: Study, sweep: Sweep, path: Path) -> None:
    from optuna.trial import TrialState

    known = study.user_attrs.get("sweep")
    if known is not None and known != sweep.identity():
        raise ConfigError(
            f"storage = {str(path)!r}: belongs to a sweep with another config, timesteps or seed"
        )
    if known is None:
        study.set_user_attr("sweep", sweep.identity())
    for interrupted in study.get_trials(states=[TrialState.RUNNING]):
        if _FIRST not in interrupted.user_attrs:  # the interrupt came before its batch was complete
            study.tell(interrupted.number, state=TrialState.FAIL)
    # The first trial has the configured values; the sampler chooses those of all others.
    begun = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.WAITING]
    if not study.get_trials(states=begun):
        configured = sweep.config.ppo.model_dump()
        study.enqueue_trial({name: configured[name] for name in SPACE})


def finished_trials(study: Study) -> list[FrozenTrial]:
    """Return the completed and pruned trials, in order."""
    from optuna.trial import TrialState

    return study.get_trials(states=[TrialState.COMPLETE, TrialState.PRUNED])


def search(
    study: Study, sweep: Sweep, trials: int, batch_size: int, runner: TrialRunner, console: Console
) -> None:
    """Run trials until so many are finished.

    Args:
        study: The study of the sweep.
        sweep: Inputs of the sweep.
        trials: Number of finished trials, those of earlier calls included.
        batch_size: Number of trials sampled before any of them runs.
        runner: Runs the trials of a batch.
        console: Receives the progress bar.
    """
    with progress_bar(console, "best {task.fields[best]}", counts=True) as progress:
        done = len(finished_trials(study))
        bar = progress.add_task("Trials", total=trials, completed=done, best=_best_cost(study))
        while done < trials:
            sampled = _open_trials(study) or _sample_trials(study, sweep, min(batch_size, trials - done))
            finished = [
                trial for trial in finished_trials(study) if trial.number < sampled[0].user_attrs[_FIRST]
            ]
            jobs = [
                TrialJob(_with_ppo(sweep.trial_config, trial.params), sweep.scenario, finished)
                for trial in sampled
            ]
            for number, result in runner(jobs):
                _record_result(study, sampled[number], result)
                done += 1
                progress.update(bar, completed=done, best=_best_cost(study))


def _open_trials(study: Study) -> list[FrozenTrial]:
    from optuna.trial import TrialState

    return study.get_trials(states=[TrialState.RUNNING])


def _sample_trials(study: Study, sweep: Sweep, count: int) -> list[FrozenTrial]:
    """Sample a batch of trials; they depend on finished trials only."""
    import optuna

    done = len(finished_trials(study))
    sampled = []
    for number in range(done, done + count):
        # A new sampler for each trial: one sampler would repeat its draws after an interruption.
        draw = np.random.default_rng([sweep.seed, number]).integers(2**32)
        study.sampler = optuna.samplers.TPESampler(seed=int(draw))
        trial = study.ask()
        _suggest(trial, sweep)
        sampled.append(trial)
    for trial in sampled:
        trial.set_user_attr(_FIRST, sampled[0].number)
    return _open_trials(study)


def _record_result(study: Study, trial: FrozenTrial, result: TrialResult) -> None:
    import optuna
    from optuna.trial import TrialState

    live = optuna.Trial(study, trial._trial_id)
    for step, cost in result.reports.items():
        live.report(cost, step)
    if result.is_pruned:
        study.tell(trial.number, state=TrialState.PRUNED)
    else:
        study.tell(trial.number, result.cost_cents)


def _suggest(trial: Trial, sweep: Sweep) -> None:
    configured = sweep.trial_config.ppo.model_dump()
    for name, values in SPACE.items():
        values.suggest(trial, name, configured[name])


def _with_ppo(config: TrainConfig, chosen: Mapping[str, Any]) -> TrainConfig:
    given = config.model_dump(exclude_unset=True)
    return parse_config({**given, "ppo": {**given.get("ppo", {}), **chosen}})


def best_config(study: Study, sweep: Sweep) -> dict[str, Any]:
    """Return the configuration of the file with the hyperparameters of the best trial."""
    config = _with_ppo(sweep.config, study.best_params)
    return config.model_dump(mode="json", exclude_unset=True)


def _best_cost(study: Study) -> str:
    from optuna.trial import TrialState

    complete = study.get_trials(states=[TrialState.COMPLETE])
    return f"{study.best_value / 100:,.2f}" if complete else "?"


def make_table(study: Study, sweep: Sweep) -> Table:
    """Lay out the best trials for a terminal."""
    from optuna.trial import TrialState

    complete = study.get_trials(states=[TrialState.COMPLETE])
    pruned = len(finished_trials(study)) - len(complete)
    table = Table(
        title=f"The best of {len(complete) + pruned} trials, {pruned} of them pruned",
        caption=f"Mean cost of {sweep.config.tuning.episodes} tuning days, in units of 100 cents.",
        box=box.SIMPLE_HEAD,
    )
    costs = {trial.number: trial.value / 100 for trial in complete if trial.value is not None}
    best = sorted(complete, key=lambda trial: costs[trial.number])[:TABLE_TRIALS]
    first = finished_trials(study)[0].number
    table.add_column("trial", no_wrap=True)
    for trial in best:
        table.add_column("as configured" if trial.number == first else str(trial.number), justify="right")
    table.add_row("cost", *(f"{costs[trial.number]:,.2f}" for trial in best), style="bold")
    for name in SPACE:
        table.add_row(name, *(f"{trial.params[name]:.3g}" for trial in best))
    return table
