"""Output modes of a run: one class per mode, listed in `OUTPUTS`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TextIO

from paysim_gym.render.money import exact
from paysim_gym.simulate.event_replay import Event
from paysim_gym.simulate.formatting import DAY_HEADER, day_line, event_lines, summary
from paysim_gym.simulate.records import RunPlan, StateReader, TickRecord


class Sink(Protocol):
    """Destination of the output."""

    def line(self, text: str, style: str = "") -> None:
        """Write a line; only terminals use the style."""

    def progress(self, done: int, total: int) -> None:
        """Show the number of played ticks."""


class TextSink:
    """Writes plain lines to a text file, without progress."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def line(self, text: str, style: str = "") -> None:
        """Write a line."""
        self._file.write(f"{text}\n")

    def progress(self, done: int, total: int) -> None:
        """Ignore the progress."""


@dataclass(frozen=True)
class EventFilter:
    """Selects ticks and events for output; an empty set selects all.

    Attributes:
        banks: Banks whose events are selected, including payments sent and received.
        payments: Payments whose events are selected, including those of their parts.
        types: Event types.
        first_tick: First tick.
        last_tick: Last tick; None selects all ticks to the end.
    """

    banks: frozenset[str] = frozenset()
    payments: frozenset[int] = frozenset()
    types: frozenset[str] = frozenset()
    first_tick: int = 0
    last_tick: int | None = None

    def includes_tick(self, tick: int) -> bool:
        """Return whether a tick is selected."""
        return self.first_tick <= tick and (self.last_tick is None or tick <= self.last_tick)

    def includes(self, event: Event) -> bool:
        """Return whether an event of a selected tick is selected."""
        if self.types and event["type"] not in self.types:
            return False
        if self.banks and self.banks.isdisjoint(event.get(key) for key in ("bank", "sender", "receiver")):
            return False
        return not self.payments or not self.payments.isdisjoint(
            event.get(key) for key in ("payment", "parent")
        )

    @property
    def selects_events(self) -> bool:
        """Whether it excludes events of selected ticks."""
        return bool(self.banks or self.payments or self.types)


class OutputStrategy:
    """Hooks of a run; a mode overrides the ones it needs.

    Metrics of a day or run come as dicts with the fields of `RunMetrics`; those of a day have `is_complete`.

    Attributes:
        shows_events: Whether the mode prints single events, so that a filter can select them.
        shows_ticks: Whether the mode prints single ticks, so that a filter can select them.
    """

    shows_events: ClassVar[bool] = False
    shows_ticks: ClassVar[bool] = False

    def __init__(self, sink: Sink, event_filter: EventFilter | None = None) -> None:
        self.sink = sink
        self.event_filter = event_filter or EventFilter()

    def on_simulation_start(self, config: RunPlan) -> None:
        """Called before the first tick."""

    def on_tick_start(self, tick: int) -> None:
        """Called before each tick."""

    def on_tick_complete(self, result: TickRecord, orchestrator: StateReader) -> None:
        """Called after each tick; in a replay, `orchestrator` only reads."""

    def on_day_complete(self, day: int, day_stats: Mapping[str, Any], orchestrator: StateReader) -> None:
        """Called after a day, or the part of it played, with its `RunMetrics`."""

    def on_simulation_complete(self, final_stats: Mapping[str, Any]) -> None:
        """Called after the last tick, with the run's `RunMetrics`."""


class NormalOutput(OutputStrategy):
    """One line per day and a summary, with progress."""

    def on_simulation_start(self, config: RunPlan) -> None:
        """Write the plan of the run and the table header."""
        self._ticks, self._played = config.total_ticks, 0
        days = "1 day" if config.num_days == 1 else f"{config.num_days} days"
        size = f"{len(config.banks)} banks, {days} of {config.ticks_per_day} ticks"
        text = f"{config.name}, seed {config.seed}: {size}"
        self.sink.line(text, "bold")
        self.sink.line(DAY_HEADER)

    def on_tick_complete(self, result: TickRecord, orchestrator: StateReader) -> None:
        """Update the progress."""
        self._played += 1
        self.sink.progress(self._played, self._ticks)

    def on_day_complete(self, day: int, day_stats: Mapping[str, Any], orchestrator: StateReader) -> None:
        """Write the line of the day."""
        self.sink.line(day_line(day, day_stats))

    def on_simulation_complete(self, final_stats: Mapping[str, Any]) -> None:
        """Write the summary."""
        for line in summary(final_stats):
            self.sink.line(line)


class VerboseOutput(OutputStrategy):
    """Every event as a sentence, then balances and queue lengths after each tick."""

    shows_events = True
    shows_ticks = True

    def on_tick_complete(self, result: TickRecord, orchestrator: StateReader) -> None:
        """Write the tick, unless the filter excludes all of its events."""
        tick, day = result.tick, result.outcome["day"]
        if not self.event_filter.includes_tick(tick):
            return
        events = [event for event in result.events if self.event_filter.includes(event)]
        if not events and self.event_filter.selects_events:
            return
        self.sink.line(f"tick {tick}, day {day}", "bold")
        for line in event_lines(events):
            self.sink.line(f"  {line}")
        for agent in orchestrator.get_state()["agents"]:
            if not self.event_filter.banks or agent["id"] in self.event_filter.banks:
                held, queued = len(agent["internal_queue"]), len(agent["central_queue"])
                text = f"  = {agent['id']}: balance {exact(agent['balance'])}, {held} held, {queued} queued"
                self.sink.line(text, "dim")

    def on_simulation_complete(self, final_stats: Mapping[str, Any]) -> None:
        """Write the summary, unless a filter is set."""
        if self.event_filter == EventFilter():
            for line in summary(final_stats):
                self.sink.line(line)


class StreamOutput(OutputStrategy):
    """One JSON object per tick: its outcome."""

    shows_ticks = True

    def on_tick_complete(self, result: TickRecord, orchestrator: StateReader) -> None:
        """Write the line of the tick."""
        if self.event_filter.includes_tick(result.tick):
            self.sink.line(json.dumps(result.outcome))


class EventStreamOutput(OutputStrategy):
    """One JSON object per event, in the schema of docs/events.md."""

    shows_events = True
    shows_ticks = True

    def on_tick_complete(self, result: TickRecord, orchestrator: StateReader) -> None:
        """Write the lines of the selected events."""
        if self.event_filter.includes_tick(result.tick):
            for event in result.events:
                if self.event_filter.includes(event):
                    self.sink.line(event_json(event))


OUTPUTS: dict[str, type[OutputStrategy]] = {
    "normal": NormalOutput,
    "verbose": VerboseOutput,
    "stream": StreamOutput,
    "event_stream": EventStreamOutput,
}
"""Mode name to class."""


def event_json(event: Event) -> str:
    """Return an event as JSON: tick, type, then other keys sorted by name."""
    first = {"tick": event["tick"], "type": event["type"]}
    return json.dumps(first | {key: event[key] for key in sorted(event) if key not in first})
