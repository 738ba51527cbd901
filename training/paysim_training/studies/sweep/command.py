"""Search the hyperparameters of a configuration: ``paysim sweep --config NAME --storage FILE``.

Every trial trains on the training seeds and is judged by the mean cost of the tuning days, so that the
evaluation days stay unseen. The storage is a SQLite database, and what decides a trial is drawn from the
sweep's seed and the trial's number: a sweep that is resumed goes on as if it had never stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from paysim_gym import Scenario
from paysim_gym.files import write_atomically
from paysim_training.core.config import ConfigError, TrainConfig, dump_yaml, load_config, parse_config
from paysim_training.core.ray_tasks import WorkerLostError, cluster
from paysim_training.core.run_folder import RunFolderError
from paysim_training.core.task import resolve_env
from paysim_training.studies.sweep.trials import Outcome, RunAll, TrialJob, run_trials, run_trials_on_ray

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

SHOWN = 4
"""Trials in the table."""
_FIRST = "drawn_with"
"""Attribute of a trial: the number of the first of those that were drawn with it."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@dataclass(frozen=True)
class Range:
    """Values of a hyperparameter that are tried; a configuration's own value is always among them."""

    low: float
    high: float
    is_log: bool = False

    def suggest(self, trial: Trial, name: str, own: float) -> float:
        """A value for a trial, whole if the configuration's is."""
        low, high = min(self.low, own), max(self.high, own)
        is_log = self.is_log and low > 0
        if isinstance(own, int):
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
"""The keys of `ppo` that are searched."""


