"""Ray as a place to work: start it or join a cluster, and map a function over jobs in its tasks.

What a task needs comes with it, and what it has found is handed over as soon as it is there. Ray reports
nothing home, and without an address it listens and talks on this machine alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import paysim_agents

import paysim_training
from paysim_training.core.config import ConfigError

RETRIES = 3
"""How often a job is done again whose worker was lost."""
_POLL_SECONDS = 0.2
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Workers in this environment, not in one that `uv run` would build for each of them.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}
# Makes Ray use the loopback address, on every system; read when Ray is imported.
_THIS_MACHINE_ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}

Job = TypeVar("Job")
Found = TypeVar("Found")


class LostError(RuntimeError):
    """A job whose workers were lost too often."""


@contextmanager
def cluster(address: str | None = None, processors: int | None = None) -> Iterator[None]:
    """Be connected to Ray.

    Args:
        address: Of a running cluster, `auto` for the one of this machine; None starts one here, which ends
            with the block. Within a process that is connected already nothing is done.
        processors: How many a Ray that is started here counts on; None for those of the machine.

    Raises:
        ConfigError: If Ray is not installed, or there is no cluster at the address.
    """
    for name, value in (_ENVIRONMENT | (_THIS_MACHINE_ALONE if address is None else {})).items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ModuleNotFoundError:
        raise ConfigError('Ray is not installed: pip install "paysim-gym[distributed]"') from None
    if ray.is_initialized():
        yield
        return
    common = {"configure_logging": False, "log_to_driver": False}
    if address is None:
        ray.init("local", num_cpus=processors, include_dashboard=False, **common)
    else:
        try:
            ray.init(address, runtime_env={"py_modules": _source_packages()}, **common)
        except (ConnectionError, ValueError) as error:
            raise ConfigError(f"address = {address!r}: there is no Ray cluster: {error}") from None
    try:
        yield
    finally:
        ray.shutdown()


def map_jobs(
    work: Callable[[Job], Found],
    jobs: Sequence[Job],
    *,
    processors: int = 1,
    waiting: Callable[[], object] = lambda: None,
) -> Iterator[tuple[int, Found]]:
    """Do jobs as Ray tasks, as many at a time as there are processors for.

    A job whose worker is lost, by a crash or with its machine, is done again. When this generator is closed
    or an exception leaves it, the jobs under way are stopped.

    Args:
        work: Done with each job; both go to the worker by pickle.
        jobs: What there is to do.
        processors: How many a job keeps busy.
        waiting: Called a few times a second.

    Yields:
        Number of a job and what came of it, in the order in which they end.

    Raises:
        LostError: If a job's workers were lost more than `RETRIES` times.
        Exception: What `work` raised.
    """
    import ray

    def do(job: Job) -> Found:  # `work` may be a partial, which Ray does not take
        return work(job)

    task = ray.remote(do).options(
        num_cpus=min(processors, _largest_node()), max_retries=RETRIES, retry_exceptions=False
    )
    running = {task.remote(job): number for number, job in enumerate(jobs)}
    try:
        while running:
            ready, _ = ray.wait(list(running), timeout=_POLL_SECONDS)
            waiting()
            for reference in ready:
                yield running.pop(reference), _result(reference, RETRIES)
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _result(reference: Any, retries: int) -> Any:
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, Exception) else error from None
    except _losses() as error:
        raise LostError(f"a job was tried {retries + 1} times, and its worker lost each time") from error


def _losses() -> tuple[type[Exception], ...]:
    """What Ray raises when a job's worker was lost once too often."""
    from ray import exceptions

    return exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.OutOfMemoryError


def _largest_node() -> int:
    """Processors of the largest machine: a job that asks for more would wait for ever."""
    import ray

    return max(int(node["Resources"].get("CPU", 1)) for node in ray.nodes() if node["Alive"])


def _source_packages() -> list[str]:
    """Return the packages that run from a source tree; Ray copies them to the workers of a cluster."""
    folders = [Path(package.__file__).parent for package in (paysim_agents, paysim_training)]
    return [str(folder) for folder in folders if not {"site-packages", "dist-packages"} & set(folder.parts)]
