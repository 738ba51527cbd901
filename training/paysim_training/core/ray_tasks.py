"""Connects to Ray and maps a function over jobs.

Results are yielded as soon as they are available. Ray's usage statistics are disabled, and without an
address Ray communicates on this machine only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import paysim_agents

import paysim_training
from paysim_gym.extras import requires_extra
from paysim_training.core.config import ConfigError

RETRIES = 3
"""Maximum number of retries of a job after the loss of its worker."""
_POLL_SECONDS = 0.2
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Workers use this environment; `uv run` would build another for each of them.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}
# Makes Ray use the loopback address on every system; read when Ray is imported.
_LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}

Job = TypeVar("Job")
Result = TypeVar("Result")


class WorkerLostError(RuntimeError):
    """The workers of a job were lost more than `RETRIES` times."""


@contextmanager
def cluster(address: str | None = None, processors: int | None = None) -> Iterator[None]:
    """Connects to Ray; no-op if Ray is already initialised.

    Args:
        address: Address of a running cluster, `auto` for the one on this machine; None starts a local Ray,
            which is shut down after the block.
        processors: Number of processors of a local Ray; None for all.

    Raises:
        ConfigError: If no cluster is reachable at the address.
        MissingExtraError: If Ray is not installed.
    """
    for name, value in (_ENVIRONMENT | (_LOOPBACK_ONLY if address is None else {})).items():
        os.environ.setdefault(name, value)
    with requires_extra("distributed"):
        import ray
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
            raise ConfigError(f"address = {address!r}: no Ray cluster found: {error}") from None
    try:
        yield
    finally:
        ray.shutdown()


def map_jobs(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    *,
    processors: int = 1,
    on_poll: Callable[[], object] = lambda: None,
) -> Iterator[tuple[int, Result]]:
    """Runs a function on jobs as parallel Ray tasks.

    A job is retried if its worker or machine is lost. When the generator is closed or raises, the running
    jobs are cancelled.

    Args:
        function: Called with each job; function and job must be picklable.
        jobs: The jobs.
        processors: Number of processors that a job uses.
        on_poll: Called several times per second.

    Yields:
        Index of a job and its result, in order of completion.

    Raises:
        WorkerLostError: If the workers of a job were lost more than `RETRIES` times.
        Exception: If `function` raises.
    """
    import ray

    def run(job: Job) -> Result:  # `function` may be a partial, which Ray does not accept
        return function(job)

    task = ray.remote(run).options(
        num_cpus=min(processors, _max_node_processors()), max_retries=RETRIES, retry_exceptions=False
    )
    running = {task.remote(job): index for index, job in enumerate(jobs)}
    try:
        while running:
            ready, _ = ray.wait(list(running), timeout=_POLL_SECONDS)
            on_poll()
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
    except _worker_loss_errors() as error:
        raise WorkerLostError(f"a job was tried {retries + 1} times and lost its worker each time") from error


def _worker_loss_errors() -> tuple[type[Exception], ...]:
    """Returns the exceptions with which Ray reports lost workers after all retries."""
    from ray import exceptions

    return exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.OutOfMemoryError


def _max_node_processors() -> int:
    """Returns the processors of the largest machine; larger requests would never be scheduled."""
    import ray

    return max(int(node["Resources"].get("CPU", 1)) for node in ray.nodes() if node["Alive"])


def _source_packages() -> list[str]:
    folders = [Path(folder) for package in (paysim_agents, paysim_training) for folder in package.__path__]
    return [str(folder) for folder in folders if not {"site-packages", "dist-packages"} & set(folder.parts)]
