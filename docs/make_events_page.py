"""Writes `events.md` from the engine's event schema: `python docs/make_events_page.py`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from paysim_gym._engine import EVENT_SCHEMA_VERSION, event_types

PAGE = Path(__file__).with_name("events.md")
_HEAD = f"""\
# Events

<!-- Written by docs/make_events_page.py from rust_env/src/events/event.rs: edit the comments there. -->

Event schema version: {EVENT_SCHEMA_VERSION} (`paysim_gym._engine.EVENT_SCHEMA_VERSION`). It rises with
every change of an event type, key or value. A store records it for every run, and `GET /health` of the
service returns it.

`Orchestrator(config, record_events=True).events()` returns the events since the last call. `paysim run
--event-stream` prints one JSON object per event, and `--persist FILE --full-replay` stores them. Recording
events does not change any number.

An event is a mapping with `tick`, `type` and the keys below. A key has the same meaning in every event:
`payment` is a payment, `sender` its paying bank and `receiver` its receiving bank; `bank` is the bank whose
account or operation the event concerns. Amounts are integer cents. Ticks count from the start of the run.
Banks and rails are named by their ids.

**The events of a run determine its state.** Applied in order from the first one, they give every balance, the
order of every queue, and every cost at the end of each tick. `paysim_gym.simulate.event_replay.EventReplay`
implements this; the tests compare it with `get_state()` after every tick.

## Event types

| type | keys | when |
|---|---|---|
"""


def make_page() -> str:
    """Return the page as Markdown text."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    lines = []
    for name, doc, all_keys in event_types():
        keys = [key for key in all_keys if key[0] != "tick"]
        lines.append(f"| `{name}` | {_names(key for key, *_ in keys)} | {doc} |")
        for key in keys:
            rows.setdefault(key, []).append(name)
    lines += ["", "## Keys", "", "| key | value | meaning | events |", "|---|---|---|---|"]
    lines += [
        f"| `{key}` | {value} | {doc} | {_names(events)} |"
        for (key, value, doc), events in sorted(rows.items(), key=lambda row: row[0][0])
    ]
    return _HEAD + "\n".join(lines) + "\n"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")
