"""Output modes of a run: one class per mode, listed in `OUTPUTS`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar, Protocol, TextIO

from paysim_gym.render.money import exact
from paysim_gym.simulate.event_replay import Event, EventReplay
from paysim_gym.simulate.formatting import DAY_HEADER, day_line, event_lines, summary
from paysim_gym.simulate.metrics import RunMetrics
from paysim_gym.simulate.records import DayReport, RunPlan, TickRecord


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

    Attributes:
        shows_events: Whether the mode prints single events, so that a filter can select them.
        shows_ticks: Whether the mode prints single ticks, so that a filter can select them.
    """

    shows_events: ClassVar[bool] = False
    shows_ticks: ClassVar[bool] = False

    def __init__(self, sink: Sink, event_filter: EventFilter | None = None) -> None:
        self.sink = sink
        self.event_filter = event_filter or EventFilter()

    def on_simulation_start(self, plan: RunPlan) -> None:
        """Called before the first tick."""

    def on_tick_start(self, day: int, tick: int) -> None:
        """Called before each tick."""

    def on_tick_complete(self, record: TickRecord, replay: EventReplay) -> None:
        """Called after each tick, with the state after it."""

    def on_day_complete(self, report: DayReport) -> None:
        """Called after the last tick of a day or of the run."""

    def on_simulation_complete(self, metrics: RunMetrics) -> None:
        """Called after the last tick."""


class NormalOutput(OutputStrategy):
    """One line per day and a summary, with progress."""

    def on_simulation_start(self, plan: RunPlan) -> None:
        """Write the plan of the run and the table header."""
        self._ticks, self._played = plan.ticks, 0
        days = "1 day" if plan.num_days == 1 else f"{plan.num_days} days"
        text = f"{plan.name}, seed {plan.seed}: {len(plan.banks)} banks, {days} of {plan.ticks_per_day} ticks"
        self.sink.line(text, "bold")
        self.sink.line(DAY_HEADER)

    def on_tick_complete(self, record: TickRecord, replay: EventReplay) -> None:
        """Update the progress."""
        self._played += 1
        self.sink.progress(self._played, self._ticks)

    def on_day_complete(self, report: DayReport) -> None:
        """Write the line of the day."""
        self.sink.line(day_line(report))

    def on_simulation_complete(self, metrics: RunMetrics) -> None:
        """Write the summary."""
        for line in summary(metrics):
            self.sink.line(line)


class VerboseOutput(OutputStrategy):
    """Every event as a sentence, then balances and queue lengths after each tick."""

    shows_events = True
    shows_ticks = True

    def on_tick_complete(self, record: TickRecord, replay: EventReplay) -> None:
        """Write the tick, unless the filter excludes all of its events."""
        tick, day = record.outcome["tick"], record.outcome["day"]
        if not self.event_filter.includes_tick(tick):
            return
        events = [event for event in record.events if self.event_filter.includes(event)]
        if not events and self.event_filter.selects_events:
            return
        self.sink.line(f"tick {tick}, day {day}", "bold")
        for line in event_lines(events):
            self.sink.line(f"  {line}")
        for account in replay.accounts.values():
            if not self.event_filter.banks or account.bank in self.event_filter.banks:
                held, queued = len(account.internal), sum(1 for _ in account.central_queue())
                text = f"  = {account.bank}: balance {exact(account.balance)}, {held} held, {queued} queued"
                self.sink.line(text, "dim")

    def on_simulation_complete(self, metrics: RunMetrics) -> None:
        """Write the summary, unless a filter is set."""
        if self.event_filter == EventFilter():
            for line in summary(metrics):
                self.sink.line(line)


class StreamOutput(OutputStrategy):
    """One JSON object per tick: its outcome and the balances after it."""

    shows_ticks = True

    def on_tick_complete(self, record: TickRecord, replay: EventReplay) -> None:
        """Write the line of the tick."""
        if self.event_filter.includes_tick(record.outcome["tick"]):
            balances = {account.bank: account.balance for account in replay.accounts.values()}
            self.sink.line(json.dumps({**record.outcome, "balances": balances}))


class EventStreamOutput(OutputStrategy):
    """One JSON object per event, in the schema of docs/events.md."""

    shows_events = True
    shows_ticks = True

    def on_tick_complete(self, record: TickRecord, replay: EventReplay) -> None:
        """Write the lines of the selected events."""
        if self.event_filter.includes_tick(record.outcome["tick"]):
            for event in record.events:
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
