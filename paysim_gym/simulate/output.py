"""What a run shows while it is played: one class a mode, all of them in `OUTPUTS`."""

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
    """Where output goes."""

    def line(self, text: str, style: str = "") -> None:
        """Write a line of data; a style is for people who look at a terminal."""

    def progress(self, done: int, total: int) -> None:
        """Show how many ticks have been played."""


class TextSink:
    """Writes plain lines to a text file and shows no progress."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def line(self, text: str, style: str = "") -> None:
        """Write a line."""
        self._file.write(f"{text}\n")

    def progress(self, done: int, total: int) -> None:
        """Show nothing."""


@dataclass(frozen=True)
class Filter:
    """What is shown; an empty set lets everything through.

    Attributes:
        banks: Events of these banks, as sender or receiver.
        payments: Events of these payments and of their parts.
        types: Events of these types.
        first_tick: Nothing before it.
        last_tick: Nothing after it; None: to the end.
    """

    banks: frozenset[str] = frozenset()
    payments: frozenset[int] = frozenset()
    types: frozenset[str] = frozenset()
    first_tick: int = 0
    last_tick: int | None = None

    def shows_tick(self, tick: int) -> bool:
        """Whether anything of a tick is shown."""
        return self.first_tick <= tick and (self.last_tick is None or tick <= self.last_tick)

    def shows(self, event: Event) -> bool:
        """Whether an event of such a tick is shown."""
        if self.types and event["type"] not in self.types:
            return False
        if self.banks and self.banks.isdisjoint(event.get(key) for key in ("bank", "sender", "receiver")):
            return False
        return not self.payments or not self.payments.isdisjoint(
            event.get(key) for key in ("payment", "parent")
        )

    @property
    def chooses_events(self) -> bool:
        """Whether it leaves out events of a tick that it shows."""
        return bool(self.banks or self.payments or self.types)


class OutputStrategy:
    """The hooks of a run. A mode overrides those that it needs and gets a line in `OUTPUTS`.

    Attributes:
        shows_events: Whether it shows single events, so that a filter may choose among them.
        shows_ticks: Whether it shows single ticks, so that a filter may choose among them.
    """

    shows_events: ClassVar[bool] = False
    shows_ticks: ClassVar[bool] = False

    def __init__(self, sink: Sink, shown: Filter | None = None) -> None:
        self.sink = sink
        self.shown = shown or Filter()

    def on_simulation_start(self, plan: RunPlan) -> None:
        """Before the first tick."""

    def on_tick_start(self, day: int, tick: int) -> None:
        """Before a tick is played."""

    def on_tick_complete(self, record: TickRecord, books: EventReplay) -> None:
        """After a tick, with the state that it has led to."""

    def on_day_complete(self, report: DayReport) -> None:
        """After a day's last tick, or the run's."""

    def on_simulation_complete(self, metrics: RunMetrics) -> None:
        """After the last tick."""


class NormalOutput(OutputStrategy):
    """A line a day and a summary, with the progress of the run."""

    def on_simulation_start(self, plan: RunPlan) -> None:
        """Say what is played."""
        self._ticks, self._played = plan.ticks, 0
        days = "1 day" if plan.num_days == 1 else f"{plan.num_days} days"
        text = f"{plan.name}, seed {plan.seed}: {len(plan.banks)} banks, {days} of {plan.ticks_per_day} ticks"
        self.sink.line(text, "bold")
        self.sink.line(DAY_HEADER)

    def on_tick_complete(self, record: TickRecord, books: EventReplay) -> None:
        """Show the progress."""
        self._played += 1
        self.sink.progress(self._played, self._ticks)

    def on_day_complete(self, report: DayReport) -> None:
        """Write a line."""
        self.sink.line(day_line(report))

    def on_simulation_complete(self, metrics: RunMetrics) -> None:
        """Write the summary."""
        for line in summary(metrics):
            self.sink.line(line)


class VerboseOutput(OutputStrategy):
    """Every event of every tick as a sentence, then the balances and queues of that moment."""

    shows_events = True
    shows_ticks = True

    def on_tick_complete(self, record: TickRecord, books: EventReplay) -> None:
        """Write the tick, unless all of its events are filtered out."""
        tick, day = record.outcome["tick"], record.outcome["day"]
        if not self.shown.shows_tick(tick):
            return
        events = [event for event in record.events if self.shown.shows(event)]
        if not events and self.shown.chooses_events:
            return
        self.sink.line(f"tick {tick}, day {day}", "bold")
        for line in event_lines(events):
            self.sink.line(f"  {line}")
        for account in books.accounts.values():
            if not self.shown.banks or account.bank in self.shown.banks:
                held, queued = len(account.internal), sum(1 for _ in account.central_queue())
                text = f"  = {account.bank}: balance {exact(account.balance)}, {held} held, {queued} queued"
                self.sink.line(text, "dim")

    def on_simulation_complete(self, metrics: RunMetrics) -> None:
        """Write the summary, unless only a part of the run is shown."""
        if self.shown == Filter():
            for line in summary(metrics):
                self.sink.line(line)


class StreamOutput(OutputStrategy):
    """A line of JSON a tick: what the engine says of it, and the balance of each bank after it."""

    shows_ticks = True

    def on_tick_complete(self, record: TickRecord, books: EventReplay) -> None:
        """Write the line."""
        if self.shown.shows_tick(record.outcome["tick"]):
            balances = {account.bank: account.balance for account in books.accounts.values()}
            self.sink.line(json.dumps({**record.outcome, "balances": balances}))


class EventStreamOutput(OutputStrategy):
    """A line of JSON an event."""

    shows_events = True
    shows_ticks = True

    def on_tick_complete(self, record: TickRecord, books: EventReplay) -> None:
        """Write the lines."""
        if self.shown.shows_tick(record.outcome["tick"]):
            for event in record.events:
                if self.shown.shows(event):
                    self.sink.line(event_json(event))


OUTPUTS: dict[str, type[OutputStrategy]] = {
    "normal": NormalOutput,
    "verbose": VerboseOutput,
    "stream": StreamOutput,
    "event_stream": EventStreamOutput,
}
"""Every mode by its name."""


def event_json(event: Event) -> str:
    """An event as a line: its tick and type, then the other keys in alphabetical order."""
    first = {"tick": event["tick"], "type": event["type"]}
    return json.dumps(first | {key: event[key] for key in sorted(event) if key not in first})
