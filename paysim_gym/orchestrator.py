"""One running payment system, for simulations and services."""

from __future__ import annotations

from typing import Any

from paysim_gym import _engine
from paysim_gym.scenario import ScenarioSource, load_scenario


class Orchestrator:
    """Runs a scenario tick by tick, every bank with the policy that it names.

    A bank whose policy is `learner` follows `release_all` here. Everything returned is read fresh
    from the engine; all money is an integer number of cents.

    Attributes:
        scenario: The checked scenario that runs.
    """

    def __init__(self, config: ScenarioSource, *, record_events: bool = False) -> None:
        """Start a run of the scenario's own `seed`.

        Args:
            config: A bundled scenario's name, the path of a YAML file, a mapping, or a scenario.
            record_events: Whether to keep what happens to each payment for `events`.

        Raises:
            ScenarioError: A ValueError that lists every problem of the scenario.
        """
        self.scenario = load_scenario(config)
        self._engine = _engine.Orchestrator(
            self.scenario.model_dump_json(), record_events, self.scenario.payments, self.scenario.networks
        )

    @property
    def is_over(self) -> bool:
        """Whether the last tick of the last day has been played."""
        return self._engine.is_over

    @property
    def next_tick(self) -> int:
        """The tick to be played next; after the last one, the number of ticks of the run."""
        return self._engine.next_tick

    def tick(self) -> dict[str, Any]:
        """Play one tick.

        Returns:
            `tick`, `day`, `arrivals`, `settlements`, `dropped` and `queue_depth` (numbers of payments),
            `settled_value` (cents) and `costs` (component to cents charged in this tick, all banks).

        Raises:
            EpisodeOverError: If the run is over.
        """
        return self._engine.tick()

    def get_state(self) -> dict[str, Any]:
        """The whole system as it is now.

        Returns:
            `tick`, `day` and `agents`: for each bank its `id`, `balance`, `credit_limit`, `collateral`,
            `pool_committed`, `liquidity`, `internal_queue` and `central_queue` (lists of payments, the
            latter rail after rail) and `costs` (component to cents since the start of the run).
        """
        return self._engine.get_state()

    def events(self) -> list[dict[str, Any]]:
        """What happened since the last call, in order; empty unless events are recorded.

        Each has `tick`, `type` and the keys that docs/events.md lists; money in cents.
        """
        return self._engine.take_events()

    def save_state(self) -> bytes:
        """The whole system as it is now, for `restore_state`; recorded events are not part of it."""
        return self._engine.save_state()

    def restore_state(self, state: bytes) -> None:
        """Go on from a saved state, exactly as the system that was saved would.

        Args:
            state: What `save_state` returned in a run of the same scenario.

        Raises:
            ValueError: If it is damaged, or of another scenario or version; nothing has changed then.
        """
        self._engine.restore_state(state)