@app.command()
def main(
    config: Annotated[str, typer.Option(help="As of paysim_training.train.", show_default=False)],
    storage: Annotated[Path, typer.Option(help="The database to make, or to resume.", show_default=False)],
    trials: Annotated[int, typer.Option(min=1, help="Trials in all, those before a stop included.")] = 50,
    timesteps: Annotated[
        int | None, typer.Option(help="Ticks a trial is trained on.", show_default="the config's")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the search; training keeps the config's.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="The best configuration.", show_default="STORAGE with .yaml")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the trials in the storage.")] = False,
    together: Annotated[
        int, typer.Option(min=1, help="Trials drawn at a time, which do not learn from each other.")
    ] = 1,
    ray: Annotated[
        bool, typer.Option("--ray", help="Those drawn at a time run in Ray tasks, side by side.")
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(help="Of a running Ray cluster, such as auto; implies --ray.", show_default=False),
    ] = None,
) -> None:
    """Search for better hyperparameters, and write the best configuration found.

    The first trial is the configuration as it is. A trial whose cost is above the median of the earlier ones
    at the same point is pruned. With --together 8 eight trials are drawn before any of them runs: fewer are
    informed, but --ray runs them side by side. Where they run does not change what comes out.

    [bold]Examples[/bold]

    paysim sweep --config two_bank --trials 30 --timesteps 500000 --storage sweep.db

    paysim sweep --config two_bank --trials 60 --timesteps 500000 --storage sweep.db --resume

    paysim sweep --config two_bank --trials 64 --together 16 --ray --storage sweep.db
    """
    console = Console()
    best = out or storage.with_suffix(".yaml")
    ray = ray or address is not None
    try:
        _check_places(storage, best, resume=resume)
        sweep = _make_sweep(config, timesteps, seed)
        run_all = run_trials_on_ray if ray else run_trials
        with cluster(address) if ray else nullcontext(), _open_study(storage, sweep) as study:
            _search(study, sweep, trials, together, run_all, console)
            write_atomically(best, dump_yaml(best_config(study, sweep)).encode())
            console.print(_table(study, sweep))
    except (ConfigError, RunFolderError, WorkerLostError) as error:
        console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        console.print("Stopped. Repeat the command with --resume to go on.", soft_wrap=True)
        raise typer.Exit(130) from None
    console.print(f"The best configuration is in {best}. To train it:", soft_wrap=True)
    console.print(f"  paysim train --config {best}", soft_wrap=True)


@dataclass(frozen=True)
class Sweep:
    """What a sweep varies.

    Attributes:
        config: The configuration as its file has it.
        trial_config: That of a trial, before its hyperparameters: everything resolved.
        scenario: What is played.
        seed: Of the search.
    """

    config: TrainConfig
    trial_config: TrainConfig
    scenario: Scenario
    seed: int

    def identity(self) -> dict[str, Any]:
        """What must be the same when a sweep is resumed, ready for JSON."""
        return {"config": self.trial_config.model_dump(mode="json"), "seed": self.seed}


def _make_sweep(source: str, timesteps: int | None, seed: int) -> Sweep:
    config = load_config(source)
    trial_config = load_config(source, timesteps=timesteps)
    env, scenario = resolve_env(trial_config.env)
    return Sweep(config, trial_config.model_copy(update={"env": env}), scenario, seed)


def _check_places(storage: Path, best: Path, *, resume: bool) -> None:
    for name, path in (("storage", storage), ("out", best)):
        if not path.absolute().parent.is_dir():
            raise ConfigError(f"{name} = {str(path)!r}: there is no folder {str(path.parent)!r}")
    if best.absolute() == storage.absolute():
        raise ConfigError(f"out = {str(best)!r}: must not be the storage")
    if storage.exists() and not resume:
        raise ConfigError(f"storage = {str(storage)!r}: is there already; go on with it by --resume")
    if resume and not storage.is_file():
        raise ConfigError(f"storage = {str(storage)!r}: there is none to resume")


@contextmanager
def _open_study(path: Path, sweep: Sweep) -> Iterator[Study]:
    """The sweep's study; trials that a stop has cut short will be done again, as they were drawn."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{path.absolute()}")
    except SQLAlchemyError as error:
        raise ConfigError(f"storage = {str(path)!r}: is no database of a sweep: {error}") from error
    try:
        study = optuna.create_study(
            storage=storage, study_name="sweep", direction="minimize", load_if_exists=True
        )
        _take_up(study, sweep, path)
        yield study
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _take_up(study: Study, sweep: Sweep, path: Path) -> None:
    from optuna.trial import TrialState

    known = study.user_attrs.get("sweep")
    if known is not None and known != sweep.identity():
        raise ConfigError(f"storage = {str(path)!r}: was made with another config, timesteps or seed")
    if known is None:
        study.set_user_attr("sweep", sweep.identity())
    for cut_short in study.get_trials(states=[TrialState.RUNNING]):
        if _FIRST not in cut_short.user_attrs:  # stopped while it was drawn
            study.tell(cut_short.number, state=TrialState.FAIL)
    # What a later trial tries follows from those that are finished; only the first is given.
    begun = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.WAITING]
    if not study.get_trials(states=begun):
        own = sweep.config.ppo.model_dump()
        study.enqueue_trial({name: own[name] for name in SPACE})


def finished_trials(study: Study) -> list[FrozenTrial]:
    """Trials that came to an end or were pruned, in their order."""
    from optuna.trial import TrialState

    return study.get_trials(states=[TrialState.COMPLETE, TrialState.PRUNED])


def _search(
    study: Study, sweep: Sweep, trials: int, together: int, run_all: RunAll, console: Console
) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("best {task.fields[best]}"), console=console) as progress:
        done = len(finished_trials(study))
        bar = progress.add_task("Trials", total=trials, completed=done, best=_best_cost(study))
        while done < trials:
            drawn = _drawn(study) or _draw(study, sweep, min(together, trials - done))
            seen = [trial for trial in finished_trials(study) if trial.number < drawn[0].user_attrs[_FIRST]]
            jobs = [
                TrialJob(_with_ppo(sweep.trial_config, trial.params), sweep.scenario, seen) for trial in drawn
            ]
            for number, outcome in run_all(jobs):
                _tell(study, drawn[number], outcome)
                done += 1
                progress.update(bar, completed=done, best=_best_cost(study))


def _drawn(study: Study) -> list[FrozenTrial]:
    """Trials that have been drawn and not finished."""
    from optuna.trial import TrialState

    return study.get_trials(states=[TrialState.RUNNING])


def _draw(study: Study, sweep: Sweep, count: int) -> list[FrozenTrial]:
    """Draw trials that know those that are finished, and not each other."""
    import optuna

    done = len(finished_trials(study))
    drawn = []
    for number in range(done, done + count):
        # Drawn anew for each trial: a sampler that began again after a stop would repeat itself.
        draw = np.random.default_rng([sweep.seed, number]).integers(2**32)
        study.sampler = optuna.samplers.TPESampler(seed=int(draw))
        trial = study.ask()
        _suggest(trial, sweep)
        drawn.append(trial)
    for trial in drawn:
        trial.set_user_attr(_FIRST, drawn[0].number)
    return _drawn(study)


def _tell(study: Study, trial: FrozenTrial, outcome: Outcome) -> None:
    import optuna
    from optuna.trial import TrialState

    own = optuna.Trial(study, trial._trial_id)
    for step, cost in outcome.reports.items():
        own.report(cost, step)
    if outcome.is_pruned:
        study.tell(trial.number, state=TrialState.PRUNED)
    else:
        study.tell(trial.number, outcome.cost_cents)


def _suggest(trial: Trial, sweep: Sweep) -> None:
    own = sweep.trial_config.ppo.model_dump()
    for name, values in SPACE.items():
        values.suggest(trial, name, own[name])


def _with_ppo(config: TrainConfig, chosen: Mapping[str, Any]) -> TrainConfig:
    given = config.model_dump(exclude_unset=True)
    return parse_config({**given, "ppo": {**given.get("ppo", {}), **chosen}})


def best_config(study: Study, sweep: Sweep) -> dict[str, Any]:
    """The configuration with the hyperparameters of the best trial, as its file should have it."""
    config = _with_ppo(sweep.config, study.best_params)
    return config.model_dump(mode="json", exclude_unset=True)


def _best_cost(study: Study) -> str:
    from optuna.trial import TrialState

    complete = study.get_trials(states=[TrialState.COMPLETE])
    return f"{study.best_value / 100:,.2f}" if complete else "?"


def _table(study: Study, sweep: Sweep) -> Table:
    from optuna.trial import TrialState

    complete = study.get_trials(states=[TrialState.COMPLETE])
    pruned = len(finished_trials(study)) - len(complete)
    table = Table(
        title=f"The best of {len(complete) + pruned} trials, {pruned} of them pruned",
        caption=f"Mean cost of {sweep.config.tuning.episodes} tuning days, in units of 100 cents.",
        box=box.SIMPLE_HEAD,
    )
    best = sorted(complete, key=lambda trial: trial.value)[:SHOWN]
    configured = finished_trials(study)[0].number
    table.add_column("trial", no_wrap=True)
    for trial in best:
        table.add_column(
            "as configured" if trial.number == configured else str(trial.number), justify="right"
        )
    table.add_row("cost", *(f"{trial.value / 100:,.2f}" for trial in best), style="bold")
    for name in SPACE:
        table.add_row(name, *(f"{trial.params[name]:.3g}" for trial in best))
    return table


if __name__ == "__main__":
    app()
