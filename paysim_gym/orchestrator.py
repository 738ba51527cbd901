"""A payment system that runs tick by tick, for simulations and services."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from paysim_gym import _engine
from paysim_gym.scenario import ScenarioSource, load_scenario

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


class Orchestrator:
    """Runs a scenario tick by tick, every bank with its own policy.

    A bank whose policy is `learner` follows `release_all` here. Every value returned is a copy; money is
    an integer number of cents. An unexpected failure of the engine is a RuntimeError. Every call into the
    engine is logged at DEBUG, the start at INFO.

    Attributes:
        scenario: The validated scenario.
    """

    def __init__(self, config: ScenarioSource, *, record_events: bool = False) -> None:
        """Start a run with the scenario's `seed`.

        Args:
            config: A bundled scenario's name, the path of a YAML file, a mapping, or a scenario.
            record_events: Whether to record events for `events`.

        Raises:
            ScenarioError: A ValueError that lists all errors of the scenario.
        """
        self.scenario = scenario = load_scenario(config)
        self._engine = _call_engine(
            _engine.Orchestrator,
            scenario.model_dump_json(),
            record_events,
            scenario.payments,
            scenario.networks,
        )
        _log.info(
            "run of %d banks over %d days of %d ticks, seed %d",
            len(scenario.agents),
            scenario.num_days,
            scenario.ticks_per_day,
            scenario.seed,
        )

    @property
    def is_over(self) -> bool:
        """Whether the last tick of the last day is over."""
        return self._engine.is_over

    @property
    def next_tick(self) -> int:
        """The next tick to play; at the end, the number of ticks."""
        return self._engine.next_tick

    def tick(self) -> dict[str, Any]:
        """Play one tick.

        Returns:
            `tick`, `day`, `arrivals`, `settlements`, `dropped` and `queue_depth` (numbers of payments),
            `settled_value` (cents), `settled_orders` (orders that settled with their last part) and
            `settled_orders_delay` (their ticks since arrival, summed), `costs` (component to cents charged in
            this tick to all banks), and `agents`: for each bank its `id`, `balance`, `balance_before_close`
            (before the day's close grants loans and returns pools), `sent` and `received` (values settled
            in this tick, in cents).

        Raises:
            RuntimeError: If the engine fails; an EpisodeOverError if the run is over.
        """
        try:
            return _call_engine(self._engine.tick)
        except ValueError as error:
            raise RuntimeError(str(error)) from error

    def get_state(self) -> dict[str, Any]:
        """Return the state of the system, read anew at every call.

        Returns:
            `tick`, `day` and `agents`: for each bank its `id`, `balance`, `credit_limit`, `collateral`,
            `pool_committed`, `liquidity`, `internal_queue` and `central_queue` (lists of payments, the
            latter by rail) and `costs` (component to cents since the start of the run).
        """
        return _call_engine(self._engine.get_state)

    def start_recording(self) -> None:
        """Record the events of the ticks that are played from now on."""
        _call_engine(self._engine.start_recording)

    def events(self) -> list[dict[str, Any]]:
        """Return the events since the last call, in order; empty unless recorded.

        Each has `tick`, `type` and the keys that docs/events.md lists; money in cents.
        """
        return _call_engine(self._engine.take_events)

    def save_state(self) -> bytes:
        """Save the system, without recorded events, for `restore_state`."""
        return _call_engine(self._engine.save_state)

    def restore_state(self, state: bytes) -> None:
        """Continue bit for bit from `save_state` of a run of the same scenario.

        Raises:
            ValueError: If it is corrupt, or from another scenario or version; nothing has changed then.
        """
        _call_engine(self._engine.restore_state, state)


def _call_engine(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call the engine, logged; anything but its documented errors becomes a RuntimeError."""
    name = function.__name__
    _log.debug("engine: %s", name)
    try:
        return function(*arguments)
    except (ValueError, RuntimeError):
        raise
    except (Exception, _engine.PanicException) as error:
        raise RuntimeError(f"the engine failed in {name}: {error}") from error
