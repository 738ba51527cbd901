"""The compiled engine, used through `paysim_gym.envs` and `paysim_gym.Orchestrator`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Self, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "COST_COMPONENTS",
    "EVENT_SCHEMA_VERSION",
    "SHARES",
    "SOON_TICKS",
    "URGENCIES",
    "ActionError",
    "EpisodeOverError",
    "Fleet",
    "Network",
    "Orchestrator",
    "Payments",
    "ScenarioError",
    "busiest_rates",
    "event_occurrences",
    "event_types",
    "minutes_of_day",
    "observation_fields",
    "urgency_class",
    "validate_scenario",
]

COST_COMPONENTS: Final[tuple[str, ...]]
EVENT_SCHEMA_VERSION: Final[int]
SHARES: Final[int]
SOON_TICKS: Final[int]
URGENCIES: Final[tuple[str, ...]]

class ScenarioError(ValueError): ...
class ActionError(ValueError): ...
class EpisodeOverError(RuntimeError): ...

def validate_scenario(scenario_json: str) -> str: ...
def event_types() -> list[tuple[str, str, list[tuple[str, str, str]]]]: ...
def observation_fields(slots: int) -> list[tuple[str, str, float, float, str]]: ...
def busiest_rates(scenario_json: str) -> list[float]: ...
def event_occurrences(scenario_json: str) -> list[int]: ...
def minutes_of_day(value: object) -> int | None: ...
def urgency_class(is_overdue: bool, deadline_tick: int, tick: int) -> str: ...

@final
class Payments:
    def __new__(
        cls,
        scenario_json: str,
        day: NDArray[np.int64],
        tick: NDArray[np.int64],
        sender: NDArray[np.int64],
        receiver: NDArray[np.int64],
        amount: NDArray[np.int64],
        deadline: NDArray[np.int64],
        priority: NDArray[np.int64],
        divisible: NDArray[np.bool_],
    ) -> Self: ...
    @property
    def num_days(self) -> int: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, _memo: Any) -> Self: ...
    def __len__(self) -> int: ...

@final
class Network:
    def __new__(cls, data: bytes) -> Self: ...
    def outputs(self, observations: NDArray[np.float32]) -> NDArray[np.float32]: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, _memo: Any) -> Self: ...

@final
class Orchestrator:
    def __new__(
        cls,
        scenario_json: str,
        record_events: bool = False,
        payments: Payments | None = None,
        networks: Mapping[str, Network] | None = None,
    ) -> Self: ...
    @property
    def is_over(self) -> bool: ...
    @property
    def next_tick(self) -> int: ...
    def tick(self) -> dict[str, Any]: ...
    def get_state(self) -> dict[str, Any]: ...
    def save_state(self) -> bytes: ...
    def restore_state(self, state: bytes) -> None: ...
    def take_events(self) -> list[dict[str, Any]]: ...

@final
class Fleet:
    def __new__(
        cls,
        scenario_json: str,
        decision_json: str,
        num_envs: int,
        num_threads: int,
        payments: Payments | None = None,
        networks: Mapping[str, Network] | None = None,
    ) -> Self: ...
    @property
    def nvec(self) -> list[int]: ...
    @property
    def component_names(self) -> list[str]: ...
    @property
    def amount_scales(self) -> list[int]: ...
    @property
    def reward_scales(self) -> list[float]: ...
    def reset(
        self, mask: NDArray[np.bool_], seeds: Sequence[int | None]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]: ...
    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[
        NDArray[np.float32],
        NDArray[np.float64],
        NDArray[np.bool_],
        NDArray[np.bool_],
        NDArray[np.int64],
        NDArray[np.bool_],
        NDArray[np.int64],
    ]: ...
    def step_alone(
        self, actions: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]: ...
    def scripted_actions(self, policy_json: str) -> NDArray[np.int64]: ...
    def snapshots(self, row: int) -> dict[str, dict[str, Any]]: ...
    def totals(self) -> dict[str, NDArray[Any]]: ...
    def save_state(self, row: int) -> bytes: ...
    def restore_state(
        self, row: int, state: bytes, seed: int | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], bool]: ...
