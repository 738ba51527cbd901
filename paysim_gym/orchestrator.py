"""A payment system that runs tick by tick, for simulations and services."""

from __future__ import annotations

from typing import Any

from paysim_gym import _engine
from paysim_gym.scenario import ScenarioSource, load_scenario


class Orchestrator:
    """Runs a scenario tick by tick, every bank with its own policy.

    A bank whose policy is `learner` follows `release_all` here. Every value returned is a copy; money is
    an integer number of cents.

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
        self.scenario = load_scenario(config)
        self._engine = _engine.Orchestrator(
            self.scenario.model_dump_json(), record_events, self.scenario.payments, self.scenario.networks
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
            `settled_value` (cents) and `costs` (component to cents charged in this tick to all banks).

        Raises:
            EpisodeOverError: If the run is over.
        """
        return self._engine.tick()

    def get_state(self) -> dict[str, Any]:
        """Return the state of the system.

        Returns:
            `tick`, `day` and `agents`: for each bank its `id`, `balance`, `credit_limit`, `collateral`,
            `pool_committed`, `liquidity`, `internal_queue` and `central_queue` (lists of payments, the
            latter by rail) and `costs` (component to cents since the start of the run).
        """
        return self._engine.get_state()

    def events(self) -> list[dict[str, Any]]:
        """Return the events since the last call, in order; empty unless recorded.

        Each has `tick`, `type` and the keys that docs/events.md lists; money in cents.
        """
        return self._engine.take_events()

    def save_state(self) -> bytes:
        """Save the system, without recorded events, for `restore_state`."""
        return self._engine.save_state()

    def restore_state(self, state: bytes) -> None:
        """Continue bit for bit from `save_state` of a run of the same scenario.

        Raises:
            ValueError: If it is corrupt, or from another scenario or version; nothing has changed then.
        """
        self._engine.restore_state(state)
